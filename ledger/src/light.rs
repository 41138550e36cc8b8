//! A client that keeps headers only and checks everything else by proofs.
//!
//! It trusts one header to begin with. What makes a later header trustworthy is a certificate of the validators, which this crate does not know; the
//! caller hands in a function that judges it. From then on:
//!
//! | question | proof |
//! |---|---|
//! | is this record in the state, or absent? | [`StateProof`] under `state_root` |
//! | was this transaction in that block? | [`merkle::Proof`] under `tx_root` |
//! | what became of it? | [`merkle::Proof`] under `receipt_root` |
//! | is this older header one of ours? | [`HistoryProof`] under `history_root` |

use gongsuan_types::{Hash, codec, merkle};

use crate::accounts::StateKey;
use crate::header::{Header, TxReceipt};
use crate::history::HistoryProof;
use crate::tree::{StateProof, key_hash, value_hash};

/// Why a header or an answer is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LightError {
    /// Of another chain or version.
    #[error("the header is of another chain or format")]
    Foreign,
    /// It is not later than the one that is trusted.
    #[error("the header is not later than the trusted one")]
    NotLater,
    /// The validators did not certify it.
    #[error("the header is not certified")]
    NotCertified,
    /// It does not descend from the one that is trusted.
    #[error("the header does not descend from the trusted one")]
    NotDescended,
    /// A proof does not hold.
    #[error("the proof of {what} does not hold")]
    BadProof {
        /// What was to be proved.
        what: &'static str,
    },
}

/// See the module's documentation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LightClient {
    head: Header,
}

impl LightClient {
    /// A client that trusts this header, which came from where trust comes from: the genesis's first block, an operator, a pinned checkpoint.
    #[must_use]
    pub fn new(trusted: Header) -> Self {
        Self { head: trusted }
    }

    /// The latest header trusted.
    #[must_use]
    pub fn head(&self) -> &Header {
        &self.head
    }

    /// Goes on to a later header, any number of blocks ahead. `past` proves that the trusted header is in its past (for the very next
    /// block none is needed); `certified` judges its certificate.
    ///
    /// # Errors
    /// A [`LightError`]; the client is unchanged.
    pub fn advance(
        &mut self,
        to: Header,
        past: Option<&HistoryProof>,
        certified: impl FnOnce(&Header) -> bool,
    ) -> Result<(), LightError> {
        if to.version != self.head.version || to.chain_id != self.head.chain_id {
            return Err(LightError::Foreign);
        }
        if to.height <= self.head.height || to.time <= self.head.time {
            return Err(LightError::NotLater);
        }
        let next = to.height == self.head.height.next() && to.parent == self.head.hash();
        if !next && !past.is_some_and(|past| descends(&to, past, &self.head)) {
            return Err(LightError::NotDescended);
        }
        if !certified(&to) {
            return Err(LightError::NotCertified);
        }
        self.head = to;
        Ok(())
    }

    /// Checks that an older header is in the past of the trusted one, or is it.
    ///
    /// # Errors
    /// [`LightError::BadProof`].
    pub fn check_past(&self, header: &Header, past: &HistoryProof) -> Result<(), LightError> {
        if *header == self.head || descends(&self.head, past, header) {
            return Ok(());
        }
        Err(LightError::BadProof { what: "an older header" })
    }

    /// Checks what a record is after the trusted block: its bytes, or that it is absent.
    ///
    /// # Errors
    /// [`LightError::BadProof`].
    pub fn check_record(
        &self,
        key: &StateKey,
        value: Option<&[u8]>,
        proof: &StateProof,
    ) -> Result<(), LightError> {
        let key = key_hash(&codec::encode(key));
        let holds = proof.verify(self.head.state_root, key, value.map(value_hash));
        if holds { Ok(()) } else { Err(LightError::BadProof { what: "a record" }) }
    }
}

/// Whether `older` is at the place in the past of `newer` that its height says.
fn descends(newer: &Header, past: &HistoryProof, older: &Header) -> bool {
    let placed = past.index.checked_add(1) == Some(older.height.0)
        && past.count.checked_add(1) == Some(newer.height.0);
    placed && past.verify(newer.history_root, older.hash())
}

/// Checks that a transaction stands at the proof's place in the block of a header that is trusted.
///
/// # Errors
/// [`LightError::BadProof`].
pub fn check_tx(header: &Header, id: &Hash, proof: &merkle::Proof) -> Result<(), LightError> {
    let holds = proof.count == u64::from(header.tx_count)
        && proof.verify(header.tx_root, merkle::leaf(&id.0));
    if holds { Ok(()) } else { Err(LightError::BadProof { what: "a transaction" }) }
}

/// Checks that this is the receipt at the proof's place in the block of a header that is trusted.
///
/// # Errors
/// [`LightError::BadProof`].
pub fn check_receipt(
    header: &Header,
    receipt: &TxReceipt,
    proof: &merkle::Proof,
) -> Result<(), LightError> {
    // The last leaf is the block's own events.
    let holds = proof.count == u64::from(header.tx_count) + 1
        && proof.index < u64::from(header.tx_count)
        && proof.verify(header.receipt_root, merkle::leaf(&codec::encode(receipt)));
    if holds { Ok(()) } else { Err(LightError::BadProof { what: "a receipt" }) }
}
