//! What can be proved of a block.

use gongsuan_types::{codec, merkle};
use serde::{Deserialize, Serialize};

use super::Step;
use crate::accounts::StateKey;
use crate::header::{Event, Header, TxReceipt};
use crate::tree::{StateProof, key_hash, value_hash};
use crate::tx::SignedTransaction;

/// Something about a block, with the path to the root that says so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// The block is on the chain.
    Block,
    /// After the block, a record of the state is this; or there is no such record.
    Record {
        /// Which.
        key: StateKey,
        /// Its canonical bytes, if there is one.
        value: Option<Vec<u8>>,
        /// Under the state root.
        path: StateProof,
    },
    /// The block holds this transaction.
    Transaction {
        /// The transaction with its signature.
        tx: Box<SignedTransaction>,
        /// Under the transactions' root.
        path: merkle::Proof,
    },
    /// This became of a transaction of the block.
    Receipt {
        /// How it ended, with its events.
        receipt: Box<TxReceipt>,
        /// Under the receipts' root.
        path: merkle::Proof,
    },
    /// These are the block's own events, and no others: deadlines, draws, matches.
    Events {
        /// In order.
        events: Vec<Event>,
        /// Under the receipts' root, the last leaf.
        path: merkle::Proof,
    },
}

impl Fact {
    /// Checks the fact against a header that is trusted: the one place where this is decided. Returns what was shown, for people.
    ///
    /// # Errors
    /// The step that fails ([`Step::Content`] or [`Step::Path`]) and why.
    pub fn check(&self, block: &Header) -> Result<String, (Step, String)> {
        let txs = u64::from(block.tx_count);
        let under = |name: &str, holds: bool, shown: String| {
            let reason =
                || format!("the path does not lead to the {name} of block {}", block.height);
            if holds { Ok(shown) } else { Err((Step::Path, reason())) }
        };
        match self {
            Self::Block => Ok(format!("block {} has header {}", block.height, block.hash())),
            Self::Record { key, value, path } => {
                let hash = key_hash(&codec::encode(key));
                let holds = path.verify(block.state_root, hash, value.as_deref().map(value_hash));
                let word = value.as_ref().map_or("absent", |_| "there");
                let shown = format!("the record is {word} under state root {}", block.state_root);
                under("state root", holds, shown)
            }
            Self::Transaction { tx, path } => {
                let SignedTransaction { body, .. } = tx.as_ref();
                tx.as_ref().clone().verify().map_err(|error| {
                    (Step::Content, format!("the transaction's signature: {error}"))
                })?;
                counted("transactions", path.count, txs)?;
                let id = body.id();
                let holds = path.verify(block.tx_root, merkle::leaf(&id.0));
                let place = format!("transaction {} of {txs}, id {id}", path.index);
                under("transactions' root", holds, place)
            }
            Self::Receipt { receipt, path } => {
                counted("receipts and events", path.count, txs + 1)?;
                if path.index >= txs {
                    let reason = format!("leaf {} is that of the block's own events", path.index);
                    return Err((Step::Content, reason));
                }
                let leaf = merkle::leaf(&codec::encode(receipt));
                let place = format!("receipt {} of {txs}, of {}", path.index, receipt.id);
                under("receipts' root", path.verify(block.receipt_root, leaf), place)
            }
            Self::Events { events, path } => {
                counted("receipts and events", path.count, txs + 1)?;
                if path.index != txs {
                    let reason = format!("leaf {} is a transaction's receipt", path.index);
                    return Err((Step::Content, reason));
                }
                let leaf = merkle::leaf(&codec::encode(events));
                let shown = format!("{} events of the block itself", events.len());
                under("receipts' root", path.verify(block.receipt_root, leaf), shown)
            }
        }
    }
}

fn counted(what: &str, got: u64, expected: u64) -> Result<(), (Step, String)> {
    if got == expected {
        return Ok(());
    }
    Err((Step::Content, format!("the path is one among {got} {what}, the block has {expected}")))
}
