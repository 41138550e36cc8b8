//! What a folder keeps, and the record of it.

use std::fmt;
use std::str::FromStr;

use gongsuan_journal::{Disk, Journal, JournalError, Options};
use gongsuan_types::{Hash, Height, codec};
use serde::{Deserialize, Serialize};

use super::error::ChainError;
use crate::checkpoint::version_of;
use crate::log::{BlockLog, LogError};

/// The newest format of the folder as a whole. 1 had neither this record nor an index of its own.
pub const FOLDER_VERSION: u32 = 2;
pub(super) const META: &str = "meta";
const OPTIONS: Options = Options::new(*b"folder\0\0");

/// Which blocks a node keeps. Headers, with the roots over transactions and receipts, and their certificates are always kept, and so is the
/// newest state; blocks are removed in whole segments of the log, so somewhat more may be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Retention {
    /// All of them.
    Archive,
    /// The newest so many.
    Pruned {
        /// Blocks.
        blocks: u64,
    },
    /// Those alone that a restart needs.
    Light,
    /// All from where the folder begins: what a folder keeps that was told nothing and began with a snapshot.
    Onward,
}

impl Retention {
    /// The oldest block to keep, if the head is this high.
    pub(super) fn oldest(self, head: Height) -> Height {
        match self {
            Self::Archive | Self::Onward => Height(1),
            Self::Pruned { blocks } => Height(head.0.saturating_sub(blocks) + 1),
            Self::Light => head.next(),
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive => write!(f, "archive"),
            Self::Pruned { blocks } => write!(f, "pruned:{blocks}"),
            Self::Light => write!(f, "light"),
            Self::Onward => write!(f, "onward"),
        }
    }
}

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pruned = || text.strip_prefix("pruned:")?.parse().ok();
        match text {
            "archive" => Ok(Self::Archive),
            "light" => Ok(Self::Light),
            "onward" => Ok(Self::Onward),
            _ => pruned().map(|blocks| Self::Pruned { blocks }).ok_or_else(|| {
                format!("{text:?} is no retention: archive, light, onward, or pruned:N with the number of blocks to keep")
            }),
        }
    }
}

/// What a folder says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    version: u32,
    chain_id: Hash,
    retention: Retention,
    /// The first block of the newest segment of the log: a log that ends before it has lost blocks.
    newest: Height,
}

/// The record of a folder's [`Meta`].
#[derive(Debug)]
pub(super) struct MetaFile {
    journal: Journal,
    chain_id: Hash,
    /// The record that is there, if there is one.
    found: Option<Meta>,
}

impl MetaFile {
    pub(super) fn open(disk: Box<dyn Disk>, chain_id: Hash) -> Result<Self, ChainError> {
        let bad = |source: JournalError| ChainError::Room { room: META, source };
        let (journal, _) = Journal::open(disk, OPTIONS).map_err(bad)?;
        let last = journal.next().checked_sub(1).filter(|_| !journal.is_empty());
        let bytes = last.map(|last| journal.read(last)).transpose().map_err(bad)?.flatten();
        let found = bytes.map(|bytes| decode(&bytes)).transpose()?;
        if let Some(meta) = found.filter(|meta| meta.chain_id != chain_id) {
            return Err(ChainError::OtherChain { expected: chain_id, got: meta.chain_id });
        }
        Ok(Self { journal, chain_id, found })
    }

    /// Refuses a log of which all files are gone. To be asked before the log is opened, which would create one.
    pub(super) fn check_log(&self, blocks: &dyn Disk) -> Result<(), ChainError> {
        let Some(meta) = self.found else { return Ok(()) };
        let files = blocks.list().map_err(|source| {
            let (path, action) = (blocks.path(""), "list");
            ChainError::Log(JournalError::Io { path, action, source }.into())
        })?;
        if files.is_empty() {
            let known = meta.newest;
            return Err(ChainError::LogLost { head: Height(0), known, by: META });
        }
        Ok(())
    }

    /// What the folder keeps from now on.
    pub(super) fn settle(
        &mut self,
        wanted: Option<Retention>,
        log: &BlockLog,
    ) -> Result<Retention, ChainError> {
        let first = log.first();
        // A folder that was written before there was a record kept everything.
        let recorded = self.found.map_or(Retention::Archive, |meta| meta.retention);
        let retention = wanted.unwrap_or(recorded);
        if retention == Retention::Archive && first > Height(1) {
            return Err(match self.found {
                Some(_) => ChainError::Retention { recorded, wanted: retention, first },
                None => LogError::Headless { first }.into(),
            });
        }
        if let Some(meta) = self.found.filter(|meta| meta.newest > log.newest()) {
            let (head, known) = (log.head(), meta.newest);
            return Err(ChainError::LogLost { head, known, by: META });
        }
        self.write(retention, log.newest())?;
        Ok(retention)
    }

    /// What the folder keeps after a snapshot took the place of its log.
    pub(super) fn begin_anew(
        &mut self,
        wanted: Option<Retention>,
        log: &BlockLog,
    ) -> Result<(), ChainError> {
        let recorded = self.found.map(|meta| meta.retention);
        let retention = wanted.or(recorded).filter(|kept| *kept != Retention::Archive);
        self.write(retention.unwrap_or(Retention::Onward), log.newest())
    }

    /// Remembers the newest segment of the log.
    pub(super) fn note(&mut self, log: &BlockLog) -> Result<(), ChainError> {
        self.found.map_or(Ok(()), |meta| self.write(meta.retention, log.newest()))
    }

    fn write(&mut self, retention: Retention, newest: Height) -> Result<(), ChainError> {
        let meta = Meta { version: FOLDER_VERSION, chain_id: self.chain_id, retention, newest };
        if self.found != Some(meta) {
            let replaced = self.journal.replace_all(&[codec::encode(&meta)]);
            replaced.map_err(|source| ChainError::Room { room: META, source })?;
            self.found = Some(meta);
        }
        Ok(())
    }
}

fn decode(bytes: &[u8]) -> Result<Meta, ChainError> {
    if let Some(got) = version_of(bytes).filter(|version| *version > FOLDER_VERSION) {
        let what = format!("the data folder (its {META}/)");
        return Err(ChainError::NewerVersion { what, got, known: FOLDER_VERSION });
    }
    codec::decode("the folder's record", 128, bytes).map_err(|error| {
        let at = Height(0);
        ChainError::Malformed { height: at, reason: format!("{META}/: {error}") }
    })
}
