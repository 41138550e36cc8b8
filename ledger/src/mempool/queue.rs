//! One sender's transactions, by nonce.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use gongsuan_types::{Address, Amount};

use super::Waiting;

/// What could be ordered next, in the order in which it is: the fee (duties first), the sender, the nonce.
pub(super) type Head = (Reverse<Amount>, Address, u64);
/// What is pushed out, in the order in which it is: the fee for 1,024 bytes, the sender, the nonce.
pub(super) type Tail = (u128, Address, u64);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The account's next nonce, as the pool was last told.
    pub(super) next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn get(&self, nonce: u64) -> Option<&Waiting> {
        self.waiting.get(&nonce)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.values()
    }

    pub(super) fn insert(&mut self, waiting: Waiting) {
        self.waiting.insert(waiting.tx.body.nonce, waiting);
    }

    pub(super) fn remove(&mut self, nonce: u64) -> Option<Waiting> {
        self.waiting.remove(&nonce)
    }

    /// The nonces below one.
    pub(super) fn before(&self, nonce: u64) -> impl Iterator<Item = u64> {
        self.waiting.range(..nonce).map(|(nonce, _)| *nonce)
    }

    /// What could be ordered next, if it is here.
    pub(super) fn head(&self, sender: Address) -> Option<Head> {
        self.head_at(sender, self.next)
    }

    /// The transaction with a nonce, as something that could be ordered.
    pub(super) fn head_at(&self, sender: Address, nonce: u64) -> Option<Head> {
        Some((Reverse(self.get(nonce)?.worth()), sender, nonce))
    }

    /// What would be pushed out first.
    pub(super) fn tail(&self, sender: Address) -> Option<Tail> {
        let (nonce, waiting) = self.waiting.last_key_value()?;
        Some((waiting.rate(), sender, *nonce))
    }
}
