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
//! through each level once, in order, in subtrees beside each other. Below them are short sorted lists of records. How deep the arrays go is this
//! node's affair; no hash depends on it, so making them deeper hashes one new level and nothing else.

mod node;
mod part;
mod proof;
mod subtree;

use gongsuan_types::Hash;
use rayon::prelude::*;

pub use self::node::{Leaf, key_hash, value_hash};
pub use self::part::{Beside, PREFIX_BITS_MAX, PartError, TreePart};
pub use self::proof::StateProof;

use self::node::{Node, goes_right, seal};
use self::subtree::{LevelPart, Subtree, hash_upwards};

/// Records in a list below the arrays, on average, at most.
const FILL: usize = 2;
/// The least depth of the arrays.
const DEPTH_MIN: u32 = 4;
/// And the greatest: 2 Gi lists.
const DEPTH_MAX: u32 = 31;
/// Changes of more than this part of the records are merged at once instead of one by one.
const BULK_SHARE: usize = 4;
/// The tree is cut into 2^4 subtrees for threads. Kept at 4: few enough that what is above them is hashed in no time, more than threads, so that
/// one slow thread does not hold up the others.
const SUBTREE_BITS: u32 = DEPTH_MIN;
/// Changes that are worth a second thread.
const CHANGES_MIN: usize = 64;

/// A key hash and the value hash that it gets, or nothing.
type Change = (Hash, Option<Hash>);

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

/// One level of nodes: hashes, and for each whether it is a single record.
#[derive(Clone, Debug)]
struct Level {
    hashes: Vec<Hash>,
    singles: Vec<bool>,
}

impl Level {
    fn new(width: usize) -> Self {
        Self { hashes: vec![Hash::ZERO; width], singles: vec![false; width] }
    }

    fn get(&self, at: usize) -> Node {
        Node { hash: self.hashes[at], single: self.singles[at] }
    }

    fn part(&mut self) -> LevelPart<'_> {
        LevelPart { hashes: &mut self.hashes, singles: &mut self.singles }
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
        let more = self.in_subtrees(changes.len() >= CHANGES_MIN, |subtree, prefix| {
            let from = changes.partition_point(|(key, _)| subtree_of(key) < prefix);
            let end = changes.partition_point(|(key, _)| subtree_of(key) <= prefix);
            subtree.update(&changes[from..end])
        });
        self.count = self.count.saturating_add_signed(more);
        while self.count > FILL << self.depth && self.depth < DEPTH_MAX {
            self.deepen();
        }
    }

    /// Does something to every subtree, on several threads or on this one, and hashes what is above them. The sum of the answers.
    fn in_subtrees(
        &mut self,
        threads: bool,
        update: impl Fn(&mut Subtree<'_>, usize) -> isize + Sync,
    ) -> isize {
        let mut subtrees = Subtree::split(&mut self.lists, &mut self.levels, SUBTREE_BITS);
        let sum = if threads && rayon::current_num_threads() > 1 {
            let each = subtrees.par_iter_mut().enumerate();
            each.map(|(prefix, subtree)| update(subtree, prefix)).sum()
        } else {
            let each = subtrees.iter_mut().enumerate();
            each.map(|(prefix, subtree)| update(subtree, prefix)).sum()
        };
        let above = self.levels.len() - 1 - SUBTREE_BITS as usize;
        let mut upper: Vec<LevelPart<'_>> =
            self.levels[above..].iter_mut().map(Level::part).collect();
        hash_upwards(&mut upper, &mut (0..1 << SUBTREE_BITS).collect());
        sum
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

    /// Merges many changes in, makes the arrays as deep as the number of records wants, and hashes everything.
    fn rebuild(&mut self, changes: &[Change]) {
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
        self.in_subtrees(true, |subtree, _| {
            subtree.hash((0..subtree.lists.len()).collect());
            0
        });
    }

    /// Makes the arrays one level deeper: every list is cut in two, and only they are hashed.
    fn deepen(&mut self) {
        let level = self.depth as usize;
        let halves = |list: &[Leaf]| -> [Box<[Leaf]>; 2] {
            let middle = list.partition_point(|(key, _)| !goes_right(key, level));
            let (left, right) = list.split_at(middle);
            [left.into(), right.into()]
        };
        self.lists = self.lists.par_iter().flat_map_iter(|list| halves(list)).collect();
        self.depth += 1;
        let nodes = self.lists.par_iter().map(|list| {
            let node = Node::over(list, level + 1);
            (node.hash, node.single)
        });
        let (hashes, singles) = nodes.unzip();
        self.levels.insert(0, Level { hashes, singles });
    }
}

/// The subtree of a key.
fn subtree_of(key: &Hash) -> usize {
    usize::from(key.0[0] >> (8 - SUBTREE_BITS))
}

/// Sets or removes one record of a sorted list. How many there are more: 1, 0 or -1.
fn change_list(list: &mut Box<[Leaf]>, key: &Hash, value: Option<Hash>) -> isize {
    match (list.binary_search_by(|(other, _)| other.cmp(key)), value) {
        (Ok(place), Some(value)) => {
            list[place].1 = value;
            0
        }
        (Ok(place), None) => {
            let mut leaves = std::mem::take(list).into_vec();
            leaves.remove(place);
            *list = leaves.into_boxed_slice();
            -1
        }
        (Err(place), Some(value)) => {
            let mut leaves = Vec::with_capacity(list.len() + 1);
            leaves.extend_from_slice(&list[..place]);
            leaves.push((*key, value));
            leaves.extend_from_slice(&list[place..]);
            *list = leaves.into_boxed_slice();
            1
        }
        (Err(_), None) => 0,
    }
}

/// Changes in rising order of their keys, the last one of each.
fn in_order(changes: impl IntoIterator<Item = Change>) -> Vec<Change> {
    let mut changes: Vec<_> = changes.into_iter().collect();
    // Stable, and backwards: of equal keys the last change comes first and stays.
    changes.reverse();
    changes.sort_by_key(|(key, _)| *key);
    changes.dedup_by(|(later, _), (earlier, _)| later == earlier);
    changes
}

/// Records in order with changes in order.
fn merge(leaves: impl Iterator<Item = Leaf>, changes: &[Change]) -> Vec<Leaf> {
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
