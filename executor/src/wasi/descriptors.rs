//! Descriptors: the three streams, the root folder, and what a program opens below it.
//!
//! | | |
//! |---|---|
//! | 0, 1, 2 | input, output, log; closing them is answered with success and changes nothing |
//! | 3 | the folder `/`, given from the start |
//! | 4 … | what `path_open` opens: the lowest that is free |
//!
//! A path begins at the folder it is given with and never leaves it: one that is absolute, or that goes up beyond its folder, is `NOTCAPABLE`.
//! Whatever would change something is `ROFS`.

use super::files::{Entry, Node, ROOT, Tree};
use super::memory::{put, range, range_mut};
use super::{EPOCH_NS, Meter, Refused, errno};

/// Descriptors at once, at most.
const OPEN_MAX: usize = 256;
/// Bytes in a path that is looked up, at most.
const LOOKUP_BYTES_MAX: u32 = 4096;
/// Fuel of looking up one byte of a path: a part of two bytes is a search among [`super::files::FILES_MAX`] names.
const LOOKUP_BYTE_FUEL: u64 = 128;
/// Fuel of an entry of a folder that is listed.
const LISTED_FUEL: u64 = 100;

const RIGHT_READ: u64 = 1 << 1;
const RIGHT_SEEK: u64 = 1 << 2;
const RIGHT_TELL: u64 = 1 << 5;
const RIGHT_WRITE: u64 = 1 << 6;
const RIGHT_PATH_OPEN: u64 = 1 << 13;
const RIGHT_READDIR: u64 = 1 << 14;
const RIGHT_PATH_FILESTAT: u64 = 1 << 18;
const RIGHT_FILESTAT: u64 = 1 << 21;
const FILE_RIGHTS: u64 = RIGHT_READ | RIGHT_SEEK | RIGHT_TELL | RIGHT_FILESTAT;
const FOLDER_RIGHTS: u64 = RIGHT_PATH_OPEN | RIGHT_READDIR | RIGHT_PATH_FILESTAT | RIGHT_FILESTAT;

const TYPE_FOLDER: u8 = 3;
const TYPE_FILE: u8 = 4;

const OPEN_CREATE: u32 = 1;
const OPEN_FOLDER: u32 = 2;
const OPEN_EXCLUSIVE: u32 = 4;
const OPEN_TRUNCATE: u32 = 8;

/// The descriptor of the root folder.
pub(super) const ROOT_DESCRIPTOR: u32 = 3;
/// What the root folder is called.
const ROOT_NAME: &[u8] = b"/";

/// What a descriptor stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Open {
    Input,
    Output,
    Log,
    At(Node),
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    open: Open,
    /// Where the next byte is read.
    offset: u64,
}

/// The descriptors of one instance.
#[derive(Debug)]
pub(super) struct Descriptors(Vec<Option<Slot>>);

impl Default for Descriptors {
    fn default() -> Self {
        let slot = |open| Some(Slot { open, offset: 0 });
        Self(vec![slot(Open::Input), slot(Open::Output), slot(Open::Log), slot(Open::At(ROOT))])
    }
}

fn refuse<T>(number: i32) -> Result<T, Refused> {
    Err(Refused::Errno(number))
}

/// What a program asks of `path_open`.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    pub(super) folder: u32,
    /// Pointer and length.
    pub(super) path: (u32, u32),
    pub(super) flags: u32,
    pub(super) rights: u64,
}

impl Descriptors {
    fn slot(&mut self, number: u32) -> Result<&mut Slot, Refused> {
        let slot = self.0.get_mut(number as usize).and_then(Option::as_mut);
        slot.ok_or(Refused::Errno(errno::BADF))
    }

    /// What a descriptor stands for.
    pub(super) fn get(&mut self, number: u32) -> Result<Open, Refused> {
        self.slot(number).map(|slot| slot.open)
    }

    /// Where the next byte of a stream or file is read, to be moved by who reads.
    pub(super) fn offset(&mut self, number: u32) -> Result<&mut u64, Refused> {
        self.slot(number).map(|slot| &mut slot.offset)
    }

    fn folder(&mut self, number: u32, files: &Tree) -> Result<Node, Refused> {
        match self.get(number)? {
            Open::At(node) if matches!(files.entry(node), Entry::Folder(_)) => Ok(node),
            Open::At(_) | Open::Input | Open::Output | Open::Log => refuse(errno::NOTDIR),
        }
    }

