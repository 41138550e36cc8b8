//! A disk in memory that loses, tears and fails on demand.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::Disk;

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

/// What of the unsynced writes and names survives when the power goes. What was synced always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    /// Nothing.
    Nothing,
    /// Everything, as if it had been synced.
    Everything,
    /// Of every file the first so many unsynced bytes, and the first so many changes of names.
    Prefix {
        /// Bytes, counted over a file's unsynced writes.
        bytes: u64,
        /// Changes of names.
        names: usize,
    },
    /// Each 512-byte sector of each write, each cut and each change of names for itself, chosen by this number. Where a later sector is there
    /// and an earlier is not, that one has its old content, or zeros. A file may also have its new size and none of its new content.
    Scatter(u64),
}

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An input/output error; nothing was done.
    Error,
    /// No space is left. Of a write, the first so many bytes were written; of other calls nothing was done.
    Full {
        /// Bytes.
        kept: usize,
    },
    /// A sync fails, and what it should have saved never will be, though it can still be read and later syncs succeed. Other calls fail as in
    /// [`Fault::Error`].
    SyncLost,
    /// The power goes: this call and all later ones fail and do nothing.
    PowerCut,
}

/// A disk in memory. Clones are handles of the same disk.
///
/// It keeps what was synced and what was not apart, so that a test can ask what a power cut would leave: [`MemoryDisk::crash`]. Several folders can be
/// on one disk ([`MemoryDisk::folder`]), so that the power goes in all of them at once.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
    /// Stands before every name: nothing, or a folder's name and a slash.
    folder: String,
}

#[derive(Debug, Clone, Default)]
struct State {
    files: BTreeMap<u64, Image>,
    /// The names as a running program sees them.
    names: BTreeMap<String, u64>,
    /// The names that survive a power cut, and what was done since.
    durable_names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    file_count: u64,
    calls: u64,
    fault: Option<(u64, Fault)>,
}

#[derive(Debug, Clone, Default)]
struct Image {
    /// As a running program sees it.
    live: Vec<u8>,
    /// What survives a power cut, and what was done since.
    durable: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Cut { size: u64 },
}

#[derive(Debug, Clone)]
enum NameChange {
    Create { name: String, file: u64 },
    Remove { name: String },
    Rename { from: String, to: String, file: u64 },
}

impl NameChange {
    fn name(&self) -> &str {
        match self {
            Self::Create { name, .. } | Self::Remove { name } | Self::Rename { to: name, .. } => {
                name
            }
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Create { name, file } => {
                names.insert(name.clone(), *file);
            }
            Self::Remove { name } => {
                names.remove(name);
            }
            Self::Rename { from, to, file } => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }
}

fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = usize::try_from(offset).expect("fits in memory");
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

fn cut(content: &mut Vec<u8>, size: u64) {
    content.truncate(usize::try_from(size).unwrap_or(usize::MAX));
}

/// A row of numbers that only depends on the first (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn coin(&mut self) -> bool {
        self.roll(2) == 0
    }
}

impl Image {
    fn after(self, tear: Tear, dice: &mut Dice) -> Vec<u8> {
        let Self { live, mut durable, changes } = self;
        let mut left = match tear {
            Tear::Nothing => 0,
            Tear::Prefix { bytes, .. } => bytes,
            Tear::Everything | Tear::Scatter(_) => u64::MAX,
        };
        for change in changes {
            match (change, tear) {
                (Change::Write { offset, bytes }, Tear::Scatter(_)) => {
                    scatter(&mut durable, offset, &bytes, dice);
                }
                (Change::Write { offset, bytes }, _) => {
                    let kept = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    if kept > 0 {
                        put(&mut durable, offset, &bytes[..kept]);
                    }
                    left -= kept as u64;
                    if kept < bytes.len() {
                        break;
                    }
                }
                (Change::Cut { size }, Tear::Scatter(_)) => {
                    if dice.coin() {
                        cut(&mut durable, size);
                    }
                }
                (Change::Cut { size }, _) => {
                    if left > 0 {
                        cut(&mut durable, size);
                    }
                }
            }
        }
        if matches!(tear, Tear::Scatter(_)) && durable.len() < live.len() && dice.coin() {
            durable.resize(live.len(), 0);
        }
        durable
    }
}

