//! What the lanes share: the queue, the jobs, who waits for what.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Sender;
use gongsuan_types::Hash;
use gongsuan_types::receipt::Receipt;

use super::queue::{Batch, Grain, Queue};
use super::scheduler::{Lanes, Options, Progress, SchedulerConfig, SubmitError};
use super::{JobLog, UNREAD_BYTES_MAX, UNREAD_MAX, log};
use crate::backend::{PilotLane, Stay};
use crate::lane::{Lane, LaneEnd, ThreadLane};
use crate::pool::{Cancel, Event, Job, Tally};
use crate::worker::{ATTEMPTS_MAX, ProcessLane};
use crate::{PoolError, SegmentOutput, WorkerFailure};

/// Losses of a segment's machine, at which its job fails: a cluster may take its machines back again and again.
const LOSSES_MAX: u32 = 10;

/// Segments that are handed to a pilot at once, at most.
const FAR_SEGMENTS_MAX: usize = 4096;

/// What a handle receives.
pub(super) enum Message {
    Event(Event),
    End(Result<Vec<Receipt>, PoolError>),
}

pub(super) struct Shared {
    config: SchedulerConfig,
    state: Mutex<State>,
    /// A batch may have become possible, or the scheduler closes.
    wake: Condvar,
}

struct State {
    queue: Queue,
    jobs: BTreeMap<u64, Entry>,
    next: u64,
    closing: bool,
}

/// A job on its way.
pub(super) struct Entry {
    work: Arc<Work>,
    weight: u32,
    tally: Tally,
    tries: BTreeMap<u32, Tries>,
    progress: Progress,
    refusal_told: bool,
    failure: Option<PoolError>,
    unread: usize,
    unread_bytes: usize,
    messages: Sender<Message>,
}

/// How often a segment was begun for nothing.
#[derive(Clone, Copy, Default)]
struct Tries {
    /// Its worker failed.
    failed: u32,
    /// Its machine was lost, which says nothing about the segment.
    lost: u32,
}

/// What a lane needs of a job while it does not hold the lock.
struct Work {
    job: Job,
    id: Hash,
    cancel: Cancel,
    /// Ends what runs when the job has failed or nobody wants it.
    halt: Cancel,
    log: Option<Mutex<Box<dyn JobLog>>>,
    /// Its place in the pilots' spool.
    stay: Option<Stay>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Entry {
    pub(super) fn new(
        job: Job,
        options: Options,
        messages: Sender<Message>,
        shared: &Shared,
    ) -> Self {
        let mut tally = Tally::new(&job.segments);
        let mut progress = Progress { total: job.segments.len(), ..Progress::default() };
        for done in job.segments.iter().filter_map(|segment| options.done.get(segment)) {
            tally.add(done.receipt);
            progress.count(done);
        }
        let id = job.spec.id();
        let log = options.log.map(Mutex::new);
        let stay = shared.config.lanes.pilots().map(|pilots| pilots.enter(id));
        let work = Work { job, id, cancel: options.cancel, halt: Cancel::new(), log, stay };
        Self {
            work: Arc::new(work),
            weight: options.weight,
            tally,
            tries: BTreeMap::new(),
            progress,
            refusal_told: false,
            failure: None,
            unread: 0,
            unread_bytes: 0,
            messages,
        }
    }

    fn may_run(&self) -> bool {
        self.unread < UNREAD_MAX && self.unread_bytes < UNREAD_BYTES_MAX
    }

    fn tell(&mut self, event: Event) {
        if matches!(event, Event::Refused(_)) {
            if self.refusal_told {
                return;
            }
            self.refusal_told = true;
        }
        // A handle that is gone has cancelled the job.
        let _ = self.messages.send(Message::Event(event));
    }

    fn end(mut self) {
        let end = match self.failure.take() {
            Some(failure) if !self.work.cancel.is_cancelled() => Err(failure),
            Some(_) | None => self.tally.finish(),
        };
        if let (Ok(_), Some(stay)) = (&end, &self.work.stay) {
            stay.complete();
        }
        let _ = self.messages.send(Message::End(end));
    }
}

impl Progress {
    fn count(&mut self, done: &SegmentOutput) {
        self.done += 1;
        self.fuel.0 = self.fuel.0.saturating_add(done.receipt.fuel.0);
    }
}

impl State {
    /// Whether a batch may be had, memory aside.
    fn has_work(&self) -> bool {
        self.jobs.iter().any(|(number, entry)| entry.may_run() && self.queue.waits(*number))
    }

