//! What validators say of a case that a deal brings before them.
//!
//! A *case* is one question about one deal that only execution or a look at the data can answer. Validators answer it outside the process
//! that votes, and each signs a [`Verdict`]. [`quorum`] equal findings settle the case; nobody's word alone does.

use serde::{Deserialize, Serialize};

use crate::receipt::Receipt;
use crate::signed::Signable;
use crate::{DealId, Hash, PublicKey};

/// Verdicts in one operation, at most: one of each validator that a chain can have.
pub const VERDICTS_MAX: usize = 64;

/// One case: the deal, and how many cases it had before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CaseId {
    /// The deal.
    pub deal: DealId,
    /// From 1. A verdict on one case of a deal is none on the next.
    pub number: u32,
}

impl std::fmt::Display for CaseId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.deal, self.number)
    }
}

/// What a validator found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It executed the segment, and this came out. Which side is right follows: the chain compares it with both receipts.
    Produced(Receipt),
    /// The data in question was served, and has the hash that the chain names.
    Available,
    /// The data in question (or what would be needed to execute) could not be fetched from anybody.
    Unavailable,
    /// The renter's predicate accepts every output of the batch.
    Accepts,
    /// The renter's predicate refuses an output, traps, or runs out of fuel.
    Refuses,
}

/// A validator's statement on one case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The chain.
    pub chain_id: Hash,
    /// The case.
    pub case: CaseId,
    /// What was found.
    pub finding: Finding,
    /// Who says so: the key that it votes with.
    pub validator: PublicKey,
}

impl Signable for Verdict {
    fn signer(&self) -> PublicKey {
        self.validator
    }
    fn digest(&self) -> Hash {
        Hash::of("gongsuan/verdict/v1", &crate::codec::encode(self))
    }
}

/// How many of so many validators must find the same: 2f+1 of 3f+1. More than a third of them is honest in any two such groups, so no case
/// has two outcomes.
///
/// ```
/// use gongsuan_types::court::quorum;
/// assert_eq!([1, 3, 4, 7].map(quorum), [1, 3, 3, 5]);
/// ```
#[must_use]
pub const fn quorum(validators: usize) -> usize {
    validators - validators.saturating_sub(1) / 3
}
