//! What can be asked of a chain.

use gongsuan_types::{Address, Hash, Height};

use super::past::Sealed;
use super::{Chain, ChainError, StoredBlock};
use crate::index::{BlockEntries, IndexError, Location, Page, Subject};
use crate::log::BlockLog;

/// What a block adds to the index; `None` if it is not in the log.
pub(super) fn entries(log: &BlockLog, height: Height) -> Result<Option<BlockEntries>, ChainError> {
    if height < log.first() {
        return Ok(None);
    }
    let Some(bytes) = log.read(height)? else { return Ok(None) };
    Ok(Some(BlockEntries::of(&StoredBlock::decode(height, &bytes)?)))
}

impl Chain {
    /// A block; `None` beyond the head and at 0.
    ///
    /// # Errors
    /// [`ChainError`]: unreadable or damaged; [`ChainError::Pruned`] if it is not kept any more.
    pub fn stored(&self, height: Height) -> Result<Option<StoredBlock>, ChainError> {
        let bytes = self.stored_bytes(height)?;
        bytes.map(|bytes| StoredBlock::decode(height, &bytes)).transpose()
    }

    /// [`Chain::stored`] before [`StoredBlock::decode`], which is most of the work and needs no chain.
    ///
    /// # Errors
    /// As [`Chain::stored`].
    pub fn stored_bytes(&self, height: Height) -> Result<Option<Vec<u8>>, ChainError> {
        let first = self.log.first();
        if height.0 > 0 && height < first {
            return Err(ChainError::Pruned { height, first, retention: self.retention });
        }
        Ok(self.log.read(height)?)
    }

    /// A block's header and what consensus says of it, whether or not the block is kept; `None` beyond the head and at 0.
    ///
    /// # Errors
    /// [`ChainError`]: unreadable or damaged.
    pub fn sealed(&self, height: Height) -> Result<Option<Sealed>, ChainError> {
        if height >= self.log.first() {
            let stored = self.stored(height)?;
            return Ok(
                stored.map(|stored| Sealed { header: stored.header, consensus: stored.consensus })
            );
        }
        self.past.as_ref().map_or(Ok(None), |(headers, _)| headers.read(height))
    }

    /// Where a transaction is; `None` if it is in no block.
    ///
    /// # Errors
    /// [`ChainError::NotKept`] if it may be in a block that is not kept here; [`ChainError`] if the log is damaged.
    pub fn find(&self, id: &Hash) -> Result<Option<Location>, ChainError> {
        let found = match self.index.find(id) {
            Ok(found) => found,
            Err(_) => self.search(|block| block.find(id))?,
        };
        let first = self.log.first();
        if found.is_none_or(|location| location.height < first) && first > Height(1) {
            let what = format!("transaction {id}");
            return Err(ChainError::NotKept { what, first, retention: self.retention });
        }
        Ok(found)
    }

    /// Where a transaction is, if it is in a block that is kept. [`Chain::find`] tells more.
    #[must_use]
    pub fn location(&self, id: &Hash) -> Option<Location> {
        self.find(id).ok().flatten()
    }

    /// What happened to an account, an order or a deal, newest first: up to `rows_max` rows, before a place if one is given. What blocks did that are
    /// not kept is left out; [`Chain::first`] says which those are.
    ///
    /// # Errors
    /// [`ChainError`]: the index is damaged, and the log too; [`ChainError::NotKept`] if the page would begin with a block that is not kept.
    pub fn history_page(
        &self,
        subject: Subject,
        before: Option<Location>,
        rows_max: usize,
    ) -> Result<Page, ChainError> {
        let first = self.log.first();
        if before.is_some_and(|before| before.height < first) {
            let what =
                format!("what happened before block {}", before.map_or(first, |at| at.height));
            return Err(ChainError::NotKept { what, first, retention: self.retention });
        }
        let mut page = match self.index.history(subject, before, rows_max) {
            Ok(page) => page,
            Err(IndexError::Damaged { .. }) => self.search_history(subject, before, rows_max)?,
            Err(error) => return Err(error.into()),
        };
        let kept = page.rows.partition_point(|(location, _)| location.height >= first);
        if kept < page.rows.len() {
            page.rows.truncate(kept);
            page.next = None;
        }
        Ok(page)
    }

    /// The transactions that an account sent or was named in, oldest first; all of them that are kept.
    ///
    /// This is for accounts with short histories; [`Chain::history_page`] is for all.
    #[must_use]
    pub fn history(&self, account: &Address) -> Vec<(Location, Hash)> {
        let page = self.history_page(Subject::Account(*account), None, usize::MAX - 1);
        let rows = page.map(|page| page.rows).unwrap_or_default().into_iter().rev();
        rows.filter_map(|(location, id)| Some((location, id?))).collect()
    }

    /// Reads the log, newest block first. Slow, and right while the index is not.
    fn search<T>(
        &self,
        mut look: impl FnMut(&BlockEntries) -> Option<T>,
    ) -> Result<Option<T>, ChainError> {
        for height in (self.log.first().0..=self.log.head().0).rev() {
            let found = entries(&self.log, Height(height))?.and_then(|block| look(&block));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn search_history(
        &self,
        subject: Subject,
        before: Option<Location>,
        rows_max: usize,
    ) -> Result<Page, ChainError> {
        let mut page = Page::default();
        self.search(|block| {
            let older = block
                .history(subject)
                .rev()
                .filter(|(location, _)| before.is_none_or(|before| *location < before));
            page.rows.extend(older);
            (page.rows.len() > rows_max).then_some(())
        })?;
        if page.rows.len() > rows_max {
            page.rows.truncate(rows_max);
            page.next = page.rows.last().map(|(location, _)| *location);
        }
        Ok(page)
    }
}
