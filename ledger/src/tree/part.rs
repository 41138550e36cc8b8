//! A part of the tree: all records under a prefix, with what stands beside the prefix. It can be checked against the root alone, so a snapshot can
//! be fetched from many peers and a bad part is noticed by itself.

use gongsuan_types::Hash;
use serde::{Deserialize, Serialize};

use super::StateTree;
use super::node::{Leaf, Node, goes_right, seal};

/// Bits of a prefix, at most: 65,536 parts.
pub const PREFIX_BITS_MAX: u8 = 16;

/// What stands beside the path to a part.
///
/// A single record is shown and not only its hash: otherwise a node with many records could be passed off as one, and what is beside it as nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beside {
    /// No record.
    Nothing,
    /// One.
    Leaf(Leaf),
    /// More: the node's hash.
    Node(Hash),
}

/// All records whose keys begin with the same bits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TreePart {
    /// Records in the whole state.
    pub count: u64,
    /// How many bits the keys share.
    pub bits: u8,
    /// Those bits, as a number below 2^bits.
    pub prefix: u32,
    /// What stands beside the path, from the part upwards; one for each bit.
    pub beside: Vec<Beside>,
}

/// Why a part is not one of the state with a certain root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// The number of bits, the prefix or the number of neighbours is out of range.
    #[error("the part's prefix is out of range")]
    Shape,
    /// The records are not in rising order of their hashed keys, or are not under the prefix.
    #[error("the part's records are out of order or outside its prefix")]
    Order,
    /// A neighbour stands on the wrong side.
    #[error("what stands beside the part is not beside it")]
    Beside,
    /// The root is another one.
    #[error("the part does not belong to the root")]
    Root,
}

fn starts_with(key: &Hash, bits: usize, prefix: u32) -> bool {
    let [a, b, c, d, ..] = key.0;
    bits == 0 || u32::from_be_bytes([a, b, c, d]) >> (32 - bits) == prefix
}

impl TreePart {
    /// Whether exactly these records stand under the prefix in the state with this root.
    ///
    /// # Errors
    /// A [`PartError`].
    pub fn verify(&self, root: Hash, leaves: &[Leaf]) -> Result<(), PartError> {
        let bits = usize::from(self.bits);
        if self.bits > PREFIX_BITS_MAX || self.prefix >> bits != 0 || self.beside.len() != bits {
            return Err(PartError::Shape);
        }
        let rising = leaves.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let inside = leaves.iter().all(|(key, _)| starts_with(key, bits, self.prefix));
        if !(rising && inside) {
            return Err(PartError::Order);
        }
        let mut node = Node::over(leaves, bits);
        for (up, beside) in self.beside.iter().enumerate() {
            let prefix = self.prefix >> up;
            let beside = match beside {
                Beside::Nothing => Node::EMPTY,
                Beside::Leaf(leaf) if starts_with(&leaf.0, bits - up, prefix ^ 1) => {
                    Node::leaf(leaf)
                }
                Beside::Leaf(_) => return Err(PartError::Beside),
                Beside::Node(hash) => Node { hash: *hash, single: false },
            };
            node =
                if prefix & 1 == 1 { Node::join(beside, node) } else { Node::join(node, beside) };
        }
        if seal(self.count, node.hash) == root { Ok(()) } else { Err(PartError::Root) }
    }
}

impl StateTree {
    /// How many bits cut the tree into parts of at most about `records` records.
    #[must_use]
    pub fn part_bits(&self, records: usize) -> u8 {
        let fits = |bits: &u8| self.count() >> bits <= records.max(1);
        (0..PREFIX_BITS_MAX).find(fits).unwrap_or(PREFIX_BITS_MAX)
    }

    /// The part under a prefix and its records' hashes in order; `None` if there is no such prefix.
    #[must_use]
    pub fn part(&self, bits: u8, prefix: u32) -> Option<(TreePart, Vec<Leaf>)> {
        let width = usize::from(bits);
        if bits > PREFIX_BITS_MAX || prefix >> width != 0 {
            return None;
        }
        let leaves = self.leaves_under(width, prefix);
        let beside = (0..width).map(|up| self.beside(width - up, prefix >> up ^ 1)).collect();
        Some((TreePart { count: self.count() as u64, bits, prefix, beside }, leaves))
    }

    fn leaves_under(&self, bits: usize, prefix: u32) -> Vec<Leaf> {
        let depth = self.depth as usize;
        let prefix = prefix as usize;
        if bits <= depth {
            let lists = prefix << (depth - bits)..(prefix + 1) << (depth - bits);
            return self.lists[lists].iter().flat_map(|list| list.iter().copied()).collect();
        }
        let inside = |leaf: &&Leaf| {
            (0..bits).all(|at| goes_right(&leaf.0, at) == (prefix >> (bits - 1 - at) & 1 == 1))
        };
        self.lists[prefix >> (bits - depth)].iter().filter(inside).copied().collect()
    }

    fn beside(&self, bits: usize, prefix: u32) -> Beside {
        let depth = self.depth as usize;
        let node = if bits <= depth {
            self.levels[depth - bits].get(prefix as usize)
        } else {
            Node::over(&self.leaves_under(bits, prefix), bits)
        };
        if node == Node::EMPTY {
            Beside::Nothing
        } else if node.single {
            self.leaves_under(bits, prefix)
                .first()
                .map_or(Beside::Nothing, |leaf| Beside::Leaf(*leaf))
        } else {
            Beside::Node(node.hash)
        }
    }
}
