//! A sans-I/O Byzantine fault-tolerant replicated log of opaque payloads, with a stable leader.
//!
//! # How to drive it
//! **Threads.** One thread owns the [`Core`]. Decoding ([`Message::decode`]) and [`verify()`] are pure and run
//! wherever the driver likes; [`Core::wants`] on the core's thread says beforehand what need not be verified.
//!
//! **Start.** Read the write-ahead log and feed every record to [`Recovered::apply`]; open the block log and give its
//! newest entry to [`Recovered::set_committed`]; `Core::new`; then one `step(now, Input::Tick, ..)`.
//!
//! **Each step.** Carry the outputs out in order:
//! - [`Output::Persist`]: append to the write-ahead log. Gather what several steps ask for, make it durable once if any
//!   of it says `sync`, then step [`Input::Persisted`] with the last number. Several may be in flight.
//! - [`Output::Send`]: hold it back until `Persisted` reached `after`; then hand it to the transport, which may lose,
//!   repeat and reorder messages but not invent them, and knows who sent what.
//! - [`Output::WantPayload`]: answer with [`Input::Payload`]; `draft: None` means "nothing now": the core asks again
//!   after the next `Work { pending: true }`.
//! - [`Output::Check`]: answer with [`Input::Checked`] at any time.
//! - [`Output::Commit`]: append the blocks with their certificates to the block log, make it durable, execute, then step
//!   [`Input::Applied`].
//! - [`Output::ServeBlocks`]: read the log, send [`Message::Blocks`].
//! - [`Output::TimerAt`]: step `Tick` then.
//!
//! **Work.** Every replica says [`Input::Work`] when it has something to order: the leader proposes then, and the others
//! watch that it does.
//!
//! **Rotation of the write-ahead log.** Write [`Core::durable_records`] to a new file, make it durable, step `Persisted`
//! with the last number handed out, drop the old file.

pub mod block;
pub mod certificate;
pub mod config;
mod core;
pub mod evidence;
pub mod input;
pub mod message;
pub mod output;
pub mod record;
pub mod validators;
pub mod verify;
pub mod vote;

pub use block::{AppRef, Block, Header, Payload, Proposal, Rank, genesis};
pub use certificate::{CertifiedHeader, CommittedBlock, Qc, Tc};
pub use config::{Config, StartError};
pub use core::{Core, Progress};
pub use evidence::Evidence;
pub use input::{Draft, Input, Millis};
pub use message::{Blocks, Message, PAYLOAD_BYTES_MAX};
pub use output::{Output, Outputs, To, WantPayload};
pub use record::{Record, Recovered, Seq};
pub use validators::{Seat, ValidatorSet, ValidatorSetError};
pub use verify::{VerifiedMessage, VerifyError, VoteCache, verify};
pub use vote::{Suspect, Timeout, Vote, VoteKind};
