//! Who waits for a transaction to be committed.
//!
//! Nobody waits for nothing: whoever asked hears when the transaction is in a block, and when it can no longer be in one of this node's. Those who
//! have gone away are forgotten.

use std::collections::BTreeMap;

use gongsuan_ledger::{Location, Transaction};
use gongsuan_types::{Address, Hash, Refusal, TimeMs};

use super::event::{Reply, TxAnswer};

/// Who waits for one transaction, at most.
const PER_TX_MAX: usize = 64;
/// Who waits, at most: several times the connections of the API.
const WAITING_MAX: usize = 4_096;

/// What says why a transaction no longer waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    sender: Address,
    nonce: u64,
    expires_at: TimeMs,
}

impl From<&Transaction> for Claim {
    fn from(tx: &Transaction) -> Self {
        Self { sender: tx.sender, nonce: tx.nonce, expires_at: tx.expires_at }
    }
}

impl Claim {
    /// Why the pool has dropped it, at this block time and with this nonce next.
    fn refusal(&self, time: TimeMs, next: u64) -> Refusal {
        if self.expires_at <= time {
            let message = "the transaction has expired before a block took it";
            return Refusal::new(
                "expired",
                "expires_at",
                format!("after {time}"),
                self.expires_at,
                message,
            );
        }
        if self.nonce < next {
            let message = "another transaction of the sender has taken the nonce";
            return Refusal::new(
                "bad-nonce",
                "nonce",
                format!("from {next} on"),
                self.nonce,
                message,
            );
        }
        let message = "a transaction that pays more has taken its place here; another node may still have it: look for it before you pay more";
        Refusal::new("busy", "pool", "a place", "none", message)
    }
}

#[derive(Debug)]
struct Waiting {
    claim: Claim,
    replies: Vec<Reply>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    by_id: BTreeMap<Hash, Waiting>,
    count: usize,
}

impl Waiters {
    /// Someone waits for a transaction that is in the pool. If too many do, it is told so.
    pub(super) fn add(&mut self, id: Hash, claim: Claim, reply: Reply) {
        let of_tx = self.by_id.get(&id).map_or(0, |waiting| waiting.replies.len());
        if of_tx >= PER_TX_MAX || self.count >= WAITING_MAX {
            self.forget_gone();
        }
        let of_tx = self.by_id.get(&id).map_or(0, |waiting| waiting.replies.len());
        if of_tx >= PER_TX_MAX || self.count >= WAITING_MAX {
            let (limit, got) =
                (format!("{PER_TX_MAX} for one transaction, {WAITING_MAX} in all"), of_tx);
            let message = "too many wait for commits; the transaction itself waits here: ask for it by its id";
            let refusal = Refusal::new("busy", "wait", limit, got, message);
            return drop(reply.send(TxAnswer::Refused(refusal)));
        }
        self.by_id
            .entry(id)
            .or_insert_with(|| Waiting { claim, replies: Vec::new() })
            .replies
            .push(reply);
        self.count += 1;
    }

    /// A transaction is in a durable block.
    pub(super) fn committed(&mut self, id: &Hash, location: Location) {
        let Some(waiting) = self.by_id.remove(id) else { return };
        self.count -= waiting.replies.len();
        for reply in waiting.replies {
            drop(reply.send(TxAnswer::Committed(location)));
        }
    }

    /// Tells those whose transaction does not stay why it is gone, and forgets those who have gone themselves.
    /// `next_nonce` is that of an account.
    pub(super) fn sweep(
        &mut self,
        time: TimeMs,
        next_nonce: impl Fn(&Address) -> u64,
        stays: impl Fn(&Hash) -> bool,
    ) {
        for (_, waiting) in self.by_id.extract_if(.., |id, _| !stays(id)) {
            self.count -= waiting.replies.len();
            let refusal = waiting.claim.refusal(time, next_nonce(&waiting.claim.sender));
            for reply in waiting.replies {
                drop(reply.send(TxAnswer::Refused(refusal.clone())));
            }
        }
        self.forget_gone();
    }

    fn forget_gone(&mut self) {
        self.by_id.retain(|_, waiting| {
            waiting.replies.retain(|reply| !reply.is_closed());
            !waiting.replies.is_empty()
        });
        self.count = self.by_id.values().map(|waiting| waiting.replies.len()).sum();
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use gongsuan_types::Height;
    use tokio::sync::oneshot::{Receiver, channel, error::TryRecvError};

    use super::*;

    const CLAIM: Claim = Claim { sender: Address([1; 32]), nonce: 0, expires_at: TimeMs(u64::MAX) };

    fn id(n: usize) -> Hash {
        Hash::of_content(&n.to_le_bytes())
    }

    fn wait(waiters: &mut Waiters, n: usize, claim: Claim) -> Receiver<TxAnswer> {
        let (reply, answered) = channel();
        waiters.add(id(n), claim, reply);
        answered
    }

    fn code(answered: &mut Receiver<TxAnswer>) -> String {
        match answered.try_recv() {
            Ok(TxAnswer::Refused(refusal)) => refusal.code.into_owned(),
            Ok(TxAnswer::Committed(_)) => "committed".into(),
            Ok(TxAnswer::Pending(_)) => "pending".into(),
            Err(TryRecvError::Empty) => "waits".into(),
            Err(TryRecvError::Closed) => "forgotten".into(),
        }
    }

    #[test]
    fn whoever_waits_hears_of_the_block_or_why_there_will_be_none() {
        let mut waiters = Waiters::default();
        let late = Claim { expires_at: TimeMs(1_000), ..CLAIM };
        let mut answers = [
            wait(&mut waiters, 1, CLAIM),
            wait(&mut waiters, 1, CLAIM),
            wait(&mut waiters, 2, CLAIM),
            wait(&mut waiters, 3, late),
            wait(&mut waiters, 4, CLAIM),
            wait(&mut waiters, 5, Claim { sender: Address([2; 32]), ..CLAIM }),
        ];
        let next_nonce = |sender: &Address| u64::from(*sender == Address([2; 32]));
        waiters.committed(&id(1), Location { height: Height(1), index: 0 });
        waiters.sweep(TimeMs(1_000), next_nonce, |one| *one == id(4));
        let codes = answers.each_mut().map(code);
        assert_eq!(codes, ["committed", "committed", "busy", "expired", "waits", "bad-nonce"]);
        assert_eq!(waiters.count, 1);
        drop(answers);
        waiters.sweep(TimeMs(1_000), next_nonce, |_| true);
        assert!(waiters.is_empty(), "those who went away are forgotten");
        assert_eq!(waiters.count, 0);
    }

    #[test]
    fn those_who_wait_are_bounded_and_those_who_left_make_room() {
        let mut waiters = Waiters::default();
        let mut kept: Vec<_> = (0..PER_TX_MAX).map(|_| wait(&mut waiters, 0, CLAIM)).collect();
        assert_eq!(code(&mut wait(&mut waiters, 0, CLAIM)), "busy");
        kept.pop();
        assert_eq!(code(&mut wait(&mut waiters, 0, CLAIM)), "waits");
        kept.extend((1..=WAITING_MAX).map(|n| wait(&mut waiters, n, CLAIM)));
        let codes = kept.iter_mut().map(code).filter(|code| code == "waits").count();
        assert_eq!(codes, WAITING_MAX);
        assert_eq!(waiters.count, WAITING_MAX);
    }
}
