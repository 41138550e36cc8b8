//! Reading one segment from its beginning, and telling a torn tail from damage.

use crate::format::{FRAME_BYTES, Frame, HEADER_BYTES, Header, Kind};

/// Where a record stands in its segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Of its frame.
    pub(crate) offset: u32,
    /// Of its payload.
    pub(crate) length: u32,
}

impl Place {
    pub(crate) fn end(self) -> u64 {
        u64::from(self.offset) + FRAME_BYTES as u64 + u64::from(self.length)
    }
}

/// What a segment holds.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Its whole records.
    pub(crate) places: Vec<Place>,
    /// Where the whole frames end.
    pub(crate) end: usize,
    /// Some frame says that every record before this number is durable.
    pub(crate) durable: u64,
    /// What is wrong with the bytes after `end`, if there are any.
    pub(crate) torn: Option<&'static str>,
}

/// Records are lost, and they were durable once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Damage {
    pub(crate) offset: usize,
    pub(crate) what: &'static str,
}

/// Reads a segment. `bytes` is the whole file, at most `u32::MAX` bytes of it.
pub(crate) fn scan(bytes: &[u8], header: &Header) -> Result<Scan, Damage> {
    let mut found =
        Scan { places: Vec::new(), end: HEADER_BYTES, durable: header.first, torn: None };
    let mut next = header.first;
    while found.end < bytes.len() {
        let at = found.end;
        let (what, after) = match read_frame(&bytes[at..], header.salt) {
            Ok(frame) if frame.sequence != next => {
                return Err(Damage { offset: at, what: "the sequence number is not the next" });
            }
            Ok(frame) => {
                found.durable = found.durable.max(frame.durable);
                found.end += FRAME_BYTES + frame.length as usize;
                if frame.kind == Kind::Record {
                    let offset = u32::try_from(at).unwrap_or(u32::MAX);
                    found.places.push(Place { offset, length: frame.length });
                    next += 1;
                }
                continue;
            }
            Err((what, skip)) => (what, at + skip),
        };
        // A write that never was synced may miss any part of itself. But no frame can say that it was.
        if proves_durable(bytes.get(after..).unwrap_or_default(), header.salt, next) {
            return Err(Damage { offset: at, what });
        }
        found.torn = Some(what);
        break;
    }
    Ok(found)
}

/// A whole frame, or what is wrong and after how many bytes other frames may begin.
fn read_frame(bytes: &[u8], salt: u64) -> Result<Frame, (&'static str, usize)> {
    let Some(frame) = Frame::decode(bytes, salt) else {
        return Err(("no frame with a matching checksum begins here", 1));
    };
    let end = FRAME_BYTES.saturating_add(frame.length as usize);
    let Some(payload) = bytes.get(FRAME_BYTES..end) else {
        return Err(("the record is cut off", bytes.len()));
    };
    if !frame.holds(payload) {
        return Err(("the record's checksum does not match", end));
    }
    Ok(frame)
}

/// Whether a frame anywhere in these bytes says that the record `sequence` was durable.
fn proves_durable(bytes: &[u8], salt: u64, sequence: u64) -> bool {
    (0..bytes.len())
        .filter_map(|at| Frame::decode(&bytes[at..], salt))
        .any(|frame| frame.durable > sequence)
}
