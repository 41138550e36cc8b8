//! Blobs on their way here: pieces by content address, until all of a blob are there.
//!
//! An upload needs no session. A client asks for its blob to be joined out of so many pieces, is told which are missing, brings them in any order and asks
//! again; after a break, a restart of either side or from another machine it goes on in the same way. Each piece is checked against its hash when it
//! comes, and the whole when it is joined.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use gongsuan_types::{Hash, Refusal};

use super::blobs::{BLOB_BYTES_MAX, Blobs};

/// Bytes of one piece, at most: seconds on a slow line, and few requests on a fast one.
pub const PIECE_BYTES_MAX: usize = 1 << 20;
/// Pieces of one blob, at most.
pub const PIECES_MAX: usize = BLOB_BYTES_MAX.div_ceil(PIECE_BYTES_MAX);
/// Bytes of all pieces of a node, at most.
const TOTAL_BYTES_MAX: u64 = 1 << 30;
/// When there is no room, pieces are dropped that nobody has joined for this long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);

/// See the module's documentation.
#[derive(Debug)]
pub struct Pieces {
    dir: PathBuf,
    blobs: Arc<Blobs>,
    /// Bytes in the folder; one writer at a time.
    total: Mutex<u64>,
}

fn disk(error: &std::io::Error) -> Refusal {
    Refusal::new("disk", "pieces", "a working disk", error.kind(), error.to_string())
}

