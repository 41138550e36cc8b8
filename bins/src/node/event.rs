//! The node's front door: what reaches the ledger beside consensus.

use std::time::Duration;

use crossbeam_channel::bounded;
use gongsuan_ledger::mempool::Source;
use gongsuan_ledger::{Location, SignedTransaction};
use gongsuan_types::batch::NonceHint;
use gongsuan_types::{Hash, Refusal, codec};

use super::notary::{Judged, Offer};
use super::view::View;
use crate::replica::{Front, FrontError, Gate};

/// A question that only reads.
pub(crate) type Question = Box<dyn FnOnce(&View<'_>) + Send>;

/// Everything the ledger reacts to, beside consensus.
pub(crate) enum Event {
    /// Transactions of a client or of a validator, unchecked.
    Offers(Vec<Offer>),
    /// Transactions whose signatures were checked.
    Judged(Vec<Judged>),
    /// A question.
    Read(Question),
}

/// What became of a submitted transaction.
#[derive(Debug, Clone)]
pub enum TxAnswer {
    /// It waits to be ordered.
    Pending(Hash),
    /// It is in a durable block.
    Committed(Location),
    /// It was refused.
    Refused(Refusal),
}

/// The front door.
#[derive(Debug, Clone)]
pub struct Handle {
    front: Front<Event>,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Offers(_) => "Offers",
            Self::Judged(_) => "Judged",
            Self::Read(_) => "Read",
        })
    }
}

pub(super) fn busy() -> Refusal {
    Refusal::new("busy", "node", "a free place", "none", "the node is busy; try again shortly")
}

impl Handle {
    pub(crate) fn new(front: Front<Event>) -> Self {
        Self { front }
    }

    fn send(&self, event: Event) -> Result<(), Refusal> {
        self.front.try_push(event).map_err(|error| match error {
            FrontError::Busy => busy(),
            FrontError::Stopped => {
                Refusal::new("stopped", "node", "a running node", "none", "the node has stopped")
            }
        })
    }

    /// Hands a transaction in. With `wait`, answers once it is durably committed or refused; without, once it waits to be ordered.
    ///
    /// # Errors
    /// A [`Refusal`]: whatever is wrong with it, busy, stopped, or nothing within `patience`.
    pub fn submit(
        &self,
        tx: SignedTransaction,
        wait: bool,
        patience: Duration,
    ) -> Result<TxAnswer, Refusal> {
        let (answer, answered) = bounded(1);
        let offer = Offer::new(tx, None, Source::Local);
        self.send(Event::Offers(vec![Offer { answer: Some((wait, answer)), ..offer }]))?;
        answered.recv_timeout(patience).map_err(|_| {
            let (limit, message) = (format!("{} ms", patience.as_millis()), "no commit in time");
            Refusal::new("timeout", "wait", limit, "longer", message)
        })
    }

    /// Asks something of the ledger.
    ///
    /// # Errors
    /// A [`Refusal`]: busy or stopped.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&View<'_>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (answer, answered) = bounded(1);
        self.send(Event::Read(Box::new(move |view| drop(answer.send(question(view))))))?;
        answered.recv_timeout(Duration::from_secs(5)).map_err(|_| busy())
    }
}

/// Transactions told to other validators in one message, at most.
pub(super) const TOLD_MAX: usize = 256;
/// Bytes of such a message, at most.
pub(super) const TOLD_BYTES_MAX: usize = 512 << 10;

/// A transaction with its hint, as validators tell it each other.
pub(super) type Told = (SignedTransaction, Option<NonceHint>);

/// Takes in what other validators tell. Their transactions are checked like any other.
pub(crate) fn gate() -> Gate<Event> {
    std::sync::Arc::new(|seat, bytes| {
        let told: Vec<Told> = codec::decode("transactions", TOLD_BYTES_MAX, bytes).ok()?;
        if told.len() > TOLD_MAX {
            return None;
        }
        let source = Source::Peer(u64::from(seat.0));
        Some(Event::Offers(
            told.into_iter().map(|(tx, hint)| Offer::new(tx, hint, source)).collect(),
        ))
    })
}
