//! The append-only block log: the truth about what was decided.
//!
//! A segment file holds records one after another: `length u32 | crc32c u32 | height u64 | payload`, little-endian; the checksum covers
//! height and payload. One `fdatasync` per append. On opening, a torn last record is cut; damage before it is refused, because what follows
//! was acknowledged.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use gongsuan_types::Height;

/// Bytes of a segment before the next one is begun.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Bytes of one record's payload, at most.
const RECORD_BYTES_MAX: u32 = 16 << 20;
const FRAME: usize = 16;

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The disk said no. The handle refuses further use.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// A record before the last one is damaged.
    #[error(
        "{path} is damaged at byte {offset}: {what}; restore the file, or remove the node's data and let it catch up"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How.
        what: &'static str,
    },
    /// Heights must follow.
    #[error("expected height {expected}, got {got}")]
    OutOfOrder {
        /// The next height.
        expected: Height,
        /// What came.
        got: Height,
    },
    /// A write failed before: nothing may be added to what may be lost.
    #[error("the log failed before and accepts nothing more")]
    Poisoned,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    segment: usize,
    offset: u64,
    length: u32,
}

/// The log of one node.
#[derive(Debug)]
pub struct BlockLog {
    dir: PathBuf,
    segments: Vec<PathBuf>,
    places: Vec<Place>,
    file: Option<File>,
    end: u64,
    poisoned: bool,
}

fn io<T>(path: &Path, result: std::io::Result<T>) -> Result<T, LogError> {
    result.map_err(|source| LogError::Io { path: path.to_owned(), source })
}

/// Makes a directory's entries durable.
///
/// # Errors
/// What the system said.
pub fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

fn crc(height: u64, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&height.to_le_bytes()), payload)
}

impl BlockLog {
    /// Opens or creates the log in a folder; heights begin at 1.
    ///
    /// # Errors
    /// [`LogError`]: unreadable, or damaged before the last record.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        io(dir, std::fs::create_dir_all(dir))?;
        let mut segments: Vec<PathBuf> = io(dir, std::fs::read_dir(dir))?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        segments.sort();
        let mut log = Self {
            dir: dir.to_owned(),
            segments,
            places: Vec::new(),
            file: None,
            end: 0,
            poisoned: false,
        };
        for segment in 0..log.segments.len() {
            log.scan(segment)?;
        }
        if let Some(path) = log.segments.last() {
            let file = io(path, OpenOptions::new().read(true).write(true).open(path))?;
            if io(path, file.metadata())?.len() > log.end {
                io(path, file.set_len(log.end))?;
                io(path, file.sync_all())?;
            }
            log.file = Some(file);
        }
        Ok(log)
    }

    fn scan(&mut self, segment: usize) -> Result<(), LogError> {
        let path = self.segments[segment].clone();
        let last = segment + 1 == self.segments.len();
        let bytes = io(&path, std::fs::read(&path))?;
        let mut offset = 0;
        while offset < bytes.len() {
            match read_record(&bytes[offset..], self.places.len() as u64 + 1) {
                Ok(length) => {
                    self.places.push(Place { segment, offset: offset as u64, length });
                    offset += FRAME + length as usize;
                }
                Err(Bad::Torn(_)) if last => break,
                Err(Bad::Torn(what) | Bad::Middle(what)) => {
                    return Err(LogError::Damaged { path, offset: offset as u64, what });
                }
            }
        }
        self.end = offset as u64;
        Ok(())
    }

    /// The height of the last record, 0 if there is none.
    #[must_use]
    pub fn head(&self) -> Height {
        Height(self.places.len() as u64)
    }

    /// Appends records and makes them durable with one sync. They are there after a power cut, or none of them was acknowledged.
    ///
    /// # Errors
    /// [`LogError`]; after a failed write or sync the log refuses further use.
    ///
    /// # Panics
    /// Never: a segment is open by then.
    pub fn append(&mut self, first: Height, payloads: &[Vec<u8>]) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        let expected = self.head().next();
        if first != expected {
            return Err(LogError::OutOfOrder { expected, got: first });
        }
        self.poisoned = true;
        if self.file.is_none() || self.end >= SEGMENT_BYTES {
            self.begin_segment(first)?;
        }
        let segment = self.segments.len() - 1;
        let path = self.segments[segment].clone();
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        for (height, payload) in (first.0..).zip(payloads) {
            let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            if length > RECORD_BYTES_MAX {
                let source = std::io::Error::other("a record is too long");
                return Err(LogError::Io { path, source });
            }
            places.push(Place { segment, offset: self.end + bytes.len() as u64, length });
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&crc(height, payload).to_le_bytes());
            bytes.extend_from_slice(&height.to_le_bytes());
            bytes.extend_from_slice(payload);
        }
        let file = self.file.as_mut().expect("a segment is open");
        io(&path, file.seek(SeekFrom::Start(self.end)))?;
        io(&path, file.write_all(&bytes))?;
        io(&path, file.sync_data())?;
        self.end += bytes.len() as u64;
        self.places.extend(places);
        self.poisoned = false;
        Ok(())
    }

    fn begin_segment(&mut self, first: Height) -> Result<(), LogError> {
        let path = self.dir.join(format!("{:020}.log", first.0));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        self.file = Some(io(&path, file)?);
        io(&self.dir, sync_dir(&self.dir))?;
        self.segments.push(path);
        self.end = 0;
        Ok(())
    }

    /// Reads a record; `None` beyond the head or at 0. The checksum is verified on every read.
    ///
    /// # Errors
    /// [`LogError`]: unreadable or damaged.
    pub fn read(&self, height: Height) -> Result<Option<Vec<u8>>, LogError> {
        let index = height.0.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let Some(place) = index.and_then(|index| self.places.get(index)) else { return Ok(None) };
        let path = &self.segments[place.segment];
        let mut file = io(path, File::open(path))?;
        io(path, file.seek(SeekFrom::Start(place.offset)))?;
        let mut bytes = vec![0; FRAME + place.length as usize];
        io(path, file.read_exact(&mut bytes))?;
        match read_record(&bytes, height.0) {
            Ok(_) => Ok(Some(bytes.split_off(FRAME))),
            Err(Bad::Torn(what) | Bad::Middle(what)) => {
                Err(LogError::Damaged { path: path.clone(), offset: place.offset, what })
            }
        }
    }
}

