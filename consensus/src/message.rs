//! What validators send each other.

use gongsuan_types::codec::{self, DecodeError};
use gongsuan_types::{Hash, Height, Term};
use serde::{Deserialize, Serialize};

use crate::block::{Proposal, Rank};
use crate::certificate::{CommittedBlock, Qc, Tc};
use crate::snapshot::{Chunk, FetchChunk, SnapshotOffer};
use crate::vote::{JoinedVote, Suspect, Timeout, Vote};

/// Bytes of one encoded message, at most: what the transport must be able to carry in a frame.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Payload bytes of one block, at most, so that a whole window of blocks fits in one [`Blocks`] message.
pub const PAYLOAD_BYTES_MAX: usize = 384 << 10;

/// Blocks in one [`Blocks`] message, at most.
pub const BLOCKS_MAX: usize = 256;

/// A message between validators. Bytes are decoded with [`Message::decode`] and become a
/// [`VerifiedMessage`](crate::VerifiedMessage) only through [`verify`](crate::verify()).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// A leader's block, or the answer to [`Message::FetchBlock`]; whoever sends it, the leader signed it.
    Propose(Box<Proposal>),
    /// A PREPARE or COMMIT vote.
    Vote(Vote),
    /// A PREPARE and a COMMIT under one signature.
    Votes(Box<JoinedVote>),
    /// A certificate by itself: the answer to a peer that lacks it.
    Certificate(Qc),
    /// "I would end this term."
    Suspect(Suspect),
    /// "I end this term."
    Timeout(Box<Timeout>),
    /// The term is over.
    TermOver(Box<Tc>),
    /// A leader's word at the start of its term that there is nothing to propose: the highest certificate is of the
    /// epoch's last block, which is voted for again. Counts only from the leader itself.
    Reopen(Box<Tc>),
    /// Heartbeat: where the sender stands.
    Status(Status),
    /// Asks for one block by hash, committed or not.
    FetchBlock(FetchBlock),
    /// Asks for committed blocks.
    FetchRange(FetchRange),
    /// Committed blocks, from the driver's log.
    Blocks(Box<Blocks>),
    /// "Those blocks are gone; there is a snapshot."
    Snapshot(Box<SnapshotOffer>),
    /// Asks for a piece of a snapshot.
    FetchChunk(FetchChunk),
    /// A piece of a snapshot.
    Chunk(Box<Chunk>),
}

/// Where a validator stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Its epoch.
    pub epoch: u64,
    /// Its term.
    pub term: Term,
    /// Its committed height.
    pub committed: Height,
    /// The rank of its highest certificate.
    pub high: Rank,
}

/// Asks for one block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FetchBlock {
    /// The block's hash.
    pub block: Hash,
    /// Its height: a peer that has committed it already answers with its commit certificate instead.
    pub height: Height,
}

/// Asks for committed blocks from a height on; the peer decides how many it sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FetchRange {
    /// The first height wanted.
    pub from_height: Height,
}

/// A range of committed blocks, oldest first, linked by their hashes, with the COMMIT certificate of the last one.
/// One certificate proves them all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Blocks {
    /// The blocks with their payloads, heights rising by one.
    pub proposals: Vec<Proposal>,
    /// The COMMIT certificate of the last block.
    pub certificate: Qc,
}

impl Blocks {
    /// The longest prefix of a log range that can be sent: it ends at a block that has a certificate of its own, and
    /// stays within `bytes_max` and [`BLOCKS_MAX`] if any such prefix does, and within one epoch. `None` if the range has
    /// no certified block.
    pub fn from_log(
        range: impl IntoIterator<Item = CommittedBlock>,
        bytes_max: usize,
    ) -> Option<Self> {
        let mut proposals = Vec::new();
        let mut bytes = 0usize;
        let mut best: Option<(usize, Qc)> = None;
        for block in range {
            // A header is small beside this allowance even with two certificates of a large set inside.
            bytes += block.proposal.payload.bytes().len() + header_bytes(&block);
            if best.is_some() && (bytes > bytes_max || proposals.len() >= BLOCKS_MAX) {
                break;
            }
            let certificate = block.is_certified().then_some(block.certificate);
            let ends_epoch = block.proposal.block.header.is_final();
            proposals.push(block.proposal);
            if let Some(certificate) = certificate {
                best = Some((proposals.len(), certificate));
            }
            if ends_epoch {
                break;
            }
        }
        let (len, certificate) = best?;
        proposals.truncate(len);
        Some(Self { proposals, certificate })
    }
}

fn header_bytes(block: &CommittedBlock) -> usize {
    let header = &block.proposal.block.header;
    let shares = header.tc.as_ref().map_or(0, |tc| tc.shares.len() + tc.high.signatures.len() + 3);
    512 + 96 * (header.justify.signatures.len() + shares)
}

impl Message {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The message whose canonical encoding `bytes` is. Signatures are not checked yet.
    ///
    /// # Errors
    /// [`DecodeError`]; the length is checked first, before any allocation.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode("consensus message", MESSAGE_BYTES_MAX, bytes)
    }

    /// Whether it belongs in the queue of large messages, behind votes and certificates.
    #[must_use]
    pub fn is_bulk(&self) -> bool {
        matches!(self, Self::Blocks(_) | Self::Snapshot(_) | Self::Chunk(_) | Self::FetchChunk(_))
    }
}
