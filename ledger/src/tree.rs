//! The commitment to the state: a binary Merkle tree over all records, with proofs that a record is there or is not.
//!
//! A record's key is hashed; the first `depth` bits of the hash name a *bucket*, which lists its (key, value) hashes in order. Buckets are
//! the leaves of a full binary tree whose levels are arrays. `depth` depends on the number of records alone, so the root depends on
//! nothing but the set of records.

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_types::{Hash, Hasher};
use serde::{Deserialize, Serialize};

/// Records in a bucket, on average, at most.
const FILL: usize = 4;
/// The least depth.
const DEPTH_MIN: u8 = 4;
/// Entries in the bucket of a proof, at most.
const BUCKET_MAX: usize = 256;

/// The tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateTree {
    records: BTreeMap<Hash, Hash>,
    /// `levels[0]` holds the buckets' hashes, the last level the top.
    levels: Vec<Vec<Hash>>,
    depth: u8,
}

/// That a record is in the state, or that it is not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StateProof {
    /// Records in the whole state.
    pub count: u64,
    /// Everything in the bucket of the key, in order: (key, value) hashes.
    pub bucket: Vec<(Hash, Hash)>,
    /// Siblings from the bucket upwards.
    pub siblings: Vec<Hash>,
}

/// The key of a record, hashed.
#[must_use]
pub fn key_hash(key: &[u8]) -> Hash {
    Hash::of("gongsuan/state/key/v1", key)
}

/// The value of a record, hashed.
#[must_use]
pub fn value_hash(value: &[u8]) -> Hash {
    Hash::of("gongsuan/state/value/v1", value)
}

fn depth_for(count: usize) -> u8 {
    (DEPTH_MIN..).find(|depth| count <= FILL << depth).unwrap_or(u8::MAX)
}

fn slot(key: Hash, depth: u8) -> usize {
    let [a, b, c, d, ..] = key.0;
    (u32::from_be_bytes([a, b, c, d]) >> (32 - u32::from(depth))) as usize
}

fn bucket_hash<'a>(entries: impl Iterator<Item = (&'a Hash, &'a Hash)>) -> Hash {
    let mut hasher = Hasher::new("gongsuan/state/bucket/v1");
    for (key, value) in entries {
        hasher.update(&key.0).update(&value.0);
    }
    hasher.finish()
}

fn parent(left: Hash, right: Hash) -> Hash {
    let mut hasher = Hasher::new("gongsuan/state/node/v1");
    hasher.update(&left.0).update(&right.0);
    hasher.finish()
}

fn seal(count: u64, top: Hash) -> Hash {
    let mut hasher = Hasher::new("gongsuan/state/root/v1");
    hasher.update(&count.to_le_bytes()).update(&top.0);
    hasher.finish()
}

impl Default for StateTree {
    fn default() -> Self {
        let mut tree = Self { records: BTreeMap::new(), levels: Vec::new(), depth: DEPTH_MIN };
        tree.rebuild();
        tree
    }
}

impl StateTree {
    /// Sets and removes records. Keys and values are hashes made by [`key_hash`] and [`value_hash`].
    pub fn update(&mut self, changes: impl IntoIterator<Item = (Hash, Option<Hash>)>) {
        let mut touched = BTreeSet::new();
        for (key, value) in changes {
            match value {
                Some(value) => self.records.insert(key, value),
                None => self.records.remove(&key),
            };
            touched.insert(slot(key, self.depth));
        }
        if depth_for(self.records.len()) != self.depth {
            self.rebuild();
            return;
        }
        for slot in &touched {
            self.levels[0][*slot] = self.hash_bucket(*slot);
        }
        for level in 1..self.levels.len() {
            touched = touched.iter().map(|slot| slot / 2).collect();
            for slot in &touched {
                let below = &self.levels[level - 1];
                self.levels[level][*slot] = parent(below[2 * slot], below[2 * slot + 1]);
            }
        }
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        seal(self.records.len() as u64, self.levels[usize::from(self.depth)][0])
    }

    /// The number of records.
    #[must_use]
    pub fn count(&self) -> usize {
        self.records.len()
    }

    /// The proof that the record with this key has the value it has, or that there is none.
    #[must_use]
    pub fn prove(&self, key: Hash) -> StateProof {
        let mut at = slot(key, self.depth);
        let bucket = self.bucket(at).map(|(key, value)| (*key, *value)).collect();
        let mut siblings = Vec::with_capacity(usize::from(self.depth));
        for level in &self.levels[..usize::from(self.depth)] {
            siblings.push(level[at ^ 1]);
            at /= 2;
        }
        StateProof { count: self.records.len() as u64, bucket, siblings }
    }

