//! Blocks of random transactions: money is conserved, failures leave no trace, replicas agree, restarts lose nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;

use gongsuan_ledger::genesis::{Admission, GenesisAccount, Params, Validator};
use gongsuan_ledger::{
    Body, Chain, Genesis, Op, OrderedBlock, Role, SignedTransaction, State, StateKey, StoredBlock,
    Transaction, TxStatus, apply_block, check_body, invariants, replay,
};
use gongsuan_market::Command;
use gongsuan_market::book::Why;
use gongsuan_types::order::{Ask, Capabilities, Class, Machine, Region};
use gongsuan_types::{
    Address, Amount, Hash, Height, OrderId, Price, PublicKey, SecretKey, Term, TimeMs, Units,
    Verified,
};
use proptest::prelude::*;

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n])
}

fn genesis(admission: Admission) -> Genesis {
    Genesis {
        name: "test".into(),
        time: TimeMs(1_000),
        params: Params { admission, ..Params::default() },
        accounts: (0..4)
            .map(|n| GenesisAccount { address: key(n).address(), balance: Amount::new(1_000_000) })
            .collect(),
        validators: vec![Validator { name: "v0".into(), key: key(9).public_key() }],
        issuers: vec![key(0).address()],
    }
}

fn tx(genesis: &Genesis, n: u8, nonce: u64, fee: u128, ops: Vec<Op>) -> SignedTransaction {
    let body = Transaction {
        version: 1,
        chain_id: genesis.chain_id(),
        sender: key(n).address(),
        nonce,
        fee: Amount::new(fee),
        expires_at: TimeMs(1_000_000),
        ops,
    };
    Verified::sign(body, &key(n)).into_signed()
}

fn transfer(to: u8, amount: u128) -> Op {
    Op::Transfer { to: key(to).address(), amount: Amount::new(amount) }
}

fn ask(price: u64, units: u64) -> Op {
    Op::Market(Command::PlaceAsk(Ask {
        class: Class::WASM,
        price: Price(price),
        units: Units(units),
        fill_min: Units(1),
        machine: Machine {
            cpu_cores: 1,
            memory_mib: 1,
            disk_mib: 0,
            gpu_count: 0,
            duration_s_max: 1,
            region: Region(0),
            capabilities: Capabilities::NONE,
        },
        expires_at: TimeMs(1_000_000),
    }))
}

fn ordered(height: u64, body: &[u8]) -> OrderedBlock<'_> {
    OrderedBlock {
        height: Height(height),
        term: Term(1),
        time: TimeMs(1_000 + height),
        proposer: PublicKey(key(9).public_key().0),
        block: Hash::of_content(&height.to_le_bytes()),
        body,
    }
}

fn body(txs: Vec<SignedTransaction>) -> Vec<u8> {
    Body { txs }.encode()
}

#[test]
fn a_failed_transaction_costs_its_fee_and_nothing_else_happens() {
    let genesis = genesis(Admission::Open);
    let mut state = State::new(&genesis).unwrap();
    // The first operation would succeed, the second lists an ask that holds money, the third overdraws.
    let ops = vec![transfer(2, 10), ask(5, 10), transfer(3, 2_000_000)];
    let applied = apply_block(&mut state, &ordered(1, &body(vec![tx(&genesis, 1, 0, 1_000, ops)])));
    let TxStatus::Failed { op: 2, refusal } = &applied.receipts[0].status else {
        panic!("{applied:?}")
    };
    assert_eq!(
        (refusal.code.as_ref(), refusal.field.as_ref()),
        ("insufficient-funds", "ops[2].amount")
    );
    let mut other = State::new(&genesis).unwrap();
    let ops = vec![transfer(1, 2_000_000)];
    apply_block(&mut other, &ordered(1, &body(vec![tx(&genesis, 1, 0, 1_000, ops)])));
    assert_eq!(state.root(), other.root(), "both cost a fee and a nonce");
    let account = state.accounts().account(&key(1).address());
    assert_eq!((account.balance.micro(), account.nonce), (999_000, 1));
    assert_eq!(state.market().orders().count(), 0);
}

