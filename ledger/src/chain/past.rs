//! What a pruned folder keeps of the blocks that are gone: their headers with what consensus said of them, and a state to go on from.

use gongsuan_journal::{Disk, Journal, JournalError, Options};
use gongsuan_types::{Height, codec};
use serde::{Deserialize, Serialize};

use super::error::ChainError;
use super::rooms::Rooms;
use crate::checkpoint::{Head, Unusable, version_of};
use crate::header::Header;

pub(super) const HEADERS: &str = "headers";
pub(super) const BASE: &str = "base";
const HEADERS_OPTIONS: Options = Options::new(*b"headers\0");
const BASE_OPTIONS: Options = Options::new(*b"base\0\0\0\0");
/// The newest format of records in `headers` that this program writes and reads.
const SEALED_VERSION: u32 = 1;

/// A header, and what consensus says of its block.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sealed {
    /// The header.
    pub header: Header,
    /// As in [`super::StoredBlock::consensus`]: opaque here, the certificate is in it.
    pub consensus: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct SealedRecord {
    version: u32,
    sealed: Sealed,
}

impl Sealed {
    /// The record, with its version.
    pub(super) fn encode(self) -> Vec<u8> {
        codec::encode(&SealedRecord { version: SEALED_VERSION, sealed: self })
    }

    pub(super) fn decode(height: Height, bytes: &[u8]) -> Result<Self, ChainError> {
        if let Some(got) = version_of(bytes).filter(|version| *version > SEALED_VERSION) {
            let what = format!("header {height} (in {HEADERS}/)");
            return Err(ChainError::NewerVersion { what, got, known: SEALED_VERSION });
        }
        let record: SealedRecord = codec::decode_own("header", bytes)
            .map_err(|error| ChainError::Malformed { height, reason: error.to_string() })?;
        Ok(record.sealed)
    }
}

/// A room without files: what was in it is gone, durably.
pub(super) fn emptied(rooms: &dyn Rooms, room: &'static str) -> Result<Box<dyn Disk>, ChainError> {
    let fault = |source| ChainError::Room { room, source };
    let mut disk = rooms.open(room).map_err(fault)?;
    let io = |action, source| fault(JournalError::Io { path: room.into(), action, source });
    for name in disk.list().map_err(|source| io("list", source))? {
        disk.remove(&name).map_err(|source| io("remove", source))?;
    }
    disk.sync_directory().map_err(|source| io("sync", source))?;
    Ok(disk)
}

/// Headers of all blocks that are gone, and of some that are not.
#[derive(Debug)]
pub(super) struct Headers {
    journal: Journal,
}

fn in_headers(source: JournalError) -> ChainError {
    ChainError::Room { room: HEADERS, source }
}

impl Headers {
    pub(super) fn open(rooms: &dyn Rooms) -> Result<Self, ChainError> {
        let disk = rooms.open(HEADERS).map_err(in_headers)?;
        let (journal, _) = Journal::open(disk, HEADERS_OPTIONS).map_err(in_headers)?;
        Ok(Self { journal })
    }

    /// Begins anew, at a height.
    pub(super) fn begin(rooms: &dyn Rooms, first: Height) -> Result<Self, ChainError> {
        let options = Options { first: first.0, ..HEADERS_OPTIONS };
        let (journal, _) = Journal::open(emptied(rooms, HEADERS)?, options).map_err(in_headers)?;
        Ok(Self { journal })
    }

    /// The height after the last one that is here.
    pub(super) fn next(&self) -> Height {
        Height(self.journal.next())
    }

    /// Makes the next headers durable.
    pub(super) fn append(&mut self, sealed: Vec<Sealed>) -> Result<(), ChainError> {
        let records: Vec<Vec<u8>> = sealed.into_iter().map(Sealed::encode).collect();
        self.journal.append_and_sync(&records).map(drop).map_err(in_headers)
    }

    pub(super) fn read(&self, height: Height) -> Result<Option<Sealed>, ChainError> {
        let bytes = self.journal.read(height.0).map_err(in_headers)?;
        bytes.map(|bytes| Sealed::decode(height, &bytes)).transpose()
    }
}

/// A state as [`crate::checkpoint`] keeps it.
pub(super) type HeadAndParts = (Head, Vec<Vec<u8>>);

/// The state that the blocks of a pruned log continue.
#[derive(Debug)]
pub(super) struct Base {
    journal: Journal,
}

fn in_base(source: JournalError) -> ChainError {
    ChainError::Room { room: BASE, source }
}

impl Base {
    /// Opens the base, or says how it is damaged: a checkpoint may stand in for it.
    pub(super) fn open(rooms: &dyn Rooms) -> Result<Result<Self, String>, ChainError> {
        let disk = rooms.open(BASE).map_err(in_base)?;
        match Journal::open(disk, BASE_OPTIONS) {
            Ok((journal, _)) => Ok(Ok(Self { journal })),
            Err(error @ JournalError::Damaged { .. }) => Ok(Err(error.to_string())),
            Err(error) => Err(in_base(error)),
        }
    }

    /// Begins anew in place of one that is damaged.
    pub(super) fn recreate(rooms: &dyn Rooms) -> Result<Self, ChainError> {
        let (journal, _) = Journal::open(emptied(rooms, BASE)?, BASE_OPTIONS).map_err(in_base)?;
        Ok(Self { journal })
    }

    /// Head and parts; `None` if there is no base.
    pub(super) fn read(&self) -> Result<Option<HeadAndParts>, Unusable> {
        let mut records = self.journal.iter_from(0);
        let bad = |error: JournalError| Unusable::Bad(error.to_string());
        let Some((_, head)) = records.next().transpose().map_err(bad)? else { return Ok(None) };
        let head = Head::decode(&head)?;
        let parts: Result<Vec<Vec<u8>>, _> =
            records.map(|record| record.map(|(_, bytes)| bytes)).collect();
        Ok(Some((head, parts.map_err(bad)?)))
    }

    /// Replaces the base, durably and at once.
    pub(super) fn write(&mut self, head: Vec<u8>, parts: Vec<Vec<u8>>) -> Result<(), ChainError> {
        let records: Vec<Vec<u8>> = std::iter::once(head).chain(parts).collect();
        self.journal.replace_all(&records).map(drop).map_err(in_base)
    }
}
