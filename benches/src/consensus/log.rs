//! The log of opaque blocks: the ledger's block log under it, one sync for each append.

use std::path::Path;

use gongsuan::replica::{ArchiveError, Store};
use gongsuan_consensus::CommittedBlock;
use gongsuan_ledger::log::{BlockLog, LogError};
use gongsuan_types::{Height, codec};

/// The log of one replica.
#[derive(Debug)]
pub(super) struct OpaqueLog(BlockLog);

impl OpaqueLog {
    pub(super) fn open(dir: &Path) -> Result<Self, LogError> {
        BlockLog::open(dir).map(Self)
    }

    pub(super) fn head(&self) -> Height {
        self.0.head()
    }
}

impl Store for OpaqueLog {
    fn append(&mut self, blocks: &[CommittedBlock]) -> Result<(), ArchiveError> {
        let Some(first) = blocks.first() else { return Ok(()) };
        let height = first.proposal.block.header.height;
        let payloads: Vec<Vec<u8>> = blocks.iter().map(codec::encode).collect();
        self.0.append(height, &payloads).map_err(|error| ArchiveError(error.into()))
    }

    fn read(&self, height: Height) -> Option<CommittedBlock> {
        let bytes = self.0.read(height).ok()??;
        codec::decode("committed block", usize::MAX, &bytes).ok()
    }
}
