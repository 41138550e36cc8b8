//! Judging commit certificates of ledger headers.

use gongsuan_consensus::{CertifiedHeader, Epoch, ValidatorSet};
use gongsuan_ledger::light::Authority;
use gongsuan_ledger::proof::PROOF_BYTES_MAX;
use gongsuan_ledger::{Genesis, Header};
use gongsuan_types::{Hash, codec};
use serde::{Deserialize, Serialize};

/// What certifies a ledger header: a committed block of the log that names it. In the canonical encoding these are the bytes of
/// [`gongsuan_ledger::Proof::certificate`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Certificate {
    /// The last blocks of all epochs before that of `certified`, by rising epoch: each names who votes in the next.
    pub path: Vec<CertifiedHeader>,
    /// The block whose `app` is the header, with the votes that committed it.
    pub certified: CertifiedHeader,
}

/// Whom certificates of a chain are checked against.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Validators {
    chain_id: Hash,
    set: ValidatorSet,
}

impl Validators {
    /// The validators of a genesis that has been validated.
    #[must_use]
    pub fn of_genesis(genesis: &Genesis) -> Self {
        Self::new(genesis.chain_id(), crate::node::validator_set(genesis))
    }

    /// The validators of some epoch, from where trust comes from.
    #[must_use]
    pub fn new(chain_id: Hash, set: ValidatorSet) -> Self {
        Self { chain_id, set }
    }

    /// Who votes, as far as certificates have shown.
    #[must_use]
    pub fn set(&self) -> &ValidatorSet {
        &self.set
    }

    /// Goes on to the validators that the last block of this epoch names. Blocks of epochs that are over are passed by.
    ///
    /// # Errors
    /// Why the block does not count; nothing has changed.
    pub fn follow(&mut self, last: &CertifiedHeader) -> Result<(), String> {
        if last.block.header.epoch < self.set.epoch() {
            return Ok(());
        }
        last.verify(&self.set, &self.chain_id).map_err(|error| error.to_string())?;
        let height = last.block.header.height;
        let next = Epoch::after(&self.chain_id, &last.block)
            .ok_or_else(|| format!("block {height} does not end epoch {}", self.set.epoch()))?;
        self.set = next.validators().clone();
        Ok(())
    }
}

impl Authority for Validators {
    fn certifies(&mut self, header: &Header, certificate: &[u8]) -> Result<String, String> {
        let certificate: Certificate = codec::decode("certificate", PROOF_BYTES_MAX, certificate)
            .map_err(|e| e.to_string())?;
        let mut then = self.clone();
        for last in &certificate.path {
            then.follow(last)?;
        }
        let Certificate { certified, .. } = &certificate;
        certified.verify(&then.set, &self.chain_id).map_err(|error| error.to_string())?;
        let app = &certified.block.header.app;
        let block = certified.block.header.height;
        if (app.height, app.hash) != (header.height, header.hash()) {
            return Err(format!(
                "committed block {block} names header {} of height {}, not this one",
                app.hash, app.height
            ));
        }
        *self = then;
        Ok(format!(
            "{} of {} validators of epoch {} committed block {block}, which names header {} of height {}",
            certified.certificate.signatures.len(),
            self.set.len(),
            self.set.epoch(),
            app.hash,
            app.height
        ))
    }
}