#[test]
fn only_the_vetted_use_the_market_and_only_issuers_vet() {
    let genesis = genesis(Admission::Vetted);
    let mut state = State::new(&genesis).unwrap();
    let (subject, role) = (key(1).address(), Role::Provider);
    let grant = |at| Op::Grant { subject, role, expires_at: TimeMs(at) };
    let statuses = |state: &mut State, height, txs| -> Vec<String> {
        let applied = apply_block(state, &ordered(height, &body(txs)));
        let codes = applied.receipts.iter().map(|receipt| match &receipt.status {
            TxStatus::Applied => "applied".to_owned(),
            TxStatus::Failed { refusal, .. } | TxStatus::Skipped { refusal } => {
                refusal.code.to_string()
            }
        });
        codes.collect()
    };
    let txs = vec![
        tx(&genesis, 1, 0, 1_000, vec![ask(5, 10)]),
        tx(&genesis, 1, 1, 1_000, vec![grant(5_000)]),
        tx(&genesis, 0, 0, 1_000, vec![grant(900)]),
        tx(&genesis, 0, 1, 1_000, vec![grant(5_000)]),
        tx(&genesis, 1, 2, 1_000, vec![ask(5, 10)]),
        tx(&genesis, 1, 2, 1_000, vec![ask(5, 10)]),
        tx(&genesis, 1, 3, 1, vec![ask(5, 10)]),
    ];
    let expected = [
        "not-vetted",
        "not-an-issuer",
        "out-of-range",
        "applied",
        "applied",
        "bad-nonce",
        "fee-too-low",
    ];
    assert_eq!(statuses(&mut state, 1, txs), expected);
    let listed = |state: &State| state.market().order(OrderId(1)).unwrap().clone();
    assert_eq!(listed(&state).expires_at(), TimeMs(5_000), "no longer than it is vetted");
    let amend = || {
        let (order, units, price) = (OrderId(1), Units(1_000_000), Price(5));
        Op::Market(Command::Amend { order, units, price })
    };
    let more = vec![tx(&genesis, 1, 3, 1_000, vec![amend()])];
    assert_eq!(statuses(&mut state, 2, more), ["applied"]);
    let revoke = vec![tx(&genesis, 0, 2, 1_000, vec![Op::Revoke { subject, role }])];
    assert_eq!(statuses(&mut state, 3, revoke), ["applied"]);
    assert_eq!(listed(&state).cancelled, Some(Why::Barred), "nobody is matched with it any more");
    let again =
        vec![tx(&genesis, 1, 4, 1_000, vec![ask(5, 10)]), tx(&genesis, 1, 5, 1_000, vec![amend()])];
    assert_eq!(statuses(&mut state, 4, again), ["not-vetted", "not-vetted"]);
}

#[test]
fn one_bad_signature_among_many_is_found_whatever_the_number_of_threads() {
    let genesis = genesis(Admission::Open);
    let mut txs: Vec<_> =
        (0..40).map(|nonce| tx(&genesis, 1, nonce, 1_000, vec![transfer(2, 1)])).collect();
    let good = body(txs.clone());
    txs[23].signature.0[5] ^= 1;
    let bad = body(txs);
    for threads in [1, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let none = BTreeSet::new();
        pool.install(|| {
            assert!(check_body(&good, genesis.chain_id(), &none).is_ok());
            let refusal = check_body(&bad, genesis.chain_id(), &none).unwrap_err();
            assert_eq!(
                (refusal.code.as_ref(), refusal.field.as_ref()),
                ("bad-signature", "txs[23].signature")
            );
            let other = check_body(&good, Hash::ZERO, &none).unwrap_err();
            assert_eq!(other.code, "wrong-chain");
        });
    }
}

fn commit(chain: &mut Chain, height: u64, body: &[u8]) {
    chain.commit(&[(ordered(height, body), vec![1, 2, 3])]).unwrap();
}

