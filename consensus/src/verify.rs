//! Checking signatures and shape, before the core: pure functions that run on any thread.

use gongsuan_types::{Hash, Height, Remembered, Signature, Term, merkle};

use crate::block::{Block, Proposal};
use crate::certificate::{Qc, Tc};
use crate::epoch::Epoch;
use crate::message::{BLOCKS_MAX, Blocks, Message, PAYLOAD_BYTES_MAX};
use crate::snapshot::{CHUNK_BYTES_MAX, CHUNKS_MAX, Chunk, SnapshotOffer};
use crate::validators::{Seat, ValidatorSet};
use crate::vote::{
    JoinedVote, Timeout, Vote, VoteKind, joined_digest, signed_digest, timeout_digest, vote_digest,
};

/// Why a message, certificate or block was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Signed for another epoch.
    #[error("{what} is of epoch {got}, the validator set is of {expected}")]
    Epoch {
        /// What was checked.
        what: &'static str,
        /// The set's epoch.
        expected: u64,
        /// The epoch got.
        got: u64,
    },
    /// No such seat.
    #[error("seat {0} is not in the validator set")]
    UnknownSeat(Seat),
    /// A signature that does not match.
    #[error("the signature of seat {seat} on a {what} does not match")]
    Signature {
        /// What was signed.
        what: &'static str,
        /// Who should have signed.
        seat: Seat,
    },
    /// Fewer signers than a quorum.
    #[error("a certificate needs {limit} signers, got {got}")]
    Quorum {
        /// Signers needed.
        limit: usize,
        /// Signers got.
        got: usize,
    },
    /// Signers not in ascending order, or one of them twice.
    #[error("the signers of a certificate are not in ascending order")]
    SignerOrder,
    /// A field that contradicts another.
    #[error("the {field} of a {what} does not fit")]
    Field {
        /// What was checked.
        what: &'static str,
        /// The field that does not fit.
        field: &'static str,
    },
    /// Too large.
    #[error("{what}: the limit is {limit}, got {got}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// The size got.
        got: usize,
    },
    /// The two halves of a piece of evidence do not exclude each other.
    #[error("the two do not exclude each other")]
    NoConflict,
}

/// A message whose signatures and shape have been checked, against the validators of one epoch. There is no other way to
/// make one than [`verify`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedMessage {
    epoch: u64,
    message: Message,
}

impl VerifiedMessage {
    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The epoch against whose validators it was checked.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn into_message(self) -> Message {
        self.message
    }
}

/// Remembers signatures that were found good, so that a certificate made of votes seen before costs only hashing.
#[derive(Debug, Default)]
pub struct VoteCache(Remembered);

impl VoteCache {
    /// A cache that remembers at least the last `capacity` good signatures: see [`Remembered::new`].
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(Remembered::new(capacity))
    }

    /// A cache that remembers nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::new(0)
    }

    /// Remembers a vote as good without looking: for votes that this very node has signed, and no others.
    pub fn remember(&self, own: &Vote, set: &ValidatorSet, chain_id: &Hash) {
        if let Some(key) = set.key(own.seat) {
            self.0.trust(key, &own.digest(chain_id), &own.signature);
        }
    }
}

/// Checks every signature in a message, and that the message makes sense by itself.
///
/// # Errors
/// [`VerifyError`]: the sender is faulty, of another chain or of another epoch; the message is dropped.
pub fn verify(
    message: Message,
    epoch: &Epoch,
    chain_id: &Hash,
    cache: &VoteCache,
) -> Result<VerifiedMessage, VerifyError> {
    let checker = Checker { epoch, chain_id, cache };
    match &message {
        Message::Propose(p) => checker.proposal(p)?,
        Message::Vote(v) => checker.vote(v)?,
        Message::Votes(v) => checker.joined(v)?,
        Message::Certificate(c) => checker.qc(c)?,
        Message::Timeout(t) => checker.timeout(t)?,
        Message::TermOver(t) | Message::Reopen(t) => checker.tc(t)?,
        Message::Blocks(b) => checker.blocks(b)?,
        Message::Snapshot(offer) => checker.offer(offer)?,
        Message::Chunk(c) => chunk(c)?,
        Message::Suspect(_) | Message::Status(_) => {}
        Message::FetchBlock(_) | Message::FetchRange(_) | Message::FetchChunk(_) => {}
    }
    Ok(VerifiedMessage { epoch: epoch.number(), message })
}

