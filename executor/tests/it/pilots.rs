//! Controllers and pilots that die: with pilots of this machine, so that it runs everywhere.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gongsuan_executor::backend::{
    Children, Fleet, KEY_VARIABLE, Key, PilotCommand, PilotState, Pilots, PilotsConfig, SpoolError,
    Standing, key_file,
};
use gongsuan_executor::guests::{RAYTRACE, RaytraceScene};
use gongsuan_executor::jobs::{Lanes, Next, Options, Scheduler, SchedulerConfig, SubmitError};
use gongsuan_executor::{Event, Inputs, Job, PoolError, WorkerFailure};
use gongsuan_types::Hash;

use crate::backends::{PROGRAM, children, kill, long, random, receipts, run, truth};

/// What the program's controller runs.
pub(crate) fn picture() -> Job {
    let scene = RaytraceScene { width: 64, height: 40, samples: 1, ..RaytraceScene::default() };
    let spec = scene.to_job(Hash::ZERO);
    Job {
        module: RAYTRACE.into(),
        segments: (0..spec.segment_count()).collect(),
        inputs: Inputs::Shared(scene.to_input().into()),
        spec,
    }
}

fn open(config: &PilotsConfig, fleet: &Arc<Children>) -> Arc<Pilots> {
    Pilots::open(config.clone(), Arc::clone(fleet) as Arc<dyn Fleet>).unwrap()
}

fn scheduler(pilots: &Arc<Pilots>) -> Scheduler {
    Scheduler::start(SchedulerConfig::new(Lanes::Pilots(Arc::clone(pilots)))).unwrap()
}

/// The process that a worker belongs to.
pub(crate) fn parent(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    line.trim().parse().unwrap()
}

/// Whether a process runs; one that nobody has waited for does not.
fn lives(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_some_and(|state| !state.trim().starts_with(['Z', 'X']))
}

/// Waits for something that must come.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(2);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: it did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_killed_pilots_pieces_go_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let (config, fleet) = children(folder.path());
    let scheduler = scheduler(&open(&config, &fleet));
    let job = long(150_000_000, 1);
    let (mut victims, mut retried) = (BTreeSet::new(), Vec::new());
    let handle = scheduler.submit(job.clone(), Options::default()).unwrap();
    let end = handle.wait(&mut |event| match event {
        Event::Worker { pid, .. } if victims.len() < 4 => {
            let pilot = parent(pid);
            kill(pilot);
            victims.insert(pilot);
        }
        Event::Retried { why, .. } => retried.push(why),
        Event::Worker { .. } | Event::Refused(_) | Event::Done(_) | _ => {}
    });
    assert_eq!(end.unwrap(), receipts(&truth(&job)));
    assert_eq!(victims.len(), 4);
    // A worker's own failure would be forgiven once.
    assert!(retried.len() >= 2, "{retried:?}");
    assert!(retried.iter().all(|why| matches!(why, WorkerFailure::Lost { .. })), "{retried:?}");
    assert!(!victims.into_iter().any(lives));
}

