//! Many segments at once: what to run, how to stop, what is told on the way.
//!
//! Every [`Backend`] runs the same [`Job`]: [`InProcess`] for modules that the caller trusts (tests, examples),
//! [`crate::worker::Pool`] for everything from strangers, and a [`crate::jobs::Scheduler`] over either of them or over the
//! pilots of a cluster ([`crate::backend`]) for many jobs at once.

mod in_process;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use gongsuan_types::job::JobSpec;
use gongsuan_types::receipt::Receipt;
use gongsuan_types::{Hash, Refusal};

pub use in_process::InProcess;
#[cfg(feature = "cache")]
pub use in_process::InProcessCached;

use crate::jobs::{JobHandle, Options, SubmitError};
use crate::{ModuleError, PoolError, RunError, SegmentOutput, WorkerFailure};

/// Segments of a job to run. Any subset, so that an interrupted deal resumes with what is missing.
#[derive(Clone, Debug)]
pub struct Job {
    /// The module as its renter wrote it.
    pub module: Arc<[u8]>,
    /// The job it belongs to.
    pub spec: JobSpec,
    /// The segments to run, by number.
    pub segments: Vec<u32>,
    /// What they read.
    pub inputs: Inputs,
}

impl Job {
    /// Names what a worker is told before it runs segments: the job and, where all read the same, its input.
    pub(crate) fn loading_id(&self) -> Hash {
        self.spec.id()
    }
}

/// What the segments of a job read.
#[derive(Clone, Debug)]
pub enum Inputs {
    /// All the same.
    Shared(Arc<[u8]>),
    /// Each its own, by segment.
    Each(BTreeMap<u32, Arc<[u8]>>),
}

impl Inputs {
    /// The input of one segment.
    ///
    /// # Errors
    /// [`RunError::MissingInput`].
    pub fn of(&self, segment: u32) -> Result<&[u8], RunError> {
        match self {
            Self::Shared(bytes) => Ok(bytes),
            Self::Each(map) => {
                map.get(&segment).map(AsRef::as_ref).ok_or(RunError::MissingInput { segment })
            }
        }
    }

    /// The content addresses listed in the index blob of a job whose segments each read their own input.
    ///
    /// # Errors
    /// A refusal if the blob is not 32 bytes for each of `segments`.
    pub fn index(blob: &[u8], segments: u32) -> Result<Vec<Hash>, Refusal> {
        let expected = u64::from(segments) * 32;
        if blob.len() as u64 != expected {
            let message = "the input index must hold 32 bytes for every segment";
            return Err(Refusal::new(
                "bad-input-index",
                "shape.input",
                expected,
                blob.len(),
                message,
            ));
        }
        let (hashes, _) = blob.as_chunks::<32>();
        Ok(hashes.iter().map(|hash| Hash(*hash)).collect())
    }
}

/// What happens while a job runs. Delivered on the thread that called [`Backend::run`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A worker process stands, with these protections.
    Worker {
        /// The worker's number in the pool.
        worker: usize,
        /// The process.
        pid: u32,
        /// What it has given up.
        protections: crate::worker::Protections,
    },
    /// The module may not run: every segment's receipt will say so. Told once.
    Refused(ModuleError),
    /// A segment is done.
    Done(SegmentOutput),
    /// The cache of compiled modules held something that must not be used, or cannot keep a module; it was compiled.
    Cache {
        /// What and why, in words.
        reason: String,
    },
    /// A worker failed and its segment is tried once more on a fresh one.
    Retried {
        /// The segment.
        segment: u32,
        /// What happened.
        why: WorkerFailure,
    },
}

/// Something that runs jobs: threads of this process, caged processes, pilots on the machines of a cluster. What comes out does not depend
/// on which.
pub trait Backend {
    /// Takes a job and returns at once; its results are collected from the handle, in any order. The segments that `options` count as
    /// done are not run again.
    ///
    /// # Errors
    /// [`SubmitError`]: nothing of it has run.
    fn submit(&self, job: Job, options: Options) -> Result<JobHandle, SubmitError>;

    /// Runs all segments of the job and returns their receipts in the order of `job.segments`. `on_event` may block:
    /// the backend waits.
    ///
    /// # Errors
    /// [`PoolError`]. Segments told as [`Event::Done`] before it stay valid.
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

/// Stops a job from another thread. Clones stop together; a cancelled one stays so.
#[derive(Clone, Debug)]
pub struct Cancel {
    // Dropping the sender wakes everybody who selects over the receiver.
    alive: Arc<Mutex<Option<Sender<Infallible>>>>,
    gone: Receiver<Infallible>,
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

impl Cancel {
    /// Not cancelled yet.
    #[must_use]
    pub fn new() -> Self {
        let (sender, gone) = bounded(0);
        Self { alive: Arc::new(Mutex::new(Some(sender))), gone }
    }

    /// Stops whatever runs with this. Worker processes are killed at once; in process, running segments finish.
    pub fn cancel(&self) {
        drop(self.alive.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.gone.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Becomes ready (disconnected) when cancelled, for `select!`.
    pub(crate) fn gone(&self) -> &Receiver<Infallible> {
        &self.gone
    }
}

/// Receipts as they come, handed out in the order asked for.
pub(crate) struct Tally {
    segments: Vec<u32>,
    receipts: BTreeMap<u32, Receipt>,
}

impl Tally {
    pub(crate) fn new(segments: &[u32]) -> Self {
        Self { segments: segments.to_vec(), receipts: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, receipt: Receipt) {
        self.receipts.insert(receipt.segment, receipt);
    }

    /// Segments without a receipt, in the order asked for.
    pub(crate) fn missing(&self) -> impl Iterator<Item = u32> {
        let wanted = self.segments.iter().copied();
        wanted.filter(|segment| !self.receipts.contains_key(segment))
    }

    /// All receipts, or how many there are of how many.
    pub(crate) fn finish(&self) -> Result<Vec<Receipt>, PoolError> {
        let receipts = self.segments.iter().map(|segment| self.receipts.get(segment).copied());
        receipts
            .collect::<Option<Vec<_>>>()
            .ok_or(PoolError::Cancelled { done: self.receipts.len(), total: self.segments.len() })
    }
}
