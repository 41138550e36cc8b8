//! Real files.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{Disk, sync_dir};
use crate::error::JournalError;

const LOCK: &str = ".lock";
/// Files kept open for reading, at most: opening one costs several times what reading a page of it does.
const READERS_MAX: usize = 64;

/// A folder of the file system, locked against a second opening for as long as the value lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The file written last, kept open: nearly every call is for it.
    current: Option<(String, File)>,
    /// Files that were read lately.
    readers: Mutex<BTreeMap<String, Arc<File>>>,
    /// Held, not read: the system releases the lock when this is closed, also after a crash.
    _lock: File,
}

impl Folder {
    /// Opens or creates a folder and locks it.
    ///
    /// # Errors
    /// [`JournalError::Locked`] if it is open already, here or in another process; [`JournalError::Io`].
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let io = |action, source| JournalError::Io { path: path.to_owned(), action, source };
        create_durably(path).map_err(|source| io("create", source))?;
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(LOCK))
            .map_err(|source| io("lock", source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                current: None,
                readers: Mutex::default(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(io("lock", source)),
        }
    }

    fn with<T>(&mut self, name: &str, call: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let file = match self.current.take() {
            Some((current, file)) if current == name => file,
            _ => OpenOptions::new().read(true).write(true).open(self.path.join(name))?,
        };
        let result = call(&file);
        self.current = Some((name.to_owned(), file));
        result
    }

    fn forget(&mut self, name: &str) {
        self.current.take_if(|(current, _)| current == name);
        self.readers.get_mut().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn reader(&self, name: &str) -> io::Result<Arc<File>> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = readers.get(name) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(File::open(self.path.join(name))?);
        if readers.len() >= READERS_MAX {
            // The oldest names are asked for least.
            readers.pop_first();
        }
        readers.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }
}

/// Creates a folder and those above it that are missing, and makes their names durable.
fn create_durably(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    std::fs::create_dir_all(path)?;
    for folder in missing {
        let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
        sync_dir(above.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != LOCK {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        Ok(std::fs::metadata(self.path.join(name))?.len())
    }

    fn read(&self, name: &str, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        match &self.current {
            Some((current, file)) if current == name => file.read_exact_at(bytes, offset),
            _ => self.reader(name)?.read_exact_at(bytes, offset),
        }
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        self.current = Some((name.to_owned(), file));
        Ok(())
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(name, |file| file.write_all_at(bytes, offset))
    }

    fn truncate(&mut self, name: &str, size: u64) -> io::Result<()> {
        self.with(name, |file| {
            file.set_len(size)?;
            file.sync_all()
        })
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.with(name, File::sync_data)
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        sync_dir(&self.path)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.forget(name);
        std::fs::remove_file(self.path.join(name))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.forget(from);
        self.forget(to);
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn salt(&mut self) -> u64 {
        // The standard library seeds it from the system's randomness.
        RandomState::new().build_hasher().finish()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}
