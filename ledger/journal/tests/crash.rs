//! Power cuts after every call, with every way to tear what was not synced; and calls that fail.
//!
//! A script of steps runs on a disk that stops at its n-th call. What is then on the disk, torn in many ways, is opened again. Everything that was
//! acknowledged must be there, in order and unchanged, and nothing that was never appended.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use gongsuan_journal::{Fault, Journal, JournalError, MemoryDisk, Options, Tear};

const OPTIONS: Options = Options { segment_bytes: 900, ..Options::new(*b"crash\0\0\0") };

#[derive(Debug, Clone, Copy)]
enum Step {
    Append(u64),
    Sync,
    Both(u64),
    Replace(u64),
    DropBefore(u64),
}
use Step::{Append, Both, DropBefore, Replace, Sync};

/// Every kind of step after every other, with rotations in between; some batches span several sectors.
const SCRIPT: &[Step] = &[
    Both(1),
    Append(2),
    Append(1),
    Sync,
    Both(3),
    Append(4),
    Both(2),
    DropBefore(8),
    Append(1),
    Replace(3),
    Append(2),
    Both(1),
    Both(5),
    Append(1),
    Replace(0),
    Replace(2),
    Append(3),
    Sync,
    Both(4),
    Both(1),
    Both(4),
    DropBefore(30),
    Append(2),
    Append(2),
];

fn payload(sequence: u64) -> Vec<u8> {
    let length = usize::try_from(sequence * 7919 % 400).unwrap();
    (0..length).map(|at| u8::try_from((at as u64 * 3 + sequence) % 250 + 1).unwrap()).collect()
}

fn payloads(first: u64, count: u64) -> Vec<Vec<u8>> {
    (first..first + count).map(payload).collect()
}

fn open(disk: &MemoryDisk) -> Result<Journal, JournalError> {
    Journal::open(Box::new(disk.clone()), OPTIONS).map(|(journal, _)| journal)
}

/// What may be found after a crash.
#[derive(Debug, Clone, Copy)]
struct Promise {
    /// The oldest record may be any from here ...
    first: u64,
    /// ... to here.
    first_max: u64,
    /// Every record before this one is there ...
    durable: u64,
    /// ... and none from this one on.
    appended: u64,
    /// If the step was a replacement: its records, all of them and nothing else, are as good.
    replaced: Option<(u64, u64)>,
}

impl Promise {
    fn check(&self, journal: &Journal, context: &str) {
        let found: Vec<_> = journal.iter_from(0).map(Result::unwrap).collect();
        let (first, next) = (journal.first(), journal.next());
        let wanted: Vec<_> = (first..next).map(|number| (number, payload(number))).collect();
        assert_eq!(found, wanted, "{context}");
        if self.replaced == Some((first, next)) {
            return;
        }
        assert!(
            self.first <= first && first <= self.first_max,
            "{context}: from {first}, {self:?}"
        );
        assert!(self.durable <= next && next <= self.appended, "{context}: to {next}, {self:?}");
    }
}

/// Runs a step. The promise while it ran is left in `promise`, also if it fails.
#[expect(clippy::panic_in_result_fn, reason = "an assertion that fails ends the test")]
fn run(journal: &mut Journal, step: Step, promise: &mut Promise) -> Result<(), JournalError> {
    let next = journal.next();
    promise.appended = next;
    match step {
        Append(count) => {
            promise.appended = next + count;
            journal.append(&payloads(next, count))?;
        }
        Sync => journal.sync()?,
        Both(count) => {
            promise.appended = next + count;
            journal.append_and_sync(&payloads(next, count))?;
        }
        Replace(count) => {
            promise.replaced = Some((next, next + count));
            journal.replace_all(&payloads(next, count))?;
        }
        DropBefore(number) => {
            promise.first_max = number.max(promise.first);
            let first = journal.drop_before(number)?;
            assert!(first <= promise.first_max);
        }
    }
    if matches!(step, Sync | Both(_)) {
        assert_eq!(journal.durable(), journal.next());
    }
    *promise = after(journal);
    Ok(())
}

fn after(journal: &Journal) -> Promise {
    let (first, next) = (journal.first(), journal.next());
    Promise { first, first_max: first, durable: journal.durable(), appended: next, replaced: None }
}

/// Runs the script until something fails; says what was promised then.
fn run_script(disk: &MemoryDisk) -> (Promise, Result<(), JournalError>) {
    let mut promise = Promise { first: 1, first_max: 1, durable: 1, appended: 1, replaced: None };
    let mut journal = match open(disk) {
        Ok(journal) => journal,
        Err(error) => return (promise, Err(error)),
    };
    for step in SCRIPT {
        if let Err(error) = run(&mut journal, *step, &mut promise) {
            assert!(matches!(journal.sync(), Err(JournalError::Poisoned)), "{step:?}");
            assert!(matches!(journal.append(&["x"]), Err(JournalError::Poisoned)), "{step:?}");
            assert!(matches!(journal.read(1), Err(JournalError::Poisoned)), "{step:?}");
            assert!(matches!(journal.replace_all(&["x"]), Err(JournalError::Poisoned)));
            assert!(matches!(journal.drop_before(2), Err(JournalError::Poisoned)), "{step:?}");
            return (promise, Err(error));
        }
    }
    (promise, Ok(()))
}

fn tears(disk: &MemoryDisk, seeds: u64) -> Vec<Tear> {
    let (bytes_max, names_max) = disk.unsynced();
    let mut all = vec![Tear::Nothing, Tear::Everything];
    for names in 0..=names_max {
        all.extend(
            (0..=bytes_max)
                .step_by(if names == 0 { 1 } else { 61 })
                .map(|bytes| Tear::Prefix { bytes, names }),
        );
    }
    all.extend((0..seeds).map(Tear::Scatter));
    all
}

