//! What goes in and what comes out.

use gongsuan_types::{Hash, Height, Term, TimeMs};

use crate::{AppRef, Block, Message, Qc, Record, SignedBlock, Vote};

/// What a core is told.
#[derive(Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// Whether there is something to order. Also the answer to [`Output::WantPayload`] when there is nothing: `false`.
    Work(bool),
    /// The answer to [`Output::WantPayload`].
    Payload(Payload),
    /// The answer to [`Output::Check`].
    Checked {
        /// The block.
        hash: Hash,
        /// Whether its payload, state and time are acceptable.
        valid: bool,
    },
    /// Every record up to this number is durable.
    Persisted(u64),
    /// A message that [`Message::verify`] accepted.
    Message {
        /// The validator at the other end of the channel.
        from: u16,
        /// The message.
        message: Message,
    },
}

/// What is to be ordered next.
#[derive(Debug)]
pub struct Payload {
    /// As asked.
    pub term: Term,
    /// As asked.
    pub height: Height,
    /// The bytes; may be empty where the payload was `required`.
    pub bytes: Vec<u8>,
    /// The newest state computed.
    pub app: AppRef,
    /// The proposer's clock; raised above the parent's time where needed.
    pub time: TimeMs,
}

/// What a core wants done.
#[derive(Debug)]
pub enum Output {
    /// Make a record durable, then answer [`Input::Persisted`]. Numbers rise by one.
    Persist {
        /// The record's number.
        seq: u64,
        /// The record.
        record: Record,
    },
    /// Send a message now: everything it depends on is durable.
    Send {
        /// To one validator, or to all others.
        to: Option<u16>,
        /// The message.
        message: Message,
    },
    /// Validate a block; answer [`Input::Checked`], at once or later.
    Check {
        /// Its hash.
        hash: Hash,
        /// The block.
        block: Block,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// This validator leads: answer [`Input::Payload`], or [`Input::Work`]`(false)` unless `required`.
    WantPayload {
        /// The term.
        term: Term,
        /// The height.
        height: Height,
        /// An empty payload is wanted rather than none: earlier blocks wait for this one to become final.
        required: bool,
    },
    /// These blocks are final, oldest first, each exactly once.
    Commit {
        /// The blocks with their payloads.
        blocks: Vec<(SignedBlock, Vec<u8>)>,
        /// The commit certificate of the last of them.
        certificate: Qc,
    },
    /// Send committed blocks from a height on to a peer, as [`Message::Blocks`].
    Serve {
        /// To whom.
        to: u16,
        /// From which height.
        from: Height,
    },
    /// Call with [`Input::Tick`] at this time at the latest.
    TimerAt(TimeMs),
    /// A term has begun.
    EnterTerm {
        /// The term.
        term: Term,
        /// Its leader.
        leader: u16,
    },
    /// A validator signed two votes of one kind for one rank.
    Evidence(Box<(Vote, Vote)>),
}

/// Outputs in order. The driver carries them out in this order.
pub type Outputs = Vec<Output>;
