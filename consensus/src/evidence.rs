//! Proof that a validator signed things that exclude each other. Signatures alone prove it, to anybody who knows the
//! validators of the epoch. An honest validator never signs such things, crash or no crash.

use gongsuan_types::{Hash, Height, Term};
use serde::{Deserialize, Serialize};

use crate::block::{Block, Header, Rank};
use crate::certificate::TimeoutShare;
use crate::validators::{Seat, ValidatorSet};
use crate::verify::{self, VerifyError, VoteCache};
use crate::vote::{Vote, VoteKind};

/// Things signed by one validator that exclude each other.
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
    /// Two PREPAREs of one term on different branches, and no block on the way to the higher one shows a certificate
    /// that would have allowed the change (rule 4).
    BranchSwitch {
        /// The PREPARE for the lower block.
        lower: Vote,
        /// The PREPARE for the higher block.
        upper: Vote,
        /// The headers from the higher block down to the height above the lower one.
        path: Vec<Header>,
    },
    /// A COMMIT, and a timeout of that term or a later one that claims a lower highest certificate: the lock is denied,
    /// or the vote came after the term was left (rules 6 and 9).
    Amnesia {
        /// The COMMIT.
        commit: Vote,
        /// The term that the timeout ends.
        term: Term,
        /// The timeout.
        timeout: TimeoutShare,
    },
}

impl Evidence {
    /// Checks the evidence and names the guilty.
    ///
    /// # Errors
    /// [`VerifyError`] if a signature does not match or the things do not exclude each other.
    pub fn verify(&self, set: &ValidatorSet, chain_id: &Hash) -> Result<Seat, VerifyError> {
        let cache = VoteCache::none();
        let vote = |vote: &Vote| verify::vote(vote, set, chain_id, &cache);
        match self {
            Self::DoubleVote { first, second } => {
                let same =
                    (first.kind, first.rank, first.seat) == (second.kind, second.rank, second.seat);
                if !same || first.block == second.block {
                    return Err(VerifyError::NoConflict);
                }
                vote(first)?;
                vote(second)?;
                Ok(first.seat)
            }
            Self::DoubleProposal { first, second } => {
                let (one, two) = (first.hash(chain_id), second.hash(chain_id));
                if first.header.rank() != second.header.rank() || one == two {
                    return Err(VerifyError::NoConflict);
                }
                verify::block_signature(first, &one, (set, &cache))?;
                verify::block_signature(second, &two, (set, &cache))?;
                Ok(first.header.proposer)
            }
            Self::BranchSwitch { lower, upper, path } => {
                let pair = (lower.kind, upper.kind) == (VoteKind::Prepare, VoteKind::Prepare);
                let same = (lower.seat, lower.rank.term) == (upper.seat, upper.rank.term);
                let hashed: Vec<_> =
                    path.iter().map(|header| (header.hash(chain_id), header)).collect();
                if !pair || !same || !switches(lower, upper, &hashed) {
                    return Err(VerifyError::NoConflict);
                }
                vote(lower)?;
                vote(upper)?;
                Ok(upper.seat)
            }
            Self::Amnesia { commit, term, timeout } => {
                let denies = commit.kind == VoteKind::Commit
                    && commit.seat == timeout.seat
                    && forgets(commit.rank, *term, timeout.high);
                if !denies {
                    return Err(VerifyError::NoConflict);
                }
                vote(commit)?;
                verify::timeout_share(timeout, *term, set, chain_id)?;
                Ok(commit.seat)
            }
        }
    }
}

/// Whether a timeout of `term` that claims `high` denies a COMMIT of rank `commit`.
pub(crate) fn forgets(commit: Rank, term: Term, high: Rank) -> bool {
    commit.term <= term && high < commit
}

/// Whether the way to the upper block passes the lower one by without showing why: no block on it carries a certificate
/// of the term for a block of the way at or above the lower height. `path` goes from the upper block down to the height
/// above the lower one.
pub(crate) fn switches(lower: &Vote, upper: &Vote, path: &[(Hash, &Header)]) -> bool {
    let (low, term) = (lower.rank.height, lower.rank.term);
    let mut expected = (upper.block, upper.rank.height);
    for (hash, header) in path {
        if (*hash, header.height) != expected {
            return false;
        }
        expected = (header.parent, Height(header.height.0.saturating_sub(1)));
    }
    let reaches = expected.1 == low && !path.is_empty();
    let way: Vec<(Height, Hash)> = path
        .iter()
        .map(|(hash, header)| (header.height, *hash))
        .chain([(low, expected.0)])
        .collect();
    let shows_why = path.iter().any(|(_, header)| {
        let why = &header.justify;
        why.rank.term == term
            && why.rank.height >= low
            && way.contains(&(why.rank.height, why.block))
    });
    reaches && expected.0 != lower.block && !shows_why
}
