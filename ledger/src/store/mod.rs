//! Checkpoints and indexes: what can be rebuilt from the block log.
//!
//! | store | for |
//! |---|---|
//! | [`MemoryStore`] | tests and embedding |
//! | [`SledStore`] | the default on disk |
//! | `RedbStore` (feature `redb`) | checksummed pages; opens at once |
//!
//! All keep one contract, which `tests/store.rs` checks: a batch happens as a whole with its height or not at all, later changes of a batch
//! win, scans are in the order of the keys' bytes, columns are apart, and what was committed is there after opening again.

#[cfg(feature = "redb")]
mod redb;
mod sled;

use std::collections::BTreeMap;
use std::path::PathBuf;

use gongsuan_types::Height;

#[cfg(feature = "redb")]
pub use self::redb::RedbStore;
pub use self::sled::SledStore;

/// The version of what stores hold. A store of another version is refused; it can be rebuilt.
const STORE_VERSION: u32 = 1;

/// A table of the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Column {
    /// Parts of the last checkpoint, numbered.
    Checkpoint,
    /// Transaction id → height and index.
    Transactions,
    /// Account, height, index → transaction id.
    History,
}

const COLUMNS: [(Column, &str); 3] = [
    (Column::Checkpoint, "checkpoint"),
    (Column::Transactions, "transactions"),
    (Column::History, "history"),
];

/// Why the store cannot be used. Time is lost by it, never data.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct StoreError {
    /// Where.
    pub path: PathBuf,
    /// What was wrong.
    pub reason: String,
}

/// Changes that happen together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Keys set and removed.
    pub changes: Vec<(Column, Vec<u8>, Option<Vec<u8>>)>,
}

/// An ordered key-value store with tables.
pub trait Store: Send {
    /// Makes a batch durable together with the height that it reflects.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is promised about the batch.
    fn commit(&mut self, batch: &Batch, applied: Height) -> Result<(), StoreError>;
    /// Makes a batch visible and not yet durable: the next commit makes it so. After a crash before that, any part of it may be missing, so
    /// this is for what will be written again.
    ///
    /// # Errors
    /// [`StoreError`].
    fn write(&mut self, batch: &Batch) -> Result<(), StoreError>;
    /// The height of the last batch committed.
    ///
    /// # Errors
    /// [`StoreError`].
    fn applied(&self) -> Result<Height, StoreError>;
    /// A value.
    ///
    /// # Errors
    /// [`StoreError`].
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// All pairs whose key begins with `prefix`, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    fn scan(&self, column: Column, prefix: &[u8]) -> Result<Pairs, StoreError>;
}

/// Keys with their values.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A store in memory, for tests and embedding.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: BTreeMap<(Column, Vec<u8>), Vec<u8>>,
    applied: u64,
}

impl Store for MemoryStore {
    fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        for (column, key, value) in &batch.changes {
            let key = (*column, key.clone());
            match value {
                Some(value) => self.tables.insert(key, value.clone()),
                None => self.tables.remove(&key),
            };
        }
        Ok(())
    }

    fn commit(&mut self, batch: &Batch, applied: Height) -> Result<(), StoreError> {
        self.write(batch)?;
        self.applied = applied.0;
        Ok(())
    }

    fn applied(&self) -> Result<Height, StoreError> {
        Ok(Height(self.applied))
    }

    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables.get(&(column, key.to_vec())).cloned())
    }

    fn scan(&self, column: Column, prefix: &[u8]) -> Result<Pairs, StoreError> {
        let from = (column, prefix.to_vec());
        let pairs = self
            .tables
            .range(from..)
            .take_while(|((at, key), _)| *at == column && key.starts_with(prefix));
        Ok(pairs.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }
}
