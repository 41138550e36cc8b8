//! What must survive a crash.

use gongsuan_types::{Hash, Height, Term, TimeMs};
use serde::{Deserialize, Serialize};

use crate::{Qc, Rank, SignedBlock};

/// The last committed block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tip {
    /// Its height; 0 is genesis.
    pub height: Height,
    /// Its hash.
    pub hash: Hash,
    /// Its time.
    pub time: TimeMs,
}

/// Heights up to which PREPARE may have been signed in a term.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// The term.
    pub term: Term,
    /// The greatest height that may have been signed.
    pub ceiling: Height,
}

/// The highest block for which COMMIT was signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lock {
    /// Its prepare certificate.
    pub certificate: Qc,
    /// The block.
    pub block: SignedBlock,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// One record of the vote log. Each must be durable before its [`crate::Input::Persisted`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Record {
    /// A term was entered.
    Term(Term),
    /// A term was given up.
    TimedOut(Term),
    /// A new lease.
    Lease(Lease),
    /// A new lock.
    Lock(Box<Lock>),
}

/// What a core starts from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// Whether this validator has ever voted: false for a first start on an empty disk.
    pub restarted: bool,
    /// The term.
    pub term: Term,
    /// The last term given up.
    pub timed_out: Option<Term>,
    /// The lease.
    pub lease: Option<Lease>,
    /// The lock.
    pub lock: Option<Lock>,
    /// The last committed block, from the block store.
    pub tip: Tip,
}

impl Recovered {
    /// A first start: nothing voted, nothing committed.
    #[must_use]
    pub fn fresh(tip: Tip) -> Self {
        Self { restarted: false, term: Term(0), timed_out: None, lease: None, lock: None, tip }
    }

    /// Folds one record of the vote log. Records may repeat; nothing moves backwards.
    pub fn apply(&mut self, record: Record) {
        self.restarted = true;
        match record {
            Record::Term(term) => self.term = self.term.max(term),
            Record::TimedOut(term) => self.timed_out = self.timed_out.max(Some(term)),
            Record::Lease(lease) => {
                let newer = self
                    .lease
                    .is_none_or(|old| (lease.term, lease.ceiling) > (old.term, old.ceiling));
                if newer {
                    self.lease = Some(lease);
                }
            }
            Record::Lock(lock) => {
                if lock.certificate.rank() >= self.lock_rank() {
                    self.lock = Some(*lock);
                }
            }
        }
    }

    /// The rank of the lock, zero without one.
    #[must_use]
    pub fn lock_rank(&self) -> Rank {
        self.lock.as_ref().map(|lock| lock.certificate.rank()).unwrap_or_default()
    }
}
