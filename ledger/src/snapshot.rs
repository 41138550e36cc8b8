//! A state as files: to start a node without executing the whole chain, and to hand a state to an auditor.
//!
//! A snapshot is a manifest and numbered parts. The manifest names the header whose state it is, and the hash of every part; the parts,
//! one after another, are the state's own bytes. Whoever imports one does so against a header that it trusts (from a light client, for instance):
//!
//! 1. [`Manifest::check`]: chain, format version, and the header is the trusted one;
//! 2. [`Manifest::check_part`]: as parts arrive, from anywhere, in any order;
//! 3. [`import`]: the state is rebuilt from all of them, every record is hashed, and the root must be the trusted header's.
//!
//! # What the header covers
//! Everything in a snapshot. The state root covers every record: accounts, holds, attestations, orders, deals, providers, supply, and the market's
//! registers (its counters, and the bids that it will search for again). The history's root is in the header. The market's rules must be those of the
//! genesis, which the chain's id names, and its moment that of the header. What else is derived from records is not in the bytes, and the bytes must be
//! those that the state would be exported to.

use gongsuan_types::{Hash, Height, Refusal, codec};
use serde::{Deserialize, Serialize};

use crate::genesis::Genesis;
use crate::header::Header;
use crate::state::State;

/// The version of the format. Newer ones are refused.
pub const SNAPSHOT_VERSION: u32 = 1;
/// Bytes of a part; the last one may be shorter.
pub const PART_BYTES: usize = 1 << 20;
/// Parts, at most: 64 GiB.
pub const PARTS_MAX: usize = 1 << 16;

/// Bytes of a header, at most.
const HEADER_BYTES_MAX: usize = 4 << 10;

/// What a snapshot is of, and the hashes of its parts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SNAPSHOT_VERSION`].
    pub version: u32,
    /// The header after whose block the state is this.
    pub header: Header,
    /// Bytes of the last part; the others have [`PART_BYTES`].
    pub last_bytes: u32,
    /// The hash of each part, tagged with its number.
    pub parts: Vec<Hash>,
}

/// Why a snapshot is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Of another version.
    #[error("the snapshot has version {got}, this program reads {SNAPSHOT_VERSION}")]
    Version {
        /// Which.
        got: u32,
    },
    /// Of another chain or another block.
    #[error("the snapshot is not of the trusted header")]
    Header,
    /// Impossible numbers of parts or bytes.
    #[error("the manifest's parts are out of range")]
    Shape,
    /// A part is missing, or is not the one that the manifest names.
    #[error("part {number} is missing or damaged")]
    Part {
        /// Which, from 0.
        number: usize,
    },
    /// The parts are not a state.
    #[error("the parts are not a state: {0}")]
    Malformed(Refusal),
    /// The state is another one.
    #[error("the state is not the trusted header's")]
    Differs,
}

fn part_hash(number: usize, bytes: &[u8]) -> Hash {
    let mut hasher = gongsuan_types::Hasher::new("gongsuan/snapshot/part/v1");
    hasher.update(&(number as u64).to_le_bytes()).part(bytes);
    hasher.finish()
}

/// The state after the block of `header`, as a manifest and parts.
///
/// # Errors
/// [`SnapshotError::Differs`] if the state is not the header's.
pub fn export(state: &State, header: &Header) -> Result<(Manifest, Vec<Vec<u8>>), SnapshotError> {
    if !state.is_of(header) {
        return Err(SnapshotError::Differs);
    }
    let bytes = state.snapshot();
    let parts: Vec<Vec<u8>> = bytes.chunks(PART_BYTES).map(<[u8]>::to_vec).collect();
    let manifest = Manifest {
        version: SNAPSHOT_VERSION,
        header: *header,
        last_bytes: u32::try_from(parts.last().map_or(0, Vec::len)).unwrap_or(0),
        parts: parts.iter().enumerate().map(|(number, part)| part_hash(number, part)).collect(),
    };
    Ok((manifest, parts))
}

