//! Why a chain cannot be opened, go on or answer.

use std::path::PathBuf;

use gongsuan_journal::JournalError;
use gongsuan_types::{Hash, Height};

use super::retention::Retention;
use crate::index::IndexError;
use crate::lock::LockError;
use crate::log::LogError;

/// Why a chain cannot be opened or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The genesis is bad.
    #[error("genesis: {0}")]
    Genesis(#[from] gongsuan_types::Refusal),
    /// The log is bad.
    #[error("block log: {0}")]
    Log(#[from] LogError),
    /// The folder is in use.
    #[error("data folder: {0}")]
    Lock(#[from] LockError),
    /// A journal beside the log is bad.
    #[error("{room}: {source}; restore the file, or remove the node's data and let it catch up")]
    Room {
        /// Which folder.
        room: &'static str,
        /// How.
        #[source]
        source: JournalError,
    },
    /// The index cannot be written.
    #[error("index: {0}")]
    Index(#[from] IndexError),
    /// A stored block does not decode.
    #[error("block {height} in the log does not decode: {reason}")]
    Malformed {
        /// Which.
        height: Height,
        /// Why.
        reason: String,
    },
    /// Executing a block again gives another header than the one stored.
    #[error("block {height} gives header {got} when it is executed again, the log says {expected}")]
    Diverged {
        /// Which.
        height: Height,
        /// The header stored.
        expected: Hash,
        /// The header computed.
        got: Hash,
    },
    /// The folder is another chain's.
    #[error(
        "the data folder is of chain {got}, the genesis is of {expected}: use the folder's own genesis, or another folder"
    )]
    OtherChain {
        /// The chain of the genesis.
        expected: Hash,
        /// The chain of the folder.
        got: Hash,
    },
    /// A newer program wrote something.
    #[error("{what} has version {got}, this program reads up to {known}: use a newer program")]
    NewerVersion {
        /// What, and where it is.
        what: String,
        /// Its version.
        got: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// A newer program wrote the store.
    #[error(
        "{path}: the store has version {got}, this program reads up to {known}: use a newer program, or remove the folder \
         and let this one make it again"
    )]
    NewerStore {
        /// Which folder.
        path: PathBuf,
        /// Its version.
        got: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The block's body is not kept here.
    #[error(
        "block {height} is not kept here: this node keeps transactions and receipts from block {first} on (retention {retention}); \
         its header is here, ask an archive node for the rest"
    )]
    Pruned {
        /// Which.
        height: Height,
        /// The oldest block that is kept.
        first: Height,
        /// What the folder keeps.
        retention: Retention,
    },
    /// It may stand in a block that is not kept here.
    #[error(
        "{what} is in no block from {first} on, and earlier ones are not kept here (retention {retention}): ask an archive node"
    )]
    NotKept {
        /// What was asked for.
        what: String,
        /// The oldest block that is kept.
        first: Height,
        /// What the folder keeps.
        retention: Retention,
    },
    /// What is gone cannot be kept.
    #[error(
        "the data folder keeps blocks from {first} on (retention {recorded}) and cannot become {wanted}: blocks 1 to {} are gone; \
         open it without asking for that, or begin with an empty folder and catch up from an archive node",
        first.0.saturating_sub(1)
    )]
    Retention {
        /// What the folder keeps.
        recorded: Retention,
        /// What was asked for.
        wanted: Retention,
        /// The oldest block that is kept.
        first: Height,
    },
    /// The newest blocks are gone.
    #[error(
        "the block log ends at block {head}, but {by} knows block {known}: acknowledged blocks are lost; restore the files of blocks/, \
         or remove the node's data and let it catch up"
    )]
    LogLost {
        /// The last block that is there.
        head: Height,
        /// A block that was there.
        known: Height,
        /// How that is known.
        by: &'static str,
    },
    /// The oldest blocks are gone, and there is no state from which to go on.
    #[error(
        "the log begins at block {first} and no state of a block from {} on can be read ({reason}); restore the files, or remove \
         the node's data and let it catch up",
        first.0.saturating_sub(1)
    )]
    NoState {
        /// The oldest block that is there.
        first: Height,
        /// What is wrong with the states that should be there.
        reason: String,
    },
    /// A snapshot cannot take the place of what is here.
    #[error("the snapshot is not installed: {reason}")]
    Snapshot {
        /// Why.
        reason: String,
    },
    /// Something failed before.
    #[error(
        "the chain failed before and refuses further use: its memory is ahead of its disk; open it again"
    )]
    Failed,
}
