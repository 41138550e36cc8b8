//! The Merkle mountain range over all headers: whoever trusts one header can be shown any earlier one.
//!
//! Leaves are header hashes, oldest first. They stand in full binary trees, one for each bit set in their number, the largest first; the roots of
//! those are the *peaks*.
//!
//! ```text
//! leaf   H(merkle/leaf, header hash)
//! node   H(history/node, left, right)
//! root   H(history/root, count u64 LE, peaks...)
//! ```
//!
//! [`History`] holds the peaks alone and is part of the state; [`HistoryTree`] holds everything (64 bytes a block) and makes proofs, also
//! under earlier roots.

use std::sync::LazyLock;

use gongsuan_types::{Hash, Hasher, merkle};
use serde::{Deserialize, Serialize};

static NODE: LazyLock<Hasher> = LazyLock::new(|| Hasher::new("gongsuan/history/node/v1"));

fn parent(left: Hash, right: Hash) -> Hash {
    let mut hasher = Hasher::clone(&NODE);
    hasher.update(&left.0).update(&right.0);
    hasher.finish()
}

fn leaf(header: Hash) -> Hash {
    merkle::leaf(&header.0)
}

fn seal<'a>(count: u64, peaks: impl IntoIterator<Item = &'a Hash>) -> Hash {
    let mut hasher = Hasher::new("gongsuan/history/root/v1");
    hasher.update(&count.to_le_bytes());
    for peak in peaks {
        hasher.update(&peak.0);
    }
    hasher.finish()
}

/// The peaks: an append-only commitment to all headers so far.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct History {
    count: u64,
    /// Roots of full trees, the largest first.
    peaks: Vec<Hash>,
}

impl History {
    /// Appends a header's hash.
    ///
    /// # Panics
    /// Never: there are as many peaks as ones in the count.
    pub fn push(&mut self, header: Hash) {
        let mut node = leaf(header);
        for _ in 0..self.count.trailing_ones() {
            let left = self.peaks.pop().expect("as many peaks as ones in the count");
            node = parent(left, node);
        }
        self.peaks.push(node);
        self.count += 1;
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        seal(self.count, &self.peaks)
    }

    /// Headers so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl History {
    /// Whether there are as many peaks as a range of so many headers has. Bytes from outside need not hold to it.
    #[must_use]
    pub(crate) fn is_sound(&self, count: u64) -> bool {
        self.count == count && self.peaks.len() == count.count_ones() as usize
    }
}

/// All nodes of the range.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HistoryTree {
    /// `levels[k][i]` is the root over leaves `i·2^k .. (i+1)·2^k`.
    levels: Vec<Vec<Hash>>,
}

/// Where a leaf is: the height of its peak's tree, and how many peaks stand before it.
struct Mountain {
    height: u32,
    before: usize,
    first_leaf: u64,
}

/// The mountain of a leaf in a range of so many.
fn mountain(index: u64, count: u64) -> Option<Mountain> {
    let (mut first_leaf, mut before) = (0, 0);
    for height in (0..u64::BITS).rev().filter(|height| count >> height & 1 == 1) {
        let width = 1_u64 << height;
        if index - first_leaf < width {
            return Some(Mountain { height, before, first_leaf });
        }
        first_leaf += width;
        before += 1;
    }
    None
}

