//! Checking signatures and shape, before the core: pure functions that run on any thread.

use std::collections::BTreeSet;

use gongsuan_types::{Hash, Hasher, PublicKey, Signature, Term};

use crate::block::{Block, Proposal, genesis};
use crate::certificate::{Qc, Tc};
use crate::message::{BLOCKS_MAX, Blocks, Message, PAYLOAD_BYTES_MAX};
use crate::validators::{Seat, ValidatorSet};
use crate::vote::{Timeout, Vote, VoteKind, timeout_digest, vote_digest};

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

/// A message whose signatures and shape have been checked. There is no other way to make one than [`verify`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedMessage(Message);

impl VerifiedMessage {
    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.0
    }

    pub(crate) fn into_message(self) -> Message {
        self.0
    }
}

/// Remembers signatures that were found good, so that a certificate made of votes seen before costs only hashing.
/// Bounded: two generations of `capacity` entries. A cache belongs to one chain and validator set.
#[derive(Clone, Debug, Default)]
pub struct VoteCache {
    capacity: usize,
    young: BTreeSet<Hash>,
    old: BTreeSet<Hash>,
}

impl VoteCache {
    /// A cache that remembers at least the last `capacity` good signatures (32 bytes each and their tree).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// A cache that remembers nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::new(0)
    }

    fn check(&mut self, key: &PublicKey, digest: &Hash, signature: &Signature) -> bool {
        if self.capacity == 0 {
            return key.verify(digest, signature).is_ok();
        }
        let mut hasher = Hasher::new("gongsuan/consensus/seen/v1");
        let id = hasher.update(&key.0).update(&digest.0).update(&signature.0).clone().finish();
        if self.young.contains(&id) || self.old.contains(&id) {
            return true;
        }
        if key.verify(digest, signature).is_err() {
            return false;
        }
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id);
        true
    }
}

/// Checks every signature in a message, and that the message makes sense by itself.
///
/// # Errors
/// [`VerifyError`]: the sender is faulty (or of another chain); the message is dropped.
pub fn verify(
    message: Message,
    set: &ValidatorSet,
    chain_id: &Hash,
    cache: &mut VoteCache,
) -> Result<VerifiedMessage, VerifyError> {
    match &message {
        Message::Propose(p) => proposal(p, set, chain_id, cache)?,
        Message::Vote(v) => vote(v, set, chain_id, cache)?,
        Message::Certificate(c) => qc(c, set, chain_id, cache)?,
        Message::Timeout(t) => timeout(t, set, chain_id, cache)?,
        Message::TermOver(t) => tc(t, set, chain_id, cache)?,
        Message::Blocks(b) => blocks(b, set, chain_id, cache)?,
        Message::Suspect(_) | Message::Status(_) => {}
        Message::FetchBlock(_) | Message::FetchRange(_) => {}
    }
    Ok(VerifiedMessage(message))
}

fn epoch(what: &'static str, got: u64, set: &ValidatorSet) -> Result<(), VerifyError> {
    if got == set.epoch() {
        return Ok(());
    }
    Err(VerifyError::Epoch { what, expected: set.epoch(), got })
}

