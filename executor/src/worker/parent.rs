//! How workers are started, and a pool of them for one job at a time.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::EngineKind;
use crate::jobs::{JobHandle, Lanes, Options, SubmitError, submit_alone};
use crate::pool::{Backend, Job};

/// Tries of one segment: the second is on a fresh worker.
pub(crate) const ATTEMPTS_MAX: u32 = 2;

/// How a pool starts and minds its workers.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The program that calls [`super::serve`], usually `std::env::current_exe()`.
    pub program: PathBuf,
    /// Its arguments, such as `["worker"]`.
    pub args: Vec<OsString>,
    /// Worker processes; 0 means one for each core.
    pub workers: usize,
    /// The engine they use.
    pub engine: EngineKind,
    /// The longest that one answer may take: starting, compiling, one segment.
    pub deadline: Duration,
    /// Whether a worker that lacks a protection is refused ([`crate::WorkerFailure::Unprotected`]) or only reported.
    pub require: bool,
}

impl PoolConfig {
    /// One worker for each core, the build's fastest engine, a minute for each answer, protections reported.
    pub fn new(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            workers: 0,
            engine: crate::default_engine(),
            deadline: Duration::from_mins(1),
            require: false,
        }
    }
}

/// Runs jobs in caged child processes. Children live for one job; none outlives it.
#[derive(Clone, Debug)]
pub struct Pool {
    config: PoolConfig,
}

impl Pool {
    /// A pool; nothing is started yet.
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        Self { config }
    }
}

impl Backend for Pool {
    /// In processes that live as long as the handle.
    fn submit(&self, job: Job, options: Options) -> Result<JobHandle, SubmitError> {
        submit_alone(Lanes::Processes(self.config.clone()), job, options)
    }
}
