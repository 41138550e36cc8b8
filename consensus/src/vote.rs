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
    /// The voter's signature over [`vote_digest`], or over [`joined_digest`] with the sibling.
    pub signature: Signature,
    /// The digest of the other vote, if one signature serves a PREPARE and a COMMIT.
    pub sibling: Option<Hash>,
}

/// A PREPARE and a COMMIT of one validator under one signature: half the signing, half the checking, half the messages.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinedVote {
    /// The epoch of the validator set.
    pub epoch: u64,
    /// The PREPARE: term and height, and the block.
    pub prepare: (Rank, Hash),
    /// The COMMIT: term and height, and the block.
    pub commit: (Rank, Hash),
    /// Who votes.
    pub seat: Seat,
    /// The voter's signature over [`joined_digest`] of the two.
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

/// What a voter signs for two votes at once.
#[must_use]
pub fn joined_digest(prepare: &Hash, commit: &Hash) -> Hash {
    let mut hasher = Hasher::new("gongsuan/consensus/joined/v1");
    hasher.update(&prepare.0).update(&commit.0);
    hasher.finish()
}

/// What the signature under a vote signs, given the vote's own digest and that of the other vote, if it is joined.
#[must_use]
pub fn signed_digest(kind: VoteKind, own: Hash, sibling: Option<&Hash>) -> Hash {
    match (kind, sibling) {
        (_, None) => own,
        (VoteKind::Prepare, Some(commit)) => joined_digest(&own, commit),
        (VoteKind::Commit, Some(prepare)) => joined_digest(prepare, &own),
    }
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
        let signature = signer.key.sign(&digest);
        Self { kind, epoch: signer.epoch, rank, block, seat, signature, sibling: None }
    }

    /// What the signature signs: [`vote_digest`] of this vote, joined with the sibling if there is one.
    #[must_use]
    pub fn digest(&self, chain_id: &Hash) -> Hash {
        let own = vote_digest(chain_id, self.kind, self.epoch, self.rank, &self.block);
        signed_digest(self.kind, own, self.sibling.as_ref())
    }

    /// This vote as a line of a certificate.
    #[must_use]
    pub fn share(&self) -> VoteShare {
        VoteShare { seat: self.seat, signature: self.signature, sibling: self.sibling }
    }
}

impl JoinedVote {
    /// Signs two votes at once. The caller checks that the key is the seat's, and that it may cast both.
    #[must_use]
    pub fn sign(
        prepare: (Rank, Hash),
        commit: (Rank, Hash),
        seat: Seat,
        signer: &Signer<'_>,
    ) -> Self {
        let (epoch, chain) = (signer.epoch, signer.chain_id);
        let first = vote_digest(chain, VoteKind::Prepare, epoch, prepare.0, &prepare.1);
        let second = vote_digest(chain, VoteKind::Commit, epoch, commit.0, &commit.1);
        let signature = signer.key.sign(&joined_digest(&first, &second));
        Self { epoch, prepare, commit, seat, signature }
    }

    /// The PREPARE and the COMMIT, each by itself.
    #[must_use]
    pub fn split(&self, chain_id: &Hash) -> [Vote; 2] {
        let leaf = |kind, (rank, block): (Rank, Hash)| {
            vote_digest(chain_id, kind, self.epoch, rank, &block)
        };
        let prepare = leaf(VoteKind::Prepare, self.prepare);
        let commit = leaf(VoteKind::Commit, self.commit);
        let vote = |kind, (rank, block), sibling| Vote {
            kind,
            epoch: self.epoch,
            rank,
            block,
            seat: self.seat,
            signature: self.signature,
            sibling: Some(sibling),
        };
        [
            vote(VoteKind::Prepare, self.prepare, commit),
            vote(VoteKind::Commit, self.commit, prepare),
        ]
    }
}

/// One validator's line in a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VoteShare {
    /// Who voted.
    pub seat: Seat,
    /// Its signature.
    pub signature: Signature,
    /// See [`Vote::sibling`].
    pub sibling: Option<Hash>,
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
