//! Reductions and iterations, as rows of map jobs.
//!
//! Every stage is an ordinary map job, so whatever can order, audit or re-execute a map can do it with each stage of a flow:
//! - **map**: a job as it is.
//! - **reduce**: outputs are joined in groups of a fixed arity, in order, until one is left. Segment *i* of a stage reads the
//!   outputs *i·arity* … of the stage before, one after another with nothing between; a program that must know where one ends
//!   writes it so. The tree's shape follows from the number of outputs alone, so the result does, too.
//! - **iterate**: step *k* reads the state that step *k − 1* wrote. Each state is a checkpoint: its hash is in the receipts on both
//!   sides, an iteration resumes from any of them, and a dispute is over one step.

use std::collections::BTreeMap;
use std::sync::Arc;

use gongsuan_types::job::{JobSpec, MapInput, Shape};
use gongsuan_types::receipt::Status;
use gongsuan_types::{Hash, Hasher};

use crate::pool::{Backend, Cancel, Event, Inputs, Job};
use crate::{PoolError, SegmentOutput};

/// What all stages of a flow have in common: the module, and its job but for shape and seed.
#[derive(Clone, Debug)]
pub struct Template {
    /// The module as its renter wrote it.
    pub module: Arc<[u8]>,
    /// Arguments, limits and the seed that the stages' seeds follow from; the shape is not looked at.
    pub spec: JobSpec,
}

/// A stage that is over.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its number, from 0.
    pub number: u32,
    /// The map job that it was.
    pub job: Job,
    /// What came out, by segment. The receipts commit as those of any job.
    pub outputs: Vec<SegmentOutput>,
}

/// Why a flow ended before its result.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// The program ended otherwise than well, so that its output is no input for the next stage. Deterministic.
    #[error("segment {segment} of stage {stage} ended with {status:?}: its output cannot be used")]
    Program {
        /// The stage.
        stage: u32,
        /// The segment.
        segment: u32,
        /// How it ended.
        status: Status,
    },
    /// Nothing to reduce, or groups of one, which never become fewer.
    #[error("cannot reduce {outputs} outputs in groups of {arity}: at least 1 and 2 are needed")]
    Shape {
        /// Outputs given.
        outputs: usize,
        /// Group size given.
        arity: u32,
    },
    /// The stage could not be run.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

impl Template {
    /// The job of one stage of a reduction over `outputs`.
    #[must_use]
    pub fn reduction(&self, stage: u32, outputs: &[Vec<u8>], arity: u32) -> Job {
        let groups = outputs.chunks(arity.max(1) as usize).map(<[Vec<u8>]>::concat);
        let inputs: BTreeMap<u32, Arc<[u8]>> = (0..).zip(groups.map(Into::into)).collect();
        let index: Vec<u8> = inputs.values().flat_map(|input| Hash::of_content(input).0).collect();
        let segments = u32::try_from(inputs.len()).unwrap_or(u32::MAX);
        let named = MapInput::Each(Hash::of_content(&index));
        self.job(stage, segments, named, Inputs::Each(inputs))
    }

    /// The job of one step from `state`.
    #[must_use]
    pub fn step(&self, step: u32, state: &[u8]) -> Job {
        let named = MapInput::Shared(Hash::of_content(state));
        self.job(step, 1, named, Inputs::Shared(state.into()))
    }

    fn job(&self, stage: u32, segments: u32, input: MapInput, inputs: Inputs) -> Job {
        let mut seed = Hasher::new("gongsuan/stage-seed/v1");
        seed.update(&self.spec.seed.0).update(&stage.to_le_bytes());
        let spec = JobSpec {
            shape: Shape::Map { segments, input },
            seed: seed.finish(),
            ..self.spec.clone()
        };
        let segments = (0..segments).collect();
        Job { module: Arc::clone(&self.module), spec, segments, inputs }
    }
}

/// Runs a job and keeps its outputs.
///
/// # Errors
/// [`PoolError`].
pub fn map(
    backend: &dyn Backend,
    number: u32,
    job: Job,
    cancel: &Cancel,
) -> Result<Stage, PoolError> {
    let mut outputs = BTreeMap::new();
    backend.run(&job, cancel, &mut |event| {
        if let Event::Done(done) = event {
            outputs.insert(done.receipt.segment, done);
        }
    })?;
    Ok(Stage { number, job, outputs: outputs.into_values().collect() })
}

/// Reduces outputs to one. `on_stage` sees each stage as it is over.
///
/// # Errors
/// [`FlowError`].
pub fn reduce(
    backend: &dyn Backend,
    template: &Template,
    mut outputs: Vec<Vec<u8>>,
    arity: u32,
    cancel: &Cancel,
    on_stage: &mut dyn FnMut(&Stage),
) -> Result<Vec<u8>, FlowError> {
    if outputs.is_empty() || arity < 2 {
        return Err(FlowError::Shape { outputs: outputs.len(), arity });
    }
    let mut number = 0;
    while outputs.len() > 1 {
        let job = template.reduction(number, &outputs, arity);
        outputs = finish(map(backend, number, job, cancel)?, on_stage)?;
        number += 1;
    }
    Ok(outputs.swap_remove(0))
}

/// Runs `steps` from `state` and returns the last state. To resume, begin at the step after the last one seen.
///
/// # Errors
/// [`FlowError`].
pub fn iterate(
    backend: &dyn Backend,
    template: &Template,
    mut state: Vec<u8>,
    steps: std::ops::Range<u32>,
    cancel: &Cancel,
    on_stage: &mut dyn FnMut(&Stage),
) -> Result<Vec<u8>, FlowError> {
    for step in steps {
        let job = template.step(step, &state);
        state = finish(map(backend, step, job, cancel)?, on_stage)?.concat();
    }
    Ok(state)
}

fn finish(stage: Stage, on_stage: &mut dyn FnMut(&Stage)) -> Result<Vec<Vec<u8>>, FlowError> {
    on_stage(&stage);
    if let Some(bad) = stage.outputs.iter().find(|done| done.receipt.status != Status::Ok) {
        let (segment, status) = (bad.receipt.segment, bad.receipt.status);
        return Err(FlowError::Program { stage: stage.number, segment, status });
    }
    Ok(stage.outputs.into_iter().map(|done| done.output).collect())
}
