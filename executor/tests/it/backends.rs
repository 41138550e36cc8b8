//! One suite that every backend passes: threads, caged processes, pilots. Slurm's pilots pass it in [`crate::slurm`].

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use gongsuan_executor::backend::{Children, Fleet, PilotCommand, Pilots, PilotsConfig, key_file};
use gongsuan_executor::jobs::{
    Lanes, Next, Options, Scheduler, SchedulerConfig, SubmitError, UNREAD_MAX,
};
use gongsuan_executor::worker::PoolConfig;
use gongsuan_executor::{
    Cancel, EngineKind, Event, InProcess, Inputs, Job, PoolError, Program, SegmentOutput,
    WorkerFailure, default_engine, run_segment,
};
use gongsuan_types::Hash;
use gongsuan_types::job::{MapInput, SEGMENT_FUEL_MAX, Shape};
use gongsuan_types::receipt::{Receipt, Status, Trap};

use crate::support::{job, start, wasm};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_gongsuan-executor-worker");

/// A job whose segments read the same.
pub(crate) fn shared(body: &str, segments: u32) -> Job {
    let module = wasm(&start(body));
    let input = b"input".as_slice();
    let mut spec = job(&module, input);
    spec.shape = Shape::Map { segments, input: MapInput::Shared(Hash::of_content(input)) };
    let segments = (0..segments).collect();
    Job { module: module.into(), spec, segments, inputs: Inputs::Shared(input.into()) }
}

/// Each segment writes eight bytes of its own randomness, after so many rounds of work.
pub(crate) fn random(rounds: u32, segments: u32) -> Job {
    let body = format!(
        "(local $i i32) (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {rounds}))))
         (drop (call $random_get (i32.const 100) (i32.const 8))) (call $put (i32.const 100) (i32.const 8))"
    );
    shared(&body, segments)
}

/// The same with segments that take so many rounds that whoever is killed at their beginning is at them.
pub(crate) fn long(rounds: u32, segments: u32) -> Job {
    let mut job = random(rounds, segments);
    job.spec.limits.fuel = SEGMENT_FUEL_MAX;
    job
}

