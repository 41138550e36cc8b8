//! The parent's side: children, deadlines, retries.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use gongsuan_types::Hash;
use gongsuan_types::receipt::Receipt;

use super::frame::{self, Down, PROTOCOL, UP_BYTES_MAX, Up};
use crate::meter::MODULE_BYTES_MAX;
use crate::pool::{Backend, Cancel, Event, Inputs, Job, Tally};
use crate::{EngineKind, ModuleError, PoolError, SegmentOutput, WorkerFailure};

/// Tries of one segment: the second is on a fresh worker.
const ATTEMPTS_MAX: u32 = 2;

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
    /// Whether a worker that lacks a protection is refused ([`WorkerFailure::Unprotected`]) or only reported.
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

/// Runs jobs in caged child processes. Children live for one [`Backend::run`]; none outlives it.
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
    fn run(
        &self,
        job: &Job,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<Vec<Receipt>, PoolError> {
        job.spec.validate().map_err(|refusal| crate::RunError::Job(Box::new(refusal)))?;
        for &segment in &job.segments {
            job.inputs.of(segment)?;
        }
        let mut tally = Tally::new(&job.segments);
        if job.module.len() > MODULE_BYTES_MAX {
            return Ok(refuse_all(job, &mut tally, on_event));
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if self.config.workers == 0 { cores } else { self.config.workers };
        let workers = workers.min(job.segments.len());
        let queue = Mutex::new(job.segments.iter().map(|&segment| (segment, 1)).collect());
        let halt = Cancel::new();
        let (sender, receiver) = bounded(2 * workers.max(1));
        std::thread::scope(|scope| {
            for worker in 0..workers {
                let hand = Hand { config: &self.config, job, queue: &queue, cancel, halt: &halt };
                let sender = sender.clone();
                std::thread::Builder::new()
                    .name(format!("worker-{worker}"))
                    .spawn_scoped(scope, move || hand.work(worker, &sender))
                    .map_err(|error| {
                        halt.cancel();
                        PoolError::Thread { reason: error.to_string() }
                    })?;
            }
            drop(sender);
            collect(&receiver, &mut tally, cancel, &halt, on_event)
        })?;
        tally.finish()
    }
}

/// The module is longer than a frame may be: the receipts are known without a worker.
fn refuse_all(job: &Job, tally: &mut Tally, on_event: &mut dyn FnMut(Event)) -> Vec<Receipt> {
    on_event(Event::Refused(ModuleError::TooLarge {
        limit: MODULE_BYTES_MAX as u64,
        got: job.module.len() as u64,
    }));
    for &segment in &job.segments {
        let input = job.inputs.of(segment).expect("checked by the caller");
        let done = crate::run::refused(segment, input);
        tally.add(done.receipt);
        on_event(Event::Done(done));
    }
    tally.finish().expect("all segments were added")
}

fn collect(
    receiver: &Receiver<Result<Event, PoolError>>,
    tally: &mut Tally,
    cancel: &Cancel,
    halt: &Cancel,
    on_event: &mut dyn FnMut(Event),
) -> Result<(), PoolError> {
    let mut refusal_told = false;
    let mut failure = None;
    for message in receiver {
        match message {
            Ok(Event::Refused(_)) if refusal_told => {}
            Ok(event) => {
                refusal_told |= matches!(event, Event::Refused(_));
                if let Event::Done(output) = &event {
                    tally.add(output.receipt);
                }
                on_event(event);
            }
            Err(error) => {
                halt.cancel();
                failure.get_or_insert(error);
            }
        }
    }
    match failure {
        Some(error) if !cancel.is_cancelled() => Err(error),
        Some(_) | None => Ok(()),
    }
}

/// One thread of the pool with the child it minds.
struct Hand<'a> {
    config: &'a PoolConfig,
    job: &'a Job,
    queue: &'a Mutex<VecDeque<(u32, u32)>>,
    cancel: &'a Cancel,
    halt: &'a Cancel,
}

/// Why a hand stopped talking to its child.
enum Break {
    Failed(WorkerFailure),
    Cancelled,
}

impl From<WorkerFailure> for Break {
    fn from(failure: WorkerFailure) -> Self {
        Self::Failed(failure)
    }
}

