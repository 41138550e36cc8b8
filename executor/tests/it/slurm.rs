//! A real Slurm of one node: the suite that every backend passes, and deaths of everything that can die.
//!
//! Skipped where Slurm is not installed (`scripts/setup --slurm`) or this is not root; `SLURM_REQUIRED=1` makes that a failure.

#![expect(clippy::print_stderr, reason = "what is skipped is said")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use gongsuan_executor::backend::{
    Fleet, PilotCommand, PilotState, Pilots, PilotsConfig, Slurm, SlurmConfig, key_file,
};
use gongsuan_executor::jobs::{Lanes, Options, Scheduler, SchedulerConfig};
use gongsuan_executor::{Event, PoolError, WorkerFailure};
use gongsuan_types::Hash;

use crate::backends::{
    self, Kind, PROGRAM, kill, long, random, receipts, run, shared, suite, truth,
};
use crate::pilots::{a_controller_dies, parent, picture, until};
use crate::support::{start, wasm};

/// A Slurm of one node, ended with the value.
struct Cluster {
    folder: tempfile::TempDir,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/slurm")
}

impl Cluster {
    /// `None` where there can be none.
    fn up() -> Option<Self> {
        let required = std::env::var_os("SLURM_REQUIRED").is_some_and(|value| value == "1");
        let has = |program: &str| Command::new(program).arg("-V").output().is_ok();
        let is_root = std::fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t");
        if !(has("slurmctld") && has("munged") && is_root) {
            assert!(
                !required,
                "SLURM_REQUIRED=1, but Slurm is not installed or this is not root: run scripts/setup --slurm as root"
            );
            eprintln!(
                "SKIPPED: Slurm is not installed, or this is not root (scripts/setup --slurm installs it)"
            );
            return None;
        }
        // Its sockets have short paths; slurmd reads through every folder above.
        let folder = tempfile::Builder::new().prefix("gs").tempdir_in("/tmp").unwrap();
        let this = Self { folder };
        this.script("up");
        Some(this)
    }

    fn script(&self, command: &str) {
        let status = Command::new(script()).arg(command).arg(self.home()).status().unwrap();
        assert!(status.success(), "scripts/slurm {command}: {status}");
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("slurm")
    }

    fn conf(&self) -> PathBuf {
        self.home().join("slurm.conf")
    }

