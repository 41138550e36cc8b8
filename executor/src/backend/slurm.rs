//! Pilots as jobs of Slurm, through its commands: `sbatch`, `squeue`, `scancel`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::children::PilotCommand;
use super::fleet::{Fleet, PilotState};
use super::spool::{self, KEY_VARIABLE};
use crate::WorkerFailure;

/// How pilots are asked for.
#[derive(Clone, Debug)]
pub struct SlurmConfig {
    /// What runs on the machines of the cluster.
    pub command: PilotCommand,
    /// Memory of one pilot with its worker, in MiB: what Slurm enforces where it is configured to (`task/cgroup`).
    pub memory_mib: u64,
    /// How long a pilot may stay, in minutes; it is replaced then. `None` leaves it to the partition.
    pub time_limit_min: Option<u32>,
    /// The partition; `None` leaves it to Slurm.
    pub partition: Option<String>,
    /// More options of `sbatch`, such as `--account=idle`.
    pub options: Vec<OsString>,
    /// Slurm's configuration file, where it is not the system's.
    pub conf: Option<PathBuf>,
}

impl SlurmConfig {
    /// Pilots of 2 GiB in the default partition.
    #[must_use]
    pub fn new(command: PilotCommand) -> Self {
        Self {
            command,
            memory_mib: 2048,
            time_limit_min: None,
            partition: None,
            options: Vec::new(),
            conf: None,
        }
    }
}

/// Pilots as jobs of Slurm, one core each.
///
/// They are known by their names, which are drawn before they are asked for. So a controller that died between asking and hearing the number finds
/// them all the same, and no file says which job of Slurm is which.
#[derive(Debug)]
pub struct Slurm {
    config: SlurmConfig,
}

impl Slurm {
    /// Asks for nothing yet.
    #[must_use]
    pub fn new(config: SlurmConfig) -> Self {
        Self { config }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if let Some(conf) = &self.config.conf {
            command.env("SLURM_CONF", conf);
        }
        command
    }

    fn script(&self, name: &str) -> Vec<u8> {
        let mut script = b"#!/bin/sh\nexec".to_vec();
        let program = self.config.command.program.as_os_str().to_owned();
        for word in std::iter::once(program).chain(self.config.command.args_of(name)) {
            script.push(b' ');
            script.extend(quoted(&word));
        }
        script.push(b'\n');
        script
    }
}

impl Fleet for Slurm {
    fn start(&self, name: &str) -> Result<(), WorkerFailure> {
        let SlurmConfig { command: PilotCommand { spool, key, .. }, memory_mib, .. } = &self.config;
        let log = spool::pilot_folder(spool, name).join(spool::LOG);
        let mut output = OsString::from("--output=");
        output.push(&log);
        let mut sbatch = self.command("sbatch");
        sbatch
            .args(["--parsable", "--no-requeue", "--ntasks=1", "--cpus-per-task=1"])
            .args(["--open-mode=append", "--chdir=/"])
            .arg(format!("--job-name={name}"))
            .arg(format!("--mem={memory_mib}M"))
            // The key travels in the job's environment, which Slurm shows to the job's owner alone; nothing else of ours does.
            .arg(format!("--export={KEY_VARIABLE}"))
            .arg(output)
            .env(KEY_VARIABLE, key.to_secret_text());
        if let Some(minutes) = self.config.time_limit_min {
            sbatch.arg(format!("--time={minutes}"));
        }
        if let Some(partition) = &self.config.partition {
            sbatch.arg(format!("--partition={partition}"));
        }
        sbatch.args(&self.config.options);
        run(&mut sbatch, &self.script(name))
            .map(drop)
            .map_err(|reason| WorkerFailure::Spawn { command: "sbatch".to_owned(), reason })
    }

