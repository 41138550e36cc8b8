//! Where things are in the log: transactions by id, and the history of accounts, orders and deals.
//!
//! Everything here is derived from the block log and can be derived again. The newest blocks' entries are in memory (the *tail*); from time to time they
//! become a *run*, an immutable file of checksummed pages with sorted entries; eight neighbouring runs of a level are merged into one of the
//! next, a slice of the work with each block.
//!
//! ```text
//! blocks     1 ............................................ 8400 ...... 9100 ... 9164
//!            ├── run, level 2 ──┤├─ level 1 ─┤├─ level 1 ─┤├ 0 ┤├ 0 ┤├ 0 ┤├─ tail ─┤
//! ```
//!
//! So an entry is sorted once and copied once for each level: about log₈(transactions / 65,536) times. A question asks each run for one page. The bytes
//! are drawn in [`run`]'s module and in `docs/formats.md`.
//!
//! A page whose checksum does not match is an error and never an answer; whoever asked can look into the log instead, and
//! [`Index::suspect`] tells what to derive again.
//!
//! # Not here
//! Reading the log: the caller hands in what stands in each block ([`BlockEntries`]).

mod entry;
mod merge;
mod page;
mod run;
mod tail;

use std::path::PathBuf;

use gongsuan_journal::{Disk, JournalError};
use gongsuan_types::{Hash, Height};

pub use self::entry::{BlockEntries, Location, Place, Subject};
use self::merge::Merge;
use self::run::Run;
use self::tail::Tail;

/// The newest format of runs that this program writes and reads.
pub const INDEX_VERSION: u32 = 1;
/// Blocks in the tail, at most: reading so many from the log takes well under a second, even if they are empty.
const TAIL_BLOCKS_MAX: u64 = 4_096;
/// Neighbouring runs of a level that become one of the next.
const FAN: usize = 8;
/// Transactions of a run that is made by merging, at most: 3 GiB of file, during a merge twice that.
const RUN_TXS_MAX: u64 = 1 << 25;
/// Items (ids or entries) that a merge handles for each one that was added. Two would keep up with the deepest tree of runs; four is done sooner.
const MERGE_SHARE: u64 = 4;
/// And at least so many with each block, so that a chain with empty blocks gets there too.
const MERGE_ITEMS_MIN: u64 = 2_048;

/// Why the index cannot answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The disk said no.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What the disk said.
        #[source]
        source: std::io::Error,
    },
    /// A page is not what was written.
    #[error(
        "{path} is damaged at byte {offset}: {what}; it will be derived from the block log again"
    )]
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
        "{path} has index version {got}, this program reads up to {INDEX_VERSION}: use a newer program, or remove the folder \
         and let this one derive it from the block log"
    )]
    NewerVersion {
        /// Which file.
        path: PathBuf,
        /// Its version.
        got: u32,
    },
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] JournalError),
}

/// Rows of a history, newest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// Where, and which transaction; `None` for what a block did by itself, before or after its transactions.
    pub rows: Vec<(Location, Option<Hash>)>,
    /// Ask again from here for older rows; `None` if there are none.
    pub next: Option<Location>,
}

/// The index of one chain.
#[derive(Debug)]
pub struct Index {
    disk: Box<dyn Disk>,
    /// Oldest first, without gaps.
    runs: Vec<Run>,
    tail: Tail,
    merge: Option<Merge>,
    /// Transactions after which the tail becomes a run.
    tail_txs_max: u64,
}

impl Index {
    /// Opens or creates the index on a disk. It covers the blocks from [`Index::first`] up to, and without, [`Index::next`]; the caller adds the
    /// rest. Files that are damaged, or do not follow each other, are removed.
    ///
    /// # Errors
    /// [`IndexError::Io`], [`IndexError::NewerVersion`].
    pub fn open(
        mut disk: Box<dyn Disk>,
        first: Height,
        tail_txs_max: u64,
    ) -> Result<Self, IndexError> {
        let runs = run::open_all(disk.as_mut(), first.0)?;
        let next = runs.last().map_or(first.0, |run| run.to + 1);
        Ok(Self { disk, runs, tail: Tail::from(next), merge: None, tail_txs_max })
    }

    /// The oldest block that is covered.
    #[must_use]
    pub fn first(&self) -> Height {
        Height(self.runs.first().map_or(self.tail.from, |run| run.from))
    }

    /// The block to add next.
    #[must_use]
    pub fn next(&self) -> Height {
        Height(self.tail.next())
    }

    /// Forgets everything and begins at a block.
    ///
    /// # Errors
    /// [`IndexError::Io`].
    pub fn reset(&mut self, first: Height) -> Result<(), IndexError> {
        self.abandon_merge()?;
        run::remove(self.disk.as_mut(), self.runs.drain(..))?;
        self.tail = Tail::from(first.0);
        Ok(())
    }

    /// Adds the next block, and does a slice of the work that waits.
    ///
    /// # Panics
    /// If it is not the next block: a defect of the caller.
    ///
    /// # Errors
    /// [`IndexError`]. What was added stays known as long as this value lives.
    pub fn add(&mut self, block: BlockEntries) -> Result<(), IndexError> {
        let items = block.items();
        self.tail.add(block);
        if self.tail.tx_count() >= self.tail_txs_max || self.tail.block_count() >= TAIL_BLOCKS_MAX {
            self.flush()?;
        }
        self.work((MERGE_SHARE * items).max(MERGE_ITEMS_MIN))
    }

