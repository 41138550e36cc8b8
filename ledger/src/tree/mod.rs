//! The commitment to the state: a binary Merkle tree over all records, with proofs that a record is there or is not.
//!
//! A record's place is named by the bits of its hashed key, from the top:
//!
//! ```text
//! no record under a prefix      32 zero bytes
//! one record                    H(leaf, key hash, value hash), however long the prefix is
//! more                          H(node, left, right)
//! root                          H(root, count u64 LE, top)
//! ```
//!
//! So the root depends on the set of records alone, proofs have about log₂(count) + 2 siblings, and whoever grinds keys with a long common prefix
//! pays 2ⁿ hashes for n more levels: there is no bucket to stuff.
//!
//! # In memory
//! The upper `depth` levels are arrays, level by level: a parent reads its two children from one cache line, and a block's updates go
//! through each level once, in order, in parallel. Below them are short sorted lists of records. How deep the arrays go is this node's affair; no hash
//! depends on it.

mod node;
mod part;
mod proof;

use gongsuan_types::Hash;
use rayon::prelude::*;

pub use self::node::{Leaf, key_hash, value_hash};
pub use self::part::{Beside, PREFIX_BITS_MAX, PartError, TreePart};
pub use self::proof::StateProof;

use self::node::{Node, goes_right, seal};

/// Records in a list below the arrays, on average, at most.
const FILL: usize = 2;
/// The least depth of the arrays.
const DEPTH_MIN: u32 = 4;
/// And the greatest: 2 Gi lists.
const DEPTH_MAX: u32 = 31;
/// Changes of more than this part of the records are merged at once instead of one by one.
const BULK_SHARE: usize = 4;
/// Nodes of a level that one thread hashes at a time, at least.
const SHARE_MIN: usize = 128;

/// The tree.
#[derive(Clone, Debug)]
pub struct StateTree {
    count: usize,
    depth: u32,
    /// Lists of records, sorted, by the first `depth` bits of their keys.
    lists: Vec<Box<[Leaf]>>,
    /// `levels[0]` holds a node for each list, the last level the top.
    levels: Vec<Level>,
}

/// One level of nodes: hashes, and a bit for each whether it is a single record.
#[derive(Clone, Debug)]
struct Level {
    hashes: Vec<Hash>,
    singles: Vec<u64>,
}

impl Level {
    fn new(width: usize) -> Self {
        Self { hashes: vec![Hash::ZERO; width], singles: vec![0; width.div_ceil(64)] }
    }

    fn get(&self, at: usize) -> Node {
        Node { hash: self.hashes[at], single: self.singles[at / 64] >> (at % 64) & 1 == 1 }
    }

    fn set(&mut self, at: usize, node: Node) {
        self.hashes[at] = node.hash;
        let bit = 1 << (at % 64);
        if node.single {
            self.singles[at / 64] |= bit;
        } else {
            self.singles[at / 64] &= !bit;
        }
    }
}

impl Default for StateTree {
    fn default() -> Self {
        let width = 1 << DEPTH_MIN;
        let levels = (0..=DEPTH_MIN).map(|level| Level::new(width >> level)).collect();
        Self { count: 0, depth: DEPTH_MIN, lists: vec![Box::default(); width], levels }
    }
}

impl StateTree {
    /// Sets and removes records: (key hash, value hash or nothing). The last change of a key counts.
    pub fn update(&mut self, changes: impl IntoIterator<Item = (Hash, Option<Hash>)>) {
        let changes = in_order(changes);
        if changes.len() > self.count / BULK_SHARE {
            self.rebuild(&changes);
            return;
        }
        let mut touched: Vec<usize> = Vec::with_capacity(changes.len());
        for (key, value) in &changes {
            let at = self.list_of(key);
            self.change(at, key, *value);
            if touched.last() != Some(&at) {
                touched.push(at);
            }
        }
        if self.count > FILL << self.depth && self.depth < DEPTH_MAX {
            self.rebuild(&[]);
            return;
        }
        let depth = self.depth as usize;
        let lists = &self.lists;
        hash_level(&mut self.levels[0], &touched, |at| Node::over(&lists[at], depth));
        self.hash_upwards(touched);
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        seal(self.count as u64, self.top().hash)
    }

    /// The number of records.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The proof that the record with this key has the value it has, or that there is none.
    #[must_use]
    pub fn prove(&self, key: Hash) -> StateProof {
        let mut siblings = Vec::new();
        let leaf = self.walk_down(&key, &mut siblings);
        siblings.reverse();
        StateProof { count: self.count as u64, leaf, siblings }
    }

    /// Follows a key from the top, noting siblings, until there is at most one record.
    fn walk_down(&self, key: &Hash, siblings: &mut Vec<Hash>) -> Option<Leaf> {
        let depth = self.depth as usize;
        let list = self.list_of(key);
        for level in 0..depth {
            let (height, at) = (depth - level, list >> (depth - level));
            let node = self.levels[height].get(at);
            if node.single || node == Node::EMPTY {
                return self.only_leaf_under(height, at);
            }
            siblings.push(self.levels[height - 1].get(list >> (height - 1) ^ 1).hash);
        }
        let (mut rest, mut level) = (&*self.lists[list], depth);
        while rest.len() > 1 {
            let middle = rest.partition_point(|(key, _)| !goes_right(key, level));
            let (left, right) = rest.split_at(middle);
            let (taken, other) = if goes_right(key, level) { (right, left) } else { (left, right) };
            level += 1;
            siblings.push(Node::over(other, level).hash);
            rest = taken;
        }
        rest.first().copied()
    }

