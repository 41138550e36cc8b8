//! The pilot: resident on some machine, it runs what its inbox orders, one task after another, in a caged worker process.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use gongsuan_types::Hash;
use gongsuan_types::job::JobSpec;

use super::memory::OutOfMemory;
use super::message::{Order, PROTOCOL, Report, TaskEnd};
use super::pace::Pace;
use super::seal::{Key, Reader, Writer};
use super::spool::{Part, Spool, SpoolError, io_error};
use crate::jobs::log;
use crate::lane::{Lane, LaneEnd};
use crate::pool::{Cancel, Event, Inputs, Job};
use crate::worker::{PoolConfig, ProcessLane};
use crate::{SegmentOutput, WorkerFailure};

/// Between two signs of life.
pub(super) const BEAT_EVERY: Duration = Duration::from_secs(2);
/// Results wait for each other before they are synced, at most so long.
const SYNC_EVERY: Duration = Duration::from_millis(50);
/// Orders that a pilot has read and not begun.
const AHEAD: usize = 16;

/// What a pilot needs.
#[derive(Clone, Debug)]
pub struct PilotConfig {
    /// The spool's folder.
    pub spool: PathBuf,
    /// The pilot's name in it.
    pub name: String,
    /// The spool's key.
    pub key: Key,
    /// How its worker is started.
    pub worker: PoolConfig,
    /// After so long without a word from its controller a pilot leaves, so that a machine is not kept for nobody.
    pub orphan_after: Duration,
}

/// Runs a pilot until it is ordered to end or has no controller any more, and returns why it left. What the command `run-job` does.
///
/// # Errors
/// [`SpoolError::NoSuchPilot`] and [`SpoolError::Taken`] if there is nothing to do under this name; [`SpoolError::Io`] if the spool cannot be
/// read or written any more.
pub fn run_job(config: PilotConfig) -> Result<String, SpoolError> {
    let PilotConfig { spool: folder, name, key, worker, orphan_after } = config;
    let spool = Spool { folder, key };
    let path = spool.pilot(&name);
    if !path.is_dir() {
        return Err(SpoolError::NoSuchPilot { name });
    }
    let failed = io_error("write the reports in", &path);
    let hello = Report::Hello { protocol: PROTOCOL, host: host(), pid: std::process::id() };
    let begin = || {
        let mut outbox = Writer::resume(spool.place(&name, Part::Outbox))?;
        if !outbox.is_empty() {
            return Ok(None);
        }
        outbox.say(&hello)?;
        Ok(Some(outbox))
    };
    let Some(outbox) = begin().map_err(failed)? else { return Err(SpoolError::Taken { name }) };
    let pilot = Pilot {
        inbox: Mutex::new(Reader::new(spool.place(&name, Part::Inbox))),
        outbox: Mutex::new(outbox),
        running: Mutex::default(),
        orphan_after,
        spool,
        name,
    };
    pilot.run(&worker).map_err(io_error("work in", &path))
}

struct Pilot {
    spool: Spool,
    name: String,
    inbox: Mutex<Reader>,
    outbox: Mutex<Writer>,
    /// Tasks that are ordered and not over.
    running: Mutex<BTreeMap<u64, Cancel>>,
    orphan_after: Duration,
}

/// A task as ordered.
struct Task {
    number: u64,
    job: Hash,
    spec: Box<JobSpec>,
    segments: Vec<u32>,
    shared_input: bool,
    cancel: Cancel,
}

