//! The vote log's thread: everything that waits goes out with one write and one sync.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use gongsuan_consensus::{Record, Seq};

use super::counters::{Counters, count};
use super::die;
use super::wal::Wal;

/// Batches that may wait. The core hands out no more than a window of blocks before it needs an answer.
const JOBS_MAX: usize = 1_024;

enum Job {
    Append { records: Vec<Record>, last: Seq, sync: bool },
    Replace { records: Vec<Record>, last: Seq },
}

/// The replica thread's side.
pub(super) struct Disk {
    jobs: Sender<Job>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The last record that is durable.
    durable: AtomicU64,
    /// Whether the log has grown so much that it should be replaced.
    is_large: AtomicBool,
}

impl Disk {
    /// Starts the thread. It sends on `news` (never waiting) when there is something new to ask for.
    pub(super) fn start(
        wal: Wal,
        news: Sender<()>,
        counters: Arc<Counters>,
    ) -> std::io::Result<Self> {
        let (jobs, waiting) = bounded(JOBS_MAX);
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::Builder::new()
            .name("votes".into())
            .spawn(move || write_all(wal, &waiting, &news, &shared, &counters))?;
        Ok(Self { jobs, state })
    }

    /// Appends records, of which `last` is the last one's number.
    pub(super) fn append(&self, records: Vec<Record>, last: Seq, sync: bool) {
        self.hand_over(Job::Append { records, last, sync });
    }

    /// Replaces the log by these records, which stand for everything up to `last`.
    pub(super) fn replace(&self, records: Vec<Record>, last: Seq) {
        self.hand_over(Job::Replace { records, last });
    }

    fn hand_over(&self, job: Job) {
        // The thread ends the process before it ends itself.
        drop(self.jobs.send(job));
    }

    /// The last record that is durable.
    pub(super) fn durable(&self) -> Seq {
        Seq(self.state.durable.load(Ordering::Acquire))
    }

    /// Whether the log should be replaced; says so once.
    pub(super) fn is_large(&self) -> bool {
        self.state.is_large.load(Ordering::Relaxed)
            && self.state.is_large.swap(false, Ordering::Relaxed)
    }
}

fn write_all(
    mut wal: Wal,
    jobs: &Receiver<Job>,
    news: &Sender<()>,
    state: &State,
    counters: &Counters,
) {
    let (mut next, mut is_told) = (None, false);
    loop {
        let Some(job) = next.take().or_else(|| jobs.recv().ok()) else { return };
        let (last, durable) = match job {
            Job::Replace { records, last } => {
                wal.replace(&records).unwrap_or_else(|error| die(&error));
                count(&counters.rewrites);
                is_told = false;
                (last, true)
            }
            Job::Append { mut records, mut last, mut sync } => {
                for job in jobs.try_iter() {
                    match job {
                        Job::Append { records: more, last: later, sync: durable } => {
                            records.extend(more);
                            last = later;
                            sync |= durable;
                        }
                        Job::Replace { .. } => {
                            next = Some(job);
                            break;
                        }
                    }
                }
                wal.append(&records, sync).unwrap_or_else(|error| die(&error));
                (last, sync)
            }
        };
        if durable {
            count(&counters.syncs);
            state.durable.store(last.0, Ordering::Release);
        }
        let is_large = !is_told && wal.is_large();
        if is_large {
            is_told = true;
            state.is_large.store(true, Ordering::Relaxed);
        }
        if durable || is_large {
            // A full channel means that the replica thread is about to look anyway.
            let _ = news.try_send(());
        }
    }
}