    /// The record below a node that has one, or nothing.
    fn only_leaf_under(&self, height: usize, at: usize) -> Option<Leaf> {
        let lists = &self.lists[at << height..(at + 1) << height];
        lists.iter().find_map(|list| list.first().copied())
    }

    fn top(&self) -> Node {
        self.levels[self.depth as usize].get(0)
    }

    /// The list of a key: its first `depth` bits.
    fn list_of(&self, key: &Hash) -> usize {
        let [a, b, c, d, ..] = key.0;
        (u32::from_be_bytes([a, b, c, d]) >> (32 - self.depth)) as usize
    }

    fn change(&mut self, at: usize, key: &Hash, value: Option<Hash>) {
        let list = &mut self.lists[at];
        match (list.binary_search_by(|(other, _)| other.cmp(key)), value) {
            (Ok(place), Some(value)) => list[place].1 = value,
            (Ok(place), None) => {
                let mut leaves = std::mem::take(list).into_vec();
                leaves.remove(place);
                *list = leaves.into_boxed_slice();
                self.count -= 1;
            }
            (Err(place), Some(value)) => {
                let mut leaves = Vec::with_capacity(list.len() + 1);
                leaves.extend_from_slice(&list[..place]);
                leaves.push((*key, value));
                leaves.extend_from_slice(&list[place..]);
                *list = leaves.into_boxed_slice();
                self.count += 1;
            }
            (Err(_), None) => {}
        }
    }

    /// Merges many changes in, makes the arrays as deep as the number of records wants, and hashes everything.
    fn rebuild(&mut self, changes: &[(Hash, Option<Hash>)]) {
        let lists = std::mem::take(&mut self.lists);
        let leaves = merge(lists.iter().flat_map(|list| list.iter().copied()), changes);
        drop(lists);
        self.count = leaves.len();
        while self.count > FILL << self.depth && self.depth < DEPTH_MAX {
            self.depth += 1;
        }
        let width = 1_usize << self.depth;
        let mut rest = leaves.as_slice();
        self.lists = (0..width)
            .map(|at| {
                let end = rest.iter().take_while(|(key, _)| self.list_of(key) == at).count();
                let (list, after) = rest.split_at(end);
                rest = after;
                list.into()
            })
            .collect();
        self.levels = (0..=self.depth).map(|level| Level::new(width >> level)).collect();
        let depth = self.depth as usize;
        let all: Vec<usize> = (0..width).collect();
        let lists = &self.lists;
        hash_level(&mut self.levels[0], &all, |at| Node::over(&lists[at], depth));
        self.hash_upwards(all);
    }

    /// Hashes the nodes above touched lists, level by level.
    fn hash_upwards(&mut self, mut touched: Vec<usize>) {
        for level in 1..self.levels.len() {
            for at in &mut touched {
                *at /= 2;
            }
            touched.dedup();
            let (below, above) = self.levels.split_at_mut(level);
            let below = &below[level - 1];
            let join = |at: usize| Node::join(below.get(2 * at), below.get(2 * at + 1));
            hash_level(&mut above[0], &touched, join);
        }
    }
}

/// Changes in rising order of their keys, the last one of each.
fn in_order(changes: impl IntoIterator<Item = (Hash, Option<Hash>)>) -> Vec<(Hash, Option<Hash>)> {
    let mut changes: Vec<_> = changes.into_iter().collect();
    // Stable, and backwards: of equal keys the last change comes first and stays.
    changes.reverse();
    changes.sort_by_key(|(key, _)| *key);
    changes.dedup_by(|(later, _), (earlier, _)| later == earlier);
    changes
}

/// Records in order with changes in order.
fn merge(leaves: impl Iterator<Item = Leaf>, changes: &[(Hash, Option<Hash>)]) -> Vec<Leaf> {
    let mut merged = Vec::with_capacity(changes.len());
    let mut changes = changes.iter().peekable();
    let set = |merged: &mut Vec<Leaf>, key: Hash, value: Option<Hash>| {
        merged.extend(value.map(|value| (key, value)));
    };
    for leaf in leaves {
        while let Some((key, value)) = changes.next_if(|(key, _)| *key < leaf.0) {
            set(&mut merged, *key, *value);
        }
        match changes.next_if(|(key, _)| *key == leaf.0) {
            Some((key, value)) => set(&mut merged, *key, *value),
            None => merged.push(leaf),
        }
    }
    changes.for_each(|(key, value)| set(&mut merged, *key, *value));
    merged
}

/// Computes nodes of a level, in parallel, and then sets them.
fn hash_level(level: &mut Level, touched: &[usize], node: impl Fn(usize) -> Node + Sync) {
    if touched.len() < 2 * SHARE_MIN {
        for at in touched {
            level.set(*at, node(*at));
        }
        return;
    }
    let nodes: Vec<Node> = touched.par_iter().with_min_len(SHARE_MIN).map(|at| node(*at)).collect();
    for (at, node) in touched.iter().zip(nodes) {
        level.set(*at, node);
    }
}
