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

#[derive(Clone, Debug)]
struct Leaf {
    len: usize,
    /// Rising.
    keys: [u128; WIDTH],
    values: [[u32; WIDTH]; LANES],
    regions: [u64; WIDTH],
    capabilities: [u64; WIDTH],
    ids: [u64; WIDTH],
}

#[derive(Clone, Debug)]
struct Inner {
    /// The key of any entry below, with the digits from `depth` on cleared.
    prefix: u128,
    /// The first digit in which the keys below differ.
    depth: u32,
    /// Entries below.
    count: u32,
    children: [u32; WIDTH],
    /// The largest of each value below a child, coarse. The lane of memory is not used: the staircase says more.
    largest: [[u16; WIDTH]; LANES],
    /// The largest memory below a child among machines with at least so many cores.
    stairs: [[u16; WIDTH]; STEPS],
    regions: [u64; WIDTH],
    capabilities: [u64; WIDTH],
}

const NEW_LEAF: Leaf = Leaf {
    len: 0,
    keys: [0; WIDTH],
    values: [[0; WIDTH]; LANES],
    regions: [0; WIDTH],
    capabilities: [0; WIDTH],
    ids: [0; WIDTH],
};

const NEW_INNER: Inner = Inner {
    prefix: 0,
    depth: 0,
    count: 0,
    children: [NONE; WIDTH],
    largest: [[0; WIDTH]; LANES],
    stairs: [[0; WIDTH]; STEPS],
    regions: [0; WIDTH],
    capabilities: [0; WIDTH],
};

/// What a child's entry in its parent says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Summary {
    largest: [u16; LANES],
    stairs: [u16; STEPS],
    regions: u64,
    capabilities: u64,
}

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

/// The positions whose value is at least `least`.
#[inline]
fn at_least<T: Copy + PartialOrd>(values: &[T; WIDTH], least: T) -> u16 {
    let mut mask = 0;
    for (index, value) in values.iter().enumerate() {
        mask |= u16::from(*value >= least) << index;
    }
    mask
}

impl Leaf {
    fn entry(&self, index: usize) -> Entry {
        Entry {
            values: std::array::from_fn(|lane| self.values[lane][index]),
            regions: self.regions[index],
            capabilities: self.capabilities[index],
        }
    }

    fn set(&mut self, index: usize, (key, entry, id): (u128, Entry, u64)) {
        self.keys[index] = key;
        self.ids[index] = id;
        for lane in 0..LANES {
            self.values[lane][index] = entry.values[lane];
        }
        self.regions[index] = entry.regions;
        self.capabilities[index] = entry.capabilities;
    }

    fn insert(&mut self, index: usize, new: (u128, Entry, u64)) {
        let len = self.len;
        self.keys.copy_within(index..len, index + 1);
        self.ids.copy_within(index..len, index + 1);
        self.regions.copy_within(index..len, index + 1);
        self.capabilities.copy_within(index..len, index + 1);
        for lane in &mut self.values {
            lane.copy_within(index..len, index + 1);
        }
        self.len += 1;
        self.set(index, new);
    }

    fn remove(&mut self, index: usize) {
        let len = self.len;
        self.keys.copy_within(index + 1..len, index);
        self.ids.copy_within(index + 1..len, index);
        self.regions.copy_within(index + 1..len, index);
        self.capabilities.copy_within(index + 1..len, index);
        for lane in &mut self.values {
            lane.copy_within(index + 1..len, index);
        }
        self.len -= 1;
        self.set(self.len, (0, Entry::NONE, 0));
    }

    fn push(&mut self, new: (u128, Entry, u64)) {
        let len = self.len;
        self.insert(len, new);
    }

    fn keys(&self) -> &[u128] {
        &self.keys[..self.len]
    }

    /// The first entry from `from` to `last` that suits.
    #[inline]
    fn first(&self, query: &Query, from: u128, last: u128) -> Option<(u128, u64)> {
        let mut mask = (1u32 << self.len) - 1;
        for (lane, least) in self.values.iter().zip(query.values) {
            if least > 0 {
                mask &= u32::from(at_least(lane, least));
            }
        }
        while mask != 0 {
            let index = mask.trailing_zeros() as usize % WIDTH;
            mask &= mask - 1;
            let key = self.keys[index];
            if key > last {
                return None;
            }
            let suits = query.masks_suit(self.regions[index], self.capabilities[index]);
            if key >= from && suits {
                return Some((key, self.ids[index]));
            }
        }
        None
    }

    fn summary<const FROM_TOP: bool>(&self) -> Summary {
        let mut summary = Summary::NONE;
        for index in 0..self.len {
            summary.add(&Summary::of::<FROM_TOP>(&self.entry(index)));
        }
        summary
    }
}

