//! Files by content address: modules, inputs, outputs, lists of receipts. Off the chain; only their hashes are on it.
//!
//! Anybody may bring blobs, so what is kept is bounded and what nobody needs goes: what open deals, waiting orders and the newest deals name is pinned
//! ([`super::pins`]); of the rest, when room is needed, the oldest goes first, of whoever has brought most. Each address has a share of its own.
//! A blob that was said to be stored is on the disk: file and folder are synced before.

pub(super) mod room;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use gongsuan_types::{ContentHasher, Hash, Refusal};

use room::{Limits, Owner, Room, weight};

/// Bytes of one blob, at most: the longest input, encrypted.
pub const BLOB_BYTES_MAX: usize = (16 << 20) + 16;
/// Bytes of all blobs of a node, at most.
pub const TOTAL_BYTES_MAX: u64 = 4 << 30;

const LIMITS: Limits = Limits {
    total: TOTAL_BYTES_MAX,
    per_address: TOTAL_BYTES_MAX / 4,
    keep: Duration::from_secs(600),
};

/// What must not go; nothing, if that cannot be told now.
type Pinned = dyn Fn(&Blobs) -> Option<Arc<BTreeSet<Hash>>> + Send + Sync;

/// The blobs of one node.
pub struct Blobs {
    dir: PathBuf,
    room: Mutex<Room>,
    pinned: OnceLock<Box<Pinned>>,
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blobs({})", self.dir.display())
    }
}

/// Room for a blob that is being written: given back, unless it is used.
struct Granted<'a> {
    blobs: &'a Blobs,
    weight: u64,
    owner: Owner,
}

impl Granted<'_> {
    /// The blob is in its place.
    fn settle(self, hash: Hash) {
        let is_new = self.blobs.room().settle(hash, self.weight, self.owner, SystemTime::now());
        if is_new {
            std::mem::forget(self);
        }
    }
}

impl Drop for Granted<'_> {
    fn drop(&mut self) {
        self.blobs.room().give_back(self.weight, self.owner);
    }
}

fn disk(error: &std::io::Error) -> Refusal {
    Refusal::new("disk", "blobs", "a working disk", error.kind(), error.to_string())
}

impl Blobs {
    /// Opens or creates the folder.
    ///
    /// # Errors
    /// What the disk said.
    pub fn open(dir: PathBuf) -> std::io::Result<Self> {
        Self::open_within(dir, LIMITS)
    }

    fn open_within(dir: PathBuf, limits: Limits) -> std::io::Result<Self> {
        let room = Mutex::new(Room::of_folder(&dir, limits)?);
        Ok(Self { dir, room, pinned: OnceLock::new() })
    }

    /// From now on, what this says stays. It is asked when there is no room, on the thread that stores something.
    pub(super) fn pin(
        &self,
        pinned: impl Fn(&Self) -> Option<Arc<BTreeSet<Hash>>> + Send + Sync + 'static,
    ) {
        drop(self.pinned.set(Box::new(pinned)));
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        self.dir.join(hash.to_string())
    }

