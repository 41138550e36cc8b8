//! The append-only block log: the truth about what was decided.
//!
//! A [`Journal`] in which a record's number is the block's height. One `fdatasync` per append. On opening, a torn end is cut; damage to what was
//! acknowledged is refused.

use std::path::Path;

pub use gongsuan_journal::sync_dir;
use gongsuan_journal::{Cut, Disk, Folder, Journal, JournalError, Options};
use gongsuan_types::Height;

const OPTIONS: Options = Options::new(*b"blocks\0\0");
/// Bytes of a segment after which the next one is begun.
pub const SEGMENT_BYTES: u64 = OPTIONS.segment_bytes;

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Blocks that were acknowledged cannot be read any more.
    #[error("{0}; restore the file, or remove the node's data and let it catch up")]
    Damaged(#[source] JournalError),
    /// The disk said no, or the files are not this program's. After a failed write the handle refuses further use.
    #[error(transparent)]
    Journal(JournalError),
    /// Heights must follow.
    #[error("expected height {expected}, got {got}")]
    OutOfOrder {
        /// The next height.
        expected: Height,
        /// What came.
        got: Height,
    },
    /// The oldest blocks are gone, and nothing says that they should be.
    #[error(
        "the log begins at block {first} instead of 1, and nothing says that it was pruned; restore the files, or remove the node's data and let it catch up"
    )]
    Headless {
        /// The oldest block that is there.
        first: Height,
    },
}

impl From<JournalError> for LogError {
    fn from(error: JournalError) -> Self {
        if matches!(error, JournalError::Damaged { .. }) {
            Self::Damaged(error)
        } else {
            Self::Journal(error)
        }
    }
}

/// The log of one node.
#[derive(Debug)]
pub struct BlockLog {
    journal: Journal,
    cut: Option<Cut>,
}

impl BlockLog {
    /// Opens or creates the log in a folder; heights begin at 1.
    ///
    /// # Errors
    /// [`LogError`]: unreadable, damaged, or in use by another process.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        Self::open_over(Box::new(Folder::open(dir)?))
    }

    /// Opens or creates the log on a disk.
    ///
    /// # Errors
    /// [`LogError`]: unreadable or damaged.
    pub fn open_over(disk: Box<dyn Disk>) -> Result<Self, LogError> {
        Self::open_with(disk, SEGMENT_BYTES)
    }

    /// Opens or creates the log on a disk, with segments of so many bytes.
    ///
    /// # Errors
    /// [`LogError`]: unreadable or damaged.
    pub fn open_with(disk: Box<dyn Disk>, segment_bytes: u64) -> Result<Self, LogError> {
        let (journal, cut) = Journal::open(disk, Options { segment_bytes, ..OPTIONS })?;
        Ok(Self { journal, cut })
    }

    /// Creates the log on an empty disk, to begin at a height.
    ///
    /// # Errors
    /// [`LogError`]: what the disk said.
    pub fn begin(disk: Box<dyn Disk>, segment_bytes: u64, first: Height) -> Result<Self, LogError> {
        let options = Options { segment_bytes, first: first.0, ..OPTIONS };
        let (journal, cut) = Journal::open(disk, options)?;
        Ok(Self { journal, cut })
    }

    /// The height of the oldest record that is kept: 1, or more if the log was pruned; after the head if there is none.
    #[must_use]
    pub fn first(&self) -> Height {
        Height(self.journal.first())
    }

    /// The height at which the newest segment begins.
    #[must_use]
    pub fn newest(&self) -> Height {
        Height(self.journal.newest())
    }

    /// The torn end that was cut upon opening, if there was one. No block in it was acknowledged.
    #[must_use]
    pub fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// The height of the last record, 0 if there is none.
    #[must_use]
    pub fn head(&self) -> Height {
        Height(self.journal.next().saturating_sub(1))
    }

    /// Appends records and makes them durable with one sync. They are there after a power cut, or none of them was acknowledged.
    ///
    /// # Errors
    /// [`LogError`]; after a failed write or sync the log refuses further use.
    pub fn append(&mut self, first: Height, payloads: &[Vec<u8>]) -> Result<(), LogError> {
        let expected = self.head().next();
        if first != expected {
            return Err(LogError::OutOfOrder { expected, got: first });
        }
        self.journal.append_and_sync(payloads)?;
        Ok(())
    }

    /// The oldest record that [`BlockLog::drop_before`] would keep.
    #[must_use]
    pub fn kept_from(&self, height: Height) -> Height {
        Height(self.journal.kept_by_drop_before(height.0))
    }

    /// Removes whole segments of records that all stand before a height.
    ///
    /// # Errors
    /// [`LogError`]; then the log refuses further use.
    pub fn drop_before(&mut self, height: Height) -> Result<(), LogError> {
        self.journal.drop_before(height.0)?;
        Ok(())
    }

    /// Reads a record; `None` beyond the head, at 0, and before [`BlockLog::first`]. The checksum is verified on every read.
    ///
    /// # Errors
    /// [`LogError`]: unreadable or damaged.
    pub fn read(&self, height: Height) -> Result<Option<Vec<u8>>, LogError> {
        Ok(self.journal.read(height.0)?)
    }
}

