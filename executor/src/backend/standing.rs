//! Pilots that something else starts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::fleet::{Fleet, PilotState};
use super::seal::{Key, random};
use super::spool::{Spool, SpoolError, io_error};
use crate::WorkerFailure;

/// Pilots that join by themselves ([`join`]), such as those of a Kubernetes job. They are judged by their own signs of life alone, and cannot be
/// asked for: work waits until one is there.
#[derive(Clone, Copy, Debug)]
pub struct Standing;

impl Fleet for Standing {
    fn is_joined(&self) -> bool {
        true
    }

    fn start(&self, name: &str) -> Result<(), WorkerFailure> {
        let reason = "pilots of this fleet join by themselves".to_owned();
        Err(WorkerFailure::Spawn { command: name.to_owned(), reason })
    }

    fn look(&self, _names: &BTreeSet<String>) -> Result<BTreeMap<String, PilotState>, String> {
        Ok(BTreeMap::new())
    }

    fn end(&self, _name: &str) -> Result<(), String> {
        Ok(())
    }
}

/// Makes a folder for a pilot that nobody asked for, and returns its name.
///
/// # Errors
/// [`SpoolError::Io`].
pub fn join(spool: &Path, key: &Key) -> Result<String, SpoolError> {
    let draw = random::<8>().map_err(io_error("draw a name in", spool))?;
    let name = format!("joined-{:016x}", u64::from_le_bytes(draw));
    let spool = Spool { folder: spool.to_owned(), key: key.clone() };
    // The controller sees it when it is complete.
    let hidden = format!(".{name}");
    spool.make_pilot(&hidden)?;
    let folder = spool.pilot(&name);
    std::fs::rename(spool.pilot(&hidden), &folder).map_err(io_error("name", &folder))?;
    Ok(name)
}
