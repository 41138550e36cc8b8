//! A state as it is kept between blocks: a head that says what follows, and parts.
//!
//! Both the store's checkpoint and the base of a pruned folder have this form. It is used only if the state is the one of the header at its height.

use gongsuan_types::{Height, codec};
use serde::{Deserialize, Serialize};

use crate::genesis::Genesis;
use crate::header::Header;
use crate::state::State;

/// The newest format of checkpoints that this program writes and reads.
pub(crate) const CHECKPOINT_VERSION: u32 = 1;
/// Bytes of one part; the last one may be shorter.
const PART_BYTES: usize = 1 << 20;

/// What stands before the parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    version: u32,
    pub(crate) height: Height,
    bytes: u64,
    /// CRC-32C: some bytes of a state are under no root.
    sum: u32,
}

/// Why there is no state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unusable {
    /// A newer program wrote it.
    Newer(u32),
    /// It is not what was written, or not of this chain.
    Bad(String),
}

impl Head {
    /// Of bytes that are the state after the block of a height.
    fn of(height: Height, bytes: &[u8]) -> Self {
        let sum = crc32c::crc32c(bytes);
        Self { version: CHECKPOINT_VERSION, height, bytes: bytes.len() as u64, sum }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Unusable> {
        // The version stands first in every version.
        match version_of(bytes) {
            Some(version) if version > CHECKPOINT_VERSION => return Err(Unusable::Newer(version)),
            _ => {}
        }
        codec::decode("head of a checkpoint", 64, bytes)
            .map_err(|error| Unusable::Bad(error.to_string()))
    }
}

/// The number that stands first in a record.
pub(crate) fn version_of(bytes: &[u8]) -> Option<u32> {
    let varint = bytes.iter().position(|byte| byte & 0x80 == 0)?;
    codec::decode_own("version", bytes.get(..=varint)?).ok()
}

/// The head and the parts of a state.
pub(crate) fn pack(state: &State) -> (Vec<u8>, Vec<Vec<u8>>) {
    pack_bytes(state.height(), &state.snapshot())
}

/// The head and the parts of the bytes of a state.
pub(crate) fn pack_bytes(height: Height, bytes: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let head = codec::encode(&Head::of(height, bytes));
    (head, bytes.chunks(PART_BYTES).map(<[u8]>::to_vec).collect())
}

/// The state, if it is the one after the header's block.
pub(crate) fn unpack(
    head: &Head,
    parts: &[Vec<u8>],
    header: &Header,
    genesis: &Genesis,
) -> Result<State, Unusable> {
    let bad = |reason: &str| Err(Unusable::Bad(reason.to_owned()));
    let bytes = parts.concat();
    if bytes.len() as u64 != head.bytes || crc32c::crc32c(&bytes) != head.sum {
        return bad("the checkpoint's parts are not what was written");
    }
    let state =
        State::restore(genesis, &bytes).map_err(|error| Unusable::Bad(error.to_string()))?;
    if state.is_of(header) { Ok(state) } else { bad("the checkpoint's root is not the header's") }
}
