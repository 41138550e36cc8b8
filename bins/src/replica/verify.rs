//! Checking signatures, with one memory of good ones for all threads.

use std::sync::{Arc, PoisonError, RwLock};

use gongsuan_consensus::{Epoch, Message, VerifiedMessage, VerifyError, Vote, VoteCache, verify};
use gongsuan_types::Hash;

/// Good signatures that are remembered, so that certificates made of known votes cost nothing.
const SEEN: usize = 16_384;

/// Checks messages against the epoch that the core is in; clones share epoch and memory.
#[derive(Debug, Clone)]
pub(super) struct Checker {
    chain_id: Hash,
    epoch: Arc<RwLock<Arc<Epoch>>>,
    seen: Arc<VoteCache>,
}

impl Checker {
    pub(super) fn new(chain_id: Hash, epoch: Epoch) -> Self {
        let (epoch, seen) = (Arc::new(RwLock::new(Arc::new(epoch))), VoteCache::new(SEEN));
        Self { chain_id, epoch, seen: Arc::new(seen) }
    }

    fn epoch(&self) -> Arc<Epoch> {
        self.epoch.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn enter(&self, epoch: Epoch) {
        *self.epoch.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(epoch);
    }

    pub(super) fn check(&self, message: Message) -> Result<VerifiedMessage, VerifyError> {
        verify(message, &self.epoch(), &self.chain_id, &self.seen)
    }

    /// A vote that we have signed ourselves: certificates with it in them need not verify it.
    pub(super) fn remember(&self, own: &Vote) {
        self.seen.remember(own, self.epoch().validators(), &self.chain_id);
    }

    pub(super) fn split(&self, joined: &gongsuan_consensus::JoinedVote) -> [Vote; 2] {
        joined.split(&self.chain_id)
    }
}
