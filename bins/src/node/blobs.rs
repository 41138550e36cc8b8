//! Files by content address: modules, inputs, outputs, lists of receipts. Off the chain; only their hashes are on it.

use std::io::Write;
use std::path::PathBuf;

use gongsuan_types::{Hash, Refusal};

/// Bytes of one blob, at most: the longest input, encrypted.
pub const BLOB_BYTES_MAX: usize = (16 << 20) + 16;
/// Bytes of all blobs of a node, at most.
pub const TOTAL_BYTES_MAX: u64 = 4 << 30;

/// The blobs of one node.
#[derive(Debug)]
pub struct Blobs {
    dir: PathBuf,
    total: std::sync::atomic::AtomicU64,
}

impl Blobs {
    /// Opens or creates the folder.
    ///
    /// # Errors
    /// What the disk said.
    pub fn open(dir: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let sizes = std::fs::read_dir(&dir)?.filter_map(|entry| entry.ok()?.metadata().ok());
        let total = sizes.map(|metadata| metadata.len()).sum::<u64>();
        Ok(Self { dir, total: total.into() })
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        self.dir.join(hash.to_string())
    }

    /// Stores bytes under their hash. Storing the same twice is the same as once.
    ///
    /// # Errors
    /// A [`Refusal`]: too long, no room, another hash than `expected`, or what the disk said.
    pub fn put(&self, bytes: &[u8], expected: Option<Hash>) -> Result<Hash, Refusal> {
        use std::sync::atomic::Ordering;
        if bytes.len() > BLOB_BYTES_MAX {
            let message = "the blob is too long";
            return Err(Refusal::new("too-long", "body", BLOB_BYTES_MAX, bytes.len(), message));
        }
        let hash = Hash::of_content(bytes);
        if let Some(expected) = expected.filter(|expected| *expected != hash) {
            let message = "the bytes do not have the hash that they are stored under";
            return Err(Refusal::new("hash-mismatch", "hash", expected, hash, message));
        }
        let path = self.path(&hash);
        if path.exists() {
            return Ok(hash);
        }
        let total = self.total.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if total + bytes.len() as u64 > TOTAL_BYTES_MAX {
            self.total.fetch_sub(bytes.len() as u64, Ordering::Relaxed);
            let message = "the node has no room for blobs left";
            return Err(Refusal::new("busy", "blobs", TOTAL_BYTES_MAX, total, message));
        }
        let disk = |error: std::io::Error| {
            Refusal::new("disk", "blobs", "a working disk", error.kind(), error.to_string())
        };
        let mut file = tempfile::NamedTempFile::new_in(&self.dir).map_err(disk)?;
        file.write_all(bytes).map_err(disk)?;
        file.persist(path).map_err(|error| disk(error.error))?;
        Ok(hash)
    }

    /// Reads a blob; `None` if it is not here or its bytes no longer have its hash (then it is dropped).
    #[must_use]
    pub fn get(&self, hash: &Hash) -> Option<Vec<u8>> {
        let path = self.path(hash);
        let bytes = std::fs::read(&path).ok()?;
        if Hash::of_content(&bytes) != *hash {
            tracing::warn!(%hash, "a damaged blob is dropped");
            drop(std::fs::remove_file(path));
            return None;
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_come_back_as_they_went_in_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path().to_owned()).unwrap();
        let hash = blobs.put(b"hello", None).unwrap();
        assert_eq!(blobs.put(b"hello", Some(hash)).unwrap(), hash);
        assert_eq!(blobs.get(&hash).unwrap(), b"hello");
        assert_eq!(blobs.put(b"other", Some(hash)).unwrap_err().code, "hash-mismatch");
        std::fs::write(dir.path().join(hash.to_string()), b"hellO").unwrap();
        assert_eq!(blobs.get(&hash), None);
        let long = vec![0; BLOB_BYTES_MAX + 1];
        assert_eq!(blobs.put(&long, None).unwrap_err().code, "too-long");
    }
}
