//! Compiled modules on this machine's own disk, authenticated before they are loaded.
//!
//! Compiling a large module takes seconds, loading what was compiled takes milliseconds. But loading runs whatever code the file holds:
//! [`wasmtime::Module::deserialize`] is `unsafe`, because it trusts its bytes to be what a compiler of the same engine wrote. This crate is the
//! one place that calls it, behind a check that makes it sound:
//!
//! - An entry is loaded only if its tag proves that somebody with this folder's key wrote exactly these bytes. The key is made at random for
//!   the folder, readable for its owner only, and leaves the machine never; this crate seals with it only what [`wasmtime::Module::serialize`] gave.
//! - What is checked is the copy in memory that is then loaded: nobody can exchange a file in between.
//! - An entry belongs to one module, one version of the meter and one engine (its version, settings and processor features); one that was
//!   renamed or kept from before an update is refused.
//!
//! Whoever can read the key can run code as its owner anyway. An entry that is damaged, foreign or tampered with is reported and replaced, never
//! used.
//!
//! ```text
//! folder/key              32 random bytes, mode 0600
//! folder/<name>.cwasm     magic 16 | nonce 24 | tag 16 | module 32 | meter 2 | engine 32 | length of note 4 | note | code
//! ```
//!
//! It deliberately does not compile, and knows nothing of jobs: a *note* is whatever its user wants back with the code.

mod seal;

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::{Engine, Module};

use seal::Key;

/// What an entry begins with.
const MAGIC: &[u8; 16] = b"gongsuan-cwasm/1";
const EXTENSION: &str = "cwasm";

/// Why the cache cannot be used, or an entry not be written. Nothing is lost but time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A file or folder cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key may be known to others, so that entries may be theirs.
    #[error(
        "{path} has mode {mode:o} and may be known to others: delete the folder, it fills again"
    )]
    KeyExposed {
        /// The key.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The key is not 32 bytes long.
    #[error("{path} has {got} bytes instead of 32: delete the folder, it fills again")]
    KeyBroken {
        /// The key.
        path: PathBuf,
        /// Its length.
        got: usize,
    },
    /// An entry alone would be larger than all may be.
    #[error("the compiled module has {got} bytes, the cache may have {limit}")]
    TooLarge {
        /// The cache's bound in bytes.
        limit: u64,
        /// The entry's length.
        got: u64,
    },
    /// The engine does not give its code away.
    #[error("the engine does not serialise the module: {reason}")]
    Serialise {
        /// Its words.
        reason: String,
    },
    /// The system has no random bytes.
    #[error("no random bytes: {reason}")]
    Random {
        /// Its words.
        reason: String,
    },
}

/// Why an entry is not used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Discarded {
    /// It cannot be read, though it is there.
    #[error("it cannot be read: {reason}")]
    Unreadable {
        /// The system's words.
        reason: String,
    },
    /// It is shorter than its head, or does not begin as an entry.
    #[error("it is not an entry of this cache")]
    NotAnEntry,
    /// Not a byte of it may be believed: it was not written with this folder's key, or not so.
    #[error("its tag does not prove it: damaged, tampered with, or of another folder")]
    NotAuthentic,
    /// It is another module's, another meter's or another engine's.
    #[error("it belongs to another module, meter or engine")]
    Foreign,
    /// The engine refuses it.
    #[error("the engine refuses it: {reason}")]
    Refused {
        /// Its words.
        reason: String,
    },
}

/// What an entry is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subject {
    /// The content address of the module as its author wrote it.
    pub module: [u8; 32],
    /// The version of the meter that rewrote it.
    pub meter: u16,
}

/// What was found.
#[derive(Debug)]
pub enum Found {
    /// The module, and the note that was stored with it.
    Entry(Module, Vec<u8>),
    /// There is no entry.
    Absent,
    /// There is one that must not be used.
    Bad(Discarded),
}

/// A folder of compiled modules. Several processes may use it at once.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    key: Key,
    bytes_max: u64,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_owned();
    move |source| CacheError::Io { path, source }
}

