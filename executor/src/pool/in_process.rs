//! Segments on threads of this process.

use crossbeam_channel::{Receiver, bounded};
use gongsuan_types::receipt::Receipt;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::{Backend, Cancel, Event, Job, Tally};
use crate::engine::{STACK_BYTES, mark_big_stack};
use crate::run::admit;
use crate::{EngineKind, PoolError, Program, RunError, SegmentOutput, run_segment};

/// Runs jobs on threads of this process. Only for modules that the caller trusts: there is no cage.
#[derive(Clone, Copy, Debug)]
pub struct InProcess {
    /// The engine.
    pub engine: EngineKind,
    /// Threads; 0 means one for each core.
    pub threads: usize,
}

impl Backend for InProcess {
    fn run(
        &self,
        job: &Job,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<Vec<Receipt>, PoolError> {
        let program = Program::load(self.engine, &job.module)?;
        if let Err(refusal) = admit(&program, &job.spec) {
            on_event(Event::Refused(refusal));
        }
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .stack_size(STACK_BYTES)
            .thread_name(|index| format!("segment-{index}"))
            .start_handler(|_| mark_big_stack())
            .build()
            .map_err(|error| PoolError::Thread { reason: error.to_string() })?;
        // Two results may wait for each thread; then the threads wait for the caller.
        let (sender, receiver) = bounded(2 * threads.current_num_threads());
        let halt = Cancel::new();
        std::thread::scope(|scope| {
            let (program, halt) = (&program, &halt);
            scope.spawn(move || {
                threads.install(|| {
                    job.segments.par_iter().for_each(|&segment| {
                        if !cancel.is_cancelled() && !halt.is_cancelled() {
                            // Fails only when the caller is gone, and then nobody waits.
                            let _ = sender.send(run_one(program, job, segment));
                        }
                    });
                });
            });
            collect(job, &receiver, halt, on_event)
        })
    }
}

fn run_one(program: &Program, job: &Job, segment: u32) -> Result<SegmentOutput, RunError> {
    run_segment(program, &job.spec, segment, job.inputs.of(segment)?)
}

fn collect(
    job: &Job,
    receiver: &Receiver<Result<SegmentOutput, RunError>>,
    halt: &Cancel,
    on_event: &mut dyn FnMut(Event),
) -> Result<Vec<Receipt>, PoolError> {
    let mut tally = Tally::new(&job.segments);
    let mut failure = None;
    for result in receiver {
        match result {
            Ok(output) => {
                tally.add(output.receipt);
                on_event(Event::Done(output));
            }
            Err(error) => {
                // What runs is drained; nothing new begins.
                halt.cancel();
                failure.get_or_insert(error);
            }
        }
    }
    match failure {
        Some(error) => Err(error.into()),
        None => tally.finish(),
    }
}