impl Pieces {
    /// Opens or creates the folder.
    ///
    /// # Errors
    /// What the disk said.
    pub fn open(dir: PathBuf, blobs: Arc<Blobs>) -> std::io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let sizes = std::fs::read_dir(&dir)?.filter_map(|entry| entry.ok()?.metadata().ok());
        let total = Mutex::new(sizes.map(|metadata| metadata.len()).sum());
        Ok(Self { dir, blobs, total })
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        self.dir.join(hash.to_string())
    }

    fn read(&self, hash: &Hash) -> Option<Vec<u8>> {
        std::fs::read(self.path(hash)).ok().filter(|bytes| Hash::of_content(bytes) == *hash)
    }

    /// Keeps a piece under its hash. Twice is the same as once.
    ///
    /// # Errors
    /// A [`Refusal`]: too long, another hash, no room, or what the disk said.
    pub fn put(&self, bytes: &[u8], expected: Hash) -> Result<(), Refusal> {
        if bytes.len() > PIECE_BYTES_MAX {
            let message = "the piece is too long";
            return Err(Refusal::new("too-long", "body", PIECE_BYTES_MAX, bytes.len(), message));
        }
        let got = Hash::of_content(bytes);
        if got != expected {
            let message = "the bytes do not have the hash that they are stored under";
            return Err(Refusal::new("hash-mismatch", "hash", expected, got, message));
        }
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        if self.read(&expected).is_some() {
            return Ok(());
        }
        if *total + bytes.len() as u64 > TOTAL_BYTES_MAX {
            *total = self.forget(FORGOTTEN_AFTER);
        }
        if *total + bytes.len() as u64 > TOTAL_BYTES_MAX {
            let message = "the node has no room for pieces left; try again later";
            return Err(Refusal::new("busy", "pieces", TOTAL_BYTES_MAX, *total, message));
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.dir).map_err(|error| disk(&error))?;
        file.write_all(bytes).map_err(|error| disk(&error))?;
        file.persist(self.path(&expected)).map_err(|error| disk(&error.error))?;
        *total += bytes.len() as u64;
        Ok(())
    }

    /// Drops pieces that are older. Returns the bytes of those that are left.
    fn forget(&self, age: Duration) -> u64 {
        let now = SystemTime::now();
        let mut left = 0;
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            let old = metadata.modified().ok().and_then(|at| now.duration_since(at).ok());
            let is_gone =
                old.is_some_and(|old| old >= age) && std::fs::remove_file(entry.path()).is_ok();
            left += if is_gone { 0 } else { metadata.len() };
        }
        left
    }

    /// Joins pieces to a blob. What of them is missing; nothing, once the blob is stored.
    ///
    /// # Errors
    /// A [`Refusal`]: too many pieces, pieces of another blob, or what storing it refuses.
    pub fn join(&self, blob: Hash, pieces: &[Hash]) -> Result<Vec<Hash>, Refusal> {
        if self.blobs.get(&blob).is_some() {
            return Ok(Vec::new());
        }
        if pieces.is_empty() || pieces.len() > PIECES_MAX {
            let message = "too few or too many pieces";
            let limit = format!("1..={PIECES_MAX}");
            return Err(Refusal::new("out-of-range", "pieces", limit, pieces.len(), message));
        }
        let found: Vec<Option<Vec<u8>>> = pieces.iter().map(|piece| self.read(piece)).collect();
        let missing = pieces.iter().zip(&found).filter(|(_, bytes)| bytes.is_none());
        let missing: Vec<Hash> = missing.map(|(piece, _)| *piece).collect();
        if !missing.is_empty() {
            return Ok(missing);
        }
        let bytes: Vec<u8> = found.into_iter().flatten().flatten().collect();
        self.blobs.put(&bytes, Some(blob))?;
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in pieces {
            let path = self.path(piece);
            let len = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
            if std::fs::remove_file(&path).is_ok() {
                *total = total.saturating_sub(len);
            }
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_joined_when_its_last_piece_is_there_even_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let blobs = Arc::new(Blobs::open(dir.path().join("blobs")).unwrap());
            (Pieces::open(dir.path().join("pieces"), blobs.clone()).unwrap(), blobs)
        };
        let parts: [&[u8]; 3] = [b"one ", b"two ", b"three"];
        let hashes = parts.map(Hash::of_content);
        let blob = Hash::of_content(b"one two three");
        let (pieces, _) = open();
        assert_eq!(pieces.join(blob, &hashes).unwrap(), hashes);
        pieces.put(parts[2], hashes[2]).unwrap();
        assert_eq!(pieces.put(parts[0], hashes[1]).unwrap_err().code, "hash-mismatch");
        let (pieces, blobs) = open();
        assert_eq!(pieces.join(blob, &hashes).unwrap(), hashes[..2]);
        for at in [1, 0] {
            pieces.put(parts[at], hashes[at]).unwrap();
        }
        let turned = [hashes[2], hashes[1], hashes[0]];
        assert_eq!(pieces.join(blob, &turned).unwrap_err().code, "hash-mismatch");
        assert_eq!(pieces.join(blob, &hashes).unwrap(), []);
        assert_eq!(blobs.get(&blob).unwrap(), b"one two three");
        assert_eq!(*pieces.total.lock().unwrap(), 0, "what was joined is not kept twice");
        assert_eq!(pieces.join(blob, &hashes).unwrap(), [], "twice is once");
    }

    #[test]
    fn pieces_have_bounds_and_forgotten_ones_make_room() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Arc::new(Blobs::open(dir.path().join("blobs")).unwrap());
        let pieces = Pieces::open(dir.path().join("pieces"), blobs).unwrap();
        let long = vec![0; PIECE_BYTES_MAX + 1];
        assert_eq!(pieces.put(&long, Hash::of_content(&long)).unwrap_err().code, "too-long");
        let many = vec![Hash::ZERO; PIECES_MAX + 1];
        assert_eq!(pieces.join(Hash::ZERO, &many).unwrap_err().code, "out-of-range");
        let hash = Hash::of_content(b"piece");
        pieces.put(b"piece", hash).unwrap();
        assert_eq!(pieces.forget(FORGOTTEN_AFTER), 5);
        assert_eq!(pieces.forget(Duration::ZERO), 0);
        assert_eq!(pieces.join(Hash::ZERO, &[hash]).unwrap(), [hash]);
    }
}
