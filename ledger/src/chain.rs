//! A node's chain: the state, the block log behind it, and the rebuildable store beside it.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use gongsuan_journal::{Cut, Disk};
use gongsuan_types::{Address, Hash, Height, codec};
use serde::{Deserialize, Serialize};

use crate::genesis::Genesis;
use crate::header::{Body, Event, Header, TxReceipt};
use crate::lock::{FolderLock, LockError};
use crate::log::{BlockLog, LogError};
use crate::state::State;
use crate::store::{Batch, Column, SledStore, Store};
use crate::transition::{Applied, OrderedBlock, apply_block};
use crate::tx::{Op, SignedTransaction};

/// Blocks between two checkpoints. Kept at 256: replaying that many takes well under a second.
const CHECKPOINT_EVERY: u64 = 256;
/// Index entries written after each commit. Kept at 512: sled takes some tens of microseconds for each, and a block must not wait longer than
/// a sync of the disk takes anyway.
const INDEX_SLICE: usize = 512;
/// Index entries that may wait in memory; beyond, slices are sixteen times larger. About 150 MB.
const INDEX_WAITING_MAX: usize = 1 << 20;
/// Bytes of one part of a checkpoint.
const PART_BYTES: usize = 1 << 20;

/// A block with everything that belongs to it, as it stands in the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoredBlock {
    /// What it made of the state.
    pub header: Header,
    /// The payload.
    pub body: Vec<u8>,
    /// One for each transaction.
    pub receipts: Vec<TxReceipt>,
    /// The block's own events.
    pub events: Vec<Event>,
    /// What consensus says of it; opaque here.
    pub consensus: Vec<u8>,
}

/// Where a transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Location {
    /// The block.
    pub height: Height,
    /// Its position in the block, from 0.
    pub index: u32,
}

/// Why a chain cannot be opened or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The genesis is bad.
    #[error("genesis: {0}")]
    Genesis(#[from] gongsuan_types::Refusal),
    /// The log is bad.
    #[error("block log: {0}")]
    Log(#[from] LogError),
    /// The folder is in use.
    #[error("data folder: {0}")]
    Lock(#[from] LockError),
    /// A stored block does not decode.
    #[error("block {height} in the log does not decode: {reason}")]
    Malformed {
        /// Which.
        height: Height,
        /// Why.
        reason: String,
    },
    /// Executing a block again gives another header than the one stored.
    #[error("block {height} gives header {got} when it is executed again, the log says {expected}")]
    Diverged {
        /// Which.
        height: Height,
        /// The header stored.
        expected: Hash,
        /// The header computed.
        got: Hash,
    },
}

/// See the module's documentation.
pub struct Chain {
    state: State,
    log: BlockLog,
    store: Option<SledStore>,
    /// Index entries since the last checkpoint.
    recent: BTreeMap<Hash, Location>,
    recent_history: VecDeque<(Address, Location, Hash)>,
    /// The height of the last checkpoint.
    checkpointed: u64,
    rebuilt: Option<String>,
    /// Held as long as the folder is in use; a disk without a folder has none.
    folder_lock: Option<FolderLock>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chain({} at height {})", self.state.chain_id(), self.state.height())
    }
}

impl OrderedBlock<'_> {
    fn of(stored: &StoredBlock) -> OrderedBlock<'_> {
        OrderedBlock {
            height: stored.header.height,
            term: stored.header.term,
            time: stored.header.time,
            proposer: stored.header.proposer,
            block: stored.header.block,
            body: &stored.body,
        }
    }
}

