//! Random calls against a plain list.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use gongsuan_journal::{Journal, MemoryDisk, Options, Tear};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Append(Vec<Vec<u8>>),
    Sync,
    Replace(Vec<Vec<u8>>),
    DropBefore(u64),
    Reopen,
    Crash(u64),
}

fn records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..4)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => records().prop_map(Op::Append),
        3 => Just(Op::Sync),
        1 => records().prop_map(Op::Replace),
        1 => (0u64..60).prop_map(Op::DropBefore),
        1 => Just(Op::Reopen),
        1 => any::<u64>().prop_map(Op::Crash),
    ]
}

/// The records that should be there, with the number of the first.
#[derive(Debug)]
struct Model {
    first: u64,
    records: Vec<Vec<u8>>,
    durable: u64,
}

impl Model {
    fn next(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// Takes over how much an opened journal kept, if it may.
    fn accept(&mut self, journal: &Journal) {
        assert!(self.durable <= journal.next() && journal.next() <= self.next());
        self.records.truncate(usize::try_from(journal.next() - self.first).unwrap());
        self.durable = self.next();
    }

    fn check(&self, journal: &Journal) {
        assert_eq!((journal.first(), journal.next()), (self.first, self.next()));
        assert_eq!(journal.is_empty(), self.records.is_empty());
        let found: Vec<_> = journal.iter_from(0).map(Result::unwrap).collect();
        let wanted: Vec<_> = (self.first..).zip(self.records.iter().cloned()).collect();
        assert_eq!(found, wanted);
        assert_eq!(journal.read(self.next()).unwrap(), None);
        assert_eq!(journal.read(self.first - 1).unwrap(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_journal_is_a_list_that_survives(
        ops in proptest::collection::vec(op(), 0..60),
        segment_bytes in 0u64..1500,
    ) {
        let options = Options { segment_bytes, first: 5, ..Options::new(*b"model\0\0\0") };
        let mut disk = MemoryDisk::new();
        let open = |disk: &MemoryDisk| Journal::open(Box::new(disk.clone()), options).unwrap().0;
        let mut journal = open(&disk);
        let mut model = Model { first: 5, records: Vec::new(), durable: 5 };
        for op in ops {
            match op {
                Op::Append(records) => {
                    let numbers = journal.append(&records).unwrap();
                    prop_assert_eq!(numbers.start, model.next());
                    model.records.extend(records);
                    prop_assert_eq!(numbers.end, model.next());
                }
                Op::Sync => journal.sync().unwrap(),
                Op::Replace(records) => {
                    model.first = model.next();
                    model.records = records;
                    let numbers = journal.replace_all(&model.records).unwrap();
                    prop_assert_eq!(numbers, model.first..model.next());
                    model.durable = model.next();
                }
                Op::DropBefore(number) => {
                    let first = journal.drop_before(number).unwrap();
                    prop_assert!(first == model.first || first <= number);
                    let dropped = usize::try_from(first - model.first).unwrap();
                    model.records.drain(..dropped);
                    model.first = first;
                }
                Op::Reopen => {
                    journal = open(&disk);
                    prop_assert_eq!(journal.next(), model.next());
                    model.accept(&journal);
                }
                Op::Crash(seed) => {
                    disk = disk.crash(Tear::Scatter(seed));
                    journal = open(&disk);
                    model.accept(&journal);
                }
            }
            prop_assert!(journal.durable() >= model.durable);
            model.durable = journal.durable();
            model.check(&journal);
        }
    }
}
