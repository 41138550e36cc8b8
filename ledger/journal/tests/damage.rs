//! Files that were cut, bent, lost or put there by somebody else.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use gongsuan_journal::{Journal, JournalError, MemoryDisk, Options};
use proptest::prelude::*;

const OPTIONS: Options = Options { segment_bytes: 450, ..Options::new(*b"test\0\0\0\0") };
const HEADER: usize = 48;
const FRAME: usize = 32;

fn payload(sequence: u64) -> Vec<u8> {
    let length = usize::try_from(sequence * 37 % 150).unwrap();
    (0..length).map(|at| u8::try_from((at as u64 + sequence) % 251).unwrap()).collect()
}

fn open(disk: &MemoryDisk) -> Result<Journal, JournalError> {
    Journal::open(Box::new(disk.clone()), OPTIONS).map(|(journal, _)| journal)
}

/// Twelve records in several segments; every one was acknowledged.
fn filled() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let mut journal = open(&disk).unwrap();
    let mut sequence = 1;
    for batch in [1, 2, 1, 3, 1, 2, 1, 1] {
        let payloads: Vec<_> = (sequence..sequence + batch).map(payload).collect();
        assert_eq!(journal.append_and_sync(&payloads).unwrap(), sequence..sequence + batch);
        sequence += batch;
    }
    assert!(disk.names().len() >= 3);
    disk
}

fn all(journal: &Journal) -> Vec<(u64, Vec<u8>)> {
    journal.iter_from(0).map(Result::unwrap).collect()
}

fn expected(last: u64) -> Vec<(u64, Vec<u8>)> {
    (1..=last).map(|sequence| (sequence, payload(sequence))).collect()
}

fn bent(whole: &MemoryDisk, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> MemoryDisk {
    let disk = whole.crash(gongsuan_journal::Tear::Everything);
    let mut content = disk.content(name);
    change(&mut content);
    disk.set_content(name, &content);
    disk
}

#[test]
fn a_bent_byte_anywhere_is_refused_or_loses_nothing() {
    let whole = filled();
    let mut refused = 0;
    for name in whole.names() {
        for at in 0..whole.content(&name).len() {
            for mask in [1, 0x80, 0xff] {
                let disk = bent(&whole, &name, |content| content[at] ^= mask);
                match open(&disk) {
                    Ok(journal) => assert_eq!(all(&journal), expected(12), "{name} byte {at}"),
                    Err(
                        JournalError::Damaged { .. }
                        | JournalError::NewerVersion { .. }
                        | JournalError::OtherJournal { .. },
                    ) => refused += 1,
                    Err(other) => panic!("{name} byte {at}: {other}"),
                }
            }
        }
    }
    assert!(refused > 1000);
}

#[test]
fn the_last_segment_cut_at_any_byte_keeps_every_whole_record() {
    let whole = filled();
    let name = whole.names().pop().unwrap();
    let content = whole.content(&name);
    let first = u64::from_le_bytes(content[16..24].try_into().unwrap());
    for cut in 0..=content.len() {
        let disk = bent(&whole, &name, |content| content.truncate(cut));
        let opened = open(&disk);
        if cut < HEADER {
            assert!(matches!(opened, Err(JournalError::Damaged { offset: 0, .. })), "cut at {cut}");
            continue;
        }
        let mut journal = opened.unwrap();
        let mut kept = first - 1;
        // Walks the frames that are whole; a mark holds no record.
        let mut at = HEADER;
        while at + FRAME <= cut {
            let length = u32::from_le_bytes(content[at + 4..at + 8].try_into().unwrap());
            at += FRAME + length as usize;
            kept += u64::from(at <= cut && content[at - FRAME - length as usize + 1] == b'R');
        }
        assert_eq!(all(&journal), expected(kept), "cut at {cut}");
        journal.append_and_sync(&[payload(kept + 1)]).unwrap();
        drop(journal);
        let after = disk.crash(gongsuan_journal::Tear::Nothing);
        assert_eq!(all(&open(&after).unwrap()), expected(kept + 1), "cut at {cut}");
    }
}

#[test]
fn a_segment_before_the_last_must_be_whole() {
    let whole = filled();
    let name = whole.names()[1].clone();
    for cut in 0..whole.content(&name).len() {
        let disk = bent(&whole, &name, |content| content.truncate(cut));
        let opened = open(&disk);
        // Its last mark may be missing, no record.
        match opened {
            Ok(journal) => assert_eq!(all(&journal), expected(12), "cut at {cut}"),
            Err(error) => {
                assert!(matches!(error, JournalError::Damaged { .. }), "cut at {cut}: {error}");
            }
        }
    }
}

#[test]
fn a_lost_segment_is_noticed() {
    let whole = filled();
    let names = whole.names();
    let disk = MemoryDisk::new();
    for name in names.iter().filter(|name| **name != names[1]) {
        disk.set_content(name, &whole.content(name));
    }
    let error = open(&disk).unwrap_err().to_string();
    assert!(error.contains("the next segment does not continue this one"), "{error}");
}

#[test]
fn a_segment_before_the_last_has_nothing_after_its_records() {
    let whole = filled();
    let disk = bent(&whole, &whole.names()[0], |content| content.push(0));
    assert!(matches!(open(&disk), Err(JournalError::Damaged { .. })));
}

/// Each record is whole and has a right checksum; but they are not where they were written.
#[test]
fn records_that_changed_places_are_damage() {
    let disk = MemoryDisk::new();
    let mut journal = open(&disk).unwrap();
    journal.append(&["one", "two"]).unwrap();
    journal.sync().unwrap();
    let frame = FRAME + 3;
    let disk = bent(&disk, &disk.names()[0], |content| {
        content[HEADER..HEADER + 2 * frame].rotate_left(frame);
    });
    let error = open(&disk).unwrap_err();
    assert!(error.to_string().contains("the sequence number is not the next"), "{error}");
}

#[test]
fn a_bent_length_with_records_after_it_is_damage_and_not_a_short_file() {
    let disk = MemoryDisk::new();
    let mut journal = open(&disk).unwrap();
    journal.append_and_sync(&[payload(1)]).unwrap();
    journal.append_and_sync(&[payload(2)]).unwrap();
    let name = disk.names()[0].clone();
    let disk = bent(&disk, &name, |content| content[HEADER + 6] = 0x7f);
    let error = open(&disk).unwrap_err();
    assert_eq!(
        error.to_string(),
        "memory/00000000000000000001.seg is damaged at byte 48: no frame with a matching checksum begins here"
    );
    assert_eq!(disk.names(), [name], "nothing was changed");
}

#[test]
fn a_cut_says_where_and_why() {
    let disk = MemoryDisk::new();
    let mut journal = open(&disk).unwrap();
    journal.append_and_sync(&[payload(1)]).unwrap();
    let end = journal.size_bytes();
    journal.append(&[payload(2)]).unwrap();
    let name = disk.names()[0].clone();
    let disk = bent(&disk, &name, |content| content.truncate(content.len() - 1));
    let (_, cut) = Journal::open(Box::new(disk.clone()), OPTIONS).unwrap();
    let cut = cut.unwrap();
    assert_eq!((cut.offset, cut.bytes, cut.what), (end, 32 + 74 - 1, "the record is cut off"));
    let (_, cut) = Journal::open(Box::new(disk), OPTIONS).unwrap();
    assert_eq!(cut, None);
}

/// A payload that holds a frame of the same journal word for word, but with another salt: it proves nothing.
#[test]
fn frames_in_a_payload_are_no_proof_that_a_torn_tail_was_durable() {
    let other = filled();
    let stolen: Vec<u8> = other.names().iter().flat_map(|name| other.content(name)).collect();
    let disk = MemoryDisk::new();
    for index in 0..20 {
        disk.set_content(&format!("{index}.new"), b"so that the salt is another");
    }
    let mut journal = open(&disk).unwrap();
    journal.append(&[stolen]).unwrap();
    let name = disk.names()[0].clone();
    let disk = bent(&disk, &name, |content| content[HEADER] = 0);
    assert!(open(&disk).unwrap().is_empty());
}

#[test]
fn what_this_program_cannot_know_is_refused_by_name() {
    let whole = filled();
    let name = whole.names()[0].clone();
    let newer = bent(&whole, &name, |content| content[8] = 2);
    let error = open(&newer).unwrap_err();
    assert_eq!(
        error.to_string(),
        "memory/00000000000000000001.seg has format version 2, this program reads up to 1: use a newer program"
    );
    let other = Options { label: *b"votes\0\0\0", ..OPTIONS };
    let error = Journal::open(Box::new(whole.clone()), other).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "memory/{} belongs to the journal \"test\", not to \"votes\"",
            whole.names().last().unwrap()
        )
    );
    whole.set_content("00000000000000000001.log", b"");
    let error = open(&whole).unwrap_err();
    assert_eq!(
        error.to_string(),
        "memory/00000000000000000001.log is not a file of this journal: move it away"
    );
}