    /// Stores bytes under their hash: when this returns, they are on the disk. Storing the same twice is the same as once. `by` is the address that
    /// they came from, for its share; without one they are the node's own.
    ///
    /// # Errors
    /// A [`Refusal`]: too long, no room, another hash than `expected`, or what the disk said.
    pub fn put(
        &self,
        bytes: &[u8],
        expected: Option<Hash>,
        by: Option<IpAddr>,
    ) -> Result<Hash, Refusal> {
        if bytes.len() > BLOB_BYTES_MAX {
            let message = "the blob is too long";
            return Err(Refusal::new("too-long", "body", BLOB_BYTES_MAX, bytes.len(), message));
        }
        let hash = Hash::of_content(bytes);
        if let Some(expected) = expected.filter(|expected| *expected != hash) {
            let message = "the bytes do not have the hash that they are stored under";
            return Err(Refusal::new("hash-mismatch", "hash", expected, hash, message));
        }
        if self.renew(&hash) {
            return Ok(hash);
        }
        let granted = self.grant(weight(bytes.len() as u64), by.into())?;
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(self.path(&hash)).map_err(|error| error.error)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| disk(&error))?;
        granted.settle(hash);
        Ok(hash)
    }

    /// Whether a blob is here and whole. It then stays for some time, as if it had just been brought.
    pub(super) fn renew(&self, hash: &Hash) -> bool {
        // Before it is looked at, so that it does not go meanwhile.
        self.room().touch(hash, SystemTime::now());
        self.is_whole(hash)
    }

    fn grant(&self, weight: u64, owner: Owner) -> Result<Granted<'_>, Refusal> {
        let fits = self.room().grant(weight, owner);
        if !fits {
            self.make_room(weight, owner)?;
        }
        Ok(Granted { blobs: self, weight, owner })
    }

    fn make_room(&self, weight: u64, owner: Owner) -> Result<(), Refusal> {
        let pinned = match self.pinned.get() {
            Some(pinned) => pinned(self).ok_or_else(super::event::busy)?,
            None => Arc::default(),
        };
        let mut room = self.room();
        let gone = room.make(weight, owner, &pinned, SystemTime::now())?;
        for hash in &gone {
            // While nobody else can bring it.
            if let Err(error) = std::fs::remove_file(self.path(hash)) {
                tracing::warn!(%hash, %error, "a blob that made way is still there");
            }
        }
        drop(room);
        tracing::info!(count = gone.len(), "blobs that nobody needs made way");
        Ok(())
    }

    /// A blob's file and its length in bytes. Whoever reads all of it checks the hash, and says so if it is another: see [`Blobs::doubt`].
    #[must_use]
    pub fn file(&self, hash: &Hash) -> Option<(File, u64)> {
        let file = File::open(self.path(hash)).ok()?;
        let len = file.metadata().ok()?.len();
        Some((file, len))
    }

    /// Reads a blob; `None` if it is not here or its bytes no longer have its hash (then it is dropped).
    #[must_use]
    pub fn get(&self, hash: &Hash) -> Option<Vec<u8>> {
        let bytes = std::fs::read(self.path(hash)).ok()?;
        if Hash::of_content(&bytes) == *hash {
            return Some(bytes);
        }
        self.doubt(hash);
        None
    }

    /// Whether a blob is here with the bytes of its hash; if it has others, it is dropped.
    fn is_whole(&self, hash: &Hash) -> bool {
        match self.hash_of(hash) {
            Some(got) if got == *hash => true,
            Some(_) => {
                self.doubt(hash);
                false
            }
            None => false,
        }
    }

    fn hash_of(&self, hash: &Hash) -> Option<Hash> {
        let (mut file, _) = self.file(hash)?;
        let (mut hasher, mut piece) = (ContentHasher::default(), vec![0; 64 << 10]);
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Some(hasher.finish()),
                Ok(got) => hasher.update(&piece[..got]),
                Err(_) => return None,
            };
        }
    }

    /// Somebody has read other bytes than those of the hash: looks again, while nobody writes, and drops the blob if it is so.
    pub fn doubt(&self, hash: &Hash) {
        let mut room = self.room();
        if self.hash_of(hash).is_some_and(|got| got != *hash) {
            tracing::warn!(%hash, "a damaged blob is dropped");
            drop(std::fs::remove_file(self.path(hash)));
            room.remove(hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_come_back_as_they_went_in_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path().to_owned()).unwrap();
        let hash = blobs.put(b"hello", None, None).unwrap();
        assert_eq!(blobs.put(b"hello", Some(hash), None).unwrap(), hash);
        assert_eq!(blobs.get(&hash).unwrap(), b"hello");
        assert_eq!(blobs.put(b"other", Some(hash), None).unwrap_err().code, "hash-mismatch");
        std::fs::write(dir.path().join(hash.to_string()), b"hellO").unwrap();
        assert_eq!(blobs.get(&hash), None);
        assert_eq!(blobs.room().total(), 0, "what was dropped takes no room");
        let long = vec![0; BLOB_BYTES_MAX + 1];
        assert_eq!(blobs.put(&long, None, None).unwrap_err().code, "too-long");
    }

    #[test]
    fn a_damaged_blob_is_written_again_when_it_is_brought_again() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path().to_owned()).unwrap();
        let hash = blobs.put(b"hello", None, None).unwrap();
        std::fs::write(dir.path().join(hash.to_string()), b"hellO").unwrap();
        blobs.put(b"hello", Some(hash), None).unwrap();
        assert_eq!(blobs.get(&hash).unwrap(), b"hello");
        assert_eq!(blobs.room().total(), weight(5));
    }

    #[test]
    fn what_cannot_be_written_takes_no_room_and_twice_at_once_takes_it_once() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("blobs");
        let blobs = Blobs::open(home.clone()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| blobs.put(b"the same", None, None).unwrap());
            }
        });
        assert_eq!(blobs.room().total(), weight(8));
        std::fs::remove_dir_all(&home).unwrap();
        assert_eq!(blobs.put(b"another", None, None).unwrap_err().code, "disk");
        assert_eq!(blobs.room().total(), weight(8), "the room of the failed one is given back");
    }

    #[test]
    fn after_a_restart_all_that_is_there_counts_and_what_was_half_written_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let hash = Blobs::open(dir.path().to_owned()).unwrap().put(b"kept", None, None).unwrap();
        std::fs::write(dir.path().join(".tmpHalf"), b"half").unwrap();
        let blobs = Blobs::open(dir.path().to_owned()).unwrap();
        assert_eq!(blobs.room().total(), weight(4));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(blobs.get(&hash).unwrap(), b"kept");
    }

    #[test]
    fn a_full_folder_drops_what_nobody_needs_and_keeps_what_is_pinned() {
        let dir = tempfile::tempdir().unwrap();
        let limits =
            Limits { total: 4 * weight(1), per_address: 3 * weight(1), keep: Duration::ZERO };
        let blobs = Blobs::open_within(dir.path().to_owned(), limits).unwrap();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let put = |byte: u8, by| blobs.put(&[byte], None, Some(by));
        let needed = put(0, one).unwrap();
        blobs.pin(move |_| Some(Arc::new(BTreeSet::from([needed]))));
        for byte in 1..100 {
            put(byte, if byte % 2 == 0 { one } else { other }).unwrap();
            assert!(blobs.room().total() <= limits.total);
        }
        assert_eq!(blobs.get(&needed).unwrap(), [0]);
        let files = std::fs::read_dir(dir.path()).unwrap().count() as u64;
        assert_eq!(files * weight(1), blobs.room().total(), "files and sums say the same");
    }

    #[test]
    fn nothing_goes_while_nobody_can_say_what_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { total: weight(1), per_address: weight(1), keep: Duration::ZERO };
        let blobs = Blobs::open_within(dir.path().to_owned(), limits).unwrap();
        blobs.pin(|_| None);
        let first = blobs.put(b"first", None, None).unwrap();
        assert_eq!(blobs.put(b"second", None, None).unwrap_err().code, "busy");
        assert_eq!(blobs.get(&first).unwrap(), b"first");
    }
}