/// Starts a controller as a process of its own, kills it when some pieces are done, and waits until one is finished that it cannot take.
pub(crate) fn a_controller_dies(folder: &Path, fleet: &str, env: &[(&str, &Path)]) {
    let mut controller = Command::new(PROGRAM)
        .arg("controller")
        .args([folder.join("spool"), folder.join("key")])
        .arg(fleet)
        .envs(env.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(controller.stdout.take().unwrap()).lines().take(8);
    let told: BTreeSet<String> = lines.map(Result::unwrap).collect();
    assert_eq!(told.len(), 8);
    kill(controller.id());
    controller.wait().unwrap();
    until("a result without a controller", || {
        let files = names(&folder.join("spool"))
            .into_iter()
            .flat_map(|name| std::fs::read_dir(folder.join("spool/pilots").join(name)).unwrap());
        let mut files = files.map(Result::unwrap);
        files.any(|file| {
            let name = file.file_name().into_string().unwrap();
            name.starts_with("result.") && file.metadata().unwrap().len() > 0
        })
    });
}

#[test]
fn a_controller_that_comes_back_finds_its_pilots_and_takes_what_they_finished() {
    let folder = tempfile::tempdir().unwrap();
    a_controller_dies(folder.path(), "children", &[]);
    // It may have died between two files of its job.
    let half = folder.path().join("spool/jobs").join(picture().spec.id().to_string());
    std::fs::create_dir_all(&half).unwrap();
    std::fs::write(half.join("module"), RAYTRACE).unwrap();
    drop(std::fs::remove_file(half.join("input")));
    let (config, fleet) = children(folder.path());
    let pilots = open(&config, &fleet);
    let found = pilots.reconciled();
    assert_eq!((found.kept, found.lost), (2, 0));
    assert!(found.results > 0, "{found:?}");
    let scheduler = scheduler(&pilots);
    let job = picture();
    let (end, outputs, _) = run(&scheduler, &job);
    let expected = truth(&job);
    assert_eq!(end.unwrap(), receipts(&expected));
    assert_eq!(outputs, expected);
    // What was finished was not run again, and nobody was started: the pilots are those of the first controller.
    assert_eq!(pilots.taken(), found.results as u64);
    assert_eq!(fleet.look(&names(&config.spool)).unwrap(), Default::default());
}

fn names(spool: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(spool.join("pilots")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_spool_has_one_controller() {
    let folder = tempfile::tempdir().unwrap();
    let (config, fleet) = children(folder.path());
    let first = open(&config, &fleet);
    let second = Pilots::open(config.clone(), Arc::clone(&fleet) as Arc<dyn Fleet>);
    assert!(matches!(second, Err(SpoolError::Locked { .. })), "{second:?}");
    drop(first);
    open(&config, &fleet);
}

#[test]
fn a_pilot_that_is_started_twice_leaves_and_disturbs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (config, fleet) = children(folder.path());
    let scheduler = scheduler(&open(&config, &fleet));
    let job = random(3_000_000, 6);
    let mut second = None;
    let handle = scheduler.submit(job.clone(), Options::default()).unwrap();
    let end = handle.wait(&mut |event| {
        if matches!(event, Event::Worker { .. }) && second.is_none() {
            let name = names(&config.spool).into_iter().next().unwrap();
            let args = ["run-job".into(), "--spool".into(), config.spool.clone().into_os_string()];
            let mut again = Command::new(PROGRAM);
            again.args(args).args(["--name", &name]);
            second = Some(again.env(KEY_VARIABLE, config.key.to_secret_text()).output().unwrap());
        }
    });
    assert_eq!(end.unwrap(), receipts(&truth(&job)));
    let second = second.unwrap();
    let words = String::from_utf8(second.stderr).unwrap();
    assert!(words.contains("started before"), "{words}");
    assert!(!second.status.success());
}

#[test]
fn a_pilot_with_another_key_is_not_heard() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, _) = children(folder.path());
    config.silence_max = Duration::from_millis(100);
    let command = PilotCommand {
        program: PROGRAM.into(),
        args: vec!["run-job".into()],
        spool: config.spool.clone(),
        key: Key::draw().unwrap(),
    };
    let fleet = Arc::new(Children::new(command));
    let scheduler = scheduler(&open(&config, &fleet));
    let handle = scheduler.submit(random(1, 1), Options::default()).unwrap();
    let end = handle.wait(&mut |event| assert!(!matches!(event, Event::Done(_)), "{event:?}"));
    let Err(PoolError::Worker { last, .. }) = end else { panic!("{end:?}") };
    assert!(last.to_string().contains("says nothing that counts"), "{last}");
}

