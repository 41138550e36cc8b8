//! Pilots as processes of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::fleet::{Fleet, PilotState};
use super::seal::Key;
use super::spool::{self, KEY_VARIABLE};
use crate::WorkerFailure;

/// The command `run-job` of some program.
#[derive(Clone, Debug)]
pub struct PilotCommand {
    /// The program, at a path that is the same wherever pilots run.
    pub program: PathBuf,
    /// What comes before `--spool`, such as `["run-job"]`.
    pub args: Vec<OsString>,
    /// The spool's folder, at a path that is the same wherever pilots run.
    pub spool: PathBuf,
    /// The spool's key.
    pub key: Key,
}

impl PilotCommand {
    /// All arguments of one pilot.
    pub(super) fn args_of(&self, name: &str) -> Vec<OsString> {
        let own = ["--spool".into(), self.spool.clone().into(), "--name".into(), name.into()];
        self.args.iter().cloned().chain(own).collect()
    }
}

/// Pilots as processes of this machine: for trying things out, and for a crowd of machines that something else starts them on.
/// They outlive the controller, like those of a cluster.
#[derive(Debug)]
pub struct Children {
    command: PilotCommand,
    children: Mutex<BTreeMap<String, Child>>,
}

impl Children {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(command: PilotCommand) -> Self {
        Self { command, children: Mutex::default() }
    }

    /// The process of a pilot that this value started.
    #[must_use]
    pub fn pid(&self, name: &str) -> Option<u32> {
        let children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.get(name).map(Child::id)
    }
}

impl Fleet for Children {
    fn start(&self, name: &str) -> Result<(), WorkerFailure> {
        let failed = |error: std::io::Error| WorkerFailure::Spawn {
            command: self.command.program.display().to_string(),
            reason: error.to_string(),
        };
        let log = spool::pilot_folder(&self.command.spool, name).join(spool::LOG);
        let log = OpenOptions::new().create(true).append(true).open(log).map_err(failed)?;
        let child = Command::new(&self.command.program)
            .args(self.command.args_of(name))
            .env(KEY_VARIABLE, self.command.key.to_secret_text())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.insert(name.to_owned(), child);
        Ok(())
    }

    /// Says nothing of those that an earlier controller started.
    fn look(&self, names: &BTreeSet<String>) -> Result<BTreeMap<String, PilotState>, String> {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let state = |child: &mut Child| match child.try_wait() {
            Ok(None) => PilotState::Running,
            Ok(Some(status)) => PilotState::Over(status.to_string()),
            Err(error) => PilotState::Over(error.to_string()),
        };
        let own = children.iter_mut().filter(|(name, _)| names.contains(*name));
        Ok(own.map(|(name, child)| (name.clone(), state(child))).collect())
    }

    fn end(&self, name: &str) -> Result<(), String> {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut child) = children.remove(name) else { return Ok(()) };
        child.kill().and_then(|()| child.wait()).map(drop).map_err(|error| error.to_string())
    }
}
