//! The node's front door: what reaches the ledger beside consensus.

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use gongsuan_ledger::mempool::Source;
use gongsuan_ledger::{Location, SignedTransaction};
use gongsuan_types::batch::NonceHint;
use gongsuan_types::{Hash, Refusal, codec};
use tokio::sync::oneshot;

use super::notary::{Judged, Offer};
use super::view::View;
use crate::replica::{Front, FrontError, Gate};

/// Where an answer goes. Whoever no longer waits has closed it, and then nothing is done for it.
pub(super) type Reply = oneshot::Sender<TxAnswer>;
/// How long a question waits for its turn.
const ASK_WITHIN: Duration = Duration::from_secs(5);

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

fn stopped() -> Refusal {
    Refusal::new("stopped", "node", "a running node", "none", "the node has stopped")
}

fn late(patience: Duration) -> Refusal {
    let (limit, message) = (format!("{} ms", patience.as_millis()), "no commit in time");
    Refusal::new("timeout", "wait", limit, "longer", message)
}

/// Waits for an answer on a thread of the node's own, which no other task needs. `None`: not in time.
fn wait_for<T>(answered: oneshot::Receiver<T>, patience: Duration) -> Option<Result<T, Refusal>> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let until = Instant::now() + patience;
    let mut answered = pin!(answered);
    loop {
        if let Poll::Ready(answer) = answered.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(answer.map_err(|_| stopped()));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        std::thread::park_timeout(left);
    }
}

impl Handle {
    pub(crate) fn new(front: Front<Event>) -> Self {
        Self { front }
    }

    fn send(&self, event: Event) -> Result<(), Refusal> {
        self.front.try_push(event).map_err(|error| match error {
            FrontError::Busy => busy(),
            FrontError::Stopped => stopped(),
        })
    }

    fn offer(
        &self,
        tx: SignedTransaction,
        wait: bool,
    ) -> Result<oneshot::Receiver<TxAnswer>, Refusal> {
        let (answer, answered) = oneshot::channel();
        let offer = Offer::new(tx, None, Source::Local);
        self.send(Event::Offers(vec![Offer { answer: Some((wait, answer)), ..offer }]))?;
        Ok(answered)
    }

    fn question<T: Send + 'static>(
        &self,
        question: impl FnOnce(&View<'_>) -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.send(Event::Read(Box::new(move |view| {
            // Nobody waits for it any more: the thread that votes has better things to do.
            if !answer.is_closed() {
                drop(answer.send(question(view)));
            }
        })))?;
        Ok(answered)
    }

    /// Hands a transaction in. With `wait`, answers once it is durably committed, refused, or no longer waits here; without, once it waits to be
    /// ordered. Needs tokio's clock.
    ///
    /// # Errors
    /// A [`Refusal`]: whatever is wrong with it, busy, stopped, or nothing within `patience`.
    pub async fn submit(
        &self,
        tx: SignedTransaction,
        wait: bool,
        patience: Duration,
    ) -> Result<TxAnswer, Refusal> {
        let answered = tokio::time::timeout(patience, self.offer(tx, wait)?).await;
        answered.map_err(|_| late(patience))?.map_err(|_| stopped())
    }

    /// [`Handle::submit`] on a thread of the caller's own.
    ///
    /// # Errors
    /// As [`Handle::submit`].
    pub fn submit_blocking(
        &self,
        tx: SignedTransaction,
        wait: bool,
        patience: Duration,
    ) -> Result<TxAnswer, Refusal> {
        wait_for(self.offer(tx, wait)?, patience).unwrap_or_else(|| Err(late(patience)))
    }

    /// Asks something of the ledger. Needs tokio's clock.
    ///
    /// # Errors
    /// A [`Refusal`]: busy or stopped.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&View<'_>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let answered = tokio::time::timeout(ASK_WITHIN, self.question(question)?).await;
        answered.map_err(|_| busy())?.map_err(|_| stopped())
    }

    /// [`Handle::ask`] on a thread of the caller's own.
    ///
    /// # Errors
    /// As [`Handle::ask`].
    pub fn ask_blocking<T: Send + 'static>(
        &self,
        question: impl FnOnce(&View<'_>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        wait_for(self.question(question)?, ASK_WITHIN).unwrap_or_else(|| Err(busy()))
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
    Arc::new(|seat, bytes| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_waits_for_its_answer_or_for_its_patience() {
        let patience = Duration::from_secs(600);
        let (answer, answered) = oneshot::channel();
        let waits = std::thread::spawn(move || wait_for(answered, patience));
        answer.send(7).unwrap();
        assert_eq!(waits.join().unwrap(), Some(Ok(7)));
        let (answer, answered) = oneshot::channel::<()>();
        assert_eq!(wait_for(answered, Duration::from_millis(1)), None);
        assert!(answer.is_closed(), "who gave up can be told from who waits");
        let (answer, answered) = oneshot::channel::<()>();
        drop(answer);
        let refused = wait_for(answered, patience).unwrap().unwrap_err();
        assert_eq!(refused.code, "stopped");
    }
}
