//! What the driver tells the core.

use gongsuan_types::{Hash, Height, Term, TimeMs};

use crate::block::{AppRef, Payload};
use crate::record::Seq;
use crate::validators::{Seat, ValidatorSet};
use crate::verify::VerifiedMessage;

/// Milliseconds of a clock that does not go back; its zero means nothing. Not block time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Millis(pub u64);

/// An event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Time has passed. Due at the time of the last `TimerAt`; harmless at any other.
    Tick,
    /// A message whose signatures have been checked, from the validator at the other end of the channel.
    Message {
        /// Who sent it: the channel's authenticated peer.
        from: Seat,
        /// The message.
        message: VerifiedMessage,
    },
    /// Whether there is something to order (or to certify). `pending: true` also makes a leader ask again after it was
    /// answered with no payload; say it at every change for the better, on every replica.
    Work {
        /// Whether blocks are wanted.
        pending: bool,
    },
    /// The answer to `WantPayload`, now or later. One for another term or height than was last asked for is ignored.
    Payload {
        /// The term asked for.
        term: Term,
        /// The height asked for.
        height: Height,
        /// What to propose, or `None` to propose nothing now.
        draft: Option<Draft>,
    },
    /// The answer to `Check`, now or later (for example when the block's time has come). A block that does not pass
    /// gets no vote, and its leader is suspected.
    Checked {
        /// The block.
        block: Hash,
        /// Whether payload, state reference and time are good.
        ok: bool,
    },
    /// All records up to and including this one are durable.
    Persisted {
        /// The last durable record.
        seq: Seq,
    },
    /// Whether something has waited longer than is fair although blocks are made: the leader passes it over, or is slow.
    /// While it holds the term is suspected, whatever commits.
    Starved {
        /// Whether it is so.
        starved: bool,
    },
    /// Give up the lead as soon as what is in flight is final: before a planned stop. Nothing happens if another leads.
    HandOver,
    /// The block log was cut: blocks below this height are gone, and peers that ask for them need a snapshot.
    Pruned {
        /// The lowest height that the log still has.
        lowest: Height,
    },
    /// The answer to `InstallSnapshot`.
    Installed {
        /// The height of the snapshot.
        height: Height,
        /// Whether the state was rebuilt, has the hash that the chain certifies, and is durable in place of the old one.
        ok: bool,
    },
    /// All committed blocks up to this height are durable in the driver's log; the core forgets their bodies.
    Applied {
        /// The height.
        height: Height,
    },
}

/// What a leader proposes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The payload; may be empty. At most [`crate::PAYLOAD_BYTES_MAX`] bytes.
    pub payload: Payload,
    /// The newest state this replica has computed.
    pub app: AppRef,
    /// The block's time; the core raises it to the parent's plus one if it is not later.
    pub time: TimeMs,
    /// Who shall vote from the next block on: this block is then the last of its epoch. Its epoch must be the next one.
    /// Newcomers should have caught up as learners.
    pub next: Option<ValidatorSet>,
}
