//! What the core asks of the driver.

use gongsuan_types::{Hash, Height, Term, TimeMs};

use crate::block::Proposal;
use crate::certificate::CommittedBlock;
use crate::epoch::Epoch;
use crate::evidence::Evidence;
use crate::input::Millis;
use crate::message::Message;
use crate::record::{Record, Seq};
use crate::snapshot::{Chunk, FetchChunk, SnapshotOffer};
use crate::validators::Seat;

/// Outputs of a step, to be carried out in order.
pub type Outputs = Vec<Output>;

/// An order to the driver.
#[expect(clippy::large_enum_variant, reason = "outputs are consumed at once and a step has few")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Append a record to the write-ahead log; answer with `Persisted`, at the latest after the next `sync`.
    Persist {
        /// The record's number, rising by one.
        seq: Seq,
        /// The record.
        record: Record,
        /// Whether the log must be made durable now. Without it the record may wait for the next one with it.
        sync: bool,
    },
    /// Send a message, once everything up to `after` is durable.
    Send {
        /// To whom.
        to: To,
        /// The message.
        message: Message,
        /// Must not leave before `Persisted` reached this number.
        after: Option<Seq>,
    },
    /// This replica leads and may propose: answer with `Payload`.
    WantPayload(WantPayload),
    /// Check payload, state reference and time of a block; answer with `Checked`. Its parent is committed, passed its own
    /// check, was proposed by this replica, or is vouched for by a quorum. [`Core::chain_to`](crate::Core::chain_to) the
    /// parent gives the ancestors that are not committed yet.
    Check {
        /// The block's hash.
        block: Hash,
        /// The block and its payload.
        proposal: Proposal,
    },
    /// Blocks are final. Heights follow on without gap or repetition, over the whole life of a replica's log.
    Commit {
        /// The blocks, oldest first; the last one has a certificate of its own.
        blocks: Vec<CommittedBlock>,
    },
    /// A peer wants committed blocks: read them from the log and send `Message::Blocks`
    /// (see [`Blocks::from_log`](crate::message::Blocks::from_log)).
    ServeBlocks {
        /// Who wants them.
        to: Seat,
        /// The first height wanted.
        from_height: Height,
        /// The last height worth sending (inclusive); fewer will do.
        to_height: Height,
    },
    /// A peer asks for blocks that the log no longer has, or is too far behind: send it a
    /// [`SnapshotOffer`] of a snapshot above `above`, if there is one.
    ServeSnapshot {
        /// Who needs it.
        to: Seat,
        /// What it has.
        above: Height,
    },
    /// A peer wants a piece of a snapshot: send it as `Message::Chunk`, if it is there.
    ServeChunk {
        /// Who wants it.
        to: Seat,
        /// Which piece.
        fetch: FetchChunk,
    },
    /// Keep a piece of a snapshot, durably or not: what is asked for again after a crash is only time.
    StoreChunk(Box<Chunk>),
    /// All pieces were handed out. Rebuild the state from them aside, compare its hash with `app`, replace the state and
    /// the log durably, and answer with `Installed`. Until then nothing commits. The block log goes on at `height + 1`.
    InstallSnapshot(Box<SnapshotOffer>),
    /// An epoch has begun here: from now on messages are verified against it.
    EnterEpoch {
        /// The epoch.
        epoch: Box<Epoch>,
        /// This node's seat in it, if it has one.
        seat: Option<Seat>,
    },
    /// Wake the core with `Tick` at this time, unless a later `TimerAt` says otherwise.
    TimerAt {
        /// When, on the clock of `step`.
        at: Millis,
    },
    /// A term has begun here.
    EnterTerm {
        /// The term.
        term: Term,
        /// Its leader.
        leader: Seat,
    },
    /// Somebody signed two things that exclude each other.
    Evidence(Box<Evidence>),
}

/// Where a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum To {
    /// Every other validator, and the learners that are connected.
    All,
    /// One validator.
    One(Seat),
}

/// A leader's wish for something to propose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WantPayload {
    /// The term, to be repeated in the answer.
    pub term: Term,
    /// The height, to be repeated in the answer.
    pub height: Height,
    /// The parent's hash.
    pub parent: Hash,
    /// The parent's time (zero for genesis): the block's must be later.
    pub parent_time: TimeMs,
    /// The proposals between the last committed block and this one, oldest first: what they contain is not to be
    /// proposed again, and what the payload says must be good after them.
    pub ancestors: Vec<Proposal>,
    /// Whether a block is needed even if it is empty: blocks of an earlier term become final only through one of this
    /// term.
    pub required: bool,
}