    fn bucket(&self, slot: usize) -> impl Iterator<Item = (&Hash, &Hash)> {
        let shift = 32 - u32::from(self.depth);
        let first = u32::try_from(slot).expect("at most 32 bits") << shift;
        let last = first | u32::MAX.checked_shr(u32::from(self.depth)).unwrap_or(0);
        let (mut low, mut high) = (Hash::ZERO, Hash([0xff; 32]));
        low.0[..4].copy_from_slice(&first.to_be_bytes());
        high.0[..4].copy_from_slice(&last.to_be_bytes());
        self.records.range(low..=high)
    }

    fn hash_bucket(&self, slot: usize) -> Hash {
        bucket_hash(self.bucket(slot))
    }

    fn rebuild(&mut self) {
        self.depth = depth_for(self.records.len());
        let width = 1 << self.depth;
        let mut levels = vec![(0..width).map(|slot| self.hash_bucket(slot)).collect::<Vec<_>>()];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks(2).map(|pair| parent(pair[0], pair[1])).collect();
            levels.push(above);
        }
        self.levels = levels;
    }
}

impl StateProof {
    /// Whether under `root` the record with this key (as in [`key_hash`]) has this value, or is absent for `None`.
    #[must_use]
    pub fn verify(&self, root: Hash, key: Hash, value: Option<Hash>) -> bool {
        let Ok(count) = usize::try_from(self.count) else { return false };
        let depth = depth_for(count);
        let sorted = self.bucket.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let sized = self.siblings.len() == usize::from(depth) && self.bucket.len() <= BUCKET_MAX;
        let mut at = slot(key, depth.min(32));
        let at_home = self.bucket.iter().all(|(other, _)| slot(*other, depth.min(32)) == at);
        if !(sorted && sized && at_home) {
            return false;
        }
        let found = self.bucket.iter().find(|(other, _)| *other == key).map(|(_, value)| *value);
        if found != value {
            return false;
        }
        let mut node = bucket_hash(self.bucket.iter().map(|(key, value)| (key, value)));
        for sibling in &self.siblings {
            node =
                if at.is_multiple_of(2) { parent(node, *sibling) } else { parent(*sibling, node) };
            at /= 2;
        }
        seal(self.count, node) == root
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(number: u16) -> Hash {
        key_hash(&number.to_le_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn the_root_depends_on_the_set_alone(mut numbers in prop::collection::vec(0u16..400, 1..300), gone in prop::collection::vec(0u16..400, 0..100)) {
            let mut one = StateTree::default();
            for number in &numbers {
                one.update([(key(*number), Some(value_hash(b"v")))]);
            }
            one.update(gone.iter().map(|number| (key(*number), None)));
            numbers.retain(|number| !gone.contains(number));
            numbers.reverse();
            let mut other = StateTree::default();
            other.update(numbers.iter().map(|number| (key(*number), Some(value_hash(b"v")))));
            prop_assert_eq!(one.root(), other.root());
            prop_assert_eq!(one, other);
        }

        #[test]
        fn proofs_hold_for_what_is_and_for_what_is_not(count in 1u16..300, pick in 0u16..400) {
            let mut tree = StateTree::default();
            tree.update((0..count).map(|number| (key(number), Some(value_hash(&number.to_le_bytes())))));
            let proof = tree.prove(key(pick));
            let there = (pick < count).then(|| value_hash(&pick.to_le_bytes()));
            prop_assert!(proof.verify(tree.root(), key(pick), there));
            let lie = if there.is_some() { None } else { Some(value_hash(b"lie")) };
            prop_assert!(!proof.verify(tree.root(), key(pick), lie));
            let mut bent = proof.clone();
            bent.siblings[0].0[7] ^= 1;
            prop_assert!(!bent.verify(tree.root(), key(pick), there));
            let recount = StateProof { count: proof.count + 1, ..proof.clone() };
            prop_assert!(!recount.verify(tree.root(), key(pick), there));
            if let Some(at) = proof.bucket.iter().position(|(k, _)| *k == key(pick)) {
                let mut hidden = proof;
                hidden.bucket.remove(at);
                prop_assert!(!hidden.verify(tree.root(), key(pick), None));
            }
        }
    }
}
