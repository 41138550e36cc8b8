//! Votes and timeouts: what a validator signs besides blocks.

use gongsuan_types::{Hash, Hasher, Height, SecretKey, Signature, Term};
use serde::{Deserialize, Serialize};

use crate::block::Rank;
use crate::certificate::Qc;
use crate::validators::Seat;

/// The two votes on a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoteKind {
    /// "This is the only block I accept at this term and height."
    Prepare,
    /// "I am locked on it, durably."
    Commit,
}

/// One validator's vote for one block.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Vote {
    /// Which of the two votes.
    pub kind: VoteKind,
    /// The epoch of the validator set.
    pub epoch: u64,
    /// The block's term and height.
    pub rank: Rank,
    /// The block's hash.
    pub block: Hash,
    /// Who votes.
    pub seat: Seat,
    /// The voter's signature over [`vote_digest`].
    pub signature: Signature,
}

/// What a voter signs. Every kind has a tag of its own; chain and epoch are bound.
#[must_use]
pub fn vote_digest(chain_id: &Hash, kind: VoteKind, epoch: u64, rank: Rank, block: &Hash) -> Hash {
    let mut hasher = Hasher::new(match kind {
        VoteKind::Prepare => "gongsuan/consensus/prepare/v1",
        VoteKind::Commit => "gongsuan/consensus/commit/v1",
    });
    hasher.update(&chain_id.0).update(&epoch.to_le_bytes());
    hasher.update(&rank.term.0.to_le_bytes()).update(&rank.height.0.to_le_bytes());
    hasher.update(&block.0);
    hasher.finish()
}

/// What is signed to end a term: the term and the rank of the highest certificate held.
#[must_use]
pub fn timeout_digest(chain_id: &Hash, epoch: u64, term: Term, high: Rank) -> Hash {
    let mut hasher = Hasher::new("gongsuan/consensus/timeout/v1");
    hasher.update(&chain_id.0).update(&epoch.to_le_bytes()).update(&term.0.to_le_bytes());
    hasher.update(&high.term.0.to_le_bytes()).update(&high.height.0.to_le_bytes());
    hasher.finish()
}

impl Vote {
    /// Signs a vote. The caller checks that the key is the seat's, and that it may vote.
    #[must_use]
    pub fn sign(kind: VoteKind, rank: Rank, block: Hash, seat: Seat, signer: &Signer<'_>) -> Self {
        let digest = vote_digest(signer.chain_id, kind, signer.epoch, rank, &block);
        Self { kind, epoch: signer.epoch, rank, block, seat, signature: signer.key.sign(&digest) }
    }

    /// [`vote_digest`] of this vote.
    #[must_use]
    pub fn digest(&self, chain_id: &Hash) -> Hash {
        vote_digest(chain_id, self.kind, self.epoch, self.rank, &self.block)
    }
}

/// A key with the chain and epoch it signs for.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// The chain.
    pub chain_id: &'a Hash,
    /// The epoch of the validator set.
    pub epoch: u64,
    /// The validator's key.
    pub key: &'a SecretKey,
}

/// A wish to end a term, which may be taken back. Not signed: it counts only from the channel it came by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Suspect {
    /// The term suspected.
    pub term: Term,
    /// The sender's committed height: who has more answers with the certificate.
    pub committed: Height,
}

/// An irrevocable vote to end a term.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Timeout {
    /// The epoch of the validator set.
    pub epoch: u64,
    /// The term to end.
    pub term: Term,
    /// The highest certificate the sender holds with the block and all its ancestors; its rank is what is signed.
    pub high: Qc,
    /// The sender's committed height.
    pub committed: Height,
    /// Who signs.
    pub seat: Seat,
    /// The signature over [`timeout_digest`] of the term and the rank of `high`.
    pub signature: Signature,
}

impl Timeout {
    /// Signs a timeout. The caller checks that the key is the seat's.
    #[must_use]
    pub fn sign(term: Term, high: Qc, committed: Height, seat: Seat, signer: &Signer<'_>) -> Self {
        let digest = timeout_digest(signer.chain_id, signer.epoch, term, high.rank);
        let signature = signer.key.sign(&digest);
        Self { epoch: signer.epoch, term, high, committed, seat, signature }
    }
}
