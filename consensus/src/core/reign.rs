//! What is remembered only within one term of one life.

use std::collections::BTreeMap;

use gongsuan_types::{Hash, Height};

use crate::block::Rank;
use crate::certificate::Tc;
use crate::input::Millis;
use crate::record::Seq;
use crate::validators::Seat;
use crate::vote::{Timeout, Vote, VoteKind};

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
    /// PREPAREs signed in this term and life.
    pub(super) prepared: BTreeMap<Height, Hash>,
    /// The highest COMMIT signed in this term and life.
    pub(super) commit_voted: Rank,
    /// Our votes that may have to be repeated, and what they wait for.
    pub(super) votes: BTreeMap<(VoteKind, Height), (Vote, Option<Seq>)>,
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
