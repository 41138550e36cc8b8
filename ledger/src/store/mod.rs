//! Checkpoints: what can be rebuilt by executing the block log.
//!
//! | store | for |
//! |---|---|
//! | [`MemoryStore`] | tests and embedding |
//! | [`SledStore`] | the default on disk |
//! | `RedbStore` (feature `redb`) | checksummed pages; opens at once |
//!
//! All keep one contract, which `tests/store.rs` checks: a batch happens as a whole with its height or not at all, later changes of a batch
//! win, scans are in the order of the keys' bytes, and what was committed is there after opening again.

#[cfg(feature = "redb")]
mod redb;
mod sled;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gongsuan_types::Height;

use crate::checkpoint::pack_bytes;

#[cfg(feature = "redb")]
pub use self::redb::RedbStore;
pub use self::sled::SledStore;

/// The newest version of what stores hold. 1 had two more tables, of index entries, and no head before a checkpoint's parts.
pub const STORE_VERSION: u32 = 2;
/// The name of the one table.
const TABLE: &str = "checkpoint";
/// The tables of version 1 that hold nothing any more.
const OLD_TABLES: [&str; 2] = ["transactions", "history"];

/// The key of what says which checkpoint the parts are of. It stands after the keys of all parts.
pub(crate) const HEAD: &[u8] = b"head";

/// The key of a checkpoint's part.
pub(crate) fn part_key(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// What turns the content of version 1 into that of version 2: a head before the parts.
fn from_version_1(applied: Height, pairs: &Pairs) -> Batch {
    if pairs.is_empty() {
        return Batch::default();
    }
    let bytes: Vec<u8> = pairs.iter().flat_map(|(_, part)| part.iter().copied()).collect();
    let (head, _) = pack_bytes(applied, &bytes);
    Batch { changes: vec![(HEAD.to_vec(), Some(head))] }
}

/// Why the store cannot be used. Time is lost by it, never data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It failed, or is damaged.
    #[error("{path}: {reason}")]
    Fault {
        /// Where.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// A newer program wrote it.
    #[error(
        "{path}: the store has version {got}, this program reads up to {known}: use a newer program, or remove the store"
    )]
    Newer {
        /// Where.
        path: PathBuf,
        /// Its version.
        got: u32,
        /// The newest version that this program knows.
        known: u32,
    },
}

/// Changes that happen together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Keys set and removed.
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// An ordered key-value store.
pub trait Store: Send {
    /// Makes a batch durable together with the height that it reflects.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is promised about the batch.
    fn commit(&mut self, batch: &Batch, applied: Height) -> Result<(), StoreError>;
    /// The height of the last batch committed.
    ///
    /// # Errors
    /// [`StoreError`].
    fn applied(&self) -> Result<Height, StoreError>;
    /// A value.
    ///
    /// # Errors
    /// [`StoreError`].
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// All pairs whose key begins with `prefix`, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    fn scan(&self, prefix: &[u8]) -> Result<Pairs, StoreError>;
}

/// Keys with their values.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A store in memory, for tests and embedding. Clones are handles of the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    content: Arc<Mutex<Content>>,
}

/// The pairs, and the height applied.
type Content = (BTreeMap<Vec<u8>, Vec<u8>>, Height);

impl MemoryStore {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, batch: &Batch, applied: Height) -> Result<(), StoreError> {
        let mut content = self.content();
        for (key, value) in &batch.changes {
            match value {
                Some(value) => content.0.insert(key.clone(), value.clone()),
                None => content.0.remove(key),
            };
        }
        content.1 = applied;
        Ok(())
    }

    fn applied(&self) -> Result<Height, StoreError> {
        Ok(self.content().1)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.content().0.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8]) -> Result<Pairs, StoreError> {
        let content = self.content();
        let own = content.0.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(own.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}
