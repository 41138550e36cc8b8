//! The trie. See the module above for what it is; here is how.
//!
//! Children are numbers: leaves have the top bit. Both kinds lie in chunks that never move.

use super::lanes::{CPU, Entry, LANES, MEMORY, Query, STEPS, coarse_from, step};
use super::{AskKey, Step};
use gongsuan_types::OrderId;

/// Entries of a leaf, and children of an inner node.
const WIDTH: usize = 16;
/// Digits of a key.
const DIGITS: u32 = 32;
const LEAF: u32 = 1 << 31;
const NONE: u32 = u32::MAX;

/// One order, one cache line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(align(64))]
struct Row {
    key: u128,
    id: u64,
    entry: Entry,
}

const _: () = assert!(size_of::<Row>() == 64);

#[derive(Clone, Debug)]
struct Leaf {
    /// By rising key; `len` of them.
    rows: [Row; WIDTH],
    len: usize,
}

/// What is below a child: the largest of each value, coarse; then the stairs, the largest memory among machines with at least so many
/// cores. The lane of memory itself is not used: the stairs say more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Summary {
    lanes: [u16; SUMMARY_LANES],
    regions: u64,
    capabilities: u64,
}

const SUMMARY_LANES: usize = LANES + STEPS;
const _: () = assert!(SUMMARY_LANES == 16, "a summary is compared sixteen lanes at a time");

/// A child and what is below it, in one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Child {
    summary: Summary,
    node: u32,
}

const _: () = assert!(size_of::<Child>() == 64);

#[derive(Clone, Debug)]
struct Inner {
    children: [Child; WIDTH],
    /// The key of any entry below, with the digits from `depth` on cleared.
    prefix: u128,
    /// The first digit in which the keys below differ.
    depth: u32,
    /// Entries below.
    count: u32,
    /// Which children are there, one bit each.
    there: u32,
}

const NEW_LEAF: Leaf = Leaf { rows: [Row { key: 0, id: 0, entry: Entry::NONE }; WIDTH], len: 0 };

const NEW_INNER: Inner = Inner {
    children: [Child { summary: Summary::NONE, node: NONE }; WIDTH],
    prefix: 0,
    depth: 0,
    count: 0,
    there: 0,
};

/// Nodes in chunks that never move.
#[derive(Clone, Debug)]
struct Nodes<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
}

const CHUNK: usize = 256;

impl<T> Nodes<T> {
    const fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }

    #[inline]
    fn get(&self, at: u32) -> &T {
        &self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }

    #[inline]
    fn get_mut(&mut self, at: u32) -> &mut T {
        &mut self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }

    fn add(&mut self, node: T) -> u32 {
        if let Some(at) = self.free.pop() {
            *self.get_mut(at) = node;
            return at;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let last = self.chunks.len() - 1;
        self.chunks[last].push(node);
        u32::try_from(last * CHUNK + self.chunks[last].len() - 1).expect("fewer nodes than 2³¹")
    }
}

/// `FROM_TOP`: values are distances from the largest one.
#[derive(Clone, Debug)]
pub(super) struct Trie<const FROM_TOP: bool> {
    root: u32,
    inners: Nodes<Inner>,
    leaves: Nodes<Leaf>,
}

impl<const FROM_TOP: bool> Default for Trie<FROM_TOP> {
    fn default() -> Self {
        Self { root: NONE, inners: Nodes::new(), leaves: Nodes::new() }
    }
}

#[inline]
fn digit(key: u128, depth: u32) -> usize {
    // The mask leaves four bits.
    ((key >> (4 * (DIGITS - 1 - depth))) & 15) as usize
}

/// The key with the digits from `depth` on cleared.
fn prefix(key: u128, depth: u32) -> u128 {
    if depth == 0 { 0 } else { key >> (4 * (DIGITS - depth)) << (4 * (DIGITS - depth)) }
}

/// The first digit in which two different keys differ.
fn fork(a: u128, b: u128) -> u32 {
    (a ^ b).leading_zeros() / 4
}

impl Leaf {
    fn rows(&self) -> &[Row] {
        &self.rows[..self.len]
    }

    fn place(&self, key: u128) -> Result<usize, usize> {
        self.rows().binary_search_by_key(&key, |row| row.key)
    }

    fn insert(&mut self, index: usize, row: Row) {
        self.rows.copy_within(index..self.len, index + 1);
        self.rows[index] = row;
        self.len += 1;
    }

    fn remove(&mut self, index: usize) {
        self.rows.copy_within(index + 1..self.len, index);
        self.len -= 1;
    }

    fn push(&mut self, row: Row) {
        self.rows[self.len] = row;
        self.len += 1;
    }

