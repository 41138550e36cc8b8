//! Binary Merkle trees over a list, with inclusion proofs.
//!
//! Leaves and inner nodes have different tags, and the number of leaves is bound into the root, so no node can
//! be shown for a leaf and no shorter list has the same root. An odd node is carried up unchanged.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::{Hash, Hasher, PairHasher};

// Tags are hashed once, not for every node.
static LEAF: LazyLock<Hasher> = LazyLock::new(|| Hasher::new("gongsuan/merkle/leaf/v1"));
static NODE: LazyLock<PairHasher> = LazyLock::new(|| PairHasher::new("gongsuan/merkle/node/v1"));

/// The root of the empty list.
#[must_use]
pub fn empty_root() -> Hash {
    seal(0, Hash::ZERO)
}

/// The root over already hashed leaves. Turn content into a leaf with [`leaf`].
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = parents(&level);
    }
    seal(leaves.len() as u64, level.first().copied().unwrap_or(Hash::ZERO))
}

/// The leaf for some content.
#[must_use]
pub fn leaf(content: &[u8]) -> Hash {
    let mut hasher = LEAF.clone();
    hasher.update(content);
    hasher.finish()
}

/// A path from one leaf to the root.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = MerklePath))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proof {
    /// The leaf's position.
    pub index: u64,
    /// How many leaves the tree has.
    pub count: u64,
    /// Siblings, from the leaf upwards; levels at which the node is carried up have none.
    pub siblings: Vec<Hash>,
}

impl Proof {
    /// The proof for one leaf, or `None` if there is no such leaf.
    #[must_use]
    pub fn new(leaves: &[Hash], index: usize) -> Option<Self> {
        if index >= leaves.len() {
            return None;
        }
        let (mut level, mut at, mut siblings) = (leaves.to_vec(), index, Vec::new());
        while level.len() > 1 {
            if let Some(sibling) = level.get(at ^ 1) {
                siblings.push(*sibling);
            }
            level = parents(&level);
            at /= 2;
        }
        Some(Self { index: index as u64, count: leaves.len() as u64, siblings })
    }

    /// Whether `leaf` is at this proof's index in the list with this `root`.
    #[must_use]
    pub fn verify(&self, root: Hash, leaf: Hash) -> bool {
        if self.index >= self.count {
            return false;
        }
        let (mut at, mut width, mut node) = (self.index, self.count, leaf);
        let mut siblings = self.siblings.iter();
        while width > 1 {
            if at ^ 1 < width {
                let Some(sibling) = siblings.next() else { return false };
                node = if at % 2 == 0 { parent(node, *sibling) } else { parent(*sibling, node) };
            }
            at /= 2;
            width = width.div_ceil(2);
        }
        siblings.next().is_none() && seal(self.count, node) == root
    }
}

fn parents(level: &[Hash]) -> Vec<Hash> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => parent(*left, *right),
            [single] => *single,
            _ => unreachable!("chunks of two"),
        })
        .collect()
}

fn parent(left: Hash, right: Hash) -> Hash {
    NODE.hash(&left, &right)
}

fn seal(count: u64, top: Hash) -> Hash {
    let mut hasher = Hasher::new("gongsuan/merkle/root/v1");
    hasher.update(&count.to_le_bytes()).update(&top.0);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|index| leaf(&index.to_le_bytes())).collect()
    }

    proptest! {
        #[test]
        fn a_proof_holds_for_its_own_leaf_and_place_only(count in 1usize..70, pick: prop::sample::Index, other: prop::sample::Index) {
            let leaves = leaves(count);
            let index = pick.index(count);
            let proof = Proof::new(&leaves, index).unwrap();
            prop_assert!(proof.verify(root(&leaves), leaves[index]));
            let other = other.index(count);
            if other != index {
                prop_assert!(!proof.verify(root(&leaves), leaves[other]));
                let moved = Proof { index: other as u64, ..proof.clone() };
                prop_assert!(!moved.verify(root(&leaves), leaves[index]));
            }
            let longer = Proof { count: count as u64 + 1, ..proof.clone() };
            prop_assert!(!longer.verify(root(&leaves), leaves[index]));
            if !proof.siblings.is_empty() {
                let mut cut = proof.clone();
                cut.siblings.pop();
                prop_assert!(!cut.verify(root(&leaves), leaves[index]));
                let mut flipped = proof;
                flipped.siblings[0].0[0] ^= 1;
                prop_assert!(!flipped.verify(root(&leaves), leaves[index]));
            }
        }

        #[test]
        fn lists_of_different_length_have_different_roots(a in 0usize..40, b in 0usize..40) {
            prop_assert_eq!(root(&leaves(a)) == root(&leaves(b)), a == b);
        }
    }

    #[test]
    fn there_is_no_proof_beyond_the_end() {
        assert_eq!(Proof::new(&leaves(3), 3), None);
        assert_eq!(root(&[]), empty_root());
    }
}
