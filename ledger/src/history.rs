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
//! [`History`] holds the peaks alone and is part of the state; [`HistoryTree`] holds everything (64 bytes a block, in memory or in a [`NodeFile`]) and
//! makes proofs, also under earlier roots.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
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

/// Where the nodes of a range stand: numbered from 0 in the order in which they come to be, so that appending is all that is ever done.
pub trait Nodes {
    /// How many there are.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A node.
    ///
    /// # Errors
    /// What the system said, also if there is no such node.
    fn read(&self, at: u64) -> io::Result<Hash>;

    /// Appends nodes.
    ///
    /// # Errors
    /// What the system said.
    fn append(&mut self, nodes: &[Hash]) -> io::Result<()>;
}

impl Nodes for Vec<Hash> {
    fn len(&self) -> u64 {
        Self::len(self) as u64
    }

    fn read(&self, at: u64) -> io::Result<Hash> {
        let found = usize::try_from(at).ok().and_then(|at| self.get(at));
        found.copied().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn append(&mut self, nodes: &[Hash]) -> io::Result<()> {
        self.extend_from_slice(nodes);
        Ok(())
    }
}

/// Nodes in a file: 32 bytes each, nothing else; zeros where a node is not known. What it holds is known from the headers, so it is never synced; whoever opens it compares a root.
#[derive(Debug)]
pub struct NodeFile {
    file: File,
    len: u64,
}

impl NodeFile {
    /// Opens or creates a file. An incomplete node at its end is cut.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let len = file.metadata()?.len() / 32;
        file.set_len(32 * len)?;
        Ok(Self { file, len })
    }
}

impl Nodes for NodeFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, at: u64) -> io::Result<Hash> {
        let mut bytes = [0; 32];
        self.file.read_exact_at(&mut bytes, 32 * at)?;
        // No hash of anything is zero: a hole.
        if bytes == [0; 32] { Err(io::ErrorKind::NotFound.into()) } else { Ok(Hash(bytes)) }
    }

    fn append(&mut self, nodes: &[Hash]) -> io::Result<()> {
        let bytes: Vec<u8> = nodes.iter().flat_map(|node| node.0).collect();
        self.file.write_all_at(&bytes, 32 * self.len)?;
        self.len += nodes.len() as u64;
        Ok(())
    }
}

/// All nodes of the range, in memory or in a file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HistoryTree<N = Vec<Hash>> {
    nodes: N,
    count: u64,
}