    /// The first entry from `from` to `last` that suits.
    #[inline]
    fn first(&self, query: &Query, from: u128, last: u128) -> Option<(u128, u64)> {
        let mut inside = self.rows().iter().skip_while(|row| row.key < from);
        let found = inside.find(|row| row.key > last || query.suits(&row.entry))?;
        (found.key <= last).then_some((found.key, found.id))
    }

    fn summary<const FROM_TOP: bool>(&self) -> Summary {
        let mut summary = Summary::NONE;
        for row in self.rows() {
            summary.add(&Summary::of::<FROM_TOP>(&row.entry));
        }
        summary
    }
}

impl Summary {
    const NONE: Self = Self { lanes: [0; SUMMARY_LANES], regions: 0, capabilities: 0 };

    #[inline]
    fn of<const FROM_TOP: bool>(entry: &Entry) -> Self {
        let mut lanes = [0; SUMMARY_LANES];
        for (lane, value) in lanes.iter_mut().zip(entry.values) {
            *lane = coarse_from::<FROM_TOP>(value);
        }
        let memory = std::mem::take(&mut lanes[MEMORY]);
        let top = step::<FROM_TOP>(entry.values[CPU]);
        lanes[LANES..=LANES + top].fill(memory);
        Self { lanes, regions: entry.regions, capabilities: entry.capabilities }
    }

    #[inline]
    fn add(&mut self, other: &Self) {
        for (mine, other) in self.lanes.iter_mut().zip(other.lanes) {
            *mine = (*mine).max(other);
        }
        self.regions |= other.regions;
        self.capabilities |= other.capabilities;
    }

    /// Whether an entry that suits may be below.
    #[inline]
    fn may_hold(&self, query: &Query, least: &[u16; SUMMARY_LANES]) -> bool {
        let mut short = 0;
        for (need, have) in least.iter().zip(&self.lanes) {
            short |= need.saturating_sub(*have);
        }
        short == 0 && query.masks_suit(self.regions, self.capabilities)
    }
}

/// What every lane of a summary must have at least.
fn least_of<const FROM_TOP: bool>(query: &Query) -> [u16; SUMMARY_LANES] {
    let mut lanes = [0; SUMMARY_LANES];
    for (lane, value) in lanes.iter_mut().zip(query.values) {
        *lane = coarse_from::<FROM_TOP>(value);
    }
    let memory = std::mem::take(&mut lanes[MEMORY]);
    lanes[LANES + step::<FROM_TOP>(query.values[CPU])] = memory;
    lanes
}

impl Inner {
    /// Of all children together.
    fn summary(&self) -> Summary {
        let mut summary = Summary::NONE;
        for child in &self.children {
            summary.add(&child.summary);
        }
        summary
    }

    fn set_child(&mut self, index: usize, node: u32) {
        self.children[index].node = node;
        if node == NONE {
            self.there &= !(1 << index);
        } else {
            self.there |= 1 << index;
        }
    }

    fn only_child(&self) -> Option<u32> {
        let only = self.there.is_power_of_two();
        only.then(|| self.children[self.there.trailing_zeros() as usize % WIDTH].node)
    }
}

impl<const FROM_TOP: bool> Trie<FROM_TOP> {
    pub(super) fn len(&self) -> usize {
        self.count(self.root)
    }

    pub(super) fn bytes(&self) -> usize {
        CHUNK
            * (self.inners.chunks.len() * size_of::<Inner>()
                + self.leaves.chunks.len() * size_of::<Leaf>())
    }

    fn count(&self, node: u32) -> usize {
        if node == NONE {
            0
        } else if node & LEAF != 0 {
            self.leaves.get(node & !LEAF).len
        } else {
            self.inners.get(node).count as usize
        }
    }

    fn summary(&self, node: u32) -> Summary {
        if node == NONE {
            Summary::NONE
        } else if node & LEAF != 0 {
            self.leaves.get(node & !LEAF).summary::<FROM_TOP>()
        } else {
            self.inners.get(node).summary()
        }
    }

    fn new_leaf(&mut self) -> u32 {
        self.leaves.add(NEW_LEAF) | LEAF
    }

    /// Makes `child` the one that `parent` (or nobody) has at `index`.
    fn set_child(&mut self, parent: Option<(u32, usize)>, child: u32) {
        match parent {
            Some((parent, index)) => self.inners.get_mut(parent).set_child(index, child),
            None => self.root = child,
        }
    }

