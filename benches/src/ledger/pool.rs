//! What a transaction costs before it is in a block: the pool's checks, and what the pool saves when the block comes.

use std::collections::BTreeSet;
use std::hint::black_box;

use gongsuan_ledger::mempool::{Limits, Source};
use gongsuan_ledger::{Body, Mempool, SignedTransaction, State, check_body};
use gongsuan_types::batch::NonceHint;

use super::row;
use super::world::World;
use crate::measure::Clock;
use crate::table::Report;

/// Transactions that come together.
const BATCH: usize = 256;
const RUNS: usize = 32;

type Hinted = Vec<(SignedTransaction, Option<NonceHint>)>;

pub(super) fn run(report: &mut Report, world: &World, state: &State, accounts: usize) {
    let block = world.clone().transfers(BATCH, accounts);
    let body = Body::decode(&block.bytes).expect("a good block");
    let good: Hinted = body.txs.into_iter().zip(block.hints).collect();
    let mut bad = good.clone();
    // The last one has the first one's signature: the search for it goes all the way.
    bad[BATCH - 1].0.signature = good[0].0.signature;
    bad[BATCH - 1].1 = good[0].1;
    for (name, txs, admitted) in [
        ("pool: admit, hints", &good, BATCH),
        ("pool: admit, hints, one bad signature", &bad, BATCH - 1),
    ] {
        let batches: Vec<Hinted> = (0..RUNS).map(|_| txs.clone()).collect();
        let started = Clock::start();
        for txs in batches {
            let mut pool = Mempool::new(Limits::default());
            pool.admit(txs, Source::Peer(1), state);
            assert_eq!(pool.count(), admitted);
        }
        row(report, name, BATCH, RUNS, started);
    }
    let mut pool = Mempool::new(Limits::default());
    pool.admit(good, Source::Local, state);
    let (chain_id, none) = (state.chain_id(), BTreeSet::new());
    for (name, known) in [
        ("check a payload that the pool has verified", pool.verified()),
        ("check a payload of strangers, no hints", &none),
    ] {
        let started = Clock::start();
        for _ in 0..RUNS {
            black_box(check_body(&block.bytes, chain_id, known)).expect("a good block");
        }
        row(report, name, BATCH, RUNS, started);
    }
}
