//! The bytes: segment headers and frames. The crate's documentation draws them.

/// The newest format that this program writes and reads.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"GSJRNL\r\n";
/// No earlier segment counts any more.
const FLAG_FRESH: u32 = 1;
const RECORD: [u8; 4] = *b"GREC";
const MARK: [u8; 4] = *b"GMRK";

pub(crate) const HEADER_BYTES: usize = 48;
pub(crate) const FRAME_BYTES: usize = 32;
/// Kept far from the end of `u64`, so that counting on from it cannot overflow.
pub(crate) const SEQUENCE_MAX: u64 = 1 << 62;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) fresh: bool,
    pub(crate) first: u64,
    pub(crate) salt: u64,
    pub(crate) label: [u8; 8],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadHeader {
    Newer(u32),
    Damaged(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Record,
    /// Says that everything before it is durable; holds nothing.
    Mark,
}

/// What stands before each payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// Of the payload, in bytes.
    pub(crate) length: u32,
    /// This record's number; for a mark, the next record's.
    pub(crate) sequence: u64,
    /// When this frame was written, every record before this number was durable.
    pub(crate) durable: u64,
    /// Checksum of the payload.
    pub(crate) sum: u32,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&if self.fresh { FLAG_FRESH } else { 0 }.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.salt.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.label);
        let sum = crc32c::crc32c(&bytes[..44]);
        bytes[44..48].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(BadHeader::Damaged("the segment header is cut off"));
        };
        if bytes[0..8] != MAGIC {
            return Err(BadHeader::Damaged("this is not a segment"));
        }
        // Before the checksum: a newer version may keep it elsewhere.
        let version = u32_at(bytes, 8);
        if version > VERSION {
            return Err(BadHeader::Newer(version));
        }
        let sum = crc32c::crc32c(&bytes[..44]);
        let (flags, first) = (u32_at(bytes, 12), u64_at(bytes, 16));
        let known = version == VERSION && flags <= FLAG_FRESH && u32_at(bytes, 40) == 0;
        if sum != u32_at(bytes, 44) || !known || first > SEQUENCE_MAX {
            return Err(BadHeader::Damaged("the segment header's checksum does not match"));
        }
        let mut label = [0; 8];
        label.copy_from_slice(&bytes[32..40]);
        Ok(Self { fresh: flags == FLAG_FRESH, first, salt: u64_at(bytes, 24), label })
    }
}

impl Frame {
    pub(crate) fn record(sequence: u64, durable: u64, payload: &[u8], length: u32) -> Self {
        Self { kind: Kind::Record, length, sequence, durable, sum: crc32c::crc32c(payload) }
    }

    pub(crate) fn mark(next: u64) -> Self {
        Self { kind: Kind::Mark, length: 0, sequence: next, durable: next, sum: 0 }
    }

    pub(crate) fn encode(&self, salt: u64) -> [u8; FRAME_BYTES] {
        let mut bytes = [0; FRAME_BYTES];
        bytes[0..4].copy_from_slice(match self.kind {
            Kind::Record => &RECORD,
            Kind::Mark => &MARK,
        });
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.durable.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.sum.to_le_bytes());
        let sum = head_sum(&bytes, salt);
        bytes[28..32].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The frame at the beginning of these bytes, if there is one. The payload is not looked at.
    pub(crate) fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let bytes = bytes.first_chunk::<FRAME_BYTES>()?;
        let kind = match *bytes.first_chunk()? {
            RECORD => Kind::Record,
            MARK => Kind::Mark,
            _ => return None,
        };
        if head_sum(bytes, salt) != u32_at(bytes, 28) {
            return None;
        }
        let frame = Self {
            kind,
            length: u32_at(bytes, 4),
            sequence: u64_at(bytes, 8),
            durable: u64_at(bytes, 16),
            sum: u32_at(bytes, 24),
        };
        let sound = frame.durable <= frame.sequence && (kind == Kind::Record || frame.length == 0);
        sound.then_some(frame)
    }

    pub(crate) fn holds(&self, payload: &[u8]) -> bool {
        crc32c::crc32c(payload) == self.sum
    }
}

/// The checksum of a frame's head, in which the payload's checksum stands.
fn head_sum(bytes: &[u8; FRAME_BYTES], salt: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), &bytes[..28])
}