fn signature(
    what: &'static str,
    seat: Seat,
    digest: &Hash,
    signature: &Signature,
    (set, cache): (&ValidatorSet, &mut VoteCache),
) -> Result<(), VerifyError> {
    let key = set.key(seat).ok_or(VerifyError::UnknownSeat(seat))?;
    if cache.check(key, digest, signature) {
        return Ok(());
    }
    Err(VerifyError::Signature { what, seat })
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

/// A vote.
pub(crate) fn vote(
    v: &Vote,
    set: &ValidatorSet,
    chain_id: &Hash,
    cache: &mut VoteCache,
) -> Result<(), VerifyError> {
    epoch("vote", v.epoch, set)?;
    if v.rank.term == Term(0) || v.rank.height.0 == 0 {
        return Err(VerifyError::Field { what: "vote", field: "rank" });
    }
    signature("vote", v.seat, &v.digest(chain_id), &v.signature, (set, cache))
}

/// A certificate of votes, or that of the empty chain.
pub(crate) fn qc(
    c: &Qc,
    set: &ValidatorSet,
    chain_id: &Hash,
    cache: &mut VoteCache,
) -> Result<(), VerifyError> {
    epoch("certificate", c.epoch, set)?;
    if c.is_genesis() {
        if c.block != genesis(chain_id, set.epoch()) {
            return Err(VerifyError::Field { what: "genesis certificate", field: "block" });
        }
        if !c.signatures.is_empty() || c.kind != VoteKind::Commit {
            return Err(VerifyError::Field { what: "genesis certificate", field: "signatures" });
        }
        return Ok(());
    }
    if c.rank.term == Term(0) || c.rank.height.0 == 0 {
        return Err(VerifyError::Field { what: "certificate", field: "rank" });
    }
    signers(c.signatures.iter().map(|(seat, _)| *seat), set)?;
    let digest = vote_digest(chain_id, c.kind, c.epoch, c.rank, &c.block);
    for (seat, sig) in &c.signatures {
        signature("certificate", *seat, &digest, sig, (set, &mut *cache))?;
    }
    Ok(())
}

/// A signed timeout with its certificate.
fn timeout(
    t: &Timeout,
    set: &ValidatorSet,
    chain_id: &Hash,
    cache: &mut VoteCache,
) -> Result<(), VerifyError> {
    epoch("timeout", t.epoch, set)?;
    if t.high.rank.term > t.term {
        return Err(VerifyError::Field { what: "timeout", field: "high" });
    }
    let digest = timeout_digest(chain_id, t.epoch, t.term, t.high.rank);
    signature("timeout", t.seat, &digest, &t.signature, (set, &mut *cache))?;
    qc(&t.high, set, chain_id, cache)
}

/// A certificate of timeouts.
pub(crate) fn tc(
    t: &Tc,
    set: &ValidatorSet,
    chain_id: &Hash,
    cache: &mut VoteCache,
) -> Result<(), VerifyError> {
    epoch("timeout certificate", t.epoch, set)?;
    signers(t.shares.iter().map(|share| share.seat), set)?;
    if t.shares.iter().map(|share| share.high).max() != Some(t.high.rank) {
        return Err(VerifyError::Field { what: "timeout certificate", field: "high" });
    }
    if t.high.rank.term > t.term {
        return Err(VerifyError::Field { what: "timeout certificate", field: "term" });
    }
    for share in &t.shares {
        let digest = timeout_digest(chain_id, t.epoch, t.term, share.high);
        let good = &share.signature;
        signature("timeout certificate", share.seat, &digest, good, (set, &mut *cache))?;
    }
    qc(&t.high, set, chain_id, cache)
}

/// The leader's signature on a block.
pub(crate) fn block_signature(
    block: &Block,
    hash: &Hash,
    set: &ValidatorSet,
    cache: &mut VoteCache,
) -> Result<(), VerifyError> {
    let header = &block.header;
    epoch("block", header.epoch, set)?;
    if header.proposer != set.leader(header.term) {
        return Err(VerifyError::Field { what: "block", field: "proposer" });
    }
    signature("block", header.proposer, hash, &block.signature, (set, cache))
}

/// A block with its payload: shape, payload hash, leader's signature, the certificates inside.
fn proposal(
    p: &Proposal,
    set: &ValidatorSet,
    chain_id: &Hash,
    cache: &mut VoteCache,
) -> Result<(), VerifyError> {
    let header = &p.block.header;
    let unfit = |field| VerifyError::Field { what: "block", field };
    if header.height.0 == 0 || header.justify.rank.height >= header.height {
        return Err(unfit("height"));
    }
    if header.justify.rank.term > header.term {
        return Err(unfit("justify"));
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
        None if header.is_first_of_term() && header.parent != genesis(chain_id, set.epoch()) => {
            return Err(unfit("parent"));
        }
        None if header.is_first_of_term() => {}
        None if header.height.0 < 2 => return Err(unfit("tc")),
        None => {}
    }
    payload(p)?;
    block_signature(&p.block, &p.block.hash(chain_id), set, cache)?;
    match &header.tc {
        Some(t) => tc(t, set, chain_id, cache),
        None => qc(&header.justify, set, chain_id, cache),
    }
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

/// A range of committed blocks: linked by hashes back from one COMMIT certificate, payloads as committed to. The
/// leaders' signatures need no check: a quorum voted for what they signed.
fn blocks(
    b: &Blocks,
    set: &ValidatorSet,
    chain_id: &Hash,
    cache: &mut VoteCache,
) -> Result<(), VerifyError> {
    let unfit = |field| VerifyError::Field { what: "range of blocks", field };
    if b.proposals.len() > BLOCKS_MAX {
        let got = b.proposals.len();
        return Err(VerifyError::TooLarge { what: "range of blocks", limit: BLOCKS_MAX, got });
    }
    let mut expected = b.certificate.block;
    let mut height = b.certificate.rank.height;
    for p in b.proposals.iter().rev() {
        if p.block.header.height != height || p.block.hash(chain_id) != expected {
            return Err(unfit("chain"));
        }
        payload(p)?;
        expected = p.block.header.parent;
        height = gongsuan_types::Height(height.0.saturating_sub(1));
    }
    let newest = b.proposals.last().ok_or_else(|| unfit("length"))?;
    if b.certificate.kind != VoteKind::Commit || newest.block.header.rank() != b.certificate.rank {
        return Err(unfit("certificate"));
    }
    qc(&b.certificate, set, chain_id, cache)
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
    if certificate.block != hash || certificate.rank != block.header.rank() {
        return Err(VerifyError::Field { what: "certificate", field: "block" });
    }
    let mut cache = VoteCache::none();
    qc(certificate, set, chain_id, &mut cache)?;
    block_signature(block, &hash, set, &mut cache)?;
    Ok(hash)
}