/// What everything is checked against.
#[derive(Clone, Copy)]
pub(crate) struct Checker<'a> {
    pub(crate) epoch: &'a Epoch,
    pub(crate) chain_id: &'a Hash,
    pub(crate) cache: &'a VoteCache,
}

/// Checks that signers ascend and are a quorum, before any signature is.
fn signers(seats: impl Iterator<Item = Seat>, set: &ValidatorSet) -> Result<(), VerifyError> {
    let mut last = None;
    let mut got = 0;
    for seat in seats {
        if last >= Some(seat) {
            return Err(VerifyError::SignerOrder);
        }
        last = Some(seat);
        got += 1;
    }
    if got < set.quorum() {
        return Err(VerifyError::Quorum { limit: set.quorum(), got });
    }
    Ok(())
}

impl Checker<'_> {
    fn set(&self) -> &ValidatorSet {
        self.epoch.validators()
    }

    fn same_epoch(&self, what: &'static str, got: u64) -> Result<(), VerifyError> {
        same_epoch(what, got, self.set())
    }

    fn signature(
        &self,
        what: &'static str,
        seat: Seat,
        digest: &Hash,
        signature: &Signature,
    ) -> Result<(), VerifyError> {
        signed(what, (self.set(), self.cache), seat, digest, signature)
    }

    /// A vote.
    fn vote(&self, v: &Vote) -> Result<(), VerifyError> {
        vote(v, self.set(), self.chain_id, self.cache)
    }

    /// Two votes under one signature.
    fn joined(&self, v: &JoinedVote) -> Result<(), VerifyError> {
        self.same_epoch("vote", v.epoch)?;
        let digest = |kind, (rank, block): (crate::block::Rank, Hash)| {
            if rank.term == Term(0) || rank.height.0 == 0 {
                return Err(VerifyError::Field { what: "vote", field: "rank" });
            }
            Ok(vote_digest(self.chain_id, kind, v.epoch, rank, &block))
        };
        let prepare = digest(VoteKind::Prepare, v.prepare)?;
        let commit = digest(VoteKind::Commit, v.commit)?;
        self.signature("vote", v.seat, &joined_digest(&prepare, &commit), &v.signature)
    }

    /// A certificate of votes, or that of the epoch's base.
    pub(crate) fn qc(&self, c: &Qc) -> Result<(), VerifyError> {
        self.same_epoch("certificate", c.epoch)?;
        if c.rank == self.epoch.base() {
            if c.block != self.epoch.base_block() {
                return Err(VerifyError::Field { what: "base certificate", field: "block" });
            }
            if !c.signatures.is_empty() || c.kind != VoteKind::Commit {
                return Err(VerifyError::Field { what: "base certificate", field: "signatures" });
            }
            return Ok(());
        }
        if c.rank.term < self.epoch.first_term() || c.rank.height <= self.epoch.base_height() {
            return Err(VerifyError::Field { what: "certificate", field: "rank" });
        }
        votes(c, self.set(), self.chain_id, self.cache)
    }

    /// A signed timeout with its certificate.
    fn timeout(&self, t: &Timeout) -> Result<(), VerifyError> {
        self.same_epoch("timeout", t.epoch)?;
        if t.high.rank.term > t.term {
            return Err(VerifyError::Field { what: "timeout", field: "high" });
        }
        let digest = timeout_digest(self.chain_id, t.epoch, t.term, t.high.rank);
        self.signature("timeout", t.seat, &digest, &t.signature)?;
        self.qc(&t.high)
    }

    /// A certificate of timeouts.
    pub(crate) fn tc(&self, t: &Tc) -> Result<(), VerifyError> {
        self.same_epoch("timeout certificate", t.epoch)?;
        signers(t.shares.iter().map(|share| share.seat), self.set())?;
        if t.shares.iter().map(|share| share.high).max() != Some(t.high.rank) {
            return Err(VerifyError::Field { what: "timeout certificate", field: "high" });
        }
        if t.high.rank.term > t.term || t.term < self.epoch.first_term() {
            return Err(VerifyError::Field { what: "timeout certificate", field: "term" });
        }
        for share in &t.shares {
            let digest = timeout_digest(self.chain_id, t.epoch, t.term, share.high);
            self.signature("timeout certificate", share.seat, &digest, &share.signature)?;
        }
        self.qc(&t.high)
    }

    /// A block with its payload: shape, payload hash, leader's signature, the certificates inside.
    fn proposal(&self, p: &Proposal) -> Result<(), VerifyError> {
        let header = &p.block.header;
        let unfit = |field| VerifyError::Field { what: "block", field };
        self.same_epoch("block", header.epoch)?;
        let base = self.epoch.base_height();
        if header.height <= base || header.justify.rank.height >= header.height {
            return Err(unfit("height"));
        }
        if header.justify.rank.term > header.term || header.term < self.epoch.first_term() {
            return Err(unfit("justify"));
        }
        if header.next.as_ref().is_some_and(|next| next.epoch() != self.epoch.number() + 1) {
            return Err(unfit("next"));
        }
        match &header.tc {
            Some(t) => {
                if t.term.next() != header.term {
                    return Err(unfit("tc"));
                }
                let high = &t.high;
                if header.parent != high.block || header.height != high.rank.height.next() {
                    return Err(unfit("parent"));
                }
                if header.justify != *high {
                    return Err(unfit("justify"));
                }
            }
            None if self.epoch.opens_term(header) && header.parent != self.epoch.base_block() => {
                return Err(unfit("parent"));
            }
            None if self.epoch.opens_term(header) => {}
            None if header.height == base.next() => return Err(unfit("tc")),
            None => {}
        }
        payload(p)?;
        let set = (self.set(), self.cache);
        block_signature(&p.block, &p.block.hash(self.chain_id), set)?;
        match &header.tc {
            Some(t) => self.tc(t),
            None => self.qc(&header.justify),
        }
    }

    /// A range of committed blocks: linked by hashes back from one COMMIT certificate, payloads as committed to. The
    /// leaders' signatures need no check: a quorum voted for what they signed.
    fn blocks(&self, b: &Blocks) -> Result<(), VerifyError> {
        let unfit = |field| VerifyError::Field { what: "range of blocks", field };
        if b.proposals.len() > BLOCKS_MAX {
            let got = b.proposals.len();
            return Err(VerifyError::TooLarge { what: "range of blocks", limit: BLOCKS_MAX, got });
        }
        let mut expected = b.certificate.block;
        let mut height = b.certificate.rank.height;
        for p in b.proposals.iter().rev() {
            if p.block.header.height != height || p.block.hash(self.chain_id) != expected {
                return Err(unfit("chain"));
            }
            payload(p)?;
            expected = p.block.header.parent;
            height = Height(height.0.saturating_sub(1));
        }
        let newest = b.proposals.last().ok_or_else(|| unfit("length"))?;
        if b.certificate.kind != VoteKind::Commit
            || !certifies(&b.certificate, &newest.block, b.certificate.block)
        {
            return Err(unfit("certificate"));
        }
        let whole = |p: &Proposal| p.block.header.epoch == self.epoch.number();
        if !b.proposals.iter().all(whole) {
            return Err(unfit("epoch"));
        }
        self.qc(&b.certificate)
    }

    /// A snapshot's proof: from this epoch's validators to those of the snapshot's epoch, and there to the state's hash.
    fn offer(&self, offer: &SnapshotOffer) -> Result<(), VerifyError> {
        let unfit = |field| VerifyError::Field { what: "snapshot offer", field };
        if offer.chunks == 0 || offer.chunks > CHUNKS_MAX {
            let (limit, got) = (CHUNKS_MAX as usize, offer.chunks as usize);
            return Err(VerifyError::TooLarge { what: "pieces of a snapshot", limit, got });
        }
        let epoch = self.walk(offer)?;
        Checker { epoch: &epoch, ..*self }.blocks(&offer.proof)?;
        let first = &offer.proof.proposals[0].block.header;
        if first.height != offer.height {
            return Err(unfit("height"));
        }
        let names = |p: &Proposal| {
            let app = p.block.header.app;
            (app.height, app.hash) == (offer.height, offer.app)
        };
        if !offer.proof.proposals.iter().any(names) {
            return Err(unfit("app"));
        }
        Ok(())
    }

    /// The epoch of a snapshot, reached by the certified last blocks of the epochs before it.
    fn walk(&self, offer: &SnapshotOffer) -> Result<Epoch, VerifyError> {
        let mut epoch = self.epoch.clone();
        for last in &offer.path {
            if last.block.header.epoch < epoch.number() {
                continue;
            }
            certified(&last.block, &last.certificate, epoch.validators(), self.chain_id)?;
            epoch = Epoch::after(self.chain_id, &last.block)
                .ok_or(VerifyError::Field { what: "snapshot offer", field: "path" })?;
        }
        Ok(epoch)
    }
}

