//! Transactions that wait to be ordered. What is in here never influences the state.
//!
//! Each sender has a queue by nonce. Admission goes from cheap to expensive: size and form, chain, expiry, fee, nonce window, balance, room in
//! the pool; and only for what passes all of that, in batches, the signature. When the pool is full, a newcomer pushes out the *last* of another
//! sender's queue if it pays a tenth more per byte, so no queue gets a hole. Which transactions a block takes depends on what waits, not on the
//! order in which it came.
//!
//! The pool follows the chain: it is told of each block ([`Mempool::prune`]), and keeps in order what could come next, what would be pushed out, and
//! what expires. So building a block and following one cost what the block has, however much waits.

mod limits;
mod queue;
mod select;

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_types::batch::NonceHint;
use gongsuan_types::{Address, Amount, Hash, Refusal, TimeMs, Verified, codec};

pub use self::limits::{Budget, Limits, Source, work};
use self::queue::{Head, Queue, Tail};

use crate::check::{Unverified, bad_signature, verify_signatures};
use crate::court::is_duty;
use crate::state::State;
use crate::transition::fee_due;
use crate::tx::{SignedTransaction, TX_BYTES_MAX, Transaction, witness_id};

#[derive(Debug)]
struct Waiting {
    tx: SignedTransaction,
    id: Hash,
    bytes: usize,
    source: Source,
    /// A validator's verdicts: they cost nothing, and stand before what pays.
    is_duty: bool,
}

impl Waiting {
    /// Fee in micro-tokens per 1,024 bytes.
    fn rate(&self) -> u128 {
        if self.is_duty { u128::MAX } else { rate(self.tx.body.fee, self.bytes) }
    }

    /// What the heads of queues are ordered by.
    fn worth(&self) -> Amount {
        if self.is_duty { Amount::new(u128::MAX) } else { self.tx.body.fee }
    }
}

fn rate(fee: Amount, bytes: usize) -> u128 {
    fee.micro().saturating_mul(1_024) / (bytes.max(1) as u128)
}

/// A bounded pool, by sender and nonce.
#[derive(Debug)]
pub struct Mempool {
    limits: Limits,
    senders: BTreeMap<Address, Queue>,
    ids: BTreeSet<Hash>,
    /// What was verified upon admission, by [`witness_id`].
    verified: BTreeSet<Hash>,
    /// What could be ordered next: of each queue the transaction with the account's next nonce, the dearest first.
    heads: BTreeSet<Head>,
    /// The last of each queue by what it pays: what is pushed out first.
    tails: BTreeSet<Tail>,
    /// Everything, by when it expires.
    expiries: BTreeSet<(TimeMs, Address, u64)>,
    /// Verdicts of validators, which are free while they are news.
    duties: BTreeSet<(Address, u64)>,
    sources: BTreeMap<Source, usize>,
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

/// What a newcomer does to the pool.
enum Room {
    Free,
    /// It takes the place of one with the same sender and nonce.
    Replace,
    /// These must go, in this order.
    PushOut(Vec<(Address, u64)>),
}

impl Mempool {
    /// An empty pool.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            senders: BTreeMap::new(),
            ids: BTreeSet::new(),
            verified: BTreeSet::new(),
            heads: BTreeSet::new(),
            tails: BTreeSet::new(),
            expiries: BTreeSet::new(),
            duties: BTreeSet::new(),
            sources: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Transactions waiting.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ids.len()
    }

    /// Bytes waiting.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a transaction waits here.
    #[must_use]
    pub fn contains(&self, id: &Hash) -> bool {
        self.ids.contains(id)
    }

    /// The [`witness_id`]s of what waits: signatures that need no second look in a payload.
    #[must_use]
    pub fn verified(&self) -> &BTreeSet<Hash> {
        &self.verified
    }

