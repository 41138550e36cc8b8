//! The folder that a controller shares with its pilots.
//!
//! ```text
//! spool/                        0700, on a file system that every machine of the fleet sees
//!   lock                        held by the one controller
//!   jobs/<job>/module, input    while the job runs
//!   pilots/<name>/inbox         orders, written by the controller alone
//!                 outbox        reports, written by the pilot alone
//!                 input.<task>  what the task's segments read, where each reads its own
//!                 result.<task> what came out, segment by segment
//!                 log           what the pilot and its workers say to people
//! ```
//!
//! The files of a pilot stand before it starts and keep their names: a network file system may take half a minute to show a new name to a
//! machine that looked for it before, but shows what was appended to an old one at once.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use gongsuan_types::Hash;

use super::seal::{Key, Place, sync_folder, write_whole};

/// The variable in which a pilot gets the spool's key.
pub const KEY_VARIABLE: &str = "GONGSUAN_SPOOL_KEY";
/// What a pilot and its workers say to people, in the pilot's folder.
pub const LOG: &str = "log";

/// The folder of a pilot.
#[must_use]
pub fn pilot_folder(spool: &Path, name: &str) -> PathBuf {
    spool.join("pilots").join(name)
}

/// Why a spool cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// Another controller has it.
    #[error("the spool {path} is in use by another controller")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A key file that holds no key.
    #[error("the key file {path} holds no key: {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        source: super::seal::KeyError,
    },
    /// The file system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// No pilot of this name is expected here.
    #[error("the spool has no folder for a pilot {name}: its controller gave it up")]
    NoSuchPilot {
        /// The name.
        name: String,
    },
    /// A pilot of this name was here before.
    #[error("pilot {name} was started before; whoever comes second leaves")]
    Taken {
        /// The name.
        name: String,
    },
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::Io { action, path, source }
}

/// A spool and its key.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    pub(super) folder: PathBuf,
    pub(super) key: Key,
}

/// A file of a pilot's folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Inbox,
    Outbox,
    Input(u64),
    Result(u64),
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inbox => f.write_str("inbox"),
            Self::Outbox => f.write_str("outbox"),
            Self::Input(task) => write!(f, "input.{task}"),
            Self::Result(task) => write!(f, "result.{task}"),
        }
    }
}

impl Spool {
    /// Opens or creates a spool for its one controller, and returns the lock to be kept.
    pub(super) fn open(folder: &Path, key: Key) -> Result<(Self, File), SpoolError> {
        let this = Self { folder: folder.to_owned(), key };
        for folder in [folder.to_owned(), folder.join("jobs"), folder.join("pilots")] {
            create_folder(&folder).map_err(io_error("create", &folder))?;
        }
        let path = folder.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let lock = lock.map_err(io_error("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok((this, lock)),
            Err(TryLockError::WouldBlock) => Err(SpoolError::Locked { path: folder.to_owned() }),
            Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error)),
        }
    }

    pub(super) fn pilot(&self, name: &str) -> PathBuf {
        pilot_folder(&self.folder, name)
    }

    /// A file of a pilot.
    pub(super) fn place(&self, name: &str, part: Part) -> Place {
        let path = self.pilot(name).join(part.to_string());
        Place { path, channel: format!("{name}/{part}"), key: self.key.clone() }
    }

    /// Makes room for a pilot, before it is started.
    pub(super) fn make_pilot(&self, name: &str) -> Result<(), SpoolError> {
        let folder = self.pilot(name);
        create_folder(&folder).map_err(io_error("create", &folder))?;
        for part in [Part::Inbox, Part::Outbox] {
            let path = self.place(name, part).path;
            File::create_new(&path).map_err(io_error("create", &path))?;
        }
        sync_folder(&folder.join("inbox")).map_err(io_error("sync", &folder))
    }

    /// The pilots that have a folder.
    pub(super) fn pilots(&self) -> Result<Vec<String>, SpoolError> {
        let mut names = names(&self.folder.join("pilots"))?;
        // One that is about to join is not there yet.
        names.retain(|name| !name.starts_with('.'));
        Ok(names)
    }

    /// The tasks of which there are results, oldest first.
    pub(super) fn results(&self, name: &str) -> Result<Vec<u64>, SpoolError> {
        let names = names(&self.pilot(name))?;
        let tasks = names.iter().filter_map(|name| name.strip_prefix("result.")?.parse().ok());
        let mut tasks: Vec<u64> = tasks.collect();
        tasks.sort_unstable();
        Ok(tasks)
    }

    pub(super) fn module(&self, job: Hash) -> PathBuf {
        self.job(job).join("module")
    }

    pub(super) fn shared_input(&self, job: Hash) -> PathBuf {
        self.job(job).join("input")
    }

    fn job(&self, job: Hash) -> PathBuf {
        self.folder.join("jobs").join(job.to_string())
    }

    /// Puts down what all segments of a job have in common.
    pub(super) fn put_job(&self, job: Hash, module: &[u8], input: Option<&[u8]>) -> io::Result<()> {
        create_folder(&self.job(job))?;
        if let Some(input) = input {
            write_whole(&self.shared_input(job), input)?;
        }
        // The module comes last: a job that has one is complete.
        write_whole(&self.module(job), module)
    }

    pub(super) fn has_job(&self, job: Hash) -> bool {
        self.module(job).exists()
    }

    pub(super) fn remove_job(&self, job: Hash) {
        // First what makes it complete: half a job is none.
        let _ = std::fs::remove_file(self.module(job));
        remove(&self.job(job));
    }

    /// Forgets all jobs.
    pub(super) fn remove_jobs(&self) -> Result<(), SpoolError> {
        for name in names(&self.folder.join("jobs"))? {
            remove(&self.folder.join("jobs").join(name));
        }
        Ok(())
    }

    pub(super) fn remove_pilot(&self, name: &str) {
        remove(&self.pilot(name));
    }

    /// Removes what a task read and wrote.
    pub(super) fn remove_task(&self, name: &str, task: u64) {
        for part in [Part::Input(task), Part::Result(task)] {
            // What is left over costs room until the pilot's folder goes.
            let _ = std::fs::remove_file(self.place(name, part).path);
        }
    }
}

/// Reads a controller's key, or draws one and writes it, readable by the owner alone.
///
/// # Errors
/// [`SpoolError::Key`], [`SpoolError::Io`].
pub fn key_file(path: &Path) -> Result<Key, SpoolError> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            text.parse().map_err(|source| SpoolError::Key { path: path.to_owned(), source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = Key::draw().map_err(io_error("draw a key for", path))?;
            let write = || {
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
                {
                    create_folder(folder)?;
                }
                let mut options = OpenOptions::new();
                let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
                io::Write::write_all(&mut file, key.to_secret_text().as_bytes())?;
                file.sync_all()?;
                sync_folder(path)
            };
            write().map_err(io_error("write", path))?;
            Ok(key)
        }
        Err(error) => Err(io_error("read", path)(error)),
    }
}

fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    sync_folder(path)
}

fn names(folder: &Path) -> Result<Vec<String>, SpoolError> {
    let read = || {
        std::fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()
    };
    let mut names = read().map_err(io_error("list", folder))?;
    names.sort_unstable();
    Ok(names)
}

/// What cannot be removed is in nobody's way: names are never used twice.
fn remove(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
}
