//! Folders that older programs wrote.
//!
//! `tests/folders/v1` was written before the folder had an index, headers and a base of its own, by this test's own chain:
//!
//! ```text
//! WRITE_FOLDER=/some/where cargo test -p gongsuan-ledger --test migrate writes
//! ```
//!
//! Before a format changes, run that with the old program and commit what it wrote beside `v1`.

mod common;

use std::path::Path;

use common::{body, genesis, ordered, transaction, transfer};
use gongsuan_ledger::{Chain, Genesis};

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

#[test]
fn writes_a_folder_when_asked_to() {
    if let Some(dir) = std::env::var_os("WRITE_FOLDER") {
        write(Path::new(&dir));
    }
}