    /// The nonce after the last one waiting or used.
    #[must_use]
    pub fn next_nonce(&self, sender: &Address, state: &State) -> u64 {
        let mut nonce = state.accounts().account(sender).nonce;
        if let Some(queue) = self.senders.get(sender) {
            while queue.get(nonce).is_some() {
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
        let (most, needed) = (Budget::default().work, work(tx));
        if needed > most {
            let message =
                "no block has room for so much work in one transaction; send it in several";
            return Err(refuse("too-much-work", "ops", most, needed, message));
        }
        let least = fee_due(state, tx);
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
        let queued = self.senders.get(&tx.sender).into_iter().flat_map(Queue::iter);
        let others = queued.filter(|waiting| waiting.tx.body.nonce != tx.nonce);
        let fees = others.map(|waiting| waiting.tx.body.fee);
        let fees = Amount::checked_sum(fees.chain([tx.fee]));
        if fees.is_none_or(|fees| fees > account.balance) {
            let limit = format!("at most {}", account.balance);
            let message = "the balance does not cover the fees of what waits";
            return Err(refuse("insufficient-funds", "fee", limit, tx.fee, message));
        }
        Ok(())
    }

    /// Whether a transaction would be taken in if its signature were good: everything else about it.
    ///
    /// # Errors
    /// A [`Refusal`], as [`Mempool::insert_from`].
    pub fn would_take(
        &self,
        tx: &SignedTransaction,
        source: Source,
        state: &State,
    ) -> Result<(), Refusal> {
        let (id, bytes) = id_and_bytes(tx);
        self.room(tx, id, bytes, source, state).map(drop)
    }

    /// Takes a transaction in. One with the same sender and nonce is replaced for a fee a tenth higher.
    ///
    /// # Errors
    /// A [`Refusal`]: what [`Mempool::precheck`] finds, `busy` when the pool is full, `already-known`. The pool is unchanged.
    pub fn insert(&mut self, tx: Verified<Transaction>, state: &State) -> Result<Hash, Refusal> {
        self.insert_from(tx, Source::Local, state)
    }

    /// [`Mempool::insert`], within the quota of whoever brought it.
    ///
    /// # Errors
    /// As [`Mempool::insert`], and `busy` when the peer's quota is used up.
    pub fn insert_from(
        &mut self,
        tx: Verified<Transaction>,
        source: Source,
        state: &State,
    ) -> Result<Hash, Refusal> {
        let tx = tx.into_signed();
        let (id, bytes) = id_and_bytes(&tx);
        let room = self.room(&tx, id, bytes, source, state)?;
        let is_duty = is_duty(state, &tx.body);
        self.place(Waiting { tx, id, bytes, source, is_duty }, room, state);
        Ok(id)
    }

    /// Takes in what of these passes every check, verifying the signatures of those that pass all others as one batch. One answer for each,
    /// in order.
    pub fn admit(
        &mut self,
        txs: Vec<(SignedTransaction, Option<NonceHint>)>,
        source: Source,
        state: &State,
    ) -> Vec<Result<Hash, Refusal>> {
        let keys: Vec<(Hash, usize)> = txs.iter().map(|(tx, _)| id_and_bytes(tx)).collect();
        let mut answers: Vec<Result<Hash, Refusal>> = txs
            .iter()
            .zip(&keys)
            .map(|((tx, _), (id, bytes))| self.room(tx, *id, *bytes, source, state).map(|_| *id))
            .collect();
        let (mut places, mut unverified) = (Vec::new(), Vec::new());
        for (index, ((tx, hint), (id, _))) in txs.iter().zip(&keys).enumerate() {
            if answers[index].is_ok() {
                places.push(index);
                unverified.push(Unverified { tx, id, hint: *hint });
            }
        }
        for (index, verdict) in places.into_iter().zip(verify_signatures(&unverified)) {
            if let Err(error) = verdict {
                answers[index] = Err(bad_signature(txs[index].0.signature, error));
            }
        }
        for (answer, ((tx, _), (id, bytes))) in answers.iter_mut().zip(txs.into_iter().zip(keys)) {
            if answer.is_ok() {
                // Again, because those before it may have taken the room.
                match self.room(&tx, id, bytes, source, state) {
                    Ok(room) => {
                        let is_duty = is_duty(state, &tx.body);
                        self.place(Waiting { tx, id, bytes, source, is_duty }, room, state);
                    }
                    Err(refusal) => *answer = Err(refusal),
                }
            }
        }
        answers
    }

    /// Everything about a newcomer but its signature.
    fn room(
        &self,
        tx: &SignedTransaction,
        id: Hash,
        bytes: usize,
        source: Source,
        state: &State,
    ) -> Result<Room, Refusal> {
        if bytes > TX_BYTES_MAX {
            return Err(refuse(
                "too-long",
                "tx",
                TX_BYTES_MAX,
                bytes,
                "the transaction is too long",
            ));
        }
        if self.ids.contains(&id) {
            return Err(refuse("already-known", "tx", "a new one", id, "it waits already"));
        }
        self.precheck(&tx.body, state)?;
        let queue = self.senders.get(&tx.body.sender);
        if let Some(old) = queue.and_then(|queue| queue.get(tx.body.nonce)) {
            let least = old.tx.body.fee.mul_div_floor(11, 10).unwrap_or(old.tx.body.fee);
            if tx.body.fee < least || tx.body.fee == old.tx.body.fee {
                let limit = format!("at least {least}");
                let message = "a transaction with this nonce waits; pay a tenth more to replace it";
                return Err(refuse("fee-too-low", "fee", limit, tx.body.fee, message));
            }
            if self.bytes - old.bytes + bytes > self.limits.bytes_max {
                return Err(full(self.limits.bytes_max, self.bytes));
            }
            return Ok(Room::Replace);
        }
        let waiting = queue.map_or(0, Queue::len);
        if waiting >= self.limits.per_sender_max {
            let limit = self.limits.per_sender_max;
            let message = "too many transactions of this sender wait";
            return Err(refuse("busy", "sender", limit, waiting + 1, message));
        }
        let brought = self.sources.get(&source).copied().unwrap_or(0);
        if source != Source::Local && brought >= self.limits.per_peer_max {
            let limit = self.limits.per_peer_max;
            let message = "too many transactions of this peer wait";
            return Err(refuse("busy", "peer", limit, brought + 1, message));
        }
        // Nothing is paid for what can never be ordered, so it must not take the place of what can.
        let half_full =
            2 * self.ids.len() >= self.limits.count_max || 2 * self.bytes >= self.limits.bytes_max;
        let next = self.next_nonce(&tx.body.sender, state);
        if half_full && tx.body.nonce > next {
            let message = "the pool has no room for transactions before which others are missing";
            return Err(refuse("busy", "nonce", next, tx.body.nonce, message));
        }
        self.push_out(tx, bytes, state)
    }

    /// Whether there is room, or who must go.
    fn push_out(
        &self,
        tx: &SignedTransaction,
        bytes: usize,
        state: &State,
    ) -> Result<Room, Refusal> {
        let (mut count, mut used) = (self.ids.len() + 1, self.bytes + bytes);
        let fits = |count: usize, used: usize| {
            count <= self.limits.count_max && used <= self.limits.bytes_max
        };
        if fits(count, used) {
            return Ok(Room::Free);
        }
        let duty = is_duty(state, &tx.body);
        let offered = if duty { u128::MAX } else { rate(tx.body.fee, bytes) };
        let mut gone = Vec::new();
        // One tail of each queue at most: what stands before it is a tail only when it is gone.
        for (rate, sender, nonce) in &self.tails {
            if rate.saturating_mul(11) / 10 >= offered {
                break;
            }
            if *sender == tx.body.sender {
                continue;
            }
            let victim = self.senders.get(sender).and_then(|queue| queue.get(*nonce));
            count -= 1;
            used -= victim.map_or(0, |victim| victim.bytes);
            gone.push((*sender, *nonce));
            if fits(count, used) {
                return Ok(Room::PushOut(gone));
            }
            if gone.len() >= PUSHED_OUT_MAX {
                break;
            }
        }
        Err(full(self.limits.count_max, self.ids.len()))
    }

    fn place(&mut self, waiting: Waiting, room: Room, state: &State) {
        let (sender, nonce) = (waiting.tx.body.sender, waiting.tx.body.nonce);
        match room {
            Room::Free => {}
            Room::Replace => self.remove(sender, nonce),
            Room::PushOut(gone) => {
                for (sender, nonce) in gone {
                    self.remove(sender, nonce);
                }
            }
        }
        self.ids.insert(waiting.id);
        self.verified.insert(witness_id(&waiting.id, &waiting.tx.signature));
        self.bytes += waiting.bytes;
        *self.sources.entry(waiting.source).or_default() += 1;
        self.expiries.insert((waiting.tx.body.expires_at, sender, nonce));
        if waiting.is_duty {
            self.duties.insert((sender, nonce));
        }
        let next = state.accounts().account(&sender).nonce;
        self.change(sender, |queue| {
            queue.next = next;
            queue.insert(waiting);
        });
        debug_assert!(self.ids.len() <= self.limits.count_max, "the pool is bounded in count");
        debug_assert!(self.bytes <= self.limits.bytes_max, "the pool is bounded in bytes");
    }

    fn remove(&mut self, sender: Address, nonce: u64) {
        if let Some(waiting) = self.change(sender, |queue| queue.remove(nonce)) {
            self.forget(&waiting);
        }
    }

    /// Changes one sender's queue, and with it what is known of its head and its tail.
    fn change<T>(&mut self, sender: Address, change: impl FnOnce(&mut Queue) -> T) -> T {
        let queue = self.senders.entry(sender).or_default();
        if let Some(head) = queue.head(sender) {
            self.heads.remove(&head);
        }
        if let Some(tail) = queue.tail(sender) {
            self.tails.remove(&tail);
        }
        let changed = change(queue);
        self.heads.extend(queue.head(sender));
        self.tails.extend(queue.tail(sender));
        if queue.len() == 0 {
            self.senders.remove(&sender);
        }
        changed
    }

    fn forget(&mut self, waiting: &Waiting) {
        let body = &waiting.tx.body;
        self.ids.remove(&waiting.id);
        self.expiries.remove(&(body.expires_at, body.sender, body.nonce));
        self.duties.remove(&(body.sender, body.nonce));
        self.verified.remove(&witness_id(&waiting.id, &waiting.tx.signature));
        self.bytes -= waiting.bytes;
        if let Some(count) = self.sources.get_mut(&waiting.source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&waiting.source);
            }
        }
    }

