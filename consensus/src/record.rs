//! What must survive a crash: the records of the write-ahead log, and what they add up to.

use std::collections::BTreeMap;

use gongsuan_types::codec::{self, DecodeError};
use gongsuan_types::{Hash, Height, Term};
use serde::{Deserialize, Serialize};

use crate::block::{Block, Proposal, Rank};
use crate::certificate::{CommittedBlock, Qc};
use crate::epoch::Epoch;
use crate::message::MESSAGE_BYTES_MAX;

/// A record's number in the life of one core, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Seq(pub u64);

/// One durable fact about what this validator has signed or may have signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// A term was entered.
    Term(Term),
    /// A timeout of this term may have been signed: no vote in it any more.
    TimedOut(Term),
    /// PREPARE may have been signed in this term up to this height.
    Lease(Rank),
    /// The body of a block that a lock needs.
    Body(Box<Proposal>),
    /// COMMIT may have been signed for this certificate's block.
    Lock(Box<Qc>),
    /// An epoch has begun. What the records before it say of terms, leases and locks was of another epoch.
    Epoch(Box<Epoch>),
    /// `true`: the records before this one are lost, and nobody knows what this key has signed. `false`: that cannot matter any more.
    Observing(bool),
}

impl Record {
    /// The canonical bytes, without frame or checksum: those are the log's business.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The record whose canonical encoding `bytes` is.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode("consensus record", MESSAGE_BYTES_MAX, bytes)
    }
}

/// Everything durable, added up: what a core starts from. `Recovered::default()` is a validator that never ran.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Recovered {
    pub(crate) epoch: Option<Epoch>,
    pub(crate) term: Term,
    pub(crate) timed_out: Term,
    pub(crate) lease: Option<Rank>,
    pub(crate) lock: Option<Qc>,
    pub(crate) bodies: Vec<Proposal>,
    pub(crate) committed: Option<Committed>,
    pub(crate) observing: bool,
}

/// The newest block of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Committed {
    pub(crate) block: Block,
    pub(crate) certificate: Qc,
}

impl Recovered {
    /// Adds a record of the write-ahead log, in the log's order.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Epoch(epoch) => {
                if self.epoch.as_ref().is_none_or(|known| known.number() < epoch.number()) {
                    let (committed, observing) = (self.committed.take(), self.observing);
                    let term = epoch.first_term();
                    *self = Self { term, committed, observing, ..Self::default() };
                    self.epoch = Some(*epoch);
                }
            }
            Record::Observing(observing) => self.observing = observing,
            Record::Term(term) => self.term = self.term.max(term),
            Record::TimedOut(term) => self.timed_out = self.timed_out.max(term),
            Record::Lease(lease) => self.lease = self.lease.max(Some(lease)),
            Record::Body(proposal) => self.bodies.push(*proposal),
            Record::Lock(qc) => {
                if self.lock.as_ref().is_none_or(|lock| lock.rank < qc.rank) {
                    self.lock = Some(*qc);
                }
            }
        }
    }

    /// Says what the newest block of the block log is. The certificate is that of the log's entry: of this block or of a
    /// later one (a log that was cut short in the middle of one commit).
    pub fn set_committed(&mut self, newest: CommittedBlock) {
        self.committed =
            Some(Committed { block: newest.proposal.block, certificate: newest.certificate });
    }

    /// The epoch that was entered last, if it is not the first.
    #[must_use]
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// The term that was entered last; zero if none.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// Whether nobody knows what this key has signed: the core then votes only once that cannot matter (rule 18).
    #[must_use]
    pub fn is_observing(&self) -> bool {
        self.observing
    }

    /// The height of the newest block of the log; zero if none.
    #[must_use]
    pub fn committed(&self) -> Height {
        self.committed.as_ref().map_or(Height(0), |c| c.block.header.height)
    }

    /// The bodies above a height, by hash.
    pub(crate) fn take_bodies(
        &mut self,
        chain_id: &Hash,
        committed: Height,
    ) -> BTreeMap<Hash, Proposal> {
        std::mem::take(&mut self.bodies)
            .into_iter()
            .filter(|proposal| proposal.block.header.height > committed)
            .map(|proposal| (proposal.block.hash(chain_id), proposal))
            .collect()
    }
}
