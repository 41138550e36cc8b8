//! The node's front door: what reaches the ledger beside consensus.

use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use gongsuan_ledger::{Location, SignedTransaction, Transaction};
use gongsuan_types::{Hash, Refusal, Verified};

use super::application::View;
use crate::replica::{Front, FrontError, Gate};

/// A question that only reads.
pub(crate) type Question = Box<dyn FnOnce(&View<'_>) + Send>;

/// Everything the ledger reacts to, beside consensus.
pub(crate) enum Event {
    /// A checked transaction of a client (with the place for the answer) or of a validator.
    Transaction { tx: Box<Verified<Transaction>>, answer: Option<(bool, Sender<TxAnswer>)> },
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
            Self::Transaction { .. } => "Transaction",
            Self::Read(_) => "Read",
        })
    }
}

fn busy() -> Refusal {
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

    /// Checks a transaction's signature and hands it in. With `wait`, answers once it is durably committed or refused.
    ///
    /// # Errors
    /// A [`Refusal`]: bad signature, busy, stopped, or nothing within `patience`.
    pub fn submit(
        &self,
        tx: SignedTransaction,
        wait: bool,
        patience: Duration,
    ) -> Result<TxAnswer, Refusal> {
        let signature = tx.signature;
        let tx = tx.verify().map_err(|error| {
            let limit = "the sender's signature";
            Refusal::new("bad-signature", "signature", limit, signature, error.to_string())
        })?;
        let (answer, answered) = bounded(1);
        self.send(Event::Transaction { tx: Box::new(tx), answer: Some((wait, answer)) })?;
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

/// Takes in what other nodes tell: transactions, checked on the link's thread.
pub(crate) fn gate() -> Gate<Event> {
    std::sync::Arc::new(|_, bytes| {
        let tx = gongsuan_ledger::tx::decode(bytes).ok()?.verify().ok()?;
        Some(Event::Transaction { tx: Box::new(tx), answer: None })
    })
}
