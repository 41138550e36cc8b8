//! That a record is in the state, or that it is not.

use gongsuan_types::Hash;
use serde::{Deserialize, Serialize};

use super::node::{Leaf, goes_right, leaf_hash, parent_hash, seal};

/// The longest path: a bit of the key for each level.
const LEVELS_MAX: usize = 256;

/// What stands at the end of a key's path, and how it hashes up to the root.
///
/// The path of a key is unique. If it ends at a record with that key, the record is in the state; if it ends at nothing or at a record with
/// another key, no record with that key is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StateProof {
    /// Records in the whole state.
    pub count: u64,
    /// What stands at the end of the path: (key, value) hashes, or nothing.
    pub leaf: Option<Leaf>,
    /// Siblings from the end of the path upwards; of an empty one, 32 zero bytes.
    pub siblings: Vec<Hash>,
}

impl StateProof {
    /// Whether under `root` the record with this key (as in [`super::key_hash`]) has this value (as in [`super::value_hash`]), or is absent
    /// for `None`.
    #[must_use]
    pub fn verify(&self, root: Hash, key: Hash, value: Option<Hash>) -> bool {
        let levels = self.siblings.len();
        if levels > LEVELS_MAX {
            return false;
        }
        let found = self.leaf.filter(|(other, _)| *other == key).map(|(_, value)| value);
        let on_path = |other: &Hash| {
            (0..levels).all(|level| goes_right(other, level) == goes_right(&key, level))
        };
        if found != value || !self.leaf.is_none_or(|(other, _)| on_path(&other)) {
            return false;
        }
        let mut node = self.leaf.as_ref().map_or(Hash::ZERO, leaf_hash);
        for (level, sibling) in (0..levels).rev().zip(&self.siblings) {
            node = if goes_right(&key, level) {
                parent_hash(*sibling, node)
            } else {
                parent_hash(node, *sibling)
            };
        }
        seal(self.count, node) == root
    }
}
