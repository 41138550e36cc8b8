//! A thread for the block log, for applications that can go on while their log is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use gongsuan_consensus::{Blocks, CommittedBlock, Message, Seat, To};
use gongsuan_types::Height;

use super::{Front, Peers, die};

/// Commits that may wait to be written. Beyond them the replica thread waits: a disk that slow must slow the replica.
const COMMITS_MAX: usize = 256;
/// How long blocks that are durable elsewhere may wait for others to be written with them, and how many bytes of them.
const LINGER: (Duration, usize) = (Duration::from_millis(25), 4 << 20);
/// Bytes of one answer to a peer that catches up, and blocks in it.
const SERVE: (usize, u64) = (2 << 20, 128);

/// Why an archive failed.
#[derive(Debug, thiserror::Error)]
#[error("the block log failed: {0}")]
pub struct ArchiveError(pub Box<dyn std::error::Error + Send + Sync>);

/// Where committed blocks are kept.
pub trait Store: Send + 'static {
    /// Appends blocks, which follow those before, and makes them durable with one sync.
    ///
    /// # Errors
    /// The process must end.
    fn append(&mut self, blocks: &[CommittedBlock]) -> Result<(), ArchiveError>;

    /// A block that was appended; nothing, if it is not there.
    fn read(&self, height: Height) -> Option<CommittedBlock>;
}

enum Job {
    Append { blocks: Vec<CommittedBlock>, is_urgent: bool },
    Serve { to: Seat, from: Height, up_to: Height },
}

/// The replica thread's side. When it is dropped, what was handed over is written and the thread ends.
#[derive(Debug)]
pub struct Archive {
    jobs: Option<Sender<Job>>,
    durable: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Append { blocks, .. } => write!(f, "Append({} blocks)", blocks.len()),
            Self::Serve { to, from, up_to } => write!(f, "Serve({to}, {from}..={up_to})"),
        }
    }
}

impl Archive {
    /// Starts the thread. Whenever more is durable it nudges the replica thread, and never waits for it:
    /// [`Application::on_nudge`](super::Application::on_nudge) should lead from [`Archive::durable`] to
    /// [`Context::applied`](super::Context::applied).
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start<S: Store, E: Send + 'static>(
        store: S,
        peers: Peers,
        front: Front<E>,
    ) -> std::io::Result<Self> {
        let (jobs, waiting) = bounded(COMMITS_MAX);
        let durable = Arc::new(AtomicU64::new(0));
        let shared = durable.clone();
        let thread = std::thread::Builder::new()
            .name("blocks".into())
            .spawn(move || work(store, &waiting, &peers, &front, &shared))?;
        Ok(Self { jobs: Some(jobs), durable, thread: Some(thread) })
    }

    /// The last height that was made durable since the start; 0 if none was.
    #[must_use]
    pub fn durable(&self) -> Height {
        Height(self.durable.load(Ordering::Acquire))
    }

    /// Hands blocks over to be written: at once if somebody waits for that, or within 25 ms together with those that follow.
    pub fn append(&self, blocks: Vec<CommittedBlock>, is_urgent: bool) {
        if let Some(jobs) = &self.jobs {
            // The thread ends the process before it ends itself.
            drop(jobs.send(Job::Append { blocks, is_urgent }));
        }
    }

    /// Answers a peer that wants blocks, as many as fit. With too much to do already, it does not: the peer asks again.
    pub fn serve(&self, to: Seat, from: Height, up_to: Height) {
        if let Some(jobs) = &self.jobs {
            drop(jobs.try_send(Job::Serve { to, from, up_to }));
        }
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn work<S: Store, E>(
    mut store: S,
    jobs: &Receiver<Job>,
    peers: &Peers,
    front: &Front<E>,
    durable: &AtomicU64,
) {
    let mut next = None;
    loop {
        let Some(job) = next.take().or_else(|| jobs.recv().ok()) else { return };
        match job {
            Job::Serve { to, from, up_to } => {
                let last = up_to.0.min(from.0.saturating_add(SERVE.1));
                let range = (from.0..=last).map_while(|height| store.read(Height(height)));
                if let Some(blocks) = Blocks::from_log(range, SERVE.0) {
                    peers.send(To::One(to), &Message::Blocks(Box::new(blocks)));
                }
            }
            Job::Append { mut blocks, mut is_urgent } => {
                let until = Instant::now() + LINGER.0;
                let mut bytes = size(&blocks);
                while !is_urgent && bytes < LINGER.1 {
                    match jobs.recv_deadline(until) {
                        Ok(Job::Append { blocks: more, is_urgent: urgent }) => {
                            bytes += size(&more);
                            blocks.extend(more);
                            is_urgent = urgent;
                        }
                        Ok(serve @ Job::Serve { .. }) => {
                            next = Some(serve);
                            break;
                        }
                        // Time is up, or the replica has stopped.
                        Err(_) => break,
                    }
                }
                store.append(&blocks).unwrap_or_else(|error| die(&error));
                if let Some(last) = blocks.last() {
                    durable.store(last.proposal.block.header.height.0, Ordering::Release);
                    front.nudge();
                }
            }
        }
    }
}

fn size(blocks: &[CommittedBlock]) -> usize {
    blocks.iter().map(|block| block.proposal.payload.bytes().len()).sum()
}
