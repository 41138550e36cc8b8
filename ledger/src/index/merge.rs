//! Several runs become one, a slice at a time.

use std::ops::Range;

use gongsuan_journal::Disk;

use super::IndexError;
use super::entry::Entry;
use super::page::{PageWriter, checked};
use super::run::{Cursor, PAGE_ENTRIES, Run, Shape};

/// What is being written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Of which input, which block; and how many transactions the inputs before it have.
    Blocks { input: usize, block: u64, before: u64 },
    /// Of which input, which transaction.
    Ids { input: usize, at: u64 },
    /// The entries, which the heads lead.
    Entries,
}

/// A merge that is under way.
#[derive(Debug)]
pub(super) struct Merge {
    /// Which runs; no run before them changes while the merge lasts.
    inputs: Range<usize>,
    shape: Shape,
    writer: Option<PageWriter>,
    stage: Stage,
    cursors: Vec<Cursor>,
    /// Of each input: the next entry, and its number.
    heads: Vec<(Option<Entry>, u64)>,
    written: u64,
    fences: Vec<u64>,
}

impl Merge {
    /// Begins the merge of the oldest `fan` neighbouring runs of one level, if there are so many.
    pub(super) fn due(
        runs: &[Run],
        fan: usize,
        txs_max: u64,
        disk: &mut dyn Disk,
    ) -> Result<Option<Self>, IndexError> {
        let due = runs.windows(fan).position(|some| {
            let level = some[0].shape().level;
            let txs: u64 = some.iter().map(|run| run.shape().txs).sum();
            some.iter().all(|run| run.shape().level == level && !run.is_suspect()) && txs <= txs_max
        });
        let Some(first) = due else { return Ok(None) };
        let some = &runs[first..first + fan];
        let shape = Shape {
            level: some[0].shape().level + 1,
            from: some[0].from,
            to: some[fan - 1].to,
            txs: some.iter().map(|run| run.shape().txs).sum(),
            entries: some.iter().map(|run| run.shape().entries).sum(),
        };
        Ok(Some(Self {
            inputs: first..first + fan,
            shape,
            writer: Some(shape.create(disk)?),
            stage: Stage::Blocks { input: 0, block: 0, before: 0 },
            cursors: some.iter().map(|_| Cursor::default()).collect(),
            heads: Vec::new(),
            written: 0,
            fences: Vec::new(),
        }))
    }

    /// Which runs the result replaces.
    pub(super) fn inputs(&self) -> Range<usize> {
        self.inputs.clone()
    }

    /// Removes what was written.
    pub(super) fn abandon(self, disk: &mut dyn Disk) -> Result<(), IndexError> {
        let Some(writer) = self.writer else { return Ok(()) };
        let removed = disk.remove(&writer.name);
        checked(disk, "remove", &writer.name, removed)
    }

    /// Handles up to so many items, and takes them off; the new run when it is done.
    pub(super) fn step(
        &mut self,
        disk: &mut dyn Disk,
        runs: &[Run],
        items: &mut u64,
    ) -> Result<Option<Run>, IndexError> {
        let runs = &runs[self.inputs.clone()];
        let Some(mut writer) = self.writer.take() else { return Ok(None) };
        while *items > 0 {
            *items -= 1;
            let more = match self.stage {
                Stage::Blocks { input, block, before } => {
                    self.block(disk, runs, &mut writer, (input, block, before))
                }
                Stage::Ids { input, at } => self.id(disk, runs, &mut writer, (input, at)),
                Stage::Entries => self.entry(disk, runs, &mut writer),
            };
            match more {
                Ok(true) => {}
                Ok(false) => {
                    let fences = std::mem::take(&mut self.fences);
                    return Run::finish(self.shape, writer, fences, disk).map(Some);
                }
                Err(error) => {
                    self.writer = Some(writer);
                    return Err(error);
                }
            }
        }
        self.writer = Some(writer);
        Ok(None)
    }

    fn block(
        &mut self,
        disk: &mut dyn Disk,
        runs: &[Run],
        writer: &mut PageWriter,
        (input, block, before): (usize, u64, u64),
    ) -> Result<bool, IndexError> {
        let Some(run) = runs.get(input) else {
            writer.end_page(disk)?;
            self.stage = Stage::Ids { input: 0, at: 0 };
            return Ok(true);
        };
        if block >= run.shape().blocks() {
            let before = before + run.shape().txs;
            self.stage = Stage::Blocks { input: input + 1, block: 0, before };
            return Ok(true);
        }
        let start = before + u64::from(self.cursors[input].start(disk, run, block)?);
        let start = u32::try_from(start).expect("the sum was bounded when the merge began");
        writer.put(disk, &start.to_le_bytes())?;
        self.stage = Stage::Blocks { input, block: block + 1, before };
        Ok(true)
    }

    fn id(
        &mut self,
        disk: &mut dyn Disk,
        runs: &[Run],
        writer: &mut PageWriter,
        (input, at): (usize, u64),
    ) -> Result<bool, IndexError> {
        let Some(run) = runs.get(input) else {
            writer.end_page(disk)?;
            for (cursor, run) in self.cursors.iter_mut().zip(runs) {
                self.heads.push((cursor.entry(disk, run, 0)?, 0));
            }
            self.stage = Stage::Entries;
            return Ok(true);
        };
        if at >= run.shape().txs {
            self.stage = Stage::Ids { input: input + 1, at: 0 };
            return Ok(true);
        }
        let id = self.cursors[input].id(disk, run, at)?;
        writer.put(disk, id)?;
        self.stage = Stage::Ids { input, at: at + 1 };
        Ok(true)
    }

    /// Whether there are more.
    fn entry(
        &mut self,
        disk: &mut dyn Disk,
        runs: &[Run],
        writer: &mut PageWriter,
    ) -> Result<bool, IndexError> {
        let heads = self.heads.iter().enumerate();
        let least = heads.filter_map(|(input, (entry, _))| Some(((*entry)?, input))).min();
        let Some((entry, input)) = least else {
            writer.end_page(disk)?;
            return Ok(false);
        };
        if self.written.is_multiple_of(PAGE_ENTRIES as u64) {
            self.fences.push(entry.key.0);
        }
        writer.put(disk, &entry.encode())?;
        self.written += 1;
        let next = self.heads[input].1 + 1;
        self.heads[input] = (self.cursors[input].entry(disk, &runs[input], next)?, next);
        Ok(true)
    }
}