    /// Ends a job of which nothing runs and nothing waits.
    fn end_if_over(&mut self, number: u64) {
        let over = |entry: &Entry| entry.progress.running == 0 && !self.queue.waits(number);
        if self.jobs.get(&number).is_some_and(over) {
            self.queue.remove(number);
            if let Some(entry) = self.jobs.remove(&number) {
                entry.end();
            }
        }
    }

    /// Lets nothing further of a job begin, and ends what runs.
    fn stop(&mut self, number: u64, failure: Option<PoolError>) {
        let Some(entry) = self.jobs.get_mut(&number) else { return };
        entry.work.halt.cancel();
        if entry.failure.is_none() {
            entry.failure = failure;
        }
        self.queue.drop_waiting(number);
    }

    /// A lane is done with a batch.
    fn settle(&mut self, batch: &Batch, done: &[SegmentOutput], end: Result<(), PoolError>) {
        let fuel: Vec<u64> = done.iter().map(|done| done.receipt.fuel.0).collect();
        self.queue.done(batch, &fuel);
        let Some(entry) = self.jobs.get_mut(&batch.job) else { return };
        entry.progress.running -= batch.segments.len();
        for done in done {
            entry.tally.add(done.receipt);
            entry.progress.count(done);
            entry.unread += 1;
            entry.unread_bytes += done.output.len();
            let _ = entry.messages.send(Message::Event(Event::Done(done.clone())));
        }
        let stopped = entry.work.cancel.is_cancelled() || entry.work.halt.is_cancelled();
        match end {
            Err(failure) => self.stop(batch.job, Some(failure)),
            Ok(()) if stopped => self.stop(batch.job, None),
            Ok(()) => {}
        }
        self.end_if_over(batch.job);
    }
}

impl Shared {
    pub(super) fn new(config: SchedulerConfig) -> Self {
        let grain = config.lanes.pilots().map_or(Grain::NEAR, |pilots| Grain {
            fuel: pilots.config().batch_fuel.max(1),
            segments: FAR_SEGMENTS_MAX,
        });
        let queue = Queue::new(config.memory_bytes, grain);
        let state = State { queue, jobs: BTreeMap::new(), next: 0, closing: false };
        Self { config, state: Mutex::new(state), wake: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Linear memory that one segment may have: what all have together, or what a pilot has.
    pub(super) fn memory_bytes(&self) -> u64 {
        let most = self.config.memory_bytes;
        self.config.lanes.pilots().map_or(most, |pilots| most.min(pilots.piece_bytes_max()))
    }

    pub(super) fn enter(&self, entry: Entry, memory: u64) -> Result<u64, SubmitError> {
        let mut state = self.lock();
        if state.jobs.len() >= self.config.jobs_max {
            return Err(SubmitError::Busy { limit: self.config.jobs_max });
        }
        let number = state.next;
        state.next += 1;
        let fuel = entry.work.job.spec.limits.fuel.0;
        let missing: Vec<u32> = entry.tally.missing().collect();
        state.queue.push(number, entry.weight, fuel, memory, missing);
        state.jobs.insert(number, entry);
        state.end_if_over(number);
        self.wake.notify_all();
        Ok(number)
    }

    pub(super) fn read(&self, number: u64, bytes: usize) {
        let mut state = self.lock();
        let Some(entry) = state.jobs.get_mut(&number) else { return };
        let waited = !entry.may_run();
        entry.unread = entry.unread.saturating_sub(1);
        entry.unread_bytes = entry.unread_bytes.saturating_sub(bytes);
        if waited && entry.may_run() {
            self.wake.notify_all();
        }
    }

    pub(super) fn cancel(&self, number: u64) {
        let mut state = self.lock();
        state.stop(number, None);
        state.end_if_over(number);
        self.wake.notify_all();
    }

    pub(super) fn progress(&self, number: u64) -> Progress {
        self.lock().jobs.get(&number).map(|entry| entry.progress).unwrap_or_default()
    }

    /// What a handle is told whose scheduler is gone.
    pub(super) fn gone(&self) -> PoolError {
        PoolError::Cancelled { done: 0, total: 0 }
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        let all: Vec<u64> = state.jobs.keys().copied().collect();
        for number in all {
            state.stop(number, None);
            state.end_if_over(number);
        }
        self.wake.notify_all();
    }

    /// Waits until there is something to do; false when the scheduler closes.
    fn wait(&self) -> bool {
        let mut guard = self.lock();
        loop {
            if guard.closing {
                return false;
            }
            if guard.has_work() {
                return true;
            }
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next batch with its job, if there is one now; otherwise waits for the next change.
    fn next(&self) -> Option<(Batch, Arc<Work>)> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.closing {
            return None;
        }
        let jobs = &state.jobs;
        let may_run = |number| jobs.get(&number).is_some_and(Entry::may_run);
        if let Some(batch) = state.queue.next(may_run) {
            let entry = state.jobs.get_mut(&batch.job)?;
            entry.progress.running += batch.segments.len();
            return Some((batch, Arc::clone(&entry.work)));
        }
        drop(self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner));
        None
    }

    /// What one lane does until the scheduler closes.
    pub(super) fn serve(&self, number: usize) {
        let fresh = || -> Box<dyn Lane> {
            match &self.config.lanes {
                Lanes::Threads(threads) => Box::new(ThreadLane::new(threads.engine)),
                #[cfg(feature = "cache")]
                Lanes::CachedThreads(threads) => {
                    Box::new(ThreadLane::cached(Arc::clone(&threads.cache)))
                }
                Lanes::Processes(pool) => Box::new(ProcessLane::new(number, pool.clone())),
                Lanes::Pilots(pilots) => Box::new(PilotLane::new(number, Arc::clone(pilots))),
            }
        };
        let wanted = || {
            let state = self.lock();
            !state.closing && state.has_work()
        };
        let mut lane = fresh();
        while self.wait() {
            // Before a batch is taken: no piece waits with a lane that waits for its machine.
            let stands = match lane.stand(&wanted) {
                Ok(true) => Ok(()),
                Ok(false) => continue,
                Err(why) => Err(why),
            };
            let Some((batch, work)) = self.next() else { continue };
            let mut done = Vec::new();
            let run = AssertUnwindSafe(|| {
                let mut told = |event| {
                    if let Event::Done(output) = event {
                        done.push(output);
                    } else {
                        self.tell(batch.job, event);
                    }
                };
                stands?;
                lane.run(&work.job, &batch.segments, [&work.cancel, &work.halt], &mut told)
            });
            let end = std::panic::catch_unwind(run).unwrap_or_else(|_| {
                lane = fresh();
                let status = "the lane's thread panicked".to_owned();
                Err(LaneEnd::Failed(WorkerFailure::Died { status }))
            });
            let end = match (work.write_down(&done), end) {
                (Ok(()), Ok(()) | Err(LaneEnd::Cancelled)) => Ok(()),
                (Ok(()), Err(LaneEnd::Failed(why))) => self.failed(&batch, done.len(), why),
                (Err(unwritten), _) => {
                    // Not durable, so it did not happen.
                    done.clear();
                    Err(unwritten)
                }
            };
            self.lock().settle(&batch, &done, end);
            self.wake.notify_all();
        }
        lane.close();
    }

    fn tell(&self, number: u64, event: Event) {
        if let Some(entry) = self.lock().jobs.get_mut(&number) {
            entry.tell(event);
        }
    }

    /// The segment at which a lane failed is tried again, unless it was or it is no use.
    fn failed(&self, batch: &Batch, done: usize, last: WorkerFailure) -> Result<(), PoolError> {
        if let WorkerFailure::Run(error) = &last
            && !error.is_machines()
        {
            return Err(error.clone().into());
        }
        let mut state = self.lock();
        let Some(entry) = state.jobs.get_mut(&batch.job) else { return Ok(()) };
        let Some(&segment) = batch.segments.get(done) else { return Ok(()) };
        let tries = entry.tries.entry(segment).or_default();
        let is_lost = matches!(last, WorkerFailure::Lost { .. });
        let (count, limit) =
            if is_lost { (&mut tries.lost, LOSSES_MAX) } else { (&mut tries.failed, ATTEMPTS_MAX) };
        *count += 1;
        if *count >= limit {
            return Err(PoolError::Worker { segment, attempts: *count, last });
        }
        entry.progress.retried += 1;
        entry.tell(Event::Retried { segment, why: last });
        Ok(())
    }
}

impl Work {
    fn write_down(&self, done: &[SegmentOutput]) -> Result<(), PoolError> {
        let Some(log) = &self.log else { return Ok(()) };
        if done.is_empty() {
            return Ok(());
        }
        let records: Vec<Vec<u8>> = done.iter().map(|done| log::record(self.id, done)).collect();
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.append(&records).map_err(|reason| PoolError::Log { reason })
    }
}
