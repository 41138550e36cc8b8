//! What runs on leased cores, and what came out.

use gongsuan_types::job::JobSpec;
use gongsuan_types::receipt::Receipt;
use gongsuan_types::{Hash, codec};
use serde::{Deserialize, Serialize};

use crate::node::blobs::BLOB_BYTES_MAX;

/// Bytes of a task, and of an answer, at most.
pub const TASK_BYTES_MAX: usize = BLOB_BYTES_MAX;

/// A job whose segments all run on the lease. The same job is the same task: asked for again, it is answered with what was found before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Task {
    /// What runs; its module and inputs are sealed to the provider under the hashes that it names.
    pub spec: JobSpec,
}

/// What a provider says of a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Every segment was run, and this is what each gave; the outputs are sealed to the renter under the hashes that the receipts name.
    Done(Vec<Receipt>),
    /// It cannot be run here, and why.
    Refused(String),
}

impl Task {
    /// Its name: the hash of its canonical bytes.
    #[must_use]
    pub fn id(&self) -> Hash {
        Hash::of_content(&codec::encode(self))
    }
}
