//! Outgrowing one machine: jobs on the machines of a cluster, through a folder that all of them see.
//!
//! ```text
//!  Scheduler ──► lane ──► inbox  ─────────► pilot (run_job) ──► caged worker
//!  (jobs)        lane ◄── outbox, results ◄─┘  one on each core that the cluster gives
//!                 │ start, look, end
//!                 ▼
//!               Fleet: Slurm, processes of this machine, or whatever starts pilots that join
//! ```
//!
//! A cluster takes tens of milliseconds to seconds to start a job of its own, a piece may take one. So each job of the cluster is a *pilot*: it
//! stays and takes many pieces. To a [`Scheduler`](crate::jobs::Scheduler) pilots are one more kind of [`Lanes`](crate::jobs::Lanes), beside
//! threads and processes: queues, fairness, memory, retries, logs and receipts are the same.
//!
//! Rules:
//! 1. Controller and pilot talk through files with one writer each; every record is sealed with a key that both have. No machine must reach
//!    another by network, and what was written while one of them was away is there when it comes back.
//! 2. A pilot lives once: started a second time under its name (requeued, or asked for twice), it leaves. Its pieces go to another.
//! 3. A pilot's word is checked as a worker's is: right segment, right input, an output that hashes to what its receipt says.
//! 4. A controller that comes back finds the pilots that stand, stops what they were at, and takes every result that is finished. A result that
//!    comes twice counts once: the first valid one.
//! 5. A pilot without a word of its controller leaves after a while; one without a sign of life is given up, ended and replaced.
//!    So is one that the cluster took back. That is nobody's failure, up to ten times for a segment.
//! 6. Memory is refused before anything runs ([`SubmitError::Memory`](crate::jobs::SubmitError)), stopped inside the module by the job's own limit, and
//!    outside by the worker's.
//!
//! Pilots do not need the file system to be fast, but to show appended bytes to others after `fsync` and a fresh `open`, as NFS does. The lock
//! of the one controller is `flock`.

mod children;
mod fleet;
mod lane;
mod link;
mod memory;
mod message;
mod pace;
mod pilot;
mod pilots;
mod reconcile;
mod seal;
mod slurm;
mod spool;
mod standing;
mod stored;

pub use children::{Children, PilotCommand};
pub use fleet::{Fleet, PilotState};
pub(crate) use lane::PilotLane;
pub use pilot::{PilotConfig, run_job};
pub(crate) use pilots::Stay;
pub use pilots::{Pilots, PilotsConfig};
pub use reconcile::Reconciled;
pub use seal::{Key, KeyError};
pub use slurm::{Slurm, SlurmConfig};
pub use spool::{KEY_VARIABLE, LOG, SpoolError, key_file, pilot_folder};
pub use standing::{Standing, join};