/// The number of the node over leaves `index·2^height .. (index + 1)·2^height`. A leaf comes after everything over the leaves before it, and the nodes
/// that it completes come right after it.
fn place(index: u64, height: u32) -> u64 {
    let last = ((index + 1) << height) - 1;
    2 * last - u64::from(last.count_ones()) + u64::from(height)
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

impl<N: Nodes> HistoryTree<N> {
    /// The range whose nodes these are; `None` if no range has so many.
    #[must_use]
    pub fn of(nodes: N) -> Option<Self> {
        // Some n leaves have 2n - popcount(n) nodes: n is half of that, and at most 32 more.
        let half = nodes.len() / 2;
        let count =
            (half..=half + 32).find(|n| 2 * n - u64::from(n.count_ones()) == nodes.len())?;
        Some(Self { nodes, count })
    }

    /// Appends a header's hash.
    ///
    /// # Errors
    /// What the system said; the range is of no use any more.
    pub fn try_push(&mut self, header: Hash) -> io::Result<()> {
        let mut made = vec![leaf(header)];
        let mut node = made[0];
        for height in 0..self.count.trailing_ones() {
            let left = self.nodes.read(place((self.count >> height) - 1, height))?;
            node = parent(left, node);
            made.push(node);
        }
        self.nodes.append(&made)?;
        self.count += 1;
        Ok(())
    }

    /// Headers so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The root when there were `count` headers; `None` if there never were, or if nodes cannot be read.
    #[must_use]
    pub fn root_at(&self, count: u64) -> Option<Hash> {
        Some(seal(count, &self.peaks_at(count)?))
    }

    /// The proof that the header with this index (its height less one) is among the first `count`.
    #[must_use]
    pub fn prove(&self, index: u64, count: u64) -> Option<HistoryProof> {
        if index >= count {
            return None;
        }
        let mut peaks = self.peaks_at(count)?;
        let mountain = mountain(index, count)?;
        peaks.remove(mountain.before);
        let siblings = (0..mountain.height)
            .map(|height| self.nodes.read(place(index >> height ^ 1, height)).ok())
            .collect::<Option<Vec<Hash>>>()?;
        Some(HistoryProof { index, count, siblings, peaks })
    }

    fn peaks_at(&self, count: u64) -> Option<Vec<Hash>> {
        if count > self.count {
            return None;
        }
        let mut first_leaf = 0_u64;
        let heights = (0..u64::BITS).rev().filter(|height| count >> height & 1 == 1);
        heights
            .map(|height| {
                let node = self.nodes.read(place(first_leaf >> height, height)).ok()?;
                first_leaf += 1 << height;
                Some(node)
            })
            .collect()
    }
}

impl HistoryTree<NodeFile> {
    /// Writes a file from the peaks alone. It makes every proof that needs no older node: those of later headers, and none of the earlier ones.
    ///
    /// # Errors
    /// What the system said.
    pub fn begin_at(path: &Path, history: &History) -> io::Result<Self> {
        let count = history.count;
        let file = File::create(path)?;
        let len = 2 * count - u64::from(count.count_ones());
        file.set_len(32 * len)?;
        let mut first_leaf = 0_u64;
        let heights = (0..u64::BITS).rev().filter(|height| count >> height & 1 == 1);
        for (height, peak) in heights.zip(&history.peaks) {
            file.write_all_at(&peak.0, 32 * place(first_leaf >> height, height))?;
            first_leaf += 1 << height;
        }
        drop(file);
        Ok(Self { nodes: NodeFile::open(path)?, count })
    }
}

impl HistoryTree {
    /// Appends a header's hash.
    ///
    /// # Panics
    /// Never: memory can be read.
    pub fn push(&mut self, header: Hash) {
        self.try_push(header).expect("memory can be read");
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
    fn a_file_makes_the_same_proofs_also_when_it_was_cut_in_the_middle_of_a_node() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let mut memory = HistoryTree::default();
        for n in 0..77 {
            // Opened again for every header.
            let mut tree = HistoryTree::of(NodeFile::open(&path).unwrap()).unwrap();
            assert_eq!(tree.count(), n);
            tree.try_push(header(n)).unwrap();
            memory.push(header(n));
            for count in 1..=n + 1 {
                assert_eq!(tree.root_at(count), memory.root_at(count));
            }
            assert_eq!(tree.prove(n / 2, n + 1), memory.prove(n / 2, n + 1));
        }
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(&[7; 31]);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(HistoryTree::of(NodeFile::open(&path).unwrap()).unwrap().count(), 77);
        // A leaf whose parents are missing is no range.
        std::fs::write(&path, &bytes[..64]).unwrap();
        assert!(HistoryTree::of(NodeFile::open(&path).unwrap()).is_none());
    }

    #[test]
    fn peaks_alone_prove_later_headers_and_no_earlier_ones() {
        let dir = tempfile::tempdir().unwrap();
        for begun in [1, 2, 6, 7, 8, 21] {
            let (mut whole, mut peaks) = (HistoryTree::default(), History::default());
            (0..begun).for_each(|n| {
                whole.push(header(n));
                peaks.push(header(n));
            });
            let mut sparse = HistoryTree::begin_at(&dir.path().join("history"), &peaks).unwrap();
            for n in begun..begun + 40 {
                sparse.try_push(header(n)).unwrap();
                whole.push(header(n));
                assert_eq!(sparse.root_at(n + 1), whole.root_at(n + 1));
                for index in begun..=n {
                    assert_eq!(sparse.prove(index, n + 1), whole.prove(index, n + 1));
                }
            }
            // Of the earlier leaves no path is known, but for a last one that was a peak by itself.
            for index in 0..begun.saturating_sub(2) {
                assert_eq!(sparse.prove(index, begun + 40), None, "{index} of {begun}");
            }
        }
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