impl Chain {
    /// Opens or creates a chain in a folder: reads the last checkpoint if its root is that of the header at its height, and executes
    /// the blocks after it again, comparing every header.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn open(dir: &Path, genesis: &Genesis) -> Result<Self, ChainError> {
        let lock = FolderLock::take(dir)?;
        let log = BlockLog::open(&dir.join("blocks"))?;
        let mut chain = Self::open_with(log, Some(&dir.join("store")), genesis)?;
        chain.folder_lock = Some(lock);
        Ok(chain)
    }

    /// Opens or creates a chain whose block log is on a disk, without a store: everything is executed again, and nothing is written anywhere
    /// else. For simulators.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn open_over(disk: Box<dyn Disk>, genesis: &Genesis) -> Result<Self, ChainError> {
        Self::open_with(BlockLog::open_over(disk)?, None, genesis)
    }

    fn open_with(
        log: BlockLog,
        path: Option<&Path>,
        genesis: &Genesis,
    ) -> Result<Self, ChainError> {
        let mut rebuilt = None;
        let mut store = path.and_then(|path| open_store(path, &mut rebuilt));
        let mut state = State::new(genesis)?;
        if let Some(open) = &store {
            match read_checkpoint(open, &log, genesis) {
                Ok(Some(restored)) => state = restored,
                Ok(None) => {}
                Err(reason) => {
                    drop(store.take());
                    rebuilt = Some(reason);
                    store = path.and_then(reset_store);
                }
            }
        }
        let mut chain = Self {
            state,
            log,
            store,
            recent: BTreeMap::new(),
            recent_history: VecDeque::new(),
            checkpointed: 0,
            rebuilt,
            folder_lock: None,
        };
        chain.checkpointed = chain.state.height().0;
        let mut next = chain.state.height().next();
        while let Some(stored) = chain.stored(next)? {
            let applied = apply_block(&mut chain.state, &OrderedBlock::of(&stored));
            if applied.header != stored.header {
                let (expected, got) = (stored.header.hash(), applied.header.hash());
                return Err(ChainError::Diverged { height: next, expected, got });
            }
            chain.index(&stored);
            chain.thin_index();
            next = next.next();
        }
        Ok(chain)
    }

    /// Why the store was thrown away and rebuilt upon opening, if it was.
    #[must_use]
    pub fn rebuilt(&self) -> Option<&str> {
        self.rebuilt.as_deref()
    }

    /// The torn end of the block log that was cut upon opening, if there was one. No block in it was acknowledged.
    #[must_use]
    pub fn cut(&self) -> Option<&Cut> {
        self.log.cut()
    }

    /// The state after the last block.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Applies blocks and makes them durable with one sync. `consensus` are the bytes to store with each.
    ///
    /// # Errors
    /// [`ChainError::Log`]: the node must stop, because its memory is ahead of its disk.
    pub fn commit(
        &mut self,
        blocks: &[(OrderedBlock<'_>, Vec<u8>)],
    ) -> Result<Vec<Applied>, ChainError> {
        let Some((first, _)) = blocks.first() else { return Ok(Vec::new()) };
        let first = first.height;
        let (mut records, mut all) = (Vec::new(), Vec::new());
        for (block, consensus) in blocks {
            let applied = apply_block(&mut self.state, block);
            let stored = StoredBlock {
                header: applied.header,
                body: block.body.to_vec(),
                receipts: applied.receipts.clone(),
                events: applied.events.clone(),
                consensus: consensus.clone(),
            };
            records.push(codec::encode(&stored));
            self.index(&stored);
            all.push(applied);
        }
        self.log.append(first, &records)?;
        self.thin_index();
        // While index entries wait, a checkpoint would have to write them all first; it is late then, and a restart takes longer.
        let due = self.state.height().0 >= self.checkpointed + CHECKPOINT_EVERY;
        if due && self.index_waiting() <= INDEX_SLICE {
            self.checkpoint();
        }
        Ok(all)
    }

    /// A block; `None` beyond the head.
    ///
    /// # Errors
    /// [`ChainError`]: unreadable or damaged.
    pub fn stored(&self, height: Height) -> Result<Option<StoredBlock>, ChainError> {
        let Some(bytes) = self.log.read(height)? else { return Ok(None) };
        codec::decode("stored block", usize::MAX, &bytes)
            .map(Some)
            .map_err(|error| ChainError::Malformed { height, reason: error.to_string() })
    }

    /// Where a transaction is, if it is in a block.
    #[must_use]
    pub fn location(&self, id: &Hash) -> Option<Location> {
        if let Some(location) = self.recent.get(id) {
            return Some(*location);
        }
        let value = self.store.as_ref()?.get(Column::Transactions, &id.0).ok()??;
        codec::decode("location", 64, &value).ok()
    }

    /// The transactions that an account sent or was paid by, oldest first.
    #[must_use]
    pub fn history(&self, account: &Address) -> Vec<(Location, Hash)> {
        let old =
            self.store.as_ref().and_then(|store| store.scan(Column::History, &account.0).ok());
        let mut found: Vec<(Location, Hash)> = old
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(_, value)| codec::decode("history", 128, &value).ok())
            .collect();
        let recent = self.recent_history.iter().filter(|(of, ..)| of == account);
        found.extend(recent.map(|(_, location, id)| (*location, *id)));
        // After a restart, blocks executed again may stand in the store already.
        found.sort_by_key(|(location, _)| (location.height, location.index));
        found.dedup();
        found
    }

    fn index(&mut self, stored: &StoredBlock) {
        let height = stored.header.height;
        let body = Body::decode(&stored.body).unwrap_or_default();
        for ((index, tx), receipt) in (0u32..).zip(&body.txs).zip(&stored.receipts) {
            let location = Location { height, index };
            self.recent.insert(receipt.id, location);
            for account in touched(tx) {
                self.recent_history.push_back((account, location, receipt.id));
            }
        }
    }

    /// Writes a checkpoint now: worth it before a stop that was planned. A failure costs a longer restart, never data; the store is then
    /// left alone.
    pub fn checkpoint(&mut self) {
        self.write_index(usize::MAX);
        let Some(store) = &mut self.store else { return };
        let snapshot = self.state.snapshot();
        let mut batch = Batch::default();
        for (part, bytes) in (0u32..).zip(snapshot.chunks(PART_BYTES)) {
            let key = part.to_be_bytes().to_vec();
            batch.changes.push((Column::Checkpoint, key, Some(bytes.to_vec())));
        }
        let parts = batch.changes.len();
        for (key, _) in store.scan(Column::Checkpoint, b"").unwrap_or_default() {
            if <[u8; 4]>::try_from(key.as_slice())
                .is_ok_and(|part| u32::from_be_bytes(part) as usize >= parts)
            {
                batch.changes.push((Column::Checkpoint, key, None));
            }
        }
        self.checkpointed = self.state.height().0;
        if store.commit(&batch, self.state.height()).is_err() {
            self.store = None;
        }
    }

    fn index_waiting(&self) -> usize {
        self.recent.len() + self.recent_history.len()
    }

    /// Writes waiting index entries, the next checkpoint makes them durable. Entries beyond a checkpoint's height do no harm, and lost ones
    /// come again: after a restart the same blocks write the same entries.
    fn write_index(&mut self, entries_max: usize) {
        let Some(store) = &mut self.store else { return };
        let mut batch = Batch::default();
        while batch.changes.len() < entries_max
            && let Some((id, location)) = self.recent.pop_first()
        {
            let value = Some(codec::encode(&location));
            batch.changes.push((Column::Transactions, id.0.to_vec(), value));
        }
        while batch.changes.len() < entries_max
            && let Some((account, location, id)) = self.recent_history.pop_front()
        {
            let mut key = account.0.to_vec();
            key.extend_from_slice(&location.height.0.to_be_bytes());
            key.extend_from_slice(&location.index.to_be_bytes());
            batch.changes.push((Column::History, key, Some(codec::encode(&(location, id)))));
        }
        if store.write(&batch).is_err() {
            self.store = None;
        }
    }

    /// Keeps the index entries in memory few, a slice at a time.
    fn thin_index(&mut self) {
        let urgent = self.index_waiting() > INDEX_WAITING_MAX;
        self.write_index(if urgent { 16 * INDEX_SLICE } else { INDEX_SLICE });
    }
}