    /// Follows the chain to a state: what has expired by its time is dropped, verdicts that came too late to be free, and of those who sent something in the blocks before it whatever has a used
    /// nonce. `senders` are those of every block since the pool was last told, as [`Applied::senders`](crate::Applied::senders) has them.
    pub fn prune(&mut self, state: &State, senders: impl IntoIterator<Item = Address>) {
        while let Some((expires_at, sender, nonce)) = self.expiries.first().copied()
            && expires_at <= state.time()
        {
            self.remove(sender, nonce);
        }
        let is_late = |(sender, nonce): &&(Address, u64)| {
            let waiting = self.senders.get(sender).and_then(|queue| queue.get(*nonce));
            waiting.is_some_and(|waiting| waiting.tx.body.fee < fee_due(state, &waiting.tx.body))
        };
        let late: Vec<(Address, u64)> = self.duties.iter().filter(is_late).copied().collect();
        for (sender, nonce) in late {
            self.remove(sender, nonce);
        }
        for sender in senders {
            let next = state.accounts().account(&sender).nonce;
            let Some(queue) = self.senders.get(&sender).filter(|queue| queue.next != next) else {
                continue;
            };
            let used: Vec<u64> = queue.before(next).collect();
            for nonce in used {
                self.remove(sender, nonce);
            }
            if self.senders.contains_key(&sender) {
                self.change(sender, |queue| queue.next = next);
            }
        }
    }
}

/// Transactions that one newcomer may push out. Kept at 8: a long one must not empty the pool.
const PUSHED_OUT_MAX: usize = 8;

fn full(limit: usize, got: usize) -> Refusal {
    let message = "the pool is full of transactions that pay as much; pay more or try again later";
    refuse("busy", "pool", limit, got, message)
}

/// The id and the length of the canonical encoding: the signature stands as 64 bytes behind the body.
fn id_and_bytes(tx: &SignedTransaction) -> (Hash, usize) {
    let body = codec::encode(&tx.body);
    (Transaction::id_of(&body), body.len() + tx.signature.0.len())
}
