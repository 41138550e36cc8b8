//! The journal itself: which segments there are, what is in them, and the order of writes and syncs.

use std::ops::Range;

use crate::disk::Disk;
use crate::error::{Cut, JournalError};
use crate::format::{FRAME_BYTES, Frame, HEADER_BYTES, Header, SEQUENCE_MAX};
use crate::recover;
use crate::scan::Place;

/// Largest payload that any journal takes, whatever its options say.
pub const RECORD_BYTES_LIMIT: u32 = 256 << 20;
/// Most bytes that one call may add, frames included. Also the most that [`Journal::replace_all`] may keep.
pub const BATCH_BYTES_MAX: u64 = 1 << 30;
/// Largest segment after which the next one is begun.
pub(crate) const SEGMENT_BYTES_LIMIT: u64 = 1 << 30;
// Offsets in a segment are kept as u32: the last batch begins below the limit, and marks come between batches only.
const _: () = assert!(SEGMENT_BYTES_LIMIT + BATCH_BYTES_MAX + 4096 < u32::MAX as u64);

/// What a journal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Stands in every segment, so that one journal's files are not taken for another's. Padded with zero bytes.
    pub label: [u8; 8],
    /// The number of the first record of a journal that is created.
    pub first: u64,
    /// Bytes of a segment after which the next one is begun; at most 1 GiB.
    pub segment_bytes: u64,
    /// Bytes of one payload, at most; at most [`RECORD_BYTES_LIMIT`].
    pub record_bytes_max: u32,
}

impl Options {
    /// Records from number 1, of at most 16 MiB, in segments of 64 MiB.
    #[must_use]
    pub const fn new(label: [u8; 8]) -> Self {
        Self { label, first: 1, segment_bytes: 64 << 20, record_bytes_max: 16 << 20 }
    }
}

/// One file of the journal.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) header: Header,
    pub(crate) places: Vec<Place>,
    /// Its size in bytes.
    pub(crate) end: u64,
}

impl Segment {
    /// The number after its last record.
    pub(crate) fn next(&self) -> u64 {
        self.header.first + self.places.len() as u64
    }

    pub(crate) fn name_of(first: u64) -> String {
        format!("{first:020}.seg")
    }
}

/// An open journal. See the crate's documentation.
#[derive(Debug)]
pub struct Journal {
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) options: Options,
    /// All segments but the one written to, oldest first. They are durable as a whole.
    pub(crate) sealed: Vec<Segment>,
    pub(crate) current: Segment,
    /// Every record before this number is durable.
    pub(crate) durable: u64,
    pub(crate) poisoned: bool,
}

impl Journal {
    /// Opens or creates the journal on a disk; says what was cut, if anything was. Every record found is durable from then on.
    ///
    /// # Errors
    /// [`JournalError`]: unreadable, damaged, of a newer version, or another journal's. Nothing is changed by a refusal but that files of
    /// unfinished replacements may be removed.
    pub fn open(
        disk: Box<dyn Disk>,
        options: Options,
    ) -> Result<(Self, Option<Cut>), JournalError> {
        recover::open(disk, options)
    }

