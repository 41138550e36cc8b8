//! Certificates: a quorum's signatures in one object, and what a light client checks.

use gongsuan_types::{Hash, Signature, Term};
use serde::{Deserialize, Serialize};

use crate::block::{Block, Proposal, Rank};
use crate::epoch::Epoch;
use crate::validators::{Seat, ValidatorSet};
use crate::verify::{Checker, VerifyError, VoteCache, certified};
use crate::vote::{VoteKind, VoteShare};

/// A quorum of equal votes for one block. Two certificates of one block with different signers are both good.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Qc {
    /// PREPARE votes or COMMIT votes.
    pub kind: VoteKind,
    /// The epoch of the validator set.
    pub epoch: u64,
    /// The term in which was voted, and the block's height. The term is the block's own, unless the block ends its epoch
    /// and was voted for again in a later term.
    pub rank: Rank,
    /// The block's hash.
    pub block: Hash,
    /// The votes, by ascending seat.
    pub signatures: Vec<VoteShare>,
}

/// One validator's share of a [`Tc`]: the rank of its highest certificate, signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TimeoutShare {
    /// Who signed.
    pub seat: Seat,
    /// The rank of the highest certificate it held.
    pub high: Rank,
    /// Its signature over [`crate::vote::timeout_digest`].
    pub signature: Signature,
}

/// Proof that a term is over: a quorum of signed timeouts, and the highest certificate among their signers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tc {
    /// The epoch of the validator set.
    pub epoch: u64,
    /// The term that is over.
    pub term: Term,
    /// The timeouts, by ascending seat.
    pub shares: Vec<TimeoutShare>,
    /// The certificate of the highest rank in `shares`. Whatever was committed is its block or an ancestor of it.
    pub high: Qc,
}

impl Qc {
    /// Checks the certificate by itself.
    ///
    /// # Errors
    /// [`VerifyError`]: wrong epoch, too few signers, signers out of order or unknown, a signature that does not match.
    pub fn verify(&self, epoch: &Epoch, chain_id: &Hash) -> Result<(), VerifyError> {
        Checker { epoch, chain_id, cache: &VoteCache::none() }.qc(self)
    }
}

impl Tc {
    /// Checks the certificate by itself.
    ///
    /// # Errors
    /// [`VerifyError`], also if `high` is not of the highest rank among the shares.
    pub fn verify(&self, epoch: &Epoch, chain_id: &Hash) -> Result<(), VerifyError> {
        Checker { epoch, chain_id, cache: &VoteCache::none() }.tc(self)
    }
}

/// A block and its commit certificate, without the payload: what a light client and the audit tool check offline.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CertifiedHeader {
    /// The block: header and proposer's signature.
    pub block: Block,
    /// The COMMIT certificate of exactly this block.
    pub certificate: Qc,
}

impl CertifiedHeader {
    /// Checks that a quorum of `set` committed exactly this block on this chain. Returns the block's hash.
    ///
    /// # Errors
    /// [`VerifyError`], by what was wrong.
    pub fn verify(&self, set: &ValidatorSet, chain_id: &Hash) -> Result<Hash, VerifyError> {
        certified(&self.block, &self.certificate, set, chain_id)
    }
}

/// A committed block as the log keeps it: with payload, and with a certificate of this block or of a later one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CommittedBlock {
    /// The block and its payload.
    pub proposal: Proposal,
    /// The COMMIT certificate that committed it: of this block, or of a descendant whose hash chain covers it.
    pub certificate: Qc,
}

impl CommittedBlock {
    /// Whether the certificate is of this very block, not of a later one.
    #[must_use]
    pub fn is_certified(&self) -> bool {
        self.certificate.rank.height == self.proposal.block.header.height
    }

    /// The certified header, if the certificate is of this very block.
    #[must_use]
    pub fn certified_header(&self) -> Option<CertifiedHeader> {
        self.is_certified().then(|| CertifiedHeader {
            block: self.proposal.block.clone(),
            certificate: self.certificate.clone(),
        })
    }
}
