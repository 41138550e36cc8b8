//! Opaque transactions: bytes that say how long they are and who sent them.
//!
//! `length u32 | client u32 | sequence u64 | filling`, little-endian; `length` counts all of it. Transactions of one batch
//! or block follow each other without anything between.

/// Bytes before the filling.
pub(super) const HEAD: usize = 16;

/// Where a transaction came from; together its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Name {
    pub(super) client: u32,
    pub(super) sequence: u64,
}

/// Writes a transaction of `size` bytes behind `out`.
pub(super) fn write(out: &mut Vec<u8>, name: Name, size: usize, filling: &[u8]) {
    let length = u32::try_from(size).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&name.client.to_le_bytes());
    out.extend_from_slice(&name.sequence.to_le_bytes());
    out.extend_from_slice(&filling[..size - HEAD]);
}

/// The transactions of a run of bytes, each with its name; stops before what is not whole.
pub(super) fn walk(bytes: &[u8]) -> Walk<'_> {
    Walk { bytes, at: 0 }
}

/// An iterator over transactions.
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    /// Bytes of the transactions returned so far.
    pub(super) fn consumed(&self) -> usize {
        self.at
    }
}

impl Iterator for Walk<'_> {
    /// Name and range of bytes.
    type Item = (Name, std::ops::Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let head: &[u8; HEAD] = self.bytes.get(self.at..)?.first_chunk()?;
        let (length, rest) = head.split_first_chunk::<4>()?;
        let (client, sequence) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        if length < HEAD || self.at + length > self.bytes.len() {
            return None;
        }
        let range = self.at..self.at + length;
        self.at += length;
        let sequence = u64::from_le_bytes(*sequence.first_chunk()?);
        Some((Name { client: u32::from_le_bytes(*client), sequence }, range))
    }
}

/// Whether bytes are whole transactions and nothing else.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let mut walk = walk(bytes);
    walk.by_ref().for_each(drop);
    walk.consumed() == bytes.len()
}
