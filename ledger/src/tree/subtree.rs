//! Updating the arrays: subtrees beside each other, level by level within one.
//!
//! At a million records the lower levels are far larger than any cache, and what an update waits for is memory. So a level's pairs of children are
//! gathered first, in order, in a loop that does nothing else (the processor then fetches a dozen lines at a time), and hashed after that.

use gongsuan_types::Hash;

use super::node::{Leaf, Node};
use super::{Change, Level, change_list};

/// The lists and nodes below one node of the tree, borrowed.
#[derive(Debug)]
pub(super) struct Subtree<'a> {
    pub(super) lists: &'a mut [Box<[Leaf]>],
    /// From the lists upwards; the last has one node.
    pub(super) levels: Vec<LevelPart<'a>>,
    /// Bits of a key above this subtree.
    pub(super) prefix_bits: u32,
}

/// The nodes of a level that lie in one subtree.
#[derive(Debug)]
pub(super) struct LevelPart<'a> {
    pub(super) hashes: &'a mut [Hash],
    pub(super) singles: &'a mut [bool],
}

impl LevelPart<'_> {
    fn set(&mut self, at: usize, node: Node) {
        self.hashes[at] = node.hash;
        self.singles[at] = node.single;
    }

    fn pair(&self, at: usize) -> [Node; 2] {
        let node = |at: usize| Node { hash: self.hashes[at], single: self.singles[at] };
        [node(2 * at), node(2 * at + 1)]
    }
}

impl<'a> Subtree<'a> {
    /// The 2^`bits` subtrees of a tree.
    pub(super) fn split(
        lists: &'a mut [Box<[Leaf]>],
        levels: &'a mut [Level],
        bits: u32,
    ) -> Vec<Self> {
        let width = lists.len() >> bits;
        let mut subtrees: Vec<Self> = lists
            .chunks_mut(width)
            .map(|lists| Self { lists, levels: Vec::new(), prefix_bits: bits })
            .collect();
        let height = levels.len() - bits as usize;
        for (up, level) in levels[..height].iter_mut().enumerate() {
            let parts = level.hashes.chunks_mut(width >> up);
            let parts = parts.zip(level.singles.chunks_mut(width >> up));
            for (subtree, (hashes, singles)) in subtrees.iter_mut().zip(parts) {
                subtree.levels.push(LevelPart { hashes, singles });
            }
        }
        subtrees
    }

    /// The list of a key, within the subtree.
    fn list_of(&self, key: &Hash) -> usize {
        let bits = self.lists.len().trailing_zeros();
        let [a, b, c, d, ..] = key.0;
        let inside = u64::from(u32::from_be_bytes([a, b, c, d]) << self.prefix_bits);
        usize::try_from(inside << bits >> 32).expect("below the number of lists")
    }

    /// Makes changes, which are in order, and hashes what is above them. How many records there are more, or fewer.
    pub(super) fn update(&mut self, changes: &[Change]) -> isize {
        let mut touched: Vec<usize> = changes.iter().map(|(key, _)| self.list_of(key)).collect();
        self.fetch(&touched);
        let mut more = 0;
        for (at, (key, value)) in touched.iter().zip(changes) {
            more += change_list(&mut self.lists[*at], key, *value);
        }
        touched.dedup();
        self.hash(touched);
        more
    }

    /// Reads something of every list, so that the changes find them near.
    fn fetch(&self, touched: &[usize]) {
        let records: usize = touched.iter().map(|at| self.lists[*at].len()).sum();
        let first = |at: &usize| self.lists[*at].first().map_or(0, |(_, value)| value.0[0]);
        std::hint::black_box((records, touched.iter().fold(0, |seen, at| seen ^ first(at))));
    }

    /// Hashes touched lists and every node above them.
    pub(super) fn hash(&mut self, mut touched: Vec<usize>) {
        let depth = self.prefix_bits as usize + self.levels.len() - 1;
        if let Some(level) = self.levels.first_mut() {
            for at in &touched {
                level.set(*at, Node::over(&self.lists[*at], depth));
            }
        }
        hash_upwards(&mut self.levels, &mut touched);
    }
}

/// Hashes the nodes above touched ones of the lowest level.
pub(super) fn hash_upwards(levels: &mut [LevelPart<'_>], touched: &mut Vec<usize>) {
    let mut pairs = Vec::with_capacity(touched.len());
    for level in 1..levels.len() {
        for at in touched.iter_mut() {
            *at /= 2;
        }
        touched.dedup();
        let (below, above) = levels.split_at_mut(level);
        let (below, above) = (&below[level - 1], &mut above[0]);
        pairs.clear();
        pairs.extend(touched.iter().map(|at| below.pair(*at)));
        for (at, [left, right]) in touched.iter().zip(&pairs) {
            above.set(*at, Node::join(*left, *right));
        }
    }
}
