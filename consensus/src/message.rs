//! What validators say to each other.

use gongsuan_types::{Hash, Hasher, Height, SecretKey, Signature, Term};
use serde::{Deserialize, Serialize};

use crate::{SignedBlock, ValidatorSet};

/// The position of a certificate: later terms first, then greater heights.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Rank {
    /// The term.
    pub term: Term,
    /// The height. Zero: no certificate at all.
    pub height: Height,
}

/// The two rounds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoteKind {
    /// "This is the block I saw at this height of this term."
    Prepare,
    /// "I have locked it durably."
    Commit,
}

/// One vote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Vote {
    /// Which round.
    pub kind: VoteKind,
    /// The block's term.
    pub term: Term,
    /// The block's height.
    pub height: Height,
    /// The block.
    pub block: Hash,
    /// The voter's index.
    pub voter: u16,
    /// Its signature.
    pub signature: Signature,
}

/// A certificate: a quorum of equal votes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Qc {
    /// Which round.
    pub kind: VoteKind,
    /// The block's term.
    pub term: Term,
    /// The block's height.
    pub height: Height,
    /// The block.
    pub block: Hash,
    /// Voters in rising order, each with its signature.
    pub votes: Vec<(u16, Signature)>,
}

/// One validator's part in ending a term.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TimeoutVote {
    /// The validator.
    pub voter: u16,
    /// The rank of the highest certificate that it knows.
    pub high: Rank,
    /// Its signature over the term and the rank.
    pub signature: Signature,
}

/// "I vote no more in this term."
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Timeout {
    /// The term that is given up.
    pub term: Term,
    /// Who gives it up, with the signed rank.
    pub vote: TimeoutVote,
    /// The certificate of that rank.
    pub high: Option<Qc>,
}

/// A term certificate: a quorum gave up the term, and this is the highest certificate among them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tc {
    /// The term given up.
    pub term: Term,
    /// Voters in rising order.
    pub timeouts: Vec<TimeoutVote>,
    /// The certificate of the greatest rank among the timeouts; none if that is zero.
    pub high: Option<Qc>,
}

/// A message between validators.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Message {
    /// A block with its payload: from the leader, or in answer to [`Message::FetchBlock`].
    Proposal {
        /// The block.
        block: SignedBlock,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// A vote.
    Vote(Vote),
    /// "The term makes no progress." Can be taken back; protected by the channel alone.
    Suspect {
        /// The term suspected.
        term: Term,
        /// What the sender has committed.
        committed: Height,
    },
    /// A validator gives up a term.
    Timeout(Timeout),
    /// A quorum gave up a term.
    NewTerm(Tc),
    /// Where the sender stands; sent upon connection and now and then.
    Status {
        /// Its term.
        term: Term,
        /// What it has committed.
        committed: Height,
    },
    /// "Send me committed blocks from this height on."
    Fetch {
        /// The first height wanted.
        from: Height,
    },
    /// "Send me this block, committed or not."
    FetchBlock(Hash),
    /// Committed blocks, one after another, with the commit certificate of the last.
    Blocks {
        /// The blocks with their payloads.
        blocks: Vec<(SignedBlock, Vec<u8>)>,
        /// The certificate of the last.
        certificate: Qc,
    },
}

impl Vote {
    /// Signs a vote.
    #[must_use]
    pub fn sign(
        validators: &ValidatorSet,
        key: &SecretKey,
        voter: u16,
        kind: VoteKind,
        at: (Rank, Hash),
    ) -> Self {
        let (rank, block) = at;
        let signature = key.sign(&vote_digest(validators, kind, rank, block));
        Self { kind, term: rank.term, height: rank.height, block, voter, signature }
    }

    /// The position voted for.
    #[must_use]
    pub fn rank(&self) -> Rank {
        Rank { term: self.term, height: self.height }
    }
}

impl Qc {
    /// The certificate's position.
    #[must_use]
    pub fn rank(&self) -> Rank {
        Rank { term: self.term, height: self.height }
    }
}

impl Timeout {
    /// Signs a timeout with the highest certificate known.
    #[must_use]
    pub fn sign(
        validators: &ValidatorSet,
        key: &SecretKey,
        voter: u16,
        term: Term,
        high: Option<Qc>,
    ) -> Self {
        let rank = high.as_ref().map(Qc::rank).unwrap_or_default();
        let signature = key.sign(&timeout_digest(validators, term, rank));
        Self { term, vote: TimeoutVote { voter, high: rank, signature }, high }
    }
}

pub(crate) fn vote_digest(
    validators: &ValidatorSet,
    kind: VoteKind,
    rank: Rank,
    block: Hash,
) -> Hash {
    let mut hasher = Hasher::new(match kind {
        VoteKind::Prepare => "gongsuan/consensus/prepare/v1",
        VoteKind::Commit => "gongsuan/consensus/commit/v1",
    });
    bind(&mut hasher, validators, rank);
    hasher.update(&block.0);
    hasher.finish()
}

pub(crate) fn timeout_digest(validators: &ValidatorSet, term: Term, high: Rank) -> Hash {
    let mut hasher = Hasher::new("gongsuan/consensus/timeout/v1");
    bind(&mut hasher, validators, high);
    hasher.update(&term.0.to_le_bytes());
    hasher.finish()
}

fn bind(hasher: &mut Hasher, validators: &ValidatorSet, rank: Rank) {
    hasher
        .update(&validators.chain_id.0)
        .update(&validators.epoch.to_le_bytes())
        .update(&rank.term.0.to_le_bytes())
        .update(&rank.height.0.to_le_bytes());
}
