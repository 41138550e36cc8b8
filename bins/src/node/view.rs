//! What others see of the ledger: its events, and what a question may read.

use std::sync::Arc;

use gongsuan_consensus::{CertifiedHeader, Core};
use gongsuan_ledger::{
    Chain, Event as ChainEvent, Header, HistoryTree, Mempool, NodeFile, TxReceipt, TxStatus,
};
use gongsuan_types::{Hash, Height, PublicKey};

use super::trades::Trades;

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

/// Transactions in blocks since this node started, by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Everything was done.
    pub applied: u64,
    /// Refused; the fee was charged.
    pub failed: u64,
    /// Could not even begin.
    pub skipped: u64,
}

impl Counts {
    pub(super) fn take(&mut self, status: &TxStatus) {
        match status {
            TxStatus::Applied => self.applied += 1,
            TxStatus::Failed { .. } => self.failed += 1,
            TxStatus::Skipped { .. } => self.skipped += 1,
        }
    }
}

/// What a question can read.
#[derive(Debug)]
pub struct View<'a> {
    /// The chain.
    pub chain: &'a Chain,
    /// What waits.
    pub pool: &'a Mempool,
    /// Term and leader.
    pub core: &'a Core,
    /// The newest header that is certified, with the certificate.
    pub certified: Option<&'a (Header, CertifiedHeader)>,
    /// The newest trades.
    pub trades: &'a Trades,
    /// Transactions since the start.
    pub counts: Counts,
    /// Which links are up, by the other end's key.
    pub links: Vec<(PublicKey, bool)>,
    /// This node's name.
    pub name: &'a str,
    /// Names and keys.
    pub genesis: &'a gongsuan_ledger::Genesis,
    /// All headers, for proofs; nothing, if their file cannot be used.
    pub history: Option<&'a HistoryTree<NodeFile>>,
}

impl View<'_> {
    /// The validators whose links are up, by their keys.
    pub fn connected(&self) -> impl Iterator<Item = &PublicKey> {
        let set = self.core.epoch().validators();
        let up = self.links.iter().filter(|(key, up)| *up && set.seat_of(key).is_some());
        up.map(|(key, _)| key)
    }

    /// The name of a validator for people.
    #[must_use]
    pub fn name_of(&self, key: &PublicKey) -> String {
        let named = self.genesis.validators.iter().find(|validator| validator.key == *key);
        named.map_or_else(|| key.to_string(), |validator| validator.name.clone())
    }
}