/// Each segment writes what it reads, and each reads something else.
fn echo(segments: u32) -> Job {
    let mut job = shared(
        "(i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 100))
         (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
         (call $put (i32.const 100) (i32.load (i32.const 8)))",
        segments,
    );
    let inputs: BTreeMap<u32, Arc<[u8]>> =
        (0..segments).map(|n| (n, format!("input {n}").into_bytes().into())).collect();
    let index: Vec<u8> = inputs.values().flat_map(|input| Hash::of_content(input).0).collect();
    let input = MapInput::Each(Hash::of_content(&index));
    job.spec.shape = Shape::Map { segments, input };
    job.inputs = Inputs::Each(inputs);
    job
}

/// What every backend must give: each segment run here, with nothing around it.
pub(crate) fn truth(job: &Job) -> Vec<SegmentOutput> {
    let program = Program::load(EngineKind::Wasmi, &job.module).unwrap();
    let segments = job.segments.iter();
    let run = |&n| run_segment(&program, &job.spec, n, job.inputs.of(n).unwrap()).unwrap();
    segments.map(run).collect()
}

pub(crate) fn receipts(outputs: &[SegmentOutput]) -> Vec<Receipt> {
    outputs.iter().map(|done| done.receipt).collect()
}

/// Runs a job and returns its receipts, its outputs by segment, and the workers that stood up for it.
pub(crate) fn run(
    scheduler: &Scheduler,
    job: &Job,
) -> (Result<Vec<Receipt>, PoolError>, Vec<SegmentOutput>, usize) {
    let (mut outputs, mut workers) = (Vec::new(), 0);
    let handle = scheduler.submit(job.clone(), Options::default()).unwrap();
    let end = handle.wait(&mut |event| match event {
        Event::Done(done) => outputs.push(done),
        Event::Worker { .. } => workers += 1,
        Event::Refused(_) | Event::Retried { .. } | _ => {}
    });
    outputs.sort_by_key(|done| done.receipt.segment);
    (end, outputs, workers)
}

/// What a suite needs to know of a backend.
pub(crate) struct Kind {
    /// Its lanes, anew.
    pub(crate) lanes: Box<dyn Fn() -> Lanes>,
    /// Whether its segments run in processes that can be killed.
    pub(crate) processes: bool,
}

pub(crate) fn suite(kind: &Kind) {
    let mut config = SchedulerConfig::new((kind.lanes)());
    config.jobs_max = 3;
    let scheduler = Scheduler::start(config).unwrap();
    same_results(&scheduler);
    programs_that_fail_are_results(&scheduler);
    memory_is_stopped_at_the_jobs_limit(&scheduler, kind);
    cancelling_frees_the_lanes(&scheduler);
    the_queue_is_bounded(&scheduler);
    results_are_collected_by_polling(&scheduler);
    drop(scheduler);
    if kind.processes {
        a_killed_worker_is_replaced(kind);
    }
}

fn same_results(scheduler: &Scheduler) {
    for job in [random(10, 300), echo(40), random(100_000, 5)] {
        let expected = truth(&job);
        let (end, outputs, _) = run(scheduler, &job);
        assert_eq!(end.unwrap(), receipts(&expected));
        // The logs and outputs, too.
        assert_eq!(outputs, expected);
    }
    // Some of a job's segments, in an order of their own.
    let mut part = random(10, 300);
    part.segments = vec![250, 3, 77];
    assert_eq!(run(scheduler, &part).0.unwrap(), receipts(&truth(&part)));
}

fn programs_that_fail_are_results(scheduler: &Scheduler) {
    for (body, status) in [
        ("unreachable", Status::Trap(Trap::Unreachable)),
        ("(call $proc_exit (i32.const 9))", Status::Exit(9)),
        ("(loop $l (br $l))", Status::OutOfFuel),
    ] {
        let mut job = shared(body, 3);
        job.spec.limits.fuel.0 = 1_000_000;
        let (end, _, _) = run(scheduler, &job);
        let end = end.unwrap();
        assert_eq!(end, receipts(&truth(&job)), "{body}");
        assert!(end.iter().all(|receipt| receipt.status == status), "{body}");
    }
    let mut refused = shared("", 2);
    refused.module = b"garbage".as_slice().into();
    refused.spec.module = Hash::of_content(b"garbage");
    let mut told = 0;
    let handle = scheduler.submit(refused.clone(), Options::default()).unwrap();
    let end = handle.wait(&mut |event| told += u32::from(matches!(event, Event::Refused(_))));
    assert_eq!(end.unwrap(), receipts(&truth(&refused)));
    assert_eq!(told, 1);
}

/// Grows page by page and traps when it gets no more; then another job runs, on the same worker where there is one.
fn memory_is_stopped_at_the_jobs_limit(scheduler: &Scheduler, kind: &Kind) {
    let mut job = shared(
        "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
        1,
    );
    job.spec.limits.memory_pages = 4;
    let (end, _, workers) = run(scheduler, &job);
    let end = end.unwrap();
    assert_eq!(end, receipts(&truth(&job)));
    assert_eq!(end[0].status, Status::Trap(Trap::Unreachable));
    let (after, _, more) = run(scheduler, &random(10, 40));
    assert_eq!(after.unwrap().len(), 40);
    if kind.processes {
        // At most one for each of two lanes, some from before.
        assert!(workers + more <= 2, "{workers} + {more}: a worker fell");
    }
}

fn cancelling_frees_the_lanes(scheduler: &Scheduler) {
    let endless = shared("(loop $l (br $l))", 4000);
    let cancel = Cancel::new();
    let options = Options { cancel: cancel.clone(), ..Options::default() };
    let handle = scheduler.submit(endless, options).unwrap();
    let wait = handle.wait(&mut |event| {
        if matches!(event, Event::Done(_)) {
            cancel.cancel();
        }
    });
    assert!(matches!(wait, Err(PoolError::Cancelled { total: 4000, .. })), "{wait:?}");
    let job = random(10, 20);
    assert_eq!(run(scheduler, &job).0.unwrap(), receipts(&truth(&job)));
}

fn the_queue_is_bounded(scheduler: &Scheduler) {
    let unread = u32::try_from(UNREAD_MAX).unwrap() * 20;
    let handles: Vec<_> =
        (0..3).map(|_| scheduler.submit(random(1, unread), Options::default()).unwrap()).collect();
    let error = scheduler.submit(random(1, 1), Options::default()).unwrap_err();
    assert_eq!(error, SubmitError::Busy { limit: 3 });
    drop(handles);
}

fn results_are_collected_by_polling(scheduler: &Scheduler) {
    let job = random(10, 30);
    let handle = scheduler.submit(job.clone(), Options::default()).unwrap();
    let mut done = 0;
    let end = loop {
        match handle.poll(Duration::from_millis(20)) {
            Next::Event(Event::Done(_)) => done += 1,
            Next::Event(_) | Next::Nothing => {}
            Next::Over(end) => break end,
        }
    };
    assert_eq!(end.unwrap(), receipts(&truth(&job)));
    assert_eq!(done, 30);
}

pub(crate) fn kill(pid: u32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// On lanes of its own, so that a worker stands up for it.
fn a_killed_worker_is_replaced(kind: &Kind) {
    let scheduler = Scheduler::start(SchedulerConfig::new((kind.lanes)())).unwrap();
    let job = long(15_000_000, 5);
    let (mut victim, mut retried) = (None, Vec::new());
    let handle = scheduler.submit(job.clone(), Options::default()).unwrap();
    let end = handle.wait(&mut |event| match event {
        Event::Worker { pid, .. } if victim.is_none() => {
            victim = Some(pid);
            kill(pid);
        }
        Event::Retried { why, .. } => retried.push(why),
        Event::Worker { .. } | Event::Refused(_) | Event::Done(_) | _ => {}
    });
    assert_eq!(end.unwrap(), receipts(&truth(&job)));
    assert!(matches!(&retried[..], [WorkerFailure::Died { .. }]), "{retried:?}");
}

#[test]
fn threads_pass() {
    let threads = InProcess { engine: default_engine(), threads: 2 };
    suite(&Kind { lanes: Box::new(move || Lanes::Threads(threads)), processes: false });
}

#[test]
fn processes_pass() {
    let config = PoolConfig { workers: 2, ..PoolConfig::new(PROGRAM, [""; 0]) };
    suite(&Kind { lanes: Box::new(move || Lanes::Processes(config.clone())), processes: true });
}

/// A spool in `folder` with pilots of this machine.
pub(crate) fn children(folder: &Path) -> (PilotsConfig, Arc<Children>) {
    let spool = folder.join("spool");
    let key = key_file(&folder.join("key")).unwrap();
    let command = PilotCommand {
        program: PROGRAM.into(),
        args: vec!["run-job".into()],
        spool: spool.clone(),
        key: key.clone(),
    };
    (config(PilotsConfig::new(spool, key)), Arc::new(Children::new(command)))
}

/// Small batches, so that much goes to and fro.
pub(crate) fn config(config: PilotsConfig) -> PilotsConfig {
    PilotsConfig {
        batch_fuel: 50_000_000,
        look_every: Duration::from_millis(200),
        start_patience: Duration::from_secs(1),
        ..config
    }
}

#[test]
fn pilots_pass() {
    let folder = tempfile::tempdir().unwrap();
    let (config, fleet) = children(folder.path());
    let lanes = move || {
        Lanes::Pilots(Pilots::open(config.clone(), Arc::clone(&fleet) as Arc<dyn Fleet>).unwrap())
    };
    suite(&Kind { lanes: Box::new(lanes), processes: true });
    // Nothing is left of jobs and pilots.
    let left =
        |part: &str| std::fs::read_dir(folder.path().join("spool").join(part)).unwrap().count();
    assert_eq!((left("jobs"), left("pilots")), (0, 0));
}
