//! Checks that need no state: signatures, quorums, shapes. Run them before a message reaches the core.

use gongsuan_types::keys::KeyError;
use gongsuan_types::{Hash, Signature};

use crate::message::{timeout_digest, vote_digest};
use crate::{Message, PAYLOAD_BYTES_MAX, Qc, Rank, SignedBlock, Tc, Timeout, ValidatorSet, Vote};

/// Why a message or a certificate was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// No validator has this index.
    #[error("there is no validator {0}")]
    UnknownValidator(u16),
    /// The signature of a validator does not match.
    #[error("signature of validator {voter}: {source}")]
    Signature {
        /// Whose.
        voter: u16,
        /// What was wrong.
        #[source]
        source: KeyError,
    },
    /// Too few votes for a certificate.
    #[error("a certificate needs {needed} votes, got {got}")]
    NoQuorum {
        /// Votes needed.
        needed: usize,
        /// Votes there.
        got: usize,
    },
    /// Voters are not in rising order (so one may stand twice).
    #[error("the voters of a certificate are not in rising order")]
    Unsorted,
    /// A prepare certificate where a commit certificate is needed.
    #[error("the certificate is not one of commit votes")]
    WrongKind,
    /// The certificate is for another block.
    #[error("the certificate names another block")]
    OtherBlock,
    /// The highest certificate is missing or is not the highest that was signed for.
    #[error("the highest certificate does not have the highest rank that was signed for")]
    WrongHigh,
    /// The payload is too long or does not hash to what the block says.
    #[error("the payload is not the one that the block names")]
    WrongPayload,
    /// Not the leader of its term, another epoch, or a height of zero.
    #[error("the block is malformed: {0}")]
    BadBlock(&'static str),
    /// The sender speaks for somebody else.
    #[error("validator {sender} sent a message of validator {claimed}")]
    Impersonation {
        /// Who sent it.
        sender: u16,
        /// For whom it speaks.
        claimed: u16,
    },
    /// An empty range of blocks.
    #[error("a range of blocks is empty or too long: {0}")]
    BadRange(usize),
}

/// Blocks in one range, at most.
const RANGE_MAX: usize = 512;

fn check(
    validators: &ValidatorSet,
    voter: u16,
    digest: &Hash,
    signature: &Signature,
) -> Result<(), VerifyError> {
    validators
        .key(voter)
        .ok_or(VerifyError::UnknownValidator(voter))?
        .verify(digest, signature)
        .map_err(|source| VerifyError::Signature { voter, source })
}

fn quorum_of(
    validators: &ValidatorSet,
    voters: impl ExactSizeIterator<Item = u16>,
) -> Result<(), VerifyError> {
    let (needed, got) = (validators.quorum(), voters.len());
    if got < needed {
        return Err(VerifyError::NoQuorum { needed, got });
    }
    let mut last = None;
    for voter in voters {
        if last.is_some_and(|last| last >= voter) {
            return Err(VerifyError::Unsorted);
        }
        last = Some(voter);
    }
    Ok(())
}

impl Qc {
    /// Whether a quorum of these validators signed.
    ///
    /// # Errors
    /// [`VerifyError`], by what was wrong.
    pub fn verify(&self, validators: &ValidatorSet) -> Result<(), VerifyError> {
        quorum_of(validators, self.votes.iter().map(|(voter, _)| *voter))?;
        let digest = vote_digest(validators, self.kind, self.rank(), self.block);
        self.votes.iter().try_for_each(|(voter, sig)| check(validators, *voter, &digest, sig))
    }
}

impl Tc {
    /// Whether a quorum gave up the term and the certificate carried is the highest they signed for.
    ///
    /// # Errors
    /// [`VerifyError`], by what was wrong.
    pub fn verify(&self, validators: &ValidatorSet) -> Result<(), VerifyError> {
        quorum_of(validators, self.timeouts.iter().map(|timeout| timeout.voter))?;
        for timeout in &self.timeouts {
            let digest = timeout_digest(validators, self.term, timeout.high);
            check(validators, timeout.voter, &digest, &timeout.signature)?;
        }
        let highest = self.timeouts.iter().map(|timeout| timeout.high).max().unwrap_or_default();
        high_is(self.high.as_ref(), highest, validators)
    }
}

