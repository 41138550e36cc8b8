//! Durable record files.
//!
//! A [`Journal`] is a row of numbered records in a folder. A record is there after a power cut once [`Journal::sync`] returned, or the journal
//! says which file is damaged at which byte; it is never quietly missing or changed. The consensus core's vote log and the ledger's block log
//! both stand on it.
//!
//! ```
//! use gongsuan_journal::{Journal, MemoryDisk, Options, Tear};
//!
//! # fn main() -> Result<(), gongsuan_journal::JournalError> {
//! let disk = MemoryDisk::new();
//! let options = Options::new(*b"example\0");
//! let (mut journal, _) = Journal::open(Box::new(disk.clone()), options)?;
//! journal.append_and_sync(&["one", "two"])?;
//! journal.append(&["not synced"])?;
//!
//! let after = disk.crash(Tear::Nothing);
//! let (journal, cut) = Journal::open(Box::new(after), options)?;
//! assert_eq!(journal.read(2)?.as_deref(), Some(&b"two"[..]));
//! assert_eq!(journal.next(), 3);
//! assert_eq!(cut, None);
//! # Ok(())
//! # }
//! ```
//!
//! # The bytes
//! A folder holds segments, each named after its first record: `00000000000000000001.seg`. All numbers are little-endian, all checksums CRC-32C.
//!
//! ```text
//! segment   48-byte header, then frames
//!  0        8         12      16      24     32      40       44
//!  ├────────┼─────────┼───────┼───────┼──────┼───────┼────────┼──────────┤
//!  │ GSJRNL │ version │ flags │ first │ salt │ label │ 0      │ checksum │
//!  │ 8      │ u32     │ u32   │ u64   │ u64  │ 8     │ u32    │ u32      │
//!
//! frame     32-byte head, then the payload
//!  0        4         8          16        24            28         32
//!  ├────────┼─────────┼──────────┼─────────┼─────────────┼──────────┼─────────┤
//!  │ GREC / │ length  │ sequence │ durable │ checksum of │ checksum │ payload │
//!  │ GMRK   │ u32     │ u64      │ u64     │ the payload │ of head  │         │
//! ```
//!
//! The head's checksum covers the salt and the 28 bytes before it, the length among them: a bent length is not a short file. `durable` says:
//! *when this was written, every record before that number was durable*. After each sync a mark (`GMRK`, no payload) is written that says so of
//! everything before it; the mark itself waits for the next sync. The salt keeps whoever chooses a payload from putting frames into it.
//!
//! # What is torn and what is damaged
//! A write that was never synced may miss any part after a crash: its end, its beginning, a sector in between. So bytes that make no frame are a
//! *torn tail*, with whatever follows, and are cut, if
//!
//! 1. they are in the last segment (a segment is synced before the next one is begun, and appears by a rename when its header is durable), and
//! 2. no whole frame after them says that the record which should stand there was durable.
//!
//! Everything else is *damage* and is refused: cutting it would forget what was acknowledged. One case cannot be told apart: if power goes
//! before the mark of the very last sync reached the disk, and the records of that sync decay as well, they look torn.
//!
//! # Rules
//! - After a failed write or sync the journal refuses everything. What the system does with unwritten pages then is anybody's guess.
//! - Opening cuts the torn tail and syncs the cut before anything is appended. It writes again what no frame proves durable, because after a
//!   failed sync a page can be readable and yet never be written.
//! - [`Journal::replace_all`] writes one new segment beside the old ones, flagged *nothing before me counts*, and renames it into place.
//! - [`Journal::drop_before`] removes whole segments, oldest first, with a sync of the names after each.
//! - A newer format version, another journal's label, and files that no journal wrote are refused by name.
//!
//! # Not here
//! What the records mean. Threads. Repair of damage: restore the file, or remove the data and catch up from peers.

mod disk;
mod error;
mod folder;
mod format;
mod journal;
mod memory;
mod recover;
mod scan;

pub use disk::{Disk, sync_dir};
pub use error::{Cut, JournalError};
pub use folder::Folder;
pub use format::VERSION;
pub use journal::{BATCH_BYTES_MAX, Journal, Options, RECORD_BYTES_LIMIT};
pub use memory::{Fault, MemoryDisk, Tear};
