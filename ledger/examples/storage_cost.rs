//! What storage costs: indexing, a durable commit, a checkpoint, a restart. CPU time of this thread, beside wall time where a disk is waited for.
//!
//! ```text
//! cargo run --release -p gongsuan-ledger --example storage_cost -- 1000000
//! ```
//!
//! The argument is the number of accounts. Files go to the system's folder for temporary files.
#![expect(clippy::print_stdout, reason = "an example shows its findings")]
#![expect(clippy::panic_in_result_fn, reason = "a wrong answer ends the measurement")]
#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use gongsuan_journal::Folder;
use gongsuan_ledger::genesis::{Admission, GenesisAccount, Params, Validator};
use gongsuan_ledger::index::{BlockEntries, Index, Subject};
use gongsuan_ledger::{
    Body, Chain, Genesis, Op, OrderedBlock, SignedTransaction, State, Transaction, apply_block,
};
use gongsuan_types::{Address, Amount, Hash, Height, SecretKey, Signature, Term, TimeMs};

const BLOCK_TXS: usize = 4_000;
/// Blocks of transfers: a million transactions, some levels of the index.
const BLOCKS: u64 = 256;

/// Nanoseconds that this thread was on a core.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

struct Clock(u64, Instant);

impl Clock {
    fn start() -> Self {
        Self(cpu_ns(), Instant::now())
    }

    fn print(&self, what: &str, items: u64) {
        let (cpu, wall) = (cpu_ns() - self.0, self.1.elapsed());
        println!(
            "{what}: cpu {} ms, wall {} ms, {} ns of cpu for each of {items}",
            cpu / 1_000_000,
            wall.as_millis(),
            cpu / items
        );
    }
}

/// The first ones send; the others exist after somebody has paid them.
fn account(n: usize) -> Address {
    Address(Hash::of_content(&n.to_le_bytes()).0)
}

fn genesis() -> Genesis {
    let row = |n| GenesisAccount { address: account(n), balance: Amount::new(1_000_000_000_000) };
    Genesis {
        name: "cost".into(),
        time: TimeMs(0),
        params: Params { admission: Admission::Open, ..Params::default() },
        accounts: (0..BLOCK_TXS).map(row).collect(),
        validators: vec![Validator {
            name: "v0".into(),
            key: SecretKey::from_seed(b"v0").public_key(),
        }],
        issuers: vec![],
    }
}

/// Payloads one after another. Nobody checks signatures here.
struct Payloads {
    chain_id: Hash,
    accounts: usize,
    nonces: Vec<u64>,
    blocks: usize,
}

impl Payloads {
    fn new(genesis: &Genesis, accounts: usize) -> Self {
        Self { chain_id: genesis.chain_id(), accounts, nonces: vec![0; BLOCK_TXS], blocks: 0 }
    }

    fn tx(&mut self, from: usize, payees: impl Iterator<Item = usize>) -> SignedTransaction {
        self.nonces[from] += 1;
        let pay = |to| Op::Transfer { to: account(to), amount: Amount::new(1) };
        let body = Transaction {
            version: 1,
            chain_id: self.chain_id,
            sender: account(from),
            nonce: self.nonces[from] - 1,
            fee: Amount::new(100_000),
            expires_at: TimeMs(u64::MAX),
            ops: payees.map(pay).collect(),
        };
        SignedTransaction { body, signature: Signature([0; 64]) }
    }

    /// Pays every account once, 64 in a transaction.
    fn fill(&mut self) -> Vec<Vec<u8>> {
        let all: Vec<usize> = (BLOCK_TXS..self.accounts).collect();
        let block = |(at, some): (usize, &[usize])| {
            let txs = some
                .chunks(64)
                .enumerate()
                .map(|(n, payees)| self.tx((at * 512 + n) % BLOCK_TXS, payees.iter().copied()));
            Body { txs: txs.collect() }.encode()
        };
        all.chunks(64 * 512).enumerate().map(block).collect()
    }