fn scatter(content: &mut Vec<u8>, mut offset: u64, mut bytes: &[u8], dice: &mut Dice) {
    // Sometimes all of it or none of it, or small writes would never meet.
    let mode = dice.roll(4);
    while !bytes.is_empty() {
        let length = usize::try_from(SECTOR - offset % SECTOR).unwrap_or(1).min(bytes.len());
        let (sector, rest) = bytes.split_at(length);
        if mode == 0 || (mode != 1 && dice.coin()) {
            put(content, offset, sector);
        }
        offset += length as u64;
        bytes = rest;
    }
}

impl State {
    /// Counts a call. The fault, if it is this call's turn to fail.
    fn call(&mut self) -> Option<Fault> {
        self.calls += 1;
        let (at, fault) = self.fault?;
        let due = self.calls == at || (fault == Fault::PowerCut && self.calls > at);
        due.then_some(fault)
    }

    fn file(&mut self, name: &str) -> io::Result<&mut Image> {
        let file = self.names.get(name).and_then(|file| self.files.get_mut(file));
        file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }
}

fn failed(fault: Fault) -> io::Error {
    match fault {
        Fault::Full { .. } => io::Error::new(io::ErrorKind::StorageFull, "no space left on device"),
        Fault::Error | Fault::SyncLost => io::Error::other("input/output error"),
        Fault::PowerCut => io::Error::other("the power is off"),
    }
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A folder of this disk. Its names are durable when *its* directory was synced.
    #[must_use]
    pub fn folder(&self, name: &str) -> Self {
        Self { state: Arc::clone(&self.state), folder: format!("{}{name}/", self.folder) }
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a power cut at this moment would leave, as a new disk without faults. This one goes on as if nothing had happened.
    #[must_use]
    pub fn crash(&self, tear: Tear) -> Self {
        let state = self.state().clone();
        let mut dice = Dice(if let Tear::Scatter(seed) = tear { seed } else { 0 });
        let mut names = state.durable_names;
        let kept = match tear {
            Tear::Nothing => 0,
            Tear::Everything | Tear::Scatter(_) => usize::MAX,
            Tear::Prefix { names, .. } => names,
        };
        for change in state.name_changes.iter().take(kept) {
            if !matches!(tear, Tear::Scatter(_)) || dice.coin() {
                change.apply(&mut names);
            }
        }
        let mut files = BTreeMap::new();
        for (file, image) in state.files {
            let content = image.after(tear, &mut dice);
            if names.values().any(|named| *named == file) {
                let image = Image { live: content.clone(), durable: content, changes: Vec::new() };
                files.insert(file, image);
            }
        }
        let state = State {
            files,
            names: names.clone(),
            durable_names: names,
            file_count: state.file_count,
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(state)), folder: self.folder.clone() }
    }

    /// How many calls of [`Disk`] were made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Lets the call with this number fail, counted from 1 over the disk's life. Replaces an earlier fault.
    pub fn inject(&self, call: u64, fault: Fault) {
        self.state().fault = Some((call, fault));
    }

    /// Takes back an injected fault.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// The most unsynced bytes in one file and the number of unsynced changes of names: how far [`Tear::Prefix`] can be told apart.
    #[must_use]
    pub fn unsynced(&self) -> (u64, usize) {
        let state = self.state();
        let bytes = state.files.values().map(|image| {
            let written = image.changes.iter().map(|change| match change {
                Change::Write { bytes, .. } => bytes.len() as u64,
                Change::Cut { .. } => 0,
            });
            written.sum()
        });
        (bytes.max().unwrap_or(0), state.name_changes.len())
    }

    /// The names of all files, in order; those in folders with the folder's name before them.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let state = self.state();
        state
            .names
            .keys()
            .filter_map(|name| Some(name.strip_prefix(&self.folder)?.to_owned()))
            .collect()
    }

    /// A file's content as a running program sees it; empty if there is no such file.
    #[must_use]
    pub fn content(&self, name: &str) -> Vec<u8> {
        self.state().file(&self.full(name)).map(|image| image.live.clone()).unwrap_or_default()
    }

    /// Puts a file there, durably, as an operator or a decaying disk would.
    pub fn set_content(&self, name: &str, content: &[u8]) {
        let name = self.full(name);
        let mut state = self.state();
        let file = state.names.get(&name).copied().unwrap_or(state.file_count);
        state.file_count = state.file_count.max(file + 1);
        state.names.insert(name.clone(), file);
        state.durable_names.insert(name, file);
        let image =
            Image { live: content.to_vec(), durable: content.to_vec(), changes: Vec::new() };
        state.files.insert(file, image);
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        if let Some(fault) = state.call() {
            return Err(failed(fault));
        }
        let own = state.names.keys().filter_map(|name| name.strip_prefix(&self.folder));
        Ok(own.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        let mut state = self.state();
        if let Some(fault) = state.call() {
            return Err(failed(fault));
        }
        Ok(state.file(&self.full(name))?.live.len() as u64)
    }

    fn read(&self, name: &str, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        if let Some(fault) = state.call() {
            return Err(failed(fault));
        }
        let live = &state.file(&self.full(name))?.live;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let content = live.get(offset..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(content.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if let Some(fault) = state.call() {
            return Err(failed(fault));
        }
        let name = self.full(name);
        if state.names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.file_count;
        state.file_count += 1;
        state.files.insert(file, Image::default());
        state.change(NameChange::Create { name, file });
        Ok(())
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.call();
        let written = match fault {
            None => bytes.len(),
            Some(Fault::Full { kept }) => kept.min(bytes.len()),
            Some(Fault::Error | Fault::SyncLost | Fault::PowerCut) => 0,
        };
        let image = state.file(&self.full(name))?;
        let bytes = &bytes[..written];
        if !bytes.is_empty() {
            put(&mut image.live, offset, bytes);
            image.changes.push(Change::Write { offset, bytes: bytes.to_vec() });
        }
        fault.map_or(Ok(()), |fault| Err(failed(fault)))
    }

    fn truncate(&mut self, name: &str, size: u64) -> io::Result<()> {
        let mut state = self.state();
        if let Some(fault) = state.call() {
            return Err(failed(fault));
        }
        let image = state.file(&self.full(name))?;
        cut(&mut image.live, size);
        image.changes.push(Change::Cut { size });
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.call();
        let image = state.file(&self.full(name))?;
        match fault {
            Some(Fault::SyncLost) => image.changes.clear(),
            None => {
                for change in image.changes.drain(..) {
                    match change {
                        Change::Write { offset, bytes } => put(&mut image.durable, offset, &bytes),
                        Change::Cut { size } => cut(&mut image.durable, size),
                    }
                }
            }
            Some(Fault::Error | Fault::Full { .. } | Fault::PowerCut) => {}
        }
        fault.map_or(Ok(()), |fault| Err(failed(fault)))
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        let mut state = self.state();
        if let Some(fault) = state.call() {
            return Err(failed(fault));
        }
        let own = |change: &mut NameChange| {
            change.name().strip_prefix(&self.folder).is_some_and(|name| !name.contains('/'))
        };
        let changes: Vec<NameChange> = state.name_changes.extract_if(.., own).collect();
        for change in changes {
            change.apply(&mut state.durable_names);
        }
        let named: Vec<u64> =
            state.names.values().chain(state.durable_names.values()).copied().collect();
        state.files.retain(|file, _| named.contains(file));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if let Some(fault) = state.call() {
            return Err(failed(fault));
        }
        state.file(&self.full(name))?;
        state.change(NameChange::Remove { name: self.full(name) });
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        if let Some(fault) = state.call() {
            return Err(failed(fault));
        }
        let (from, to) = (self.full(from), self.full(to));
        let file = *state.names.get(&from).ok_or(io::ErrorKind::NotFound)?;
        state.change(NameChange::Rename { from, to, file });
        Ok(())
    }

    fn salt(&mut self) -> u64 {
        // The same in every run, so that a failing seed fails again.
        Dice(self.state().file_count).roll(u64::MAX)
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("memory").join(self.full(name))
    }
}
