//! What a replica counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one replica, shared by its threads.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) dropped_in: AtomicU64,
    pub(super) dropped_out: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) votes_verified: AtomicU64,
    pub(super) votes_spared: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) rewrites: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Totals {
    /// Messages that arrived and found their queue full.
    pub dropped_in: u64,
    /// Messages to peers whose queue was full, or who could not be reached.
    pub dropped_out: u64,
    /// Messages that did not decode or verify.
    pub refused: u64,
    /// Small messages whose signatures were checked.
    pub votes_verified: u64,
    /// Small messages that the core did not want.
    pub votes_spared: u64,
    /// Syncs of the vote log.
    pub syncs: u64,
    /// Times that the vote log was replaced by a shorter one.
    pub rewrites: u64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// All of them, now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            dropped_in: read(&self.dropped_in),
            dropped_out: read(&self.dropped_out),
            refused: read(&self.refused),
            votes_verified: read(&self.votes_verified),
            votes_spared: read(&self.votes_spared),
            syncs: read(&self.syncs),
            rewrites: read(&self.rewrites),
        }
    }
}
