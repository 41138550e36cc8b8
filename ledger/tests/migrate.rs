//! Folders of older versions.
//!
//! Rules of the chain change before its first release, and with them what any block leads to; so a folder of an older *layout* is made here from
//! one of today, by undoing what the layouts since have added. Version 1 had the log and the store alone: no index, headers or base of its own, no
//! version of the folder; and in the store no head before a checkpoint's parts, but two tables of index entries.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::path::Path;

use common::{address, body, genesis, ordered, transaction, transfer};
use gongsuan_journal::{Journal, MemoryDisk, Options as JournalOptions, Tear};
use gongsuan_ledger::store::{Batch, MemoryStore, SledStore, Store};
use gongsuan_ledger::{
    Chain, ChainError, Genesis, Location, Options, Retention, State, StoredBlock, apply_block,
};
use gongsuan_types::Height;

const BLOCKS: u64 = 12;
/// The height at which the writer made a checkpoint, so that a reader has both a checkpoint and blocks after it.
const CHECKPOINT: u64 = 8;

fn payload(genesis: &Genesis, height: u64) -> Vec<u8> {
    let pay = |from: u16| {
        transaction(genesis.chain_id(), from, height - 1, 400, vec![transfer(from + 3, 7)])
    };
    // A failed one among them: it overdraws.
    let ops = vec![transfer(1, 9_000_000)];
    body(vec![pay(0), pay(1), transaction(genesis.chain_id(), 2, height - 1, 400, ops)])
}

fn write(dir: &Path) {
    let genesis = genesis(4);
    let mut chain = Chain::open(dir, &genesis).unwrap();
    for height in 1..=BLOCKS {
        chain.commit(&[(ordered(height, &payload(&genesis, height)), vec![7, 7])]).unwrap();
        if height == CHECKPOINT {
            chain.checkpoint();
        }
    }
}

/// Undoes what has come since version 1.
fn make_version_1(home: &Path) {
    for entry in std::fs::read_dir(home).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !["blocks", "store", "chain.lock"].contains(&name.as_str()) {
            std::fs::remove_dir_all(&path).unwrap();
        }
    }
    // Opening it by today's store waits until the last one is released.
    let store = SledStore::open(&home.join("store")).unwrap();
    assert!(store.get(b"head").unwrap().is_some(), "today's layout");
    drop(store);
    let db = loop {
        if let Ok(db) = sled::Config::new().path(home.join("store")).open() {
            break db;
        }
        std::thread::yield_now();
    };
    db.open_tree("checkpoint").unwrap().remove("head").unwrap();
    db.open_tree("transactions").unwrap().insert([1; 32], &[2; 12]).unwrap();
    db.open_tree("history").unwrap().insert([3; 44], &[]).unwrap();
    db.insert("version", &1_u32.to_be_bytes()).unwrap();
    db.flush().unwrap();
}

#[test]
fn a_folder_of_version_1_is_brought_up_to_date_with_the_same_blocks_and_receipts() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    write(&home);
    make_version_1(&home);
    let genesis = genesis(4);
    let mut state = State::new(&genesis).unwrap();
    let mut blocks = Vec::new();
    for height in 1..=BLOCKS {
        let body = payload(&genesis, height);
        blocks.push(apply_block(&mut state, &ordered(height, &body)));
    }
    for when in ["brought up to date", "opened again"] {
        let chain = Chain::open(&home, &genesis).unwrap();
        assert_eq!(chain.rebuilt(), None, "{when}: its checkpoint was used");
        assert_eq!(chain.retention(), Retention::Archive, "{when}");
        assert_eq!(chain.state().root(), state.root(), "{when}");
        for applied in &blocks {
            let stored = chain.stored(applied.header.height).unwrap().unwrap();
            assert_eq!(stored.header, applied.header, "{when}");
            assert_eq!(stored.receipts, applied.receipts, "{when}");
            assert_eq!(stored.consensus, [7, 7], "{when}");
            for (index, receipt) in (0..).zip(&applied.receipts) {
                let location = Location { height: applied.header.height, index };
                assert_eq!(chain.find(&receipt.id).unwrap(), Some(location), "{when}");
            }
        }
        let paid = chain.history(&address(3));
        assert_eq!(paid.len() as u64, BLOCKS, "{when}");
        drop(chain);
        let store = SledStore::open(&home.join("store")).unwrap();
        assert_eq!(store.applied().unwrap(), Height(CHECKPOINT), "{when}");
    }
}

