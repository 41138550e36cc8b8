//! Where a chain's files are.

use std::path::PathBuf;

use gongsuan_journal::{Disk, Folder, JournalError, MemoryDisk};

/// A place with named folders, one for each kind of file.
pub trait Rooms {
    /// Opens or creates a folder.
    ///
    /// # Errors
    /// What the system said, or that it is in use.
    fn open(&self, room: &str) -> Result<Box<dyn Disk>, JournalError>;
}

/// Folders of the file system, in one folder.
impl Rooms for PathBuf {
    fn open(&self, room: &str) -> Result<Box<dyn Disk>, JournalError> {
        Ok(Box::new(Folder::open(&self.join(room))?))
    }
}

/// For simulators: power goes in all rooms at once.
impl Rooms for MemoryDisk {
    fn open(&self, room: &str) -> Result<Box<dyn Disk>, JournalError> {
        Ok(Box::new(self.folder(room)))
    }
}