impl HistoryTree {
    /// Appends a header's hash.
    ///
    /// # Panics
    /// Never: a level is asked for its last two nodes when it has an even number of them.
    pub fn push(&mut self, header: Hash) {
        let mut node = leaf(header);
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let nodes = &mut self.levels[level];
            nodes.push(node);
            if nodes.len() % 2 == 1 {
                return;
            }
            let (left, right) = (nodes[nodes.len() - 2], nodes[nodes.len() - 1]);
            node = parent(left, right);
        }
    }

    /// Headers so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The root when there were `count` headers; `None` if there never were.
    #[must_use]
    pub fn root_at(&self, count: u64) -> Option<Hash> {
        Some(seal(count, &self.peaks_at(count)?))
    }

    /// The proof that the header with this index (its height less one) is among the first `count`.
    #[must_use]
    pub fn prove(&self, index: u64, count: u64) -> Option<HistoryProof> {
        let mut peaks = self.peaks_at(count)?;
        let mountain = mountain(index, count)?;
        peaks.remove(mountain.before);
        let siblings = (0..mountain.height as usize)
            .map(|level| Some(self.levels[level][usize::try_from(index >> level ^ 1).ok()?]))
            .collect::<Option<Vec<Hash>>>()?;
        Some(HistoryProof { index, count, siblings, peaks })
    }

    fn peaks_at(&self, count: u64) -> Option<Vec<Hash>> {
        if count > self.count() {
            return None;
        }
        let mut first_leaf = 0_u64;
        let heights = (0..u64::BITS).rev().filter(|height| count >> height & 1 == 1);
        heights
            .map(|height| {
                let at = usize::try_from(first_leaf >> height).ok()?;
                first_leaf += 1 << height;
                self.levels.get(height as usize)?.get(at).copied()
            })
            .collect()
    }
}

/// That a header is the one with a certain height in the past of another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HistoryProof {
    /// The header's place: its height less one.
    pub index: u64,
    /// Headers under the root.
    pub count: u64,
    /// Siblings up to the peak.
    pub siblings: Vec<Hash>,
    /// The other peaks, the largest first.
    pub peaks: Vec<Hash>,
}

impl HistoryProof {
    /// Whether under `root` (a [`crate::Header::history_root`]) the header at this place has this hash.
    #[must_use]
    pub fn verify(&self, root: Hash, header: Hash) -> bool {
        if self.index >= self.count {
            return false;
        }
        let Some(mountain) = mountain(self.index, self.count) else { return false };
        let shaped = self.siblings.len() == mountain.height as usize
            && self.peaks.len() + 1 == self.count.count_ones() as usize;
        if !shaped {
            return false;
        }
        let mut at = self.index - mountain.first_leaf;
        let mut node = leaf(header);
        for sibling in &self.siblings {
            node =
                if at.is_multiple_of(2) { parent(node, *sibling) } else { parent(*sibling, node) };
            at /= 2;
        }
        let mut peaks = self.peaks.clone();
        peaks.insert(mountain.before, node);
        seal(self.count, &peaks) == root
    }
}

#[cfg(test)]
mod tests {
    use gongsuan_types::codec;

    use super::*;

    fn header(n: u64) -> Hash {
        Hash::of_content(&n.to_le_bytes())
    }

    #[test]
    fn peaks_and_tree_agree_and_every_header_is_proved_under_every_later_root() {
        let (mut peaks, mut tree) = (History::default(), HistoryTree::default());
        assert_eq!(tree.root_at(0), Some(peaks.root()));
        for n in 0..70 {
            peaks.push(header(n));
            tree.push(header(n));
            assert_eq!(tree.root_at(n + 1), Some(peaks.root()));
        }
        for count in 1..=70 {
            let root = tree.root_at(count).unwrap();
            for index in 0..count {
                let proof = tree.prove(index, count).unwrap();
                assert!(proof.verify(root, header(index)), "{index} of {count}");
                assert!(!proof.verify(root, header(index + 1)));
                assert!(!proof.verify(tree.root_at(count - 1).unwrap(), header(index)));
            }
            assert_eq!(tree.prove(count, count), None);
        }
        assert_eq!(tree.prove(0, 71), None);
        assert_eq!(tree.root_at(71), None);
    }

    #[test]
    fn every_flipped_bit_breaks_a_proof() {
        let mut tree = HistoryTree::default();
        (0..45).for_each(|n| tree.push(header(n)));
        for index in [0, 17, 31, 32, 39, 40, 43, 44] {
            let root = tree.root_at(45).unwrap();
            let bytes = codec::encode(&tree.prove(index, 45).unwrap());
            for bit in 0..bytes.len() * 8 {
                let mut bent = bytes.clone();
                bent[bit / 8] ^= 1 << (bit % 8);
                if let Ok(bent) = codec::decode::<HistoryProof>("proof", 1 << 16, &bent) {
                    assert!(!bent.verify(root, header(index)), "{index}, bit {bit}");
                }
            }
        }
    }
}
