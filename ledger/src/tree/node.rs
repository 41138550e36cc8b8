//! What the tree's nodes hash to.

use std::sync::LazyLock;

use gongsuan_types::{Hash, Hasher, PairHasher};

/// A record in the tree: the hashes of its key and of its value.
pub type Leaf = (Hash, Hash);

/// The commitment to all records under a prefix of their keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Node {
    pub(super) hash: Hash,
    /// Exactly one record.
    pub(super) single: bool,
}

/// A tagged hash whose tag is hashed once.
macro_rules! tagged {
    ($name:ident: $hasher:ident, $tag:literal) => {
        static $name: LazyLock<$hasher> = LazyLock::new(|| $hasher::new($tag));
    };
}
tagged!(KEY: Hasher, "gongsuan/state/key/v1");
tagged!(VALUE: Hasher, "gongsuan/state/value/v1");
tagged!(LEAF: PairHasher, "gongsuan/state/leaf/v1");
tagged!(NODE: PairHasher, "gongsuan/state/node/v1");
tagged!(ROOT: Hasher, "gongsuan/state/root/v2");

fn tagged(tag: &LazyLock<Hasher>, parts: &[&[u8]]) -> Hash {
    let mut hasher = Hasher::clone(tag);
    for part in parts {
        hasher.update(part);
    }
    hasher.finish()
}

/// The key of a record, hashed.
#[must_use]
pub fn key_hash(key: &[u8]) -> Hash {
    tagged(&KEY, &[key])
}

/// The value of a record, hashed.
#[must_use]
pub fn value_hash(value: &[u8]) -> Hash {
    tagged(&VALUE, &[value])
}

pub(super) fn leaf_hash((key, value): &Leaf) -> Hash {
    LEAF.hash(key, value)
}

pub(super) fn parent_hash(left: Hash, right: Hash) -> Hash {
    NODE.hash(&left, &right)
}

/// The root: the number of records and the top of the tree.
pub(super) fn seal(count: u64, top: Hash) -> Hash {
    tagged(&ROOT, &[&count.to_le_bytes(), &top.0])
}

/// Whether the key goes right at this level, counted from the top.
pub(super) fn goes_right(key: &Hash, level: usize) -> bool {
    key.0[level / 8] >> (7 - level % 8) & 1 == 1
}

impl Node {
    /// No record. [`Hash::ZERO`] is no result of hashing.
    pub(super) const EMPTY: Self = Self { hash: Hash::ZERO, single: false };

    /// One record.
    pub(super) fn leaf(leaf: &Leaf) -> Self {
        Self { hash: leaf_hash(leaf), single: true }
    }

    /// The node above two others.
    pub(super) fn join(left: Self, right: Self) -> Self {
        if left == Self::EMPTY && (right.single || right == Self::EMPTY) {
            return right;
        }
        if right == Self::EMPTY && left.single {
            return left;
        }
        Self { hash: parent_hash(left.hash, right.hash), single: false }
    }

    /// The node over sorted records that agree in their first `level` bits.
    pub(super) fn over(leaves: &[Leaf], level: usize) -> Self {
        match leaves {
            [] => Self::EMPTY,
            [leaf] => Self::leaf(leaf),
            _ => {
                let middle = leaves.partition_point(|(key, _)| !goes_right(key, level));
                let (left, right) = leaves.split_at(middle);
                Self::join(Self::over(left, level + 1), Self::over(right, level + 1))
            }
        }
    }
}
