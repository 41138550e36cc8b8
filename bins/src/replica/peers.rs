//! The links to all other replicas.

use std::net::SocketAddr;
use std::sync::Arc;

use gongsuan_consensus::{Message, Seat, To};
use gongsuan_types::codec;

use super::counters::{Counters, count};
use crate::net::{self, Frame, Identity, Lane, Outgoing};

/// First byte of a frame with a consensus message.
pub(super) const CONSENSUS: u8 = 0;
/// First byte of a frame with bytes of the application.
pub(super) const APPLICATION: u8 = 1;

/// The sending sides of the links to every other replica. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peers {
    links: Arc<[(Seat, Outgoing)]>,
    counters: Arc<Counters>,
}

impl Peers {
    /// Starts a link to each address.
    #[must_use]
    pub(super) fn connect(
        addresses: &[(Seat, SocketAddr)],
        identity: &Identity,
        counters: Arc<Counters>,
    ) -> Self {
        let link = |(seat, address): &(Seat, SocketAddr)| {
            (*seat, net::spawn_sender(*address, seat.0, identity.clone()))
        };
        Self { links: addresses.iter().map(link).collect(), counters }
    }

    /// Sends a consensus message, encoded once.
    pub fn send(&self, to: To, message: &Message) {
        let lane = match message {
            Message::Propose(_) => Lane::Block,
            Message::Blocks(_) => Lane::Bulk,
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
        for (seat, link) in &*self.links {
            let meant = match to {
                To::All => true,
                To::One(one) => one == *seat,
            };
            if meant && !link.send(lane, frame.clone()) {
                count(&self.counters.dropped_out);
                tracing::debug!(peer = %seat, ?lane, "a full queue drops a message");
            }
        }
    }

    /// Which links are up.
    #[must_use]
    pub fn connected(&self) -> Vec<(u16, bool)> {
        self.links.iter().map(|(seat, link)| (seat.0, link.is_connected())).collect()
    }
}
