//! Several jobs over one pool of lanes.
//!
//! ```text
//!  submit(job, weight, log) ──► queue ──► lanes: threads, caged processes or pilots ──► log ──► Event::Done
//!                                 ▲  deficit round robin in fuel, memory admission          │
//!                                 └──────── retry on a fresh worker, resume, back-pressure ─┘
//! ```
//!
//! - **Fair**: jobs share the lanes in fuel, in the ratio of their weights (a renter's price, say). See the module `queue`.
//! - **Bounded**: a job whose results nobody reads is not served further ([`UNREAD_MAX`], [`UNREAD_BYTES_MAX`]); submitting
//!   beyond [`SchedulerConfig::jobs_max`] is refused as busy; segments run only while their memory fits
//!   [`SchedulerConfig::memory_bytes`].
//! - **Grain**: segments that are shorter than about a millisecond are handed to a lane several at a time.
//! - **Errors**: what the program does is a receipt and final; what the machine does is tried again, on a fresh worker.
//! - **Crashes**: with a [`JobLog`], a result is durable before it is told, and [`log::replay`] gives back what is done.
//!
//! [`flow`] builds reductions and iterations out of such jobs, [`estimate`] what a job will cost.

pub mod estimate;
pub mod flow;
mod handle;
pub mod log;
mod queue;
mod scheduler;
mod state;

pub use handle::{JobHandle, Next};
pub use log::JobLog;
pub(crate) use scheduler::submit_alone;
pub use scheduler::{Lanes, Options, Progress, Scheduler, SchedulerConfig, SubmitError};

/// Results of a job that nobody has read yet, at which no further segments of it begin.
pub const UNREAD_MAX: usize = 1024;
/// The same in bytes of output.
pub const UNREAD_BYTES_MAX: usize = 64 << 20;
