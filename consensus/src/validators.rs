//! Who votes.

use gongsuan_types::{Hash, PublicKey, Term, codec};
use serde::{Deserialize, Serialize};

/// The validators of an epoch, by index. The order is part of the chain's genesis.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ValidatorSet {
    /// The chain's id: every signature is bound to it.
    pub chain_id: Hash,
    /// The epoch: every signature is bound to it.
    pub epoch: u64,
    /// The keys; an index into this list names a validator.
    pub keys: Vec<PublicKey>,
}

impl ValidatorSet {
    /// The number of validators.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// How many may fail in any way: `⌊(n − 1) / 3⌋`.
    #[must_use]
    pub fn faulty_max(&self) -> usize {
        self.count().saturating_sub(1) / 3
    }

    /// Votes in a certificate: `n − f`, which is 2f+1 for n = 3f+1. Any two quorums share an honest validator.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.count() - self.faulty_max()
    }

    /// The leader of a term: every validator in turn.
    ///
    /// # Panics
    /// If the set is empty.
    #[must_use]
    pub fn leader(&self, term: Term) -> u16 {
        let index = term.0 % self.count() as u64;
        u16::try_from(index).expect("fewer than 65,536 validators")
    }

    /// A validator's key.
    #[must_use]
    pub fn key(&self, index: u16) -> Option<&PublicKey> {
        self.keys.get(usize::from(index))
    }

    /// The parent of the first block.
    #[must_use]
    pub fn genesis(&self) -> Hash {
        Hash::of("gongsuan/consensus/genesis/v1", &codec::encode(self))
    }
}
