//! One process per data folder.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process holds it.
    #[error("{path} is held by another process; a data folder belongs to one node at a time")]
    Held {
        /// The lock file.
        path: PathBuf,
    },
    /// The disk said no.
    #[error("{path}: {source}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
}

/// Holds a folder until it is dropped or the process ends, however it ends: the system forgets the lock with the process, so a stale file
/// means nothing.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the folder, which is made if it is missing.
    ///
    /// # Errors
    /// [`LockError::Held`] if somebody has it; [`LockError::Io`].
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join("chain.lock");
        let io = |source| LockError::Io { path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(io)?;
        let file = File::options().create(true).append(true).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held { path }),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}
