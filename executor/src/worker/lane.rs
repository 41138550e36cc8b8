//! What a pool says to one child: greeting, module, job, segments.

use gongsuan_types::Hash;
use gongsuan_types::receipt::Receipt;

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
                (Up::Done { receipt, output_bytes }, blob) => {
                    let done = check(job, segment, receipt, output_bytes, blob)?;
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
            // Longer than a frame may be: the receipts are known without a worker.
            told(Event::Refused(ModuleError::TooLarge {
                limit: MODULE_BYTES_MAX as u64,
                got: job.module.len() as u64,
            }));
            for &segment in segments {
                told(Event::Done(crate::run::refused(segment, job.inputs.of(segment)?)));
            }
            return Ok(());
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

/// What a child says about a segment is believed only as far as it can be checked here.
fn check(
    job: &Job,
    segment: u32,
    receipt: Receipt,
    output_bytes: u32,
    mut output: Vec<u8>,
) -> Result<SegmentOutput, Break> {
    let limits = job.spec.limits;
    if output_bytes as usize > output.len() || output_bytes > limits.output_bytes {
        let limit = limits.output_bytes;
        return Err(garbage(format!("{output_bytes} bytes of output, limit {limit}")));
    }
    let log = output.split_off(output_bytes as usize);
    if receipt.segment != segment {
        return Err(garbage(format!("segment {} instead of {segment}", receipt.segment)));
    }
    if receipt.fuel > limits.fuel {
        return Err(garbage(format!("{} fuel, limit {}", receipt.fuel, limits.fuel)));
    }
    if receipt.input != Hash::of_content(input(job, segment)?) {
        return Err(garbage("another input"));
    }
    if receipt.output_bytes != output_bytes || receipt.output != Hash::of_content(&output) {
        return Err(garbage("an output that is not its receipt's"));
    }
    Ok(SegmentOutput { receipt, output, log })
}
