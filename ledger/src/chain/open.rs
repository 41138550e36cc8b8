//! Opening: which state to begin with, and what to do again.

use std::path::Path;

use gongsuan_types::Height;

use super::past::{Base, Headers};
use super::retention::{META, MetaFile, Retention};
use super::rooms::Rooms;
use super::shelves::Shelves;
use super::{Chain, ChainError, Options, StoredBlock, lookup};
use crate::checkpoint::{CHECKPOINT_VERSION, Head, Unusable, unpack};
use crate::genesis::Genesis;
use crate::index::{BlockEntries, Index};
use crate::lock::FolderLock;
use crate::log::BlockLog;
use crate::snapshot;
use crate::state::State;
use crate::store::{HEAD, SledStore, Store, StoreError};
use crate::transition::{OrderedBlock, apply_block};

/// Of the rooms, those that are always there.
pub(super) const BLOCKS: &str = "blocks";
pub(super) const INDEX: &str = "index";

/// A state that may be the one to begin with.
struct Candidate {
    what: &'static str,
    head: Head,
    parts: Vec<Vec<u8>>,
}

impl Chain {
    /// Opens or creates a chain in a folder, as its record says what to keep.
    ///
    /// # Errors
    /// [`ChainError`]. Nothing that was acknowledged is changed.
    pub fn open(dir: &Path, genesis: &Genesis) -> Result<Self, ChainError> {
        Self::open_with(dir, genesis, Options::default())
    }

    /// Opens or creates a chain in a folder.
    ///
    /// # Errors
    /// [`ChainError`]. Nothing that was acknowledged is changed.
    pub fn open_with(dir: &Path, genesis: &Genesis, options: Options) -> Result<Self, ChainError> {
        let lock = FolderLock::take(dir)?;
        let path = dir.join("store");
        let (store, mut rebuilt) = match SledStore::open(&path) {
            Ok(store) => (Some(store), None),
            Err(StoreError::Newer { path, got, known }) => {
                return Err(ChainError::NewerStore { path, got, known });
            }
            Err(error) => (reset_store(&path), Some(error.to_string())),
        };
        let store = store.map(|store| Box::new(store) as Box<dyn Store>);
        let mut chain = Self::open_over(&dir.to_path_buf(), store, genesis, options)?;
        if chain.store.is_none() {
            // What is in it is not a checkpoint of this chain.
            chain.store = reset_store(&path).map(|store| Box::new(store) as Box<dyn Store>);
        }
        chain.rebuilt = rebuilt.take().or(chain.rebuilt);
        chain.folder_lock = Some(lock);
        Ok(chain)
    }

