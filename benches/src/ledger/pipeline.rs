//! The whole way of a block, and its parts one by one.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::Path;

use gongsuan_ledger::{
    Body, Chain, Genesis, State, TxReceipt, TxStatus, apply_block, check_body_hinted,
};
use gongsuan_types::Hash;

use super::world::{Block, World};
use super::{Size, pool, row};
use crate::measure::Clock;
use crate::table::Report;

/// Transfers in a block.
const SIZES: [usize; 2] = [1_000, 4_000];

/// Blocks of this size that take about as long as `runs` of the largest.
fn repeats(runs: usize, count: usize) -> usize {
    runs * SIZES[SIZES.len() - 1] / count
}

pub(super) fn run(report: &mut Report, size: Size) {
    report.note("storing is one synced append to the block log, and the index by transaction, account, order and deal");
    let dir = tempfile::tempdir().expect("a folder");
    let mut world = World::new();
    let mut chain = Chain::open(dir.path(), &world.genesis).expect("a fresh chain");
    fill(report, &mut world, &mut chain, size.accounts);
    for count in SIZES {
        parts(report, &mut world, &chain, (count, size.accounts), repeats(size.runs, count));
    }
    pool::run(report, &world, chain.state(), size.accounts);
    whole(report, &mut world, &mut chain, size);
    let root = chain.state().root();
    restart(report, dir.path(), &world.genesis, chain, root);
}

fn fill(report: &mut Report, world: &mut World, chain: &mut Chain, accounts: usize) {
    let started = Clock::start();
    for body in world.fill(accounts) {
        let ordered = world.ordered(&body);
        chain.commit(&[(ordered, Vec::new())]).expect("the disk works");
    }
    let (wall, cpu) = started.elapsed();
    report.note(&format!("a state was filled in {wall:.1} s, {cpu:.1} s of CPU"));
}

fn blocks(world: &mut World, (count, accounts): (usize, usize), runs: usize) -> Vec<Block> {
    (0..runs).map(|_| world.transfers(count, accounts)).collect()
}

/// What needs no disk.
fn parts(
    report: &mut Report,
    world: &mut World,
    chain: &Chain,
    (count, accounts): (usize, usize),
    runs: usize,
) {
    let (chain_id, none) = (world.chain_id, BTreeSet::new());
    let mut signers = world.clone();
    let blocks = blocks(&mut signers, (count, accounts), runs);
    let started = Clock::start();
    for block in &blocks {
        black_box(Body::decode(&block.bytes)).expect("a good block");
    }
    row(report, "decode", count, runs, started);
    for (name, hinted) in [("verify, hints", true), ("verify, no hints", false)] {
        let started = Clock::start();
        for block in &blocks {
            let hints = if hinted { block.hints.as_slice() } else { &[] };
            let body = check_body_hinted(&block.bytes, chain_id, &none, hints);
            black_box(body).expect("a good block");
        }
        row(report, name, count, runs, started);
    }
    let mut state = chain.state().clone();
    let started = Clock::start();
    for block in &blocks {
        apply(&mut signers, &mut state, block);
    }
    row(report, "execute and hash", count, runs, started);
}

fn apply(world: &mut World, state: &mut State, block: &Block) {
    let applied = apply_block(state, &world.ordered(&block.bytes));
    assert_eq!(applied.receipts.len(), applied.header.tx_count as usize);
    let good = |receipt: &TxReceipt| receipt.status == TxStatus::Applied;
    assert!(applied.receipts.iter().all(good), "every transfer is applied");
}

/// What a chain does, without and with verification before it: block n + 1 is verified while block n is executed and stored.
fn whole(report: &mut Report, world: &mut World, chain: &mut Chain, size: Size) {
    let (chain_id, none) = (world.chain_id, BTreeSet::new());
    for count in SIZES {
        let runs = repeats(size.runs, count);
        let executed = blocks(world, (count, size.accounts), runs);
        let started = Clock::start();
        for block in &executed {
            let ordered = world.ordered(&block.bytes);
            chain.commit(&[(ordered, Vec::new())]).expect("the disk works");
        }
        row(report, "execute, hash, store", count, runs, started);
        let blocks = blocks(world, (count, size.accounts), runs);
        let check = |block: &Block| {
            check_body_hinted(&block.bytes, chain_id, &none, &block.hints).expect("a good block");
        };
        let started = Clock::start();
        check(&blocks[0]);
        for (at, block) in blocks.iter().enumerate() {
            let ordered = world.ordered(&block.bytes);
            rayon::join(
                || chain.commit(&[(ordered, Vec::new())]).expect("the disk works"),
                || blocks.get(at + 1).map(check),
            );
        }
        let name = "gongsuan end to end: verify, execute, hash, store";
        row(report, name, count, runs, started);
    }
}

fn restart(report: &mut Report, dir: &Path, genesis: &Genesis, mut chain: Chain, root: Hash) {
    let started = Clock::start();
    chain.checkpoint();
    row(report, "checkpoint", 1, 1, started);
    drop(chain);
    let started = Clock::start();
    let chain = Chain::open(dir, genesis).expect("it opens again");
    row(report, "restart from a checkpoint", 1, 1, started);
    assert_eq!(chain.state().root(), root);
    assert_eq!(chain.rebuilt(), None, "the checkpoint was used");
}