fn calls_of_the_script() -> u64 {
    let disk = MemoryDisk::new();
    run_script(&disk).1.unwrap();
    assert!(disk.calls() > 80, "{}", disk.calls());
    disk.calls()
}

#[test]
fn a_power_cut_after_any_call_loses_nothing_that_was_acknowledged() {
    for call in 1..=calls_of_the_script() + 1 {
        let disk = MemoryDisk::new();
        disk.inject(call, Fault::PowerCut);
        let (promise, _) = run_script(&disk);
        for tear in tears(&disk, 40) {
            let context = format!("power cut at call {call}, {tear:?}");
            let left = disk.crash(tear);
            let mut journal = open(&left).unwrap_or_else(|error| panic!("{context}: {error}"));
            promise.check(&journal, &context);
            // What was found is durable at once, and life goes on.
            let found = after(&journal);
            found.check(&open(&left.crash(Tear::Nothing)).unwrap(), &context);
            let next = journal.next();
            journal.append_and_sync(&payloads(next, 1)).unwrap();
            after(&journal).check(&open(&left.crash(Tear::Nothing)).unwrap(), &context);
        }
    }
}

#[test]
fn a_second_power_cut_while_opening_loses_nothing_either() {
    for call in (1..=calls_of_the_script() + 1).step_by(2) {
        let disk = MemoryDisk::new();
        disk.inject(call, Fault::PowerCut);
        let (promise, _) = run_script(&disk);
        for tear in [Tear::Everything, Tear::Scatter(call), Tear::Scatter(call + 1000)] {
            for opening_call in 1.. {
                let left = disk.crash(tear);
                left.inject(opening_call, Fault::PowerCut);
                if open(&left).is_ok() {
                    break;
                }
                for again in
                    [Tear::Nothing, Tear::Everything].into_iter().chain((0..6).map(Tear::Scatter))
                {
                    let context =
                        format!("call {call}, {tear:?}, call {opening_call} of opening, {again:?}");
                    let journal = open(&left.crash(again));
                    let journal = journal.unwrap_or_else(|error| panic!("{context}: {error}"));
                    promise.check(&journal, &context);
                }
            }
        }
    }
}

/// The process ends after an error and starts again on the same disk, without a power cut: it reads what may be in memory only. Then the power
/// goes. What it found and acknowledged in between must be there.
#[test]
fn after_any_failed_call_nothing_is_acknowledged_that_can_be_lost() {
    for call in 1..=calls_of_the_script() {
        for fault in [
            Fault::Error,
            Fault::Full { kept: 0 },
            Fault::Full { kept: 20 },
            Fault::Full { kept: 600 },
            Fault::SyncLost,
        ] {
            let disk = MemoryDisk::new();
            disk.inject(call, fault);
            let (promise, result) = run_script(&disk);
            let error = result.expect_err("every call matters");
            assert!(matches!(error, JournalError::Io { .. }), "call {call}: {error}");
            disk.heal();
            for tear in tears(&disk, 10).into_iter().step_by(7) {
                let context = format!("{fault:?} at call {call}, {tear:?}");
                let journal =
                    open(&disk.crash(tear)).unwrap_or_else(|error| panic!("{context}: {error}"));
                promise.check(&journal, &context);
            }
            let context = format!("{fault:?} at call {call}, opened again");
            let mut journal = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            promise.check(&journal, &context);
            for step in [None, Some(Both(2)), Some(Append(9)), Some(Both(1))] {
                let mut promise = after(&journal);
                if let Some(step) = step {
                    run(&mut journal, step, &mut promise).unwrap();
                }
                for tear in
                    [Tear::Nothing, Tear::Everything, Tear::Scatter(call), Tear::Scatter(call + 99)]
                {
                    let context = format!("{context}, {step:?}, {tear:?}");
                    let journal = open(&disk.crash(tear))
                        .unwrap_or_else(|error| panic!("{context}: {error}"));
                    promise.check(&journal, &context);
                }
            }
        }
    }
}

#[test]
fn a_full_disk_says_so() {
    let disk = MemoryDisk::new();
    let mut journal = open(&disk).unwrap();
    disk.inject(disk.calls() + 1, Fault::Full { kept: 5 });
    let error = journal.append(&["too much"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot write memory/00000000000000000001.seg: no space left on device"
    );
    assert_eq!(
        journal.sync().unwrap_err().to_string(),
        "the journal failed before and refuses further use"
    );
}

/// Two small records in one sector and a large one after them, none of them synced: the sectors reach the disk in any order.
#[test]
fn later_unsynced_records_without_the_earlier_ones_are_a_torn_tail() {
    let disk = MemoryDisk::new();
    let options = Options { segment_bytes: 5000, ..OPTIONS };
    let (mut journal, _) = Journal::open(Box::new(disk.clone()), options).unwrap();
    journal.append_and_sync(&[payload(1)]).unwrap();
    journal.append(&[vec![1; 700]]).unwrap();
    journal.append(&[vec![2; 700]]).unwrap();
    let name = &disk.names()[0];
    let mut content = disk.content(name);
    let start = content.len() - 2 * 732;
    content[start..start + 512].fill(0);
    let left = MemoryDisk::new();
    left.set_content(name, &content);
    let (journal, cut) = Journal::open(Box::new(left), options).unwrap();
    assert_eq!((journal.next(), cut.unwrap().bytes), (2, 2 * 732));
}
