//! Several jobs over one scheduler, flows of stages, logs and resumption.

use std::sync::{Arc, Mutex};

use gongsuan_executor::jobs::flow::{self, FlowError, Template};
use gongsuan_executor::jobs::log::{LogError, replay};
use gongsuan_executor::jobs::{
    JobLog, Lanes, Options, Scheduler, SchedulerConfig, SubmitError, UNREAD_MAX, estimate,
};
use gongsuan_executor::worker::PoolConfig;
use gongsuan_executor::{
    Backend, Cancel, Event, InProcess, Inputs, Job, PoolError, RunError, default_engine,
};
use gongsuan_journal::{Journal, MemoryDisk, Tear};
use gongsuan_types::Hash;
use gongsuan_types::job::{MapInput, Shape};
use gongsuan_types::receipt::{Receipt, Status, Trap};

use crate::support::{command, job, start, wasm};

fn threads() -> InProcess {
    InProcess { engine: default_engine(), threads: 2 }
}

fn scheduler() -> Scheduler {
    Scheduler::start(SchedulerConfig::new(Lanes::Threads(threads()))).unwrap()
}

fn map(body: &str, segments: u32) -> Job {
    let module = wasm(&start(body));
    let input = b"input".as_slice();
    let mut spec = job(&module, input);
    spec.shape = Shape::Map { segments, input: MapInput::Shared(Hash::of_content(input)) };
    let segments = (0..segments).collect();
    Job { module: module.into(), spec, segments, inputs: Inputs::Shared(input.into()) }
}

/// Each segment writes eight bytes of its own randomness.
fn random(segments: u32) -> Job {
    map(
        "(drop (call $random_get (i32.const 100) (i32.const 8))) (call $put (i32.const 100) (i32.const 8))",
        segments,
    )
}

fn alone(job: &Job) -> Vec<Receipt> {
    threads().run(job, &Cancel::new(), &mut |_| {}).unwrap()
}

#[test]
fn jobs_share_worker_processes_and_give_the_receipts_that_they_give_alone() {
    let config = PoolConfig {
        workers: 2,
        ..PoolConfig::new(env!("CARGO_BIN_EXE_gongsuan-executor-worker"), [""; 0])
    };
    let scheduler = Scheduler::start(SchedulerConfig::new(Lanes::Processes(config))).unwrap();
    let jobs = [random(300), map("unreachable", 5), random(40), random(300)];
    let handles: Vec<_> =
        jobs.iter().map(|job| scheduler.submit(job.clone(), Options::default()).unwrap()).collect();
    let mut workers = 0;
    for (handle, job) in handles.into_iter().zip(&jobs) {
        let receipts = handle.wait(&mut |event| {
            workers += u32::from(matches!(event, Event::Worker { .. }));
        });
        assert_eq!(receipts.unwrap(), alone(job));
    }
    // Switching between jobs needs no new process.
    assert!(workers <= 2, "{workers}");
}

#[test]
fn a_job_whose_results_nobody_reads_stops_and_holds_up_no_other() {
    let scheduler = scheduler();
    let unread = scheduler.submit(random(5000), Options::default()).unwrap();
    let other = random(200);
    let receipts = scheduler.submit(other.clone(), Options::default()).unwrap().wait(&mut |_| {});
    assert_eq!(receipts.unwrap(), alone(&other));
    // Two lanes may each be within one batch beyond the bound.
    assert!(unread.progress().done <= UNREAD_MAX + 2 * 256, "{:?}", unread.progress());
    let mut told = 0;
    let receipts = unread.wait(&mut |event| told += u32::from(matches!(event, Event::Done(_))));
    assert_eq!((receipts.unwrap().len(), told), (5000, 5000));
}

#[test]
fn what_cannot_be_taken_is_refused_before_anything_runs() {
    let mut config = SchedulerConfig::new(Lanes::Threads(threads()));
    (config.jobs_max, config.memory_bytes) = (1, 4 * 65_536);
    let scheduler = Scheduler::start(config).unwrap();
    let mut large = random(1);
    large.spec.limits.memory_pages = 5;
    let error = scheduler.submit(large, Options::default()).unwrap_err();
    assert_eq!(error, SubmitError::Memory { limit: 4 * 65_536, got: 5 * 65_536 });
    let mut beyond = random(4);
    beyond.segments = vec![4];
    let error = scheduler.submit(beyond, Options::default()).unwrap_err();
    assert_eq!(error, SubmitError::Job(RunError::NoSuchSegment { limit: 4, got: 4 }));
    // The first job cannot end before it is read, so the second finds no room.
    let endless = scheduler.submit(map("(loop $l (br $l))", 4000), Options::default()).unwrap();
    let error = scheduler.submit(random(1), Options::default()).unwrap_err();
    assert_eq!(error, SubmitError::Busy { limit: 1 });
    endless.cancel();
    let error = endless.wait(&mut |_| {}).unwrap_err();
    assert!(matches!(error, PoolError::Cancelled { total: 4000, .. }), "{error}");
    assert_eq!(scheduler.run(&random(3), &Cancel::new(), &mut |_| {}).unwrap().len(), 3);
}