    pub(super) fn insert(&mut self, key: u128, entry: Entry, id: u64) {
        let new = Row { key, id, entry };
        let summary = Summary::of::<FROM_TOP>(&entry);
        let (mut parent, mut node) = (None, self.root);
        loop {
            if node == NONE {
                let leaf = self.new_leaf();
                self.leaves.get_mut(leaf & !LEAF).push(new);
                self.set_child(parent, leaf);
                return;
            }
            if node & LEAF != 0 {
                let leaf = self.leaves.get_mut(node & !LEAF);
                let Err(at) = leaf.place(key) else {
                    panic!("an order with this key is there");
                };
                if leaf.len < WIDTH {
                    leaf.insert(at, new);
                } else {
                    let inner = self.burst(node, new);
                    self.set_child(parent, inner);
                }
                return;
            }
            let inner = self.inners.get_mut(node);
            if prefix(key, inner.depth) != inner.prefix {
                let above = self.fork_above(node, new);
                self.set_child(parent, above);
                return;
            }
            let index = digit(key, inner.depth);
            inner.count += 1;
            inner.children[index].summary.add(&summary);
            parent = Some((node, index));
            node = inner.children[index].node;
        }
    }

    /// An inner node at the first digit in which the keys of a full leaf and a new entry differ.
    fn burst(&mut self, leaf: u32, new: Row) -> u32 {
        let full = self.leaves.get(leaf & !LEAF).clone();
        self.leaves.free.push(leaf & !LEAF);
        let low = full.rows[0].key.min(new.key);
        let high = full.rows[WIDTH - 1].key.max(new.key);
        let depth = fork(low, high);
        let inner = self.inners.add(Inner { prefix: prefix(low, depth), depth, ..NEW_INNER });
        let mut rows = full.rows.to_vec();
        rows.insert(full.rows.partition_point(|row| row.key < new.key), new);
        for row in rows {
            let index = digit(row.key, depth);
            let mut child = self.inners.get(inner).children[index].node;
            if child == NONE {
                child = self.new_leaf();
                self.inners.get_mut(inner).set_child(index, child);
            }
            self.leaves.get_mut(child & !LEAF).push(row);
            let node = self.inners.get_mut(inner);
            node.count += 1;
            node.children[index].summary.add(&Summary::of::<FROM_TOP>(&row.entry));
        }
        inner
    }

    /// An inner node above another one, where a new entry's key leaves the common prefix.
    fn fork_above(&mut self, node: u32, new: Row) -> u32 {
        let below = self.inners.get(node);
        let (count, old_prefix) = (below.count, below.prefix);
        let depth = fork(old_prefix, new.key);
        let summary = below.summary();
        let leaf = self.new_leaf();
        self.leaves.get_mut(leaf & !LEAF).push(new);
        let prefix = prefix(new.key, depth);
        let mut above = Inner { prefix, depth, count: count + 1, ..NEW_INNER };
        let (old, fresh) = (digit(old_prefix, depth), digit(new.key, depth));
        above.set_child(old, node);
        above.children[old].summary = summary;
        above.set_child(fresh, leaf);
        above.children[fresh].summary = Summary::of::<FROM_TOP>(&new.entry);
        self.inners.add(above)
    }

    pub(super) fn remove(&mut self, key: u128) -> bool {
        let mut path = [(0u32, 0usize); DIGITS as usize];
        let (mut steps, mut node) = (0, self.root);
        while node != NONE && node & LEAF == 0 {
            let inner = self.inners.get(node);
            let index = digit(key, inner.depth);
            path[steps] = (node, index);
            steps += 1;
            node = inner.children[index].node;
        }
        if node == NONE {
            return false;
        }
        let leaf = self.leaves.get_mut(node & !LEAF);
        let Ok(at) = leaf.place(key) else { return false };
        leaf.remove(at);
        if leaf.len == 0 {
            self.leaves.free.push(node & !LEAF);
            node = NONE;
        }
        // Upwards: `node` is the child as it is now; `settled` once its summary is what the parent says.
        let mut settled = false;
        for step in (0..steps).rev() {
            let (parent, index) = path[step];
            if !settled {
                let summary = self.summary(node);
                let child = &mut self.inners.get_mut(parent).children[index];
                settled = child.summary == summary;
                child.summary = summary;
            }
            let inner = self.inners.get_mut(parent);
            inner.count -= 1;
            if inner.children[index].node != node {
                inner.set_child(index, node);
            }
            node = self.reshape(parent);
        }
        self.root = node;
        true
    }

    /// Keeps the shape a function of the set: a node with few entries becomes a leaf, one with a single child goes.
    fn reshape(&mut self, node: u32) -> u32 {
        let inner = self.inners.get(node);
        if inner.count as usize <= WIDTH {
            let leaf = self.new_leaf();
            self.gather(node, leaf);
            return leaf;
        }
        if let Some(child) = inner.only_child() {
            self.inners.free.push(node);
            return child;
        }
        node
    }

