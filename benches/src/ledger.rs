//! The ledger: from signed bytes to a durable block, and its parts.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::Path;

use gongsuan_ledger::genesis::{Admission, GenesisAccount, Params, Validator};
use gongsuan_ledger::tree::{StateTree, key_hash, value_hash};
use gongsuan_ledger::{
    Body, Chain, Genesis, Op, OrderedBlock, SignedTransaction, State, Transaction, apply_block,
    check_body_hinted,
};
use gongsuan_types::batch::NonceHint;
use gongsuan_types::{Address, Amount, Hash, Height, SecretKey, Signature, Term, TimeMs, Verified};
use serde_json::json;

use crate::measure::{Clock, per_second};
use crate::table::Report;

const SIGNERS: usize = 4_096;
/// Changed records in the benchmark of the root: a block of 1,000 transfers touches 2,000 accounts.
const UPDATES: usize = 2_000;

struct World {
    genesis: Genesis,
    chain_id: Hash,
    keys: Vec<SecretKey>,
    /// Each signer's next nonce.
    nonces: Vec<u64>,
    height: u64,
}

struct Block {
    bytes: Vec<u8>,
    hints: Vec<Option<NonceHint>>,
}

fn stranger(n: usize) -> Address {
    Address(Hash::of("gongsuan/bench/stranger/v1", &n.to_le_bytes()).0)
}

impl World {
    fn new() -> Self {
        let keys: Vec<SecretKey> =
            (0..SIGNERS).map(|n| SecretKey::from_seed(&n.to_le_bytes())).collect();
        let account = |key: &SecretKey| GenesisAccount {
            address: key.address(),
            balance: Amount::new(1_000_000_000_000),
        };
        let genesis = Genesis {
            name: "bench".into(),
            time: TimeMs(0),
            params: Params { admission: Admission::Open, ..Params::default() },
            accounts: keys.iter().map(account).collect(),
            validators: vec![Validator { name: "v0".into(), key: keys[0].public_key() }],
            issuers: vec![],
        };
        Self { chain_id: genesis.chain_id(), genesis, nonces: vec![0; keys.len()], keys, height: 0 }
    }

    /// The next transaction of a signer.
    fn tx(&mut self, signer: usize, ops: Vec<Op>) -> Transaction {
        self.nonces[signer] += 1;
        Transaction {
            version: 1,
            chain_id: self.chain_id,
            sender: self.keys[signer].address(),
            nonce: self.nonces[signer] - 1,
            fee: Amount::new(100_000),
            expires_at: TimeMs(u64::MAX),
            ops,
        }
    }

    /// Payloads that make accounts, 64 in a transaction; not signed, because nobody checks them here.
    fn fill(&mut self, accounts: usize) -> Vec<Vec<u8>> {
        let mut payloads = Vec::new();
        let strangers: Vec<usize> = (0..accounts).collect();
        for block in strangers.chunks(64 * 512) {
            let mut txs = Vec::new();
            for (signer, some) in block.chunks(64).enumerate() {
                let pay = |n: &usize| Op::Transfer { to: stranger(*n), amount: Amount::new(5) };
                let body = self.tx(signer, some.iter().map(pay).collect());
                txs.push(SignedTransaction { body, signature: Signature([0; 64]) });
            }
            payloads.push(Body { txs }.encode());
        }
        payloads
    }

    /// A block of signed transfers, one for each of `count` signers, to accounts here and there.
    fn transfers(&mut self, count: usize, accounts: usize) -> Block {
        let mut txs = Vec::with_capacity(count);
        for signer in 0..count {
            let to = stranger(
                (signer * 7_919 + usize::try_from(self.nonces[signer]).unwrap_or(0) * 104_729)
                    % accounts,
            );
            let body = self.tx(signer, vec![Op::Transfer { to, amount: Amount::new(1) }]);
            txs.push(Verified::sign(body, &self.keys[signer]).into_signed());
        }
        let hints = txs.iter().map(|tx| NonceHint::of(&tx.signature)).collect();
        Block { bytes: Body { txs }.encode(), hints }
    }

    fn ordered<'a>(&mut self, body: &'a [u8]) -> OrderedBlock<'a> {
        self.height += 1;
        OrderedBlock {
            height: Height(self.height),
            term: Term(1),
            time: TimeMs(self.height),
            proposer: self.keys[0].public_key(),
            block: Hash::of_content(&self.height.to_le_bytes()),
            body,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "statistics")]
fn row(report: &mut Report, name: &str, items: usize, runs: usize, started: Clock) {
    let (wall, cpu) = started.elapsed();
    let done = (items * runs) as f64;
    let ms = |seconds: f64| (seconds * 1e5 / runs as f64).round() / 100.0;
    report.row(json!({
        "name": name,
        "batch": items,
        "per_second": per_second(wall * 1e9 / done),
        "wall_ms": ms(wall),
        "cpu_ms": ms(cpu),
        "cpu_ns_per_item": (cpu * 1e9 / done).round(),
    }));
}