/// What is to be done, in order.
enum Step {
    Run(Box<Task>),
    Pong(u64),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pilot {
    fn run(self, worker: &PoolConfig) -> io::Result<String> {
        let this = Arc::new(self);
        let (steps_in, steps) = bounded(AHEAD);
        let (left, leaving) = bounded::<io::Result<String>>(1);
        let reader = Arc::clone(&this);
        std::thread::Builder::new().name("orders".to_owned()).spawn(move || {
            let why = reader.read(&steps_in);
            // Everything that runs is stopped; the worker with it.
            for cancel in lock(&reader.running).values() {
                cancel.cancel();
            }
            let _ = left.send(why);
        })?;
        let mut lane = ProcessLane::new(0, worker.clone());
        let worked = this.work(&steps, &mut lane);
        lane.close();
        let why = leaving.recv().unwrap_or_else(|_| Ok("its orders end".to_owned()));
        worked?;
        let why = why?;
        this.report(&Report::Leaving { why: why.clone() })?;
        Ok(why)
    }

    fn report(&self, report: &Report) -> io::Result<()> {
        lock(&self.outbox).say(report)
    }

    /// Reads orders and shows signs of life until there is a reason to leave.
    fn read(&self, steps: &Sender<Step>) -> io::Result<String> {
        let (mut pace, mut heard, mut beaten) = (Pace::default(), Instant::now(), Instant::now());
        loop {
            if beaten.elapsed() >= BEAT_EVERY {
                beaten = Instant::now();
                self.report(&Report::Beat)?;
            }
            let Some(order) = lock(&self.inbox).next::<Order>()? else {
                if heard.elapsed() >= self.orphan_after {
                    return Ok(format!("no word of its controller for {:?}", self.orphan_after));
                }
                pace.wait();
                continue;
            };
            (pace, heard) = (Pace::default(), Instant::now());
            let step = match order {
                Order::Run { task: number, job, spec, segments, shared_input } => {
                    let cancel = Cancel::new();
                    lock(&self.running).insert(number, cancel.clone());
                    Step::Run(Box::new(Task { number, job, spec, segments, shared_input, cancel }))
                }
                Order::Cancel { task } => {
                    if let Some(cancel) = lock(&self.running).get(&task) {
                        cancel.cancel();
                    }
                    continue;
                }
                Order::Ping { number } => Step::Pong(number),
                Order::Beat => continue,
                Order::End => return Ok("it was ordered to".to_owned()),
            };
            if steps.send(step).is_err() {
                return Ok("its work ended".to_owned());
            }
        }
    }

    fn work(&self, steps: &Receiver<Step>, lane: &mut ProcessLane) -> io::Result<()> {
        for step in steps {
            match step {
                Step::Pong(number) => self.report(&Report::Pong { number })?,
                Step::Run(task) => {
                    let number = task.number;
                    let end = self.perform(*task, lane)?;
                    lock(&self.running).remove(&number);
                    self.report(&Report::Over { task: number, end })?;
                }
            }
        }
        Ok(())
    }

    /// Runs a task. What the controller reads before the end of it is true already.
    fn perform(&self, task: Task, lane: &mut ProcessLane) -> io::Result<TaskEnd> {
        let Task { number, job: id, spec, segments, shared_input, cancel } = task;
        let lost = |what: &str, error: io::Error| {
            let reason = format!("the spool does not give the {what}: {error}");
            Ok(TaskEnd::Failed(WorkerFailure::Lost { reason }))
        };
        let inputs = match self.inputs(id, number, &segments, shared_input) {
            Ok(inputs) => inputs,
            Err(error) => return lost("input", error),
        };
        let module = match std::fs::read(self.spool.module(id)) {
            Ok(module) => module.into(),
            Err(error) => return lost("module", error),
        };
        let job = Job { module, spec: *spec, segments, inputs };
        let mut results = Results {
            job: id,
            file: Writer::resume(self.spool.place(&self.name, Part::Result(number)))?,
            synced: Instant::now(),
            failure: None,
        };
        let memory = OutOfMemory::watch();
        let mut told = |event| match event {
            Event::Done(done) => results.add(&done, &cancel),
            Event::Worker { pid, protections, .. } => {
                results.note(self.report(&Report::Worker { pid, protections }), &cancel);
            }
            Event::Refused(error) => {
                results.note(self.report(&Report::Refused { task: number, error }), &cancel);
            }
            // A worker's failure ends the task: the controller decides what is tried again.
            // A pilot's lane keeps no cache.
            Event::Retried { .. } | Event::Cache { .. } => {}
        };
        let end = lane.run(&job, &job.segments, [&cancel, &cancel], &mut told);
        results.finish()?;
        Ok(match end {
            Ok(()) => TaskEnd::Done,
            Err(LaneEnd::Cancelled) => TaskEnd::Cancelled,
            Err(LaneEnd::Failed(why)) => TaskEnd::Failed(memory.explain(why)),
        })
    }

    fn inputs(&self, job: Hash, task: u64, segments: &[u32], shared: bool) -> io::Result<Inputs> {
        if shared {
            return Ok(Inputs::Shared(std::fs::read(self.spool.shared_input(job))?.into()));
        }
        let mut reader = Reader::new(self.spool.place(&self.name, Part::Input(task)));
        let mut each = BTreeMap::new();
        for &segment in segments {
            let input = reader.next_bytes()?.ok_or_else(|| io::Error::other("it is not whole"))?;
            each.insert(segment, input.into());
        }
        Ok(Inputs::Each(each))
    }
}

/// The results of a task on their way into its file.
struct Results {
    job: Hash,
    file: Writer,
    synced: Instant,
    failure: Option<io::Error>,
}

impl Results {
    fn add(&mut self, done: &SegmentOutput, cancel: &Cancel) {
        let mut written = self.file.append_bytes(&log::record(self.job, done));
        if written.is_ok() && self.synced.elapsed() >= SYNC_EVERY {
            written = self.file.sync();
            self.synced = Instant::now();
        }
        self.note(written, cancel);
    }

    /// What cannot be written down need not be computed.
    fn note(&mut self, written: io::Result<()>, cancel: &Cancel) {
        if let Err(error) = written {
            cancel.cancel();
            self.failure.get_or_insert(error);
        }
    }

    fn finish(mut self) -> io::Result<()> {
        match self.failure.take() {
            Some(error) => Err(error),
            None => self.file.sync(),
        }
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
