//! A node's chain: the state, the block log behind it, and what is kept beside it.
//!
//! ```text
//! blocks/    the block log: the truth           ─┐ one append and one sync for each commit
//! index/     where things are in it              │ derived: rebuilt from the log
//! store/     a checkpoint of the state           │ derived: rebuilt by executing the log
//! meta/      the folder's version and retention ─┘
//! headers/   headers and certificates of blocks that are gone     only where blocks are pruned: not derived any more
//! base/      a state from which the blocks left can be executed   only where blocks are pruned
//! snapshot-a/, snapshot-b/   states of two heights, for nodes that are far behind   only where snapshots are kept
//! incoming/  a snapshot that is taking the place of all this      empty, or being put in place upon opening
//! ```
//!
//! # Opening
//! 0. A snapshot that was being installed takes its place.
//! 1. The newest usable state, of the store's checkpoint, the base and the genesis; usable means that it has the root, the history and the time of
//!    the header at its height.
//! 2. The blocks after it are executed again, and every header compared.
//! 3. The blocks after the index's end are indexed.
//!
//! # Pruning
//! In this order, each step durable before the next: the state is written as the base, the headers of the blocks that go are written to
//! `headers`, whole segments of the log are removed. A crash in between leaves more than is needed, never less. Where snapshots are kept, no block goes
//! that somebody who gets one of them would need next.

mod error;
mod install;
mod lookup;
mod open;
mod past;
mod prune;
mod retention;
mod rooms;
mod shelves;
mod stored;

use gongsuan_journal::Cut;
use gongsuan_types::{Hash, Height};

pub use self::error::ChainError;
pub use self::install::Arrived;
pub use self::past::Sealed;
pub use self::retention::{FOLDER_VERSION, Retention};
pub use self::rooms::Rooms;
pub use self::shelves::KeptSnapshot;
pub use self::stored::{BLOCK_VERSION, StoredBlock};

use self::past::{Base, Headers};
use self::retention::MetaFile;
use self::shelves::Shelves;
use crate::checkpoint;
use crate::genesis::Genesis;
use crate::index::{BlockEntries, Index};
use crate::lock::FolderLock;
use crate::log::BlockLog;
use crate::snapshot;
use crate::state::State;
use crate::store::{Batch, HEAD, Store, part_key};
use crate::transition::{Applied, OrderedBlock, apply_block};

/// How a chain is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// What to keep from now on; as the folder's record says if nothing is said here, and everything in a new folder.
    pub retention: Option<Retention>,
    /// Blocks between two checkpoints. Kept at 256: replaying that many takes well under a second.
    pub checkpoint_blocks: u64,
    /// Bytes of a segment of the log. Pruning removes whole segments.
    pub segment_bytes: u64,
    /// Transactions whose index entries are kept in memory before they become a file. Kept at 65,536: 7 MB, and indexing them again upon opening
    /// takes a tenth of a second.
    pub tail_txs: u64,
    /// Blocks between two snapshots that are kept for nodes that are far behind; 0: none are kept. All nodes of a chain must keep the same ones
    /// ([`crate::genesis::Params::snapshot_blocks`]).
    pub snapshot_blocks: u64,
}

impl Default for Options {
    fn default() -> Self {
        let segment_bytes = crate::log::SEGMENT_BYTES;
        Self {
            retention: None,
            checkpoint_blocks: 256,
            segment_bytes,
            tail_txs: 1 << 16,
            snapshot_blocks: 0,
        }
    }
}

/// See the module's documentation.
pub struct Chain {
    state: State,
    log: BlockLog,
    index: Index,
    store: Option<Box<dyn Store>>,
    /// Where blocks are pruned, or will be.
    past: Option<(Headers, Base)>,
    shelves: Shelves,
    meta: MetaFile,
    retention: Retention,
    options: Options,
    /// The height of the last checkpoint.
    checkpointed: u64,
    rebuilt: Option<String>,
    /// A write failed: what is in memory may not be on the disk.
    failed: bool,
    /// Held as long as the folder is in use; other rooms have none.
    folder_lock: Option<FolderLock>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chain({} at height {})", self.state.chain_id(), self.state.height())
    }
}

