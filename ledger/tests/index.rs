//! Where transactions are: answered alike while entries wait in memory, when they are in the store, and after opening again.

mod common;

use common::{address, body, genesis, ordered, transaction, transfer};
use gongsuan_ledger::{Chain, ChainError};
use gongsuan_types::Hash;

#[test]
fn more_entries_than_a_slice_are_found_before_and_after_they_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let genesis = genesis(12);
    let mut chain = Chain::open(dir.path(), &genesis).unwrap();
    // Each block makes some six hundred entries, more than one commit writes.
    let mut ids: Vec<(u64, u32, Hash)> = Vec::new();
    for height in 1..=6 {
        let txs: Vec<_> = (0..10_u16)
            .map(|from| {
                let ops = (0..60).map(|n| transfer(100 + n, 1)).collect();
                transaction(genesis.chain_id(), from, height - 1, 6_500, ops)
            })
            .collect();
        ids.extend((0..).zip(&txs).map(|(index, tx)| (height, index, tx.body.id())));
        let payload = body(txs);
        chain.commit(&[(ordered(height, &payload), vec![])]).unwrap();
    }
    let check = |chain: &Chain, when: &str| {
        for (height, index, id) in &ids {
            let location = chain.location(id).unwrap();
            assert_eq!((location.height.0, location.index), (*height, *index), "{when}");
        }
        let all: Vec<_> = chain
            .history(&address(120))
            .iter()
            .map(|(at, id)| (at.height.0, at.index, *id))
            .collect();
        assert_eq!(all, ids, "{when}: sixty payments, oldest first, each once");
        assert_eq!(chain.history(&address(3)).len(), 6, "{when}");
        assert_eq!(chain.location(&Hash::ZERO), None, "{when}");
    };
    check(&chain, "while most entries wait");
    drop(chain);
    let mut chain = Chain::open(dir.path(), &genesis).unwrap();
    check(&chain, "executed again, some entries twice");
    chain.checkpoint();
    check(&chain, "all in the store");
    drop(chain);
    check(&Chain::open(dir.path(), &genesis).unwrap(), "read from a checkpoint");
}

#[test]
fn a_chain_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let genesis = genesis(1);
    let held = Chain::open(dir.path(), &genesis).unwrap();
    assert!(matches!(Chain::open(dir.path(), &genesis), Err(ChainError::Lock(_))));
    drop(held);
    assert!(Chain::open(dir.path(), &genesis).is_ok());
}
