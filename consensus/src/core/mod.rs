//! The core: a state, a step, and one file for each family of rules.

use gongsuan_types::{Hash, Height, Term};

use crate::block::{Proposal, Rank};
use crate::config::{Config, StartError};
use crate::input::{Input, Millis};
use crate::message::Message;
use crate::output::Outputs;
use crate::record::{Record, Recovered};
use crate::validators::Seat;

/// A validator's consensus state. Deterministic: equal inputs at equal times give equal outputs.
#[derive(Debug)]
pub struct Core {
    config: Config,
    recovered: Recovered,
}

/// Where a core stands, for status pages and tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The term.
    pub term: Term,
    /// Its leader.
    pub leader: Seat,
    /// The committed height.
    pub committed: Height,
    /// The hash of the committed block.
    pub committed_hash: Hash,
    /// The rank of the highest certificate held with its block and ancestors.
    pub high: Rank,
    /// Whether this validator has left the term and waits for the next one.
    pub timed_out: bool,
}

impl Core {
    /// A core that continues from what was durable. Its first outputs come with the first step.
    ///
    /// # Errors
    /// [`StartError`]: a configuration that cannot work, or durable records from which voting would be unsafe.
    pub fn new(config: Config, recovered: Recovered) -> Result<Self, StartError> {
        Ok(Self { config, recovered })
    }

    /// Takes in one event and appends what is to be done to `out`. `now` never goes back.
    ///
    /// # Panics
    /// If more than f validators are faulty and a committed block would have to be taken back, or the driver reports
    /// something as durable that it was never given.
    pub fn step(&mut self, _now: Millis, _input: Input, _out: &mut Outputs) {}

    /// Whether a message is worth verifying: votes for what is already certified or final, and other late
    /// messages, are not. A cheap filter to run before [`verify`](crate::verify()).
    #[must_use]
    pub fn wants(&self, _from: Seat, _message: &Message) -> bool {
        true
    }

    /// Where the core stands.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            term: self.recovered.term,
            leader: self.config.validators.leader(self.recovered.term),
            committed: self.recovered.committed(),
            committed_hash: Hash::ZERO,
            high: Rank::default(),
            timed_out: false,
        }
    }

    /// The proposals between the committed block and `block` (inclusive), oldest first; `None` if one is unknown.
    #[must_use]
    pub fn chain_to(&self, _block: &Hash) -> Option<Vec<&Proposal>> {
        None
    }

    /// The fewest records that say all that is to be durable now, including what was asked for and not yet
    /// acknowledged: the start of a new write-ahead log. Once they are durable, everything handed out so far is.
    #[must_use]
    pub fn durable_records(&self) -> Vec<Record> {
        Vec::new()
    }
}
