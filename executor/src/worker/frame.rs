//! Frames between a pool and its worker: two lengths, a small header in the canonical codec, then raw bytes.
//!
//! ```text
//! u32 header length │ u32 blob length │ header │ blob        (lengths little-endian)
//! ```

use std::io::{self, Read, Write};

use gongsuan_types::codec;
use gongsuan_types::job::{JobSpec, OUTPUT_BYTES_MAX};
use gongsuan_types::receipt::Receipt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::cage::Protections;
use crate::meter::MODULE_BYTES_MAX;
use crate::wasi::LOG_BYTES_MAX;
use crate::{EngineKind, ModuleError, RunError};

/// Changes with every change of a message.
pub(super) const PROTOCOL: u16 = 2;
/// A header holds a job specification at most.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// The input of a segment in bytes, at most: what the blob store holds in one piece.
pub(crate) const INPUT_BYTES_MAX: usize = 16 << 20;
/// A blob from the parent: a module or an input.
pub(super) const DOWN_BYTES_MAX: usize =
    if MODULE_BYTES_MAX > INPUT_BYTES_MAX { MODULE_BYTES_MAX } else { INPUT_BYTES_MAX };
/// A blob from the child: an output with its log.
pub(super) const UP_BYTES_MAX: usize = OUTPUT_BYTES_MAX as usize + LOG_BYTES_MAX;

/// What the parent says.
#[derive(Serialize, Deserialize, Debug)]
pub(super) enum Down {
    /// The job. Blob: the shared input if there is one.
    Job { engine: EngineKind, spec: JobSpec, shared_input: bool },
    /// The module that was missing. Blob: the module.
    Module,
    /// One segment. Blob: its own input if the job has no shared one.
    Run { segment: u32 },
}

/// What the child says.
#[derive(Serialize, Deserialize, Debug)]
pub(super) enum Up {
    /// It stands.
    Hello { protocol: u16, protections: Protections },
    /// The job's module is not among those that the child has compiled.
    Missing,
    /// The job is loaded.
    Ready,
    /// The module may not run; its segments will say so.
    Refused(ModuleError),
    /// A segment is done. Blob: output, then log.
    Done { receipt: Receipt, output_bytes: u32 },
    /// This worker cannot do what was asked.
    Failed(RunError),
}

pub(super) fn write<T: Serialize>(
    to: &mut impl Write,
    header: &T,
    blobs: &[&[u8]],
) -> io::Result<()> {
    let header = codec::encode(header);
    let blob_bytes: usize = blobs.iter().map(|blob| blob.len()).sum();
    to.write_all(&length(header.len())?.to_le_bytes())?;
    to.write_all(&length(blob_bytes)?.to_le_bytes())?;
    to.write_all(&header)?;
    for blob in blobs {
        to.write_all(blob)?;
    }
    to.flush()
}

fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(|_| garbage(format!("a part of {bytes} bytes")))
}

/// The next frame; `None` at the end of the stream between two frames.
pub(super) fn read<T: Serialize + DeserializeOwned>(
    from: &mut impl Read,
    blob_max: usize,
) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut lengths = [0; 8];
    let first = from.read(&mut lengths[..1])?;
    if first == 0 {
        return Ok(None);
    }
    from.read_exact(&mut lengths[1..])?;
    let [a, b, c, d, e, f, g, h] = lengths;
    let header = part(from, u32::from_le_bytes([a, b, c, d]), HEADER_BYTES_MAX, "header")?;
    let blob_length = u32::from_le_bytes([e, f, g, h]);
    let header = codec::decode("frame", HEADER_BYTES_MAX, &header)
        .map_err(|error| garbage(error.to_string()))?;
    let blob = part(from, blob_length, blob_max, "blob")?;
    Ok(Some((header, blob)))
}

fn part(from: &mut impl Read, bytes: u32, limit: usize, what: &str) -> io::Result<Vec<u8>> {
    let bytes = bytes as usize;
    if bytes > limit {
        return Err(garbage(format!("a {what} of {bytes} bytes, the limit is {limit}")));
    }
    let mut buffer = vec![0; bytes];
    from.read_exact(&mut buffer)?;
    Ok(buffer)
}

fn garbage(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_as_it_was_written() {
        let mut bytes = Vec::new();
        write(&mut bytes, &Down::Run { segment: 7 }, &[b"ab", b"c"]).unwrap();
        let mut from = bytes.as_slice();
        let (header, blob) = read::<Down>(&mut from, 3).unwrap().unwrap();
        assert!(matches!(header, Down::Run { segment: 7 }));
        assert_eq!(blob, b"abc");
        assert!(read::<Down>(&mut from, 3).unwrap().is_none());
    }

    #[test]
    fn a_lying_length_is_refused_before_anything_is_allocated() {
        let mut bytes = Vec::new();
        write(&mut bytes, &Down::Run { segment: 7 }, &[b"abcd"]).unwrap();
        let error = read::<Down>(&mut bytes.as_slice(), 3).unwrap_err();
        assert_eq!(error.to_string(), "a blob of 4 bytes, the limit is 3");
        let error = read::<Down>(&mut [0xff; 64].as_slice(), 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_frame_cut_in_the_middle_is_an_error_not_an_end() {
        let mut bytes = Vec::new();
        write(&mut bytes, &Down::Run { segment: 7 }, &[b"abcd"]).unwrap();
        bytes.truncate(bytes.len() - 1);
        let error = read::<Down>(&mut bytes.as_slice(), 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