    /// One that Slurm does not list is over: it forgets jobs minutes after their end.
    fn look(&self, names: &BTreeSet<String>) -> Result<BTreeMap<String, PilotState>, String> {
        let mut squeue = self.command("squeue");
        let own = rustix::process::getuid().as_raw();
        squeue.arg(format!("--user={own}"));
        squeue.args(["--noheader", "--states=all", "--format=%j|%T|%r"]);
        let text = run(&mut squeue, &[])?;
        let mut states: BTreeMap<String, PilotState> = names
            .iter()
            .map(|name| (name.clone(), PilotState::Over("Slurm does not know it".to_owned())))
            .collect();
        for line in text.lines() {
            let mut parts = line.trim().splitn(3, '|');
            let (Some(name), Some(word)) = (parts.next(), parts.next()) else { continue };
            if let Some(state) = states.get_mut(name) {
                // Of a name that was asked for twice, the one that is not over counts.
                let new = meaning(word, parts.next().unwrap_or_default());
                if matches!(state, PilotState::Over(_)) || matches!(new, PilotState::Running) {
                    *state = new;
                }
            }
        }
        Ok(states)
    }

    fn end(&self, name: &str) -> Result<(), String> {
        let mut scancel = self.command("scancel");
        run(scancel.arg("--quiet").arg(format!("--name={name}")), &[]).map(drop)
    }
}

/// What a state of Slurm's means for a pilot.
fn meaning(state: &str, reason: &str) -> PilotState {
    match state {
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_FED" | "RESV_DEL_HOLD" => {
            PilotState::Waiting
        }
        // A suspended pilot shows no signs of life, and is given up when that takes too long.
        "RUNNING" | "SUSPENDED" | "STOPPED" | "RESIZING" | "SIGNALING" | "STAGE_OUT" => {
            PilotState::Running
        }
        // COMPLETING, COMPLETED, CANCELLED, FAILED, TIMEOUT, DEADLINE, PREEMPTED, NODE_FAIL, BOOT_FAIL, OUT_OF_MEMORY, REVOKED,
        // held after a failed launch (REQUEUE_HOLD, SPECIAL_EXIT), and whatever Slurm may invent.
        other if reason == "None" || reason.is_empty() => PilotState::Over(other.to_owned()),
        other => PilotState::Over(format!("{other} ({reason})")),
    }
}

/// Runs a command to its end; its output, or its last words.
fn run(command: &mut Command, input: &[u8]) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |error: std::io::Error| format!("{program}: {error}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut to) = child.stdin.take() {
        // One that ends without reading says why.
        let _ = to.write_all(input);
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} ended with {}: {}", output.status, words.trim()))
}

/// A word of a shell script that means itself.
fn quoted(word: &OsStr) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let mut text = vec![b'\''];
    for &byte in word.as_bytes() {
        if byte == b'\'' {
            text.extend(b"'\\''");
        } else {
            text.push(byte);
        }
    }
    text.push(b'\'');
    text
}

#[cfg(test)]
mod tests {
    use super::super::seal::Key;
    use super::*;

    #[test]
    fn a_script_names_the_pilot_and_survives_odd_paths() {
        let command = PilotCommand {
            program: "/opt/it's here/gongsuan".into(),
            args: vec!["run-job".into()],
            spool: "/shared/$HOME".into(),
            key: Key::draw().unwrap(),
        };
        let secret = command.key.to_secret_text();
        let script = Slurm::new(SlurmConfig::new(command)).script("gongsuan-1");
        let script = String::from_utf8(script).unwrap();
        assert!(!script.contains(&secret));
        let expected = "exec '/opt/it'\\''s here/gongsuan' 'run-job' '--spool' '/shared/$HOME' '--name' 'gongsuan-1'\n";
        assert_eq!(script, format!("#!/bin/sh\n{expected}"));
    }

    #[test]
    fn states_of_slurm_are_told_apart() {
        assert_eq!(meaning("PENDING", "Resources"), PilotState::Waiting);
        assert_eq!(meaning("RUNNING", "None"), PilotState::Running);
        let over = |text: &str| PilotState::Over(text.to_owned());
        assert_eq!(meaning("NODE_FAIL", "None"), over("NODE_FAIL"));
        assert_eq!(meaning("FAILED", "NonZeroExitCode"), over("FAILED (NonZeroExitCode)"));
        assert_eq!(meaning("OUT_OF_MEMORY", "OutOfMemory"), over("OUT_OF_MEMORY (OutOfMemory)"));
    }
}