#[test]
fn dropping_a_handle_or_the_scheduler_cancels_what_runs() {
    let scheduler = scheduler();
    let endless = map("(loop $l (br $l))", 4000);
    drop(scheduler.submit(endless.clone(), Options::default()).unwrap());
    // The lanes are free again: this ends.
    assert_eq!(scheduler.run(&random(3), &Cancel::new(), &mut |_| {}).unwrap().len(), 3);
    let handle = scheduler.submit(endless, Options::default()).unwrap();
    drop(scheduler);
    let error = handle.wait(&mut |_| {}).unwrap_err();
    assert!(matches!(error, PoolError::Cancelled { .. }), "{error}");
}

/// A job's log in a journal.
struct Written(Journal);

impl JobLog for Written {
    fn append(&mut self, records: &[Vec<u8>]) -> Result<(), String> {
        self.0.append_and_sync(records).map(drop).map_err(|error| error.to_string())
    }
}

/// A log whose second record is the last one before the power goes.
struct Crashing {
    log: Journal,
    disk: MemoryDisk,
    after: Arc<Mutex<Option<MemoryDisk>>>,
    appends: u32,
}

impl JobLog for Crashing {
    fn append(&mut self, records: &[Vec<u8>]) -> Result<(), String> {
        self.log.append_and_sync(records).map_err(|error| error.to_string())?;
        self.appends += 1;
        if self.appends == 2 {
            *self.after.lock().unwrap() = Some(self.disk.crash(Tear::Nothing));
        }
        Ok(())
    }
}

fn journal(disk: &MemoryDisk) -> Journal {
    let options = gongsuan_journal::Options::new(*b"job-log\0");
    Journal::open(Box::new(disk.clone()), options).unwrap().0
}

#[test]
fn a_job_interrupted_by_a_crash_is_resumed_with_what_is_missing() {
    let scheduler = scheduler();
    let job = random(500);
    let disk = MemoryDisk::new();
    let after = Arc::default();
    let log = Crashing { log: journal(&disk), disk, after: Arc::clone(&after), appends: 0 };
    let options = Options { log: Some(Box::new(log)), ..Options::default() };
    scheduler.submit(job.clone(), options).unwrap().wait(&mut |_| {}).unwrap();
    // The power went in the middle: what is on the disk is what was there then.
    let log = journal(after.lock().unwrap().as_ref().unwrap());
    let records: Vec<Vec<u8>> =
        (log.first()..log.next()).map(|at| log.read(at).unwrap().unwrap()).collect();
    let done = replay(&job.spec, &records).unwrap();
    assert!((2..500).contains(&done.len()), "{}", done.len());
    let before = done.len();
    let options = Options { log: Some(Box::new(Written(log))), done, ..Options::default() };
    let mut ran = 0;
    let handle = scheduler.submit(job.clone(), options).unwrap();
    let receipts =
        handle.wait(&mut |event| ran += usize::from(matches!(event, Event::Done(_)))).unwrap();
    assert_eq!(receipts, alone(&job));
    assert_eq!(before + ran, 500);

    let mut broken = records.clone();
    let last = broken[1].len() - 2;
    broken[1][last] ^= 1;
    assert_eq!(replay(&job.spec, &broken), Err(LogError::WrongOutput { index: 1 }));
    broken[1].truncate(10);
    assert!(matches!(replay(&job.spec, &broken), Err(LogError::Malformed { index: 1, .. })));
    let other = random(499).spec;
    let error = LogError::OtherJob { index: 0, expected: other.id(), got: job.spec.id() };
    assert_eq!(replay(&other, &records), Err(error));
}

#[test]
fn a_log_that_cannot_be_written_ends_the_job_before_anything_is_told() {
    struct Full;
    impl JobLog for Full {
        fn append(&mut self, _records: &[Vec<u8>]) -> Result<(), String> {
            Err("the disk is full".to_owned())
        }
    }
    let options = Options { log: Some(Box::new(Full)), ..Options::default() };
    let error = scheduler().submit(random(50), options).unwrap().wait(&mut |event| {
        assert!(!matches!(event, Event::Done(_)), "told without being written");
    });
    assert_eq!(error, Err(PoolError::Log { reason: "the disk is full".to_owned() }));
}

