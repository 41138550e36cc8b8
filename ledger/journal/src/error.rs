//! What can go wrong, and what was cut without anything going wrong.

use std::path::PathBuf;

/// Why a journal cannot be opened or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The disk said no. If it was a write or a sync, the journal refuses further use.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was being done: "read", "write", "sync", ...
        action: &'static str,
        /// What the disk said.
        #[source]
        source: std::io::Error,
    },
    /// Another process has the folder open.
    #[error("{path} is in use by another process")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// Records that were acknowledged cannot be read any more, or bytes are there that this journal never wrote.
    #[error("{path} is damaged at byte {offset}: {what}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// How.
        what: &'static str,
    },
    /// A newer program wrote the file.
    #[error(
        "{path} has format version {version}, this program reads up to {known}: use a newer program"
    )]
    NewerVersion {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The folder holds another journal.
    #[error("{path} belongs to the journal \"{got}\", not to \"{expected}\"")]
    OtherJournal {
        /// Which file.
        path: PathBuf,
        /// The label asked for.
        expected: String,
        /// The label found.
        got: String,
    },
    /// A file that no journal wrote: an older format, or something put there by mistake.
    #[error("{path} is not a file of this journal: move it away")]
    Stranger {
        /// Which file.
        path: PathBuf,
    },
    /// A record is larger than the journal's options allow. Nothing was written.
    #[error("a record of {bytes} bytes is too large: at most {limit}")]
    RecordTooLarge {
        /// Its payload's size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The records of one call are too large together. Nothing was written.
    #[error("{bytes} bytes in one call are too many: at most {limit}")]
    BatchTooLarge {
        /// Their size on disk.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A write or a sync failed before, so nobody knows what the disk holds. Open the journal again.
    #[error("the journal failed before and refuses further use")]
    Poisoned,
}

/// The torn end of the last segment, which was cut upon opening. No record in it was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// Which file.
    pub path: PathBuf,
    /// Where it ends now.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// What was wrong with the first of them.
    pub what: &'static str,
}
