//! Snapshots: what is exported is imported, and nothing else is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{ask, bid, body, genesis, ordered, transaction, transfer};
use gongsuan_ledger::snapshot::{Manifest, SnapshotError, export, import};
use gongsuan_ledger::{Genesis, Header, State, TxStatus, apply_block};
use gongsuan_market::Order;
use gongsuan_types::Units;

fn chain(blocks: u64) -> (Genesis, State, Header) {
    let genesis = genesis(40);
    let mut state = State::new(&genesis).unwrap();
    let mut last = None;
    for height in 1..=blocks {
        let txs = (0..9)
            .map(|from| {
                transaction(genesis.chain_id(), from, height - 1, 300, vec![transfer(30, 5)])
            })
            .collect();
        last = Some(apply_block(&mut state, &ordered(height, &body(txs))).header);
    }
    (genesis, state, last.unwrap())
}

#[test]
fn an_imported_state_goes_on_like_the_one_exported() {
    for blocks in [1, 2, 3, 7, 8] {
        let (genesis, mut state, header) = chain(blocks);
        let (manifest, parts) = export(&state, &header).unwrap();
        let manifest = Manifest::decode(&manifest.encode()).unwrap();
        let mut other = import(&genesis, &header, &manifest, &parts).unwrap();
        let tx = transaction(genesis.chain_id(), 20, 0, 300, vec![transfer(1, 7)]);
        let next = body(vec![tx]);
        let ours = apply_block(&mut state, &ordered(blocks + 1, &next));
        assert_eq!(ours, apply_block(&mut other, &ordered(blocks + 1, &next)));
    }
}

/// A chain with resting orders, deals, and bids that the market will search for again.
fn busy_chain() -> (Genesis, State, Header) {
    let genesis = genesis(40);
    let mut state = State::new(&genesis).unwrap();
    let chain = genesis.chain_id();
    let asks =
        (0..5).map(|n| transaction(chain, n, 0, 300, vec![ask(10 + u64::from(n))])).collect();
    apply_block(&mut state, &ordered(1, &body(asks)));
    let bids = (10..14).map(|n| transaction(chain, n, 0, 300, vec![bid(30)])).collect();
    let last = apply_block(&mut state, &ordered(2, &body(bids)));
    assert!(last.receipts.iter().all(|receipt| receipt.status == TxStatus::Applied), "{last:?}");
    let market = state.market();
    assert!(market.deals().next().is_some());
    let half = |order: &Order| order.bid().is_some() && order.open == Units(10);
    assert!(market.orders().any(half), "a bid filled in part is searched for again");
    (genesis, state, last.header)
}

/// Not one byte of a snapshot is taken on trust: records, counters, searches to go on, rules, moment, history.
#[test]
fn every_flipped_byte_of_a_part_is_noticed() {
    for (genesis, state, header) in [chain(3), busy_chain()] {
        every_byte_counts(&genesis, &state, &header);
    }
}

fn every_byte_counts(genesis: &Genesis, state: &State, header: &Header) {
    let (manifest, parts) = export(state, header).unwrap();
    assert!(import(genesis, header, &forge(&manifest, &parts), &parts).is_ok());
    for at in 0..parts[0].len() {
        let mut bent = parts.clone();
        bent[0][at] ^= 1;
        assert_eq!(manifest.check_part(0, &bent[0]), Err(SnapshotError::Part { number: 0 }));
        // Even if the manifest goes along with the lie, the root does not.
        let forged = forge(&manifest, &bent);
        assert!(
            import(genesis, header, &forged, &bent).is_err(),
            "byte {at} of {}",
            parts[0].len()
        );
    }
    assert!(import(genesis, header, &manifest, &[]).is_err());
    assert!(manifest.check_part(1, &parts[0]).is_err());
    let shorter = parts[0][1..].to_vec();
    assert!(manifest.check_part(0, &shorter).is_err());
}

/// A manifest whose hashes fit other parts: made by exporting them as if they were a state's.
fn forge(manifest: &Manifest, parts: &[Vec<u8>]) -> Manifest {
    let hashes = parts.iter().enumerate().map(|(number, part)| {
        let mut hasher = gongsuan_types::Hasher::new("gongsuan/snapshot/part/v1");
        hasher.update(&(number as u64).to_le_bytes()).part(part);
        hasher.finish()
    });
    Manifest { parts: hashes.collect(), ..manifest.clone() }
}

#[test]
fn another_header_another_version_and_another_chain_are_refused() {
    let (genesis, state, header) = chain(3);
    let (_, _, later) = chain(4);
    let (manifest, parts) = export(&state, &header).unwrap();
    assert_eq!(export(&state, &later).unwrap_err(), SnapshotError::Differs);
    assert_eq!(import(&genesis, &later, &manifest, &parts).unwrap_err(), SnapshotError::Header);
    let newer = Manifest { version: 2, ..manifest.clone() };
    assert_eq!(newer.check(&header), Err(SnapshotError::Version { got: 2 }));
    let mut other = genesis;
    other.name = "other".into();
    assert_eq!(import(&other, &header, &manifest, &parts).unwrap_err(), SnapshotError::Differs);
    let empty = Manifest { parts: vec![], ..manifest };
    assert_eq!(empty.check(&header), Err(SnapshotError::Shape));
}
