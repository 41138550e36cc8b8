//! Transactions that wait to be ordered. What is in here never influences the state.

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_types::{Address, Amount, Hash, Refusal, Verified, codec};

use crate::state::State;
use crate::transition::fee_min;
use crate::tx::{SignedTransaction, Transaction};

/// The pool's bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Transactions, at most.
    pub count_max: usize,
    /// Bytes, at most.
    pub bytes_max: usize,
    /// Transactions of one sender, at most.
    pub per_sender_max: usize,
    /// How far a nonce may lie ahead of the account's.
    pub gap_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { count_max: 50_000, bytes_max: 32 << 20, per_sender_max: 64, gap_max: 64 }
    }
}

#[derive(Debug)]
struct Waiting {
    tx: SignedTransaction,
    id: Hash,
    bytes: usize,
}

/// A bounded pool, by sender and nonce.
#[derive(Debug)]
pub struct Mempool {
    limits: Limits,
    senders: BTreeMap<Address, BTreeMap<u64, Waiting>>,
    ids: BTreeSet<Hash>,
    bytes: usize,
}

fn refuse(
    code: &'static str,
    field: &'static str,
    limit: impl ToString,
    got: impl ToString,
    message: &str,
) -> Refusal {
    Refusal::new(code, field, limit, got, message)
}