    /// The number of the oldest record that is kept; equal to [`Journal::next`] if there is none.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.sealed.first().unwrap_or(&self.current).header.first
    }

    /// The number of the first record of the newest segment.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.current.header.first
    }

    /// The number that the next record will get.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.current.next()
    }

    /// Every record before this number is durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether it holds no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first() == self.next()
    }

    /// Bytes on disk, headers and frames included.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.sealed.iter().chain([&self.current]).map(|segment| segment.end).sum()
    }

    /// Appends records with one write and returns their numbers. They are *not* durable before [`Journal::sync`] returned.
    ///
    /// # Errors
    /// [`JournalError::RecordTooLarge`] or [`JournalError::BatchTooLarge`], with nothing changed; [`JournalError::Io`], after which the journal
    /// refuses further use; [`JournalError::Poisoned`].
    pub fn append<P: AsRef<[u8]>>(&mut self, payloads: &[P]) -> Result<Range<u64>, JournalError> {
        self.usable()?;
        self.fits(payloads)?;
        let first = self.next();
        if payloads.is_empty() {
            return Ok(first..first);
        }
        self.guarded(|journal| {
            if journal.current.end >= journal.options.segment_bytes
                && !journal.current.places.is_empty()
            {
                journal.rotate()?;
            }
            let segment = &journal.current;
            let (bytes, places) = frames(segment, segment.end, journal.durable, payloads);
            journal.write(&bytes)?;
            journal.current.places.extend(places);
            Ok(first..journal.next())
        })
    }

    /// Makes every appended record durable. Does nothing if they are.
    ///
    /// # Errors
    /// [`JournalError::Io`]: nothing was acknowledged, and the journal refuses further use; [`JournalError::Poisoned`].
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.usable()?;
        if self.durable == self.next() {
            return Ok(());
        }
        self.guarded(|journal| {
            journal.sync_current()?;
            journal.mark()
        })
    }

    /// Appends records and makes them durable with one write and one sync.
    ///
    /// # Errors
    /// As [`Journal::append`] and [`Journal::sync`].
    pub fn append_and_sync<P: AsRef<[u8]>>(
        &mut self,
        payloads: &[P],
    ) -> Result<Range<u64>, JournalError> {
        let numbers = self.append(payloads)?;
        self.sync()?;
        Ok(numbers)
    }

    /// Reads a record; `None` if it is not there any more or not yet. Its checksum is verified on every read.
    ///
    /// # Errors
    /// [`JournalError`]: unreadable or damaged.
    pub fn read(&self, sequence: u64) -> Result<Option<Vec<u8>>, JournalError> {
        self.usable()?;
        let Some((segment, place)) = self.find(sequence) else { return Ok(None) };
        let mut bytes = vec![0; FRAME_BYTES + place.length as usize];
        let read = self.disk.read(&segment.name, place.offset.into(), &mut bytes);
        self.io("read", &segment.name, read)?;
        let payload = bytes.split_off(FRAME_BYTES);
        let right = Frame::decode(&bytes, segment.header.salt).is_some_and(|frame| {
            frame.sequence == sequence && frame.length == place.length && frame.holds(&payload)
        });
        if right {
            return Ok(Some(payload));
        }
        Err(JournalError::Damaged {
            path: self.disk.path(&segment.name),
            offset: place.offset.into(),
            what: "the record was whole and is not any more",
        })
    }

    /// The records from a number on with their numbers, oldest first; begins with the oldest that is kept if that is later.
    pub fn iter_from(
        &self,
        sequence: u64,
    ) -> impl Iterator<Item = Result<(u64, Vec<u8>), JournalError>> + '_ {
        (sequence.max(self.first())..self.next()).filter_map(|sequence| {
            self.read(sequence).map(|found| Some((sequence, found?))).transpose()
        })
    }

    /// Replaces all records by these and returns their numbers, which continue the old ones. Durable when it returns. After a crash at any
    /// point, either the old records are there as if this had not been called, or exactly the new ones.
    ///
    /// # Errors
    /// As [`Journal::append_and_sync`].
    pub fn replace_all<P: AsRef<[u8]>>(
        &mut self,
        payloads: &[P],
    ) -> Result<Range<u64>, JournalError> {
        self.usable()?;
        self.fits(payloads)?;
        let first = self.next();
        self.guarded(|journal| {
            let segment = create(journal.disk.as_mut(), &journal.options, first, true, payloads)?;
            let mut old: Vec<String> = journal.sealed.drain(..).map(|old| old.name).collect();
            old.push(std::mem::replace(&mut journal.current, segment).name);
            journal.durable = journal.next();
            for name in old.iter().filter(|name| **name != journal.current.name) {
                let removed = journal.disk.remove(name);
                journal.io("remove", name, removed)?;
            }
            // If power goes before the removals are durable, the next opening repeats them.
            Ok(first..journal.next())
        })
    }

    /// The oldest number that [`Journal::drop_before`] would keep.
    #[must_use]
    pub fn kept_by_drop_before(&self, sequence: u64) -> u64 {
        let kept = self.sealed.iter().find(|segment| segment.next() > sequence);
        kept.unwrap_or(&self.current).header.first
    }

    /// Removes whole segments in which every record's number is below `sequence`, and returns the oldest number that is kept.
    ///
    /// # Errors
    /// [`JournalError::Io`], after which the journal refuses further use; [`JournalError::Poisoned`].
    pub fn drop_before(&mut self, sequence: u64) -> Result<u64, JournalError> {
        self.usable()?;
        self.guarded(|journal| {
            while journal.sealed.first().is_some_and(|oldest| oldest.next() <= sequence) {
                let oldest = journal.sealed.remove(0);
                let removed = journal.disk.remove(&oldest.name);
                journal.io("remove", &oldest.name, removed)?;
                // One at a time: were they removed in another order, a gap would look like a lost segment.
                sync_names(journal.disk.as_mut())?;
            }
            Ok(journal.first())
        })
    }

    fn find(&self, sequence: u64) -> Option<(&Segment, Place)> {
        let segment = if sequence >= self.current.header.first {
            &self.current
        } else {
            let after = self.sealed.partition_point(|segment| segment.header.first <= sequence);
            self.sealed.get(after.checked_sub(1)?)?
        };
        let index = usize::try_from(sequence.checked_sub(segment.header.first)?).ok()?;
        Some((segment, *segment.places.get(index)?))
    }

    fn usable(&self) -> Result<(), JournalError> {
        if self.poisoned { Err(JournalError::Poisoned) } else { Ok(()) }
    }

    /// Runs writes and syncs. If one fails, nothing may be added to what may be lost.
    fn guarded<T>(
        &mut self,
        writes: impl FnOnce(&mut Self) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        self.poisoned = true;
        let result = writes(self)?;
        self.poisoned = false;
        Ok(result)
    }

    fn fits<P: AsRef<[u8]>>(&self, payloads: &[P]) -> Result<(), JournalError> {
        let limit = u64::from(self.options.record_bytes_max);
        let mut total = 0u64;
        for payload in payloads {
            let bytes = payload.as_ref().len() as u64;
            if bytes > limit {
                return Err(JournalError::RecordTooLarge { bytes, limit });
            }
            total = total.saturating_add(bytes + FRAME_BYTES as u64);
        }
        if total > BATCH_BYTES_MAX {
            return Err(JournalError::BatchTooLarge { bytes: total, limit: BATCH_BYTES_MAX });
        }
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), JournalError> {
        // Even if every record is durable: the last mark may not be, and a segment with one after it must be whole.
        self.sync_current()?;
        let first = self.next();
        let next = create::<&[u8]>(self.disk.as_mut(), &self.options, first, false, &[])?;
        self.sealed.push(std::mem::replace(&mut self.current, next));
        Ok(())
    }

    fn sync_current(&mut self) -> Result<(), JournalError> {
        let synced = self.disk.sync(&self.current.name);
        self.io("sync", &self.current.name, synced)?;
        self.durable = self.next();
        Ok(())
    }

    /// Says that everything so far is durable. Not synced itself: if it is lost, only a proof is.
    pub(crate) fn mark(&mut self) -> Result<(), JournalError> {
        debug_assert_eq!(self.durable, self.next());
        let frame = Frame::mark(self.durable).encode(self.current.header.salt);
        self.write(&frame)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let written = self.disk.write(&self.current.name, self.current.end, bytes);
        self.io("write", &self.current.name, written)?;
        self.current.end += bytes.len() as u64;
        Ok(())
    }

    fn io<T>(
        &self,
        action: &'static str,
        name: &str,
        result: std::io::Result<T>,
    ) -> Result<T, JournalError> {
        io(self.disk.as_ref(), action, name, result)
    }
}

