//! Jobs in, results out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, select, unbounded};
use gongsuan_types::Fuel;
use gongsuan_types::receipt::Receipt;

use super::JobLog;
use super::state::{Entry, Message, Shared};
use crate::engine::{STACK_BYTES, mark_big_stack};
use crate::meter::PAGE_BYTES;
use crate::pool::{Backend, Cancel, Event, InProcess, Job};
use crate::worker::PoolConfig;
use crate::{PoolError, RunError, SegmentOutput};

/// What runs segments.
#[derive(Clone, Debug)]
pub enum Lanes {
    /// Threads of this process, for modules that the caller trusts.
    Threads(InProcess),
    /// The same, with a cache of compiled modules.
    #[cfg(feature = "cache")]
    CachedThreads(crate::pool::InProcessCached),
    /// Caged worker processes, for everything from strangers. They live as long as the scheduler and keep the modules that
    /// they compiled last.
    Processes(PoolConfig),
}

/// Bounds of a scheduler.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    /// What runs segments.
    pub lanes: Lanes,
    /// Linear memory that all running segments may have together, in bytes.
    pub memory_bytes: u64,
    /// Jobs at once, at most.
    pub jobs_max: usize,
}

impl SchedulerConfig {
    /// Room for 8 GiB of running segments and 1024 jobs.
    #[must_use]
    pub fn new(lanes: Lanes) -> Self {
        Self { lanes, memory_bytes: 8 << 30, jobs_max: 1024 }
    }
}

/// How one job is run.
#[derive(Default)]
pub struct Options {
    /// The job's share against others, at least 1: the price it pays, say.
    pub weight: u32,
    /// Where results are written down before they are told.
    pub log: Option<Box<dyn JobLog>>,
    /// What is done already ([`super::log::replay`]): counted, not run and not told again.
    pub done: BTreeMap<u32, SegmentOutput>,
    /// Stops the job from elsewhere.
    pub cancel: Cancel,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("weight", &self.weight)
            .field("log", &self.log.is_some())
            .field("done", &self.done.len())
            .finish_non_exhaustive()
    }
}

/// Why a job was not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// As many jobs as there may be: try again when one is over.
    #[error("busy: {limit} jobs are running or waiting")]
    Busy {
        /// The limit.
        limit: usize,
    },
    /// One segment alone may want more memory than all may have.
    #[error("a segment may want {got} bytes of memory, all together may have {limit}")]
    Memory {
        /// The scheduler's limit in bytes.
        limit: u64,
        /// The segment's limit in bytes.
        got: u64,
    },
    /// The job cannot be run as asked.
    #[error(transparent)]
    Job(#[from] RunError),
}

/// How far a job is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Segments done, those of an earlier run among them.
    pub done: usize,
    /// Segments asked for.
    pub total: usize,
    /// Segments handed to a lane right now.
    pub running: usize,
    /// Segments that were tried again.
    pub retried: u64,
    /// Fuel burnt by the segments done.
    pub fuel: Fuel,
}

/// Runs jobs. Dropping it cancels what runs and ends the lanes.
#[derive(Debug)]
pub struct Scheduler {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// A job on its way. Dropping it cancels the job.
#[derive(Debug)]
pub struct JobHandle {
    number: u64,
    shared: Arc<Shared>,
    messages: Receiver<Message>,
    cancel: Cancel,
}

impl Scheduler {
    /// Starts the lanes; worker processes start with their first segment.
    ///
    /// # Errors
    /// [`PoolError::Thread`].
    pub fn start(config: SchedulerConfig) -> Result<Self, PoolError> {
        let asked = match &config.lanes {
            Lanes::Threads(threads) => threads.threads,
            #[cfg(feature = "cache")]
            Lanes::CachedThreads(threads) => threads.threads,
            Lanes::Processes(pool) => pool.workers,
        };
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = if asked == 0 { cores() } else { asked };
        let shared = Arc::new(Shared::new(config));
        let mut this = Self { shared, threads: Vec::new() };
        for number in 0..count {
            let shared = Arc::clone(&this.shared);
            let thread = std::thread::Builder::new()
                .name(format!("lane-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || {
                    mark_big_stack();
                    shared.serve(number);
                })
                .map_err(|error| PoolError::Thread { reason: error.to_string() })?;
            this.threads.push(thread);
        }
        Ok(this)
    }

    /// Takes a job.
    ///
    /// # Errors
    /// [`SubmitError`]: nothing of it has run.
    pub fn submit(&self, job: Job, options: Options) -> Result<JobHandle, SubmitError> {
        job.spec.validate().map_err(|refusal| RunError::Job(Box::new(refusal)))?;
        let limit = job.spec.segment_count();
        for &segment in &job.segments {
            if segment >= limit {
                return Err(RunError::NoSuchSegment { limit, got: segment }.into());
            }
            job.inputs.of(segment)?;
        }
        let memory = u64::from(job.spec.limits.memory_pages) * PAGE_BYTES as u64;
        let limit = self.shared.memory_bytes();
        if memory > limit {
            return Err(SubmitError::Memory { limit, got: memory });
        }
        let (messages, receiver) = unbounded();
        let cancel = options.cancel.clone();
        let number = self.shared.enter(Entry::new(job, options, messages), memory)?;
        Ok(JobHandle { number, shared: Arc::clone(&self.shared), messages: receiver, cancel })
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.shared.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl JobHandle {
    /// Waits for the end and tells everything before it.
    ///
    /// # Errors
    /// [`PoolError`]. Segments told as [`Event::Done`] before it stay valid.
    pub fn wait(self, on_event: &mut dyn FnMut(Event)) -> Result<Vec<Receipt>, PoolError> {
        loop {
            select! {
                recv(self.messages) -> message => match message {
                    Ok(Message::Event(event)) => {
                        if let Event::Done(output) = &event {
                            self.shared.read(self.number, output.output.len());
                        }
                        on_event(event);
                    }
                    Ok(Message::End(end)) => return end,
                    Err(_) => return Err(self.shared.gone()),
                },
                recv(self.cancel.gone()) -> _ => {
                    self.shared.cancel(self.number);
                    return self.drain();
                }
            }
        }
    }

    /// After a cancellation nothing further is told.
    fn drain(&self) -> Result<Vec<Receipt>, PoolError> {
        for message in &self.messages {
            if let Message::End(end) = message {
                return end;
            }
        }
        Err(self.shared.gone())
    }

    /// Stops the job: workers are killed at once, threads finish the segment they are at.
    pub fn cancel(&self) {
        self.cancel.cancel();
        self.shared.cancel(self.number);
    }

    /// How far it is; zeros when it is over.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.shared.progress(self.number)
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.shared.cancel(self.number);
    }
}

/// Runs one job over lanes of its own.
pub(crate) fn run_alone(
    lanes: Lanes,
    job: &Job,
    cancel: &Cancel,
    on_event: &mut dyn FnMut(Event),
) -> Result<Vec<Receipt>, PoolError> {
    let memory_bytes = u64::MAX;
    let scheduler = Scheduler::start(SchedulerConfig { lanes, memory_bytes, jobs_max: 1 })?;
    scheduler.run(job, cancel, on_event)
}

impl Backend for Scheduler {
    /// As a job of weight 1 among the others.
    fn run(
        &self,
        job: &Job,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<Vec<Receipt>, PoolError> {
        let options = Options { cancel: cancel.clone(), ..Options::default() };
        self.submit(job.clone(), options)?.wait(on_event)
    }
}