/// Replaces the newest record of a room by one that begins with another version.
fn renew(disk: &MemoryDisk, room: &str, label: [u8; 8], record: &[u8]) {
    let room = Box::new(disk.folder(room));
    let (mut journal, _) = Journal::open(room, JournalOptions::new(label)).unwrap();
    journal.replace_all(&[record]).unwrap();
}

#[test]
fn what_a_newer_program_wrote_is_refused_by_name_and_left_alone() {
    let genesis = genesis(4);
    let options = Options {
        retention: Some(Retention::Pruned { blocks: 2 }),
        checkpoint_blocks: 2,
        segment_bytes: 500,
        ..Options::default()
    };
    let disk = MemoryDisk::new();
    let store = MemoryStore::default();
    let open = |disk: &MemoryDisk, store: Option<&MemoryStore>| {
        let store = store.map(|store| Box::new(store.clone()) as Box<dyn Store>);
        Chain::open_over(disk, store, &genesis, Options { retention: None, ..options })
    };
    let first = Box::new(store.clone()) as Box<dyn Store>;
    let mut chain = Chain::open_over(&disk, Some(first), &genesis, options).unwrap();
    for height in 1..=BLOCKS {
        chain.commit(&[(ordered(height, &payload(&genesis, height)), vec![])]).unwrap();
    }
    assert!(chain.first() > Height(2));
    drop(chain);
    let cases: [(&str, [u8; 8], &str); 2] = [
        (
            "meta",
            *b"folder\0\0",
            "the data folder (its meta/) has version 9, this program reads up to 2: use a newer program",
        ),
        (
            "base",
            *b"base\0\0\0\0",
            "the base has version 9, this program reads up to 1: use a newer program",
        ),
    ];
    for (room, label, expected) in cases {
        let other = disk.crash(Tear::Everything);
        renew(&other, room, label, &[9, 1, 2, 3]);
        assert_eq!(open(&other, None).unwrap_err().to_string(), expected);
    }
    let mut newer = store;
    let batch = Batch { changes: vec![(b"head".to_vec(), Some(vec![9, 1, 1]))] };
    newer.commit(&batch, Height(BLOCKS)).unwrap();
    assert_eq!(
        open(&disk, Some(&newer)).unwrap_err().to_string(),
        "the store's checkpoint has version 9, this program reads up to 1: use a newer program"
    );
    assert_eq!(
        StoredBlock::decode(Height(5), &[9, 1, 1]).unwrap_err().to_string(),
        "block 5 in the log has version 9, this program reads up to 1: use a newer program"
    );
    let other = Genesis { name: "other".into(), ..genesis.clone() };
    let error = Chain::open_over(&disk, None, &other, options).unwrap_err();
    assert!(matches!(error, ChainError::OtherChain { .. }), "{error}");
}

#[test]
fn a_newer_store_is_refused_and_not_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    let genesis = genesis(4);
    drop(Chain::open(dir.path(), &genesis).unwrap());
    let path = dir.path().join("store");
    let newer = |path: &Path| {
        let db = sled::Config::new().path(path).open().unwrap();
        db.insert(b"version", &9_u32.to_be_bytes()).unwrap();
        db.flush().unwrap();
    };
    newer(&path);
    let error = Chain::open(dir.path(), &genesis).unwrap_err();
    assert!(matches!(error, ChainError::NewerStore { got: 9, known: 2, .. }), "{error}");
    assert!(path.join("db").exists());
    drop(std::fs::remove_dir_all(&path));
    assert!(Chain::open(dir.path(), &genesis).is_ok(), "what the error says to do");
}
