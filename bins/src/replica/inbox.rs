//! What reaches the replica thread: its queues, and what the link threads do before.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use gongsuan_consensus::{Message, Seat, VerifiedMessage};

use super::application::Gate;
use super::counters::{Counters, count};
use super::peers::{APPLICATION, CONSENSUS, Guest};
use super::roster::Roster;
use super::verify::Checker;

/// Small messages that wait to be verified, at most.
const VOTES_MAX: usize = 4_096;
/// Verified blocks, at most.
const BLOCKS_MAX: usize = 64;
/// Verified ranges, at most.
const BULK_MAX: usize = 8;
/// Events of the application, at most.
const FRONT_MAX: usize = 4_096;

/// A small message whose signatures have not been checked.
pub(super) type Raw = (Seat, Message);
/// A message whose signatures have been checked.
pub(super) type Checked = (Seat, Box<VerifiedMessage>);

/// The receiving ends.
pub(super) struct Inbox<E> {
    pub(super) news: Receiver<()>,
    pub(super) votes: Receiver<Raw>,
    pub(super) blocks: Receiver<Checked>,
    pub(super) bulk: Receiver<Checked>,
    pub(super) front: Receiver<FrontEvent<E>>,
}

pub(super) enum FrontEvent<E> {
    App(E),
    Stop,
}

/// The application's own queue to the replica thread.
pub struct Front<E> {
    queue: Sender<FrontEvent<E>>,
    news: Sender<()>,
}

impl<E> std::fmt::Debug for Front<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Front({} wait)", self.queue.len())
    }
}

impl<E> Clone for Front<E> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), news: self.news.clone() }
    }
}

/// Why an event was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrontError {
    /// The queue is full: try again shortly.
    #[error("the replica is busy")]
    Busy,
    /// The replica has stopped.
    #[error("the replica has stopped")]
    Stopped,
}

impl<E> Front<E> {
    /// Hands an event in, if there is room.
    ///
    /// # Errors
    /// [`FrontError`].
    pub fn try_push(&self, event: E) -> Result<(), FrontError> {
        self.queue.try_send(FrontEvent::App(event)).map_err(|error| match error {
            TrySendError::Full(_) => FrontError::Busy,
            TrySendError::Disconnected(_) => FrontError::Stopped,
        })
    }

    /// Hands an event in, waiting for room. Never to be called on the replica thread.
    ///
    /// # Errors
    /// [`FrontError::Stopped`].
    pub fn push(&self, event: E) -> Result<(), FrontError> {
        self.queue.send(FrontEvent::App(event)).map_err(|_| FrontError::Stopped)
    }

    /// Makes the replica thread call [`Application::on_nudge`](super::Application::on_nudge); never waits. Several nudges
    /// may become one.
    pub fn nudge(&self) {
        // A full channel means that the replica thread is about to look anyway.
        let _ = self.news.try_send(());
    }

    pub(super) fn stop(&self) {
        drop(self.queue.send(FrontEvent::Stop));
    }
}

/// The link threads' side.
pub(super) struct Entrance<E> {
    pub(super) votes: Sender<Raw>,
    pub(super) blocks: Sender<Checked>,
    pub(super) bulk: Sender<Checked>,
    pub(super) front: Front<E>,
    pub(super) checker: Checker,
    pub(super) roster: Arc<Roster>,
    pub(super) gate: Gate<E>,
    pub(super) counters: Arc<Counters>,
}

/// All queues: the disk thread's end for news, the link threads' side, the replica thread's side.
pub(super) fn queues<E>(
    checker: Checker,
    roster: Arc<Roster>,
    gate: Gate<E>,
    counters: Arc<Counters>,
) -> (Sender<()>, Entrance<E>, Inbox<E>) {
    let (news_in, news) = bounded(1);
    let (votes_in, votes) = bounded(VOTES_MAX);
    let (blocks_in, blocks) = bounded(BLOCKS_MAX);
    let (bulk_in, bulk) = bounded(BULK_MAX);
    let (queue, front) = bounded(FRONT_MAX);
    let entrance = Entrance {
        votes: votes_in,
        blocks: blocks_in,
        bulk: bulk_in,
        front: Front { queue, news: news_in.clone() },
        checker,
        roster,
        gate,
        counters,
    };
    (news_in, entrance, Inbox { news, votes, blocks, bulk, front })
}

impl<E> Clone for Entrance<E> {
    fn clone(&self) -> Self {
        Self {
            votes: self.votes.clone(),
            blocks: self.blocks.clone(),
            bulk: self.bulk.clone(),
            front: self.front.clone(),
            checker: self.checker.clone(),
            roster: self.roster.clone(),
            gate: self.gate.clone(),
            counters: self.counters.clone(),
        }
    }
}

impl<E> Entrance<E> {
    /// Takes a frame in, on the link's thread. `false` ends the link.
    pub(super) fn take(&self, guest: &Guest, frame: &[u8]) -> bool {
        // Asked anew for each frame: it changes with the epoch.
        let Some(from) = self.roster.seat(&guest.key) else { return false };
        match frame.split_first() {
            Some((&CONSENSUS, bytes)) => match Message::decode(bytes) {
                Ok(message) => self.route(from, message),
                Err(error) => {
                    count(&self.counters.refused);
                    tracing::warn!(peer = %from, %error, "a message does not decode");
                    false
                }
            },
            Some((&APPLICATION, bytes)) => {
                let Some(event) = (self.gate)(from, bytes) else { return true };
                match self.front.try_push(event) {
                    Ok(()) => true,
                    Err(FrontError::Busy) => {
                        count(&self.counters.dropped_in);
                        true
                    }
                    Err(FrontError::Stopped) => false,
                }
            }
            Some(_) | None => {
                count(&self.counters.refused);
                tracing::warn!(peer = %from, "a frame of no known kind");
                false
            }
        }
    }

    /// Small messages go on unverified, waiting for room; heavy ones are verified here, and dropped when there is none.
    fn route(&self, from: Seat, message: Message) -> bool {
        let queue = match &message {
            Message::Propose(_) => &self.blocks,
            message if message.is_bulk() => &self.bulk,
            _ => return self.votes.send((from, message)).is_ok(),
        };
        match self.checker.check(message) {
            Ok(message) => match queue.try_send((from, Box::new(message))) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    count(&self.counters.dropped_in);
                    true
                }
                Err(TrySendError::Disconnected(_)) => false,
            },
            Err(error) => {
                count(&self.counters.refused);
                tracing::warn!(peer = %from, %error, "a message is refused");
                true
            }
        }
    }
}