    /// One of Slurm's commands, with what it said on both ways.
    fn command(&self, words: &[&str]) -> String {
        let (program, args) = words.split_first().unwrap();
        let output = Command::new(program).args(args).env("SLURM_CONF", self.conf()).output();
        let output = output.unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    /// Numbers of the pilots that Slurm runs.
    fn running(&self) -> Vec<String> {
        let text = self.command(&["squeue", "--noheader", "--states=RUNNING", "--format=%A"]);
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn kill_daemon(&self, name: &str) {
        let pid = std::fs::read_to_string(self.home().join(format!("{name}.pid"))).unwrap();
        kill(pid.trim().parse().unwrap());
    }

    fn slurm(&self, memory_mib: u64) -> (PilotsConfig, Arc<Slurm>) {
        let spool = self.folder.path().join("spool");
        let key = key_file(&self.folder.path().join("key")).unwrap();
        let command = PilotCommand {
            program: PROGRAM.into(),
            args: vec!["run-job".into()],
            spool: spool.clone(),
            key: key.clone(),
        };
        let config =
            SlurmConfig { memory_mib, conf: Some(self.conf()), ..SlurmConfig::new(command) };
        (backends::config(PilotsConfig::new(spool, key)), Arc::new(Slurm::new(config)))
    }

    fn open(&self) -> Arc<Pilots> {
        let (config, fleet) = self.slurm(1024);
        Pilots::open(config, fleet as Arc<dyn Fleet>).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Also after a test that failed: nothing of it stays.
        let status = Command::new(script()).arg("down").arg(self.home()).status();
        if !std::thread::panicking() {
            assert!(status.unwrap().success());
        }
    }
}

fn scheduler(pilots: Arc<Pilots>) -> Scheduler {
    Scheduler::start(SchedulerConfig::new(Lanes::Pilots(pilots))).unwrap()
}

/// One cluster for all: starting one takes longer than most of what is asked of it.
#[test]
fn slurm_passes_and_survives_deaths() {
    let Some(cluster) = Cluster::up() else { return };
    let (config, fleet) = cluster.slurm(1024);
    let lanes = move || {
        Lanes::Pilots(Pilots::open(config.clone(), Arc::clone(&fleet) as Arc<dyn Fleet>).unwrap())
    };
    suite(&Kind { lanes: Box::new(lanes), processes: true });
    until("an empty queue", || cluster.running().is_empty());
    a_pilot_dies_is_taken_back_and_requeued(&cluster);
    the_nodes_daemon_dies(&cluster);
    the_controller_dies(&cluster);
    memory_is_enforced(&cluster);
    what_slurm_refuses_fails_the_job(&cluster);
}

/// The number of the Slurm job that a worker belongs to.
fn slurm_job(worker: u32) -> String {
    let environment = std::fs::read(format!("/proc/{}/environ", parent(worker))).unwrap();
    let mut variables = environment.split(|byte| *byte == 0);
    let number = variables.find_map(|variable| variable.strip_prefix(b"SLURM_JOB_ID="));
    String::from_utf8(number.unwrap().to_vec()).unwrap()
}

fn a_pilot_dies_is_taken_back_and_requeued(cluster: &Cluster) {
    let scheduler = scheduler(cluster.open());
    let job = long(20_000_000, 8);
    let (mut stood, mut requeued, mut lost) = (0, String::new(), Vec::new());
    let handle = scheduler.submit(job.clone(), Options::default()).unwrap();
    let end = handle.wait(&mut |event| match event {
        Event::Worker { pid, .. } => {
            stood += 1;
            match stood {
                1 => kill(parent(pid)),
                2 => drop(cluster.command(&["scancel", &slurm_job(pid)])),
                3 => requeued = cluster.command(&["scontrol", "requeue", &slurm_job(pid)]),
                _ => {}
            }
        }
        Event::Retried { why, .. } => lost.push(why),
        Event::Refused(_) | Event::Done(_) | _ => {}
    });
    assert_eq!(end.unwrap(), receipts(&truth(&job)));
    assert!(stood >= 3, "{stood}");
    assert!(!lost.is_empty(), "nothing was lost");
    assert!(lost.iter().all(|why| matches!(why, WorkerFailure::Lost { .. })), "{lost:?}");
    // Slurm does not put a pilot back by itself, and says no to an operator who asks.
    assert!(requeued.contains("disabled"), "{requeued}");
}

fn the_nodes_daemon_dies(cluster: &Cluster) {
    let scheduler = scheduler(cluster.open());
    let job = long(20_000_000, 8);
    let mut begun = false;
    let handle = scheduler.submit(job.clone(), Options::default()).unwrap();
    let (mut workers, mut retried) = (0, Vec::new());
    let end = handle.wait(&mut |event| match event {
        Event::Worker { .. } => {
            workers += 1;
            if !begun {
                begun = true;
                cluster.kill_daemon("slurmd");
                cluster.script("node");
            }
        }
        Event::Retried { why, .. } => retried.push(why),
        Event::Refused(_) | Event::Done(_) | _ => {}
    });
    assert_eq!(end.unwrap(), receipts(&truth(&job)));
    // The pilots went on as if nothing had happened.
    assert!(workers <= 2 && retried.is_empty(), "{workers} {retried:?}");
}

fn the_controller_dies(cluster: &Cluster) {
    a_controller_dies(cluster.folder.path(), "slurm", &[("SLURM_CONF", &cluster.conf())]);
    let before: BTreeSet<String> = cluster.running().into_iter().collect();
    let pilots = cluster.open();
    let found = pilots.reconciled();
    assert_eq!((found.kept, found.lost), (2, 0));
    assert!(found.results > 0, "{found:?}");
    let scheduler = scheduler(Arc::clone(&pilots));
    let job = picture();
    let (end, outputs, _) = run(&scheduler, &job);
    let expected = truth(&job);
    assert_eq!(end.unwrap(), receipts(&expected));
    assert_eq!(outputs, expected);
    assert_eq!(pilots.taken(), found.results as u64);
    // The same jobs of Slurm, and no other.
    assert_eq!(cluster.running().into_iter().collect::<BTreeSet<_>>(), before);
}

/// A piece within its own limit and beyond what Slurm gave the pilot: the kernel ends the worker, the job fails with that reason, and the pilot
/// runs the next one.
fn memory_is_enforced(cluster: &Cluster) {
    if std::fs::read_to_string(cluster.conf()).unwrap().contains("task/none") {
        let required = std::env::var_os("SLURM_REQUIRED").is_some_and(|value| value == "1");
        assert!(!required, "SLURM_REQUIRED=1, but this kernel has no cgroups of version 1");
        eprintln!("SKIPPED: memory under Slurm is not enforced on this kernel");
        return;
    }
    let (mut config, fleet) = cluster.slurm(150);
    (config.pilots, config.memory_bytes) = (1, 2 << 30);
    let scheduler = scheduler(Pilots::open(config, fleet as Arc<dyn Fleet>).unwrap());
    let body = "(local $at i32) (drop (memory.grow (i32.const 9000)))
         (loop $l (i32.store (local.get $at) (i32.const 1))
           (br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4096))) (i32.const 500000000))))";
    let mut greedy = shared("", 1);
    greedy.module = wasm(&start(body).replace("1 100)", "1 10000)")).into();
    greedy.spec.module = Hash::of_content(&greedy.module);
    greedy.spec.limits.memory_pages = 10_000;
    greedy.spec.limits.fuel.0 = 4_000_000_000;
    let (end, _, workers) = run(&scheduler, &greedy);
    let Err(PoolError::Worker { attempts: 2, last, .. }) = end else { panic!("{end:?}") };
    assert!(matches!(last, WorkerFailure::OutOfMemory { .. }), "{last}");
    assert_eq!(workers, 2);
    let before = cluster.running();
    let job = random(10, 40);
    assert_eq!(run(&scheduler, &job).0.unwrap(), receipts(&truth(&job)));
    assert_eq!((before.len(), cluster.running()), (1, before), "the pilot fell");
}

fn what_slurm_refuses_fails_the_job(cluster: &Cluster) {
    let (config, _) = cluster.slurm(1024);
    let command = PilotCommand {
        program: PROGRAM.into(),
        args: vec!["run-job".into()],
        spool: config.spool.clone(),
        key: config.key.clone(),
    };
    let slurm = Arc::new(Slurm::new(SlurmConfig {
        conf: Some(cluster.conf()),
        partition: Some("nowhere".to_owned()),
        ..SlurmConfig::new(command)
    }));
    let names: BTreeSet<String> = ["gongsuan-unknown".to_owned()].into();
    let state = &slurm.look(&names).unwrap()["gongsuan-unknown"];
    assert_eq!(*state, PilotState::Over("Slurm does not know it".to_owned()));
    let scheduler = scheduler(Pilots::open(config, slurm as Arc<dyn Fleet>).unwrap());
    let (end, _, _) = run(&scheduler, &random(1, 1));
    let Err(PoolError::Worker { last, .. }) = end else { panic!("{end:?}") };
    assert!(last.to_string().contains("invalid partition"), "{last}");
}
