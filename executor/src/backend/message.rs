//! What a controller and a pilot tell each other.

use gongsuan_types::Hash;
use gongsuan_types::job::JobSpec;
use serde::{Deserialize, Serialize};

use crate::worker::Protections;
use crate::{ModuleError, WorkerFailure};

/// Changes with every change of a message.
pub(super) const PROTOCOL: u16 = 1;

/// What the controller writes into a pilot's `inbox`.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(super) enum Order {
    /// Run these segments; their results go to `result.<task>`. Where the job has no shared input, `input.<task>` holds each segment's own.
    Run { task: u64, job: Hash, spec: Box<JobSpec>, segments: Vec<u32>, shared_input: bool },
    /// Stop a task at once. One that is over already stays as it is.
    Cancel { task: u64 },
    /// The controller lives.
    Beat,
    /// Say [`Report::Pong`] when everything before this is over.
    Ping { number: u64 },
    /// End.
    End,
}

/// What a pilot writes into its `outbox`.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(super) enum Report {
    /// It stands. The first record; there is never a second one.
    Hello { protocol: u16, host: String, pid: u32 },
    /// It lives.
    Beat,
    /// A worker process stands.
    Worker { pid: u32, protections: Protections },
    /// The module may not run: the task's segments say so.
    Refused { task: u64, error: ModuleError },
    /// Nothing further comes of a task; what came before is in its results.
    Over { task: u64, end: TaskEnd },
    /// Everything before this ping is over.
    Pong { number: u64 },
    /// The pilot ends.
    Leaving { why: String },
}

/// How a task ended.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(super) enum TaskEnd {
    /// Every segment has a result.
    Done,
    /// The controller stopped it.
    Cancelled,
    /// This machine failed at the first segment without a result.
    Failed(WorkerFailure),
}
