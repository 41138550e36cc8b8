//! Runs: files of sorted entries that never change.
//!
//! ```text
//! page 0        GSINDEX\n · version u32 · level u32 · first height u64 · last height u64 · transactions u64 · entries u64
//! then, each section from the beginning of a page:
//! blocks        for each block, how many of the run's transactions stand before its own         u32       1,020 in a page
//! ids           the ids of all transactions, in the order of the chain                           32 bytes    127 in a page
//! entries       key 16 · height << 14 | index u64, sorted                                        24 bytes    170 in a page
//! fences        the first 8 bytes of the first key of each page of entries                       u64         510 in a page
//!
//! page          content 4,080 · page number u64 · 0 u32 · checksum u32      CRC-32C of first height, last height, page number, content
//! ```
//!
//! Keys and places are big-endian, so that entries are in the order of their bytes; all else is little-endian. A file is named after its first and last
//! block and ends in `.run`; while it is being written it ends in `.new`. Fences are kept in memory.

use std::sync::atomic::{AtomicBool, Ordering};

use gongsuan_journal::Disk;
use gongsuan_types::Hash;

use super::entry::{ENTRY_BYTES, Entry, Key, Place, Subject};
use super::page::{CONTENT_BYTES, PAGE_BYTES, PageWriter, Seal, checked, read};
use super::{INDEX_VERSION, IndexError};

const MAGIC: [u8; 8] = *b"GSINDEX\n";
const FINISHED: &str = ".run";
const UNFINISHED: &str = ".new";
pub(super) const PAGE_STARTS: usize = CONTENT_BYTES / 4;
pub(super) const PAGE_IDS: usize = CONTENT_BYTES / 32;
pub(super) const PAGE_ENTRIES: usize = CONTENT_BYTES / ENTRY_BYTES;
pub(super) const PAGE_FENCES: usize = CONTENT_BYTES / 8;

/// How many there are of everything, from which the file's layout follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    pub(super) level: u32,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) txs: u64,
    pub(super) entries: u64,
}

impl Shape {
    fn seal(&self) -> Seal {
        Seal(self.from, self.to)
    }

    pub(super) fn blocks(&self) -> u64 {
        self.to - self.from + 1
    }

    fn name(&self, ending: &str) -> String {
        format!("{:020}-{:020}{ending}", self.from, self.to)
    }

    fn first_of_ids(&self) -> u64 {
        1 + self.blocks().div_ceil(PAGE_STARTS as u64)
    }

    fn first_of_entries(&self) -> u64 {
        self.first_of_ids() + self.txs.div_ceil(PAGE_IDS as u64)
    }

    fn entry_pages(&self) -> u64 {
        self.entries.div_ceil(PAGE_ENTRIES as u64)
    }

    fn first_of_fences(&self) -> u64 {
        self.first_of_entries() + self.entry_pages()
    }

    fn size_bytes(&self) -> u64 {
        let pages = self.first_of_fences() + self.entry_pages().div_ceil(PAGE_FENCES as u64);
        pages * PAGE_BYTES as u64
    }

    /// Begins the file of this shape.
    pub(super) fn create(&self, disk: &mut dyn Disk) -> Result<PageWriter, IndexError> {
        PageWriter::create(disk, self.name(UNFINISHED), self.seal())
    }

    fn encode(&self) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&INDEX_VERSION.to_le_bytes());
        head.extend_from_slice(&self.level.to_le_bytes());
        for number in [self.from, self.to, self.txs, self.entries] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        head
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    name: String,
    shape: Shape,
    pub(super) from: u64,
    pub(super) to: u64,
    fences: Vec<u64>,
    suspect: AtomicBool,
}

impl Run {
    fn of(shape: Shape, fences: Vec<u64>) -> Self {
        let (name, from, to) = (shape.name(FINISHED), shape.from, shape.to);
        Self { name, shape, from, to, fences, suspect: AtomicBool::new(false) }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.shape.size_bytes()
    }

    /// A damaged page was met in it.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }

    /// Writes the fences and ends the file, whose other sections are written.
    pub(super) fn finish(
        shape: Shape,
        mut writer: PageWriter,
        fences: Vec<u64>,
        disk: &mut dyn Disk,
    ) -> Result<Self, IndexError> {
        for fence in &fences {
            writer.put(disk, &fence.to_le_bytes())?;
        }
        let run = Self::of(shape, fences);
        writer.finish(disk, &shape.encode(), &run.name)?;
        Ok(run)
    }

