//! What a pruned folder keeps, what it refuses, and from what it starts again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::world::World;
use gongsuan_journal::MemoryDisk;
use gongsuan_ledger::store::{MemoryStore, Store};
use gongsuan_ledger::{Chain, ChainError, Options, Retention, Subject};
use gongsuan_types::Height;

const BLOCKS: u64 = 60;

fn options(retention: Option<Retention>) -> Options {
    Options {
        retention,
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
    retention: Option<Retention>,
) -> Result<Chain, ChainError> {
    let store = store.map(|store| Box::new(store.clone()) as Box<dyn Store>);
    Chain::open_over(disk, store, &world.genesis, options(retention))
}

fn filled(retention: Retention) -> (World, MemoryDisk, MemoryStore) {
    let world = World::new(BLOCKS + 10);
    let (disk, store) = (MemoryDisk::new(), MemoryStore::default());
    let mut chain = open(&world, &disk, Some(&store), Some(retention)).unwrap();
    world.fill(&mut chain, BLOCKS);
    world.check(&chain, "written");
    (world, disk, store)
}

#[test]
fn the_newest_blocks_and_all_headers_are_kept_and_a_restart_needs_either_state() {
    for (retention, kept_max) in [(Retention::Pruned { blocks: 12 }, 30), (Retention::Light, 18)] {
        let (world, disk, store) = filled(retention);
        for store in [Some(&store), None] {
            let mut chain = open(&world, &disk, store, None).unwrap();
            assert_eq!(chain.retention(), retention, "as the folder says");
            assert_eq!(world.check(&chain, "opened again"), BLOCKS);
            let kept = BLOCKS + 1 - chain.first().0;
            if let Retention::Pruned { blocks } = retention {
                assert!(kept >= blocks, "{kept} blocks are kept");
            }
            assert!(kept <= kept_max, "{kept} blocks are kept, by whole segments");
            if store.is_none() {
                world.fill(&mut chain, BLOCKS + 10);
                world.check(&chain, "gone on");
            }
        }
    }
}

#[test]
fn what_is_pruned_is_refused_with_what_to_do() {
    let (world, disk, _) = filled(Retention::Pruned { blocks: 12 });
    let chain = open(&world, &disk, None, None).unwrap();
    let first = chain.first();
    assert_eq!(
        chain.stored(Height(3)).unwrap_err().to_string(),
        format!(
            "block 3 is not kept here: this node keeps transactions and receipts from block {first} on (retention pruned:12); \
             its header is here, ask an archive node for the rest"
        )
    );
    let id = world.blocks[2].receipts[0].id;
    assert_eq!(
        chain.find(&id).unwrap_err().to_string(),
        format!(
            "transaction {id} is in no block from {first} on, and earlier ones are not kept here (retention pruned:12): ask an archive node"
        )
    );
    let page = chain.history_page(Subject::Account(common::address(60)), None, 5).unwrap();
    let mut before = page.next.unwrap();
    before.height = Height(3);
    let error = chain.history_page(Subject::Account(common::address(60)), Some(before), 5);
    assert!(matches!(error, Err(ChainError::NotKept { .. })));
}

#[test]
fn what_is_gone_cannot_be_kept_again() {
    let (world, disk, store) = filled(Retention::Pruned { blocks: 12 });
    let first = open(&world, &disk, Some(&store), None).unwrap().first().0;
    let error = open(&world, &disk, Some(&store), Some(Retention::Archive)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the data folder keeps blocks from {first} on (retention pruned:12) and cannot become archive: blocks 1 to {} are gone; \
             open it without asking for that, or begin with an empty folder and catch up from an archive node",
            first - 1
        )
    );
    // Keeping more from now on, or less, is fine; and so is pruning an archive.
    for retention in [Retention::Pruned { blocks: 40 }, Retention::Light] {
        let mut chain = open(&world, &disk, None, Some(retention)).unwrap();
        world.check(&chain, "changed");
        world.fill(&mut chain, BLOCKS + 10);
    }
    let (world, disk, store) = filled(Retention::Archive);
    assert_eq!(open(&world, &disk, Some(&store), None).unwrap().first(), Height(1));
    let mut chain =
        open(&world, &disk, Some(&store), Some(Retention::Pruned { blocks: 9 })).unwrap();
    world.fill(&mut chain, BLOCKS + 10);
    assert!(chain.first() > Height(1));
    world.check(&chain, "an archive that was pruned");
}

fn remove(disk: &MemoryDisk, room: &str) -> MemoryDisk {
    let left = MemoryDisk::new();
    for name in disk.names().into_iter().filter(|name| !name.starts_with(room)) {
        left.set_content(&name, &disk.content(&name));
    }
    left
}

#[test]
fn a_state_is_needed_and_either_of_two_will_do() {
    let (world, disk, store) = filled(Retention::Pruned { blocks: 12 });
    let without = remove(&disk, "base/");
    let chain = open(&world, &without, Some(&store), None).unwrap();
    world.check(&chain, "from the checkpoint");
    drop(chain);
    // It has written the base again.
    let chain = open(&world, &without, None, None).unwrap();
    world.check(&chain, "from the new base");
    let error = open(&world, &remove(&disk, "base/"), None, None).unwrap_err();
    assert!(matches!(error, ChainError::NoState { .. }), "{error}");
    let error = open(&world, &remove(&disk, "headers/"), Some(&store), None).unwrap_err();
    assert!(matches!(error, ChainError::NoState { .. }), "{error}");
}

#[test]
fn a_log_that_lost_its_end_or_its_beginning_is_refused() {
    let (world, disk, _) = filled(Retention::Archive);
    let segments: Vec<String> =
        disk.names().into_iter().filter(|name| name.starts_with("blocks/")).collect();
    assert!(segments.len() > 4);
    for (what, gone) in [("all", "blocks/"), ("the newest", segments.last().unwrap().as_str())] {
        // Nothing but the folder's own record knows.
        let left = remove(&remove(&disk, gone), "index/");
        let error = open(&world, &left, None, None).unwrap_err();
        assert!(matches!(error, ChainError::LogLost { .. }), "{what}: {error}");
    }
    let error = open(&world, &remove(&disk, &segments[0]), None, None).unwrap_err();
    assert!(error.to_string().contains("cannot become archive"), "{error}");
    let left = remove(&remove(&disk, &segments[0]), "meta/");
    let error = open(&world, &left, None, None).unwrap_err();
    assert!(error.to_string().contains("nothing says that it was pruned"), "{error}");
}
