//! Where the committed chain ends.

use gongsuan_types::{Hash, Height, TimeMs};

use crate::certificate::Qc;
use crate::config::StartError;
use crate::epoch::Epoch;
use crate::record::Committed;

/// The committed block.
#[derive(Debug)]
pub(super) struct Tip {
    pub(super) height: Height,
    pub(super) hash: Hash,
    pub(super) time: TimeMs,
    /// The COMMIT certificate of this block (or, just after a restart, of a later one).
    pub(super) certificate: Qc,
    /// The epoch that begins after it, if it is the last of its own.
    pub(super) next: Option<Box<Epoch>>,
}

impl Tip {
    pub(super) fn base(epoch: &Epoch) -> Self {
        Self {
            height: epoch.base_height(),
            hash: epoch.base_block(),
            time: epoch.base_time(),
            certificate: epoch.certificate(),
            next: None,
        }
    }

    /// Where the log ends, if the records know its epoch.
    pub(super) fn recovered(
        committed: Option<Committed>,
        epoch: &Epoch,
        chain_id: &Hash,
    ) -> Result<Self, StartError> {
        let Some(Committed { block, certificate }) = committed else {
            let missing = StartError::EpochMissing { log: 0, records: epoch.number() };
            return if epoch.number() == 0 { Ok(Self::base(epoch)) } else { Err(missing) };
        };
        let hash = block.hash(chain_id);
        if hash == epoch.base_block() {
            return Ok(Self::base(epoch));
        }
        if block.header.epoch != epoch.number() {
            let (log, records) = (block.header.epoch, epoch.number());
            return Err(StartError::EpochMissing { log, records });
        }
        let next = Epoch::after(chain_id, &block).map(Box::new);
        let (height, time) = (block.header.height, block.header.time);
        Ok(Self { height, hash, time, certificate, next })
    }
}
