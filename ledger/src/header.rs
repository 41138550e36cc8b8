//! Headers, bodies and receipts, and the trees over a block's transactions and receipts.

use gongsuan_market::Settlement;
use gongsuan_types::{
    Address, Amount, EncryptionKey, Hash, Height, PublicKey, Refusal, Term, TimeMs, codec, merkle,
};
use serde::{Deserialize, Serialize};

use crate::identity::Role;
use crate::tx::SignedTransaction;

/// Bytes of a body, at most.
pub const BODY_BYTES_MAX: usize = 2 << 20;
/// Transactions in a body, at most.
pub const BODY_TXS_MAX: usize = 8_192;

/// What a block made of the state.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Of this format: 1.
    pub version: u16,
    /// The chain.
    pub chain_id: Hash,
    /// The block's position.
    pub height: Height,
    /// The term in which it was proposed.
    pub term: Term,
    /// The hash of the header before.
    pub parent: Hash,
    /// Block time.
    pub time: TimeMs,
    /// Who proposed it.
    pub proposer: PublicKey,
    /// The block in the log that consensus agreed on.
    pub block: Hash,
    /// Over the transactions' ids.
    pub tx_root: Hash,
    /// Over the receipts and, last, the block's own events.
    pub receipt_root: Hash,
    /// Over all records after this block.
    pub state_root: Hash,
    /// Over the hashes of all headers before this one.
    pub history_root: Hash,
    /// Who may vote.
    pub validators_hash: Hash,
    /// The chain's parameters.
    pub params_hash: Hash,
    /// Transactions in the body.
    pub tx_count: u32,
    /// Bytes of the body.
    pub body_bytes: u32,
}

impl Header {
    /// The header's hash: what a later certified block names.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of("gongsuan/header/v1", &codec::encode(self))
    }
}

/// The transactions of a block, in order: the payload that consensus orders.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Body {
    /// The transactions.
    pub txs: Vec<SignedTransaction>,
}

impl Body {
    /// The payload: nothing at all for an empty body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        if self.txs.is_empty() { Vec::new() } else { codec::encode(self) }
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// A [`Refusal`]: too long, malformed, too many transactions.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let body: Self = codec::decode("body", BODY_BYTES_MAX, bytes).map_err(|error| {
            let (limit, got) = (format!("at most {BODY_BYTES_MAX} bytes"), bytes.len());
            Refusal::new("malformed", "body", limit, got, error.to_string())
        })?;
        if body.txs.is_empty() || body.txs.len() > BODY_TXS_MAX {
            let limit = format!("1..={BODY_TXS_MAX}, or no bytes at all");
            let message = "too few or too many transactions";
            return Err(Refusal::new("out-of-range", "body.txs", limit, body.txs.len(), message));
        }
        Ok(body)
    }
}

/// Something that happened on the chain.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Money went from one account to another.
    Transferred {
        /// From.
        from: Address,
        /// To.
        to: Address,
        /// How much.
        amount: Amount,
    },
    /// A role was attested.
    Granted {
        /// Of whom.
        subject: Address,
        /// Which.
        role: Role,
        /// Until then.
        expires_at: TimeMs,
    },
    /// A role was taken back.
    Revoked {
        /// Of whom.
        subject: Address,
        /// Which.
        role: Role,
    },
    /// Something in the market.
    Market(gongsuan_market::Event),
    /// Money that the market moved.
    Money(Settlement),
    /// A supervisor spoke about an account.
    Supervised {
        /// Who.
        by: Address,
        /// About whom.
        subject: Address,
        /// Whether it is frozen now.
        frozen: bool,
    },
    /// An account has shown whose it is.
    Owned {
        /// The account.
        account: Address,
        /// [`crate::identity::owner`] of what the issuer attested.
        owner: Hash,
    },
    /// An account published the key to which others encrypt for it.
    KeyPublished {
        /// Whose.
        owner: Address,
        /// Which.
        key: EncryptionKey,
        /// How many it published before.
        number: u32,
    },
}

/// How a transaction ended.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TxStatus {
    /// Everything was done.
    Applied,
    /// An operation was refused: nothing was done, the fee was charged.
    Failed {
        /// Which operation, from 0.
        op: u16,
        /// Why.
        refusal: Refusal,
    },
    /// The transaction could not even begin: no effect and no fee.
    Skipped {
        /// Why.
        refusal: Refusal,
    },
}

/// What became of one transaction.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TxReceipt {
    /// The transaction.
    pub id: Hash,
    /// How it ended.
    pub status: TxStatus,
    /// The fee charged.
    pub fee: Amount,
    /// What happened.
    pub events: Vec<Event>,
}

/// The root over the ids of a block's transactions.
#[must_use]
pub fn tx_root(ids: &[Hash]) -> Hash {
    merkle::root(&tx_leaves(ids))
}

/// The proof that a transaction stands at a place of a block; `None` beyond its end.
#[must_use]
pub fn tx_proof(ids: &[Hash], index: usize) -> Option<merkle::Proof> {
    merkle::Proof::new(&tx_leaves(ids), index)
}

fn tx_leaves(ids: &[Hash]) -> Vec<Hash> {
    ids.iter().map(|id| merkle::leaf(&id.0)).collect()
}

/// The root over receipts and, last, the block's own events.
#[must_use]
pub fn receipt_root(receipts: &[TxReceipt], events: &[Event]) -> Hash {
    merkle::root(&receipt_leaves(receipts, events))
}

/// The proof of the receipt at an index; at the index after the last one, of the block's own events.
#[must_use]
pub fn receipt_proof(
    receipts: &[TxReceipt],
    events: &[Event],
    index: usize,
) -> Option<merkle::Proof> {
    merkle::Proof::new(&receipt_leaves(receipts, events), index)
}

fn receipt_leaves(receipts: &[TxReceipt], events: &[Event]) -> Vec<Hash> {
    let mut leaves: Vec<Hash> =
        receipts.iter().map(|receipt| merkle::leaf(&codec::encode(receipt))).collect();
    leaves.push(merkle::leaf(&codec::encode(events)));
    leaves
}
