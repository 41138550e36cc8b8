//! What reaches the replica thread: its queues, and what the link threads do before.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};
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
/// Bytes of what one peer's application said and nobody has heard yet, at most: several of the longest messages, a thousand short ones.
const TOLD_BYTES_MAX: usize = 2 << 20;
/// What an event takes beside its bytes.
const TOLD_BYTES_EACH: usize = 2 << 10;

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
    pub(super) told: Receiver<ToldEvent<E>>,
}

pub(super) enum FrontEvent<E> {
    App(E),
    Stop,
}

/// What a peer's application said, and the room that it takes until it is heard.
pub(super) struct ToldEvent<E> {
    pub(super) event: E,
    pub(super) room: Room,
}

/// Room of one peer; free again when it is dropped.
pub(super) struct Room {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The room of each peer: what one says takes nothing of what others may say, nor of the front door.
#[derive(Clone, Default)]
struct Rooms(Arc<Mutex<BTreeMap<Seat, Arc<AtomicUsize>>>>);

impl Rooms {
    /// Room for so many bytes of a peer, if it has some.
    fn take(&self, peer: Seat, bytes: usize) -> Option<Room> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = all.entry(peer).or_default();
        let bytes = bytes.saturating_add(TOLD_BYTES_EACH);
        let fits = |before: usize| before.checked_add(bytes).filter(|sum| *sum <= TOLD_BYTES_MAX);
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Room { used: Arc::clone(used), bytes })
    }
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
    told: Sender<ToldEvent<E>>,
    rooms: Rooms,
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
    // Bounded by the room of each peer.
    let (told_in, told) = unbounded();
    let entrance = Entrance {
        votes: votes_in,
        blocks: blocks_in,
        bulk: bulk_in,
        front: Front { queue, news: news_in.clone() },
        told: told_in,
        rooms: Rooms::default(),
        checker,
        roster,
        gate,
        counters,
    };
    (news_in, entrance, Inbox { news, votes, blocks, bulk, front, told })
}

impl<E> Clone for Entrance<E> {
    fn clone(&self) -> Self {
        Self {
            votes: self.votes.clone(),
            blocks: self.blocks.clone(),
            bulk: self.bulk.clone(),
            front: self.front.clone(),
            told: self.told.clone(),
            rooms: self.rooms.clone(),
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
                // Before it is decoded: what finds no room costs nothing.
                let Some(room) = self.rooms.take(from, bytes.len()) else {
                    count(&self.counters.dropped_in);
                    return true;
                };
                let Some(event) = (self.gate)(from, bytes) else { return true };
                self.told.send(ToldEvent { event, room }).is_ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_takes_its_own_room_until_it_is_heard() {
        let rooms = Rooms::default();
        let long = 500 << 10;
        let mut own: Vec<Room> = (0..100).map_while(|_| rooms.take(Seat(1), long)).collect();
        assert_eq!(own.len(), 4, "2 MiB of the longest messages");
        assert!(rooms.take(Seat(2), long).is_some(), "another peer has its own");
        assert!(rooms.take(Seat(1), usize::MAX).is_none());
        own.pop();
        assert!(rooms.take(Seat(1), long).is_some(), "what was heard makes room");
        drop(own);
        let short: Vec<Room> = (0..10_000).map_while(|_| rooms.take(Seat(1), 0)).collect();
        assert_eq!(short.len(), TOLD_BYTES_MAX / TOLD_BYTES_EACH, "empty ones are not for nothing");
    }
}
