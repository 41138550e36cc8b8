//! A sans-I/O Byzantine fault-tolerant replicated log of opaque payloads, with a stable leader.
//!
//! [`Core`] is a state machine without sockets, clocks, disks or threads: a driver steps it with [`Input`]s and carries
//! out its [`Output`]s. With n = 3f + 1 validators it stays safe whatever f of them do and however late messages are,
//! and makes progress once messages arrive in time. This page is the specification; the numbers stand beside the code.
//!
//! ```text
//!  leader  ── Propose ──▶ all ── PREPARE ──▶ all: certificate ── (one sync) ── COMMIT ──▶ all: certificate = final
//!             hop 1               hop 2                                       hop 3
//! ```
//!
//! # The rules
//! A *rank* is (term, height). A *certificate* is a quorum of equal votes. *Held* means: with its block and all ancestors.
//!
//! 1. **Upon the first step** of a new validator, enter the epoch's first term. One that comes back resumes its term; if it
//!    led it, or had left it, it signs a timeout.
//! 2. **Propose.** Upon work, the leader of a term it entered in this life extends its own last block, up to a window
//!    beyond the last commit, waiting for no certificate. Its first block carries the proof that the term before is over
//!    and stands on the highest certificate in it. A leader that restarted does not propose. If the term stands on the last
//!    block of the epoch, the leader says so (*Reopen*) and proposes nothing.
//! 3. **Upon a block** whose parent is known to be good, have it checked. Twins are evidence.
//! 4. **PREPARE** a checked block of my term t at height h if I have not left t, h is above every height I prepared in t
//!    (and above my lease, if I restarted in t), h is in the window and in the leader's reign, and
//!    (a) I prepared its parent in t in this life, or
//!    (b) its parent has a certificate of t and it descends from whatever I prepared in t, or
//!    (c) it is a first block and I prepared nothing in t, in no life, or
//!    (d) it *shows* a certificate of t for one of its ancestors, no lower than anything I may have prepared in t, or
//!    (e) the leader reopened the last block of the epoch, this is it, and I prepared nothing in t, in no life.
//!    A durable *lease* covers many heights with one write.
//! 5. **Upon a certificate** of a later term, enter that term. Keep it until its block is held; fetch what is missing.
//! 6. **Lock and COMMIT.** Upon the highest held certificate of my term, not below my lock, unless I have left the term:
//!    body, ancestors not yet in the log, and lock become durable, then COMMIT leaves. Lower ones may be skipped. A PREPARE
//!    that comes up while the lock is on its way to the disk waits for it: one signature serves both votes.
//! 7. **Commit.** Upon a COMMIT certificate that is held: the block and its ancestors are final, oldest first, each once.
//! 8. **Suspect** upon a timer that runs while there is work and no commit of my term, upon a silent leader, a block that
//!    does not pass, a leader that gave up, or something that starves. Repeated while it holds; a commit takes it back,
//!    unless something starves.
//! 9. **Timeout** upon f + 1 suspicions, mine among them, or f + 1 timeouts of my term or later. Irrevocable: no vote in
//!    the term follows it.
//! 10. **Upon a quorum of timeouts** of a term, it is over; the proof is sent to all.
//! 11. **Enter** a later term durably, before anything of it leaves. Patience doubles with each term that commits
//!     nothing, up to a cap.
//! 12. **Repeat** what may have been lost, until superseded. A leader gives up its term after a restart, once all is final
//!     after it was asked to hand over or its reign is over, and (at most once a minute) when a validator is stuck outside it.
//! 13. **Upon word from a peer that is behind,** send it the certificate it lacks.
//! 14. **Fetch** a block that a certificate, a vote or a child speaks of.
//! 15. **Fetch** ranges of final blocks when far behind. This runs beside voting; there is no mode to switch.
//! 16. **Epochs.** A block may name the validators of the next epoch: it is the last of its own, and nothing follows it
//!     there. Once it is final *and in the log*, enter the next epoch, durably before anything of it leaves or commits. The
//!     first term of an epoch is that of the block plus one, for everybody, whatever term certified it.
//! 17. **Snapshots.** Who asks for blocks that are gone is offered a snapshot. Upon f + 1 equal offers whose proof leads from
//!     my epoch to the state's hash, fetch the pieces from those who offered, each checked by itself, and have them
//!     installed. Nothing commits meanwhile. Term, timeouts, lease and lock are not touched.
//!
//! 18. **Observe.** A key that may have signed what its records do not say follows like a learner: no vote, no timeout. It asks where the
//!     others stand, enough of them that an honest one is at most a term behind anything this key was in; it votes again once a block is final
//!     whose certificate is of a term beyond that, so that everything it forgot is final with it, or never will be.
//!
//! # Why it is safe, in short
//! Two certificates of one rank share an honest validator, which prepares once a rank: one block a rank. Within a term, a
//! voter that leaves a branch for another shows a certificate at least as high as all it prepared, so certified blocks of a
//! term form one chain. A COMMIT is preceded by a durable lock and never follows the timeout of its term, so among any
//! quorum of timeouts of that term or a later one is one that knows the certificate: every later term builds on it.
//!
//! # Who is to blame
//! Every rule above leaves signatures that contradict each other when it is broken: see [`Evidence`]. An honest validator
//! is never named, whatever it forgets in a crash that its durable records allow.
//!
//! # How to drive it
//! **Threads.** One thread owns the [`Core`]. Decoding ([`Message::decode`]) and [`verify()`] are pure and run wherever
//! the driver likes; [`Core::wants`], on the core's thread and before `verify`, tells what is not worth verifying.
//! `from` is the peer that the *channel* authenticated: suspicions and heartbeats carry no signature. Messages are verified
//! against [`Core::epoch`]; what was verified against an older one is ignored.
//!
//! **Start.** Feed every record of the write-ahead log to [`Recovered::apply`], give the newest entry of the block log to
//! [`Recovered::set_committed`], call [`Core::new`], then `step(now, Input::Tick, ..)`. If `new` refuses, do not vote with
//! this key. `Recovered::default()` is for a key that has *never* voted: in place of a lost log begin one with
//! [`Record::Observing`]`(true)`.
//!
//! **Each step.** Carry the outputs out in order.
//!
//! | output | what the driver does |
//! |---|---|
//! | [`Output::Persist`] | append; gather several; make durable if any says `sync`; step [`Input::Persisted`] with the last number |
//! | [`Output::Send`] | hold back until `Persisted` reached `after`; then send. Messages may be lost, repeated, reordered |
//! | [`Output::WantPayload`] | step [`Input::Payload`]; with `draft: None` the core asks again at the next `Work { pending: true }`. If `required`, an empty payload is better than none |
//! | [`Output::Check`] | step [`Input::Checked`], now or when it can be told; [`Core::chain_to`] the parent gives the uncommitted ancestors |
//! | [`Output::Commit`] | append blocks and certificates to the block log, make it durable, execute, step [`Input::Applied`] |
//! | [`Output::ServeBlocks`] | read the log, send [`Message::Blocks`] made by [`Blocks::from_log`] |
//! | [`Output::ServeSnapshot`], [`Output::ServeChunk`] | send a [`SnapshotOffer`] or a [`Chunk`], if there is one; never needed by a driver that keeps its whole log |
//! | [`Output::StoreChunk`], [`Output::InstallSnapshot`] | keep the piece; rebuild the state aside, replace it durably, step [`Input::Installed`] |
//! | [`Output::EnterEpoch`] | from now on verify against this epoch, and address its seats |
//! | [`Output::TimerAt`] | step [`Input::Tick`] then; a later one replaces it |
//!
//! **Work.** Every validator says [`Input::Work`] whenever it has something to order and whenever it no longer has: the
//! leader proposes then, the others watch that it does. Say it again after a commit that left something over.
//!
//! **Certificates for light clients.** Every [`CommittedBlock`] carries a COMMIT certificate of itself or of a later block,
//! and the last block of every commit carries its own. So a [`CertifiedHeader`] at or above any height is found by
//! reading on in the log until [`CommittedBlock::certified_header`] is there.
//!
//! **Rotation of the write-ahead log.** Write [`Core::durable_records`] to a new file, make it durable, step `Persisted`
//! with the last number handed out, drop the old file.
//!
//! **Failure.** A write or sync that fails must end the process. The core panics rather than take back what is final.
//!
//! **Learners.** A node whose key has no seat runs the same core: it follows and serves, and votes when an epoch seats it.
//! Its peers hear it under a seat at or above the number of validators, one for each connection, of the driver's choice.
//!
//! # What it does not do
//! It does not look into payloads, execute, keep a log, choose transactions, or decide who votes: a [`Draft`] says so, and
//! every replica's check of the block agrees or not.
//!
//! # Example
//! One validator alone is a quorum of one. `examples/four_nodes_in_memory.rs` shows four.
//! ```
//! use gongsuan_consensus::*;
//! use gongsuan_types::{Hash, SecretKey, TimeMs};
//!
//! let key = SecretKey::from_seed(b"alone");
//! let set = ValidatorSet::new(0, vec![key.public_key()]).unwrap();
//! let chain_id = Hash::of("example", b"chain");
//! let config = Config::new(chain_id, set.clone(), key);
//! let mut core = Core::new(config, Recovered::default()).unwrap();
//!
//! let mut inputs = vec![Input::Work { pending: true }];
//! let mut certified = None;
//! while let Some(input) = inputs.pop() {
//!     let mut out = Outputs::new();
//!     core.step(Millis(0), input, &mut out);
//!     for output in out {
//!         match output {
//!             Output::Persist { seq, .. } => inputs.push(Input::Persisted { seq }),
//!             Output::WantPayload(want) => {
//!                 let draft = (want.height.0 == 1).then(|| Draft {
//!                     payload: Payload::new(b"hello".to_vec()),
//!                     app: AppRef::default(),
//!                     time: TimeMs(1),
//!                     next: None,
//!                 });
//!                 inputs.push(Input::Payload { term: want.term, height: want.height, draft });
//!             }
//!             Output::Commit { blocks } => certified = blocks[0].certified_header(),
//!             _ => {}
//!         }
//!     }
//! }
//! assert!(certified.unwrap().verify(&set, &chain_id).is_ok());
//! ```

