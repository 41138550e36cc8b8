//! The trie. See the module above for what it is; here is how.
//!
//! Children are numbers: leaves have the top bit. Both kinds lie in chunks that never move.

use super::lanes::{Entry, Query};
use super::leaves::{Leaves, Row, WIDTH};
use super::summary::{Needs, Summary};
use super::{AskKey, Step};
use gongsuan_types::OrderId;

/// Digits of a key.
const DIGITS: u32 = 32;
const LEAF: u32 = 1 << 31;
const NONE: u32 = u32::MAX;

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

const CHUNK: usize = 32;

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
    leaves: Leaves,
}

impl<const FROM_TOP: bool> Default for Trie<FROM_TOP> {
    fn default() -> Self {
        Self { root: NONE, inners: Nodes::new(), leaves: Leaves::new() }
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
        CHUNK * self.inners.chunks.len() * size_of::<Inner>() + self.leaves.bytes()
    }

    fn count(&self, node: u32) -> usize {
        if node == NONE {
            0
        } else if node & LEAF != 0 {
            self.leaves.rows(node & !LEAF).len()
        } else {
            self.inners.get(node).count as usize
        }
    }

    fn summary(&self, node: u32) -> Summary {
        if node == NONE {
            Summary::NONE
        } else if node & LEAF != 0 {
            Summary::of_all::<FROM_TOP>(self.leaves.rows(node & !LEAF))
        } else {
            self.inners.get(node).summary()
        }
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
                let leaf = self.leaves.add(&[new]) | LEAF;
                self.set_child(parent, leaf);
                return;
            }
            if node & LEAF != 0 {
                match self.leaves.insert(node & !LEAF, new) {
                    Some(leaf) if leaf | LEAF == node => {}
                    Some(leaf) => self.set_child(parent, leaf | LEAF),
                    None => {
                        let inner = self.burst(node, new);
                        self.set_child(parent, inner);
                    }
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
        let mut rows = self.leaves.rows(leaf & !LEAF).to_vec();
        self.leaves.remove(leaf & !LEAF);
        rows.insert(rows.partition_point(|row| row.key < new.key), new);
        let (low, high) = (rows[0].key, rows[rows.len() - 1].key);
        let depth = fork(low, high);
        let count = u32::try_from(rows.len()).expect("seventeen");
        let mut inner = Inner { prefix: prefix(low, depth), depth, count, ..NEW_INNER };
        for rows in rows.chunk_by(|a, b| digit(a.key, depth) == digit(b.key, depth)) {
            let index = digit(rows[0].key, depth);
            inner.set_child(index, self.leaves.add(rows) | LEAF);
            inner.children[index].summary = Summary::of_all::<FROM_TOP>(rows);
        }
        self.inners.add(inner)
    }

    /// An inner node above another one, where a new entry's key leaves the common prefix.
    fn fork_above(&mut self, node: u32, new: Row) -> u32 {
        let below = self.inners.get(node);
        let (count, old_prefix) = (below.count, below.prefix);
        let depth = fork(old_prefix, new.key);
        let summary = below.summary();
        let leaf = self.leaves.add(&[new]) | LEAF;
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
        let Some((left, leaf)) = self.leaves.take(node & !LEAF, key) else { return false };
        node = if left == 0 { NONE } else { leaf | LEAF };
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
            let mut rows = Vec::with_capacity(WIDTH);
            self.gather(node, &mut rows);
            return self.leaves.add(&rows) | LEAF;
        }
        if let Some(child) = inner.only_child() {
            self.inners.free.push(node);
            return child;
        }
        node
    }

    /// Takes all entries below a node, which ends with all nodes below it.
    fn gather(&mut self, node: u32, rows: &mut Vec<Row>) {
        if node & LEAF != 0 {
            rows.extend_from_slice(self.leaves.rows(node & !LEAF));
            self.leaves.remove(node & !LEAF);
            return;
        }
        let children = self.inners.get(node).children;
        self.inners.free.push(node);
        for child in children.into_iter().filter(|child| child.node != NONE) {
            self.gather(child.node, rows);
        }
    }

    /// The first entry from `from` to `last` that suits. Takes one from `work` for every node visited.
    pub(super) fn next(&self, query: &Query, from: u128, last: u128, work: &mut u32) -> Step {
        if self.root == NONE || from > last {
            return Step::Nothing;
        }
        let needs = Needs::of::<FROM_TOP>(query);
        // What is still to be visited at each level: an inner node and a mask of its children.
        let mut stack = [(0u32, 0u32); DIGITS as usize];
        let (mut depth, mut node) = (0, self.root);
        loop {
            if *work == 0 {
                return Step::OutOfWork(AskKey(self.least(node).max(from)));
            }
            *work -= 1;
            if node & LEAF != 0 {
                let suits = |entry: &Entry| query.suits(entry);
                if let Some(row) = self.leaves.first(node & !LEAF, (from, last), suits) {
                    return Step::Found(AskKey(row.key), OrderId(row.id));
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
                if needs.may_be_in(&child.summary) {
                    node = child.node;
                    break;
                }
            }
        }
    }

    /// No key below a node is smaller.
    fn least(&self, node: u32) -> u128 {
        if node & LEAF != 0 {
            self.leaves.rows(node & !LEAF)[0].key
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
                    return Some(self.leaves.rows(node & !LEAF));
                }
                stack.extend(self.inners.get(node).children.iter().rev().map(|child| child.node));
            }
            None
        });
        leaves.flat_map(|rows| rows.iter().map(|row| (row.key, row.id)))
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
            assert!(!self.leaves.rows(node & !LEAF).is_empty(), "no leaf is empty");
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