impl Chain {
    /// Why the store was thrown away and made again upon opening, or the base was, if either was.
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

    /// What the folder keeps.
    #[must_use]
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// The oldest block whose transactions and receipts are here.
    #[must_use]
    pub fn first(&self) -> Height {
        self.log.first()
    }

    /// Files and bytes of the index.
    #[must_use]
    pub fn index_size(&self) -> (usize, u64) {
        self.index.size()
    }

    /// Applies blocks and makes them durable with one sync. `consensus` are the bytes to store with each.
    ///
    /// # Errors
    /// [`ChainError`]: nothing is acknowledged, and the chain refuses further use, because its memory is ahead of its disk. Open it again: what was
    /// acknowledged before is there, what was not may be.
    pub fn commit(
        &mut self,
        blocks: &[(OrderedBlock<'_>, Vec<u8>)],
    ) -> Result<Vec<Applied>, ChainError> {
        if self.failed {
            return Err(ChainError::Failed);
        }
        let Some((first, _)) = blocks.first() else { return Ok(Vec::new()) };
        let first = first.height;
        self.failed = true;
        let (mut records, mut all) = (Vec::new(), Vec::new());
        let mut snapshots = Vec::new();
        for (block, consensus) in blocks {
            let applied = apply_block(&mut self.state, block);
            if self.shelves.wants(block.height) {
                let bytes = snapshot::pack(&applied.header, &self.state);
                snapshots.push((applied.header, bytes));
            }
            records.push(stored::encode(block, &applied, consensus));
            all.push(applied);
        }
        self.log.append(first, &records)?;
        self.meta.note(&self.log)?;
        for (header, bytes) in snapshots {
            self.shelves.put(&header, &bytes)?;
        }
        self.index.replace_suspect(|height| lookup::entries(&self.log, height))?;
        for ((block, _), applied) in blocks.iter().zip(&all) {
            self.index.add(BlockEntries::of_applied(block.body, applied))?;
        }
        if self.state.height().0 >= self.checkpointed + self.options.checkpoint_blocks {
            self.save_checkpoint();
            self.prune()?;
        }
        self.failed = false;
        Ok(all)
    }

    /// The snapshots that are kept for nodes that are far behind: two at most, in no order.
    pub fn snapshots(&self) -> impl Iterator<Item = &KeptSnapshot> {
        self.shelves.all()
    }

    /// Says that others can be shown that the snapshot of a height is the chain's. From then on blocks below it may be pruned, and those above it stay
    /// as long as it is kept.
    pub fn vouch_for(&mut self, height: Height) {
        self.shelves.vouch_for(height);
    }

    /// A piece of a snapshot with a root; `None` if it is not here any more.
    #[must_use]
    pub fn snapshot_piece(&self, root: Hash, index: usize) -> Option<Vec<u8>> {
        self.shelves.piece(root, index)
    }

    /// Writes a checkpoint and the index's tail now: worth it before a stop that was planned. A failure costs a longer restart, never data; the
    /// store is then left alone.
    pub fn checkpoint(&mut self) {
        if self.failed {
            return;
        }
        self.save_checkpoint();
        // What cannot be written now is derived from the log upon opening.
        self.failed = self.index.flush().is_err();
    }

    fn save_checkpoint(&mut self) {
        self.checkpointed = self.state.height().0;
        let Some(store) = &mut self.store else { return };
        let (head, parts) = checkpoint::pack(&self.state);
        let count = u32::try_from(parts.len()).expect("parts are a MiB each");
        let mut batch = Batch::default();
        batch.changes.push((HEAD.to_vec(), Some(head)));
        for (number, part) in (0u32..).zip(parts) {
            batch.changes.push((part_key(number), Some(part)));
        }
        // Parts of a longer checkpoint before this one.
        for number in count.. {
            let key = part_key(number);
            match store.get(&key) {
                Ok(Some(_)) => batch.changes.push((key, None)),
                Ok(None) | Err(_) => break,
            }
        }
        if store.commit(&batch, self.state.height()).is_err() {
            self.store = None;
        }
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