enum Bad {
    /// The record is the last thing in the file and not whole: a torn write.
    Torn(&'static str),
    /// More follows a bad record.
    Middle(&'static str),
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn read_record(bytes: &[u8], expected: u64) -> Result<u32, Bad> {
    let frame = (number(bytes, 0), number(bytes, 4), number(bytes, 8));
    let (Some(length), Some(sum), Some(height)) = frame else {
        return Err(Bad::Torn("the frame is cut off"));
    };
    let (length, sum) = (u32::from_le_bytes(length), u32::from_le_bytes(sum));
    let height = u64::from_le_bytes(height);
    let end = FRAME + length as usize;
    let Some(payload) = bytes.get(FRAME..end) else {
        return Err(Bad::Torn("the record is cut off"));
    };
    // Of a torn write, any part may be missing, but nothing whole can follow it.
    let rest_is_empty = bytes[end..].iter().all(|byte| *byte == 0);
    if crc(height, payload) != sum {
        let bad = if rest_is_empty { Bad::Torn } else { Bad::Middle };
        return Err(bad("the checksum does not match"));
    }
    if height != expected {
        return Err(Bad::Middle("the height is not the next"));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(dir: &Path) -> PathBuf {
        let mut log = BlockLog::open(dir).unwrap();
        for height in 1..=5u8 {
            log.append(Height(height.into()), &[vec![height; 20 * usize::from(height)]]).unwrap();
        }
        log.segments[0].clone()
    }

    #[test]
    fn a_log_cut_at_any_byte_keeps_every_whole_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = filled(dir.path());
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut log = BlockLog::open(dir.path()).unwrap();
            let (mut end, mut kept) = (0, 0);
            for height in 1..=5 {
                end += FRAME + 20 * height;
                kept += u64::from(end <= cut);
            }
            assert_eq!(log.head(), Height(kept), "cut at {cut}");
            log.append(Height(kept + 1), &[b"next".to_vec()]).unwrap();
            assert_eq!(log.read(Height(kept + 1)).unwrap().unwrap(), b"next");
            drop(log);
            assert_eq!(BlockLog::open(dir.path()).unwrap().head(), Height(kept + 1));
        }
    }

    #[test]
    fn a_flipped_bit_before_the_last_record_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = filled(dir.path());
        let whole = std::fs::read(&path).unwrap();
        let last = whole.len() - FRAME - 100;
        for at in (4..last).step_by(3) {
            let mut bent = whole.clone();
            bent[at] ^= 4;
            std::fs::write(&path, &bent).unwrap();
            let opened = BlockLog::open(dir.path());
            let cut_early = matches!(&opened, Ok(log) if log.head().0 < 5);
            assert!(!matches!(&opened, Ok(log) if log.head().0 == 5), "byte {at}");
            if cut_early {
                // A bent length can claim the rest of the file: then it looks torn, and the node catches up from its peers.
                let in_length =
                    (0..5).any(|n| (n * FRAME + 10 * n * (n + 1)..).take(4).any(|b| b == at));
                assert!(in_length, "byte {at}");
            }
        }
    }

    #[test]
    fn heights_follow_each_other() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let mut log = BlockLog::open(dir.path()).unwrap();
        let error = log.append(Height(7), &[vec![]]).unwrap_err();
        assert!(matches!(error, LogError::OutOfOrder { expected: Height(6), got: Height(7) }));
        assert_eq!(log.read(Height(3)).unwrap().unwrap(), vec![3; 60]);
        assert_eq!(log.read(Height(0)).unwrap(), None);
        assert_eq!(log.read(Height(6)).unwrap(), None);
    }
}