#[test]
fn a_record_that_decays_while_the_journal_is_open_is_refused_when_read() {
    let disk = filled();
    let journal = open(&disk).unwrap();
    let name = disk.names()[0].clone();
    let mut content = disk.content(&name);
    content[HEADER + FRAME] ^= 1;
    disk.set_content(&name, &content);
    assert!(matches!(journal.read(1), Err(JournalError::Damaged { offset: 48, .. })));
    assert_eq!(journal.read(12).unwrap(), Some(payload(12)));
}

#[test]
fn sizes_out_of_bounds_change_nothing() {
    let disk = MemoryDisk::new();
    let options = Options { record_bytes_max: 10, ..OPTIONS };
    let (mut journal, _) = Journal::open(Box::new(disk.clone()), options).unwrap();
    let before = disk.calls();
    let error = journal.append(&[vec![0; 10], vec![0; 11]]).unwrap_err();
    assert_eq!(error.to_string(), "a record of 11 bytes is too large: at most 10");
    let error = journal.replace_all(&[vec![0; 11]]).unwrap_err();
    assert_eq!(error.to_string(), "a record of 11 bytes is too large: at most 10");
    assert_eq!(disk.calls(), before);
    assert_eq!(journal.append_and_sync(&[vec![7; 10]]).unwrap(), 1..2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        header in any::<bool>(),
        splices in proptest::collection::vec((any::<prop::sample::Index>(), any::<[u8; 4]>()), 0..4),
    ) {
        let whole = filled();
        let name = whole.names().pop().unwrap();
        let disk = bent(&whole, &name, |content| {
            if header {
                content.truncate(HEADER);
                content.extend_from_slice(&bytes);
            } else {
                for (at, patch) in &splices {
                    let at = at.index(content.len() - 4);
                    content[at..at + 4].copy_from_slice(patch);
                }
            }
        });
        if let Ok(journal) = open(&disk) {
            let found = all(&journal);
            prop_assert_eq!(&found[..], &expected(12)[..found.len()]);
        }
        let alone = MemoryDisk::new();
        alone.set_content("00000000000000000001.seg", &bytes);
        prop_assert!(open(&alone).is_err());
    }
}
