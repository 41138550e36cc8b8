//! Encrypted, authenticated links between nodes.
//!
//! Noise XX over TCP. Each side proves with its node's key, inside the handshake, that the channel's static key is its own, bound to
//! the chain; so a link's other end is the owner of a key, or nobody. Who may be at the other end is for the caller to say. Each node dials every
//! other for sending and accepts for receiving: two one-way links per pair, and no tie to break. A link carries frames and does not look inside.
//! Those who have not shown yet who they are have three seconds for that and few places.

mod channel;
mod links;
mod strangers;

pub use channel::{Channel, Identity, NetError, Remote};
pub use links::{Arrival, Frame, Lane, Outgoing, listen, spawn_sender};

/// Bytes of one frame, at most.
pub const FRAME_BYTES_MAX: usize = (4 << 20) + 1024;
