//! The entries of the newest blocks, in memory.

use gongsuan_journal::Disk;
use gongsuan_types::Hash;

use super::IndexError;
use super::entry::{BlockEntries, Entry, Key, Place, Subject};
use super::run::{Run, Shape};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Tail {
    /// The first block.
    pub(super) from: u64,
    ids: Vec<Hash>,
    /// For each block, how many ids stand before its own.
    starts: Vec<u32>,
    /// Sorted lists, each at least twice as long as the next one.
    lists: Vec<Vec<Entry>>,
}

impl Tail {
    pub(super) fn from(from: u64) -> Self {
        Self { from, ids: Vec::new(), starts: Vec::new(), lists: Vec::new() }
    }

    pub(super) fn next(&self) -> u64 {
        self.from + self.block_count()
    }

    pub(super) fn block_count(&self) -> u64 {
        self.starts.len() as u64
    }

    pub(super) fn tx_count(&self) -> u64 {
        self.ids.len() as u64
    }

    pub(super) fn add(&mut self, block: BlockEntries) {
        assert_eq!(block.height.0, self.next(), "blocks are indexed one after another");
        self.starts.push(u32::try_from(self.ids.len()).expect("the tail is short"));
        self.ids.extend(block.ids);
        let mut list = block.entries;
        while let Some(before) = self.lists.pop_if(|before| before.len() <= 2 * list.len()) {
            list = merge(&before, &list);
        }
        if !list.is_empty() {
            self.lists.push(list);
        }
    }

    fn id(&self, place: Place) -> Option<Hash> {
        let location = place.location();
        let block = usize::try_from(location.height.0.checked_sub(self.from)?).ok()?;
        let start = *self.starts.get(block)? as usize;
        let end = self.starts.get(block + 1).map_or(self.ids.len(), |end| *end as usize);
        self.ids[start..end].get(location.index as usize).copied()
    }

    pub(super) fn find(&self, id: &Hash) -> Option<Place> {
        let key = Key::of_tx(id);
        self.lists.iter().find_map(|list| {
            let from = list.partition_point(|entry| entry.key < key);
            let own = list[from..].iter().take_while(|entry| entry.key == key);
            own.map(|entry| entry.place).find(|place| self.id(*place).as_ref() == Some(id))
        })
    }

    /// Newest first.
    pub(super) fn history(
        &self,
        subject: Subject,
        before: Place,
        rows_max: usize,
    ) -> Vec<(Place, Option<Hash>)> {
        let key = Key::from(subject);
        // A later list holds later blocks.
        let all = self.lists.iter().rev().flat_map(|list| {
            let end = list.partition_point(|entry| *entry < Entry { key, place: before });
            list[..end].iter().rev().take_while(|entry| entry.key == key)
        });
        all.take(rows_max).map(|entry| (entry.place, self.id(entry.place))).collect()
    }

    /// Writes everything as a run of level 0.
    pub(super) fn write(&self, disk: &mut dyn Disk) -> Result<Run, IndexError> {
        let entries = self.lists.iter().rev().fold(Vec::new(), |all, list| merge(list, &all));
        let shape = Shape {
            level: 0,
            from: self.from,
            to: self.next() - 1,
            txs: self.tx_count(),
            entries: entries.len() as u64,
        };
        let mut writer = shape.create(disk)?;
        for start in &self.starts {
            writer.put(disk, &start.to_le_bytes())?;
        }
        writer.end_page(disk)?;
        for id in &self.ids {
            writer.put(disk, &id.0)?;
        }
        writer.end_page(disk)?;
        for entry in &entries {
            writer.put(disk, &entry.encode())?;
        }
        writer.end_page(disk)?;
        let fences = entries.iter().step_by(super::run::PAGE_ENTRIES).map(|entry| entry.key.0);
        Run::finish(shape, writer, fences.collect(), disk)
    }
}

/// Two sorted lists as one.
fn merge(one: &[Entry], two: &[Entry]) -> Vec<Entry> {
    let mut merged = Vec::with_capacity(one.len() + two.len());
    let (mut one, mut two) = (one.iter().copied().peekable(), two.iter().copied().peekable());
    while let (Some(left), Some(right)) = (one.peek(), two.peek()) {
        merged.extend(if left <= right { one.next() } else { two.next() });
    }
    merged.extend(one);
    merged.extend(two);
    merged
}
