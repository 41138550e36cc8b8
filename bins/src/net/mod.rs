//! Encrypted, authenticated links between validators.
//!
//! Noise XX over TCP. Each side proves with its validator key, inside the handshake, that the channel's static key is its own, bound to
//! the chain; so a link's other end is a known validator or nobody. Each node dials every other for sending and accepts for receiving: two
//! one-way links per pair, and no tie to break. A link carries frames and does not look inside.
//! Those who have not shown yet who they are have three seconds for that and few places.

mod channel;
mod links;
mod strangers;

pub use channel::{Channel, Identity, NetError};
pub use links::{Frame, Incoming, Lane, Outgoing, listen, spawn_sender};

use gongsuan_consensus::ValidatorSet;
use gongsuan_types::Hash;

/// Bytes of one frame, at most.
pub const FRAME_BYTES_MAX: usize = (4 << 20) + 1024;

/// The validators that may be at the other end, and the chain.
#[derive(Debug)]
pub struct Members {
    /// Who votes.
    pub validators: ValidatorSet,
    /// The chain that every signature is bound to.
    pub chain_id: Hash,
}

/// Shared by every link.
pub type Known = std::sync::Arc<Members>;
