//! Blocks of the log.

use gongsuan_types::{Hash, Height, SecretKey, Signature, Term, TimeMs, codec};
use serde::{Deserialize, Serialize};

use crate::{Qc, Tc, ValidatorSet, VerifyError, VoteKind};

/// The state that the leader had computed when it proposed: what a certificate of this block certifies about the
/// application.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AppRef {
    /// After which block.
    pub height: Height,
    /// The application's hash of that state.
    pub hash: Hash,
}

/// One entry of the log, without its payload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Block {
    /// The epoch.
    pub epoch: u64,
    /// The term in which it was proposed.
    pub term: Term,
    /// Its position; the first block has 1.
    pub height: Height,
    /// The hash of the block before.
    pub parent: Hash,
    /// The content address of the payload.
    pub payload: Hash,
    /// The newest state the leader had computed.
    pub app: AppRef,
    /// Block time: later than the parent's.
    pub time: TimeMs,
    /// The index of the leader.
    pub proposer: u16,
    /// Why this term may begin: in the first block of a term above 0 only.
    pub start: Option<Box<Tc>>,
}

/// A block with its leader's signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedBlock {
    /// The block.
    pub block: Block,
    /// The proposer's signature over the block's hash.
    pub signature: Signature,
}

/// A block with its commit certificate: what a light client needs, beside the validator set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CertifiedHeader {
    /// The block.
    pub block: Block,
    /// 2f+1 COMMIT votes for it.
    pub certificate: Qc,
}

impl Block {
    /// The hash that votes and children name.
    #[must_use]
    pub fn hash(&self, validators: &ValidatorSet) -> Hash {
        let mut hasher = gongsuan_types::Hasher::new("gongsuan/consensus/block/v1");
        hasher.update(&validators.chain_id.0).part(&codec::encode(self));
        hasher.finish()
    }

    /// Signs as the proposer.
    #[must_use]
    pub fn sign(self, validators: &ValidatorSet, key: &SecretKey) -> SignedBlock {
        let signature = key.sign(&self.hash(validators));
        SignedBlock { block: self, signature }
    }
}

impl CertifiedHeader {
    /// Whether 2f+1 of these validators committed this block.
    ///
    /// # Errors
    /// [`VerifyError`], by what was wrong.
    pub fn verify(&self, validators: &ValidatorSet) -> Result<(), VerifyError> {
        if self.certificate.kind != VoteKind::Commit {
            return Err(VerifyError::WrongKind);
        }
        let names_it = self.certificate.block == self.block.hash(validators)
            && self.certificate.height == self.block.height
            && self.certificate.term == self.block.term;
        if !names_it || self.block.epoch != validators.epoch {
            return Err(VerifyError::OtherBlock);
        }
        self.certificate.verify(validators)
    }
}
