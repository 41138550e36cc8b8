//! What reaches the driver.

use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError, bounded};
use gongsuan_consensus::{Seat, VerifiedMessage, VoteCache, verify};
use gongsuan_ledger::{Location, SignedTransaction, Transaction};
use gongsuan_types::{Hash, Refusal, Verified, codec};

use super::driver::View;
use crate::net::{Incoming, Known, Packet};

/// A question that only reads.
pub(crate) type Question = Box<dyn FnOnce(&View<'_>) + Send>;

/// Everything the driver reacts to, beside the clock.
pub(crate) enum Event {
    /// A checked message of a validator.
    Message { from: Seat, message: Box<VerifiedMessage> },
    /// A checked transaction of a client (with the place for the answer) or of a validator.
    Transaction { tx: Box<Verified<Transaction>>, answer: Option<(bool, Sender<TxAnswer>)> },
    /// A question.
    Read(Question),
    /// The end.
    Stop,
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
    front: Sender<Event>,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Message { .. } => "Message",
            Self::Transaction { .. } => "Transaction",
            Self::Read(_) => "Read",
            Self::Stop => "Stop",
        })
    }
}

fn busy() -> Refusal {
    Refusal::new("busy", "node", "a free place", "none", "the node is busy; try again shortly")
}

impl Handle {
    pub(crate) fn new(front: Sender<Event>) -> Self {
        Self { front }
    }

    fn send(&self, event: Event) -> Result<(), Refusal> {
        self.front.try_send(event).map_err(|error| match error {
            TrySendError::Full(_) => busy(),
            TrySendError::Disconnected(_) => {
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

    /// Asks something of the driver.
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

    pub(crate) fn stop(&self) {
        drop(self.front.send(Event::Stop));
    }
}

/// Checks what arrives on a link, on the link's thread, and queues it: votes before bulk.
pub(crate) fn receiver(
    known: Known,
    queues: (Sender<Event>, Sender<Event>, Sender<Event>),
) -> impl Fn() -> Box<dyn FnMut(Incoming) -> bool + Send> + Send + 'static {
    move || {
        let (known, queues) = (known.clone(), queues.clone());
        let seen = VoteCache::new(SEEN);
        Box::new(move |incoming| receive(&known, &queues, &seen, &incoming))
    }
}

/// Good signatures that a link remembers, so that certificates made of known votes cost nothing.
const SEEN: usize = 4_096;

fn receive(
    known: &Known,
    queues: &(Sender<Event>, Sender<Event>, Sender<Event>),
    seen: &VoteCache,
    incoming: &Incoming,
) -> bool {
    let (urgent, bulk, front) = queues;
    {
        let from = incoming.peer;
        let packet: Packet =
            match codec::decode("packet", crate::net::FRAME_BYTES_MAX, &incoming.frame) {
                Ok(packet) => packet,
                Err(error) => {
                    tracing::warn!(peer = from, %error, "a packet is refused");
                    return false;
                }
            };
        match packet {
            Packet::Consensus(message) => {
                let queue = if message.is_bulk() { bulk } else { urgent };
                match verify(message, &known.epoch(), &known.chain_id, seen) {
                    Ok(message) => {
                        let message = Box::new(message);
                        queue.send(Event::Message { from: Seat(from), message }).is_ok()
                    }
                    Err(error) => {
                        tracing::warn!(peer = from, %error, "a message is refused");
                        true
                    }
                }
            }
            Packet::Transaction(bytes) => {
                let checked =
                    gongsuan_ledger::tx::decode(&bytes).ok().and_then(|tx| tx.verify().ok());
                // A full front door drops gossip: whoever submitted it keeps it.
                checked.is_none_or(|tx| {
                    let event = Event::Transaction { tx: Box::new(tx), answer: None };
                    !matches!(front.try_send(event), Err(TrySendError::Disconnected(_)))
                })
            }
        }
    }
}