#[cfg(test)]
mod tests {
    use gongsuan_journal::{Fault, MemoryDisk, Tear};

    use super::*;

    /// Five records, the last of which was written and not acknowledged.
    fn filled() -> MemoryDisk {
        let disk = MemoryDisk::new();
        let mut log = BlockLog::open_over(Box::new(disk.clone())).unwrap();
        for height in 1..=4u8 {
            log.append(Height(height.into()), &[vec![height; 20 * usize::from(height)]]).unwrap();
        }
        disk.inject(disk.calls() + 2, Fault::Error);
        log.append(Height(5), &[vec![5; 100]]).unwrap_err();
        assert!(matches!(
            log.append(Height(6), &[vec![]]),
            Err(LogError::OutOfOrder { .. } | LogError::Journal(JournalError::Poisoned))
        ));
        disk.heal();
        disk
    }

    #[test]
    fn an_unacknowledged_block_may_be_lost_and_an_acknowledged_one_is_not() {
        let disk = filled();
        for seed in 0..20 {
            let left = disk.crash(Tear::Scatter(seed));
            let mut log = BlockLog::open_over(Box::new(left)).unwrap();
            let head = log.head();
            assert!(head == Height(4) || head == Height(5));
            assert_eq!(log.read(Height(4)).unwrap().unwrap(), vec![4; 80]);
            log.append(head.next(), &[b"next".to_vec()]).unwrap();
            assert_eq!(log.read(head.next()).unwrap().unwrap(), b"next");
        }
        let name = &disk.names()[0];
        let content = disk.content(name);
        disk.set_content(name, &content[..content.len() - 1]);
        let log = BlockLog::open_over(Box::new(disk)).unwrap();
        assert_eq!(log.cut().unwrap().bytes, 131);
        assert_eq!(log.head(), Height(4));
    }

    #[test]
    fn a_bent_byte_is_refused_with_what_to_do() {
        let disk = filled();
        let name = &disk.names()[0];
        let mut content = disk.content(name);
        content[48 + 32] ^= 4;
        disk.set_content(name, &content);
        let error = BlockLog::open_over(Box::new(disk)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "memory/00000000000000000001.seg is damaged at byte 48: the record's checksum does not match; \
             restore the file, or remove the node's data and let it catch up"
        );
    }

    #[test]
    fn heights_follow_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = BlockLog::open(dir.path()).unwrap();
        for height in 1..=5u8 {
            log.append(Height(height.into()), &[vec![height; 20 * usize::from(height)]]).unwrap();
        }
        drop(log);
        let mut log = BlockLog::open(dir.path()).unwrap();
        let error = log.append(Height(7), &[vec![]]).unwrap_err();
        assert!(matches!(error, LogError::OutOfOrder { expected: Height(6), got: Height(7) }));
        assert_eq!(log.read(Height(3)).unwrap().unwrap(), vec![3; 60]);
        assert_eq!(log.read(Height(0)).unwrap(), None);
        assert_eq!(log.read(Height(6)).unwrap(), None);
    }
}
