//! Removing blocks that need not be kept.

use gongsuan_types::Height;

use super::past::Sealed;
use super::{Chain, ChainError, StoredBlock};
use crate::checkpoint;

/// Headers that are written with one sync.
const HEADERS_AT_ONCE: u64 = 1_024;

impl Chain {
    /// Removes the blocks that the folder need not keep, as far as they fill whole segments. Happens by itself after a checkpoint.
    ///
    /// # Errors
    /// [`ChainError`]: the chain must be opened again.
    pub fn prune(&mut self) -> Result<(), ChainError> {
        let head = self.state.height();
        let oldest = self.retention.oldest(head);
        let oldest = self.shelves.holds_from().map_or(oldest, |held| oldest.min(held));
        let oldest = self.log.kept_from(oldest);
        let Some((headers, base)) = &mut self.past else { return Ok(()) };
        if oldest <= self.log.first() {
            return Ok(());
        }
        let (record, parts) = checkpoint::pack(&self.state);
        base.write(record, parts)?;
        let mut next = headers.next();
        while next < oldest {
            let end = oldest.min(Height(next.0 + HEADERS_AT_ONCE));
            let mut sealed = Vec::new();
            for height in next.0..end.0 {
                let height = Height(height);
                let bytes = self.log.read(height)?.ok_or_else(|| ChainError::Malformed {
                    height,
                    reason: "it is missing between others".to_owned(),
                })?;
                let stored = StoredBlock::decode(height, &bytes)?;
                sealed.push(Sealed { header: stored.header, consensus: stored.consensus });
            }
            headers.append(sealed)?;
            next = headers.next();
        }
        self.log.drop_before(oldest)?;
        self.index.drop_before(oldest)?;
        Ok(())
    }
}
