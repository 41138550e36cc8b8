//! Where pilots come from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use crate::WorkerFailure;

/// What is known of a pilot by whoever started it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PilotState {
    /// Asked for; waiting for a machine.
    Waiting,
    /// On a machine.
    Running,
    /// Over, with the reason in the words of the system that ran it.
    Over(String),
}

/// Starts pilots somewhere: processes of this machine ([`super::Children`]), jobs of a cluster ([`super::Slurm`]).
///
/// A pilot is the command `run-job` with its spool and its name. Starting the same name twice is harmless: whoever comes second leaves.
pub trait Fleet: Send + Sync + Debug {
    /// Whether pilots join by themselves, and cannot be asked for.
    fn is_joined(&self) -> bool {
        false
    }

    /// Asks for a pilot. Its folder is there.
    ///
    /// # Errors
    /// [`WorkerFailure::Spawn`]. It may be asked for again under the same name.
    fn start(&self, name: &str) -> Result<(), WorkerFailure>;

    /// What is known of these pilots. One that is left out is judged by its own signs of life alone.
    ///
    /// # Errors
    /// Nobody can say now, in words.
    fn look(&self, names: &BTreeSet<String>) -> Result<BTreeMap<String, PilotState>, String>;

    /// Ends a pilot, waiting or running; one that is over already is fine.
    ///
    /// # Errors
    /// It could not be asked for, in words.
    fn end(&self, name: &str) -> Result<(), String>;
}