/// Whether a certificate is of this very block: the hash says so; the term may be a later one.
fn certifies(certificate: &Qc, block: &Block, hash: Hash) -> bool {
    certificate.block == hash
        && certificate.rank.height == block.header.height
        && certificate.rank.term >= block.header.term
}

fn same_epoch(what: &'static str, got: u64, set: &ValidatorSet) -> Result<(), VerifyError> {
    if got == set.epoch() {
        return Ok(());
    }
    Err(VerifyError::Epoch { what, expected: set.epoch(), got })
}

fn signed(
    what: &'static str,
    (set, cache): (&ValidatorSet, &VoteCache),
    seat: Seat,
    digest: &Hash,
    signature: &Signature,
) -> Result<(), VerifyError> {
    let key = set.key(seat).ok_or(VerifyError::UnknownSeat(seat))?;
    if cache.0.verify(key, digest, signature).is_ok() {
        return Ok(());
    }
    Err(VerifyError::Signature { what, seat })
}

/// A vote.
pub(crate) fn vote(
    v: &Vote,
    set: &ValidatorSet,
    chain_id: &Hash,
    cache: &VoteCache,
) -> Result<(), VerifyError> {
    same_epoch("vote", v.epoch, set)?;
    if v.rank.term == Term(0) || v.rank.height.0 == 0 {
        return Err(VerifyError::Field { what: "vote", field: "rank" });
    }
    signed("vote", (set, cache), v.seat, &v.digest(chain_id), &v.signature)
}