    /// Opens a file; nothing if it is not a whole run.
    fn open(disk: &dyn Disk, name: &str) -> Result<Option<Self>, IndexError> {
        let size = disk.size(name);
        let size = checked(disk, "read", name, size)?;
        let mut page = vec![0; PAGE_BYTES];
        if size < PAGE_BYTES as u64 {
            return Ok(None);
        }
        let got = disk.read(name, 0, &mut page);
        checked(disk, "read", name, got)?;
        let (version, level) = (u32_at(&page, 8), u32_at(&page, 12));
        // Before the checksum: a newer version may keep it elsewhere.
        if page[..8] == MAGIC && version > INDEX_VERSION {
            return Err(IndexError::NewerVersion { path: disk.path(name), got: version });
        }
        let number = |at: usize| u64_at(&page, 16 + 8 * at);
        let shape =
            Shape { level, from: number(0), to: number(1), txs: number(2), entries: number(3) };
        let whole = Seal(shape.from, shape.to).fits(0, &page)
            && page[..8] == MAGIC
            && version == INDEX_VERSION
            && shape.from <= shape.to
            && shape.name(FINISHED) == name
            && shape.size_bytes() == size;
        if !whole {
            return Ok(None);
        }
        let mut fences = Vec::new();
        for page in 0..shape.entry_pages().div_ceil(PAGE_FENCES as u64) {
            match read(disk, name, shape.seal(), shape.first_of_fences() + page) {
                Ok(content) => {
                    fences.extend((0..PAGE_FENCES).map(|at| u64_at(&content, 8 * at)));
                }
                Err(IndexError::Damaged { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        fences.truncate(usize::try_from(shape.entry_pages()).unwrap_or(usize::MAX));
        Ok(Some(Self::of(shape, fences)))
    }

    fn page(&self, disk: &dyn Disk, number: u64) -> Result<Vec<u8>, IndexError> {
        let content = read(disk, &self.name, self.shape.seal(), number);
        if matches!(content, Err(IndexError::Damaged { .. })) {
            self.suspect.store(true, Ordering::Relaxed);
        }
        content
    }

    /// How many transactions of the run stand before those of a block of it, and the same for the block after it.
    pub(super) fn start(&self, disk: &dyn Disk, block: u64) -> Result<u64, IndexError> {
        if block >= self.shape.blocks() {
            return Ok(self.shape.txs);
        }
        let content = self.page(disk, 1 + block / PAGE_STARTS as u64)?;
        let at = usize::try_from(block % PAGE_STARTS as u64).unwrap_or(0);
        Ok(u32_at(&content, 4 * at).into())
    }

    /// The id of the transaction at a place; nothing if the place stands for the block's own doings.
    fn id(&self, disk: &dyn Disk, place: Place) -> Result<Option<Hash>, IndexError> {
        let location = place.location();
        let Some(block) = location.height.0.checked_sub(self.from) else { return Ok(None) };
        let at = self.start(disk, block)? + u64::from(location.index);
        if at >= self.start(disk, block + 1)? {
            return Ok(None);
        }
        let content = self.page(disk, self.shape.first_of_ids() + at / PAGE_IDS as u64)?;
        let at = 32 * usize::try_from(at % PAGE_IDS as u64).unwrap_or(0);
        Ok(content.get(at..).and_then(<[u8]>::first_chunk).map(|bytes| Hash(*bytes)))
    }

    pub(super) fn find(&self, disk: &dyn Disk, id: &Hash) -> Result<Option<Place>, IndexError> {
        let key = Key::of_tx(id);
        let mut entries = Entries::of(self);
        let mut at = entries.partition_point(disk, Entry { key, place: Place(0) })?;
        while let Some(entry) = entries.get(disk, at)?.filter(|entry| entry.key == key) {
            if self.id(disk, entry.place)?.as_ref() == Some(id) {
                return Ok(Some(entry.place));
            }
            at += 1;
        }
        Ok(None)
    }

    /// Newest first.
    pub(super) fn history(
        &self,
        disk: &dyn Disk,
        subject: Subject,
        before: Place,
        rows_max: usize,
    ) -> Result<Vec<(Place, Option<Hash>)>, IndexError> {
        let key = Key::from(subject);
        let mut entries = Entries::of(self);
        let mut end = entries.partition_point(disk, Entry { key, place: before })?;
        let mut rows = Vec::new();
        while rows.len() < rows_max && end > 0 {
            end -= 1;
            match entries.get(disk, end)? {
                Some(entry) if entry.key == key => {
                    rows.push((entry.place, self.id(disk, entry.place)?));
                }
                _ => break,
            }
        }
        Ok(rows)
    }
}

/// A reader of a run's entries that remembers the page read last.
#[derive(Debug)]
struct Entries<'a> {
    run: &'a Run,
    page: Option<(u64, Vec<u8>)>,
}

impl<'a> Entries<'a> {
    fn of(run: &'a Run) -> Self {
        Self { run, page: None }
    }

    fn get(&mut self, disk: &dyn Disk, at: u64) -> Result<Option<Entry>, IndexError> {
        if at >= self.run.shape.entries {
            return Ok(None);
        }
        let (number, at) = (at / PAGE_ENTRIES as u64, at % PAGE_ENTRIES as u64);
        if self.page.as_ref().is_none_or(|(read, _)| *read != number) {
            let content = self.run.page(disk, self.run.shape.first_of_entries() + number)?;
            self.page = Some((number, content));
        }
        let at = ENTRY_BYTES * usize::try_from(at).unwrap_or(0);
        Ok(self.page.as_ref().map(|(_, content)| Entry::decode(&content[at..])))
    }

    /// How many entries stand before this one.
    fn partition_point(&mut self, disk: &dyn Disk, bound: Entry) -> Result<u64, IndexError> {
        let fences = &self.run.fences;
        let after = fences.partition_point(|fence| *fence <= bound.key.0) as u64;
        let before = fences.partition_point(|fence| *fence < bound.key.0) as u64;
        // Between two pages that can be told apart by their fences alone; there are more if a key has many entries.
        let (mut low, mut high) = (before.saturating_sub(1), after);
        while high - low > 1 {
            let middle = low.midpoint(high);
            match self.get(disk, middle * PAGE_ENTRIES as u64)? {
                Some(first) if first < bound => low = middle,
                _ => high = middle,
            }
        }
        let start = low * PAGE_ENTRIES as u64;
        let (mut low, mut high) =
            (start, (start + PAGE_ENTRIES as u64).min(self.run.shape.entries));
        while low < high {
            let middle = low.midpoint(high);
            match self.get(disk, middle)? {
                Some(entry) if entry < bound => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}

/// Reads the three sections of a run from their beginnings, for merging.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    page: Option<(u64, Vec<u8>)>,
}

impl Cursor {
    fn item<'a>(
        &'a mut self,
        disk: &dyn Disk,
        run: &Run,
        page: u64,
        (at, bytes): (usize, usize),
    ) -> Result<&'a [u8], IndexError> {
        if self.page.as_ref().is_none_or(|(number, _)| *number != page) {
            self.page = Some((page, run.page(disk, page)?));
        }
        let content = self.page.as_ref().map_or(&[][..], |(_, content)| content);
        Ok(content.get(at * bytes..(at + 1) * bytes).unwrap_or_default())
    }

    /// How many transactions stand before a block's.
    pub(super) fn start(
        &mut self,
        disk: &dyn Disk,
        run: &Run,
        block: u64,
    ) -> Result<u32, IndexError> {
        let (page, at) = split(block, PAGE_STARTS);
        self.item(disk, run, 1 + page, (at, 4)).map(|bytes| u32_at(bytes, 0))
    }

    pub(super) fn id<'a>(
        &'a mut self,
        disk: &dyn Disk,
        run: &Run,
        at: u64,
    ) -> Result<&'a [u8], IndexError> {
        let (page, at) = split(at, PAGE_IDS);
        self.item(disk, run, run.shape.first_of_ids() + page, (at, 32))
    }

    pub(super) fn entry(
        &mut self,
        disk: &dyn Disk,
        run: &Run,
        at: u64,
    ) -> Result<Option<Entry>, IndexError> {
        if at >= run.shape.entries {
            return Ok(None);
        }
        let (page, at) = split(at, PAGE_ENTRIES);
        let bytes = self.item(disk, run, run.shape.first_of_entries() + page, (at, ENTRY_BYTES))?;
        Ok(Some(Entry::decode(bytes)))
    }
}

fn split(at: u64, in_page: usize) -> (u64, usize) {
    (at / in_page as u64, usize::try_from(at % in_page as u64).unwrap_or(0))
}

/// All runs that follow each other from the first one on, and none of it if that begins too late: what is missing in the middle is derived again
/// together with all that follows. Files that do not count are removed.
pub(super) fn open_all(disk: &mut dyn Disk, first: u64) -> Result<Vec<Run>, IndexError> {
    let listed = disk.list();
    let mut names = checked(disk, "list", "", listed)?;
    names.sort_unstable();
    let (mut runs, mut useless): (Vec<Run>, Vec<String>) = (Vec::new(), Vec::new());
    for name in names {
        if name.ends_with(FINISHED)
            && let Some(run) = Run::open(disk, &name)?
        {
            runs.push(run);
        } else {
            useless.push(name);
        }
    }
    // Of a merge that was cut short, both the result and what went into it may be there: the longer run comes first and counts.
    runs.sort_by_key(|run| (run.from, std::cmp::Reverse(run.to)));
    let mut counting: Vec<Run> = Vec::new();
    let begins = runs.first().is_some_and(|run| run.from <= first);
    for run in runs {
        let follows = counting.last().is_none_or(|before| before.to + 1 == run.from);
        if begins && follows {
            counting.push(run);
        } else {
            useless.push(run.name);
        }
    }
    for name in &useless {
        let removed = disk.remove(name);
        checked(disk, "remove", name, removed)?;
    }
    if !useless.is_empty() {
        let synced = disk.sync_directory();
        checked(disk, "sync the folder of", "", synced)?;
    }
    Ok(counting)
}

/// Removes the files of runs.
pub(super) fn remove(
    disk: &mut dyn Disk,
    runs: impl IntoIterator<Item = Run>,
) -> Result<(), IndexError> {
    let mut any = false;
    for run in runs {
        any = true;
        match disk.remove(&run.name) {
            // Somebody else removed it, which is why it was suspect.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => checked(disk, "remove", &run.name, removed)?,
        }
    }
    if any {
        let synced = disk.sync_directory();
        checked(disk, "sync the folder of", "", synced)?;
    }
    Ok(())
}
