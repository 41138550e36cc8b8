//! Facts out of a stored block. Records come from [`crate::State::prove`].

use gongsuan_types::Hash;

use super::Fact;
use crate::chain::StoredBlock;
use crate::header::{Body, receipt_proof, tx_proof};

/// That a block holds a transaction; `None` if it does not.
#[must_use]
pub fn transaction_of(block: &StoredBlock, id: &Hash) -> Option<Fact> {
    let body = Body::decode(&block.body).ok()?;
    let ids: Vec<Hash> = block.receipts.iter().map(|receipt| receipt.id).collect();
    let index = ids.iter().position(|other| other == id)?;
    let tx = Box::new(body.txs.into_iter().nth(index)?);
    Some(Fact::Transaction { tx, path: tx_proof(&ids, index)? })
}

/// What became of a transaction of a block; `None` if the block does not hold it.
#[must_use]
pub fn receipt_of(block: &StoredBlock, id: &Hash) -> Option<Fact> {
    let index = block.receipts.iter().position(|receipt| receipt.id == *id)?;
    let path = receipt_proof(&block.receipts, &block.events, index)?;
    Some(Fact::Receipt { receipt: Box::new(block.receipts[index].clone()), path })
}

/// The block's own events.
///
/// # Panics
/// Never: they are always the last leaf.
#[must_use]
pub fn events_of(block: &StoredBlock) -> Fact {
    let path = receipt_proof(&block.receipts, &block.events, block.receipts.len());
    Fact::Events { events: block.events.clone(), path: path.expect("the last leaf") }
}
