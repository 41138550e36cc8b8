//! The state root, beside the Jellyfish Merkle tree.

use gongsuan_ledger::tree::{StateTree, key_hash, value_hash};
use gongsuan_types::Hash;

use super::{Size, row};
use crate::measure::Clock;
use crate::table::Report;

/// Changed records: a block of 1,000 transfers touches 2,000 accounts.
const UPDATES: usize = 2_000;
/// Which blocks of changes there are: every one touches records of all kinds of neighbourhoods.
const STRIDE: usize = 499;

fn key(n: usize) -> Hash {
    key_hash(&n.to_le_bytes())
}

fn value(n: usize) -> Hash {
    value_hash(&n.to_be_bytes())
}

/// The numbers of the records that the `run`-th block changes.
fn changed(run: usize, accounts: usize) -> impl Iterator<Item = usize> {
    (0..UPDATES).map(move |n| (n * STRIDE + run * 104_729) % accounts)
}

pub(super) fn run(report: &mut Report, size: Size) {
    let Size { accounts, runs } = size;
    let mut tree = StateTree::default();
    let started = Clock::start();
    tree.update((0..accounts).map(|n| (key(n), Some(value(n)))));
    row(report, "gongsuan state root: build", accounts, 1, started);
    for threads in [1, rayon::current_num_threads()] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let changes: Vec<Vec<(Hash, Option<Hash>)>> = (0..8 * runs)
            .map(|run| changed(run, accounts).map(|n| (key(n), Some(value(run + n)))).collect())
            .collect();
        let started = Clock::start();
        for changes in changes {
            pool.install(|| tree.update(changes));
        }
        let name = format!("gongsuan state root: update, {threads} threads");
        row(report, &name, UPDATES, 8 * runs, started);
    }
    let started = Clock::start();
    let proofs = 10_000;
    for n in 0..proofs {
        let proof = tree.prove(key(n));
        assert!(proof.verify(tree.root(), key(n), proof.leaf.map(|(_, value)| value)));
    }
    row(report, "gongsuan state root: prove and verify", proofs, 1, started);
    drop(tree);
    #[cfg(feature = "peers")]
    peers::run(report, size);
}

#[cfg(feature = "peers")]
mod peers {
    use std::collections::HashMap;

    use jmt::storage::{LeafNode, Node, NodeKey, TreeReader, TreeUpdateBatch};
    use jmt::{KeyHash, OwnedValue, Sha256Jmt, Version};

    use super::*;

    /// Its nodes in memory: it keeps old ones, as it is meant to.
    #[derive(Default)]
    struct Nodes(HashMap<NodeKey, Node>);

    impl TreeReader for Nodes {
        fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
            Ok(self.0.get(key).cloned())
        }
        fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
            Ok(None)
        }
        fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
            Ok(None)
        }
    }

    fn write(nodes: &mut Nodes, version: u64, records: impl Iterator<Item = (Hash, Hash)>) {
        let records = records.map(|(key, value)| (KeyHash(key.0), Some(value.0.to_vec())));
        let updated = Sha256Jmt::new(&*nodes).put_value_set(records, version);
        let (_, batch): (_, TreeUpdateBatch) = updated.expect("nodes in memory are found");
        let fresh = batch.node_batch.nodes().iter();
        nodes.0.extend(fresh.map(|(key, node)| (key.clone(), node.clone())));
    }

    pub(super) fn run(report: &mut Report, Size { accounts, runs }: Size) {
        report.note("jmt: version 0.12 over a hash map in memory, values of 32 bytes; one thread, as it comes");
        let mut nodes = Nodes::default();
        let started = Clock::start();
        let all: Vec<usize> = (0..accounts).collect();
        for (version, part) in (0..).zip(all.chunks(20_000)) {
            write(&mut nodes, version, part.iter().map(|n| (key(*n), value(*n))));
        }
        row(report, "jmt: build", accounts, 1, started);
        let started = Clock::start();
        for run in 0..runs {
            let version = u64::try_from(accounts + run).expect("a small number");
            write(&mut nodes, version, changed(run, accounts).map(|n| (key(n), value(run + n))));
        }
        row(report, "jmt: update", UPDATES, runs, started);
    }
}
