//! Proof that a validator signed two things that exclude each other. Signatures alone prove it, to anybody.

use gongsuan_types::Hash;
use serde::{Deserialize, Serialize};

use crate::block::Block;
use crate::validators::{Seat, ValidatorSet};
use crate::verify::{self, VerifyError, VoteCache};
use crate::vote::Vote;

/// Two signed things that exclude each other.
#[expect(clippy::large_enum_variant, reason = "evidence is rare and travels in a box")]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Two votes of one kind, term and height for different blocks.
    DoubleVote {
        /// The vote seen first.
        first: Vote,
        /// The other vote.
        second: Vote,
    },
    /// Two blocks of one term and height by one leader.
    DoubleProposal {
        /// The block seen first.
        first: Block,
        /// The other block.
        second: Block,
    },
}

impl Evidence {
    /// Checks the evidence and names the guilty.
    ///
    /// # Errors
    /// [`VerifyError`] if a signature does not match or the two things do not exclude each other.
    pub fn verify(&self, set: &ValidatorSet, chain_id: &Hash) -> Result<Seat, VerifyError> {
        let mut cache = VoteCache::none();
        match self {
            Self::DoubleVote { first, second } => {
                let same =
                    (first.kind, first.rank, first.seat) == (second.kind, second.rank, second.seat);
                if !same || first.block == second.block {
                    return Err(VerifyError::NoConflict);
                }
                verify::vote(first, set, chain_id, &mut cache)?;
                verify::vote(second, set, chain_id, &mut cache)?;
                Ok(first.seat)
            }
            Self::DoubleProposal { first, second } => {
                let (one, two) = (first.hash(chain_id), second.hash(chain_id));
                if first.header.rank() != second.header.rank() || one == two {
                    return Err(VerifyError::NoConflict);
                }
                verify::block_signature(first, &one, set, &mut cache)?;
                verify::block_signature(second, &two, set, &mut cache)?;
                Ok(first.header.proposer)
            }
        }
    }
}
