//! Snapshots: how a node that is far behind, or new, gets the state without the log.
//!
//! The application makes a snapshot of its state at certain heights, the same ones on every node, and cuts it into pieces
//! in a way that depends on the state alone. So honest nodes offer equal pieces, and f + 1 equal offers hold the word of
//! an honest one. The state itself is certified: a committed header names its hash.

use gongsuan_types::{Hash, Height, merkle};
use serde::{Deserialize, Serialize};

use crate::certificate::{CertifiedHeader, CommittedBlock};
use crate::message::Blocks;

/// Bytes of one piece, at most.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Pieces of one snapshot, at most: with pieces of 1 MiB, 64 GiB.
pub const CHUNKS_MAX: u32 = 1 << 16;

/// A snapshot as a peer offers it, with the proof that its state is the chain's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SnapshotOffer {
    /// The height whose state it is: that of the first block in `proof`.
    pub height: Height,
    /// The state's hash, as a header in `proof` names it.
    pub app: Hash,
    /// The Merkle root over the pieces ([`merkle::leaf`] of each).
    pub root: Hash,
    /// How many pieces there are.
    pub chunks: u32,
    /// The last blocks of all epochs before that of `proof`, by rising epoch: each proves who votes in the next.
    pub path: Vec<CertifiedHeader>,
    /// The blocks from `height` to one that is certified; one of them names this state. All are of one epoch.
    pub proof: Blocks,
}

impl SnapshotOffer {
    /// The block whose state it is, as the newest one of a log: what a restart begins with
    /// ([`Recovered::set_committed`](crate::Recovered::set_committed)) until further blocks are there.
    #[must_use]
    pub fn committed(&self) -> Option<CommittedBlock> {
        let proposal = self.proof.proposals.first()?.clone();
        Some(CommittedBlock { proposal, certificate: self.proof.certificate.clone() })
    }
}

/// Asks for a piece.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct FetchChunk {
    /// [`SnapshotOffer::root`].
    pub root: Hash,
    /// Which piece, from 0.
    pub index: u32,
}

/// A piece, with its path to the root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Chunk {
    /// [`SnapshotOffer::root`].
    pub root: Hash,
    /// The path: it holds the piece's index and the number of pieces.
    pub proof: merkle::Proof,
    /// The piece.
    #[serde(with = "serde_bytes_vec")]
    pub bytes: Vec<u8>,
}

/// Byte strings as byte strings, not as lists of numbers.
mod serde_bytes_vec {
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        use serde::Deserialize as _;
        let payload = crate::block::Payload::deserialize(deserializer)?;
        Ok(payload.bytes().to_vec())
    }
}

/// A state in pieces: what every honest node makes in the same way. Hashed once, however often it is served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pieces {
    root: Hash,
    leaves: Vec<Hash>,
    chunks: Vec<Vec<u8>>,
}

impl Pieces {
    /// Cuts a state into pieces of so many bytes, at most [`CHUNK_BYTES_MAX`]; the last may be shorter.
    #[must_use]
    pub fn cut(state: &[u8], chunk_bytes: usize) -> Self {
        let size = chunk_bytes.clamp(1, CHUNK_BYTES_MAX);
        let mut chunks: Vec<Vec<u8>> = state.chunks(size).map(<[u8]>::to_vec).collect();
        if chunks.is_empty() {
            chunks.push(Vec::new());
        }
        let leaves: Vec<Hash> = chunks.iter().map(|chunk| merkle::leaf(chunk)).collect();
        Self { root: merkle::root(&leaves), leaves, chunks }
    }

    /// The Merkle root over the pieces: [`SnapshotOffer::root`].
    #[must_use]
    pub fn root(&self) -> Hash {
        self.root
    }

    /// How many there are: [`SnapshotOffer::chunks`].
    #[must_use]
    pub fn count(&self) -> usize {
        self.chunks.len()
    }

    /// One piece with its path; `None` if there is no such piece.
    #[must_use]
    pub fn piece(&self, index: u32) -> Option<Chunk> {
        let at = usize::try_from(index).ok()?;
        let proof = merkle::Proof::new(&self.leaves, at)?;
        Some(Chunk { root: self.root, proof, bytes: self.chunks.get(at)?.clone() })
    }
}