    /// Opens or creates a chain whose rooms and store are given. Without a store, everything is executed again, from the base if there is one. A store
    /// whose checkpoint is unusable is not used.
    ///
    /// # Errors
    /// [`ChainError`]. Nothing that was acknowledged is changed.
    pub fn open_over(
        rooms: &dyn Rooms,
        mut store: Option<Box<dyn Store>>,
        genesis: &Genesis,
        options: Options,
    ) -> Result<Self, ChainError> {
        let fresh = State::new(genesis)?;
        let chain_id = fresh.chain_id();
        let room = |room: &'static str| {
            rooms.open(room).map_err(|source| ChainError::Room { room, source })
        };
        super::install::finish(rooms, chain_id, options)?;
        let shelves = Shelves::open(rooms, options.snapshot_blocks)?;
        let mut meta = MetaFile::open(room(META)?, chain_id)?;
        let blocks = room(BLOCKS)?;
        meta.check_log(blocks.as_ref())?;
        let log = BlockLog::open_with(blocks, options.segment_bytes)?;
        let first = log.first();
        let retention = meta.settle(options.retention, &log)?;
        let (mut past, mut broken_base) = (None, None);
        if retention != Retention::Archive || first > Height(1) {
            let headers = Headers::open(rooms)?;
            match Base::open(rooms)? {
                Ok(base) => past = Some((headers, base)),
                Err(reason) => broken_base = Some((headers, reason)),
            }
        }
        let headers = past.as_ref().map(|(headers, _)| headers);
        let headers = headers.or(broken_base.as_ref().map(|(headers, _)| headers));
        if let Some(headers) = headers.filter(|headers| headers.next() < first) {
            let reason = format!("headers/ ends before block {}", headers.next());
            return Err(ChainError::NoState { first, reason });
        }
        let mut rebuilt = None;
        let (mut candidates, mut reasons) = (Vec::new(), Vec::new());
        if let Some(store) = &store {
            match in_store(store.as_ref()) {
                Ok(found) => candidates.extend(found),
                Err(unusable) => rebuilt = Some(refuse_newer("the store's checkpoint", unusable)?),
            }
        }
        if let Some((_, base)) = &past {
            match base.read() {
                Ok(found) => candidates.extend(found.map(|(head, parts)| Candidate {
                    what: "the base",
                    head,
                    parts,
                })),
                Err(unusable) => reasons.push(refuse_newer("the base", unusable)?),
            }
        }
        reasons.extend(broken_base.as_ref().map(|(_, reason)| reason.clone()));
        if let Some(ahead) = candidates.iter().find(|one| one.head.height > log.head()) {
            let (by, known) = (ahead.what, ahead.head.height);
            return Err(ChainError::LogLost { head: log.head(), known, by });
        }
        candidates.sort_by_key(|candidate| candidate.head.height);
        let mut state = None;
        while state.is_none()
            && let Some(candidate) = candidates.pop()
        {
            match restore(&candidate, &log, headers, genesis) {
                Ok(found) => state = Some(found),
                Err(unusable) => {
                    let reason = refuse_newer(candidate.what, unusable)?;
                    if candidate.what == "the base" {
                        reasons.push(reason);
                    } else {
                        rebuilt = Some(reason);
                    }
                }
            }
        }
        let state = match state {
            Some(state) => state,
            None if first == Height(1) => fresh,
            None => {
                reasons.extend(rebuilt);
                let none = || "there is none".to_owned();
                let reason = if reasons.is_empty() { none() } else { reasons.join("; ") };
                return Err(ChainError::NoState { first, reason });
            }
        };
        if rebuilt.is_some() {
            store = None;
        }
        if let Some((headers, reason)) = broken_base {
            past = Some((headers, Base::recreate(rooms)?));
            rebuilt = rebuilt.or(Some(reason));
        }
        let index = Index::open(room(INDEX)?, first, options.tail_txs)?;
        let checkpointed = state.height().0;
        let mut chain = Self {
            state,
            log,
            index,
            store,
            past,
            shelves,
            meta,
            retention,
            options,
            checkpointed,
            rebuilt,
            failed: false,
            folder_lock: None,
        };
        chain.catch_up()?;
        Ok(chain)
    }

    /// Executes and indexes what stands in the log and is not known yet.
    fn catch_up(&mut self) -> Result<(), ChainError> {
        let (first, head) = (self.log.first(), self.log.head());
        if self.index.next() > head.next() {
            let known = Height(self.index.next().0 - 1);
            return Err(ChainError::LogLost { head, known, by: "the index" });
        }
        if self.index.next() < first {
            self.index.reset(first)?;
        }
        while self.index.next() <= self.state.height() {
            let Some(block) = lookup::entries(&self.log, self.index.next())? else { break };
            self.index.add(block)?;
        }
        let mut next = self.state.height().next();
        while let Some(stored) = self.stored(next)? {
            let applied = apply_block(&mut self.state, &OrderedBlock::of(&stored));
            if applied.header != stored.header {
                let (expected, got) = (stored.header.hash(), applied.header.hash());
                return Err(ChainError::Diverged { height: next, expected, got });
            }
            // One that power took before it was written.
            if self.shelves.wants(next) {
                let bytes = snapshot::pack(&applied.header, &self.state);
                self.shelves.put(&applied.header, &bytes)?;
            }
            if self.index.next() == next {
                self.index.add(BlockEntries::of(&stored))?;
            }
            next = next.next();
        }
        // A base that was lost, or never written because power went first.
        if let Some((_, base)) = &mut self.past
            && first > Height(1)
            && !matches!(base.read(), Ok(Some((head, _))) if head.height.next() >= first)
        {
            let (record, parts) = crate::checkpoint::pack(&self.state);
            base.write(record, parts)?;
        }
        Ok(())
    }
}

/// What a newer program wrote is refused; what is damaged is passed over, with a reason.
fn refuse_newer(what: &str, unusable: Unusable) -> Result<String, ChainError> {
    match unusable {
        Unusable::Newer(got) => {
            Err(ChainError::NewerVersion { what: what.to_owned(), got, known: CHECKPOINT_VERSION })
        }
        Unusable::Bad(reason) => Ok(format!("{what}: {reason}")),
    }
}

fn in_store(store: &dyn Store) -> Result<Option<Candidate>, Unusable> {
    let bad = |error: StoreError| Unusable::Bad(error.to_string());
    let mut pairs = store.scan(&[]).map_err(bad)?;
    let Some(at) = pairs.iter().position(|(key, _)| key.as_slice() == HEAD) else {
        let lost = store.applied().map_err(bad)? > Height(0);
        let reason = || Unusable::Bad("it has no head".to_owned());
        return if lost { Err(reason()) } else { Ok(None) };
    };
    let head = Head::decode(&pairs.remove(at).1)?;
    let parts = pairs.into_iter().map(|(_, part)| part).collect();
    Ok(Some(Candidate { what: "the store's checkpoint", head, parts }))
}

fn restore(
    candidate: &Candidate,
    log: &BlockLog,
    headers: Option<&Headers>,
    genesis: &Genesis,
) -> Result<State, Unusable> {
    let height = candidate.head.height;
    let bad = |reason: String| Unusable::Bad(reason);
    if height.next() < log.first() {
        return Err(bad(format!("it is of block {height}, and blocks after that are gone")));
    }
    let header = if height >= log.first() {
        let bytes = log.read(height).map_err(|error| bad(error.to_string()))?;
        let bytes = bytes.ok_or_else(|| bad("its block is not in the log".to_owned()))?;
        StoredBlock::decode(height, &bytes).map(|stored| stored.header)
    } else {
        let sealed = headers.map_or(Ok(None), |headers| headers.read(height));
        let sealed = sealed.map_err(|error| bad(error.to_string()))?;
        Ok(sealed.ok_or_else(|| bad("its header is not here".to_owned()))?.header)
    };
    let header = header.map_err(|error| bad(error.to_string()))?;
    unpack(&candidate.head, &candidate.parts, &header, genesis)
}

/// Throws the store away. Without one the chain works, with a longer restart.
fn reset_store(path: &Path) -> Option<SledStore> {
    std::fs::remove_dir_all(path).ok()?;
    SledStore::open(path).ok()
}