/// Sums the 64-bit numbers that it reads, and traps on an odd count of bytes.
fn sum() -> Template {
    let module = wasm(&command(
        "(func (export \"_start\") (local $sum i64)
           (i32.store (i32.const 16) (i32.const 100)) (i32.store (i32.const 20) (i32.const 8))
           (block $end (loop $next
             (drop (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24)))
             (br_if $end (i32.eqz (i32.load (i32.const 24))))
             (if (i32.ne (i32.load (i32.const 24)) (i32.const 8)) (then unreachable))
             (local.set $sum (i64.add (local.get $sum) (i64.load (i32.const 100))))
             (br $next)))
           (i64.store (i32.const 100) (local.get $sum)) (call $put (i32.const 100) (i32.const 8)))",
    ));
    Template { spec: job(&module, b""), module: module.into() }
}

#[test]
fn a_reduction_joins_outputs_in_order_until_one_is_left() {
    let leaves: Vec<Vec<u8>> = (1..=100u64).map(|n| n.to_le_bytes().to_vec()).collect();
    let (mut sizes, mut ids) = (Vec::new(), Vec::new());
    let root = flow::reduce(&threads(), &sum(), leaves.clone(), 7, &Cancel::new(), &mut |stage| {
        sizes.push(stage.outputs.len());
        ids.push(stage.job.spec.seed);
        // A stage is an ordinary job: any of its segments can be run again.
        assert_eq!(alone(&stage.job)[0], stage.outputs[0].receipt);
    });
    assert_eq!(root.unwrap(), 5050u64.to_le_bytes());
    assert_eq!(sizes, [15, 3, 1]);
    ids.dedup();
    assert_eq!(ids.len(), 3, "stages must not share their randomness");

    let nothing = flow::reduce(&threads(), &sum(), Vec::new(), 7, &Cancel::new(), &mut |_| {});
    assert_eq!(nothing, Err(FlowError::Shape { outputs: 0, arity: 7 }));
    let alone = flow::reduce(&threads(), &sum(), leaves, 1, &Cancel::new(), &mut |_| {});
    assert_eq!(alone, Err(FlowError::Shape { outputs: 100, arity: 1 }));
    let odd = vec![vec![1; 8], vec![1; 3], vec![1; 8]];
    let failed = flow::reduce(&threads(), &sum(), odd, 2, &Cancel::new(), &mut |_| {});
    let status = Status::Trap(Trap::Unreachable);
    assert_eq!(failed, Err(FlowError::Program { stage: 0, segment: 0, status }));
}

#[test]
fn an_iteration_resumes_from_any_state() {
    // state, in: one number; out: 3·state + 1.
    let module = wasm(&start(
        "(i32.store (i32.const 16) (i32.const 100)) (i32.store (i32.const 20) (i32.const 8))
         (drop (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24)))
         (i64.store (i32.const 100) (i64.add (i64.const 1) (i64.mul (i64.const 3) (i64.load (i32.const 100)))))
         (call $put (i32.const 100) (i32.const 8))",
    ));
    let template = Template { spec: job(&module, b""), module: module.into() };
    let run = |from: u64, steps| {
        let mut states = Vec::new();
        let state = from.to_le_bytes().to_vec();
        let last =
            flow::iterate(&threads(), &template, state, steps, &Cancel::new(), &mut |stage| {
                states.push(stage.outputs[0].output.clone());
            })
            .unwrap();
        (u64::from_le_bytes(last.try_into().unwrap()), states)
    };
    let (last, states) = run(7, 0..10);
    assert_eq!(last, (0..10).fold(7, |state, _| 3 * state + 1));
    let middle = u64::from_le_bytes(states[5].clone().try_into().unwrap());
    assert_eq!(run(middle, 6..10), (last, states[6..].to_vec()));
}

#[test]
fn a_dry_run_predicts_what_the_whole_costs() {
    let job = random(1000);
    let found = estimate::dry_run(&threads(), &job, 10, &Cancel::new()).unwrap();
    let receipts = alone(&job);
    let picked: Vec<u32> = found.receipts.iter().map(|receipt| receipt.segment).collect();
    assert_eq!(picked, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    assert!(found.receipts.iter().all(|receipt| receipts[receipt.segment as usize] == *receipt));
    // Every segment does the same here.
    let total: u64 = receipts.iter().map(|receipt| receipt.fuel.0).sum();
    assert_eq!(found.fuel().0, total);
    assert_eq!(found.price(2_000_000_000), u128::from(total) * 2);
    assert_eq!(found.price(1), 1);
    assert_eq!(found.failures().count(), 0);
    let bad = map("unreachable", 8);
    let found = estimate::dry_run(&threads(), &bad, 3, &Cancel::new()).unwrap();
    let status = Status::Trap(Trap::Unreachable);
    assert_eq!(found.failures().collect::<Vec<_>>(), [(0, status), (2, status), (5, status)]);
    assert!(found.limit() > found.most());
}
