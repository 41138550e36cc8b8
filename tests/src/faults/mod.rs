//! A chain under real faults: processes that are killed and disks that lose power, with a checker that knows what was acknowledged.
//!
//! ```text
//! writer (a process)   signs, verifies and commits blocks to a folder; after each commit it appends a line to the list of acknowledgements
//! judge                kills the writer, or copies its disk; opens the folder; compares with the list and with a state of its own
//! ```
//!
//! Transactions follow from the height, so that anybody can say what must stand in a block; the judge executes every block itself, from genesis on. The
//! list is outside the folder, and never on the disk whose power goes.
//!
//! A kill cannot see a sync that is missing, because the system keeps what was written; a power cut can. [`Plant`] puts such faults
//! in, to show that they are caught.

pub mod kill;
pub mod power;
mod truth;
pub mod writer;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use gongsuan_journal::{Disk, Folder, JournalError};
use gongsuan_ledger::{Options, Retention, Rooms};

/// A fault put into the writer on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plant {
    /// None.
    Nothing,
    /// A block is acknowledged before it is committed.
    EarlyAck,
    /// Files are written and never synced.
    NoSync,
}

const PLANTS: [(Plant, &str); 3] =
    [(Plant::Nothing, "nothing"), (Plant::EarlyAck, "early-ack"), (Plant::NoSync, "no-sync")];

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PLANTS.iter().find(|(plant, _)| plant == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Plant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = PLANTS.iter().find(|(_, name)| *name == text);
        found.map(|(plant, _)| *plant).ok_or_else(|| {
            format!("no such fault; there are {}", PLANTS.map(|(_, name)| name).join(", "))
        })
    }
}

/// What goes on in the folder is small, so that checkpoints, runs, segments and pruning happen all the time.
pub(crate) fn options(retention: Retention) -> Options {
    Options {
        retention: Some(retention),
        checkpoint_blocks: 24,
        segment_bytes: 128 << 10,
        tail_txs: 96,
        snapshot_blocks: 0,
    }
}

/// What the n-th folder keeps: each of the three in turn.
pub(crate) fn retention(n: u64) -> Retention {
    [Retention::Archive, Retention::Pruned { blocks: 40 }, Retention::Light]
        [usize::try_from(n % 3).unwrap_or(0)]
}

/// Folders whose syncs do nothing.
#[derive(Debug)]
pub(crate) struct NoSync<'a>(pub(crate) &'a Path);

#[derive(Debug)]
struct Unsynced(Folder);

impl Rooms for NoSync<'_> {
    fn open(&self, room: &str) -> Result<Box<dyn Disk>, JournalError> {
        Ok(Box::new(Unsynced(Folder::open(&self.0.join(room))?)))
    }
}

impl Disk for Unsynced {
    fn list(&self) -> std::io::Result<Vec<String>> {
        self.0.list()
    }
    fn size(&self, name: &str) -> std::io::Result<u64> {
        self.0.size(name)
    }
    fn read(&self, name: &str, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        self.0.read(name, offset, bytes)
    }
    fn create(&mut self, name: &str) -> std::io::Result<()> {
        self.0.create(name)
    }
    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write(name, offset, bytes)
    }
    fn truncate(&mut self, name: &str, size: u64) -> std::io::Result<()> {
        self.0.truncate(name, size)
    }
    fn sync(&mut self, _name: &str) -> std::io::Result<()> {
        Ok(())
    }
    fn sync_directory(&mut self) -> std::io::Result<()> {
        Ok(())
    }
    fn remove(&mut self, name: &str) -> std::io::Result<()> {
        self.0.remove(name)
    }
    fn rename(&mut self, from: &str, to: &str) -> std::io::Result<()> {
        self.0.rename(from, to)
    }
    fn salt(&mut self) -> u64 {
        self.0.salt()
    }
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path(name)
    }
}

/// A row of numbers that only depends on the first (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