    /// Writes the tail out as a run.
    ///
    /// # Errors
    /// [`IndexError::Io`]; the tail stays in memory.
    pub fn flush(&mut self) -> Result<(), IndexError> {
        if self.tail.block_count() > 0 {
            self.runs.push(self.tail.write(self.disk.as_mut())?);
            self.tail = Tail::from(self.tail.next());
        }
        Ok(())
    }

    /// Does up to so many items of merging.
    fn work(&mut self, mut items: u64) -> Result<(), IndexError> {
        while items > 0 {
            if self.merge.is_none() {
                self.merge = Merge::due(&self.runs, FAN, RUN_TXS_MAX, self.disk.as_mut())?;
            }
            let Some(merge) = &mut self.merge else { return Ok(()) };
            match merge.step(self.disk.as_mut(), &self.runs, &mut items) {
                Ok(None) => {}
                Ok(Some(done)) => {
                    let merged = merge.inputs();
                    self.merge = None;
                    let old: Vec<Run> = self.runs.splice(merged, [done]).collect();
                    run::remove(self.disk.as_mut(), old)?;
                }
                // The run is known to be damaged now; it is derived again before the next merge.
                Err(IndexError::Damaged { .. }) => return self.abandon_merge(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn abandon_merge(&mut self) -> Result<(), IndexError> {
        self.merge.take().map_or(Ok(()), |merge| merge.abandon(self.disk.as_mut()))
    }

    /// Where a transaction is.
    ///
    /// # Errors
    /// [`IndexError`]: then nothing is known about it.
    pub fn find(&self, id: &Hash) -> Result<Option<Location>, IndexError> {
        if let Some(place) = self.tail.find(id) {
            return Ok(Some(place.location()));
        }
        for run in self.runs.iter().rev() {
            if let Some(place) = run.find(self.disk.as_ref(), id)? {
                return Ok(Some(place.location()));
            }
        }
        Ok(None)
    }

    /// What happened to a subject, newest first, before a place if one is given.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn history(
        &self,
        subject: Subject,
        before: Option<Location>,
        rows_max: usize,
    ) -> Result<Page, IndexError> {
        let before = before.map_or(Place::MAX, Place::of);
        let mut rows = self.tail.history(subject, before, rows_max + 1);
        for run in self.runs.iter().rev() {
            if rows.len() > rows_max {
                break;
            }
            let wanted = rows_max + 1 - rows.len();
            rows.extend(run.history(self.disk.as_ref(), subject, before, wanted)?);
        }
        let more = rows.len() > rows_max;
        rows.truncate(rows_max);
        let next = rows.last().filter(|_| more).map(|(place, _)| place.location());
        Ok(Page {
            rows: rows.into_iter().map(|(place, id)| (place.location(), id)).collect(),
            next,
        })
    }

    /// Removes runs of blocks that all stand before this one.
    ///
    /// # Errors
    /// [`IndexError::Io`].
    pub fn drop_before(&mut self, height: Height) -> Result<(), IndexError> {
        let gone = self.runs.iter().take_while(|run| run.to < height.0).count();
        if gone > 0 {
            self.abandon_merge()?;
            run::remove(self.disk.as_mut(), self.runs.drain(..gone))?;
        }
        Ok(())
    }

    /// The blocks of a run in which a damaged page was met, first and last.
    #[must_use]
    pub fn suspect(&self) -> Option<(Height, Height)> {
        let run = self.runs.iter().find(|run| run.is_suspect())?;
        Some((Height(run.from), Height(run.to)))
    }

    /// Puts entries derived again in the place of a run that is suspect. `entries` gives what stands in a block; without it, everything up to the
    /// run is forgotten.
    ///
    /// # Errors
    /// [`IndexError::Io`], or what `entries` says.
    pub fn replace_suspect<E: From<IndexError>>(
        &mut self,
        mut entries: impl FnMut(Height) -> Result<Option<BlockEntries>, E>,
    ) -> Result<(), E> {
        let Some(at) = self.runs.iter().position(Run::is_suspect) else { return Ok(()) };
        self.abandon_merge()?;
        let (from, to) = (self.runs[at].from, self.runs[at].to);
        let mut fresh = Vec::new();
        let mut tail = Tail::from(from);
        run::remove(self.disk.as_mut(), self.runs.splice(at..=at, []))?;
        for height in from..=to {
            let Some(block) = entries(Height(height))? else {
                // The log does not reach so far back any more.
                run::remove(self.disk.as_mut(), fresh.drain(..).chain(self.runs.drain(..at)))?;
                return Ok(());
            };
            tail.add(block);
            let full =
                tail.tx_count() >= self.tail_txs_max || tail.block_count() >= TAIL_BLOCKS_MAX;
            if full || height == to {
                fresh.push(tail.write(self.disk.as_mut())?);
                tail = Tail::from(height + 1);
            }
        }
        self.runs.splice(at..at, fresh);
        Ok(())
    }

    /// Files and bytes on disk.
    #[must_use]
    pub fn size(&self) -> (usize, u64) {
        (self.runs.len(), self.runs.iter().map(Run::size_bytes).sum())
    }
}
