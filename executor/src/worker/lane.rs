//! What a pool says to one child: greeting, module, job, segments.

use gongsuan_types::Hash;

use super::PoolConfig;
use super::frame::{Down, PROTOCOL, Up};
use super::line::{Break, Line, garbage};
use crate::lane::{Lane, LaneEnd};
use crate::meter::MODULE_BYTES_MAX;
use crate::pool::{Cancel, Event, Inputs, Job};
use crate::{ModuleError, SegmentOutput, WorkerFailure};

/// Segments on their way to a child before the first is answered: one runs while the next is being read.
const AHEAD: usize = 2;

/// One worker process, started when it is first needed and again after it failed.
pub(crate) struct ProcessLane {
    number: usize,
    config: PoolConfig,
    line: Option<Line>,
    /// The job that the child was last told, by what it was told of it.
    loaded: Option<Hash>,
}

impl ProcessLane {
    pub(crate) fn new(number: usize, config: PoolConfig) -> Self {
        Self { number, config, line: None, loaded: None }
    }

    fn open(&self, stops: [&Cancel; 2], told: &mut dyn FnMut(Event)) -> Result<Line, Break> {
        let mut line = Line::start(&self.config)?;
        let (hello, _) = line.answer(stops)?;
        let Up::Hello { protocol: PROTOCOL, protections } = hello else {
            return Err(garbage(format!("instead of a greeting: {hello:?}")));
        };
        if self.config.require && !protections.all_hold() {
            let missing = protections.missing();
            return Err(WorkerFailure::Unprotected { missing }.into());
        }
        told(Event::Worker { worker: self.number, pid: line.pid(), protections });
        Ok(line)
    }

    /// Gives the child the job, and the module if it does not have it from before.
    fn load(
        &self,
        line: &mut Line,
        job: &Job,
        stops: [&Cancel; 2],
        told: &mut dyn FnMut(Event),
    ) -> Result<(), Break> {
        let shared = match &job.inputs {
            Inputs::Shared(bytes) => Some(bytes.to_vec()),
            Inputs::Each(_) => None,
        };
        let down = Down::Job {
            engine: self.config.engine,
            spec: job.spec.clone(),
            shared_input: shared.is_some(),
        };
        line.say(down, vec![shared.unwrap_or_default()])?;
        let mut answer = line.answer(stops)?;
        if matches!(answer.0, Up::Missing) {
            line.say(Down::Module, vec![job.module.to_vec()])?;
            answer = line.answer(stops)?;
        }
        match answer.0 {
            Up::Ready => Ok(()),
            Up::Refused(error) => {
                told(Event::Refused(error));
                Ok(())
            }
            Up::Failed(error) => Err(WorkerFailure::Run(error).into()),
            other @ (Up::Hello { .. } | Up::Missing | Up::Done { .. }) => {
                Err(garbage(format!("instead of readiness: {other:?}")))
            }
        }
    }

    fn segments(
        line: &mut Line,
        job: &Job,
        segments: &[u32],
        stops: [&Cancel; 2],
        told: &mut dyn FnMut(Event),
    ) -> Result<(), Break> {
        let mut asked = segments.iter();
        for (answered, &segment) in segments.iter().enumerate() {
            let ahead = if answered == 0 { AHEAD } else { 1 };
            for &next in asked.by_ref().take(ahead) {
                let own = match &job.inputs {
                    Inputs::Shared(_) => Vec::new(),
                    Inputs::Each(_) => input(job, next)?.to_vec(),
                };
                line.say(Down::Run { segment: next }, vec![own])?;
            }
            match line.answer(stops)? {
                (Up::Done { receipt, output_bytes }, mut output) => {
                    if output_bytes as usize > output.len() {
                        let got = output.len();
                        return Err(garbage(format!("{output_bytes} bytes of output in {got}")));
                    }
                    let log = output.split_off(output_bytes as usize);
                    let done = check(job, segment, SegmentOutput { receipt, output, log })?;
                    told(Event::Done(done));
                }
                (Up::Failed(error), _) => return Err(WorkerFailure::Run(error).into()),
                (other, _) => return Err(garbage(format!("instead of a result: {other:?}"))),
            }
        }
        Ok(())
    }

    fn drive(
        &mut self,
        job: &Job,
        segments: &[u32],
        stops: [&Cancel; 2],
        told: &mut dyn FnMut(Event),
    ) -> Result<(), Break> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => {
                self.loaded = None;
                self.open(stops, told)?
            }
        };
        let id = job.loading_id();
        if self.loaded != Some(id) {
            self.load(&mut line, job, stops, told)?;
            self.loaded = Some(id);
        }
        Self::segments(&mut line, job, segments, stops, told)?;
        self.line = Some(line);
        Ok(())
    }
}

impl Lane for ProcessLane {
    fn run(
        &mut self,
        job: &Job,
        segments: &[u32],
        stops: [&Cancel; 2],
        told: &mut dyn FnMut(Event),
    ) -> Result<(), LaneEnd> {
        if job.module.len() > MODULE_BYTES_MAX {
            return refuse_too_large(job, segments, told);
        }
        self.drive(job, segments, stops, told).map_err(|reason| match reason {
            Break::Failed(failure) => LaneEnd::Failed(failure),
            Break::Cancelled => LaneEnd::Cancelled,
        })
    }

    /// Lets the child end by itself.
    fn close(&mut self) {
        if let Some(line) = self.line.take() {
            line.close();
        }
    }
}

fn input(job: &Job, segment: u32) -> Result<&[u8], Break> {
    job.inputs.of(segment).map_err(|error| Break::Failed(WorkerFailure::Run(error)))
}

/// A module that is longer than a frame may be: the receipts are known without a worker.
pub(crate) fn refuse_too_large(
    job: &Job,
    segments: &[u32],
    told: &mut dyn FnMut(Event),
) -> Result<(), LaneEnd> {
    told(Event::Refused(ModuleError::TooLarge {
        limit: MODULE_BYTES_MAX as u64,
        got: job.module.len() as u64,
    }));
    for &segment in segments {
        told(Event::Done(crate::run::refused(segment, job.inputs.of(segment)?)));
    }
    Ok(())
}

/// What another process says about a segment is believed only as far as it can be checked here.
pub(crate) fn check(
    job: &Job,
    segment: u32,
    done: SegmentOutput,
) -> Result<SegmentOutput, WorkerFailure> {
    let garbage = |reason: String| Err(WorkerFailure::Garbage { reason });
    let (limits, receipt) = (job.spec.limits, done.receipt);
    if receipt.segment != segment {
        return garbage(format!("segment {} instead of {segment}", receipt.segment));
    }
    if receipt.output_bytes > limits.output_bytes {
        let (got, limit) = (receipt.output_bytes, limits.output_bytes);
        return garbage(format!("{got} bytes of output, limit {limit}"));
    }
    if receipt.fuel > limits.fuel {
        return garbage(format!("{} fuel, limit {}", receipt.fuel, limits.fuel));
    }
    if receipt.input != Hash::of_content(job.inputs.of(segment)?) {
        return garbage("another input".to_owned());
    }
    let whole = receipt.output_bytes as usize == done.output.len();
    if !whole || receipt.output != Hash::of_content(&done.output) {
        return garbage("an output that is not its receipt's".to_owned());
    }
    Ok(done)
}