impl Mempool {
    /// An empty pool.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, senders: BTreeMap::new(), ids: BTreeSet::new(), bytes: 0 }
    }

    /// Transactions waiting.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// Whether a transaction waits here.
    #[must_use]
    pub fn contains(&self, id: &Hash) -> bool {
        self.ids.contains(id)
    }

    /// Whether something could be ordered now.
    #[must_use]
    pub fn has_ready(&self, state: &State) -> bool {
        self.senders
            .iter()
            .any(|(sender, queue)| queue.contains_key(&state.accounts().account(sender).nonce))
    }

    /// The nonce after the last one waiting or used.
    #[must_use]
    pub fn next_nonce(&self, sender: &Address, state: &State) -> u64 {
        let mut nonce = state.accounts().account(sender).nonce;
        if let Some(queue) = self.senders.get(sender) {
            while queue.contains_key(&nonce) {
                nonce += 1;
            }
        }
        nonce
    }

    /// Checks that need no signature and no space: do these before verifying.
    ///
    /// # Errors
    /// A [`Refusal`], by what was wrong.
    pub fn precheck(&self, tx: &Transaction, state: &State) -> Result<(), Refusal> {
        tx.validate(state.chain_id())?;
        let account = state.accounts().account(&tx.sender);
        if tx.expires_at <= state.time() {
            let limit = format!("after {}", state.time());
            let message = "the transaction has expired";
            return Err(refuse("expired", "expires_at", limit, tx.expires_at, message));
        }
        let least = fee_min(state.params(), tx.ops.len());
        if tx.fee < least {
            let limit = format!("at least {least}");
            return Err(refuse("fee-too-low", "fee", limit, tx.fee, "the fee is too low"));
        }
        let last = account.nonce.saturating_add(self.limits.gap_max);
        if tx.nonce < account.nonce || tx.nonce > last {
            let limit = format!("{}..={last}", account.nonce);
            let message = "the nonce is used, or too far ahead";
            return Err(refuse("bad-nonce", "nonce", limit, tx.nonce, message));
        }
        let queued = self.senders.get(&tx.sender);
        let fees = queued.into_iter().flat_map(BTreeMap::values).map(|waiting| waiting.tx.body.fee);
        let fees = Amount::checked_sum(fees.chain([tx.fee]));
        if fees.is_none_or(|fees| fees > account.balance) {
            let limit = format!("at most {}", account.balance);
            let message = "the balance does not cover the fees of what waits";
            return Err(refuse("insufficient-funds", "fee", limit, tx.fee, message));
        }
        Ok(())
    }

    /// Takes a transaction in. One with the same sender and nonce is replaced for a fee a tenth higher.
    ///
    /// # Errors
    /// A [`Refusal`]: what [`Mempool::precheck`] finds, `busy` when the pool is full, `already-known`.
    pub fn insert(&mut self, tx: Verified<Transaction>, state: &State) -> Result<Hash, Refusal> {
        self.precheck(tx.body(), state)?;
        let id = tx.body().id();
        if self.ids.contains(&id) {
            return Err(refuse("already-known", "tx", "a new one", id, "it waits already"));
        }
        let tx = tx.into_signed();
        let bytes = codec::encode(&tx).len();
        let (sender, nonce) = (tx.body.sender, tx.body.nonce);
        let queue = self.senders.get(&sender);
        let replaced = queue.and_then(|queue| queue.get(&nonce));
        if let Some(old) = replaced {
            let least = old.tx.body.fee.mul_div_floor(11, 10).unwrap_or(old.tx.body.fee);
            if tx.body.fee < least || tx.body.fee == old.tx.body.fee {
                let limit = format!("at least {least}");
                let message = "a transaction with this nonce waits; pay a tenth more to replace it";
                return Err(refuse("fee-too-low", "fee", limit, tx.body.fee, message));
            }
        } else {
            let waiting = queue.map_or(0, BTreeMap::len);
            if waiting >= self.limits.per_sender_max {
                let limit = self.limits.per_sender_max;
                let message = "too many transactions of this sender wait";
                return Err(refuse("busy", "sender", limit, waiting + 1, message));
            }
            let full = self.ids.len() >= self.limits.count_max
                || self.bytes + bytes > self.limits.bytes_max;
            if full {
                let message = "the pool is full; try again later";
                return Err(refuse("busy", "pool", self.limits.count_max, self.ids.len(), message));
            }
        }
        let queue = self.senders.entry(sender).or_default();
        if let Some(old) = queue.insert(nonce, Waiting { tx, id, bytes }) {
            self.ids.remove(&old.id);
            self.bytes -= old.bytes;
        }
        self.ids.insert(id);
        self.bytes += bytes;
        Ok(id)
    }

    /// Transactions to order next: each sender's in nonce order, dearer heads first, without those in `in_flight`.
    #[must_use]
    pub fn select(
        &self,
        state: &State,
        in_flight: &BTreeSet<Hash>,
        limit: (usize, usize),
    ) -> Vec<SignedTransaction> {
        let (count_max, bytes_max) = limit;
        let mut heads: BTreeSet<(std::cmp::Reverse<Amount>, Address, u64)> = BTreeSet::new();
        for (sender, queue) in &self.senders {
            let mut nonce = state.accounts().account(sender).nonce;
            while queue.get(&nonce).is_some_and(|waiting| in_flight.contains(&waiting.id)) {
                nonce += 1;
            }
            if let Some(waiting) = queue.get(&nonce) {
                heads.insert((std::cmp::Reverse(waiting.tx.body.fee), *sender, nonce));
            }
        }
        let (mut picked, mut bytes) = (Vec::new(), 16);
        while let Some((_, sender, nonce)) = heads.pop_first() {
            let Some(queue) = self.senders.get(&sender) else { continue };
            let Some(waiting) = queue.get(&nonce) else { continue };
            if picked.len() == count_max || bytes + waiting.bytes > bytes_max {
                break;
            }
            bytes += waiting.bytes;
            picked.push(waiting.tx.clone());
            if let Some(next) = queue.get(&(nonce + 1)) {
                heads.insert((std::cmp::Reverse(next.tx.body.fee), sender, nonce + 1));
            }
        }
        picked
    }

    /// Drops what a block has made void: used nonces and expired transactions.
    pub fn prune(&mut self, state: &State) {
        let (ids, bytes) = (&mut self.ids, &mut self.bytes);
        self.senders.retain(|sender, queue| {
            let nonce = state.accounts().account(sender).nonce;
            queue.retain(|at, waiting| {
                let keep = *at >= nonce && waiting.tx.body.expires_at > state.time();
                if !keep {
                    ids.remove(&waiting.id);
                    *bytes -= waiting.bytes;
                }
                keep
            });
            !queue.is_empty()
        });
    }
}
