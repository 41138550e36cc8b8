//! Signatures of arriving transactions, checked in batches on a thread of their own.
//!
//! ```text
//! client or peer → offer → replica thread: is it new, does it fit (no signature yet) → notary: signatures, many at once
//!                          → replica thread: into the pool, on to the other validators with hints
//! ```
//!
//! So nothing that fails a cheap check costs a signature, and the replica thread checks none.

use std::collections::BTreeMap;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use gongsuan_ledger::mempool::Source;
use gongsuan_ledger::{SignedTransaction, Unverified, verify_signatures};
use gongsuan_types::Hash;
use gongsuan_types::batch::NonceHint;
use gongsuan_types::keys::KeyError;

use super::event::{Event, Reply};
use crate::replica::Front;

/// Offers that may wait for their signatures to be checked.
const WAITING_MAX: usize = 8_192;
/// Of these, of one peer.
const PER_PEER_MAX: usize = 1_024;
/// Signatures checked together, at most. Whatever waits is taken: one alone when it is quiet, many when it is not.
const BATCH_MAX: usize = 1_024;

/// A transaction that nobody has checked yet.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(super) tx: SignedTransaction,
    pub(super) id: Hash,
    pub(super) hint: Option<NonceHint>,
    pub(super) source: Source,
    /// Whether the client waits for the commit, and where it waits.
    pub(super) answer: Option<(bool, Reply)>,
}

impl Offer {
    pub(super) fn new(tx: SignedTransaction, hint: Option<NonceHint>, source: Source) -> Self {
        Self { id: tx.body.id(), tx, hint, source, answer: None }
    }
}

/// What became of an offer's signature.
pub(crate) type Judged = (Offer, Result<(), KeyError>);

/// The thread, from the replica's side. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Notary {
    offers: Option<Sender<Offer>>,
    /// How many of each peer wait.
    waiting: BTreeMap<Source, usize>,
    thread: Option<JoinHandle<()>>,
}

impl Notary {
    pub(super) fn start(front: Front<Event>) -> std::io::Result<Self> {
        let (offers, waiting) = bounded(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("notary".into())
            .spawn(move || work(&waiting, &front))?;
        Ok(Self { offers: Some(offers), waiting: BTreeMap::new(), thread: Some(thread) })
    }

    /// Has a signature checked; gives the offer back if too many wait, of its peer or in all. What was checked is to be [counted out](Self::done).
    pub(super) fn check(&mut self, offer: Offer) -> Result<(), Box<Offer>> {
        let Some(offers) = &self.offers else { return Err(Box::new(offer)) };
        let source = offer.source;
        let waiting = self.waiting.entry(source).or_default();
        if source != Source::Local && *waiting >= PER_PEER_MAX {
            return Err(Box::new(offer));
        }
        offers.try_send(offer).map_err(|error| match error {
            TrySendError::Full(offer) | TrySendError::Disconnected(offer) => Box::new(offer),
        })?;
        *waiting += 1;
        Ok(())
    }

    /// An offer of this source has come back.
    pub(super) fn done(&mut self, source: Source) {
        if let Some(waiting) = self.waiting.get_mut(&source) {
            *waiting = waiting.saturating_sub(1);
        }
    }
}

impl Drop for Notary {
    fn drop(&mut self) {
        self.offers = None;
        // It may wait for room in the queue of the thread that drops it, which takes nothing more: it is left to itself.
        drop(self.thread.take());
    }
}

fn work(offers: &Receiver<Offer>, front: &Front<Event>) {
    while let Ok(first) = offers.recv() {
        let mut batch: Vec<Offer> = std::iter::once(first).collect();
        batch.extend(offers.try_iter().take(BATCH_MAX - 1));
        if front.push(Event::Judged(judge(batch))).is_err() {
            return;
        }
    }
}

/// Checks signatures together. What came from a client gets the hint that spares the other validators a square root.
fn judge(mut offers: Vec<Offer>) -> Vec<Judged> {
    for offer in offers.iter_mut().filter(|offer| offer.source == Source::Local) {
        offer.hint = offer.hint.or_else(|| NonceHint::of(&offer.tx.signature));
    }
    let unverified: Vec<Unverified<'_>> = offers
        .iter()
        .map(|Offer { tx, id, hint, .. }| Unverified { tx, id, hint: *hint })
        .collect();
    let verdicts = verify_signatures(&unverified);
    offers.into_iter().zip(verdicts).collect()
}

#[cfg(test)]
mod tests {
    use gongsuan_ledger::{Op, Transaction};
    use gongsuan_types::{Address, Amount, SecretKey, TimeMs, Verified};

    use super::*;

    fn offer(n: u8, source: Source) -> Offer {
        let key = SecretKey::from_seed(&[n]);
        let body = Transaction {
            version: 1,
            chain_id: Hash::ZERO,
            sender: key.address(),
            nonce: 0,
            fee: Amount::new(1),
            expires_at: TimeMs(1),
            ops: vec![Op::Transfer { to: Address::TREASURY, amount: Amount::new(1) }],
        };
        Offer::new(Verified::sign(body, &key).into_signed(), None, source)
    }

    #[test]
    fn one_peer_does_not_use_up_the_places_of_others() {
        let (offers, waiting) = bounded(WAITING_MAX);
        let mut notary = Notary { offers: Some(offers), waiting: BTreeMap::new(), thread: None };
        let (greedy, other) = (offer(1, Source::Peer(1)), offer(2, Source::Peer(2)));
        let again = |offer: &Offer| Offer::new(offer.tx.clone(), None, offer.source);
        let taken = (0..WAITING_MAX).filter(|_| notary.check(again(&greedy)).is_ok()).count();
        assert_eq!(taken, PER_PEER_MAX);
        assert!(notary.check(again(&other)).is_ok());
        notary.done(waiting.recv().unwrap().source);
        assert!(notary.check(again(&greedy)).is_ok(), "what came back makes room");
        assert!(notary.check(again(&greedy)).is_err());
    }

    #[test]
    fn each_signature_gets_its_own_verdict_and_clients_ones_get_hints() {
        let sources = [Source::Local, Source::Peer(1)];
        let mut offers: Vec<Offer> =
            (0..10).map(|n| offer(n, sources[usize::from(n % 2)])).collect();
        offers[3].tx.signature.0[40] ^= 1;
        offers[4].tx.body.nonce = 1;
        offers[4].id = offers[4].tx.body.id();
        offers[5].hint = Some(NonceHint([7; 32]));
        let judged = judge(offers);
        for (n, (offer, verdict)) in judged.iter().enumerate() {
            assert_eq!(verdict.is_ok(), n != 3 && n != 4, "{n}");
            assert_eq!(offer.hint.is_some(), n % 2 == 0 || n == 5, "{n}");
        }
    }
}