    pub(super) fn close(&mut self, number: u32) -> Result<(), Refused> {
        if let Open::At(_) = self.get(number)? {
            self.0[number as usize] = None;
        }
        Ok(())
    }

    /// Opens what is at a path and returns its descriptor.
    pub(super) fn open(
        &mut self,
        opening: Opening,
        files: &Tree,
        memory: &[u8],
        meter: &mut Meter,
    ) -> Result<u32, Refused> {
        let Opening { folder, path, flags, rights } = opening;
        let found = self.find(folder, path, files, memory, meter);
        let node = match found {
            Err(Refused::Errno(errno::NOENT)) if flags & OPEN_CREATE != 0 => {
                return refuse(errno::ROFS);
            }
            other => other?,
        };
        if flags & OPEN_CREATE != 0 && flags & OPEN_EXCLUSIVE != 0 {
            return refuse(errno::EXIST);
        }
        let is_folder = matches!(files.entry(node), Entry::Folder(_));
        if flags & OPEN_FOLDER != 0 && !is_folder {
            return refuse(errno::NOTDIR);
        }
        if rights & RIGHT_WRITE != 0 || flags & OPEN_TRUNCATE != 0 {
            return refuse(if is_folder { errno::ISDIR } else { errno::ROFS });
        }
        let free = self.0.iter().skip(ROOT_DESCRIPTOR as usize + 1).position(Option::is_none);
        let number = free.map_or(self.0.len(), |at| at + ROOT_DESCRIPTOR as usize + 1);
        if number >= OPEN_MAX {
            return refuse(errno::MFILE);
        }
        if number == self.0.len() {
            self.0.push(None);
        }
        self.0[number] = Some(Slot { open: Open::At(node), offset: 0 });
        Ok(u32::try_from(number).expect("few are open"))
    }

    /// What is at a path below a folder.
    pub(super) fn find(
        &mut self,
        folder: u32,
        (pointer, length): (u32, u32),
        files: &Tree,
        memory: &[u8],
        meter: &mut Meter,
    ) -> Result<Node, Refused> {
        let base = self.folder(folder, files)?;
        if length > LOOKUP_BYTES_MAX {
            return refuse(errno::NAMETOOLONG);
        }
        meter.spend(u64::from(length) * LOOKUP_BYTE_FUEL)?;
        let path = range(memory, pointer, length)?;
        let Ok(path) = std::str::from_utf8(path) else { return refuse(errno::ILSEQ) };
        if path.is_empty() {
            return refuse(errno::NOENT);
        }
        if path.starts_with('/') {
            return refuse(errno::NOTCAPABLE);
        }
        // The folders passed, to go back up: never above the one it began at.
        let mut passed = vec![base];
        for part in path.split('/') {
            let at = *passed.last().expect("the base stays");
            let Entry::Folder(entries) = files.entry(at) else { return refuse(errno::NOTDIR) };
            match part {
                "" | "." => {}
                ".." if passed.len() == 1 => return refuse(errno::NOTCAPABLE),
                ".." => drop(passed.pop()),
                name => match entries.get(name) {
                    Some(node) => passed.push(*node),
                    None => return refuse(errno::NOENT),
                },
            }
        }
        Ok(*passed.last().expect("the base stays"))
    }

    /// Moves where the next byte of a file is read, and returns the place.
    pub(super) fn seek(
        &mut self,
        number: u32,
        delta: i64,
        whence: u32,
        length: Option<u64>,
    ) -> Result<u64, Refused> {
        let slot = self.slot(number)?;
        let Open::At(_) = slot.open else { return refuse(errno::SPIPE) };
        let length = length.ok_or(Refused::Errno(errno::ISDIR))?;
        let base = match whence {
            0 => 0,
            1 => slot.offset,
            2 => length,
            _ => return refuse(errno::INVAL),
        };
        // Beyond the end nothing is read, which is no error.
        let place = base.checked_add_signed(delta).filter(|place| *place <= i64::MAX as u64);
        slot.offset = place.ok_or(Refused::Errno(errno::INVAL))?;
        Ok(slot.offset)
    }