pub(crate) fn run(report: &mut Report, quick: bool) {
    let accounts = if quick { 100_000 } else { 1_000_000 };
    let runs = if quick { 4 } else { 8 };
    report.note(&format!(
        "{accounts} accounts; wall time on {} threads; every block is made durable with one fdatasync",
        rayon::current_num_threads()
    ));
    report.note("per_second is wall time; cpu_ms is what all threads together used; both ms are per batch; transfers have one operation, distinct signers and hints");
    roots(report, accounts, runs);
    let dir = tempfile::tempdir().expect("a folder");
    let mut world = World::new();
    let mut chain = Chain::open(dir.path(), &world.genesis).expect("a fresh chain");
    let started = Clock::start();
    for body in world.fill(accounts) {
        let ordered = world.ordered(&body);
        chain.commit(&[(ordered, Vec::new())]).expect("the disk works");
    }
    report.note(&format!("the state was filled in {:.1} s", started.elapsed().0));
    for count in [1_000, 4_000] {
        stages(report, &mut world, &mut chain, (count, accounts), runs);
    }
    pipeline(report, &mut world, &mut chain, (1_000, accounts), 4 * runs);
    pipeline(report, &mut world, &mut chain, (4_000, accounts), runs);
    let root = chain.state().root();
    restart(report, dir.path(), &world.genesis, chain, root);
}

/// Each stage by itself, one after another.
fn stages(
    report: &mut Report,
    world: &mut World,
    chain: &mut Chain,
    (count, accounts): (usize, usize),
    runs: usize,
) {
    let chain_id = world.chain_id;
    let none = BTreeSet::new();
    let blocks: Vec<Block> = (0..runs).map(|_| world.transfers(count, accounts)).collect();
    for (name, hinted) in [("verify a block, hints", true), ("verify a block, no hints", false)] {
        let started = Clock::start();
        for block in &blocks {
            let hints = if hinted { block.hints.as_slice() } else { &[] };
            let body = check_body_hinted(&block.bytes, chain_id, &none, hints);
            black_box(body).expect("a good block");
        }
        row(report, name, count, runs, started);
    }
    let mut state = chain.state().clone();
    let first = world.height;
    let started = Clock::start();
    for block in &blocks {
        apply(world, &mut state, block);
    }
    row(report, "execute and hash", count, runs, started);
    world.height = first;
    let started = Clock::start();
    for block in &blocks {
        let ordered = world.ordered(&block.bytes);
        chain.commit(&[(ordered, Vec::new())]).expect("the disk works");
    }
    row(report, "execute, hash, store", count, runs, started);
}

fn apply(world: &mut World, state: &mut State, block: &Block) {
    let applied = apply_block(state, &world.ordered(&block.bytes));
    assert_eq!(applied.receipts.len(), applied.header.tx_count as usize);
    let good =
        |receipt: &gongsuan_ledger::TxReceipt| receipt.status == gongsuan_ledger::TxStatus::Applied;
    assert!(applied.receipts.iter().all(good), "every transfer is applied");
}

/// The whole way: block n + 1 is verified while block n is executed and stored.
fn pipeline(
    report: &mut Report,
    world: &mut World,
    chain: &mut Chain,
    (count, accounts): (usize, usize),
    runs: usize,
) {
    let chain_id = world.chain_id;
    let none = BTreeSet::new();
    let blocks: Vec<Block> = (0..runs).map(|_| world.transfers(count, accounts)).collect();
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
    row(report, "gongsuan-ledger: verify, execute, hash, store", count, runs, started);
}

fn roots(report: &mut Report, accounts: usize, runs: usize) {
    let key = |n: usize| key_hash(&n.to_le_bytes());
    let value = |n: usize| value_hash(&n.to_be_bytes());
    let mut tree = StateTree::default();
    let started = Clock::start();
    tree.update((0..accounts).map(|n| (key(n), Some(value(n)))));
    row(report, "state root: build", accounts, 1, started);
    for threads in [1, rayon::current_num_threads()] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let changes: Vec<Vec<(Hash, Option<Hash>)>> = (0..4 * runs)
            .map(|run| {
                let at = |n: usize| (n * 499 + run * 104_729) % accounts;
                (0..UPDATES).map(|n| (key(at(n)), Some(value(run + n)))).collect()
            })
            .collect();
        let started = Clock::start();
        for changes in changes {
            pool.install(|| tree.update(changes));
        }
        let name = format!("gongsuan state root: update, {threads} threads");
        row(report, &name, UPDATES, 4 * runs, started);
    }
    let started = Clock::start();
    let proofs = 10_000;
    for n in 0..proofs {
        let proof = tree.prove(key(n));
        assert!(proof.verify(tree.root(), key(n), proof.leaf.map(|(_, value)| value)));
    }
    row(report, "state root: prove and verify", proofs, 1, started);
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