#[test]
fn a_restart_and_a_lost_store_give_the_same_state() {
    let dir = tempfile::tempdir().unwrap();
    let genesis = genesis(Admission::Open);
    let mut chain = Chain::open(dir.path(), &genesis).unwrap();
    let mut last = Hash::ZERO;
    // Beyond one checkpoint.
    for height in 1..=300 {
        let signed = tx(&genesis, 1, height - 1, 300, vec![transfer(2, 3)]);
        last = signed.body.id();
        commit(&mut chain, height, &body(vec![signed]));
    }
    let (root, head) = (chain.state().root(), chain.state().head());
    let history = chain.history(&key(2).address());
    assert_eq!(history.len(), 300);
    drop(chain);
    for damage in ["nothing", "store gone", "store broken"] {
        match damage {
            "store gone" => std::fs::remove_dir_all(dir.path().join("store")).unwrap(),
            "store broken" => std::fs::write(dir.path().join("store/db"), b"garbage").unwrap(),
            _ => {}
        }
        let chain = Chain::open(dir.path(), &genesis).unwrap();
        assert_eq!((chain.state().root(), chain.state().head()), (root, head), "{damage}");
        assert_eq!(chain.location(&last).unwrap().height, Height(300), "{damage}");
        assert_eq!(chain.history(&key(2).address()), history, "{damage}");
    }
}

#[derive(Debug, Clone)]
struct Draw {
    sender: u8,
    wrong_nonce: bool,
    fee: u128,
    ops: Vec<(u8, u8, u64)>,
}

fn draw() -> impl Strategy<Value = Draw> {
    let op = (0u8..5, 0u8..4, 1u64..400_000);
    (0u8..4, prop::bool::weighted(0.1), 0u128..2_000, prop::collection::vec(op, 1..4))
        .prop_map(|(sender, wrong_nonce, fee, ops)| Draw { sender, wrong_nonce, fee, ops })
}

fn op(kind: u8, who: u8, amount: u64) -> Op {
    match kind {
        0 | 1 => transfer(who, u128::from(amount)),
        2 => ask(amount % 50 + 1, amount % 1_000 + 1),
        3 => Op::Market(Command::Cancel(gongsuan_types::OrderId(amount % 10))),
        _ => Op::Grant {
            subject: key(who).address(),
            role: Role::Provider,
            expires_at: TimeMs(2_000 + amount),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn money_is_conserved_and_replicas_and_replay_agree(blocks in prop::collection::vec(prop::collection::vec(draw(), 0..6), 1..8)) {
        let genesis = genesis(Admission::Open);
        let (mut one, mut two) = (State::new(&genesis).unwrap(), State::new(&genesis).unwrap());
        let mut stored = Vec::new();
        for (height, draws) in (1..).zip(blocks) {
            let mut nonces: Vec<u64> = (0..4).map(|n| one.accounts().account(&key(n).address()).nonce).collect();
            let txs: Vec<_> = draws
                .iter()
                .map(|draw| {
                    let at = usize::from(draw.sender);
                    let nonce = nonces[at] + u64::from(draw.wrong_nonce);
                    nonces[at] += u64::from(!draw.wrong_nonce && draw.fee >= 500);
                    let ops = draw.ops.iter().map(|(kind, who, amount)| op(*kind, *who, *amount)).collect();
                    tx(&genesis, draw.sender, nonce, draw.fee, ops)
                })
                .collect();
            let bytes = body(txs);
            let applied = apply_block(&mut one, &ordered(height, &bytes));
            prop_assert_eq!(&applied, &apply_block(&mut two, &ordered(height, &bytes)));
            prop_assert_eq!(invariants::check(&one), Ok(()));
            let header = applied.header;
            stored.push(StoredBlock { header, body: bytes, receipts: applied.receipts, events: applied.events, consensus: vec![] });
        }
        let replayed = replay(&genesis, &stored).unwrap();
        prop_assert_eq!(replayed.root(), one.root());
        let restored = State::restore(&genesis, &one.snapshot()).unwrap();
        prop_assert_eq!(restored.root(), one.root());
        let address = Address::TREASURY;
        let proof = one.prove(&StateKey::Account(address));
        let value = one.record(&StateKey::Account(address)).map(|bytes| gongsuan_ledger::tree::value_hash(&bytes));
        let hash = gongsuan_ledger::tree::key_hash(&gongsuan_types::codec::encode(&StateKey::Account(address)));
        prop_assert!(proof.verify(one.root(), hash, value));
        // A block that lies about its result is named.
        if let Some(block) = stored.last_mut() {
            block.header.state_root.0[0] ^= 1;
            prop_assert!(replay(&genesis, &stored).is_err());
        }
    }
}