impl Cache {
    /// Opens a folder, making it and its key where they are absent. Its entries may have `bytes_max` bytes together.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn open(folder: &Path, bytes_max: u64) -> Result<Self, CacheError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
        let path = folder.join("key");
        let key = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let fresh: [u8; 32] = seal::random()?;
                let mut file = tempfile::NamedTempFile::new_in(folder).map_err(at(folder))?;
                file.write_all(&fresh).map_err(at(&path))?;
                match file.persist_noclobber(&path) {
                    // Another process was first: its key counts.
                    Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(at(&path)(error.error));
                    }
                    _ => fs::read(&path).map_err(at(&path))?,
                }
            }
            other => other.map_err(at(&path))?,
        };
        let mode = fs::metadata(&path).map_err(at(&path))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(CacheError::KeyExposed { path, mode });
        }
        let got = key.len();
        let key: [u8; 32] = key.try_into().map_err(|_| CacheError::KeyBroken { path, got })?;
        Ok(Self { folder: folder.to_owned(), key: Key::new(key), bytes_max })
    }

    /// Loads an entry.
    #[must_use]
    pub fn load(&self, engine: &Engine, subject: Subject) -> Found {
        let path = self.path(engine, subject);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Absent,
            Err(error) => return Found::Bad(Discarded::Unreadable { reason: error.to_string() }),
        };
        match self.open_entry(engine, subject, &bytes) {
            Ok((module, note)) => {
                // Used last, evicted last. That a clock or a file system does not go along costs nothing but a compilation.
                let now =
                    fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                drop(now);
                Found::Entry(module, note)
            }
            Err(reason) => Found::Bad(reason),
        }
    }

    #[expect(
        unsafe_code,
        reason = "loading what this folder's key proves to be a compiler's output"
    )]
    fn open_entry(
        &self,
        engine: &Engine,
        subject: Subject,
        bytes: &[u8],
    ) -> Result<(Module, Vec<u8>), Discarded> {
        let sealed = bytes.strip_prefix(MAGIC).ok_or(Discarded::NotAnEntry)?;
        let body = self.key.open(sealed)?;
        let rest = body.strip_prefix(&head(engine, subject)[..]).ok_or(Discarded::Foreign)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(Discarded::NotAnEntry)?;
        let (note, code) = rest
            .split_at_checked(u32::from_le_bytes(*length) as usize)
            .ok_or(Discarded::NotAnEntry)?;
        // SAFETY: `deserialize` wants bytes that `Module::serialize` of a compatible engine gave. The tag proves that `store` of this crate
        // sealed them under this folder's key, and `store` seals nothing else; the head, which the tag covers, proves that the engine was
        // one of the same compatibility hash. `code` is borrowed from the very bytes that were checked.
        let module = unsafe { Module::deserialize(engine, code) };
        let module = module.map_err(|error| Discarded::Refused { reason: format!("{error:#}") })?;
        Ok((module, note.to_vec()))
    }

    /// Writes an entry, in the place of what was there, and removes those unused longest where all would be too large.
    ///
    /// # Errors
    /// [`CacheError`]: what was there is there still.
    ///
    /// # Panics
    /// A note of 4 GiB and more.
    pub fn store(
        &self,
        engine: &Engine,
        subject: Subject,
        note: &[u8],
        module: &Module,
    ) -> Result<(), CacheError> {
        let code = module
            .serialize()
            .map_err(|error| CacheError::Serialise { reason: format!("{error:#}") })?;
        let length = u32::try_from(note.len()).expect("a note is shorter than 4 GiB");
        let body = [&head(engine, subject)[..], &length.to_le_bytes(), note, &code].concat();
        let seal = self.key.seal(&body)?;
        let got = (MAGIC.len() + seal.len() + body.len()) as u64;
        if got > self.bytes_max {
            return Err(CacheError::TooLarge { limit: self.bytes_max, got });
        }
        let path = self.path(engine, subject);
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(at(&self.folder))?;
        for part in [&MAGIC[..], &seal, &body] {
            file.write_all(part).map_err(at(&path))?;
        }
        // Not synced: what a power cut leaves half written has no valid tag.
        file.persist(&path).map_err(|error| at(&path)(error.error))?;
        self.evict(&path)
    }

    /// Removes entries, those unused longest first, until all fit; never the one just written.
    fn evict(&self, keep: &Path) -> Result<(), CacheError> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(at(&self.folder))? {
            let path = entry.map_err(at(&self.folder))?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION)
                && let Ok(facts) = fs::metadata(&path)
            {
                let used = facts.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                entries.push((used, facts.len(), path));
            }
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in entries.iter().filter(|(_, _, path)| path != keep) {
            if total <= self.bytes_max {
                break;
            }
            match fs::remove_file(path) {
                // Another process may have been first.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at(path)(error));
                }
                _ => total -= bytes,
            }
        }
        Ok(())
    }

    fn path(&self, engine: &Engine, subject: Subject) -> PathBuf {
        let name = Sha256::digest(head(engine, subject));
        self.folder.join(hex::encode(&name[..16])).with_extension(EXTENSION)
    }
}

/// What an entry is of, and which engine compiled it.
fn head(engine: &Engine, subject: Subject) -> [u8; 66] {
    struct Feed(Sha256);
    impl Hasher for Feed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            unreachable!("what is fed is read as a whole")
        }
    }
    let mut feed = Feed(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut feed);
    let mut head = [0; 66];
    head[..32].copy_from_slice(&subject.module);
    head[32..34].copy_from_slice(&subject.meter.to_le_bytes());
    head[34..].copy_from_slice(&feed.0.finalize());
    head
}