impl Summary {
    const NONE: Self =
        Self { largest: [0; LANES], stairs: [0; STEPS], regions: 0, capabilities: 0 };

    #[inline]
    fn of<const FROM_TOP: bool>(entry: &Entry) -> Self {
        let largest: [u16; LANES] = entry.values.map(coarse_from::<FROM_TOP>);
        let top = step::<FROM_TOP>(entry.values[CPU]);
        let stairs = std::array::from_fn(|at| if at <= top { largest[MEMORY] } else { 0 });
        Self { largest, stairs, regions: entry.regions, capabilities: entry.capabilities }
    }

    fn add(&mut self, other: &Self) {
        for (mine, other) in self.largest.iter_mut().zip(other.largest) {
            *mine = (*mine).max(other);
        }
        for (mine, other) in self.stairs.iter_mut().zip(other.stairs) {
            *mine = (*mine).max(other);
        }
        self.regions |= other.regions;
        self.capabilities |= other.capabilities;
    }
}

/// A query as inner nodes compare it.
struct Coarse {
    values: [u16; LANES],
    step: usize,
}

impl Inner {
    fn summary_of(&self, child: usize) -> Summary {
        Summary {
            largest: std::array::from_fn(|lane| self.largest[lane][child]),
            stairs: std::array::from_fn(|at| self.stairs[at][child]),
            regions: self.regions[child],
            capabilities: self.capabilities[child],
        }
    }

    fn set_summary(&mut self, child: usize, summary: &Summary) {
        for lane in 0..LANES {
            self.largest[lane][child] = summary.largest[lane];
        }
        for at in 0..STEPS {
            self.stairs[at][child] = summary.stairs[at];
        }
        self.regions[child] = summary.regions;
        self.capabilities[child] = summary.capabilities;
    }

    #[inline]
    fn add_summary(&mut self, child: usize, summary: &Summary) {
        for lane in 0..LANES {
            let value = &mut self.largest[lane][child];
            *value = (*value).max(summary.largest[lane]);
        }
        for at in 0..STEPS {
            let value = &mut self.stairs[at][child];
            *value = (*value).max(summary.stairs[at]);
        }
        self.regions[child] |= summary.regions;
        self.capabilities[child] |= summary.capabilities;
    }

    /// Of all children together.
    fn summary(&self) -> Summary {
        let mut regions = 0;
        let mut capabilities = 0;
        for child in 0..WIDTH {
            regions |= self.regions[child];
            capabilities |= self.capabilities[child];
        }
        let most = |values: &[u16; WIDTH]| values.iter().copied().max().unwrap_or(0);
        Summary {
            largest: std::array::from_fn(|lane| most(&self.largest[lane])),
            stairs: std::array::from_fn(|at| most(&self.stairs[at])),
            regions,
            capabilities,
        }
    }

    /// The children that may hold an entry that suits.
    #[inline]
    fn candidates(&self, coarse: &Coarse) -> u32 {
        let mut mask = at_least(&self.stairs[coarse.step], coarse.values[MEMORY]);
        for lane in 0..LANES {
            if lane != MEMORY && coarse.values[lane] > 0 {
                mask &= at_least(&self.largest[lane], coarse.values[lane]);
            }
        }
        u32::from(mask)
    }

    fn only_child(&self) -> Option<u32> {
        let mut there = self.children.iter().filter(|child| **child != NONE);
        let first = there.next()?;
        there.next().is_none().then_some(*first)
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
        if node & LEAF != 0 {
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
            Some((parent, index)) => self.inners.get_mut(parent).children[index] = child,
            None => self.root = child,
        }
    }

    pub(super) fn insert(&mut self, key: u128, entry: Entry, id: u64) {
        let new = (key, entry, id);
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
                let at = match leaf.keys().binary_search(&key) {
                    Ok(_) => panic!("an order with this key is there"),
                    Err(at) => at,
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
            inner.add_summary(index, &summary);
            parent = Some((node, index));
            node = inner.children[index];
        }
    }

    /// An inner node at the first digit in which the keys of a full leaf and a new entry differ.
    fn burst(&mut self, leaf: u32, new: (u128, Entry, u64)) -> u32 {
        let full = self.leaves.get(leaf & !LEAF).clone();
        self.leaves.free.push(leaf & !LEAF);
        let low = full.keys[0].min(new.0);
        let high = full.keys[WIDTH - 1].max(new.0);
        let depth = fork(low, high);
        let inner = self.inners.add(Inner { prefix: prefix(low, depth), depth, ..NEW_INNER });
        let mut entries: Vec<(u128, Entry, u64)> = (0..WIDTH)
            .map(|index| (full.keys[index], full.entry(index), full.ids[index]))
            .collect();
        let at = full.keys.partition_point(|key| *key < new.0);
        entries.insert(at, new);
        for entry in entries {
            let index = digit(entry.0, depth);
            let mut child = self.inners.get(inner).children[index];
            if child == NONE {
                child = self.new_leaf();
                self.inners.get_mut(inner).children[index] = child;
            }
            self.leaves.get_mut(child & !LEAF).push(entry);
            let node = self.inners.get_mut(inner);
            node.count += 1;
            node.add_summary(index, &Summary::of::<FROM_TOP>(&entry.1));
        }
        inner
    }

