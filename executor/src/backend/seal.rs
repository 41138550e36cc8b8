//! Files that two processes on different machines talk through: rows of sealed records, one writer each.
//!
//! ```text
//! record:  u32 length │ HMAC-SHA256(key; channel, offset, payload) │ payload        (length little-endian)
//! ```
//!
//! A record counts once it is there as a whole and its seal fits this key, this file and this place in it. So a write that was cut short, a
//! page that a network file system has not brought yet and a stranger's bytes all read the same: *not there (yet)*. Whoever waits for
//! what never comes gives up by the clock.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

use gongsuan_types::codec;
use gongsuan_types::job::OUTPUT_BYTES_MAX;

/// A record's payload in bytes, at most: an output with its log, a module or an input.
const PAYLOAD_BYTES_MAX: usize = OUTPUT_BYTES_MAX as usize + (16 << 20);
const SEAL_BYTES: usize = 32;
const HEAD_BYTES: usize = 4 + SEAL_BYTES;

/// The secret that a controller shares with its pilots.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Text that is no key.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a spool's key is 64 hexadecimal digits, got {got} characters")]
pub struct KeyError {
    /// Characters given.
    pub got: usize,
}

impl std::str::FromStr for Key {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let error = KeyError { got: text.chars().count() };
        let hash: gongsuan_types::Hash = text.parse().map_err(|_| error)?;
        Ok(Self(hash.0))
    }
}

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn draw() -> io::Result<Self> {
        Ok(Self(random()?))
    }

    /// The key as 64 hexadecimal digits, to be handed to a pilot and shown to nobody else.
    #[must_use]
    pub fn to_secret_text(&self) -> String {
        gongsuan_types::Hash(self.0).to_string()
    }

    fn seal(&self, channel: &str, offset: u64, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("any length is a key's length");
        mac.update(&(channel.len() as u64).to_le_bytes());
        mac.update(channel.as_bytes());
        mac.update(&offset.to_le_bytes());
        mac.update(payload);
        mac
    }
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// Which file this is: part of every seal, so that records cannot be moved between files.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) channel: String,
    pub(super) key: Key,
}

/// The one that writes a file.
#[derive(Debug)]
pub(super) struct Writer {
    place: Place,
    file: File,
    end: u64,
    broken: bool,
}

impl Writer {
    /// Goes on after the last record that counts; what follows it is cut.
    pub(super) fn resume(place: Place) -> io::Result<Self> {
        let mut reader = Reader::new(place.clone());
        while reader.next_bytes()?.is_some() {}
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&place.path)?;
        let end = reader.offset;
        file.set_len(end)?;
        Ok(Self { place, file, end, broken: false })
    }

    /// Whether nothing was ever written.
    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Appends a record. It is other machines' to see after [`Writer::sync`].
    pub(super) fn append<T: Serialize + ?Sized>(&mut self, record: &T) -> io::Result<()> {
        self.append_bytes(&codec::encode(record))
    }

    /// Appends a record that is encoded already.
    pub(super) fn append_bytes(&mut self, payload: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed"));
        }
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let seal = self.place.key.seal(&self.place.channel, self.end, payload);
        let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len());
        bytes.extend(length.to_le_bytes());
        bytes.extend(&seal.finalize().into_bytes()[..]);
        bytes.extend(payload);
        self.file.seek(SeekFrom::Start(self.end))?;
        self.broken = true;
        self.file.write_all(&bytes)?;
        self.broken = false;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Makes what was appended durable, and visible over a network file system.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// [`Writer::append`] and [`Writer::sync`].
    pub(super) fn say<T: Serialize + ?Sized>(&mut self, record: &T) -> io::Result<()> {
        self.append(record)?;
        self.sync()
    }
}

/// One that reads a file while another process writes it.
#[derive(Debug)]
pub(super) struct Reader {
    place: Place,
    offset: u64,
}

impl Reader {
    /// From the beginning.
    pub(super) fn new(place: Place) -> Self {
        Self { place, offset: 0 }
    }

