//! One suite for every store: what is written is read, as a whole or not at all, in order, and after opening again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::path::Path;

use gongsuan_ledger::lock::{FolderLock, LockError};
use gongsuan_ledger::store::{Batch, MemoryStore, RedbStore, SledStore, Store};
use gongsuan_types::{Hash, Height};

/// Opens a store that was opened there before, with what it held.
type Reopen<'a> = &'a mut dyn FnMut(Option<Box<dyn Store>>) -> Box<dyn Store>;

fn on_disk(check: fn(Reopen<'_>)) {
    let dir = tempfile::tempdir().unwrap();
    let sled = |path: &Path| -> Box<dyn Store> { Box::new(SledStore::open(path).unwrap()) };
    let redb = |path: &Path| -> Box<dyn Store> { Box::new(RedbStore::open(path).unwrap()) };
    check(&mut |store| store.unwrap_or_else(|| Box::new(MemoryStore::default())));
    check(&mut |store| {
        drop(store);
        sled(&dir.path().join("sled"))
    });
    check(&mut |store| {
        drop(store);
        redb(&dir.path().join("redb"))
    });
}

fn set(key: &[u8], value: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    (key.to_vec(), Some(value.to_vec()))
}

#[test]
fn a_fresh_store_is_empty_at_height_zero() {
    on_disk(|reopen| {
        let store = reopen(None);
        assert_eq!(store.applied().unwrap(), Height(0));
        assert_eq!(store.get(b"x").unwrap(), None);
        assert_eq!(store.scan(b"").unwrap(), vec![]);
    });
}

#[test]
fn scans_are_in_order_and_the_last_change_of_a_batch_wins() {
    on_disk(|reopen| {
        let mut store = reopen(None);
        let changes = vec![
            set(b"b", b"2"),
            set(b"a\xff", b"1"),
            set(b"a", b"0"),
            set(b"a\xff\xff", b"9"),
            set(b"gone", b"soon"),
            (b"gone".to_vec(), None),
            set(b"a", b"twice"),
            set(b"", b"the empty key"),
            set(b"empty", b""),
        ];
        store.commit(&Batch { changes }, Height(1)).unwrap();
        let store = reopen(Some(store));
        let keys = |prefix: &[u8]| -> Vec<Vec<u8>> {
            store.scan(prefix).unwrap().into_iter().map(|(key, _)| key).collect()
        };
        let of_a = [b"a".to_vec(), b"a\xff".to_vec(), b"a\xff\xff".to_vec()];
        let rest = [b"b".to_vec(), b"empty".to_vec()];
        assert_eq!(keys(b""), [&[vec![]][..], &of_a, &rest].concat());
        assert_eq!(keys(b"a"), of_a);
        assert_eq!(keys(b"a\xff"), of_a[1..]);
        assert_eq!(keys(b"c"), Vec::<Vec<u8>>::new());
        assert_eq!(store.get(b"a").unwrap().unwrap(), b"twice");
        assert_eq!(store.get(b"gone").unwrap(), None);
        assert_eq!(store.get(b"").unwrap().unwrap(), b"the empty key");
        assert_eq!(store.get(b"empty").unwrap().unwrap(), b"");
        assert_eq!(store.applied().unwrap(), Height(1));
    });
}

/// Random batches against a map, opened again now and then.
#[test]
fn every_store_agrees_with_a_map() {
    on_disk(|reopen| {
        let mut store = reopen(None);
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for height in 1..=40_u64 {
            let mut batch = Batch::default();
            for n in 0..30_u64 {
                let draw = Hash::of_content(&[height.to_le_bytes(), n.to_le_bytes()].concat()).0;
                let key = vec![draw[1] % 16, draw[2] % 4][..usize::from(draw[3] % 3)].to_vec();
                let value = (!draw[4].is_multiple_of(3))
                    .then(|| draw[..usize::from(draw[5] % 32)].to_vec());
                match &value {
                    Some(value) => model.insert(key.clone(), value.clone()),
                    None => model.remove(&key),
                };
                batch.changes.push((key, value));
            }
            store.commit(&batch, Height(height)).unwrap();
            if height.is_multiple_of(9) {
                store = reopen(Some(store));
            }
            assert_eq!(store.applied().unwrap(), Height(height));
            for prefix in [vec![], vec![3], vec![7, 1]] {
                let expected: Vec<_> = model
                    .iter()
                    .filter(|(key, _)| key.starts_with(&prefix))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                assert_eq!(store.scan(&prefix).unwrap(), expected);
            }
        }
    });
}

#[test]
fn values_of_a_checkpoint_part_fit() {
    on_disk(|reopen| {
        let mut store = reopen(None);
        let part = vec![7; 1 << 20];
        let changes = (0..4u8).map(|n| set(&[n], &part)).collect();
        store.commit(&Batch { changes }, Height(3)).unwrap();
        let store = reopen(Some(store));
        assert_eq!(store.scan(b"").unwrap().len(), 4);
        assert_eq!(store.get(&[2]).unwrap().unwrap(), part);
    });
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    let dir = tempfile::tempdir().unwrap();
    let (sled, redb) = (dir.path().join("sled"), dir.path().join("redb"));
    let mut store = SledStore::open(&sled).unwrap();
    store.commit(&Batch { changes: vec![set(b"a", b"1")] }, Height(1)).unwrap();
    drop(store);
    std::fs::write(sled.join("db"), b"garbage").unwrap();
    std::fs::write(&redb, b"garbage").unwrap();
    // sled sometimes begins anew instead: then it must not pretend to know anything.
    if let Ok(store) = SledStore::open(&sled) {
        assert_eq!(store.applied().unwrap(), Height(0));
        assert_eq!(store.get(b"a").unwrap(), None);
    }
    assert!(RedbStore::open(&redb).is_err());
}

#[test]
fn a_folder_belongs_to_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let held = FolderLock::take(dir.path()).unwrap();
    assert!(matches!(FolderLock::take(dir.path()), Err(LockError::Held { .. })));
    drop(held);
    assert!(FolderLock::take(dir.path()).is_ok());
}
