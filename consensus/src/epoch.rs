//! Epochs: a validator set together with the block it begins after.

use gongsuan_types::{Hash, Height, Term, TimeMs};
use serde::{Deserialize, Serialize};

use crate::block::{Block, Header, Rank, genesis};
use crate::certificate::Qc;
use crate::validators::ValidatorSet;
use crate::vote::VoteKind;

/// Who votes, and from where on. The last block of an epoch names the set of the next one; nothing follows it in its
/// own epoch, and everything that is signed is bound to the epoch's number.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Epoch {
    validators: ValidatorSet,
    base: Rank,
    block: Hash,
    time: TimeMs,
}

impl Epoch {
    /// The first epoch: it begins with the empty chain.
    #[must_use]
    pub fn first(chain_id: &Hash, validators: ValidatorSet) -> Self {
        let block = genesis(chain_id, validators.epoch());
        Self { validators, base: Rank::default(), block, time: TimeMs(0) }
    }

    /// The epoch that begins after a final block; `None` if the block does not name a next set. That the block is
    /// committed is the caller's to know.
    #[must_use]
    pub fn after(chain_id: &Hash, last: &Block) -> Option<Self> {
        let validators = last.header.next.clone()?;
        let (base, time) = (last.header.rank(), last.header.time);
        Some(Self { validators, base, block: last.hash(chain_id), time })
    }

    /// The epoch's number, from 0.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.validators.epoch()
    }

    /// Who votes.
    #[must_use]
    pub fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    /// Term and height of the block before the first one of this epoch.
    #[must_use]
    pub fn base(&self) -> Rank {
        self.base
    }

    /// The hash of that block.
    #[must_use]
    pub fn base_block(&self) -> Hash {
        self.block
    }

    /// Its time.
    #[must_use]
    pub fn base_time(&self) -> TimeMs {
        self.time
    }

    /// The height of that block.
    #[must_use]
    pub fn base_height(&self) -> Height {
        self.base.height
    }

    /// The term every validator of the epoch starts in.
    #[must_use]
    pub fn first_term(&self) -> Term {
        self.base.term.next()
    }

    /// The certificate that stands for the base within the epoch. It has no signatures: what it certifies is what
    /// everybody in the epoch starts from.
    #[must_use]
    pub fn certificate(&self) -> Qc {
        Qc {
            kind: VoteKind::Commit,
            epoch: self.number(),
            rank: self.base,
            block: self.block,
            signatures: Vec::new(),
        }
    }

    /// Whether a block opens its term: it brings the proof that the term before is over, or it is the first of the epoch.
    #[must_use]
    pub fn opens_term(&self, header: &Header) -> bool {
        header.tc.is_some()
            || (header.term == self.first_term() && header.height == self.base.height.next())
    }
}
