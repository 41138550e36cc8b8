//! Snapshots that a node keeps for others: the states of two heights, durable, so that a newcomer finds one also after every node was restarted.
//!
//! A shelf holds one snapshot as records of [`PART_BYTES`](crate::snapshot::PART_BYTES). The newer snapshot takes the place of the one that is worth
//! less: one that nobody can be shown the certificate of, or the older one.

use gongsuan_journal::{Journal, JournalError, Options};
use gongsuan_types::{Hash, Height, codec, merkle};
use serde::{Deserialize, Serialize};

use super::error::ChainError;
use super::rooms::Rooms;
use crate::checkpoint::version_of;
use crate::header::Header;
use crate::snapshot::PART_BYTES;

const ROOMS: [&str; 2] = ["snapshot-a", "snapshot-b"];
const OPTIONS: Options = Options::new(*b"snapshot");
/// The newest format of a shelf that this program writes and reads.
const SHELF_VERSION: u32 = 1;

/// A snapshot that is kept: what its pieces are, without their bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptSnapshot {
    /// The height whose state it is.
    pub height: Height,
    /// The hash of the header of that height.
    pub header: Hash,
    /// The leaves of the Merkle tree over the pieces ([`merkle::leaf`] of each).
    pub leaves: Vec<Hash>,
    /// Whether somebody can be shown that its state is the chain's; said by [`super::Chain::vouch_for`].
    vouched: bool,
}

impl KeptSnapshot {
    /// The Merkle root over the pieces.
    #[must_use]
    pub fn root(&self) -> Hash {
        merkle::root(&self.leaves)
    }
}

/// What stands before the pieces.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Label {
    version: u32,
    height: Height,
    header: Hash,
}

#[derive(Debug)]
struct Shelf {
    room: &'static str,
    journal: Journal,
    kept: Option<KeptSnapshot>,
}

impl Shelf {
    /// A shelf as it is found. One that is damaged is emptied: others have the same.
    fn open(rooms: &dyn Rooms, room: &'static str) -> Result<Self, ChainError> {
        let fault = |source| ChainError::Room { room, source };
        let disk = rooms.open(room).map_err(fault)?;
        let journal = match Journal::open(disk, OPTIONS) {
            Ok((journal, _)) => journal,
            Err(JournalError::Damaged { .. }) => {
                let disk = super::past::emptied(rooms, room)?;
                Journal::open(disk, OPTIONS).map_err(fault)?.0
            }
            Err(error) => return Err(fault(error)),
        };
        let kept = read_label(&journal).map_err(fault)?;
        Ok(Self { room, journal, kept })
    }

    fn read(&self, index: usize) -> Option<Vec<u8>> {
        self.journal.read(self.journal.first() + 1 + index as u64).ok().flatten()
    }
}

/// What the records of a shelf are; nothing, if they are not what this program writes.
fn read_label(journal: &Journal) -> Result<Option<KeptSnapshot>, JournalError> {
    let mut records = journal.iter_from(0);
    let Some((_, label)) = records.next().transpose()? else { return Ok(None) };
    if version_of(&label) != Some(SHELF_VERSION) {
        return Ok(None);
    }
    let Ok(label) = codec::decode_own::<Label>("label", &label) else { return Ok(None) };
    let leaves: Result<Vec<Hash>, _> =
        records.map(|record| record.map(|(_, bytes)| merkle::leaf(&bytes))).collect();
    let Label { height, header, .. } = label;
    Ok(Some(KeptSnapshot { height, header, leaves: leaves?, vouched: false }))
}

/// The shelves of a chain, and how often something is put on them.
#[derive(Debug)]
pub(super) struct Shelves {
    every: u64,
    shelves: Vec<Shelf>,
}

impl Shelves {
    /// Opens the shelves; without any, if no snapshots are kept.
    pub(super) fn open(rooms: &dyn Rooms, every: u64) -> Result<Self, ChainError> {
        let used = if every > 0 { &ROOMS[..] } else { &[] };
        let shelves = used.iter().map(|room| Shelf::open(rooms, room)).collect::<Result<_, _>>()?;
        Ok(Self { every, shelves })
    }

    /// Whether the state of a height is to be kept and is not yet.
    pub(super) fn wants(&self, height: Height) -> bool {
        self.every > 0
            && height.0.is_multiple_of(self.every)
            && self.all().all(|kept| kept.height < height)
    }

    /// Keeps the bytes of a snapshot, durably.
    pub(super) fn put(&mut self, header: &Header, bytes: &[u8]) -> Result<(), ChainError> {
        let worth = |shelf: &&mut Shelf| {
            shelf.kept.as_ref().map(|kept| (kept.vouched, kept.height)).unwrap_or_default()
        };
        let Some(shelf) = self.shelves.iter_mut().min_by_key(worth) else { return Ok(()) };
        let (height, hash) = (header.height, header.hash());
        let label = codec::encode(&Label { version: SHELF_VERSION, height, header: hash });
        let records: Vec<&[u8]> =
            std::iter::once(label.as_slice()).chain(bytes.chunks(PART_BYTES)).collect();
        let room = shelf.room;
        let put = shelf.journal.replace_all(&records);
        put.map_err(|source| ChainError::Room { room, source })?;
        let leaves = bytes.chunks(PART_BYTES).map(merkle::leaf).collect();
        shelf.kept = Some(KeptSnapshot { height, header: hash, leaves, vouched: false });
        Ok(())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &KeptSnapshot> {
        self.shelves.iter().filter_map(|shelf| shelf.kept.as_ref())
    }

    pub(super) fn vouch_for(&mut self, height: Height) {
        for kept in self.shelves.iter_mut().filter_map(|shelf| shelf.kept.as_mut()) {
            kept.vouched |= kept.height == height;
        }
    }

    pub(super) fn piece(&self, root: Hash, index: usize) -> Option<Vec<u8>> {
        let has = |shelf: &&Shelf| shelf.kept.as_ref().is_some_and(|kept| kept.root() == root);
        self.shelves.iter().find(has)?.read(index)
    }

    /// The lowest block that must stay, so that whoever gets a snapshot can go on from it. Without one that can be shown to others nothing may go:
    /// it would strand them.
    pub(super) fn holds_from(&self) -> Option<Height> {
        if self.every == 0 {
            return None;
        }
        let vouched = self.all().filter(|kept| kept.vouched).map(|kept| kept.height);
        Some(vouched.min().unwrap_or(Height(1)))
    }
}
