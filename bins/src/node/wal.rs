//! The vote log: what consensus must remember to stay honest after a crash.
//!
//! Records as in the block log (`length | crc32c | payload`), one `fdatasync` per batch. A file that has grown is replaced by the few records
//! that the core says are enough.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use gongsuan_consensus::{Record, Recovered};
use gongsuan_ledger::log::sync_dir;

/// Bytes after which the file is rewritten.
const REWRITE_AT: u64 = 32 << 20;

/// Why the vote log cannot be used. A validator without its vote state must not vote.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// The disk said no.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// A record before the last is damaged.
    #[error(
        "{path} is damaged at byte {offset}; a validator that forgot its votes must not vote: remove the node's data and rejoin under a new key"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: usize,
    },
}

/// An open vote log.
#[derive(Debug)]
pub struct Wal {
    path: PathBuf,
    file: File,
    end: u64,
}

fn frame(record: &Record) -> Vec<u8> {
    let payload = record.encode();
    let mut bytes = Vec::with_capacity(payload.len() + 8);
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
    bytes.extend_from_slice(&payload);
    bytes
}

impl Wal {
    /// Opens or creates the log, and says what it remembers and whether it was there. A torn last record is cut.
    ///
    /// # Errors
    /// [`WalError`].
    pub fn open(path: &Path) -> Result<(Self, Recovered, bool), WalError> {
        let io = |source| WalError::Io { path: path.to_owned(), source };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io(error)),
        };
        let mut sum = Recovered::default();
        let mut offset = 0;
        while offset < bytes.len() {
            let rest = &bytes[offset..];
            let number = |at: usize| {
                rest.get(at..at + 4)
                    .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok())
                    .map(u32::from_le_bytes)
            };
            let (Some(length), Some(crc)) = (number(0), number(4)) else { break };
            let Some(payload) = rest.get(8..8 + length as usize) else { break };
            let record = Record::decode(payload);
            let end = offset + 8 + payload.len();
            match record {
                Ok(record) if crc32c::crc32c(payload) == crc => sum.apply(record),
                _ if bytes[end..].iter().all(|byte| *byte == 0) => break,
                _ => return Err(WalError::Damaged { path: path.to_owned(), offset }),
            }
            offset = end;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        file.set_len(offset as u64).and_then(|()| file.sync_all()).map_err(io)?;
        sync_dir(path.parent().unwrap_or(Path::new("."))).map_err(io)?;
        let wal = Self { path: path.to_owned(), file, end: offset as u64 };
        Ok((wal, sum, offset > 0))
    }

    /// Appends records, and makes them durable if `sync`.
    ///
    /// # Errors
    /// [`WalError`]: the process must end, because nobody knows what the disk holds.
    pub fn append(&mut self, records: &[Record], sync: bool) -> Result<(), WalError> {
        let bytes: Vec<u8> = records.iter().flat_map(frame).collect();
        let written = self
            .file
            .seek(SeekFrom::Start(self.end))
            .and_then(|_| self.file.write_all(&bytes))
            .and_then(|()| if sync { self.file.sync_data() } else { Ok(()) });
        written.map_err(|source| WalError::Io { path: self.path.clone(), source })?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Whether it is time to call [`Wal::replace`].
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.end > REWRITE_AT
    }

    /// Replaces everything by these records: written beside, synced, renamed, and the folder synced.
    ///
    /// # Errors
    /// [`WalError`]: the process must end.
    pub fn replace(&mut self, records: &[Record]) -> Result<(), WalError> {
        self.rewrite(records).map_err(|source| WalError::Io { path: self.path.clone(), source })
    }

    fn rewrite(&mut self, records: &[Record]) -> std::io::Result<()> {
        let bytes: Vec<u8> = records.iter().flat_map(frame).collect();
        let beside = self.path.with_extension("new");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        sync_dir(self.path.parent().unwrap_or(Path::new(".")))?;
        self.file = file;
        self.end = bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gongsuan_types::Term;

    use super::*;

    fn filled(path: &Path) -> Wal {
        let (mut wal, _, was_there) = Wal::open(path).unwrap();
        assert!(!was_there);
        for term in 2..=5 {
            wal.append(&[Record::Term(Term(term))], true).unwrap();
        }
        wal
    }

    #[test]
    fn a_vote_log_cut_at_any_byte_keeps_every_whole_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("votes.wal");
        filled(&path);
        let whole = std::fs::read(&path).unwrap();
        let record = whole.len() / 4;
        for cut in record..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (_, sum, was_there) = Wal::open(&path).unwrap();
            assert!(was_there);
            assert_eq!(sum.term().0, (cut / record + 1) as u64, "cut at {cut}");
        }
    }

    #[test]
    fn damage_before_the_last_record_halts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("votes.wal");
        filled(&path);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[9] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(Wal::open(&path), Err(WalError::Damaged { offset: 0, .. })));
    }

    #[test]
    fn a_replaced_log_holds_what_it_was_replaced_by_and_what_came_after() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("votes.wal");
        let mut wal = filled(&path);
        wal.replace(&[Record::Term(Term(7))]).unwrap();
        wal.append(&[Record::Term(Term(8))], true).unwrap();
        let (_, sum, _) = Wal::open(&path).unwrap();
        assert_eq!(sum.term(), Term(8));
        assert!(std::fs::metadata(&path).unwrap().len() < 32);
    }
}
