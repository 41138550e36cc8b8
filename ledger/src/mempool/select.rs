//! What is ordered next.

use std::collections::BTreeSet;

use gongsuan_types::Hash;

use super::limits::Budget;
use super::{Head, Mempool};
use crate::state::State;
use crate::tx::SignedTransaction;

/// Heads passed over before a block counts as full. Kept at 64: looking for the last fitting transaction must not cost more than it brings.
const MISSES_MAX: usize = 64;

impl Mempool {
    /// Whether something could be ordered now. `state` is the one that the pool was last told of.
    #[must_use]
    pub fn has_ready(&self, state: &State) -> bool {
        self.heads.iter().any(|head| is_next(head, state))
    }

    /// Transactions to order next: each sender's in nonce order, dearer heads first, without those in `in_flight`.
    /// `limit` is transactions and bytes, within the usual [`Budget`]; see [`Mempool::build`] for more.
    #[must_use]
    pub fn select(
        &self,
        state: &State,
        in_flight: &BTreeSet<Hash>,
        limit: (usize, usize),
    ) -> Vec<SignedTransaction> {
        let (txs, bytes) = limit;
        self.build(state, in_flight, Budget { txs, bytes, ..Budget::default() })
    }

    /// The transactions of the next block: each sender's in nonce order, dearer heads first, without those in `in_flight`, within a budget. What
    /// follows one in flight, or one that was taken, competes from then on. A transaction that does not fit is passed over with everything behind
    /// it in its queue, and the others go on. `state` is the one that the pool was last told of.
    #[must_use]
    pub fn build(
        &self,
        state: &State,
        in_flight: &BTreeSet<Hash>,
        budget: Budget,
    ) -> Vec<SignedTransaction> {
        let mut heads = self.heads.iter().filter(|head| is_next(head, state)).peekable();
        let mut followers: BTreeSet<Head> = BTreeSet::new();
        let (mut picked, mut rest, mut misses) = (Vec::new(), budget.begin(), 0);
        loop {
            let is_head = match (heads.peek(), followers.first()) {
                (Some(head), Some(follower)) => *head < follower,
                (head, _) => head.is_some(),
            };
            let best = if is_head { heads.next().copied() } else { followers.pop_first() };
            let Some((_, sender, nonce)) = best else { break };
            let Some(queue) = self.senders.get(&sender) else { continue };
            let Some(waiting) = queue.get(nonce) else { continue };
            if !in_flight.contains(&waiting.id) {
                if !rest.take(&waiting.tx.body, waiting.bytes) {
                    misses += 1;
                    if rest.txs == 0 || misses == MISSES_MAX {
                        break;
                    }
                    continue;
                }
                picked.push(waiting.tx.clone());
            }
            followers.extend(queue.head_at(sender, nonce + 1));
        }
        picked
    }
}

/// Whether a head's nonce is still its account's next.
fn is_next((_, sender, nonce): &Head, state: &State) -> bool {
    state.accounts().account(sender).nonce == *nonce
}
