//! A Byzantine fault-tolerant replicated log of opaque payloads, without I/O.
//!
//! `n = 3f + 1` validators agree on one chain of blocks although any `f` of them lie, stay silent or crash. A *term* has one
//! *stable leader*; blocks of a term form one chain; two rounds of broadcast votes make a block final three hops after it
//! was proposed, and up to [`WINDOW`] blocks are in flight. The core starts no thread, reads no clock and touches no socket or
//! disk: [`Core::step`] takes an [`Input`] and the time, and pushes [`Output`]s.
//!
//! # The rules
//! Rank = (term, height), lexicographic. A *certificate* ([`Qc`]) is 2f+1 equal votes; a term certificate ([`Tc`]) is 2f+1
//! timeouts of one term and the certificate of the highest rank among them.
//!
//! 1. **Propose.** Upon entering its term the leader extends the block of the term certificate's highest certificate, and then its
//!    own last block, up to [`WINDOW`] heights beyond the last commit. A leader that restarted inside its term proposes nothing
//!    in it: it abdicates (rule 6).
//! 2. **Prepare.** A validator votes PREPARE for a block of its term iff it has not timed out of the term, the height is above
//!    every height it prepared in the term, within the window, the block is valid, and (a) it prepared the parent in this term and
//!    life, or (b) it holds a prepare certificate of this term for the parent, or (c) it is a first block with the term certificate,
//!    nothing was prepared in the term, and no lease of the term is left from before a restart. After a restart the height must also be
//!    above the lease's ceiling.
//! 3. **Lease.** Before preparing above its lease's ceiling a validator makes a new ceiling, [`LEASE`] heights up, durable. So prepare
//!    votes need no write of their own.
//! 4. **Commit vote.** Upon a prepare certificate of its term whose rank is not below its lock, and not timed out of the term: make the
//!    certificate and the block durable as the lock, *then* vote COMMIT. This is the only write on the critical path.
//! 5. **Commit.** Upon a commit certificate: commit the block and its ancestors, oldest first, each once.
//! 6. **Suspect, time out.** When work is pending and nothing is committed for `T`, broadcast Suspect, which can be taken back. Upon
//!    f+1 suspicions including one's own, or f+1 timeouts of this or a later term: make the timeout durable and broadcast it with the
//!    highest certificate known. After it no vote is given in that term. The leader's own timeout counts as an expiry.
//! 7. **New term.** Upon 2f+1 timeouts of a term: assemble and broadcast the term certificate, make the next term durable, enter it.
//!    `T` doubles with every term that commits nothing, up to a cap. Suspicions and timeouts are repeated every `T/2` until superseded.
//! 8. **Catch up.** Beside all this, from any peer: a range of blocks with the commit certificate of the last. A certificate for an
//!    unknown block makes a fetch, never a drop.
//! 9. **Evidence.** Two votes of one validator of one kind, term and height for different blocks are reported.
//!
//! # Why it is safe
//! One block per (term, height) gets a prepare certificate, because an honest validator signs one (rule 2's height clause in one life, the
//! lease across lives). Inside a term all certified blocks form one chain (rules 2a–c). A commit certificate at rank *r* shares an honest
//! validator with every later term certificate; it locked before its timeout, so that certificate's highest rank is at least *r*, and
//! by induction every later first block extends the committed one.
//!
//! # How to drive it
//! - One thread owns the core. Received messages are checked with [`Message::verify`] on other threads first; the core trusts them.
//! - [`Output::Persist`]: append the record to the write-ahead log, `fdatasync`, then answer [`Input::Persisted`] with its number. The core
//!   itself holds back every message that depends on the record until that answer, so the driver cannot send too early.
//! - [`Output::Check`]: validate the payload (and that [`Block::app`] names a state this node has computed) and answer [`Input::Checked`]. The answer may
//!   come later: a block from the future, or about a state not computed yet, is *delayed*, not refused.
//! - [`Output::WantPayload`]: answer [`Input::Payload`], or nothing; say [`Input::Work`] when there is something to order.
//! - [`Output::Commit`]: apply the blocks in order and store them with the certificate.
//! - [`Output::Serve`]: read committed blocks from the store and send [`Message::Blocks`].
//! - After a crash: fold the log's records with [`Recovered::apply`], set the committed tip from the block store, and call [`Core::new`].
//!
//! # Not here
//! What the payload means, who the peers' addresses are, snapshots and changes of the validator set.

mod block;
mod core;
mod durable;
mod message;
mod validators;
mod verify;
mod votes;

pub use block::{AppRef, Block, CertifiedHeader, SignedBlock};
pub use core::{Config, Core, Input, Output, Outputs, Payload};
pub use durable::{Lease, Lock, Record, Recovered, Tip};
pub use message::{Message, Qc, Rank, Tc, Timeout, TimeoutVote, Vote, VoteKind};
pub use validators::ValidatorSet;
pub use verify::VerifyError;

/// Blocks in flight beyond the last commit. Kept at 8: at one block a millisecond it hides a disk that syncs in 4 ms.
pub const WINDOW: u64 = 8;
/// Heights in one lease. A restarted validator waits at most this many blocks, or one change of term, before it votes again.
pub const LEASE: u64 = 64;
/// Bytes of one payload, at most.
pub const PAYLOAD_BYTES_MAX: usize = 2 << 20;
/// Bytes of one encoded message, at most.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
