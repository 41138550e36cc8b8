//! What a core is told once.

use gongsuan_types::{DurationMs, Hash, SecretKey};

use crate::validators::ValidatorSet;

/// Blocks in flight beyond the last commit, unless configured otherwise.
pub const WINDOW: u64 = 8;

/// A core's configuration. Every replica of a chain uses the same `window`; the rest may differ.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chain: a hash that stands for its genesis. Everything signed is bound to it.
    pub chain_id: Hash,
    /// The validators of the first epoch. Later sets come from the log.
    pub validators: ValidatorSet,
    /// This node's key. Signing is deterministic, so the core does it itself. A key without a seat in the set of the
    /// epoch makes a learner: it follows the log, helps others catch up, and votes as soon as an epoch seats it.
    pub key: SecretKey,
    /// Blocks in flight beyond the last commit.
    pub window: u64,
    /// Heights a PREPARE lease covers: one durable write is spent on each.
    pub lease: u64,
    /// How long a leader may take to commit while there is work.
    pub timeout: DurationMs,
    /// The time above doubles with each term in a row that commits nothing, up to this.
    pub timeout_max: DurationMs,
    /// How often a validator says where it stands. A leader silent for four of these and a timeout is suspected even
    /// when there is no work.
    pub heartbeat: DurationMs,
    /// How long a term must have lasted before its leader ends it for the sake of validators that left it too early.
    pub rejoin: DurationMs,
    /// Blocks a leader may propose in its term before the next one's turn; every replica must use the same number.
    pub reign_blocks: u64,
    /// Whether a PREPARE waits for a COMMIT that is being made durable, so that one signature serves both.
    pub join_votes: bool,
    /// A rule to break on purpose.
    #[cfg(feature = "faults")]
    pub fault: Option<crate::faults::Fault>,
}

impl Config {
    /// The usual configuration: window 8, lease 64, timeout 500 ms to 30 s, heartbeat 500 ms, rejoin 60 s, reign 4,096
    /// blocks, votes joined.
    #[must_use]
    pub fn new(chain_id: Hash, validators: ValidatorSet, key: SecretKey) -> Self {
        Self {
            chain_id,
            validators,
            key,
            window: WINDOW,
            lease: 64,
            timeout: DurationMs(500),
            timeout_max: DurationMs(30_000),
            heartbeat: DurationMs(500),
            rejoin: DurationMs(60_000),
            reign_blocks: 4_096,
            join_votes: true,
            #[cfg(feature = "faults")]
            fault: None,
        }
    }
}

/// Why a core cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The newest block of the log belongs to an epoch that the durable records do not reach.
    #[error("the log is in epoch {log}, the durable records are in epoch {records}")]
    EpochMissing {
        /// The epoch of the newest block.
        log: u64,
        /// The epoch of the durable records.
        records: u64,
    },
    /// A window, lease or time of zero.
    #[error("{0} must not be zero")]
    Zero(&'static str),
    /// The lock's block, or one between it and the committed block, is not among the durable records. Voting would be
    /// unsafe: the validator must not start with this key.
    #[error(
        "the block {block} of the lock or an ancestor of it is missing from the durable records"
    )]
    LockedBlockMissing {
        /// The block that is missing.
        block: Hash,
    },
}

impl Config {
    /// Whether the core can run with this.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let times = [
            ("timeout", self.timeout),
            ("timeout_max", self.timeout_max),
            ("heartbeat", self.heartbeat),
            ("rejoin", self.rejoin),
        ];
        let counts =
            [("window", self.window), ("lease", self.lease), ("reign_blocks", self.reign_blocks)];
        for (name, value) in counts.into_iter().chain(times.map(|(name, span)| (name, span.0))) {
            if value == 0 {
                return Err(StartError::Zero(name));
            }
        }
        Ok(())
    }
}
