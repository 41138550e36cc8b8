//! Blobs on their way here: pieces by content address, until all of a blob are there.
//!
//! An upload needs no session. A client asks for its blob to be joined out of so many pieces, is told which are missing, brings them in any order and asks
//! again; after a break, a restart of either side or from another machine it goes on in the same way. Each piece is checked against its hash when it
//! comes, and the whole when it is joined.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use gongsuan_types::{Hash, Refusal};

use super::blobs::room::{Limits, Owner, Room, weight};
use super::blobs::{BLOB_BYTES_MAX, Blobs};

/// Bytes of one piece, at most: seconds on a slow line, and few requests on a fast one.
pub const PIECE_BYTES_MAX: usize = 1 << 20;
/// Pieces of one blob, at most.
pub const PIECES_MAX: usize = BLOB_BYTES_MAX.div_ceil(PIECE_BYTES_MAX);
/// Bytes of all pieces of a node, at most.
const TOTAL_BYTES_MAX: u64 = 1 << 30;
/// Pieces that nobody has joined make way when there is no room, after an hour at the earliest. An address has a quarter of the room: many of the
/// longest blobs on their way at once.
const LIMITS: Limits = Limits {
    total: TOTAL_BYTES_MAX,
    per_address: TOTAL_BYTES_MAX / 4,
    keep: Duration::from_secs(3_600),
};

/// See the module's documentation.
#[derive(Debug)]
pub struct Pieces {
    dir: PathBuf,
    blobs: Arc<Blobs>,
    /// What is in the folder; one writer at a time.
    room: Mutex<Room>,
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
        Self::open_within(dir, blobs, LIMITS)
    }

    fn open_within(dir: PathBuf, blobs: Arc<Blobs>, limits: Limits) -> std::io::Result<Self> {
        let room = Mutex::new(Room::of_folder(&dir, limits)?);
        Ok(Self { dir, blobs, room })
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        self.dir.join(hash.to_string())
    }

    fn read(&self, hash: &Hash) -> Option<Vec<u8>> {
        std::fs::read(self.path(hash)).ok().filter(|bytes| Hash::of_content(bytes) == *hash)
    }

    /// Keeps a piece under its hash. Twice is the same as once. `by` is the address that it came from.
    ///
    /// # Errors
    /// A [`Refusal`]: too long, another hash, no room, or what the disk said.
    pub fn put(&self, bytes: &[u8], expected: Hash, by: Option<IpAddr>) -> Result<(), Refusal> {
        if bytes.len() > PIECE_BYTES_MAX {
            let message = "the piece is too long";
            return Err(Refusal::new("too-long", "body", PIECE_BYTES_MAX, bytes.len(), message));
        }
        let got = Hash::of_content(bytes);
        if got != expected {
            let message = "the bytes do not have the hash that they are stored under";
            return Err(Refusal::new("hash-mismatch", "hash", expected, got, message));
        }
        let (weight, owner, now) = (weight(bytes.len() as u64), Owner::from(by), SystemTime::now());
        let mut room = self.room();
        if self.read(&expected).is_some() {
            room.touch(&expected, now);
            return Ok(());
        }
        // One that was damaged is written again.
        room.remove(&expected);
        if !room.grant(weight, owner) {
            for old in room.make(weight, owner, &BTreeSet::new(), now)? {
                drop(std::fs::remove_file(self.path(&old)));
            }
        }
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            file.write_all(bytes)?;
            file.persist(self.path(&expected)).map_err(|error| error.error)
        };
        if let Err(error) = write() {
            room.give_back(weight, owner);
            return Err(disk(&error));
        }
        room.settle(expected, weight, owner, now);
        Ok(())
    }

    /// Joins pieces to a blob, for the address `by`. What of them is missing; nothing, once the blob is stored.
    ///
    /// # Errors
    /// A [`Refusal`]: too many pieces, pieces of another blob, or what storing it refuses.
    pub fn join(
        &self,
        blob: Hash,
        pieces: &[Hash],
        by: Option<IpAddr>,
    ) -> Result<Vec<Hash>, Refusal> {
        if self.blobs.renew(&blob) {
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
        self.blobs.put(&bytes, Some(blob), by)?;
        let mut room = self.room();
        for piece in pieces {
            drop(std::fs::remove_file(self.path(piece)));
            room.remove(piece);
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
        assert_eq!(pieces.join(blob, &hashes, None).unwrap(), hashes);
        pieces.put(parts[2], hashes[2], None).unwrap();
        assert_eq!(pieces.put(parts[0], hashes[1], None).unwrap_err().code, "hash-mismatch");
        let (pieces, blobs) = open();
        assert_eq!(pieces.join(blob, &hashes, None).unwrap(), hashes[..2]);
        for at in [1, 0] {
            pieces.put(parts[at], hashes[at], None).unwrap();
        }
        let turned = [hashes[2], hashes[1], hashes[0]];
        assert_eq!(pieces.join(blob, &turned, None).unwrap_err().code, "hash-mismatch");
        assert_eq!(pieces.join(blob, &hashes, None).unwrap(), []);
        assert_eq!(blobs.get(&blob).unwrap(), b"one two three");
        assert_eq!(pieces.room().total(), 0, "what was joined is not kept twice");
        assert_eq!(pieces.join(blob, &hashes, None).unwrap(), [], "twice is once");
    }

    #[test]
    fn pieces_have_bounds_and_forgotten_ones_make_room() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Arc::new(Blobs::open(dir.path().join("blobs")).unwrap());
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let limits = |keep| Limits { total: 3 * weight(1), per_address: 2 * weight(1), keep };
        let open = |keep| {
            Pieces::open_within(dir.path().join("pieces"), blobs.clone(), limits(keep)).unwrap()
        };
        let pieces = open(Duration::from_secs(3_600));
        let long = vec![0; PIECE_BYTES_MAX + 1];
        let refused = pieces.put(&long, Hash::of_content(&long), None);
        assert_eq!(refused.unwrap_err().code, "too-long");
        let many = vec![Hash::ZERO; PIECES_MAX + 1];
        assert_eq!(pieces.join(Hash::ZERO, &many, None).unwrap_err().code, "out-of-range");
        let put = |pieces: &Pieces, byte: u8, by| {
            let hash = Hash::of_content(&[byte]);
            pieces.put(&[byte], hash, Some(by)).map(|()| hash).map_err(|refusal| refusal.code)
        };
        let first = put(&pieces, 1, one).unwrap();
        put(&pieces, 2, one).unwrap();
        assert_eq!(put(&pieces, 3, one).unwrap_err(), "busy", "an address has its share");
        put(&pieces, 3, other).unwrap();
        assert_eq!(put(&pieces, 4, other).unwrap_err(), "busy", "the node is full");
        assert_eq!(pieces.join(Hash::ZERO, &[first], None).unwrap_err().code, "hash-mismatch");
        let pieces = open(Duration::ZERO);
        let fourth = put(&pieces, 4, other).unwrap();
        assert!(pieces.read(&fourth).is_some(), "forgotten ones make way");
        let files = std::fs::read_dir(dir.path().join("pieces")).unwrap().count() as u64;
        assert_eq!(files * weight(1), pieces.room().total(), "files and sums say the same");
    }
}
