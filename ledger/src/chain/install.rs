//! Putting a snapshot in place of everything.
//!
//! The state that is to come, with the sealed header of its block, first becomes durable in `incoming/`: from then on it has happened. What follows can be
//! done any number of times, and is done (again) whenever the chain is opened and something is there: the log, the headers, the base and the index begin
//! anew after that block; last, `incoming/` is emptied. So a crash leaves the old chain or the new one.

use std::path::Path;

use gongsuan_journal::{Journal, MemoryDisk, Options as JournalOptions};
use gongsuan_types::{Hash, Height, codec};

use super::past::{Base, HeadAndParts, Headers, Sealed, emptied};
use super::retention::{META, MetaFile, Retention};
use super::rooms::Rooms;
use super::{Chain, ChainError, Options};
use crate::checkpoint::{self, Head};
use crate::genesis::Genesis;
use crate::log::BlockLog;
use crate::snapshot;

const INCOMING: &str = "incoming";
const INCOMING_OPTIONS: JournalOptions = JournalOptions::new(*b"incoming");

/// A snapshot as it came, to be put in place of everything.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// The height that a certified block names.
    pub height: Height,
    /// The hash of the header that it names.
    pub header: Hash,
    /// What consensus says of the block of that height ([`super::StoredBlock::consensus`]).
    pub consensus: &'a [u8],
    /// All pieces, one after another: what [`snapshot::pack`] made.
    pub bytes: &'a [u8],
}

impl Chain {
    /// Puts a snapshot in place of the state and the log. It is checked first, against the certified header's hash.
    ///
    /// # Errors
    /// [`ChainError::Snapshot`]: it is not that header's state, or this folder is to keep every block; nothing has changed. Any other: the chain must be
    /// opened again, and is then the old one or the new one.
    pub fn install(
        &mut self,
        dir: &Path,
        genesis: &Genesis,
        arrived: Arrived<'_>,
    ) -> Result<(), ChainError> {
        let options = self.options;
        self.prepare(&dir.to_path_buf(), genesis, arrived)?;
        // The files are in use as long as this is open.
        *self = Self::open_over(&MemoryDisk::new(), None, genesis, options)?;
        *self = Self::open_with(dir, genesis, options)?;
        Ok(())
    }

    /// The first half of [`Chain::install`]: checks the snapshot and makes it durable. The next opening puts it in its place.
    ///
    /// # Errors
    /// As [`Chain::install`].
    pub fn prepare(
        &mut self,
        rooms: &dyn Rooms,
        genesis: &Genesis,
        arrived: Arrived<'_>,
    ) -> Result<(), ChainError> {
        let Arrived { height, header, consensus, bytes } = arrived;
        if height <= self.state.height() {
            let reason =
                format!("it is of block {height}, this chain is at {}", self.state.height());
            return Err(ChainError::Snapshot { reason });
        }
        if self.options.retention == Some(Retention::Archive) {
            let reason = "this folder is to keep every block (retention archive), and its peers have none before the snapshot any more: name an \
                          archive node as a peer, or another retention";
            return Err(ChainError::Snapshot { reason: reason.to_owned() });
        }
        let found = snapshot::unpack(genesis, (height, header), bytes);
        let (header, state) =
            found.map_err(|error| ChainError::Snapshot { reason: error.to_string() })?;
        let (head, parts) = checkpoint::pack(&state);
        let sealed = Sealed { header, consensus: consensus.to_vec() }.encode();
        let records: Vec<Vec<u8>> = [sealed, head].into_iter().chain(parts).collect();
        let mut journal = open(rooms)?;
        self.failed = true;
        journal
            .replace_all(&records)
            .map_err(|source| ChainError::Room { room: INCOMING, source })?;
        Ok(())
    }
}

fn open(rooms: &dyn Rooms) -> Result<Journal, ChainError> {
    let fault = |source| ChainError::Room { room: INCOMING, source };
    let disk = rooms.open(INCOMING).map_err(fault)?;
    Ok(Journal::open(disk, INCOMING_OPTIONS).map_err(fault)?.0)
}

/// What is to come.
fn read(journal: &Journal) -> Result<Option<(Sealed, HeadAndParts)>, ChainError> {
    let fault = |source| ChainError::Room { room: INCOMING, source };
    let records = journal.iter_from(0).map(|record| record.map(|(_, bytes)| bytes));
    let records: Vec<Vec<u8>> = records.collect::<Result<_, _>>().map_err(fault)?;
    let [sealed, head, parts @ ..] = records.as_slice() else { return Ok(None) };
    let malformed = |reason: String| ChainError::Malformed { height: Height(0), reason };
    let sealed = Sealed::decode(Height(0), sealed)?;
    let head = Head::decode(head).map_err(|error| malformed(format!("{INCOMING}/: {error:?}")))?;
    Ok(Some((sealed, (head, parts.to_vec()))))
}

/// Finishes what [`Chain::prepare`] began, if it did. To be called before anything else is opened.
pub(super) fn finish(
    rooms: &dyn Rooms,
    chain_id: Hash,
    options: Options,
) -> Result<(), ChainError> {
    let mut journal = open(rooms)?;
    let Some((sealed, (head, parts))) = read(&journal)? else { return Ok(()) };
    let next = head.height.next();
    let room = |room: &'static str, source| ChainError::Room { room, source };
    let log = BlockLog::begin(emptied(rooms, super::open::BLOCKS)?, options.segment_bytes, next)?;
    drop(emptied(rooms, super::open::INDEX)?);
    Headers::begin(rooms, head.height)?.append(vec![sealed])?;
    Base::recreate(rooms)?.write(codec::encode(&head), parts)?;
    let meta = rooms.open(META).map_err(|source| room(META, source))?;
    MetaFile::open(meta, chain_id)?.begin_anew(options.retention, &log)?;
    let none: &[Vec<u8>] = &[];
    journal.replace_all(none).map_err(|source| room(INCOMING, source))?;
    Ok(())
}