/// The state after the block of `header` as one string of bytes, which depends on nothing else: what nodes give each other in pieces. The length of the
/// header's canonical bytes (u32, little endian), those, and the state's own.
///
/// # Panics
/// Never: a header is short.
#[must_use]
pub fn pack(header: &Header, state: &State) -> Vec<u8> {
    let header = codec::encode(header);
    let length = u32::try_from(header.len()).expect("a header is short");
    [&length.to_le_bytes(), header.as_slice(), &state.snapshot()].concat()
}

/// The header and the state of [`pack`], if the header is the one of this height and hash, which the caller trusts.
///
/// # Errors
/// A [`SnapshotError`].
pub fn unpack(
    genesis: &Genesis,
    (height, hash): (Height, Hash),
    bytes: &[u8],
) -> Result<(Header, State), SnapshotError> {
    let split = bytes.split_first_chunk::<4>().and_then(|(length, rest)| {
        rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
    });
    let (header, rest) = split.ok_or(SnapshotError::Shape)?;
    let header: Header =
        codec::decode("header", HEADER_BYTES_MAX, header).map_err(|_| SnapshotError::Shape)?;
    if (header.height, header.hash()) != (height, hash) {
        return Err(SnapshotError::Header);
    }
    let state = State::restore(genesis, rest).map_err(SnapshotError::Malformed)?;
    let whole = state.is_of(&header) && state.snapshot() == rest;
    if whole { Ok((header, state)) } else { Err(SnapshotError::Differs) }
}

impl Manifest {
    /// Checks everything about a manifest but its parts. Do this before fetching any.
    ///
    /// # Errors
    /// A [`SnapshotError`].
    pub fn check(&self, trusted: &Header) -> Result<(), SnapshotError> {
        if self.version != SNAPSHOT_VERSION {
            return Err(SnapshotError::Version { got: self.version });
        }
        if self.header != *trusted {
            return Err(SnapshotError::Header);
        }
        let sized = (1..=PARTS_MAX).contains(&self.parts.len());
        if !sized || !(1..=PART_BYTES).contains(&(self.last_bytes as usize)) {
            return Err(SnapshotError::Shape);
        }
        Ok(())
    }

    /// Checks one part.
    ///
    /// # Errors
    /// [`SnapshotError::Part`].
    pub fn check_part(&self, number: usize, bytes: &[u8]) -> Result<(), SnapshotError> {
        let last = number + 1 == self.parts.len();
        let length = if last { self.last_bytes as usize } else { PART_BYTES };
        let right = bytes.len() == length
            && self.parts.get(number).is_some_and(|hash| *hash == part_hash(number, bytes));
        if right { Ok(()) } else { Err(SnapshotError::Part { number }) }
    }

    /// The manifest's canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a manifest from its canonical bytes.
    ///
    /// # Errors
    /// [`SnapshotError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let limit = 1024 + 32 * PARTS_MAX;
        codec::decode("manifest", limit, bytes).map_err(|error| {
            let got = format!("{} bytes", bytes.len());
            let error = error.to_string();
            SnapshotError::Malformed(Refusal::new("malformed", "manifest", limit, got, error))
        })
    }
}

/// The state that a snapshot holds, if it is the one of the trusted header.
///
/// # Errors
/// A [`SnapshotError`]; nothing is kept.
pub fn import(
    genesis: &Genesis,
    trusted: &Header,
    manifest: &Manifest,
    parts: &[Vec<u8>],
) -> Result<State, SnapshotError> {
    manifest.check(trusted)?;
    if parts.len() != manifest.parts.len() {
        return Err(SnapshotError::Part { number: parts.len().min(manifest.parts.len()) });
    }
    for (number, part) in parts.iter().enumerate() {
        manifest.check_part(number, part)?;
    }
    let bytes = parts.concat();
    let state = State::restore(genesis, &bytes).map_err(SnapshotError::Malformed)?;
    // A state has one form: bytes that mean nothing are a lie too.
    let whole = state.is_of(trusted) && state.snapshot() == bytes;
    if whole { Ok(state) } else { Err(SnapshotError::Differs) }
}
