//! The journal on real files.

use gongsuan_journal::{Folder, Journal, JournalError, Options};

const OPTIONS: Options = Options { segment_bytes: 300, ..Options::new(*b"folder\0\0") };

fn open(path: &std::path::Path) -> Result<Journal, JournalError> {
    Journal::open(Box::new(Folder::open(path)?), OPTIONS).map(|(journal, _)| journal)
}

#[test]
fn records_are_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not/there/yet");
    let mut journal = open(&path).unwrap();
    for number in 1..=20u8 {
        journal.append_and_sync(&[vec![number; usize::from(number)]]).unwrap();
    }
    assert_eq!(journal.drop_before(11).unwrap(), 9);
    drop(journal);
    let mut journal = open(&path).unwrap();
    assert_eq!((journal.first(), journal.next()), (9, 21));
    for (number, record) in journal.iter_from(0).map(Result::unwrap) {
        assert_eq!(record, vec![u8::try_from(number).unwrap(); usize::try_from(number).unwrap()]);
    }
    assert_eq!(journal.replace_all(&["a", "b"]).unwrap(), 21..23);
    journal.append(&["c"]).unwrap();
    drop(journal);
    let journal = open(&path).unwrap();
    assert_eq!(
        journal.iter_from(22).map(Result::unwrap).collect::<Vec<_>>(),
        [(22, b"b".to_vec()), (23, b"c".to_vec())]
    );
    let names = std::fs::read_dir(&path).unwrap().count();
    assert_eq!(names, 2, "one segment and the lock");
}

#[test]
fn a_folder_can_be_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, JournalError::Locked { .. }), "{error}");
    assert_eq!(error.to_string(), format!("{} is in use by another process", dir.path().display()));
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
fn a_torn_file_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().append(&["whole", "torn"]).unwrap();
    let name = dir.path().join("00000000000000000001.seg");
    let content = std::fs::read(&name).unwrap();
    std::fs::write(&name, &content[..content.len() - 1]).unwrap();
    assert_eq!(open(dir.path()).unwrap().next(), 2);
    assert_eq!(open(dir.path()).unwrap().read(1).unwrap().unwrap(), b"whole");
    // A header, a record, and a mark that it is durable.
    assert_eq!(std::fs::metadata(&name).unwrap().len(), 48 + 32 + 5 + 32);
}

#[test]
fn a_file_in_the_folders_place_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"an older format").unwrap();
    let error = open(&path).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot create {}: ", path.display())), "{error}");
}
