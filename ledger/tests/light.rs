//! The light client refuses whatever is not proved.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{address, body, genesis, ordered, transaction, transfer};
use gongsuan_ledger::header::{receipt_proof, tx_proof};
use gongsuan_ledger::light::{LightError, check_receipt, check_tx};
use gongsuan_ledger::{
    Applied, Header, HistoryTree, LightClient, State, StateKey, TxStatus, apply_block,
};
use gongsuan_types::{Hash, Height};

fn chain(blocks: u64) -> (State, HistoryTree, Vec<Applied>) {
    let genesis = genesis(3);
    let mut state = State::new(&genesis).unwrap();
    let (mut history, mut all) = (HistoryTree::default(), Vec::new());
    for height in 1..=blocks {
        let txs = (0..3)
            .map(|from| {
                transaction(genesis.chain_id(), from, height - 1, 300, vec![transfer(2, 5)])
            })
            .collect();
        let applied = apply_block(&mut state, &ordered(height, &body(txs)));
        history.push(applied.header.hash());
        all.push(applied);
    }
    (state, history, all)
}

#[test]
fn headers_are_followed_one_by_one_and_skipped_with_a_proof() {
    let (_, history, blocks) = chain(20);
    let header = |height: usize| blocks[height - 1].header;
    let mut client = LightClient::new(header(1));
    client.advance(header(2), None, |_| true).unwrap();
    assert_eq!(client.advance(header(4), None, |_| true), Err(LightError::NotDescended));
    assert_eq!(client.advance(header(3), None, |_| false), Err(LightError::NotCertified));
    assert_eq!(client.advance(header(2), None, |_| true), Err(LightError::NotLater));
    let past = history.prove(1, 18).unwrap();
    assert_eq!(client.advance(header(20), Some(&past), |_| true), Err(LightError::NotDescended));
    client.advance(header(19), Some(&past), |_| true).unwrap();
    assert_eq!(client.head().height, Height(19));
    let foreign = Header { chain_id: Hash::ZERO, ..header(20) };
    assert_eq!(client.advance(foreign, None, |_| true), Err(LightError::Foreign));
    // Another history with the same heights.
    let fork = Header { parent: Hash::ZERO, ..header(20) };
    assert_eq!(client.advance(fork, None, |_| true), Err(LightError::NotDescended));
    for height in 1..19 {
        let past = history.prove(height - 1, 18).unwrap();
        let old = blocks[usize::try_from(height - 1).unwrap()].header;
        client.check_past(&old, &past).unwrap();
        let lie = Header { state_root: Hash::ZERO, ..old };
        assert!(client.check_past(&lie, &past).is_err());
        let elsewhere = Header { height: old.height.next(), ..old };
        assert!(client.check_past(&elsewhere, &past).is_err());
    }
}

#[test]
fn records_transactions_and_receipts_are_believed_with_their_proofs_only() {
    let (state, _, blocks) = chain(5);
    let client = LightClient::new(blocks[4].header);
    for (key, there) in [
        (StateKey::Account(address(1)), true),
        (StateKey::Supply, true),
        (StateKey::Account(address(77)), false),
    ] {
        let (value, proof) = (state.record(&key), state.prove(&key));
        assert_eq!(value.is_some(), there);
        client.check_record(&key, value.as_deref(), &proof).unwrap();
        assert!(client.check_record(&key, Some(b"lie"), &proof).is_err());
        assert!(
            client.check_record(&StateKey::Account(address(2)), value.as_deref(), &proof).is_err()
        );
        assert_eq!(client.check_record(&key, None, &proof).is_ok(), !there);
    }
    let Applied { header, receipts, events } = &blocks[4];
    let ids: Vec<Hash> = receipts.iter().map(|receipt| receipt.id).collect();
    for index in 0..3 {
        let proof = tx_proof(&ids, index).unwrap();
        check_tx(header, &ids[index], &proof).unwrap();
        assert!(check_tx(header, &ids[(index + 1) % 3], &proof).is_err());
        assert!(check_tx(&blocks[3].header, &ids[index], &proof).is_err());
        let proof = receipt_proof(receipts, events, index).unwrap();
        check_receipt(header, &receipts[index], &proof).unwrap();
        let mut other = receipts[index].clone();
        other.status = TxStatus::Failed {
            op: 0,
            refusal: gongsuan_types::Refusal::new("x", "x", "x", "x", "x"),
        };
        assert!(check_receipt(header, &other, &proof).is_err());
    }
    assert!(tx_proof(&ids, 3).is_none());
    assert!(receipt_proof(receipts, events, 4).is_none());
}
