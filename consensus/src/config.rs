//! What a core is told once.

use gongsuan_types::{DurationMs, Hash, SecretKey};

use crate::validators::{Seat, ValidatorSet};

/// Blocks in flight beyond the last commit, unless configured otherwise.
pub const WINDOW: u64 = 8;

/// A core's configuration. Every replica of a chain uses the same `window`; the rest may differ.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chain: a hash that stands for its genesis. Everything signed is bound to it.
    pub chain_id: Hash,
    /// The validators.
    pub validators: ValidatorSet,
    /// This validator's seat.
    pub seat: Seat,
    /// This validator's key. Signing is deterministic, so the core does it itself.
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
}

impl Config {
    /// The usual configuration: window 8, lease 64, timeout 500 ms to 30 s, heartbeat 500 ms, rejoin 60 s.
    #[must_use]
    pub fn new(chain_id: Hash, validators: ValidatorSet, seat: Seat, key: SecretKey) -> Self {
        Self {
            chain_id,
            validators,
            seat,
            key,
            window: WINDOW,
            lease: 64,
            timeout: DurationMs(500),
            timeout_max: DurationMs(30_000),
            heartbeat: DurationMs(500),
            rejoin: DurationMs(60_000),
        }
    }
}

/// Why a core cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The key is not the one of the seat.
    #[error("the key is not that of seat {0}")]
    WrongKey(Seat),
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
        if self.validators.key(self.seat) != Some(&self.key.public_key()) {
            return Err(StartError::WrongKey(self.seat));
        }
        let times = [
            ("timeout", self.timeout),
            ("timeout_max", self.timeout_max),
            ("heartbeat", self.heartbeat),
            ("rejoin", self.rejoin),
        ];
        for (name, value) in [("window", self.window), ("lease", self.lease)]
            .into_iter()
            .chain(times.map(|(name, span)| (name, span.0)))
        {
            if value == 0 {
                return Err(StartError::Zero(name));
            }
        }
        Ok(())
    }
}
