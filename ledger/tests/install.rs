//! Snapshots that nodes keep for each other, and how one takes the place of everything: wholly or not at all.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::world::{World, consensus};
use gongsuan_journal::{Fault, MemoryDisk, Tear};
use gongsuan_ledger::{Arrived, Chain, ChainError, KeptSnapshot, Options, Retention};
use gongsuan_types::{Hash, Height, merkle};

const BLOCKS: u64 = 60;
const EVERY: u64 = 8;

fn options(retention: Option<Retention>) -> Options {
    Options {
        retention,
        checkpoint_blocks: 8,
        segment_bytes: 6_000,
        tail_txs: 9,
        snapshot_blocks: EVERY,
    }
}

fn open(
    world: &World,
    disk: &MemoryDisk,
    retention: Option<Retention>,
) -> Result<Chain, ChainError> {
    Chain::open_over(disk, None, &world.genesis, options(retention))
}

fn kept(chain: &Chain, height: u64) -> KeptSnapshot {
    chain.snapshots().find(|kept| kept.height == Height(height)).unwrap().clone()
}

fn heights(chain: &Chain) -> Vec<u64> {
    let mut heights: Vec<u64> = chain.snapshots().map(|kept| kept.height.0).collect();
    heights.sort_unstable();
    heights
}

/// The bytes of a snapshot, as they are put together from pieces.
fn bytes(chain: &Chain, kept: &KeptSnapshot) -> Vec<u8> {
    let pieces = kept.leaves.iter().enumerate().map(|(index, leaf)| {
        let piece = chain.snapshot_piece(kept.root(), index).unwrap();
        assert_eq!(merkle::leaf(&piece), *leaf);
        piece
    });
    let bytes = pieces.flatten().collect();
    assert_eq!(chain.snapshot_piece(kept.root(), kept.leaves.len()), None);
    bytes
}

/// A snapshot of a height, and the hash that a certificate names.
fn made(world: &World, height: u64) -> (Hash, Vec<u8>) {
    let mut chain = open(world, &MemoryDisk::new(), None).unwrap();
    world.fill(&mut chain, height);
    let kept = kept(&chain, height);
    assert_eq!(kept.header, world.blocks[usize::try_from(height).unwrap() - 1].header.hash());
    (kept.header, bytes(&chain, &kept))
}

fn install(
    world: &World,
    (disk, retention): (&MemoryDisk, Option<Retention>),
    height: u64,
    (header, bytes): (Hash, &[u8]),
) -> Result<(), ChainError> {
    let mut chain = open(world, disk, retention)?;
    let consensus = consensus(height);
    let arrived = Arrived { height: Height(height), header, consensus: &consensus, bytes };
    chain.prepare(disk, &world.genesis, arrived)?;
    drop(chain);
    open(world, disk, retention).map(drop)
}

/// Whether a chain that began with the snapshot of a height is what it must be, and goes on.
fn check_begun(world: &World, disk: &MemoryDisk, height: u64) {
    let at = usize::try_from(height).unwrap();
    let mut chain = open(world, disk, None).unwrap();
    assert_eq!(chain.state().height(), Height(height));
    assert_eq!(chain.state().root(), world.roots[at]);
    assert_eq!(chain.first(), Height(height + 1));
    let sealed = chain.sealed(Height(height)).unwrap().unwrap();
    assert_eq!((sealed.header, sealed.consensus), (world.blocks[at - 1].header, consensus(height)));
    world.fill(&mut chain, height + 12);
    drop(chain);
    let chain = open(world, disk, None).unwrap();
    assert_eq!(chain.state().root(), world.roots[at + 12]);
    let first = &world.blocks[at];
    assert_eq!(chain.stored(Height(height + 1)).unwrap().as_ref(), Some(first));
    let location = chain.find(&first.receipts[0].id).unwrap().unwrap();
    assert_eq!(location.height, Height(height + 1));
}

#[test]
fn two_are_kept_also_after_a_restart_and_nothing_goes_that_a_newcomer_needs() {
    let world = World::new(BLOCKS);
    let disk = MemoryDisk::new();
    let retention = Some(Retention::Pruned { blocks: 4 });
    let mut chain = open(&world, &disk, retention).unwrap();
    world.fill(&mut chain, 23);
    assert_eq!(heights(&chain), [8, 16]);
    assert_eq!(chain.first(), Height(1), "nobody could be shown that they are the chain's");
    // The newest that can be shown stays, whatever comes after it.
    chain.vouch_for(Height(16));
    world.fill(&mut chain, 47);
    assert_eq!(heights(&chain), [16, 40]);
    assert!(chain.first() > Height(8) && chain.first() <= Height(16), "{}", chain.first());
    chain.vouch_for(Height(40));
    world.fill(&mut chain, 56);
    assert_eq!(heights(&chain), [40, 56]);
    assert!(chain.first() > Height(24) && chain.first() <= Height(40), "{}", chain.first());
    let before = bytes(&chain, &kept(&chain, 40));
    drop(chain);
    let chain = open(&world, &disk, None).unwrap();
    assert_eq!(heights(&chain), [40, 56]);
    assert_eq!(bytes(&chain, &kept(&chain, 40)), before);
}