    /// Moves all entries below a node into a leaf.
    fn gather(&mut self, node: u32, leaf: u32) {
        if node & LEAF != 0 {
            let source = self.leaves.get(node & !LEAF).clone();
            self.leaves.free.push(node & !LEAF);
            let target = self.leaves.get_mut(leaf & !LEAF);
            source.rows().iter().for_each(|row| target.push(*row));
            return;
        }
        let children = self.inners.get(node).children;
        self.inners.free.push(node);
        for child in children.into_iter().filter(|child| child.node != NONE) {
            self.gather(child.node, leaf);
        }
    }

    /// The first entry from `from` to `last` that suits. Takes one from `work` for every node visited.
    pub(super) fn next(&self, query: &Query, from: u128, last: u128, work: &mut u32) -> Step {
        if self.root == NONE || from > last {
            return Step::Nothing;
        }
        let least = least_of::<FROM_TOP>(query);
        // What is still to be visited at each level: an inner node and a mask of its children.
        let mut stack = [(0u32, 0u32); DIGITS as usize];
        let (mut depth, mut node) = (0, self.root);
        loop {
            if *work == 0 {
                return Step::OutOfWork(AskKey(self.least(node).max(from)));
            }
            *work -= 1;
            if node & LEAF != 0 {
                let found = self.leaves.get(node & !LEAF).first(query, from, last);
                if let Some((key, id)) = found {
                    return Step::Found(AskKey(key), OrderId(id));
                }
            } else {
                stack[depth] = (node, self.inners.get(node).between(from, last));
                depth += 1;
            }
            // The next child that may hold an entry.
            loop {
                if depth == 0 {
                    return Step::Nothing;
                }
                let (parent, mask) = &mut stack[depth - 1];
                if *mask == 0 {
                    depth -= 1;
                    continue;
                }
                let index = mask.trailing_zeros() as usize % WIDTH;
                *mask &= *mask - 1;
                let child = &self.inners.get(*parent).children[index];
                if child.summary.may_hold(query, &least) {
                    node = child.node;
                    break;
                }
            }
        }
    }

    /// No key below a node is smaller.
    fn least(&self, node: u32) -> u128 {
        if node & LEAF != 0 {
            self.leaves.get(node & !LEAF).rows[0].key
        } else {
            self.inners.get(node).prefix
        }
    }

    /// All entries, by rising key.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u128, u64)> + '_ {
        let mut stack = vec![self.root];
        let leaves = std::iter::from_fn(move || {
            while let Some(node) = stack.pop() {
                if node == NONE {
                    continue;
                }
                if node & LEAF != 0 {
                    return Some(self.leaves.get(node & !LEAF));
                }
                stack.extend(self.inners.get(node).children.iter().rev().map(|child| child.node));
            }
            None
        });
        leaves.flat_map(|leaf| leaf.rows().iter().map(|row| (row.key, row.id)))
    }

    pub(super) fn check(&self) {
        if self.root != NONE {
            self.check_node(self.root);
        }
        let keys: Vec<u128> = self.entries().map(|(key, _)| key).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "keys rise");
    }

    fn check_node(&self, node: u32) {
        if node & LEAF != 0 {
            assert!(self.leaves.get(node & !LEAF).len > 0, "no leaf is empty");
            return;
        }
        let inner = self.inners.get(node);
        assert!(inner.count as usize > WIDTH, "few entries are one leaf");
        assert!(inner.only_child().is_none(), "the keys below differ at this digit");
        let mut count = 0;
        for (index, child) in inner.children.iter().enumerate() {
            let Child { summary, node } = *child;
            assert_eq!(summary, self.summary(node), "summaries are exact");
            assert_eq!(inner.there & (1 << index) != 0, node != NONE);
            if node == NONE {
                continue;
            }
            count += self.count(node);
            let key = self.least(node);
            assert_eq!((prefix(key, inner.depth), digit(key, inner.depth)), (inner.prefix, index));
            self.check_node(node);
        }
        assert_eq!(inner.count as usize, count);
    }
}

impl Inner {
    /// The children that may hold keys from `from` to `last`.
    #[inline]
    fn between(&self, from: u128, last: u128) -> u32 {
        let mut mask = self.there;
        let from_prefix = prefix(from, self.depth);
        if from_prefix > self.prefix {
            return 0;
        }
        if from_prefix == self.prefix {
            mask &= 0xffff << digit(from, self.depth);
        }
        let last_prefix = prefix(last, self.depth);
        if last_prefix < self.prefix {
            return 0;
        }
        if last_prefix == self.prefix {
            mask &= 0xffff >> (15 - digit(last, self.depth));
        }
        mask
    }
}
