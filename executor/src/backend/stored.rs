//! Results that earlier controllers' pilots left, until somebody submits their job again.

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_types::Hash;

use super::seal::Reader;
use super::spool::{Part, Spool};
use crate::SegmentOutput;
use crate::jobs::log;

/// Where a result stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Spot {
    pilot: String,
    task: u64,
    /// Which record of the file.
    offset: u64,
}

/// Results by job and segment. The first one that was found of a segment counts: equal work gives equal results.
#[derive(Default, Debug)]
pub(super) struct Stored {
    spots: BTreeMap<(Hash, u32), Spot>,
    /// Those that were handed out.
    told: BTreeSet<(Hash, u32)>,
    /// Results that a task's file is kept for.
    needed: BTreeMap<(String, u64), usize>,
    /// Pilots that are over and whose folders go with their last result.
    over: BTreeSet<String>,
}

impl Stored {
    pub(super) fn len(&self) -> usize {
        self.spots.len()
    }

    /// Takes in a task's file. What cannot be read in it did not happen.
    pub(super) fn index(&mut self, spool: &Spool, pilot: &str, task: u64) {
        let mut reader = Reader::new(spool.place(pilot, Part::Result(task)));
        loop {
            let offset = reader.offset();
            let Ok(Some(bytes)) = reader.next_bytes() else { break };
            let Ok((job, done)) = log::open(&bytes) else { continue };
            let spot = Spot { pilot: pilot.to_owned(), task, offset };
            self.spots.entry((job, done.receipt.segment)).or_insert_with(|| {
                *self.needed.entry((pilot.to_owned(), task)).or_insert(0) += 1;
                spot
            });
        }
        if !self.needed.contains_key(&(pilot.to_owned(), task)) {
            spool.remove_task(pilot, task);
        }
    }

    pub(super) fn has(&self, job: Hash, segment: u32) -> bool {
        self.spots.contains_key(&(job, segment))
    }

    /// The result of a segment, if there is one. It is still there until its job is forgotten.
    pub(super) fn read(&mut self, spool: &Spool, job: Hash, segment: u32) -> Option<SegmentOutput> {
        let spot = self.spots.get(&(job, segment))?;
        let mut reader = Reader::new(spool.place(&spot.pilot, Part::Result(spot.task)));
        reader.seek(spot.offset);
        let bytes = reader.next_bytes().ok()??;
        let (_, done) = log::open(&bytes).ok()?;
        self.told.insert((job, segment));
        Some(done)
    }

    /// Forgets what was handed out of a job, or everything of it.
    pub(super) fn forget(&mut self, spool: &Spool, job: Hash, everything: bool) {
        let range = (job, 0)..=(job, u32::MAX);
        let all: Vec<(Hash, u32)> = self.spots.range(range).map(|(at, _)| *at).collect();
        for at in all {
            if self.told.contains(&at) || everything {
                self.forget_one(spool, at.0, at.1);
            }
        }
    }

    /// Forgets one result.
    pub(super) fn forget_one(&mut self, spool: &Spool, job: Hash, segment: u32) {
        self.told.remove(&(job, segment));
        if let Some(spot) = self.spots.remove(&(job, segment)) {
            self.release(spool, spot);
        }
    }

    fn release(&mut self, spool: &Spool, spot: Spot) {
        let Spot { pilot, task, .. } = spot;
        let at = (pilot.clone(), task);
        let Some(count) = self.needed.get_mut(&at) else { return };
        *count -= 1;
        if *count == 0 {
            self.needed.remove(&at);
            spool.remove_task(&pilot, task);
            if self.over.contains(&pilot) {
                self.bury(spool, &pilot);
            }
        }
    }

    /// A pilot is over: its folder goes, now or with its last result.
    pub(super) fn bury(&mut self, spool: &Spool, pilot: &str) {
        let range = (pilot.to_owned(), 0)..=(pilot.to_owned(), u64::MAX);
        if self.needed.range(range).next().is_none() {
            spool.remove_pilot(pilot);
            self.over.remove(pilot);
        } else {
            self.over.insert(pilot.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use gongsuan_types::Fuel;
    use gongsuan_types::receipt::{Receipt, Status};

    use super::super::seal::{Key, Writer};
    use super::*;

    fn done(segment: u32, output: &[u8]) -> SegmentOutput {
        let receipt = Receipt {
            segment,
            input: Hash::ZERO,
            output: Hash::of_content(output),
            output_bytes: 5,
            fuel: Fuel(1),
            status: Status::Ok,
        };
        SegmentOutput { receipt, output: output.to_vec(), log: Vec::new() }
    }

    #[test]
    fn a_result_that_comes_twice_counts_once_and_a_folder_goes_with_its_last_result() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, _lock) = Spool::open(folder.path(), Key::draw().unwrap()).unwrap();
        let job = Hash::of_content(b"job");
        let put = |pilot: &str, results: &[SegmentOutput]| {
            spool.make_pilot(pilot).unwrap();
            let mut file = Writer::resume(spool.place(pilot, Part::Result(0))).unwrap();
            for result in results {
                file.append_bytes(&log::record(job, result)).unwrap();
            }
        };
        put("a", &[done(1, b"first")]);
        put("b", &[done(1, b"later"), done(2, b"other"), done(3, b"third")]);
        // The last one was cut short.
        let torn = spool.place("b", Part::Result(0)).path;
        let whole = std::fs::metadata(&torn).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&torn).unwrap().set_len(whole - 1).unwrap();

        let mut stored = Stored::default();
        for pilot in ["a", "b"] {
            stored.index(&spool, pilot, 0);
            stored.bury(&spool, pilot);
        }
        assert_eq!(stored.len(), 2);
        assert_eq!(spool.pilots().unwrap(), ["a", "b"]);
        assert_eq!(stored.read(&spool, job, 1), Some(done(1, b"first")));
        assert!(stored.has(job, 2) && !stored.has(job, 3));
        // A job that ended early: what was handed out goes, the rest waits for it.
        stored.forget(&spool, job, false);
        assert_eq!(spool.pilots().unwrap(), ["b"]);
        assert_eq!(stored.read(&spool, job, 2), Some(done(2, b"other")));
        stored.forget(&spool, job, true);
        assert_eq!(stored.len(), 0);
        assert!(spool.pilots().unwrap().is_empty());
    }
}