    /// One transfer of each sender, to accounts here and there.
    fn next(&mut self) -> Vec<u8> {
        let start = self.blocks * BLOCK_TXS;
        self.blocks += 1;
        let to = |from: usize| ((start + from) * 7_919 + 13) % self.accounts;
        let pairs: Vec<(usize, usize)> = (0..BLOCK_TXS).map(|from| (from, to(from))).collect();
        let txs = pairs.into_iter().map(|(from, to)| self.tx(from, std::iter::once(to)));
        Body { txs: txs.collect() }.encode()
    }
}

fn ordered<'a>(genesis: &Genesis, height: u64, body: &'a [u8]) -> OrderedBlock<'a> {
    OrderedBlock {
        height: Height(height),
        term: Term(1),
        time: TimeMs(height),
        proposer: genesis.validators[0].key,
        block: Hash::of_content(&height.to_le_bytes()),
        body,
    }
}

fn index(dir: &Path, genesis: &Genesis, accounts: usize) -> Result<(), Box<dyn Error>> {
    let mut state = State::new(genesis)?;
    let mut payloads = Payloads::new(genesis, accounts);
    let mut index = Index::open(Box::new(Folder::open(dir)?), Height(1), 1 << 16)?;
    let (mut cpu, mut worst) = (0, 0);
    let mut ids = Vec::new();
    for height in 1..=BLOCKS {
        let body = payloads.next();
        let applied = apply_block(&mut state, &ordered(genesis, height, &body));
        let started = cpu_ns();
        index.add(BlockEntries::of_applied(&body, &applied))?;
        let took = cpu_ns() - started;
        (cpu, worst) = (cpu + took, worst.max(took));
        ids.extend(applied.receipts.iter().step_by(400).map(|receipt| receipt.id));
    }
    let txs = BLOCKS * BLOCK_TXS as u64;
    let (files, bytes) = index.size();
    println!(
        "index: {} ns of cpu a transfer, at most {} ms in one block of {BLOCK_TXS}; {files} runs, {} bytes a transfer",
        cpu / txs,
        worst / 1_000_000,
        bytes / txs
    );
    let started = Clock::start();
    for id in &ids {
        assert!(index.find(id)?.is_some());
    }
    started.print("find a transaction", ids.len() as u64);
    let started = Clock::start();
    for id in &ids {
        assert!(index.find(&Hash::of_content(&id.0))?.is_none());
    }
    started.print("find a transaction that is not there", ids.len() as u64);
    let started = Clock::start();
    for n in 0..1_000 {
        assert!(!index.history(Subject::Account(account(n)), None, 50)?.rows.is_empty());
    }
    started.print("a page of an account's history", 1_000);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let accounts = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let dir = tempfile::tempdir()?;
    let genesis = genesis();
    index(&dir.path().join("index"), &genesis, accounts)?;
    let home = dir.path().join("home");
    let mut chain = Chain::open(&home, &genesis)?;
    let mut payloads = Payloads::new(&genesis, accounts);
    let filled = payloads.fill();
    let mut height = 0;
    let mut commit = |chain: &mut Chain, body: &[u8]| {
        height += 1;
        chain.commit(&[(ordered(&genesis, height, body), Vec::new())]).map(drop)
    };
    for body in &filled {
        commit(&mut chain, body)?;
    }
    println!("{} accounts", chain.state().accounts().accounts().count());
    let bodies: Vec<Vec<u8>> = (0..BLOCKS / 8).map(|_| payloads.next()).collect();
    let started = Clock::start();
    for body in &bodies {
        commit(&mut chain, body)?;
    }
    started.print("commit a transfer durably", (bodies.len() * BLOCK_TXS) as u64);
    let started = Clock::start();
    chain.checkpoint();
    started.print("checkpoint", 1);
    let root = chain.state().root();
    drop(chain);
    for _ in 0..3 {
        let started = Clock::start();
        let chain = Chain::open(&home, &genesis)?;
        started.print("restart", 1);
        assert_eq!(chain.state().root(), root);
        assert_eq!(chain.rebuilt(), None);
    }
    Ok(())
}