#[test]
fn work_waits_for_pilots_that_join_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = children(folder.path());
    let pilots = Pilots::open(config.clone(), Arc::new(Standing)).unwrap();
    let scheduler = scheduler(&pilots);
    let job = random(10, 40);
    let handle = scheduler.submit(job.clone(), Options::default()).unwrap();
    assert!(matches!(handle.poll(Duration::from_millis(100)), Next::Nothing));
    let mut pilot = Command::new(PROGRAM);
    pilot.arg("run-job").arg("--spool").arg(&config.spool);
    let mut pilot = pilot.env(KEY_VARIABLE, config.key.to_secret_text()).spawn().unwrap();
    assert_eq!(handle.wait(&mut |_| {}).unwrap(), receipts(&truth(&job)));
    drop(scheduler);
    // Ordered to end, and gone without a trace.
    assert!(pilot.wait().unwrap().success());
    assert_eq!(names(&config.spool).len(), 0);
}

#[test]
fn pilots_that_do_not_start_fail_the_job_with_their_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = children(folder.path());
    let fleet = |program: &str, args: Vec<std::ffi::OsString>| {
        let spool = config.spool.clone();
        let command =
            PilotCommand { program: program.into(), args, spool, key: config.key.clone() };
        Arc::new(Children::new(command))
    };
    let failure = |fleet| {
        let scheduler = scheduler(&open(&config, &fleet));
        match run(&scheduler, &random(1, 1)).0 {
            Err(PoolError::Worker { last, .. }) => last.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let absent = failure(fleet("/nowhere/at/all", vec![]));
    assert!(absent.starts_with("/nowhere/at/all does not start"), "{absent}");
    let args = ["-c".into(), "echo no licence >&2; exit 3".into()].to_vec();
    let died = failure(fleet("/bin/sh", args));
    assert!(died.contains("exit status: 3") && died.contains("no licence"), "{died}");
}

#[test]
fn a_piece_that_no_pilot_could_hold_is_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, fleet) = children(folder.path());
    config.memory_bytes = (256 << 20) + 4 * 65_536;
    let scheduler = scheduler(&open(&config, &fleet));
    let mut job = random(1, 1);
    job.spec.limits.memory_pages = 5;
    let error = scheduler.submit(job, Options::default()).unwrap_err();
    assert_eq!(error, SubmitError::Memory { limit: 4 * 65_536, got: 5 * 65_536 });
    assert_eq!(names(&config.spool).len(), 0);
}

#[test]
fn pilots_without_work_are_let_go_and_started_again_for_the_next_job() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, fleet) = children(folder.path());
    (config.idle_max, config.pilots) = (Duration::from_millis(1), 1);
    let scheduler = scheduler(&open(&config, &fleet));
    let job = random(10, 4);
    let mut pids = BTreeSet::new();
    for _ in 0..2 {
        let handle = scheduler.submit(job.clone(), Options::default()).unwrap();
        let end = handle.wait(&mut |event| {
            if let Event::Worker { pid, .. } = event {
                pids.insert(parent(pid));
            }
        });
        assert_eq!(end.unwrap(), receipts(&truth(&job)));
        for pid in &pids {
            until("the end of a pilot without work", || !lives(*pid));
        }
    }
    assert_eq!(pids.len(), 2);
}

#[test]
fn a_key_file_is_drawn_once_and_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below/key");
    let key = key_file(&path).unwrap();
    assert_eq!(key_file(&path).unwrap(), key);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&path, "no key").unwrap();
    assert!(matches!(key_file(&path), Err(SpoolError::Key { .. })));
}

#[test]
fn a_fleet_says_how_its_pilots_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (config, fleet) = children(folder.path());
    std::fs::create_dir_all(config.spool.join("pilots/one")).unwrap();
    fleet.start("one").unwrap();
    // Its folder has no files: it makes them and stays.
    let names: BTreeSet<String> = ["one".to_owned(), "other".to_owned()].into();
    assert_eq!(fleet.look(&names).unwrap(), [("one".to_owned(), PilotState::Running)].into());
    kill(fleet.pid("one").unwrap());
    until("its end", || matches!(&fleet.look(&names).unwrap()["one"], PilotState::Over(_)));
    fleet.end("one").unwrap();
    fleet.end("one").unwrap();
}