impl Hand<'_> {
    fn work(&self, worker: usize, events: &Sender<Result<Event, PoolError>>) {
        let mut line: Option<Line> = None;
        while let Some((segment, attempt)) = self.next() {
            let result = match line.take() {
                Some(open) => Ok(open),
                None => self.open(worker, events),
            };
            let result = result.and_then(|mut open| {
                let output = self.run(&mut open, segment)?;
                line = Some(open);
                Ok(output)
            });
            let told = match result {
                Ok(output) => events.send(Ok(Event::Done(output))).is_ok(),
                Err(Break::Cancelled) => return,
                Err(Break::Failed(last)) => self.failed(segment, attempt, last, events),
            };
            if !told {
                return;
            }
        }
        if let Some(open) = line {
            open.close();
        }
    }

    fn next(&self) -> Option<(u32, u32)> {
        if self.cancel.is_cancelled() || self.halt.is_cancelled() {
            return None;
        }
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Whether anybody still listens.
    fn failed(
        &self,
        segment: u32,
        attempts: u32,
        last: WorkerFailure,
        events: &Sender<Result<Event, PoolError>>,
    ) -> bool {
        if attempts >= ATTEMPTS_MAX {
            return events.send(Err(PoolError::Worker { segment, attempts, last })).is_ok();
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_front((segment, attempts + 1));
        drop(queue);
        events.send(Ok(Event::Retried { segment, why: last })).is_ok()
    }

    /// Starts a child and gives it the job.
    fn open(
        &self,
        worker: usize,
        events: &Sender<Result<Event, PoolError>>,
    ) -> Result<Line, Break> {
        let mut line = Line::start(self.config)?;
        let (hello, _) = self.answer(&mut line)?;
        let Up::Hello { protocol: PROTOCOL, protections } = hello else {
            return Err(garbage(format!("instead of a greeting: {hello:?}")));
        };
        if self.config.require && !protections.all_hold() {
            let missing = protections.missing();
            return Err(WorkerFailure::Unprotected { missing }.into());
        }
        let pid = line.child.id();
        // A closed channel shows at the next result.
        let _ = events.send(Ok(Event::Worker { worker, pid, protections }));
        let shared = match &self.job.inputs {
            Inputs::Shared(bytes) => Some(bytes.as_ref()),
            Inputs::Each(_) => None,
        };
        let down = Down::Job {
            engine: self.config.engine,
            spec: self.job.spec.clone(),
            module_bytes: u32::try_from(self.job.module.len()).expect("checked by run"),
            shared_input: shared.is_some(),
        };
        self.say(&mut line, down, vec![self.job.module.to_vec(), shared.unwrap_or(&[]).to_vec()])?;
        match self.answer(&mut line)? {
            (Up::Ready, _) => {}
            (Up::Refused(error), _) => {
                let _ = events.send(Ok(Event::Refused(error)));
            }
            (Up::Failed(error), _) => return Err(WorkerFailure::Run(error).into()),
            (other, _) => return Err(garbage(format!("instead of readiness: {other:?}"))),
        }
        Ok(line)
    }

    fn run(&self, line: &mut Line, segment: u32) -> Result<SegmentOutput, Break> {
        let input = self.job.inputs.of(segment).expect("checked by run");
        let own = match &self.job.inputs {
            Inputs::Shared(_) => Vec::new(),
            Inputs::Each(_) => input.to_vec(),
        };
        self.say(line, Down::Run { segment }, vec![own])?;
        match self.answer(line)? {
            (Up::Done { receipt, output_bytes }, blob) => {
                self.check(segment, input, receipt, output_bytes, blob).map_err(garbage)
            }
            (Up::Failed(error), _) => Err(WorkerFailure::Run(error).into()),
            (other, _) => Err(garbage(format!("instead of a result: {other:?}"))),
        }
    }

    /// What a child says about a segment is believed only as far as it can be checked here.
    fn check(
        &self,
        segment: u32,
        input: &[u8],
        receipt: Receipt,
        output_bytes: u32,
        mut output: Vec<u8>,
    ) -> Result<SegmentOutput, String> {
        let limits = self.job.spec.limits;
        if output_bytes as usize > output.len() || output_bytes > limits.output_bytes {
            return Err(format!("{output_bytes} bytes of output, limit {}", limits.output_bytes));
        }
        let log = output.split_off(output_bytes as usize);
        if receipt.segment != segment {
            return Err(format!("segment {} instead of {segment}", receipt.segment));
        }
        if receipt.fuel > limits.fuel {
            return Err(format!("{} fuel, limit {}", receipt.fuel, limits.fuel));
        }
        if receipt.input != Hash::of_content(input) {
            return Err("another input".to_owned());
        }
        if receipt.output_bytes != output_bytes || receipt.output != Hash::of_content(&output) {
            return Err("an output that is not its receipt's".to_owned());
        }
        Ok(SegmentOutput { receipt, output, log })
    }

    fn say(&self, line: &mut Line, down: Down, blobs: Vec<Vec<u8>>) -> Result<(), Break> {
        // The line's own thread writes, so that a child that does not read cannot hold this one.
        line.orders.send((down, blobs)).map_err(|_| line.obituary().into())
    }

    fn answer(&self, line: &mut Line) -> Result<(Up, Vec<u8>), Break> {
        select! {
            recv(line.answers) -> answer => match answer {
                Ok(Ok(Some(answer))) => Ok(answer),
                Ok(Ok(None)) | Err(_) => Err(line.obituary().into()),
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                    Err(garbage(error.to_string()))
                }
                Ok(Err(_)) => Err(line.obituary().into()),
            },
            recv(self.cancel.gone()) -> _ => Err(Break::Cancelled),
            recv(self.halt.gone()) -> _ => Err(Break::Cancelled),
            default(self.config.deadline) => {
                let limit_ms = u64::try_from(self.config.deadline.as_millis()).unwrap_or(u64::MAX);
                Err(WorkerFailure::Hung { limit_ms }.into())
            }
        }
    }
}

