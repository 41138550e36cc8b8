//! The vote log: what consensus must remember to stay honest after a crash.
//!
//! Records as in the block log (`length | crc32c | payload`), one `fdatasync` per batch. The file is rewritten from its sum when it has grown:
//! only the newest of each kind matters.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use gongsuan_consensus::{Record, Recovered, Tip};
use gongsuan_ledger::log::sync_dir;
use gongsuan_types::codec;

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
    #[error("{path} is damaged at byte {offset}; a validator that forgot its votes must not vote: remove the node's data and rejoin under a new key")]
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
    sum: Recovered,
}

fn frame(record: &Record) -> Vec<u8> {
    let payload = codec::encode(record);
    let mut bytes = Vec::with_capacity(payload.len() + 8);
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
    bytes.extend_from_slice(&payload);
    bytes
}

impl Wal {
    /// Opens or creates the log, and says what it remembers. A torn last record is cut.
    ///
    /// # Errors
    /// [`WalError`].
    pub fn open(path: &Path, tip: Tip) -> Result<(Self, Recovered), WalError> {
        let io = |source| WalError::Io { path: path.to_owned(), source };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io(error)),
        };
        let mut sum = Recovered::fresh(tip);
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
            let record = codec::decode::<Record>("vote record", usize::MAX, payload);
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
        let wal = Self { path: path.to_owned(), file, end: offset as u64, sum: sum.clone() };
        Ok((wal, sum))
    }

    /// Appends records and makes them durable.
    ///
    /// # Errors
    /// [`WalError`]: the process must end, because nobody knows what the disk holds.
    pub fn append(&mut self, records: Vec<Record>) -> Result<(), WalError> {
        let mut bytes = Vec::new();
        for record in records {
            bytes.extend(frame(&record));
            self.sum.apply(record);
        }
        let written = self
            .file
            .seek(SeekFrom::Start(self.end))
            .and_then(|_| self.file.write_all(&bytes))
            .and_then(|()| self.file.sync_data());
        written.map_err(|source| WalError::Io { path: self.path.clone(), source })?;
        self.end += bytes.len() as u64;
        if self.end > REWRITE_AT {
            self.rewrite().map_err(|source| WalError::Io { path: self.path.clone(), source })?;
        }
        Ok(())
    }

    /// Replaces the file by its sum: written beside, synced, renamed, and the folder synced.
    fn rewrite(&mut self) -> std::io::Result<()> {
        let mut bytes = frame(&Record::Term(self.sum.term));
        bytes.extend(self.sum.timed_out.map(|term| frame(&Record::TimedOut(term))).unwrap_or_default());
        bytes.extend(self.sum.lease.map(|lease| frame(&Record::Lease(lease))).unwrap_or_default());
        if let Some(lock) = &self.sum.lock {
            bytes.extend(frame(&Record::Lock(Box::new(lock.clone()))));
        }
        let beside = self.path.with_extension("new");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&beside)?;
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
    use gongsuan_types::{Hash, Height, Term, TimeMs};

    use super::*;

    fn tip() -> Tip {
        Tip { height: Height(0), hash: Hash::ZERO, time: TimeMs(0) }
    }

    #[test]
    fn a_vote_log_cut_at_any_byte_keeps_every_whole_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("votes.wal");
        let (mut wal, first) = Wal::open(&path, tip()).unwrap();
        assert!(!first.restarted);
        for term in 1..=4 {
            wal.append(vec![Record::Term(Term(term))]).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        let record = whole.len() / 4;
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (_, sum) = Wal::open(&path, tip()).unwrap();
            assert_eq!(sum.term.0, (cut / record) as u64, "cut at {cut}");
        }
    }

    #[test]
    fn damage_before_the_last_record_halts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("votes.wal");
        let (mut wal, _) = Wal::open(&path, tip()).unwrap();
        for term in 1..=4 {
            wal.append(vec![Record::Term(Term(term))]).unwrap();
        }
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[9] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(Wal::open(&path, tip()), Err(WalError::Damaged { offset: 0, .. })));
    }

    #[test]
    fn a_rewritten_log_remembers_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("votes.wal");
        let (mut wal, _) = Wal::open(&path, tip()).unwrap();
        wal.append(vec![Record::Term(Term(3)), Record::TimedOut(Term(3)), Record::Term(Term(4))]).unwrap();
        wal.rewrite().unwrap();
        wal.append(vec![Record::Term(Term(5))]).unwrap();
        let (_, sum) = Wal::open(&path, tip()).unwrap();
        assert_eq!((sum.term, sum.timed_out, sum.restarted), (Term(5), Some(Term(3)), true));
    }
}