    /// Writes what kind of thing a descriptor is, and what may be done with it.
    pub(super) fn describe(
        &mut self,
        number: u32,
        files: &Tree,
        memory: &mut [u8],
        pointer: u32,
    ) -> Result<(), Refused> {
        // The streams are of unknown type: not terminals, so that libraries buffer.
        let (kind, rights, below) = match self.get(number)? {
            Open::Input => (0, RIGHT_READ, 0),
            Open::Output | Open::Log => (0, RIGHT_WRITE, 0),
            Open::At(node) => match files.entry(node) {
                Entry::Folder(_) => (TYPE_FOLDER, FOLDER_RIGHTS, FOLDER_RIGHTS | FILE_RIGHTS),
                Entry::Input | Entry::File(_) => (TYPE_FILE, FILE_RIGHTS, 0),
            },
        };
        let mut stat = [0; 24];
        stat[0] = kind;
        stat[8..16].copy_from_slice(&rights.to_le_bytes());
        stat[16..].copy_from_slice(&below.to_le_bytes());
        put(memory, pointer, &stat)
    }

    /// The name of a folder that is given from the start.
    pub(super) fn given(&mut self, number: u32) -> Result<&'static [u8], Refused> {
        if number == ROOT_DESCRIPTOR && self.get(number)? == Open::At(ROOT) {
            Ok(ROOT_NAME)
        } else {
            refuse(errno::BADF)
        }
    }

    /// Answers a call that would change something below a folder.
    pub(super) fn change(&mut self, number: u32, files: &Tree) -> Result<(), Refused> {
        match self.folder(number, files) {
            Ok(_) => refuse(errno::ROFS),
            Err(_) => refuse(errno::BADF),
        }
    }

    /// Lists a folder from an entry on, in the order of names; what does not fit is cut. Returns how many bytes were written.
    pub(super) fn list(
        &mut self,
        (number, cookie): (u32, u64),
        files: &Tree,
        memory: &mut [u8],
        (pointer, length): (u32, u32),
        meter: &mut Meter,
    ) -> Result<u32, Refused> {
        let node = self.folder(number, files)?;
        let Entry::Folder(entries) = files.entry(node) else { return refuse(errno::NOTDIR) };
        let room = range_mut(memory, pointer, length)?;
        let own = [(".", node), ("..", node)].into_iter();
        let all = own.chain(entries.iter().map(|(name, node)| (name.as_str(), *node)));
        let mut used = 0;
        let skipped = usize::try_from(cookie).unwrap_or(usize::MAX);
        meter.spend(LISTED_FUEL.saturating_mul(cookie.min(entries.len() as u64)))?;
        for ((name, node), next) in all.skip(skipped).zip(cookie.saturating_add(1)..) {
            if used == room.len() {
                break;
            }
            meter.spend(LISTED_FUEL)?;
            let mut entry = [0; 24];
            entry[..8].copy_from_slice(&next.to_le_bytes());
            entry[8..16].copy_from_slice(&inode(node).to_le_bytes());
            let bytes = u32::try_from(name.len()).expect("names are short");
            entry[16..20].copy_from_slice(&bytes.to_le_bytes());
            entry[20] = kind(files.entry(node));
            for byte in entry.iter().chain(name.as_bytes()) {
                let Some(place) = room.get_mut(used) else { break };
                *place = *byte;
                used += 1;
            }
        }
        Ok(u32::try_from(used).expect("no more than the room"))
    }
}

fn kind(entry: &Entry) -> u8 {
    if matches!(entry, Entry::Folder(_)) { TYPE_FOLDER } else { TYPE_FILE }
}

fn inode(node: Node) -> u64 {
    node as u64 + 1
}

/// The 64 bytes that describe a file or folder; `bytes` is its length. All times are the clock's start.
pub(super) fn stat(node: Node, files: &Tree, bytes: u64) -> [u8; 64] {
    let mut stat = [0; 64];
    stat[8..16].copy_from_slice(&inode(node).to_le_bytes());
    stat[16] = kind(files.entry(node));
    stat[24] = 1;
    stat[32..40].copy_from_slice(&bytes.to_le_bytes());
    for at in [40, 48, 56] {
        stat[at..at + 8].copy_from_slice(&EPOCH_NS.to_le_bytes());
    }
    stat
}