    /// Where the next record begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes to where a record begins.
    pub(super) fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// The next record; `None` if it is not there yet. The file is opened anew each time, which is when a network file system looks again.
    pub(super) fn next<T: Serialize + DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(bytes) = self.next_bytes()? else { return Ok(None) };
        codec::decode("spool record", PAYLOAD_BYTES_MAX, &bytes).map(Some).map_err(io::Error::other)
    }

    /// The next record's payload.
    pub(super) fn next_bytes(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut file = match File::open(&self.place.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let left = file.metadata()?.len().saturating_sub(self.offset);
        if left < HEAD_BYTES as u64 {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let (mut length, mut seal) = ([0; 4], [0; SEAL_BYTES]);
        file.read_exact(&mut length)?;
        file.read_exact(&mut seal)?;
        let length = u32::from_le_bytes(length);
        if length as usize > PAYLOAD_BYTES_MAX || left < HEAD_BYTES as u64 + u64::from(length) {
            return Ok(None);
        }
        let mut payload = vec![0; length as usize];
        file.read_exact(&mut payload)?;
        let expected = self.place.key.seal(&self.place.channel, self.offset, &payload);
        if expected.verify_slice(&seal).is_err() {
            return Ok(None);
        }
        self.offset += HEAD_BYTES as u64 + u64::from(length);
        Ok(Some(payload))
    }
}

/// Writes a whole file or nothing: beside it, synced, renamed into place.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    sync_folder(path)
}

/// Makes the names beside `path` durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &tempfile::TempDir, channel: &str) -> Place {
        let path = folder.path().join("file");
        Place { path, channel: channel.to_owned(), key: Key([7; 32]) }
    }

    #[test]
    fn records_come_as_they_are_written_and_a_torn_one_is_cut_by_the_next_writer() {
        let folder = tempfile::tempdir().unwrap();
        let mut reader = Reader::new(place(&folder, "a"));
        assert_eq!(reader.next::<u32>().unwrap(), None);
        let mut writer = Writer::resume(place(&folder, "a")).unwrap();
        assert!(writer.is_empty());
        writer.say(&1u32).unwrap();
        assert_eq!(reader.next::<u32>().unwrap(), Some(1));
        assert_eq!(reader.next::<u32>().unwrap(), None);
        writer.say(&2u32).unwrap();
        let whole = std::fs::read(folder.path().join("file")).unwrap();
        for kept in whole.len() / 2..whole.len() {
            std::fs::write(folder.path().join("file"), &whole[..kept]).unwrap();
            let mut early = Reader { place: place(&folder, "a"), offset: reader.offset };
            assert_eq!(early.next::<u32>().unwrap(), None, "{kept} bytes");
        }
        let mut writer = Writer::resume(place(&folder, "a")).unwrap();
        assert!(!writer.is_empty());
        writer.say(&3u32).unwrap();
        assert_eq!(reader.next::<u32>().unwrap(), Some(3));
    }

    #[test]
    fn a_record_of_another_key_channel_or_place_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        Writer::resume(place(&folder, "a")).unwrap().say(&1u32).unwrap();
        let next = |place| Reader::new(place).next::<u32>().unwrap();
        assert_eq!(next(place(&folder, "a")), Some(1));
        assert_eq!(next(place(&folder, "b")), None);
        assert_eq!(next(Place { key: Key([8; 32]), ..place(&folder, "a") }), None);
        // The same record a second time is not the second record.
        let path = folder.path().join("file");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, [bytes.as_slice(), &bytes].concat()).unwrap();
        let mut reader = Reader::new(place(&folder, "a"));
        assert_eq!(reader.next::<u32>().unwrap(), Some(1));
        assert_eq!(reader.next::<u32>().unwrap(), None);
    }

    #[test]
    fn a_key_comes_back_from_its_text_and_is_not_printed_by_accident() {
        let key = Key::draw().unwrap();
        assert_eq!(key.to_secret_text().parse(), Ok(key.clone()));
        assert_eq!("00".parse::<Key>(), Err(KeyError { got: 2 }));
        assert!(!format!("{key:?}").contains(&key.to_secret_text()[..8]));
    }
}
