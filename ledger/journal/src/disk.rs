//! The few calls that a journal makes.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

/// One flat folder of files. Everything is synchronous.
///
/// Nothing written, truncated, created, renamed or removed is durable before the matching sync returned: [`Disk::sync`] for the content of one
/// file, [`Disk::sync_directory`] for the names. An implementation may make it durable sooner.
pub trait Disk: Debug + Send + Sync {
    /// The names of all files, in any order.
    ///
    /// # Errors
    /// What the system said.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The size of a file in bytes.
    ///
    /// # Errors
    /// What the system said; not found if there is no such file.
    fn size(&self, name: &str) -> io::Result<u64>;

    /// Fills `bytes` from a file, beginning at `offset`.
    ///
    /// # Errors
    /// What the system said; an unexpected end if the file is shorter.
    fn read(&self, name: &str, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Creates an empty file.
    ///
    /// # Errors
    /// What the system said; already exists if there is one.
    fn create(&mut self, name: &str) -> io::Result<()>;

    /// Writes all of `bytes` into an existing file at `offset`, which is at most its size.
    ///
    /// # Errors
    /// What the system said. Some of the bytes may have been written.
    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Shortens a file to `size` bytes.
    ///
    /// # Errors
    /// What the system said.
    fn truncate(&mut self, name: &str, size: u64) -> io::Result<()>;

    /// Makes the content of a file durable.
    ///
    /// # Errors
    /// What the system said. What was written since the last sync may be lost, even if a later sync succeeds.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Makes the names durable: which files exist and what they are called.
    ///
    /// # Errors
    /// What the system said.
    fn sync_directory(&mut self) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system said.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Renames a file; a file that has the new name is replaced in the same step.
    ///
    /// # Errors
    /// What the system said.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// A number that outsiders cannot guess. Checksums are salted with it, so that nobody can place bytes into a payload that look like frames.
    fn salt(&mut self) -> u64;

    /// What to call a file in an error.
    fn path(&self, name: &str) -> PathBuf;
}

/// Makes the names in a directory durable.
///
/// # Errors
/// What the system said.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}
