//! A child with a thread on each of its pipes.

use std::io::{BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};

use super::PoolConfig;
use super::frame::{self, Down, UP_BYTES_MAX, Up};
use crate::WorkerFailure;
use crate::pool::Cancel;

type Answer = std::io::Result<Option<(Up, Vec<u8>)>>;
type Order = (Down, Vec<Vec<u8>>);

/// A child with a thread on each of its pipes. Dropping it kills the child.
pub(super) struct Line {
    child: Child,
    orders: Sender<Order>,
    answers: Receiver<Answer>,
    deadline: Duration,
}

/// Why a line is of no use any more.
pub(super) enum Break {
    Failed(WorkerFailure),
    Cancelled,
}

impl From<WorkerFailure> for Break {
    fn from(failure: WorkerFailure) -> Self {
        Self::Failed(failure)
    }
}

pub(super) fn garbage(reason: impl Into<String>) -> Break {
    Break::Failed(WorkerFailure::Garbage { reason: reason.into() })
}

impl Line {
    pub(super) fn start(config: &PoolConfig) -> Result<Self, WorkerFailure> {
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
        let deadline = config.deadline;
        let mut line = Self { child, orders, answers, deadline };
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

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn say(&mut self, down: Down, blobs: Vec<Vec<u8>>) -> Result<(), Break> {
        // The line's own thread writes, so that a child that does not read cannot hold this one.
        self.orders.send((down, blobs)).map_err(|_| self.obituary().into())
    }

    /// The next answer, unless one of `stops` or the deadline comes first.
    pub(super) fn answer(&mut self, stops: [&Cancel; 2]) -> Result<(Up, Vec<u8>), Break> {
        let [first, second] = stops;
        select! {
            recv(self.answers) -> answer => match answer {
                Ok(Ok(Some(answer))) => Ok(answer),
                Ok(Ok(None)) | Err(_) => Err(self.obituary().into()),
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                    Err(garbage(error.to_string()))
                }
                Ok(Err(_)) => Err(self.obituary().into()),
            },
            recv(first.gone()) -> _ => Err(Break::Cancelled),
            recv(second.gone()) -> _ => Err(Break::Cancelled),
            default(self.deadline) => {
                let limit_ms = u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX);
                Err(WorkerFailure::Hung { limit_ms }.into())
            }
        }
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
    pub(super) fn close(mut self) {
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
