//! Checking signatures, with one memory of good ones for all threads.

use std::sync::{Arc, Mutex, PoisonError};

use gongsuan_consensus::{Message, VerifiedMessage, VerifyError, VoteCache, verify};

use crate::net::Known;

/// Good signatures that are remembered, so that certificates made of known votes cost nothing.
const SEEN: usize = 16_384;

/// Checks messages; clones share the memory.
#[derive(Debug, Clone)]
pub(super) struct Checker {
    known: Known,
    seen: Arc<Mutex<VoteCache>>,
}

impl Checker {
    pub(super) fn new(known: Known) -> Self {
        Self { known, seen: Arc::new(Mutex::new(VoteCache::new(SEEN))) }
    }

    pub(super) fn check(&self, message: Message) -> Result<VerifiedMessage, VerifyError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        verify(message, &self.known.validators, &self.known.chain_id, &mut seen)
    }
}
