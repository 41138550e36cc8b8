//! Encrypted, authenticated links between validators.
//!
//! Noise XX over TCP. Each side proves with its validator key, inside the handshake, that the channel's static key is its own, bound to
//! the chain; so a link's other end is a known validator or nobody. Each node dials every other for sending and accepts for receiving: two
//! one-way links per pair, and no tie to break.

mod channel;
mod links;

pub use channel::{Channel, Identity, NetError};
pub use links::{Incoming, Outgoing, listen, spawn_sender};

use gongsuan_consensus::{Message, ValidatorSet};
use serde::{Deserialize, Serialize};

/// Bytes of one frame, at most.
pub const FRAME_BYTES_MAX: usize = gongsuan_consensus::MESSAGE_BYTES_MAX + 1024;

/// What travels on a link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Packet {
    /// Consensus.
    Consensus(Message),
    /// A transaction, in its canonical bytes.
    Transaction(Vec<u8>),
}

/// Whether a message is small and urgent: it overtakes the others.
#[must_use]
pub fn is_urgent(message: &Message) -> bool {
    match message {
        Message::Vote(_)
        | Message::Suspect { .. }
        | Message::Timeout(_)
        | Message::NewTerm(_)
        | Message::Status { .. }
        | Message::Fetch { .. }
        | Message::FetchBlock(_) => true,
        Message::Proposal { .. } | Message::Blocks { .. } => false,
    }
}

/// The validators that may be at the other end.
pub type Known = std::sync::Arc<ValidatorSet>;