#[test]
fn a_snapshot_that_power_took_is_made_again_from_the_log() {
    let world = World::new(BLOCKS);
    let disk = MemoryDisk::new();
    let mut chain = open(&world, &disk, None).unwrap();
    world.fill(&mut chain, 15);
    // The log's append is the first write of a commit; the shelf's comes after its sync.
    disk.inject(disk.calls() + 3, Fault::PowerCut);
    world.commit(&mut chain, 16).unwrap_err();
    let left = disk.crash(Tear::Everything);
    let chain = open(&world, &left, None).unwrap();
    assert_eq!(chain.state().height(), Height(16));
    assert_eq!(heights(&chain), [8, 16]);
    assert_eq!(bytes(&chain, &kept(&chain, 16)), made(&world, 16).1);
}

#[test]
fn an_installed_state_goes_on_like_the_one_it_is_of() {
    let world = World::new(BLOCKS);
    for (height, before) in [(8, 0), (40, 0), (40, 13)] {
        let (header, bytes) = made(&world, height);
        let disk = MemoryDisk::new();
        world.fill(&mut open(&world, &disk, None).unwrap(), before);
        install(&world, (&disk, None), height, (header, &bytes)).unwrap();
        let chain = open(&world, &disk, None).unwrap();
        assert_eq!(chain.retention(), Retention::Onward, "a folder that was told nothing");
        drop(chain);
        check_begun(&world, &disk, height);
    }
}

#[test]
fn what_is_not_the_certified_state_or_not_wanted_changes_nothing() {
    let world = World::new(BLOCKS);
    let (header, bytes) = made(&world, 16);
    let disk = MemoryDisk::new();
    world.fill(&mut open(&world, &disk, None).unwrap(), 5);
    for at in (0..bytes.len()).step_by(17) {
        let mut bent = bytes.clone();
        bent[at] ^= 1;
        let refused = install(&world, (&disk, None), 16, (header, &bent));
        assert!(matches!(refused, Err(ChainError::Snapshot { .. })), "byte {at}: {refused:?}");
    }
    let other = install(&world, (&disk, None), 16, (Hash::ZERO, &bytes)).unwrap_err();
    assert_eq!(
        other.to_string(),
        "the snapshot is not installed: the snapshot is not of the trusted header"
    );
    let archive = install(&world, (&disk, Some(Retention::Archive)), 16, (header, &bytes));
    assert!(archive.unwrap_err().to_string().contains("name an archive node as a peer"));
    let mut chain = open(&world, &disk, None).unwrap();
    assert_eq!(world.check(&chain, "nothing changed"), 5);
    world.fill(&mut chain, 20);
    drop(chain);
    let late = install(&world, (&disk, None), 16, (header, &bytes)).unwrap_err();
    assert!(late.to_string().contains("this chain is at 20"), "{late}");
}

/// Power goes at every call of an installation: what is left is the old chain or the new one.
#[test]
fn a_power_cut_leaves_the_old_chain_or_the_new_one() {
    let world = World::new(40);
    let (header, bytes) = made(&world, 24);
    let begun = || {
        let disk = MemoryDisk::new();
        world.fill(&mut open(&world, &disk, None).unwrap(), 10);
        disk
    };
    let disk = begun();
    let before = disk.calls();
    install(&world, (&disk, None), 24, (header, &bytes)).unwrap();
    let after = disk.calls();
    let (mut old, mut new) = (0, 0);
    for call in before + 1..=after {
        let disk = begun();
        disk.inject(call, Fault::PowerCut);
        drop(install(&world, (&disk, None), 24, (header, &bytes)));
        for tear in [Tear::Nothing, Tear::Everything, Tear::Scatter(call)] {
            let left = disk.crash(tear);
            let chain = open(&world, &left, None)
                .unwrap_or_else(|error| panic!("call {call}, {tear:?}: {error}"));
            if chain.state().height() == Height(10) {
                assert_eq!(world.check(&chain, "the old chain"), 10);
                old += 1;
            } else {
                drop(chain);
                check_begun(&world, &left, 24);
                new += 1;
            }
        }
    }
    assert!(old > 0 && new > 0, "{old} old and {new} new chains");
}
