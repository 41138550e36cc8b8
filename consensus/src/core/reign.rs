//! What is remembered only within one term of one life.

use std::collections::BTreeMap;

use gongsuan_types::{Hash, Height};

use crate::block::Rank;
use crate::certificate::Tc;
use crate::input::Millis;
use crate::record::Seq;
use crate::validators::Seat;
use crate::vote::{Timeout, Vote, VoteKind};

/// The highest PREPARE of a term in one life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voted {
    pub(super) height: Height,
    pub(super) block: Hash,
    /// Once a block of that height is final: whether it was this one.
    pub(super) is_final: bool,
}

/// A vote to be signed once its record is durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ballot {
    pub(super) kind: VoteKind,
    pub(super) rank: Rank,
    pub(super) block: Hash,
    pub(super) after: Option<Seq>,
}

/// A term as this validator lives it. Replaced as a whole when the next one begins.
#[derive(Debug)]
pub(super) struct Reign {
    /// When it began here.
    pub(super) entered_at: Millis,
    /// The record of its entry: nothing of the term leaves before it is durable. `None`: it was, before this life.
    pub(super) entry: Option<Seq>,
    /// Entered in an earlier life: its leader, if that is us, may have proposed and must not propose again.
    pub(super) resumed: bool,
    /// In a resumed term: the height up to which PREPARE may have been signed in an earlier life.
    pub(super) floor: Option<Height>,
    /// Why the term before is over, if that is how this one began.
    pub(super) tc: Option<Tc>,
    /// PREPARE leases of this term and life: each covers the heights up to its ceiling once its record is durable.
    pub(super) leases: Vec<(Seq, Height)>,
    /// PREPAREs of this term and life that are not below the committed block.
    pub(super) prepared: BTreeMap<Height, Hash>,
    /// The highest of them.
    pub(super) voted: Option<Voted>,
    /// Votes that wait for their records, or for each other.
    pub(super) ballots: Vec<Ballot>,
    /// The height of the first block, if this replica prepared it: the reign ends a number of blocks later.
    pub(super) first: Option<Height>,
    /// The leader's word that the epoch's last block is voted for again in this term.
    pub(super) reopened: Option<Tc>,
    /// As leader: how many blocks were proposed.
    pub(super) proposals: u64,
    /// As leader: propose no more, and end the term once all that was proposed is final.
    pub(super) closing: bool,
    /// The highest COMMIT signed in this term and life.
    pub(super) commit_voted: Rank,
    /// Our votes, to be repeated while they may matter.
    pub(super) votes: BTreeMap<(VoteKind, Height), Vote>,
    /// As leader: the newest block proposed.
    pub(super) proposed: Option<Hash>,
    /// As leader: the height a payload has been asked for.
    pub(super) asked: Option<Height>,
    /// As leader: when a payload that was required was refused.
    pub(super) refused_at: Option<Millis>,
    /// Who suspects the term, and when it last said so.
    pub(super) suspects: BTreeMap<Seat, Millis>,
    /// Whether we suspect it.
    pub(super) suspecting: bool,
    /// Our timeout, to be repeated.
    pub(super) timeout: Option<(Timeout, Option<Seq>)>,
    /// Since when there has been unfinished work without a commit of this term.
    pub(super) busy_since: Option<Millis>,
    /// When the leader was last heard of.
    pub(super) leader_heard: Millis,
}

impl Reign {
    pub(super) fn new(now: Millis, entry: Option<Seq>, tc: Option<Tc>) -> Self {
        Self {
            entered_at: now,
            entry,
            resumed: false,
            floor: None,
            tc,
            leases: Vec::new(),
            prepared: BTreeMap::new(),
            voted: None,
            ballots: Vec::new(),
            first: None,
            reopened: None,
            proposals: 0,
            closing: false,
            commit_voted: Rank::default(),
            votes: BTreeMap::new(),
            proposed: None,
            asked: None,
            refused_at: None,
            suspects: BTreeMap::new(),
            suspecting: false,
            timeout: None,
            busy_since: None,
            leader_heard: now,
        }
    }

    /// A term that was entered before a restart. `floor` is the ceiling of the lease taken in it, if one was.
    pub(super) fn resumed(now: Millis, floor: Option<Height>) -> Self {
        Self { resumed: true, floor, ..Self::new(now, None, None) }
    }
}
