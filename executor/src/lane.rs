//! One thing at a time: what a pool and the scheduler have several of.

use std::collections::VecDeque;

use gongsuan_types::Hash;

use crate::pool::{Cancel, Event, Job};
use crate::run::admit;
use crate::{EngineKind, Program, RunError, WorkerFailure, run_segment};

/// Compiled modules that a lane keeps, at most.
pub(crate) const PROGRAMS_MAX: usize = 4;

/// Runs segments one after another.
pub(crate) trait Lane: Send {
    /// Makes ready, for as long as it is `wanted`; whether it is. A lane that works elsewhere waits for its machine here.
    ///
    /// # Errors
    /// There is nothing to work on.
    fn stand(&mut self, _wanted: &dyn Fn() -> bool) -> Result<bool, WorkerFailure> {
        Ok(true)
    }

    /// Runs segments of one job in order and tells [`Event::Done`] of each. Whatever was not told when this fails did not
    /// happen.
    fn run(
        &mut self,
        job: &Job,
        segments: &[u32],
        stops: [&Cancel; 2],
        told: &mut dyn FnMut(Event),
    ) -> Result<(), LaneEnd>;

    /// Ends what the lane started, in peace.
    fn close(&mut self) {}
}

/// Why a lane ended before the last segment.
#[derive(Debug)]
pub(crate) enum LaneEnd {
    Failed(WorkerFailure),
    Cancelled,
}

impl From<WorkerFailure> for LaneEnd {
    fn from(failure: WorkerFailure) -> Self {
        Self::Failed(failure)
    }
}

impl From<RunError> for LaneEnd {
    fn from(error: RunError) -> Self {
        Self::Failed(WorkerFailure::Run(error))
    }
}

/// Compiled modules, most recently used first.
#[derive(Debug, Default)]
pub(crate) struct Programs(VecDeque<Program>);

impl Programs {
    /// A module that was loaded before.
    pub(crate) fn get(&mut self, engine: EngineKind, module: Hash) -> Option<Program> {
        let same = |program: &Program| program.kind() == engine && program.module_hash() == module;
        let at = self.0.iter().position(same)?;
        let program = self.0.remove(at)?;
        self.0.push_front(program.clone());
        Some(program)
    }

    /// Loads a module; the one that was unused longest makes room.
    pub(crate) fn load(&mut self, engine: EngineKind, module: &[u8]) -> Result<Program, RunError> {
        let program = Program::load(engine, module)?;
        self.keep(&program);
        Ok(program)
    }

    fn keep(&mut self, program: &Program) {
        self.0.truncate(PROGRAMS_MAX - 1);
        self.0.push_front(program.clone());
    }
}

/// A lane on the calling thread of this process, without a cage.
#[derive(Debug)]
pub(crate) struct ThreadLane {
    engine: EngineKind,
    programs: Programs,
    told: Option<Hash>,
    #[cfg(feature = "cache")]
    cache: Option<std::sync::Arc<crate::engine::cache::ModuleCache>>,
}

impl ThreadLane {
    pub(crate) fn new(engine: EngineKind) -> Self {
        Self {
            engine,
            programs: Programs::default(),
            told: None,
            #[cfg(feature = "cache")]
            cache: None,
        }
    }

    /// A lane of the compiler that keeps what it compiles.
    #[cfg(feature = "cache")]
    pub(crate) fn cached(cache: std::sync::Arc<crate::engine::cache::ModuleCache>) -> Self {
        Self { cache: Some(cache), ..Self::new(EngineKind::Cranelift) }
    }

    #[cfg(not(feature = "cache"))]
    fn load(&mut self, job: &Job, _: &mut dyn FnMut(Event)) -> Result<Program, RunError> {
        self.programs.load(self.engine, &job.module)
    }

    /// Loads the job's module, from the cache where there is one. A cached program is named by the job, so that its module is not even read.
    #[cfg(feature = "cache")]
    fn load(&mut self, job: &Job, told: &mut dyn FnMut(Event)) -> Result<Program, RunError> {
        use crate::engine::cache::Origin;
        let Some(cache) = &self.cache else { return self.programs.load(self.engine, &job.module) };
        if let Some(program) = cache.get(job.spec.module)? {
            self.programs.keep(&program);
            return Ok(program);
        }
        let cached = cache.load(&job.module)?;
        if let Origin::Recompiled(why) = &cached.origin {
            told(Event::Cache { reason: format!("an entry was replaced: {why}") });
        }
        if let Some(why) = &cached.unkept {
            told(Event::Cache { reason: format!("the compiled module is not kept: {why}") });
        }
        self.programs.keep(&cached.program);
        Ok(cached.program)
    }
}

impl Lane for ThreadLane {
    fn run(
        &mut self,
        job: &Job,
        segments: &[u32],
        stops: [&Cancel; 2],
        told: &mut dyn FnMut(Event),
    ) -> Result<(), LaneEnd> {
        let program = match self.programs.get(self.engine, job.spec.module) {
            Some(program) => program,
            None => self.load(job, told)?,
        };
        let id = job.loading_id();
        if self.told != Some(id) {
            self.told = Some(id);
            if let Err(refusal) = admit(&program, &job.spec) {
                told(Event::Refused(refusal));
            }
        }
        for &segment in segments {
            if stops.iter().any(|stop| stop.is_cancelled()) {
                return Err(LaneEnd::Cancelled);
            }
            let input = job.inputs.of(segment)?;
            told(Event::Done(run_segment(&program, &job.spec, segment, input)?));
        }
        Ok(())
    }
}