/// A quorum of equal votes.
fn votes(
    c: &Qc,
    set: &ValidatorSet,
    chain_id: &Hash,
    cache: &VoteCache,
) -> Result<(), VerifyError> {
    same_epoch("certificate", c.epoch, set)?;
    signers(c.signatures.iter().map(|share| share.seat), set)?;
    let own = vote_digest(chain_id, c.kind, c.epoch, c.rank, &c.block);
    for share in &c.signatures {
        let digest = signed_digest(c.kind, own, share.sibling.as_ref());
        signed("certificate", (set, cache), share.seat, &digest, &share.signature)?;
    }
    Ok(())
}

/// The share of a validator in the proof that a term is over.
pub(crate) fn timeout_share(
    share: &crate::certificate::TimeoutShare,
    term: Term,
    set: &ValidatorSet,
    chain_id: &Hash,
) -> Result<(), VerifyError> {
    let digest = timeout_digest(chain_id, set.epoch(), term, share.high);
    signed("timeout", (set, &VoteCache::none()), share.seat, &digest, &share.signature)
}

/// The leader's signature on a block.
pub(crate) fn block_signature(
    block: &Block,
    hash: &Hash,
    (set, cache): (&ValidatorSet, &VoteCache),
) -> Result<(), VerifyError> {
    let header = &block.header;
    same_epoch("block", header.epoch, set)?;
    if header.proposer != set.leader(header.term) {
        return Err(VerifyError::Field { what: "block", field: "proposer" });
    }
    signed("block", (set, cache), header.proposer, hash, &block.signature)
}

fn payload(p: &Proposal) -> Result<(), VerifyError> {
    let got = p.payload.bytes().len();
    if got > PAYLOAD_BYTES_MAX {
        return Err(VerifyError::TooLarge { what: "payload bytes", limit: PAYLOAD_BYTES_MAX, got });
    }
    if p.payload.hash() != p.block.header.payload_hash {
        return Err(VerifyError::Field { what: "block", field: "payload hash" });
    }
    Ok(())
}

/// A piece of a snapshot: that it belongs to its root. That the root is the right one is the core's to know.
fn chunk(c: &Chunk) -> Result<(), VerifyError> {
    let got = c.bytes.len();
    if got > CHUNK_BYTES_MAX {
        return Err(VerifyError::TooLarge { what: "chunk bytes", limit: CHUNK_BYTES_MAX, got });
    }
    if !c.proof.verify(c.root, merkle::leaf(&c.bytes)) {
        return Err(VerifyError::Field { what: "chunk", field: "proof" });
    }
    Ok(())
}

/// A block and the COMMIT certificate of exactly that block.
pub(crate) fn certified(
    block: &Block,
    certificate: &Qc,
    set: &ValidatorSet,
    chain_id: &Hash,
) -> Result<Hash, VerifyError> {
    let hash = block.hash(chain_id);
    if certificate.kind != VoteKind::Commit {
        return Err(VerifyError::Field { what: "certificate", field: "kind" });
    }
    if !certifies(certificate, block, hash) {
        return Err(VerifyError::Field { what: "certificate", field: "block" });
    }
    let cache = VoteCache::none();
    votes(certificate, set, chain_id, &cache)?;
    block_signature(block, &hash, (set, &cache))?;
    Ok(hash)
}
