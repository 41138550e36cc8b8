//! Where clients come in: plain TCP, transactions in, answers out.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use gongsuan::replica::Front;

use super::app::Event;
use super::tx::{self, Name};

/// Bytes read at once.
const READ: usize = 64 << 10;
/// Answers that may wait for a client that does not read.
const ANSWERS_MAX: usize = 65_536;

/// Transactions of one client, with rising sequence numbers.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) bytes: Arc<Vec<u8>>,
}

/// What a client is told about a run of its transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) is_final: bool,
    pub(super) first: u64,
    pub(super) count: u64,
}

/// Bytes of an encoded answer.
pub(super) const ANSWER: usize = 17;

impl Answer {
    pub(super) fn encode(&self) -> [u8; ANSWER] {
        let mut bytes = [0; ANSWER];
        bytes[0] = u8::from(self.is_final);
        bytes[1..9].copy_from_slice(&self.first.to_le_bytes());
        bytes[9..].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; ANSWER]) -> Self {
        let number = |at: usize| {
            bytes[at..].first_chunk::<8>().map_or(0, |chunk| u64::from_le_bytes(*chunk))
        };
        Self { is_final: bytes[0] == 1, first: number(1), count: number(9) }
    }
}

/// The clients at this door, and how much of theirs is on the way.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    answers: Arc<Mutex<BTreeMap<u32, Sender<Answer>>>>,
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

impl Clients {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { answers: Arc::default(), bytes: Arc::default(), bytes_max }
    }

    /// Tells clients of this door what has become final, in runs.
    pub(super) fn tell_final(&self, names: impl Iterator<Item = Name>) {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut runs: BTreeMap<u32, Answer> = BTreeMap::new();
        for name in names {
            let Some(queue) = answers.get(&name.client) else { continue };
            let run = runs.entry(name.client).or_insert(Answer {
                is_final: true,
                first: name.sequence,
                count: 0,
            });
            if name.sequence != run.first + run.count {
                let _ = queue.try_send(*run);
                *run = Answer { is_final: true, first: name.sequence, count: 0 };
            }
            run.count += 1;
        }
        for (client, run) in runs {
            if let Some(queue) = answers.get(&client) {
                let _ = queue.try_send(run);
            }
        }
    }

    /// Something of a client has left the replica's hands.
    pub(super) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn has_room(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.bytes_max {
            self.release(bytes);
            return false;
        }
        true
    }
}

/// Opens the door.
pub(super) fn open(socket: TcpListener, clients: Clients, front: Front<Event>) {
    let accept = move || {
        for stream in socket.incoming().flatten() {
            let (clients, front) = (clients.clone(), front.clone());
            let serve = move || drop(serve(stream, &clients, &front));
            drop(std::thread::Builder::new().name("door".into()).spawn(serve));
        }
    };
    drop(std::thread::Builder::new().name("doors".into()).spawn(accept));
}

/// A client begins with its number; then transactions follow.
fn serve(mut stream: TcpStream, clients: &Clients, front: &Front<Event>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut hello = [0; 4];
    stream.read_exact(&mut hello)?;
    let client = u32::from_le_bytes(hello);
    let (answers, waiting) = bounded(ANSWERS_MAX);
    let writer = stream.try_clone()?;
    let name = std::thread::Builder::new().name("answer".into());
    name.spawn(move || drop(answer(writer, &waiting)))?;
    clients.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(client, answers.clone());
    let (mut buffer, mut end) = (vec![0; READ], 0);
    loop {
        let got = stream.read(&mut buffer[end..])?;
        if got == 0 {
            return Ok(());
        }
        end += got;
        let mut walk = tx::walk(&buffer[..end]);
        let Some((first, _)) = walk.next() else { continue };
        let count = 1 + walk.by_ref().count() as u64;
        let size = walk.consumed();
        let batch = Batch { bytes: Arc::new(buffer[..size].to_vec()) };
        buffer.copy_within(size..end, 0);
        end -= size;
        let is_taken = clients.has_room(size) && {
            let taken = front.try_push(Event::Submit(batch)).is_ok();
            if !taken {
                clients.release(size);
            }
            taken
        };
        if !is_taken {
            let busy = Answer { is_final: false, first: first.sequence, count };
            let _ = answers.try_send(busy);
        }
    }
}

/// Writes answers, all that wait with one call.
fn answer(mut stream: TcpStream, waiting: &Receiver<Answer>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    while let Ok(first) = waiting.recv() {
        bytes.clear();
        bytes.extend_from_slice(&first.encode());
        waiting.try_iter().for_each(|more| bytes.extend_from_slice(&more.encode()));
        stream.write_all(&bytes)?;
    }
    Ok(())
}
