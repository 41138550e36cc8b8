//! Pages: 4,080 bytes of content with a checksum that also covers where the page belongs.

use std::path::Path;

use gongsuan_journal::Disk;

use super::IndexError;

/// Bytes of a page.
pub(super) const PAGE_BYTES: usize = 4_096;
/// Bytes of its content.
pub(super) const CONTENT_BYTES: usize = 4_080;
/// Pages that are written with one call.
const WRITE_PAGES: usize = 64;

fn io(path: &Path, action: &'static str, source: std::io::Error) -> IndexError {
    IndexError::Io { path: path.to_owned(), action, source }
}

pub(super) fn checked<T>(
    disk: &dyn Disk,
    action: &'static str,
    name: &str,
    result: std::io::Result<T>,
) -> Result<T, IndexError> {
    result.map_err(|source| io(&disk.path(name), action, source))
}

/// The first and the last height of a file: no page of another file is taken for one of this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seal(pub(super) u64, pub(super) u64);

impl Seal {
    fn sum(self, number: u64, content: &[u8]) -> u32 {
        let mut place = [0; 24];
        place[..8].copy_from_slice(&self.0.to_le_bytes());
        place[8..16].copy_from_slice(&self.1.to_le_bytes());
        place[16..].copy_from_slice(&number.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c(&place), content)
    }

    /// Content, number, four zero bytes, checksum.
    pub(super) fn close(self, number: u64, content: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(content);
        out.resize(start + CONTENT_BYTES, 0);
        let sum = self.sum(number, &out[start..]);
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// Whether a page is the one with this number.
    pub(super) fn fits(self, number: u64, page: &[u8]) -> bool {
        let Some((content, trailer)) = page.split_at_checked(CONTENT_BYTES) else { return false };
        let mut expected = [0; PAGE_BYTES - CONTENT_BYTES];
        expected[..8].copy_from_slice(&number.to_le_bytes());
        expected[12..].copy_from_slice(&self.sum(number, content).to_le_bytes());
        trailer == expected
    }
}

/// Reads one page; its content, or what is wrong.
pub(super) fn read(
    disk: &dyn Disk,
    name: &str,
    seal: Seal,
    number: u64,
) -> Result<Vec<u8>, IndexError> {
    let mut page = vec![0; PAGE_BYTES];
    let offset = number * PAGE_BYTES as u64;
    let damaged = |what| IndexError::Damaged { path: disk.path(name), offset, what };
    match disk.read(name, offset, &mut page) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(damaged("the file is cut off"));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(damaged("the file is gone"));
        }
        Err(error) => return Err(io(&disk.path(name), "read", error)),
    }
    if !seal.fits(number, &page) {
        return Err(damaged("the page's checksum does not match"));
    }
    page.truncate(CONTENT_BYTES);
    Ok(page)
}

/// Writes the pages of a new file one after another.
#[derive(Debug)]
pub(super) struct PageWriter {
    /// The file's name while it is not whole.
    pub(super) name: String,
    seal: Seal,
    /// Of the page that is being filled.
    number: u64,
    content: Vec<u8>,
    /// Whole pages that were not written yet.
    out: Vec<u8>,
}

impl PageWriter {
    /// Creates the file; page 0 is left out for [`PageWriter::finish`].
    pub(super) fn create(
        disk: &mut dyn Disk,
        name: String,
        seal: Seal,
    ) -> Result<Self, IndexError> {
        let created = disk.create(&name);
        checked(disk, "create", &name, created)?;
        let written = disk.write(&name, 0, &[0; PAGE_BYTES]);
        checked(disk, "write", &name, written)?;
        let content = Vec::with_capacity(CONTENT_BYTES);
        Ok(Self { name, seal, number: 1, content, out: Vec::new() })
    }

    /// Adds an item; one that does not fit any more begins the next page.
    pub(super) fn put(&mut self, disk: &mut dyn Disk, item: &[u8]) -> Result<(), IndexError> {
        if self.content.len() + item.len() > CONTENT_BYTES {
            self.end_page(disk)?;
        }
        self.content.extend_from_slice(item);
        Ok(())
    }

    /// Ends a section: the next item begins a page.
    pub(super) fn end_page(&mut self, disk: &mut dyn Disk) -> Result<(), IndexError> {
        if self.content.is_empty() {
            return Ok(());
        }
        self.seal.close(self.number, &self.content, &mut self.out);
        self.number += 1;
        self.content.clear();
        if self.out.len() >= WRITE_PAGES * PAGE_BYTES { self.write(disk) } else { Ok(()) }
    }

    fn write(&mut self, disk: &mut dyn Disk) -> Result<(), IndexError> {
        let end = self.number * PAGE_BYTES as u64;
        let written = disk.write(&self.name, end - self.out.len() as u64, &self.out);
        checked(disk, "write", &self.name, written)?;
        self.out.clear();
        Ok(())
    }

    /// Writes page 0, makes the file durable and gives it its name.
    pub(super) fn finish(
        mut self,
        disk: &mut dyn Disk,
        head: &[u8],
        name: &str,
    ) -> Result<(), IndexError> {
        self.end_page(disk)?;
        self.write(disk)?;
        let mut page = Vec::with_capacity(PAGE_BYTES);
        self.seal.close(0, head, &mut page);
        let written = disk.write(&self.name, 0, &page);
        checked(disk, "write", &self.name, written)?;
        let synced = disk.sync(&self.name);
        checked(disk, "sync", &self.name, synced)?;
        let renamed = disk.rename(&self.name, name);
        checked(disk, "rename", &self.name, renamed)?;
        let synced = disk.sync_directory();
        checked(disk, "sync the folder of", name, synced)
    }
}
