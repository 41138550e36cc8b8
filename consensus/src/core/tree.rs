//! The blocks above the committed one: a small tree, most of the time a chain of at most a window.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gongsuan_types::{Hash, Height, Term};

use crate::block::{Proposal, Rank};
use crate::certificate::Qc;

/// How far a block's check has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Check {
    /// Not given out.
    New,
    /// Given out to the driver.
    Asked,
    /// Good: the driver said so, this replica made it, or a quorum vouches for it.
    Good,
    /// Refused by the driver.
    Bad,
}

/// A block above the committed one.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) proposal: Proposal,
    pub(super) check: Check,
    pub(super) certificate: Option<Qc>,
}

impl Entry {
    pub(super) fn rank(&self) -> Rank {
        self.proposal.block.header.rank()
    }

    pub(super) fn parent(&self) -> Hash {
        self.proposal.block.header.parent
    }
}

/// The tree. Its root is the committed block, which is not in it.
#[derive(Debug)]
pub(super) struct Tree {
    root: Hash,
    root_height: Height,
    entries: BTreeMap<Hash, Entry>,
}

impl Tree {
    pub(super) fn new(root: Hash, root_height: Height) -> Self {
        Self { root, root_height, entries: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, hash: &Hash) -> Option<&Entry> {
        self.entries.get(hash)
    }

    pub(super) fn get_mut(&mut self, hash: &Hash) -> Option<&mut Entry> {
        self.entries.get_mut(hash)
    }

    pub(super) fn contains(&self, hash: &Hash) -> bool {
        self.entries.contains_key(hash)
    }

    /// The first block of a rank, by hash.
    pub(super) fn at(&self, rank: Rank) -> Option<(&Hash, &Entry)> {
        self.entries.iter().find(|(_, entry)| entry.rank() == rank)
    }

    /// Adds a block above the root. One that is there already stays as it is; one that hangs on another block of the
    /// root's height is not taken.
    pub(super) fn insert(&mut self, hash: Hash, proposal: Proposal, check: Check) {
        assert!(proposal.block.header.height > self.root_height, "a block above the committed one");
        let entry = Entry { proposal, check, certificate: None };
        if !self.is_stray(&entry) {
            self.entries.entry(hash).or_insert(entry);
        }
    }

    pub(super) fn remove(&mut self, hash: &Hash) -> Option<Entry> {
        self.entries.remove(hash)
    }

    /// The hashes from the root (exclusive) to `hash` (inclusive), oldest first. `None` if one is unknown or the branch
    /// does not grow from the root.
    pub(super) fn chain(&self, hash: &Hash) -> Option<Vec<Hash>> {
        let mut chain = VecDeque::new();
        let mut at = *hash;
        while at != self.root {
            let entry = self.entries.get(&at)?;
            chain.push_front(at);
            at = entry.parent();
        }
        Some(chain.into())
    }

    /// The blocks of a term by rising height.
    pub(super) fn of_term(&self, term: Term) -> Vec<Hash> {
        let mut blocks: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.rank().term == term)
            .map(|(hash, entry)| (entry.rank().height, *hash))
            .collect();
        blocks.sort_unstable();
        blocks.into_iter().map(|(_, hash)| hash).collect()
    }

    /// Whether two blocks stand at one height.
    pub(super) fn is_forked(&self) -> bool {
        let heights: BTreeSet<Height> =
            self.entries.values().map(|entry| entry.rank().height).collect();
        heights.len() < self.entries.len()
    }

    /// The parents that are neither the root nor known, with their heights.
    pub(super) fn missing_parents(&self) -> Vec<(Hash, Height)> {
        self.entries
            .values()
            .filter(|entry| entry.parent() != self.root && !self.contains(&entry.parent()))
            .map(|entry| (entry.parent(), Height(entry.rank().height.0 - 1)))
            .filter(|(_, height)| *height > self.root_height)
            .collect()
    }

    /// Makes `hash` the root. Blocks not above it, and those that provably do not descend from it, are forgotten.
    pub(super) fn set_root(&mut self, hash: Hash, height: Height) {
        self.root = hash;
        self.root_height = height;
        self.entries.retain(|_, entry| entry.rank().height > height);
        self.drop_dead();
    }

    /// Forgets the blocks whose branch cannot grow from the root, in one pass by rising height.
    fn drop_dead(&mut self) {
        let mut by_height: Vec<_> =
            self.entries.iter().map(|(hash, entry)| (entry.rank().height, *hash)).collect();
        by_height.sort_unstable();
        let mut dead = BTreeSet::new();
        for (_, hash) in by_height {
            let entry = &self.entries[&hash];
            if self.is_stray(entry) || dead.contains(&entry.parent()) {
                dead.insert(hash);
            }
        }
        self.entries.retain(|hash, _| !dead.contains(hash));
    }

    fn is_stray(&self, entry: &Entry) -> bool {
        let next = entry.rank().height == self.root_height.next();
        next != (entry.parent() == self.root)
    }
}
