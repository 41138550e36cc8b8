//! sled on disk.
//!
//! sled is fast enough and handy, and it is beta: its `flush` does not reach the disk on Linux by itself, and a damaged file can panic.
//! So a commit flushes *and* syncs the file, an opening is guarded, and whoever reads a checkpoint compares its root with a header.
//! A dropped sled keeps its file locked until its own threads have ended, some milliseconds later: an opening waits for that.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gongsuan_types::Height;

use super::{Batch, COLUMNS, Column, Pairs, STORE_VERSION, Store, StoreError};

const APPLIED: &[u8] = b"applied";
const VERSION: &[u8] = b"version";
/// How often, and after which pause, an opening asks for the end of the threads of a sled that was dropped. Another *process* is refused at once by the folder's own lock.
const RELEASE_TRIES: u32 = 10_000;
const RELEASE_PAUSE: Duration = Duration::from_millis(1);

/// sled on disk.
#[derive(Debug)]
pub struct SledStore {
    path: PathBuf,
    db: sled::Db,
    trees: Vec<sled::Tree>,
}

impl SledStore {
    /// Opens or creates the store in a folder.
    ///
    /// # Errors
    /// [`StoreError`], also where sled panics over a damaged file or the store is of another version: remove the folder and rebuild.
    /// A store still open elsewhere is one too, after some ten seconds.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        wait_for_release(&path.join("db"))
            .map_err(|error| StoreError { path: path.to_owned(), reason: error.to_string() })?;
        let owned = path.to_owned();
        let opened = std::panic::catch_unwind(move || {
            let config = sled::Config::new().path(&owned).flush_every_ms(None);
            let config = config.cache_capacity(64 << 20);
            let db = config.open()?;
            let trees = COLUMNS.iter().map(|(_, name)| db.open_tree(name));
            let trees = trees.collect::<Result<Vec<_>, sled::Error>>()?;
            crate::log::sync_dir(&owned).map_err(sled::Error::Io)?;
            Ok::<_, sled::Error>((db, trees))
        });
        let fault = |reason: String| StoreError { path: path.to_owned(), reason };
        match opened {
            Ok(Ok((db, trees))) => {
                let store = Self { path: path.to_owned(), db, trees };
                store.check_version()?;
                Ok(store)
            }
            Ok(Err(error)) => Err(fault(error.to_string())),
            Err(_) => Err(fault("sled panicked over a damaged file".to_owned())),
        }
    }

    fn check_version(&self) -> Result<(), StoreError> {
        let expected = STORE_VERSION.to_be_bytes();
        let used = self.applied()? > Height(0);
        match self.db.get(VERSION).map_err(|error| self.fault(error))? {
            None if !used => {
                let set = self.db.insert(VERSION, &expected);
                set.map(drop).map_err(|error| self.fault(error))
            }
            Some(got) if got.as_ref() == expected => Ok(()),
            None | Some(_) => {
                Err(self.fault(format!("the store is not of version {STORE_VERSION}")))
            }
        }
    }

    fn tree(&self, column: Column) -> &sled::Tree {
        let at = COLUMNS.iter().position(|(other, _)| *other == column);
        &self.trees[at.expect("every column has a tree")]
    }

    fn fault(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError { path: self.path.clone(), reason: reason.to_string() }
    }
}

impl Store for SledStore {
    /// Plain insertions: a transaction of sled costs several times more.
    fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        for (column, key, value) in &batch.changes {
            let tree = self.tree(*column);
            let done = match value {
                Some(value) => tree.insert(key.as_slice(), value.as_slice()),
                None => tree.remove(key.as_slice()),
            };
            done.map_err(|error| self.fault(error))?;
        }
        Ok(())
    }

    fn commit(&mut self, batch: &Batch, applied: Height) -> Result<(), StoreError> {
        use sled::Transactional as _;
        let mut all: Vec<&sled::Tree> = self.trees.iter().collect();
        all.push(&self.db);
        let done = all.as_slice().transaction(|trees| {
            for (column, key, value) in &batch.changes {
                let at = COLUMNS.iter().position(|(other, _)| other == column);
                let tree = &trees[at.expect("every column has a tree")];
                match value {
                    Some(value) => tree.insert(key.as_slice(), value.as_slice())?,
                    None => tree.remove(key.as_slice())?,
                };
            }
            trees[COLUMNS.len()].insert(APPLIED, &applied.0.to_be_bytes())?;
            Ok::<(), sled::transaction::ConflictableTransactionError<()>>(())
        });
        done.map_err(|error| self.fault(format!("{error:?}")))?;
        self.db.flush().map_err(|error| self.fault(error))?;
        // sled 0.34's flush issues sync_file_range on Linux, which does not survive a power cut.
        let file = File::open(self.path.join("db")).map_err(|error| self.fault(error))?;
        file.sync_data().map_err(|error| self.fault(error))
    }

    fn applied(&self) -> Result<Height, StoreError> {
        let value = self.db.get(APPLIED).map_err(|error| self.fault(error))?;
        let bytes = value.and_then(|value| <[u8; 8]>::try_from(value.as_ref()).ok());
        Ok(Height(bytes.map_or(0, u64::from_be_bytes)))
    }

    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.tree(column).get(key).map_err(|error| self.fault(error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, column: Column, prefix: &[u8]) -> Result<Pairs, StoreError> {
        self.tree(column)
            .scan_prefix(prefix)
            .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect::<Result<_, _>>()
            .map_err(|error| self.fault(error))
    }
}

/// Returns when nobody holds the lock on the file, or fails with the reason.
fn wait_for_release(file: &Path) -> std::io::Result<()> {
    let file = match File::open(file) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for _ in 0..RELEASE_TRIES {
        match file.try_lock() {
            Ok(()) => return file.unlock(),
            Err(TryLockError::WouldBlock) => std::thread::sleep(RELEASE_PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    Err(std::io::Error::new(std::io::ErrorKind::WouldBlock, "the store is open elsewhere"))
}
