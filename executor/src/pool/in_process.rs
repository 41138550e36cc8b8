//! Segments on threads of this process.

use super::{Backend, Job};
use crate::EngineKind;
use crate::jobs::{JobHandle, Lanes, Options, SubmitError, submit_alone};

/// Runs jobs on threads of this process. Only for modules that the caller trusts: there is no cage.
#[derive(Clone, Copy, Debug)]
pub struct InProcess {
    /// The engine.
    pub engine: EngineKind,
    /// Threads; 0 means one for each core.
    pub threads: usize,
}

impl Backend for InProcess {
    /// On threads that live as long as the handle.
    fn submit(&self, job: Job, options: Options) -> Result<JobHandle, SubmitError> {
        submit_alone(Lanes::Threads(*self), job, options)
    }
}

/// The same by the compiler, which keeps what it compiles on disk.
#[cfg(feature = "cache")]
#[derive(Clone, Debug)]
pub struct InProcessCached {
    /// Where compiled modules are kept.
    pub cache: std::sync::Arc<crate::engine::cache::ModuleCache>,
    /// Threads; 0 means one for each core.
    pub threads: usize,
}

#[cfg(feature = "cache")]
impl Backend for InProcessCached {
    /// On threads that live as long as the handle.
    fn submit(&self, job: Job, options: Options) -> Result<JobHandle, SubmitError> {
        submit_alone(Lanes::CachedThreads(self.clone()), job, options)
    }
}
