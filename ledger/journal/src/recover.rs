//! Opening: find the segments that count, read them, cut a torn tail, make all that is left durable.

use crate::disk::Disk;
use crate::error::{Cut, JournalError};
use crate::format::{BadHeader, HEADER_BYTES, Header, SEQUENCE_MAX, VERSION};
use crate::journal::{
    Journal, Options, RECORD_BYTES_LIMIT, SEGMENT_BYTES_LIMIT, Segment, create, io, sync_names,
};
use crate::scan::scan;

const FINISHED: &str = ".seg";
/// Ends the name of a segment that is being written and does not count yet.
pub(crate) const UNFINISHED: &str = ".new";

/// A segment as it was found.
struct Found {
    segment: Segment,
    bytes: Vec<u8>,
    /// Bytes of the file before anything was cut.
    size: u64,
    durable: u64,
    torn: Option<&'static str>,
}

pub(crate) fn open(
    mut disk: Box<dyn Disk>,
    mut options: Options,
) -> Result<(Journal, Option<Cut>), JournalError> {
    options.record_bytes_max = options.record_bytes_max.min(RECORD_BYTES_LIMIT);
    options.segment_bytes = options.segment_bytes.min(SEGMENT_BYTES_LIMIT);
    options.first = options.first.min(SEQUENCE_MAX);
    let (names, stale) = segments(disk.as_mut(), &options)?;
    let mut sealed = Vec::new();
    let mut last: Option<Found> = None;
    for name in names {
        let found = read(disk.as_ref(), name)?;
        if let Some(before) = last.replace(found) {
            let next = last.as_ref().map_or(0, |found| found.segment.header.first);
            sealed.push(seal(disk.as_ref(), before, next)?);
        }
    }
    // An earlier process may have renamed or removed and ended before the sync. From here on it has happened.
    sync_names(disk.as_mut())?;
    for name in &stale {
        let removed = disk.remove(name);
        io(disk.as_ref(), "remove", name, removed)?;
    }
    let (current, cut, durable) = match last {
        Some(found) => repair(disk.as_mut(), found)?,
        None => {
            let first = options.first;
            let segment = create::<&[u8]>(disk.as_mut(), &options, first, false, &[])?;
            (segment, None, options.first)
        }
    };
    let next = current.next();
    let mut journal = Journal { disk, options, sealed, current, durable: next, poisoned: false };
    if durable < next {
        journal.mark()?;
    }
    Ok((journal, cut))
}

/// The names of the segments that count, oldest first, and of those that do not. Removes what never was finished.
fn segments(
    disk: &mut dyn Disk,
    options: &Options,
) -> Result<(Vec<String>, Vec<String>), JournalError> {
    let listed = disk.list();
    let mut names = io(disk, "list", "", listed)?;
    names.sort_unstable();
    let unfinished = names.extract_if(.., |name| name.ends_with(UNFINISHED));
    for name in unfinished {
        let removed = disk.remove(&name);
        io(disk, "remove", &name, removed)?;
    }
    if let Some(name) = names.iter().find(|name| !name.ends_with(FINISHED)) {
        return Err(JournalError::Stranger { path: disk.path(name) });
    }
    // What stands before a fresh segment was replaced by it.
    let mut count_from = 0;
    for (index, name) in names.iter().enumerate().rev() {
        if read_header(disk, name, options)?.fresh {
            count_from = index;
            break;
        }
    }
    let counting = names.split_off(count_from);
    Ok((counting, names))
}

fn read_header(disk: &dyn Disk, name: &str, options: &Options) -> Result<Header, JournalError> {
    let size = disk.size(name);
    let size = io(disk, "read", name, size)?;
    let length = usize::try_from(size).unwrap_or(usize::MAX).min(HEADER_BYTES);
    let mut bytes = [0; HEADER_BYTES];
    let read = disk.read(name, 0, &mut bytes[..length]);
    io(disk, "read", name, read)?;
    let header = Header::decode(&bytes[..length]).map_err(|bad| match bad {
        BadHeader::Newer(version) => {
            JournalError::NewerVersion { path: disk.path(name), version, known: VERSION }
        }
        BadHeader::Damaged(what) => damaged(disk, name, 0, what),
    })?;
    if header.label != options.label {
        return Err(JournalError::OtherJournal {
            path: disk.path(name),
            expected: text(&options.label),
            got: text(&header.label),
        });
    }
    if name != Segment::name_of(header.first) {
        return Err(damaged(disk, name, 0, "the file's name is not that of its first record"));
    }
    Ok(header)
}

fn read(disk: &dyn Disk, name: String) -> Result<Found, JournalError> {
    let size = disk.size(&name);
    let size = io(disk, "read", &name, size)?;
    let length = u32::try_from(size)
        .ok()
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| damaged(disk, &name, 0, "the file is larger than any segment"))?;
    let mut bytes = vec![0; length];
    let read = disk.read(&name, 0, &mut bytes);
    io(disk, "read", &name, read)?;
    let header = Header::decode(&bytes)
        .map_err(|_| damaged(disk, &name, 0, "the segment header changed while it was read"))?;
    let found =
        scan(&bytes, &header).map_err(|bad| damaged(disk, &name, bad.offset as u64, bad.what))?;
    bytes.truncate(found.end);
    let segment = Segment { name, header, places: found.places, end: found.end as u64 };
    Ok(Found { segment, bytes, size, durable: found.durable, torn: found.torn })
}

/// Checks a segment that has one after it: it was durable as a whole before the next one was begun.
fn seal(disk: &dyn Disk, found: Found, next_first: u64) -> Result<Segment, JournalError> {
    let segment = found.segment;
    if let Some(what) = found.torn {
        return Err(damaged(disk, &segment.name, segment.end, what));
    }
    if segment.next() != next_first {
        let what = "the next segment does not continue this one";
        return Err(damaged(disk, &segment.name, segment.end, what));
    }
    Ok(segment)
}

/// Cuts the torn tail of the last segment, and makes the rest durable.
fn repair(disk: &mut dyn Disk, found: Found) -> Result<(Segment, Option<Cut>, u64), JournalError> {
    let Found { segment, bytes, size, durable, torn } = found;
    let name = segment.name.as_str();
    let cut = torn.map(|what| Cut {
        path: disk.path(name),
        offset: segment.end,
        bytes: size - segment.end,
        what,
    });
    if cut.is_some() {
        let shortened = disk.truncate(name, segment.end);
        io(disk, "cut", name, shortened)?;
    }
    // What nothing proves durable may be in memory only, and after a failed sync the system may never write it again by itself.
    let proven = usize::try_from(durable - segment.header.first).unwrap_or(usize::MAX);
    let proven_end = match proven.checked_sub(1).and_then(|last| segment.places.get(last)) {
        Some(place) => place.end(),
        None => HEADER_BYTES as u64,
    };
    let rest = bytes.get(usize::try_from(proven_end).unwrap_or(usize::MAX)..).unwrap_or_default();
    if !rest.is_empty() {
        let written = disk.write(name, proven_end, rest);
        io(disk, "write", name, written)?;
    }
    let synced = disk.sync(name);
    io(disk, "sync", name, synced)?;
    Ok((segment, cut, durable))
}

fn damaged(disk: &dyn Disk, name: &str, offset: u64, what: &'static str) -> JournalError {
    JournalError::Damaged { path: disk.path(name), offset, what }
}

fn text(label: &[u8; 8]) -> String {
    String::from_utf8_lossy(label).trim_end_matches('\0').to_owned()
}
