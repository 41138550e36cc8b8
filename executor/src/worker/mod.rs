//! Isolated child processes for strangers' modules.
//!
//! ```text
//!  Pool (parent)                          serve() (child)
//!    spawn command ────────────────────►  die with the parent; rlimits; landlock; seccomp
//!                  ◄──── Hello{protections}
//!    Job{engine, spec} + shared input ──►
//!                  ◄──── Missing          (unless the child has the module from an earlier job)
//!    Module + its bytes ────────────────► meter, compile
//!                  ◄──── Ready │ Refused
//!    Run{segment} [+ input] ────────────► run_segment
//!                  ◄──── Done{receipt} + output + log
//!    (closes the pipe) ─────────────────► exit
//! ```
//!
//! Rules:
//! 1. The child gives up files, sockets, programs and core dumps *before* it reads a byte of the job.
//! 2. It reports which protections hold; the parent passes this on as [`Event::Worker`] and can insist on them
//!    ([`PoolConfig::require`]). A missing protection is said loudly, never silently.
//! 3. Death, silence beyond the deadline, or an answer out of protocol kills the child; its segment is tried once more
//!    on a fresh one.
//! 4. A child ends when its standard input ends, and where the kernel allows when its parent dies.
//!
//! The parent never parses the module. What the child answers is bounded and checked: right segment, right input,
//! output within the limit and hashing to what the receipt says.

mod cage;
mod frame;
mod lane;
mod line;
mod parent;
mod serve;

pub use cage::{Protections, enter_cage};
pub(crate) use lane::{ProcessLane, check, refuse_too_large};
pub(crate) use parent::ATTEMPTS_MAX;
pub use parent::{Pool, PoolConfig};
pub use serve::serve;

#[expect(unused_imports, reason = "for the documentation above")]
use crate::Event;