pub(crate) fn io<T>(
    disk: &dyn Disk,
    action: &'static str,
    name: &str,
    result: std::io::Result<T>,
) -> Result<T, JournalError> {
    result.map_err(|source| JournalError::Io { path: disk.path(name), action, source })
}

pub(crate) fn sync_names(disk: &mut dyn Disk) -> Result<(), JournalError> {
    let synced = disk.sync_directory();
    io(disk, "sync the folder of", "", synced)
}

/// The bytes of records that begin at `offset` of a segment, and where each stands.
fn frames<P: AsRef<[u8]>>(
    segment: &Segment,
    offset: u64,
    durable: u64,
    payloads: &[P],
) -> (Vec<u8>, Vec<Place>) {
    let total: usize = payloads.iter().map(|payload| FRAME_BYTES + payload.as_ref().len()).sum();
    let (mut bytes, mut places) = (Vec::with_capacity(total), Vec::with_capacity(payloads.len()));
    for (sequence, payload) in (segment.next()..).zip(payloads) {
        let payload = payload.as_ref();
        let at = u32::try_from(offset + bytes.len() as u64).expect("segments are below 4 GiB");
        let length = u32::try_from(payload.len()).expect("the size was checked");
        places.push(Place { offset: at, length });
        let frame = Frame::record(sequence, durable, payload, length);
        bytes.extend_from_slice(&frame.encode(segment.header.salt));
        bytes.extend_from_slice(payload);
    }
    (bytes, places)
}

/// Creates a segment with these records in it. It appears under its name when it is whole and durable, and not before.
pub(crate) fn create<P: AsRef<[u8]>>(
    disk: &mut dyn Disk,
    options: &Options,
    first: u64,
    fresh: bool,
    payloads: &[P],
) -> Result<Segment, JournalError> {
    let first = first.min(SEQUENCE_MAX);
    let header = Header { fresh, first, salt: disk.salt(), label: options.label };
    let name = Segment::name_of(first);
    let mut segment = Segment { name, header, places: Vec::new(), end: HEADER_BYTES as u64 };
    let mut bytes = header.encode().to_vec();
    let (records, places) = frames(&segment, segment.end, first, payloads);
    bytes.extend_from_slice(&records);
    segment.places = places;
    if !payloads.is_empty() {
        // True as soon as anybody can see the file.
        bytes.extend_from_slice(&Frame::mark(segment.next()).encode(header.salt));
    }
    segment.end = bytes.len() as u64;
    let beside = format!("{}{}", segment.name, recover::UNFINISHED);
    let created = disk.create(&beside);
    io(disk, "create", &beside, created)?;
    let written = disk.write(&beside, 0, &bytes);
    io(disk, "write", &beside, written)?;
    let synced = disk.sync(&beside);
    io(disk, "sync", &beside, synced)?;
    let renamed = disk.rename(&beside, &segment.name);
    io(disk, "rename", &beside, renamed)?;
    sync_names(disk)?;
    Ok(segment)
}
