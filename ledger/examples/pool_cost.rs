//! What a block costs a full pool: building one of 100 transactions, and following it, with 1,000 and 10,000 senders waiting (a genesis has no more
//! accounts); beside each, what looking at every sender would cost, as the obvious pool does.
//!
//! `cargo run --release -p gongsuan-ledger --example pool_cost`. Best of five; wall time, so on a machine that is otherwise idle.

#![expect(clippy::print_stdout, reason = "an example shows its findings")]
#![expect(clippy::disallowed_types, reason = "it measures time")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use gongsuan_ledger::genesis::{Admission, GenesisAccount, Params, Validator};
use gongsuan_ledger::mempool::{Budget, Limits};
use gongsuan_ledger::{
    Body, Genesis, Mempool, Op, OrderedBlock, SignedTransaction, State, Transaction, apply_block,
};
use gongsuan_types::{Address, Amount, Hash, Height, SecretKey, Signature, Term, TimeMs};

const BLOCK_TXS: usize = 100;

fn sender(n: usize) -> Address {
    // No key is behind it, and none is needed: nobody looks at a signature here.
    Address(Hash::of("gongsuan/example/sender", &n.to_le_bytes()).0)
}

fn genesis(senders: usize) -> Genesis {
    let account = |n| GenesisAccount { address: sender(n), balance: Amount::new(1_000_000) };
    let key = SecretKey::from_seed(b"validator").public_key();
    Genesis {
        name: "pool".into(),
        time: TimeMs(1_000),
        params: Params { admission: Admission::Open, ..Params::default() },
        accounts: (0..senders).map(account).collect(),
        validators: vec![Validator { name: "v0".into(), key }],
        issuers: vec![sender(0)],
    }
}

fn transaction(chain_id: Hash, n: usize) -> SignedTransaction {
    let fee = Amount::new(200 + (n as u128 * 7_919) % 1_000);
    let op = Op::Transfer { to: sender(0), amount: Amount::new(1) };
    let (version, expires_at) = (1, TimeMs(1_000_000));
    let body = Transaction {
        version,
        chain_id,
        sender: sender(n),
        nonce: 0,
        fee,
        expires_at,
        ops: vec![op],
    };
    SignedTransaction { body, signature: Signature([0; 64]) }
}

fn best(mut run: impl FnMut() -> usize) -> Duration {
    let times = (0..5).map(|_| {
        let start = Instant::now();
        assert!(run() > 0);
        start.elapsed()
    });
    times.min().unwrap_or_default()
}

fn main() {
    println!("senders   build     look at every sender   follow    look at everything");
    for senders in [1_000, 10_000] {
        let genesis = genesis(senders);
        let mut state = State::new(&genesis).expect("the example's genesis is sound");
        let mut pool = Mempool::new(Limits { bytes_max: 1 << 30, ..Limits::default() });
        let mut naive: BTreeMap<Address, BTreeMap<u64, SignedTransaction>> = BTreeMap::new();
        for n in 0..senders {
            let tx = transaction(genesis.chain_id(), n);
            naive.entry(sender(n)).or_default().insert(0, tx.clone());
            pool.insert(tx.assume_verified(), &state).expect("there is room");
        }
        let (none, budget) = (BTreeSet::new(), Budget { txs: BLOCK_TXS, ..Budget::default() });
        let build = best(|| pool.build(&state, &none, budget).len());
        let look = best(|| {
            let heads: BTreeSet<_> = naive
                .iter()
                .filter_map(|(sender, queue)| {
                    let head = queue.get(&state.accounts().account(sender).nonce)?;
                    Some((std::cmp::Reverse(head.body.fee), *sender))
                })
                .collect();
            heads.len()
        });
        let mut follow = Duration::MAX;
        let mut look_again = Duration::MAX;
        for height in 1..=5 {
            let body = Body { txs: pool.build(&state, &none, budget) }.encode();
            let block = OrderedBlock {
                height: Height(height),
                term: Term(1),
                time: TimeMs(1_000 + height),
                proposer: genesis.validators[0].key,
                block: Hash::of("gongsuan/example/block", &height.to_le_bytes()),
                body: &body,
            };
            let applied = apply_block(&mut state, &block);
            let start = Instant::now();
            pool.prune(&state, applied.senders);
            follow = follow.min(start.elapsed());
            let start = Instant::now();
            let gone = naive.iter().flat_map(|(sender, queue)| {
                let next = state.accounts().account(sender).nonce;
                queue.iter().filter(move |(nonce, _)| **nonce < next)
            });
            assert!(gone.count() > 0, "the block's own are used");
            look_again = look_again.min(start.elapsed());
        }
        println!("{senders:<9} {build:<9.1?} {look:<22.1?} {follow:<9.1?} {look_again:.1?}");
    }
}