pub mod block;
pub mod certificate;
pub mod config;
mod core;
pub mod epoch;
pub mod evidence;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(not(feature = "faults"))]
#[expect(unreachable_pub, dead_code, reason = "public and whole only with the feature")]
mod faults;
pub mod input;
pub mod message;
pub mod output;
pub mod record;
pub mod snapshot;
pub mod validators;
pub mod verify;
pub mod vote;

pub use block::{AppRef, Block, Header, Payload, Proposal, Rank, genesis};
pub use certificate::{CertifiedHeader, CommittedBlock, Qc, Tc};
pub use config::{Config, StartError};
pub use core::{Core, Progress};
pub use epoch::Epoch;
pub use evidence::Evidence;
pub use input::{Draft, Input, Millis};
pub use message::{Blocks, FetchBlock, FetchRange, Message, PAYLOAD_BYTES_MAX, Status};
pub use output::{Output, Outputs, To, WantPayload};
pub use record::{Record, Recovered, Seq};
pub use snapshot::{Chunk, FetchChunk, Pieces, SnapshotOffer};
pub use validators::{Seat, ValidatorSet, ValidatorSetError};
pub use verify::{VerifiedMessage, VerifyError, VoteCache, verify};
pub use vote::{JoinedVote, Suspect, Timeout, Vote, VoteKind, VoteShare};
