//! Clients that submit on schedule, whatever comes back: the latency of a transaction counts from the time it was due.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::door::{ANSWER, Answer};
use super::tx::{self, Name};

/// Bytes written at once, at most.
const WRITE: usize = 64 << 10;
/// Transactions that are due closer together than this are sent together.
const TICK: Duration = Duration::from_millis(1);

/// What all clients do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    /// Transactions per second of all clients together.
    pub(super) rate: u64,
    pub(super) clients: u32,
    pub(super) size: usize,
    pub(super) start: Instant,
    /// When to stop submitting, and what is measured: from the start.
    pub(super) length: Duration,
    pub(super) warm_up: Duration,
}

impl Schedule {
    /// When a transaction is due, in nanoseconds from the start.
    fn due(&self, name: Name) -> u64 {
        let number = u128::from(name.sequence) * u128::from(self.clients) + u128::from(name.client);
        u64::try_from(number * 1_000_000_000 / u128::from(self.rate)).unwrap_or(u64::MAX)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// What became of a client's transactions.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// For each sequence number: nothing yet, final, or refused as busy.
    pub(super) fates: Vec<Seen>,
    /// Latencies of those due in the measured window, in microseconds.
    pub(super) latency_us: Vec<u64>,
    /// When answers arrived, in microseconds from the start.
    pub(super) arrivals_us: Vec<u64>,
    /// How many were answered as final within the measured window.
    pub(super) final_in_window: u64,
}

/// What a client was told about a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Seen {
    /// Nothing.
    #[default]
    Open,
    /// It is final.
    Final,
    /// The door was busy.
    Busy,
}

/// One client with its threads.
#[derive(Debug)]
pub(super) struct Client {
    outcome: Arc<Mutex<Outcome>>,
    writer: JoinHandle<()>,
}

struct Writer {
    number: u32,
    schedule: Schedule,
    doors: Vec<SocketAddr>,
    door: usize,
    outcome: Arc<Mutex<Outcome>>,
    filling: Vec<u8>,
    next: u64,
}

impl Client {
    /// Starts a client. When its door closes, it goes to the next one and submits again what was not answered.
    pub(super) fn start(
        number: u32,
        schedule: Schedule,
        doors: Vec<SocketAddr>,
        door: usize,
    ) -> anyhow::Result<Self> {
        let outcome = Arc::<Mutex<Outcome>>::default();
        // Bytes that do not compress.
        let mut word = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(number);
        let filling = std::iter::repeat_with(|| {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            word.to_le_bytes()
        });
        let filling: Vec<u8> = filling.take(schedule.size / 8 + 1).flatten().collect();
        let outcome_of = outcome.clone();
        let writer =
            std::thread::Builder::new().name(format!("client-{number}")).spawn(move || {
                let mut writer =
                    Writer { number, schedule, doors, door, outcome: outcome_of, filling, next: 0 };
                while !writer.submit_all() {
                    writer.door = (writer.door + 1) % writer.doors.len();
                }
            })?;
        Ok(Self { outcome, writer })
    }

    /// Waits until everything due was submitted.
    pub(super) fn finish(self) -> Arc<Mutex<Outcome>> {
        drop(self.writer.join());
        self.outcome
    }
}