    /// An inner node above another one, where a new entry's key leaves the common prefix.
    fn fork_above(&mut self, node: u32, new: (u128, Entry, u64)) -> u32 {
        let below = self.inners.get(node);
        let (count, old_prefix) = (below.count, below.prefix);
        let depth = fork(old_prefix, new.0);
        let summary = below.summary();
        let leaf = self.new_leaf();
        self.leaves.get_mut(leaf & !LEAF).push(new);
        let mut above =
            Inner { prefix: prefix(new.0, depth), depth, count: count + 1, ..NEW_INNER };
        let (old, fresh) = (digit(old_prefix, depth), digit(new.0, depth));
        above.children[old] = node;
        above.set_summary(old, &summary);
        above.children[fresh] = leaf;
        above.set_summary(fresh, &Summary::of::<FROM_TOP>(&new.1));
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
            node = inner.children[index];
        }
        if node == NONE {
            return false;
        }
        let leaf = self.leaves.get_mut(node & !LEAF);
        let Ok(at) = leaf.keys().binary_search(&key) else { return false };
        leaf.remove(at);
        if leaf.len == 0 {
            self.leaves.free.push(node & !LEAF);
            node = NONE;
        }
        // Upwards: `node` is the child as it is now; `settled` once its summary is what the parent says.
        let mut settled = false;
        for step in (0..steps).rev() {
            let (parent, index) = path[step];
            if self.inners.get(parent).children[index] != node {
                self.inners.get_mut(parent).children[index] = node;
            }
            if !settled {
                let summary = if node == NONE { Summary::NONE } else { self.summary(node) };
                let inner = self.inners.get_mut(parent);
                settled = inner.summary_of(index) == summary;
                inner.set_summary(index, &summary);
            }
            self.inners.get_mut(parent).count -= 1;
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
            for index in 0..source.len {
                target.push((source.keys[index], source.entry(index), source.ids[index]));
            }
            return;
        }
        let children = self.inners.get(node).children;
        self.inners.free.push(node);
        for child in children.into_iter().filter(|child| *child != NONE) {
            self.gather(child, leaf);
        }
    }

    /// The first entry from `from` to `last` that suits. Takes one from `work` for every node visited.
    pub(super) fn next(&self, query: &Query, from: u128, last: u128, work: &mut u32) -> Step {
        if self.root == NONE || from > last {
            return Step::Nothing;
        }
        let coarse = Coarse {
            values: query.values.map(coarse_from::<FROM_TOP>),
            step: step::<FROM_TOP>(query.values[CPU]),
        };
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
                let inner = self.inners.get(node);
                let mask = inner.candidates(&coarse) & inner.between(from, last);
                stack[depth] = (node, mask);
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
                let child = mask.trailing_zeros() as usize % WIDTH;
                *mask &= *mask - 1;
                let inner = self.inners.get(*parent);
                let there = inner.children[child];
                if there != NONE
                    && query.masks_suit(inner.regions[child], inner.capabilities[child])
                {
                    node = there;
                    break;
                }
            }
        }
    }

    /// No key below a node is smaller.
    fn least(&self, node: u32) -> u128 {
        if node & LEAF != 0 {
            self.leaves.get(node & !LEAF).keys[0]
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
                stack.extend(self.inners.get(node).children.iter().rev());
            }
            None
        });
        leaves.flat_map(|leaf| leaf.keys().iter().copied().zip(leaf.ids))
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
            if *child == NONE {
                assert_eq!(inner.summary_of(index), Summary::NONE);
                continue;
            }
            count += self.count(*child);
            assert_eq!(inner.summary_of(index), self.summary(*child), "summaries are exact");
            let key = self.least(*child);
            assert_eq!((prefix(key, inner.depth), digit(key, inner.depth)), (inner.prefix, index));
            self.check_node(*child);
        }
        assert_eq!(inner.count as usize, count);
    }
}

impl Inner {
    /// The children that may hold keys from `from` to `last`.
    #[inline]
    fn between(&self, from: u128, last: u128) -> u32 {
        let mut mask = 0xffff;
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