impl Timeout {
    fn verify(&self, validators: &ValidatorSet) -> Result<(), VerifyError> {
        let digest = timeout_digest(validators, self.term, self.vote.high);
        check(validators, self.vote.voter, &digest, &self.vote.signature)?;
        high_is(self.high.as_ref(), self.vote.high, validators)
    }
}

fn high_is(high: Option<&Qc>, rank: Rank, validators: &ValidatorSet) -> Result<(), VerifyError> {
    match high {
        None if rank == Rank::default() => Ok(()),
        Some(qc) if qc.rank() == rank && rank.height.0 > 0 => qc.verify(validators),
        _ => Err(VerifyError::WrongHigh),
    }
}

impl Vote {
    /// Whether the voter signed it.
    ///
    /// # Errors
    /// [`VerifyError`], by what was wrong.
    pub fn verify(&self, validators: &ValidatorSet) -> Result<(), VerifyError> {
        let digest = vote_digest(validators, self.kind, self.rank(), self.block);
        check(validators, self.voter, &digest, &self.signature)
    }
}

impl SignedBlock {
    /// Whether the leader of the block's term signed it, its payload is the one named, and a new term is justified.
    ///
    /// # Errors
    /// [`VerifyError`], by what was wrong.
    pub fn verify(&self, payload: &[u8], validators: &ValidatorSet) -> Result<(), VerifyError> {
        let block = &self.block;
        if block.epoch != validators.epoch {
            return Err(VerifyError::BadBlock("another epoch"));
        }
        if block.proposer != validators.leader(block.term) {
            return Err(VerifyError::BadBlock("not proposed by the leader of its term"));
        }
        if block.height.0 == 0 {
            return Err(VerifyError::BadBlock("height zero"));
        }
        if payload.len() > PAYLOAD_BYTES_MAX || Hash::of_content(payload) != block.payload {
            return Err(VerifyError::WrongPayload);
        }
        if let Some(start) = &block.start {
            let high = start.high.as_ref();
            let parent = high.map_or_else(|| validators.genesis(), |qc| qc.block);
            let height = high.map_or(0, |qc| qc.height.0) + 1;
            if start.term.next() != block.term || parent != block.parent || height != block.height.0
            {
                return Err(VerifyError::BadBlock(
                    "not the block that its term certificate allows",
                ));
            }
            start.verify(validators)?;
        }
        check(validators, block.proposer, &block.hash(validators), &self.signature)
    }
}

impl Message {
    /// Everything that can be checked without state. `sender` is the validator at the other end of the channel.
    ///
    /// # Errors
    /// [`VerifyError`], by what was wrong; the message must be dropped.
    pub fn verify(&self, sender: u16, validators: &ValidatorSet) -> Result<(), VerifyError> {
        let own = |claimed: u16| {
            if claimed == sender {
                return Ok(());
            }
            Err(VerifyError::Impersonation { sender, claimed })
        };
        match self {
            Self::Proposal { block, payload } => block.verify(payload, validators),
            Self::Vote(vote) => own(vote.voter).and_then(|()| vote.verify(validators)),
            Self::Timeout(timeout) => {
                own(timeout.vote.voter).and_then(|()| timeout.verify(validators))
            }
            Self::NewTerm(tc) => tc.verify(validators),
            Self::Blocks { blocks, certificate } => range(blocks, certificate, validators),
            Self::Suspect { .. }
            | Self::Status { .. }
            | Self::Fetch { .. }
            | Self::FetchBlock(_) => Ok(()),
        }
    }
}

/// One certificate for the last block; the others follow from it by their hashes.
fn range(
    blocks: &[(SignedBlock, Vec<u8>)],
    certificate: &Qc,
    validators: &ValidatorSet,
) -> Result<(), VerifyError> {
    let Some((last, _)) = blocks.last().filter(|_| blocks.len() <= RANGE_MAX) else {
        return Err(VerifyError::BadRange(blocks.len()));
    };
    let mut expected = last.block.hash(validators);
    if certificate.block != expected || certificate.height != last.block.height {
        return Err(VerifyError::OtherBlock);
    }
    for (signed, payload) in blocks.iter().rev() {
        if signed.block.hash(validators) != expected {
            return Err(VerifyError::BadBlock("the range is not a chain"));
        }
        if Hash::of_content(payload) != signed.block.payload {
            return Err(VerifyError::WrongPayload);
        }
        expected = signed.block.parent;
    }
    if certificate.kind != crate::VoteKind::Commit {
        return Err(VerifyError::WrongKind);
    }
    certificate.verify(validators)
}
