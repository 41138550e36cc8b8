//! What happens, for whoever listens.

use std::sync::Arc;

use gongsuan_ledger::{Event as ChainEvent, TxReceipt};
use gongsuan_types::{Hash, Height};

/// Events that a slow listener may lag behind.
const FEED_MAX: usize = 4_096;

/// Events for whoever listens.
#[derive(Debug, Clone)]
pub struct Feed(pub tokio::sync::broadcast::Sender<Arc<Happened>>);

/// One block's events.
#[derive(Debug)]
pub struct Happened {
    /// The block.
    pub height: Height,
    /// Its events, in order: those of transactions with their ids.
    pub events: Vec<(Option<Hash>, ChainEvent)>,
}

impl Happened {
    /// A block's events in order: those of its transactions, then its own.
    #[must_use]
    pub fn of(height: Height, receipts: &[TxReceipt], own: &[ChainEvent]) -> Self {
        let of_txs = receipts.iter().flat_map(|receipt| {
            receipt.events.iter().map(|event| (Some(receipt.id), event.clone()))
        });
        let events = of_txs.chain(own.iter().map(|event| (None, event.clone()))).collect();
        Self { height, events }
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self(tokio::sync::broadcast::channel(FEED_MAX).0)
    }
}