/// Executes blocks from genesis on a fresh state and compares every header.
///
/// # Errors
/// [`ChainError::Diverged`] at the first difference; [`ChainError::Genesis`].
pub fn replay<'a>(
    genesis: &Genesis,
    blocks: impl IntoIterator<Item = &'a StoredBlock>,
) -> Result<State, ChainError> {
    let mut state = State::new(genesis)?;
    for stored in blocks {
        let applied = apply_block(&mut state, &OrderedBlock::of(stored));
        if applied.header != stored.header
            || applied.receipts != stored.receipts
            || applied.events != stored.events
        {
            let height = stored.header.height;
            let (expected, got) = (stored.header.hash(), applied.header.hash());
            return Err(ChainError::Diverged { height, expected, got });
        }
    }
    Ok(state)
}

fn touched(tx: &SignedTransaction) -> Vec<Address> {
    let mut accounts = vec![tx.body.sender];
    for op in &tx.body.ops {
        if let Op::Transfer { to, .. } = op {
            accounts.push(*to);
        }
    }
    accounts.sort_unstable();
    accounts.dedup();
    accounts
}

fn open_store(path: &Path, rebuilt: &mut Option<String>) -> Option<SledStore> {
    match SledStore::open(path) {
        Ok(store) => Some(store),
        Err(error) => {
            *rebuilt = Some(error.to_string());
            reset_store(path)
        }
    }
}

/// Throws the store away. Without one the chain works, with a longer restart.
fn reset_store(path: &Path) -> Option<SledStore> {
    std::fs::remove_dir_all(path).ok()?;
    SledStore::open(path).ok()
}

fn read_checkpoint(
    store: &SledStore,
    log: &BlockLog,
    genesis: &Genesis,
) -> Result<Option<State>, String> {
    let height = store.applied().map_err(|error| error.to_string())?;
    if height.0 == 0 {
        return Ok(None);
    }
    let bytes = log.read(height).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or("the store is ahead of the block log")?;
    let stored: StoredBlock =
        codec::decode("stored block", usize::MAX, &bytes).map_err(|error| error.to_string())?;
    let parts = store.scan(Column::Checkpoint, b"").map_err(|error| error.to_string())?;
    let snapshot: Vec<u8> = parts.into_iter().flat_map(|(_, part)| part).collect();
    let state = State::restore(genesis, &snapshot).map_err(|error| error.to_string())?;
    let right = state.is_of(&stored.header);
    if right { Ok(Some(state)) } else { Err("the checkpoint's root is not the header's".into()) }
}
