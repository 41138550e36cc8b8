//! The vote log: what consensus must remember to stay honest after a crash.
//!
//! A [`Journal`] of consensus records, one `fdatasync` per batch that needs one. A log that has grown is replaced by the few records that the
//! core says are enough. A torn end is cut, because no vote left this node before its record was durable; damage halts.

use std::path::Path;

use gongsuan_consensus::{Record, Recovered};
use gongsuan_journal::{Disk, Folder, Journal, JournalError, Options};

/// Bytes after which the log is rewritten. At 10 k transactions a second that is every ten seconds and a stall of tens of
/// milliseconds; removing a folder of 256 MiB stalled syncs for 300.
const REWRITE_AT: u64 = 64 << 20;
const OPTIONS: Options = Options::new(*b"votes\0\0\0");

/// Why the vote log cannot be used. A validator without its vote state must not vote.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// Votes that were acknowledged cannot be read any more.
    #[error(
        "{0}; a validator that forgot its votes must not vote: remove the folder of the vote log, and it observes until it may"
    )]
    Damaged(#[source] JournalError),
    /// The disk said no, or the files are not this program's.
    #[error(transparent)]
    Journal(JournalError),
    /// A record is whole and is not one of this program's.
    #[error(
        "record {number} of the vote log does not decode: {reason}; was it written by a newer program?"
    )]
    Malformed {
        /// Its number in the journal.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl From<JournalError> for WalError {
    fn from(error: JournalError) -> Self {
        if matches!(error, JournalError::Damaged { .. }) {
            Self::Damaged(error)
        } else {
            Self::Journal(error)
        }
    }
}

/// An open vote log.
#[derive(Debug)]
pub struct Wal {
    journal: Journal,
}

fn encode(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(Record::encode).collect()
}

impl Wal {
    /// Opens or creates the log in a folder, and says what it remembers and whether it was there. A torn end is cut.
    ///
    /// # Errors
    /// [`WalError`].
    pub fn open(path: &Path) -> Result<(Self, Recovered, bool), WalError> {
        Self::open_over(Box::new(Folder::open(path)?))
    }

    /// Begins the log of a key that was made just now and has signed nothing. Without this, an empty log counts as lost.
    ///
    /// # Errors
    /// [`WalError`].
    pub fn begin(path: &Path) -> Result<(), WalError> {
        let (mut wal, recovered, was_there) = Self::open(path)?;
        if was_there { Ok(()) } else { wal.append(&[Record::Term(recovered.term())], true) }
    }

    /// As [`Wal::open`], on a disk.
    ///
    /// # Errors
    /// [`WalError`].
    pub fn open_over(disk: Box<dyn Disk>) -> Result<(Self, Recovered, bool), WalError> {
        let (journal, cut) = Journal::open(disk, OPTIONS)?;
        if let Some(cut) = cut {
            let file = cut.path.display();
            tracing::warn!(%file, cut.offset, cut.bytes, cut.what, "a torn end of the vote log was cut");
        }
        let mut sum = Recovered::default();
        for record in journal.iter_from(journal.first()) {
            let (number, payload) = record?;
            let record = Record::decode(&payload)
                .map_err(|error| WalError::Malformed { number, reason: error.to_string() })?;
            sum.apply(record);
        }
        let was_there = !journal.is_empty();
        Ok((Self { journal }, sum, was_there))
    }

    /// Appends records, and makes them durable if `sync`.
    ///
    /// # Errors
    /// [`WalError`]: the process must end, because nobody knows what the disk holds.
    pub fn append(&mut self, records: &[Record], sync: bool) -> Result<(), WalError> {
        self.journal.append(&encode(records))?;
        if sync {
            self.journal.sync()?;
        }
        Ok(())
    }

    /// Whether it is time to call [`Wal::replace`].
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.journal.size_bytes() > REWRITE_AT
    }

    /// Replaces everything by these records, durably. After a crash the old ones are there or exactly these.
    ///
    /// # Errors
    /// [`WalError`]: the process must end.
    pub fn replace(&mut self, records: &[Record]) -> Result<(), WalError> {
        self.journal.replace_all(&encode(records))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gongsuan_journal::{Fault, MemoryDisk, Tear};
    use gongsuan_types::Term;

    use super::*;

    fn open(disk: &MemoryDisk) -> Result<(Wal, Recovered, bool), WalError> {
        Wal::open_over(Box::new(disk.clone()))
    }

    fn filled() -> (MemoryDisk, Wal) {
        let disk = MemoryDisk::new();
        let (mut wal, _, was_there) = open(&disk).unwrap();
        assert!(!was_there);
        for term in 2..=5 {
            wal.append(&[Record::Term(Term(term))], true).unwrap();
        }
        (disk, wal)
    }

    #[test]
    fn a_power_cut_loses_no_vote_that_was_durable() {
        let (disk, mut wal) = filled();
        wal.append(&[Record::Term(Term(6))], false).unwrap();
        for tear in (0..50).map(Tear::Scatter).chain([Tear::Nothing, Tear::Everything]) {
            let (_, sum, was_there) = open(&disk.crash(tear)).unwrap();
            assert!(was_there);
            assert!(sum.term() == Term(5) || sum.term() == Term(6), "{tear:?}");
        }
    }

    #[test]
    fn a_failed_sync_is_an_error_and_nothing_can_be_added_after_it() {
        let (disk, mut wal) = filled();
        disk.inject(disk.calls() + 2, Fault::SyncLost);
        wal.append(&[Record::Term(Term(6))], true).unwrap_err();
        let error = wal.append(&[Record::Term(Term(7))], true).unwrap_err();
        assert!(matches!(error, WalError::Journal(JournalError::Poisoned)));
        assert_eq!(open(&disk.crash(Tear::Everything)).unwrap().1.term(), Term(5));
    }

    #[test]
    fn a_bent_byte_of_any_durable_record_halts() {
        let (disk, _) = filled();
        let name = &disk.names()[0];
        let content = disk.content(name);
        // The last mark is no record.
        for at in 0..content.len() - 32 {
            let mut bent = content.clone();
            bent[at] ^= 1;
            disk.set_content(name, &bent);
            assert!(open(&disk).is_err(), "byte {at}");
        }
        let mut bent = content;
        bent[60] ^= 1;
        disk.set_content(name, &bent);
        let error = open(&disk).unwrap_err();
        assert!(error.to_string().contains("a validator that forgot its votes must not vote"));
    }

    #[test]
    fn a_record_of_an_unknown_kind_halts() {
        let disk = MemoryDisk::new();
        let (mut journal, _) = Journal::open(Box::new(disk.clone()), OPTIONS).unwrap();
        journal.append_and_sync(&[[0xff; 9]]).unwrap();
        assert!(matches!(open(&disk), Err(WalError::Malformed { number: 1, .. })));
    }

    #[test]
    fn a_replaced_log_holds_what_it_was_replaced_by_and_what_came_after() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("votes.wal");
        let (mut wal, ..) = Wal::open(&path).unwrap();
        wal.append(&[Record::Term(Term(2)), Record::Term(Term(3))], true).unwrap();
        let before = wal.journal.size_bytes();
        wal.replace(&[Record::Term(Term(7))]).unwrap();
        assert!(wal.journal.size_bytes() < before);
        wal.append(&[Record::Term(Term(8))], true).unwrap();
        assert!(Wal::open(&path).is_err(), "only one process may vote");
        drop(wal);
        let (_, sum, _) = Wal::open(&path).unwrap();
        assert_eq!(sum.term(), Term(8));
    }
}
