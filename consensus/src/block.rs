//! Blocks: a signed header, and the opaque payload that travels beside it.

use std::sync::Arc;

use gongsuan_types::{Hash, Hasher, Height, SecretKey, Signature, Term, TimeMs, codec};
use serde::{Deserialize, Serialize};

use crate::certificate::{Qc, Tc};
use crate::validators::{Seat, ValidatorSet};

/// What is ordered. Cheap to clone; the core never looks inside.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload(Arc<[u8]>);

impl Payload {
    /// A payload from its bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the header commits to.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of("gongsuan/consensus/payload/v1", &self.0)
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

impl Serialize for Payload {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> serde::de::Visitor<'de> for Bytes {
            type Value = Payload;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Payload, E> {
                Ok(Payload(bytes.into()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Payload, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element::<u8>()? {
                    bytes.push(byte);
                }
                Ok(Payload::new(bytes))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// The newest state the leader had computed when it proposed: the driver's business (a height of its own and the hash
/// that stands for everything up to it). A commit certifies it together with the block.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct AppRef {
    /// The height whose state is meant.
    pub height: Height,
    /// The hash that commits to that state.
    pub hash: Hash,
}

/// Where a block stands: term first, then height. At most one block of a rank can be certified.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct Rank {
    /// The term in which the block was proposed.
    pub term: Term,
    /// The block's height.
    pub height: Height,
}

/// What a leader proposes, without the payload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The epoch of the validator set.
    pub epoch: u64,
    /// The term whose leader proposes it.
    pub term: Term,
    /// The parent's height plus one. Genesis is 0 and has no header.
    pub height: Height,
    /// The parent's hash; [`genesis`] for the block at height 1.
    pub parent: Hash,
    /// The highest certificate the leader held. In a first block: the highest one of `tc`.
    pub justify: Qc,
    /// In the first block of a term, and only there: the proof that the term before is over. Absent in the first term
    /// of an epoch.
    pub tc: Option<Tc>,
    /// [`Payload::hash`] of the payload.
    pub payload_hash: Hash,
    /// The newest state the leader had computed.
    pub app: AppRef,
    /// The block's time: later than the parent's.
    pub time: TimeMs,
    /// The leader of the term.
    pub proposer: Seat,
    /// In the last block of an epoch, and only there: who votes in the next one. Nothing follows it in this epoch.
    pub next: Option<ValidatorSet>,
}

/// A header and the leader's signature over its hash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// The proposer's signature over [`Header::hash`].
    pub signature: Signature,
}

/// A block with its payload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proposal {
    /// The block.
    pub block: Block,
    /// The payload that the block commits to.
    pub payload: Payload,
}

/// The hash that stands for the empty chain: the parent of the block at height 1.
#[must_use]
pub fn genesis(chain_id: &Hash, epoch: u64) -> Hash {
    let mut hasher = Hasher::new("gongsuan/consensus/genesis/v1");
    hasher.update(&chain_id.0).update(&epoch.to_le_bytes());
    hasher.finish()
}

impl Header {
    /// The block's identity: binds the chain and everything in the header, not the signature.
    #[must_use]
    pub fn hash(&self, chain_id: &Hash) -> Hash {
        let mut hasher = Hasher::new("gongsuan/consensus/block/v1");
        hasher.update(&chain_id.0).part(&codec::encode(self));
        hasher.finish()
    }

    /// Term and height.
    #[must_use]
    pub fn rank(&self) -> Rank {
        Rank { term: self.term, height: self.height }
    }

    /// Whether the block ends its epoch.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.next.is_some()
    }
}

impl Block {
    /// Signs a header. The caller checks that the key is the proposer's.
    #[must_use]
    pub fn sign(header: Header, chain_id: &Hash, key: &SecretKey) -> Self {
        let signature = key.sign(&header.hash(chain_id));
        Self { header, signature }
    }

    /// [`Header::hash`].
    #[must_use]
    pub fn hash(&self, chain_id: &Hash) -> Hash {
        self.header.hash(chain_id)
    }
}
