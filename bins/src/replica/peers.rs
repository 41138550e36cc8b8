//! The links to all other replicas.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use gongsuan_consensus::{Message, To};
use gongsuan_types::{PublicKey, codec};

use super::counters::{Counters, count};
use super::roster::Roster;
use crate::net::{self, Arrival, Frame, Identity, Lane, Outgoing};

/// First byte of a frame with a consensus message.
pub(super) const CONSENSUS: u8 = 0;
/// First byte of a frame with bytes of the application.
pub(super) const APPLICATION: u8 = 1;

#[derive(Debug)]
struct Link {
    key: PublicKey,
    sender: Outgoing,
    /// It answers a link of theirs, and ends with it.
    dialled_back: bool,
}

/// The sending sides of the links to every other replica. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peers {
    links: Arc<RwLock<Vec<Link>>>,
    roster: Arc<Roster>,
    identity: Identity,
    counters: Arc<Counters>,
}

impl Peers {
    /// Starts a link to each address.
    #[must_use]
    pub(super) fn connect(
        addresses: &[(PublicKey, SocketAddr)],
        identity: Identity,
        roster: Arc<Roster>,
        counters: Arc<Counters>,
    ) -> Self {
        let peers = Self { links: Arc::default(), roster, identity, counters };
        for (key, address) in addresses {
            peers.dial(*key, *address, false);
        }
        peers
    }

    /// Starts a link to a node, unless there is one. What this node dials by itself, it dials for as long as it lives.
    pub fn keep(&self, key: PublicKey, address: SocketAddr) {
        self.dial(key, address, false);
    }

    fn dial(&self, key: PublicKey, address: SocketAddr, dialled_back: bool) {
        if key == self.identity.key.public_key() {
            return;
        }
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        match links.iter_mut().find(|link| link.key == key) {
            Some(link) => link.dialled_back &= dialled_back,
            None => {
                let sender = net::spawn_sender(address, key, self.identity.clone());
                links.push(Link { key, sender, dialled_back });
            }
        }
    }

    /// A node has opened a link to this one: it is heard, and spoken to, for as long as that lasts. Nothing, if there is no place for it.
    #[must_use]
    pub(super) fn welcome(&self, arrival: &Arrival) -> Option<Guest> {
        if !self.roster.admit(arrival.key) {
            return None;
        }
        self.dial(arrival.key, arrival.address, true);
        Some(Guest { key: arrival.key, peers: self.clone() })
    }

    /// Who is who.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Sends a consensus message, encoded once.
    pub fn send(&self, to: To, message: &Message) {
        let lane = match message {
            Message::Propose(_) => Lane::Block,
            message if message.is_bulk() => Lane::Bulk,
            _ => Lane::Vote,
        };
        self.push(to, lane, &Arc::new(codec::encode(&(CONSENSUS, message))));
    }

    /// Sends bytes of the application, made of parts. They may be lost.
    pub fn tell(&self, to: To, parts: &[&[u8]]) {
        let mut frame = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
        frame.push(APPLICATION);
        parts.iter().for_each(|part| frame.extend_from_slice(part));
        self.push(to, Lane::Bulk, &Arc::new(frame));
    }

    fn push(&self, to: To, lane: Lane, frame: &Frame) {
        let one = match to {
            To::All => None,
            To::One(seat) => {
                let Some(key) = self.roster.key(seat) else { return };
                Some(key)
            }
        };
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        for link in links.iter().filter(|link| one.is_none_or(|one| one == link.key)) {
            if !link.sender.send(lane, frame.clone()) {
                count(&self.counters.dropped_out);
                tracing::debug!(peer = %link.key, ?lane, "a full queue drops a message");
            }
        }
    }

    /// Which links are up.
    #[must_use]
    pub fn connected(&self) -> Vec<(PublicKey, bool)> {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        links.iter().map(|link| (link.key, link.sender.is_connected())).collect()
    }
}

/// A node that has opened a link to this one. When it is dropped, that link has ended.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) key: PublicKey,
    peers: Peers,
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.peers.roster.leave(&self.key) {
            let mut links = self.peers.links.write().unwrap_or_else(PoisonError::into_inner);
            links.retain(|link| link.key != self.key || !link.dialled_back);
        }
    }
}