fn garbage(reason: impl Into<String>) -> Break {
    Break::Failed(WorkerFailure::Garbage { reason: reason.into() })
}

type Answer = std::io::Result<Option<(Up, Vec<u8>)>>;
type Order = (Down, Vec<Vec<u8>>);

/// A child with a thread on each of its pipes. Dropping it kills the child.
struct Line {
    child: Child,
    orders: Sender<Order>,
    answers: Receiver<Answer>,
}

impl Line {
    fn start(config: &PoolConfig) -> Result<Self, WorkerFailure> {
        let spawn_failure = |error: &std::io::Error| WorkerFailure::Spawn {
            command: config.program.display().to_string(),
            reason: error.to_string(),
        };
        let mut child = Command::new(&config.program)
            .args(&config.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| spawn_failure(&error))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (orders, orders_in) = bounded(1);
        let (answers_out, answers) = bounded(1);
        let mut line = Self { child, orders, answers };
        let (Some(input), Some(output)) = (input, output) else {
            let error = std::io::Error::other("no pipes");
            line.bury();
            return Err(spawn_failure(&error));
        };
        let threads = [
            thread("orders", move || write_orders(input, &orders_in)),
            thread("answers", move || read_answers(output, &answers_out)),
        ];
        for started in threads {
            started.map_err(|error| spawn_failure(&error))?;
        }
        Ok(line)
    }

    /// How the child ended. It is dead or as good as dead: its pipe is closed.
    fn obituary(&mut self) -> WorkerFailure {
        let _ = self.child.kill();
        let status = match self.child.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        WorkerFailure::Died { status }
    }

    /// Lets the child end by itself: its pipe is closed, it has a second.
    fn close(mut self) {
        self.orders = bounded(0).0;
        // The reader ends with the child's output.
        select! {
            recv(self.answers) -> _ => {}
            recv(never::<()>()) -> _ => {}
            default(Duration::from_secs(1)) => {}
        }
    }

    fn bury(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bury();
    }
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

fn write_orders(input: ChildStdin, orders: &Receiver<Order>) {
    let mut input = BufWriter::new(input);
    for (down, blobs) in orders {
        let blobs: Vec<&[u8]> = blobs.iter().map(Vec::as_slice).collect();
        if frame::write(&mut input, &down, &blobs).and_then(|()| input.flush()).is_err() {
            // The child is gone; the reader tells.
            return;
        }
    }
}

fn read_answers(output: ChildStdout, answers: &Sender<Answer>) {
    let mut output = BufReader::new(output);
    loop {
        let answer = frame::read(&mut output, UP_BYTES_MAX);
        let last = !matches!(answer, Ok(Some(_)));
        if answers.send(answer).is_err() || last {
            return;
        }
    }
}
