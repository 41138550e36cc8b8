//! Power cuts and failing disks under a whole chain: block log, index, headers, base, and a store beside them.
//!
//! Blocks are committed to a disk that stops, or fails, at its n-th call. What is left is opened again, torn in many ways. Every block whose
//! commit returned must be there with everything in it, exactly once; nothing that nobody ordered may be; and the chain goes on from there.
//!
//! `CRASH=all cargo test --release -p gongsuan-ledger --test crash` tries every call; by default, a sample of them.

mod common;

use std::ops::RangeInclusive;

use common::world::World;
use gongsuan_journal::{Fault, MemoryDisk, Tear};
use gongsuan_ledger::store::{MemoryStore, Store};
use gongsuan_ledger::{Chain, ChainError, Options, Retention};

const BLOCKS: u64 = 32;

fn options(retention: Retention) -> Options {
    Options {
        retention: Some(retention),
        checkpoint_blocks: 8,
        segment_bytes: 6_000,
        tail_txs: 9,
        snapshot_blocks: 0,
    }
}

fn open(
    world: &World,
    disk: &MemoryDisk,
    store: Option<&MemoryStore>,
    retention: Retention,
) -> Result<Chain, ChainError> {
    let store = store.map(|store| Box::new(store.clone()) as Box<dyn Store>);
    Chain::open_over(disk, store, &world.genesis, options(retention))
}

/// Commits until something fails; the last block acknowledged, and what failed.
fn run(
    world: &World,
    disk: &MemoryDisk,
    store: &MemoryStore,
    retention: Retention,
) -> (u64, Option<ChainError>) {
    let mut chain = match open(world, disk, Some(store), retention) {
        Ok(chain) => chain,
        Err(error) => return (0, Some(error)),
    };
    for height in 1..=BLOCKS {
        if let Err(error) = world.commit(&mut chain, height) {
            let again = world.commit(&mut chain, height);
            assert!(matches!(again, Err(ChainError::Failed)), "nothing after a failure: {error}");
            return (height - 1, Some(error));
        }
    }
    (BLOCKS, None)
}

/// Every n-th of the calls that a run makes; all of them if asked for.
fn calls(
    world: &World,
    retention: Retention,
    step: usize,
) -> std::iter::StepBy<RangeInclusive<u64>> {
    let disk = MemoryDisk::new();
    let (acknowledged, error) = run(world, &disk, &MemoryStore::default(), retention);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(acknowledged, BLOCKS);
    let all = std::env::var_os("CRASH").is_some_and(|word| word == "all");
    (1..=disk.calls()).step_by(if all { 1 } else { step })
}

/// What is on the disk holds everything that was acknowledged, and goes on.
fn check(
    world: &World,
    disk: &MemoryDisk,
    store: &MemoryStore,
    retention: Retention,
    acknowledged: u64,
    context: &str,
) {
    for store in [Some(store), None] {
        let disk = disk.crash(Tear::Everything);
        let context = format!("{context}, store {}", store.is_some());
        let mut chain = open(world, &disk, store, retention)
            .unwrap_or_else(|error| panic!("{context}: {error}"));
        let head = world.check(&chain, &context);
        assert!(
            (acknowledged..=acknowledged + 1).contains(&head),
            "{context}: {acknowledged} blocks were acknowledged, {head} are there"
        );
        // Only one of the two may write to the store.
        if store.is_none() {
            world.fill(&mut chain, (head + 3).min(BLOCKS));
            drop(chain);
            let left = disk.crash(Tear::Nothing);
            let chain = open(world, &left, None, retention)
                .unwrap_or_else(|error| panic!("{context}, gone on: {error}"));
            assert_eq!(world.check(&chain, &context), (head + 3).min(BLOCKS));
        }
    }
}

fn power_cuts(retention: Retention, step: usize) {
    let world = World::new(BLOCKS);
    for call in calls(&world, retention, step) {
        let (disk, store) = (MemoryDisk::new(), MemoryStore::default());
        disk.inject(call, Fault::PowerCut);
        let (acknowledged, _) = run(&world, &disk, &store, retention);
        let (bytes, names) = disk.unsynced();
        for tear in [
            Tear::Nothing,
            Tear::Everything,
            Tear::Prefix { bytes: bytes / 2, names: names / 2 },
            Tear::Scatter(call),
            Tear::Scatter(call + 1_000),
        ] {
            let context = format!("power cut at call {call}, {tear:?}, {retention}");
            check(&world, &disk.crash(tear), &store, retention, acknowledged, &context);
        }
    }
}

#[test]
fn a_power_cut_at_any_call_of_an_archive_loses_nothing_acknowledged() {
    power_cuts(Retention::Archive, 37);
}

#[test]
fn a_power_cut_at_any_call_of_a_pruned_node_loses_nothing_acknowledged() {
    power_cuts(Retention::Pruned { blocks: 10 }, 29);
}

#[test]
fn a_failed_call_is_never_acknowledged_and_what_was_stays() {
    let world = World::new(BLOCKS);
    let retention = Retention::Pruned { blocks: 10 };
    let faults =
        [Fault::Error, Fault::Full { kept: 0 }, Fault::Full { kept: 700 }, Fault::SyncLost];
    for (call, fault) in calls(&world, retention, 13).zip(faults.into_iter().cycle()) {
        let (disk, store) = (MemoryDisk::new(), MemoryStore::default());
        disk.inject(call, fault);
        let (acknowledged, error) = run(&world, &disk, &store, retention);
        let context = format!("{fault:?} at call {call}");
        // A read that fails can be answered around; a write or sync never.
        assert!(error.is_some() || acknowledged == BLOCKS, "{context}");
        disk.heal();
        for tear in [Tear::Nothing, Tear::Everything, Tear::Scatter(call)] {
            let context = format!("{context}, {tear:?}");
            check(&world, &disk.crash(tear), &store, retention, acknowledged, &context);
        }
        // The process starts again without a power cut.
        check(&world, &disk, &store, retention, acknowledged, &context);
    }
}
