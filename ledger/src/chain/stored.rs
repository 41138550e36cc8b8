//! A block as it stands in the log.

use gongsuan_types::{Height, codec};
use serde::{Deserialize, Serialize};

use super::error::ChainError;
use crate::checkpoint::version_of;
use crate::header::{Event, Header, TxReceipt};
use crate::transition::{Applied, OrderedBlock};

/// The newest format of stored blocks that this program writes and reads: the version of their headers.
pub const BLOCK_VERSION: u32 = 1;

/// A block with everything that belongs to it, as it stands in the log. Its bytes begin with the version of its header, which stands for the version
/// of the whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoredBlock {
    /// What it made of the state.
    pub header: Header,
    /// The payload.
    pub body: Vec<u8>,
    /// One for each transaction.
    pub receipts: Vec<TxReceipt>,
    /// The block's own events.
    pub events: Vec<Event>,
    /// What consensus says of it; opaque here.
    pub consensus: Vec<u8>,
}

/// The same without owning it: encodes to the same bytes.
#[derive(Serialize)]
struct Borrowed<'a> {
    header: &'a Header,
    body: &'a [u8],
    receipts: &'a [TxReceipt],
    events: &'a [Event],
    consensus: &'a [u8],
}

/// The bytes that stand in the log for a block and what it did.
pub(super) fn encode(block: &OrderedBlock<'_>, applied: &Applied, consensus: &[u8]) -> Vec<u8> {
    codec::encode(&Borrowed {
        header: &applied.header,
        body: block.body,
        receipts: &applied.receipts,
        events: &applied.events,
        consensus,
    })
}

impl StoredBlock {
    /// Reads a record of the block log.
    ///
    /// # Errors
    /// [`ChainError::NewerVersion`], [`ChainError::Malformed`].
    pub fn decode(height: Height, bytes: &[u8]) -> Result<Self, ChainError> {
        let known = BLOCK_VERSION;
        if let Some(got) = version_of(bytes).filter(|version| *version > known) {
            let what = format!("block {height} in the log");
            return Err(ChainError::NewerVersion { what, got, known });
        }
        let malformed = |reason: String| ChainError::Malformed { height, reason };
        let stored: Self = codec::decode("stored block", usize::MAX, bytes)
            .map_err(|error| malformed(error.to_string()))?;
        if stored.header.height != height {
            return Err(malformed(format!("it is block {}", stored.header.height)));
        }
        Ok(stored)
    }
}

impl OrderedBlock<'_> {
    /// What consensus ordered, of a block that was stored.
    pub(super) fn of(stored: &StoredBlock) -> OrderedBlock<'_> {
        OrderedBlock {
            height: stored.header.height,
            term: stored.header.term,
            time: stored.header.time,
            proposer: stored.header.proposer,
            block: stored.header.block,
            body: &stored.body,
        }
    }
}
