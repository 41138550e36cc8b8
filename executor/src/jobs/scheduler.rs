//! Jobs in, results out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::unbounded;
use gongsuan_types::Fuel;

use super::state::{Entry, Shared};
use super::{JobHandle, JobLog};
use crate::backend::Pilots;
use crate::engine::{STACK_BYTES, mark_big_stack};
use crate::meter::PAGE_BYTES;
use crate::pool::{Backend, Cancel, InProcess, Job};
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
    /// Pilots of a cluster, with a caged worker process each.
    Pilots(Arc<Pilots>),
}

impl Lanes {
    /// The pilots, if the segments run on other machines.
    pub(super) fn pilots(&self) -> Option<&Arc<Pilots>> {
        if let Self::Pilots(pilots) = self { Some(pilots) } else { None }
    }
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
    /// No thread for the lanes.
    #[error("no thread for the pool: {reason}")]
    Thread {
        /// The system's words.
        reason: String,
    },
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

/// Runs jobs. Dropping it cancels what runs and ends the lanes; a process that just ends leaves pilots to the next one.
#[derive(Debug)]
pub struct Scheduler {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Scheduler {
    /// Starts the lanes; worker processes start with their first segment.
    ///
    /// # Errors
    /// [`PoolError::Thread`].
    pub fn start(config: SchedulerConfig) -> Result<Self, PoolError> {
        Self::begin(config).map_err(|reason| PoolError::Thread { reason })
    }

    fn begin(config: SchedulerConfig) -> Result<Self, String> {
        let asked = match &config.lanes {
            Lanes::Threads(threads) => threads.threads,
            #[cfg(feature = "cache")]
            Lanes::CachedThreads(threads) => threads.threads,
            Lanes::Processes(pool) => pool.workers,
            Lanes::Pilots(pilots) => pilots.config().pilots.max(1),
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
                .map_err(|error| error.to_string())?;
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
        let entry = Entry::new(job, options, messages, &self.shared);
        let number = self.shared.enter(entry, memory)?;
        Ok(JobHandle::new(number, Arc::clone(&self.shared), receiver, cancel))
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

/// One job over lanes of its own, which end with the handle.
pub(crate) fn submit_alone(
    lanes: Lanes,
    job: Job,
    options: Options,
) -> Result<JobHandle, SubmitError> {
    let config = SchedulerConfig { lanes, memory_bytes: u64::MAX, jobs_max: 1 };
    let scheduler = Scheduler::begin(config).map_err(|reason| SubmitError::Thread { reason })?;
    let handle = scheduler.submit(job, options)?;
    Ok(handle.keep(scheduler))
}

impl Backend for Scheduler {
    /// As a job among the others.
    fn submit(&self, job: Job, options: Options) -> Result<JobHandle, SubmitError> {
        Self::submit(self, job, options)
    }
}