impl Writer {
    /// Submits at one door until the end of the schedule (`true`) or of the door.
    fn submit_all(&mut self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.doors[self.door]) else { return false };
        let is_broken = Arc::new(AtomicBool::new(false));
        let Ok(reader) = stream.try_clone() else { return false };
        let (outcome, schedule) = (self.outcome.clone(), self.schedule);
        let (number, flag) = (self.number, is_broken.clone());
        let read = move || {
            drop(read_answers(reader, number, &schedule, &outcome));
            flag.store(true, Ordering::Relaxed);
        };
        drop(std::thread::Builder::new().name(format!("answers-{number}")).spawn(read));
        let hello = stream.set_nodelay(true).and_then(|()| stream.write_all(&number.to_le_bytes()));
        if hello.is_err() || self.submit_again(&mut stream).is_err() {
            return false;
        }
        loop {
            let elapsed = self.schedule.start.elapsed();
            let now = nanos(elapsed.min(self.schedule.length));
            if self.submit_due(&mut stream, now).is_err() || is_broken.load(Ordering::Relaxed) {
                return false;
            }
            if elapsed >= self.schedule.length {
                return true;
            }
            let next = self.schedule.due(Name { client: self.number, sequence: self.next });
            let pause = Duration::from_nanos(next.saturating_sub(nanos(elapsed))).max(TICK);
            std::thread::sleep(pause.min(self.schedule.length.saturating_sub(elapsed)));
        }
    }

    fn submit_due(&mut self, stream: &mut TcpStream, now: u64) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            let name = Name { client: self.number, sequence: self.next };
            let is_due = self.schedule.due(name) < now;
            if !bytes.is_empty() && (!is_due || bytes.len() + self.schedule.size > WRITE) {
                stream.write_all(&bytes)?;
                bytes.clear();
            }
            if !is_due {
                return Ok(());
            }
            tx::write(&mut bytes, name, self.schedule.size, &self.filling);
            self.next += 1;
        }
    }

    /// Submits again what no answer has come for.
    fn submit_again(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let open: Vec<u64> = {
            let outcome = lock(&self.outcome);
            let is_open = |sequence: &u64| {
                let index = usize::try_from(*sequence).unwrap_or(usize::MAX);
                outcome.fates.get(index).copied().unwrap_or_default() == Seen::Open
            };
            (0..self.next).filter(is_open).collect()
        };
        for run in open.chunk_by(|a, b| a + 1 == *b) {
            let mut bytes = Vec::new();
            for sequence in run {
                let name = Name { client: self.number, sequence: *sequence };
                tx::write(&mut bytes, name, self.schedule.size, &self.filling);
            }
            stream.write_all(&bytes)?;
        }
        Ok(())
    }
}

pub(super) fn lock(outcome: &Mutex<Outcome>) -> MutexGuard<'_, Outcome> {
    outcome.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_answers(
    mut stream: TcpStream,
    client: u32,
    schedule: &Schedule,
    outcome: &Mutex<Outcome>,
) -> std::io::Result<()> {
    let (mut bytes, mut end) = (vec![0; 4_096], 0);
    loop {
        let got = stream.read(&mut bytes[end..])?;
        if got == 0 {
            return Ok(());
        }
        end += got;
        let now = nanos(schedule.start.elapsed());
        let mut outcome = lock(outcome);
        let mut answers = bytes[..end].chunks_exact(ANSWER);
        for answer in answers.by_ref() {
            if let Some(answer) = answer.first_chunk() {
                outcome.note(Answer::decode(answer), client, schedule, now);
            }
        }
        let rest = answers.remainder().len();
        bytes.copy_within(end - rest..end, 0);
        end = rest;
    }
}

impl Outcome {
    fn note(&mut self, answer: Answer, client: u32, schedule: &Schedule, now: u64) {
        let window = nanos(schedule.warm_up)..nanos(schedule.length);
        for sequence in answer.first..answer.first + answer.count {
            let index = usize::try_from(sequence).unwrap_or(usize::MAX);
            if index >= self.fates.len() {
                self.fates.resize((index + 1).max(2 * self.fates.len()), Seen::Open);
            }
            let seen = &mut self.fates[index];
            if *seen != Seen::Open {
                continue;
            }
            *seen = if answer.is_final { Seen::Final } else { Seen::Busy };
            if !answer.is_final {
                continue;
            }
            let due = schedule.due(Name { client, sequence });
            if window.contains(&due) {
                self.latency_us.push(now.saturating_sub(due) / 1_000);
            }
            self.final_in_window += u64::from(window.contains(&now));
        }
        if answer.is_final {
            self.arrivals_us.push(now / 1_000);
        }
    }
}
