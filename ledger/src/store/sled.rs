//! sled on disk.
//!
//! sled is fast enough and handy, and it is beta: its `flush` does not reach the disk on Linux by itself, and a damaged file can panic.
//! So a commit flushes *and* syncs the file, an opening is guarded, and whoever reads a checkpoint compares its root with a header.
//! A dropped sled keeps its file locked until its own threads have ended, some milliseconds later: an opening waits for that.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gongsuan_types::Height;

use super::{Batch, OLD_TABLES, Pairs, STORE_VERSION, Store, StoreError, TABLE, from_version_1};

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
    table: sled::Tree,
}

impl SledStore {
    /// Opens or creates the store in a folder. One of an older version is brought up to date.
    ///
    /// # Errors
    /// [`StoreError::Newer`]; [`StoreError::Fault`], also where sled panics over a damaged file: remove the folder and rebuild.
    /// A store still open elsewhere is one too, after some ten seconds.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let fault = |reason: String| StoreError::Fault { path: path.to_owned(), reason };
        wait_for_release(&path.join("db")).map_err(|error| fault(error.to_string()))?;
        let owned = path.to_owned();
        guarded(path, move || {
            let config = sled::Config::new().path(&owned).flush_every_ms(None);
            let config = config.cache_capacity(64 << 20);
            let db = config.open()?;
            let table = db.open_tree(TABLE)?;
            crate::log::sync_dir(&owned).map_err(sled::Error::Io)?;
            Ok(Self { path: owned, db, table })
        })
        .and_then(|mut store| {
            store.migrate()?;
            Ok(store)
        })
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        let applied = self.applied()?;
        let db = self.db.clone();
        let got = guarded(&self.path, move || db.get(VERSION))?;
        let got = got.and_then(|value| Some(u32::from_be_bytes(value.as_ref().try_into().ok()?)));
        match got {
            Some(STORE_VERSION) => Ok(()),
            None if applied == Height(0) => self.commit(&Batch::default(), applied),
            Some(1) => {
                // The index is derived from the log now.
                let db = self.db.clone();
                guarded(&self.path, move || {
                    OLD_TABLES.iter().try_for_each(|old| db.drop_tree(old).map(drop))
                })?;
                let batch = from_version_1(applied, &self.scan(&[])?);
                self.commit(&batch, applied)
            }
            Some(got) if got > STORE_VERSION => {
                Err(StoreError::Newer { path: self.path.clone(), got, known: STORE_VERSION })
            }
            None | Some(_) => Err(self.fault("the store says nothing of its version")),
        }
    }

    fn fault(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError::Fault { path: self.path.clone(), reason: reason.to_string() }
    }
}

/// Calls sled, which may panic over a damaged file.
fn guarded<T>(path: &Path, call: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, StoreError> {
    let fault = |reason: String| StoreError::Fault { path: path.to_owned(), reason };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(fault(error.to_string())),
        Err(_) => Err(fault("sled panicked over a damaged file".to_owned())),
    }
}

impl Store for SledStore {
    fn commit(&mut self, batch: &Batch, applied: Height) -> Result<(), StoreError> {
        use sled::Transactional as _;
        guarded(&self.path, || {
            let done = (&self.table, &*self.db).transaction(|(table, meta)| {
                for (key, value) in &batch.changes {
                    match value {
                        Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                        None => table.remove(key.as_slice())?,
                    };
                }
                meta.insert(APPLIED, &applied.0.to_be_bytes())?;
                meta.insert(VERSION, &STORE_VERSION.to_be_bytes())?;
                Ok::<(), sled::transaction::ConflictableTransactionError<()>>(())
            });
            done.map_err(|error| sled::Error::Unsupported(format!("{error:?}")))?;
            self.db.flush()?;
            // sled 0.34's flush issues sync_file_range on Linux, which does not survive a power cut.
            File::open(self.path.join("db"))?.sync_data()?;
            Ok(())
        })
    }

    fn applied(&self) -> Result<Height, StoreError> {
        let value = guarded(&self.path, || self.db.get(APPLIED))?;
        let bytes = value.and_then(|value| <[u8; 8]>::try_from(value.as_ref()).ok());
        Ok(Height(bytes.map_or(0, u64::from_be_bytes)))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(guarded(&self.path, || self.table.get(key))?.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Pairs, StoreError> {
        guarded(&self.path, || {
            let pairs = self.table.scan_prefix(prefix);
            pairs.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
        })
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
