//! The pool: bounds, order, replacement, what is pushed out, and that nothing of it reaches the state.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use common::{address, body, genesis, ordered, transaction, transfer};
use gongsuan_ledger::mempool::{Budget, Limits, Source, work};
use gongsuan_ledger::tx::witness_id;
use gongsuan_ledger::{
    Genesis, Mempool, SignedTransaction, State, apply_block, check_body, check_body_hinted,
};
use gongsuan_types::batch::NonceHint;
use gongsuan_types::{Address, Amount, Hash, Refusal, TimeMs};
use proptest::prelude::*;

struct World {
    genesis: Genesis,
    state: State,
}

impl World {
    fn new() -> Self {
        let genesis = genesis(12);
        let state = State::new(&genesis).unwrap();
        Self { genesis, state }
    }

    fn tx(&self, from: u16, nonce: u64, fee: u128) -> SignedTransaction {
        transaction(self.genesis.chain_id(), from, nonce, fee, vec![transfer(11, 1)])
    }

    fn put(&self, pool: &mut Mempool, tx: SignedTransaction) -> Result<Hash, Refusal> {
        pool.insert(tx.verify().unwrap(), &self.state)
    }

    fn chosen(&self, pool: &Mempool, budget: Budget) -> Vec<(u16, u64)> {
        let number = |tx: &SignedTransaction| (0..12).find(|n| address(*n) == tx.body.sender);
        let picked = pool.build(&self.state, &BTreeSet::new(), budget);
        picked.iter().map(|tx| (number(tx).unwrap(), tx.body.nonce)).collect()
    }
}

fn code(result: Result<Hash, Refusal>) -> String {
    result.map_or_else(|refusal| refusal.code.to_string(), |_| "in".to_owned())
}

#[test]
fn dearer_heads_go_first_and_nonces_stay_in_order() {
    let world = World::new();
    let mut pool = Mempool::new(Limits::default());
    for (from, nonce, fee) in [(0, 1, 900), (0, 0, 300), (1, 0, 500), (2, 1, 5_000), (3, 0, 400)] {
        assert_eq!(code(world.put(&mut pool, world.tx(from, nonce, fee))), "in");
    }
    // The second of account 0 pays more than all, and waits for its first; that of account 2 has no first.
    assert_eq!(world.chosen(&pool, Budget::default()), [(1, 0), (3, 0), (0, 0), (0, 1)]);
    assert_eq!(pool.next_nonce(&address(0), &world.state), 2);
    assert_eq!(pool.next_nonce(&address(2), &world.state), 0);
}

#[test]
fn every_cheap_check_has_its_answer() {
    let world = World::new();
    let mut pool = Mempool::new(Limits { per_sender_max: 2, gap_max: 3, ..Limits::default() });
    let id = world.genesis.chain_id();
    let mut late = world.tx(0, 0, 500);
    late.body.expires_at = TimeMs(1_000);
    let elsewhere = transaction(Hash::ZERO, 0, 0, 500, vec![transfer(1, 1)]);
    let empty = transaction(id, 0, 0, 500, vec![]);
    let cases = [
        (late, "expired"),
        (elsewhere, "wrong-chain"),
        (empty, "out-of-range"),
        (world.tx(0, 0, 199), "fee-too-low"),
        (world.tx(0, 4, 500), "bad-nonce"),
        (world.tx(0, 0, 1_000_001), "insufficient-funds"),
        (world.tx(0, 0, 600_000), "in"),
        (world.tx(0, 0, 600_000), "already-known"),
        (world.tx(0, 1, 600_000), "insufficient-funds"),
        (world.tx(0, 0, 600_001), "fee-too-low"),
        (world.tx(0, 0, 660_000), "in"),
        (world.tx(0, 1, 500), "in"),
        (world.tx(0, 2, 500), "busy"),
    ];
    for (tx, expected) in cases {
        // None of these checks looks at the signature.
        assert_eq!(code(pool.insert(tx.assume_verified(), &world.state)), expected);
    }
    assert_eq!(pool.count(), 2);
}

#[test]
fn a_full_pool_gives_way_to_who_pays_a_tenth_more_and_no_queue_gets_a_hole() {
    let world = World::new();
    let mut pool = Mempool::new(Limits { count_max: 4, ..Limits::default() });
    for (from, nonce, fee) in [(0, 0, 1_000), (0, 1, 300), (1, 0, 400), (2, 0, 800)] {
        assert_eq!(code(world.put(&mut pool, world.tx(from, nonce, fee))), "in");
    }
    assert_eq!(code(world.put(&mut pool, world.tx(3, 0, 310))), "busy");
    // The cheapest last of a queue is account 0's second.
    assert_eq!(code(world.put(&mut pool, world.tx(3, 0, 500))), "in");
    assert_eq!(world.chosen(&pool, Budget::default()), [(0, 0), (2, 0), (3, 0), (1, 0)]);
    // Its own queue is not shortened for it, however cheap the last of it is.
    assert_eq!(code(world.put(&mut pool, world.tx(1, 1, 420))), "busy");
    assert_eq!(pool.count(), 4);
}

#[test]
fn a_peer_has_a_quota_and_the_front_door_has_none() {
    let world = World::new();
    let mut pool = Mempool::new(Limits { per_peer_max: 2, ..Limits::default() });
    let mut put = |from, source| {
        let tx = world.tx(from, 0, 500).verify().unwrap();
        code(pool.insert_from(tx, source, &world.state))
    };
    let answers = [
        put(0, Source::Peer(7)),
        put(1, Source::Peer(7)),
        put(2, Source::Peer(7)),
        put(2, Source::Peer(8)),
        put(3, Source::Local),
        put(4, Source::Local),
        put(5, Source::Local),
    ];
    assert_eq!(answers, ["in", "in", "busy", "in", "in", "in", "in"]);
}

#[test]
fn a_block_keeps_to_its_budget_and_passes_over_what_does_not_fit() {
    let world = World::new();
    let id = world.genesis.chain_id();
    let mut pool = Mempool::new(Limits::default());
    let many = transaction(id, 0, 0, 9_000, vec![transfer(1, 1); 60]);
    let one = world.tx(1, 0, 800);
    let two = world.tx(2, 0, 700);
    for tx in [&many, &one, &two] {
        world.put(&mut pool, tx.clone()).unwrap();
    }
    let all = Budget::default();
    assert_eq!(world.chosen(&pool, all), [(0, 0), (1, 0), (2, 0)]);
    assert_eq!(world.chosen(&pool, Budget { txs: 1, ..all }), [(0, 0)]);
    assert_eq!(world.chosen(&pool, Budget { ops: 59, ..all }), [(1, 0), (2, 0)]);
    assert_eq!(world.chosen(&pool, Budget { work: work(&many.body), ..all }), [(0, 0)]);
    assert_eq!(world.chosen(&pool, Budget { work: work(&one.body), ..all }), [(1, 0)]);
    let bytes = |txs: Vec<SignedTransaction>| body(txs).len();
    let exact = bytes(vec![one.clone(), two.clone()]);
    let fitting = world.chosen(&pool, Budget { bytes: exact + 16, ..all });
    assert_eq!(fitting, [(1, 0), (2, 0)]);
    assert!(bytes(vec![one, two]) <= exact + 16);
}

#[test]
fn a_batch_is_admitted_like_single_ones_and_bad_signatures_stay_outside() {
    let world = World::new();
    let mut txs: Vec<SignedTransaction> = (0..10)
        .flat_map(|from| (0..8).map(move |nonce| (from, nonce)))
        .map(|(from, nonce)| world.tx(from, nonce, 500))
        .collect();
    txs[13].signature.0[40] ^= 1;
    txs[50].signature = txs[51].signature;
    txs[60].body.fee = Amount::new(1);
    let hints = txs.iter().map(|tx| NonceHint::of(&tx.signature));
    let hinted: Vec<_> = txs.iter().cloned().zip(hints).collect();
    let mut batch = Mempool::new(Limits::default());
    let answers = batch.admit(hinted, Source::Peer(1), &world.state);
    let mut single = Mempool::new(Limits::default());
    for (index, (tx, answer)) in txs.into_iter().zip(answers).enumerate() {
        let expected = match index {
            13 | 50 => "bad-signature",
            60 => "fee-too-low",
            _ => "in",
        };
        assert_eq!(code(answer), expected, "{index}");
        if expected == "in" {
            world.put(&mut single, tx).unwrap();
        }
    }
    let all = Budget::default();
    assert_eq!(world.chosen(&batch, all), world.chosen(&single, all));
    assert_eq!((batch.count(), batch.bytes()), (single.count(), single.bytes()));
}

#[test]
fn a_payload_is_judged_alike_with_right_wrong_and_no_hints() {
    let world = World::new();
    let txs: Vec<_> = (0..10)
        .flat_map(|from| (0..9).map(move |nonce| (from, nonce)))
        .map(|(from, nonce)| world.tx(from, nonce, 500))
        .collect();
    let right: Vec<_> = txs.iter().map(|tx| NonceHint::of(&tx.signature)).collect();
    let mut shifted = right.clone();
    shifted.rotate_left(1);
    let mut bad = txs.clone();
    bad[70].signature.0[0] ^= 1;
    bad[71].body.version = 9;
    let (chain, none) = (world.genesis.chain_id(), BTreeSet::new());
    for hints in [Vec::new(), right, shifted, vec![Some(NonceHint([3; 32])); 90]] {
        assert!(check_body_hinted(&body(txs.clone()), chain, &none, &hints).is_ok());
        let refusal = check_body_hinted(&body(bad.clone()), chain, &none, &hints).unwrap_err();
        assert_eq!(refusal.field, "txs[70].signature");
    }
    bad[70] = txs[70].clone();
    assert_eq!(check_body(&body(bad.clone()), chain, &none).unwrap_err().field, "txs[71].version");
}

/// What the pool has verified is not verified again, and that is a transaction *with its signature*: whoever knows a transaction must judge a
/// payload as somebody who has never seen it.
#[test]
fn a_known_transaction_under_another_signature_is_not_known() {
    let world = World::new();
    let mut pool = Mempool::new(Limits::default());
    let txs: Vec<_> = (0..9).map(|from| world.tx(from, 0, 500)).collect();
    for tx in &txs {
        world.put(&mut pool, tx.clone()).unwrap();
    }
    let (chain, none) = (world.genesis.chain_id(), BTreeSet::new());
    assert_eq!(pool.verified().len(), 9);
    assert!(check_body(&body(txs.clone()), chain, pool.verified()).is_ok());
    let mut bent = txs.clone();
    bent[3].signature.0[40] ^= 1;
    assert!(pool.contains(&bent[3].body.id()));
    let expected = check_body(&body(bent.clone()), chain, &none).unwrap_err();
    assert_eq!(check_body(&body(bent.clone()), chain, pool.verified()).unwrap_err(), expected);
    // That they are not verified again shows only if something wrong is called known.
    let lie = BTreeSet::from([witness_id(&bent[3].body.id(), &bent[3].signature)]);
    assert!(check_body(&body(bent), chain, &lie).is_ok());
    // What leaves the pool is forgotten.
    let mut state = world.state.clone();
    let applied = apply_block(&mut state, &ordered(1, &body(txs)));
    pool.prune(&state, applied.senders);
    assert!(pool.verified().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes in whatever order: the bounds hold, what is chosen is in nonce order from each account's next, and every chosen one
    /// is applied.
    #[test]
    fn bounds_hold_and_what_is_chosen_can_be_executed(
        draws in prop::collection::vec((0u16..10, 0u64..6, 200u128..3_000, 0u64..3), 0..60),
        count_max in 1usize..20,
        bytes_max in 200usize..6_000,
    ) {
        let mut world = World::new();
        let limits = Limits { count_max, bytes_max, per_sender_max: 4, per_peer_max: 9, gap_max: 5 };
        let mut pool = Mempool::new(limits);
        for (from, nonce, fee, peer) in draws {
            let tx = world.tx(from, nonce, fee).assume_verified();
            let before = (pool.count(), pool.bytes());
            let answer = pool.insert_from(tx, Source::Peer(peer), &world.state);
            if answer.is_err() {
                prop_assert_eq!((pool.count(), pool.bytes()), before);
            }
            prop_assert!(pool.count() <= count_max && pool.bytes() <= bytes_max);
        }
        let picked = pool.build(&world.state, &BTreeSet::new(), Budget::default());
        let mut next: BTreeMap<_, u64> = BTreeMap::new();
        for tx in &picked {
            let nonce = next.entry(tx.body.sender).or_default();
            prop_assert_eq!(tx.body.nonce, *nonce);
            *nonce += 1;
        }
        let applied = apply_block(&mut world.state, &ordered(1, &body(picked.clone())));
        prop_assert!(applied.receipts.iter().all(|receipt| receipt.status == gongsuan_ledger::TxStatus::Applied));
        pool.prune(&world.state, applied.senders);
        prop_assert!(picked.iter().all(|tx| !pool.contains(&tx.body.id())));
    }

    /// Through blocks of what waits here and of what does not: the pool holds what is still good, and builds what somebody does who looks at all of
    /// it again.
    #[test]
    fn a_pool_that_follows_the_chain_builds_as_if_it_were_new(
        steps in prop::collection::vec(
            prop::collection::vec((0u16..6, 0u64..4, 200u128..3_000, 1_001u64..1_012, 0u8..4), 1..8),
            1..8,
        ),
        in_flight_of in 0u16..6,
    ) {
        let mut world = World::new();
        let mut pool = Mempool::new(Limits::default());
        let mut model: BTreeMap<(Address, u64), SignedTransaction> = BTreeMap::new();
        for (height, draws) in (1..).zip(steps) {
            let mut block = Vec::new();
            for (from, ahead, fee, expires_at, kind) in draws {
                let nonce = world.state.accounts().account(&address(from)).nonce + ahead;
                let mut tx = world.tx(from, nonce, fee);
                tx.body.expires_at = TimeMs(expires_at);
                if kind > 0 && pool.insert(tx.clone().assume_verified(), &world.state).is_ok() {
                    model.insert((address(from), nonce), tx.clone());
                }
                if kind < 2 {
                    block.push(tx);
                }
            }
            let applied = apply_block(&mut world.state, &ordered(height, &body(block)));
            pool.prune(&world.state, applied.senders);
            let state = &world.state;
            let next = |sender: &Address| state.accounts().account(sender).nonce;
            model.retain(|(sender, nonce), tx| {
                *nonce >= next(sender) && tx.body.expires_at > state.time()
            });
            prop_assert_eq!(pool.count(), model.len());
            let mut heads: Vec<&SignedTransaction> =
                model.iter().filter(|((from, nonce), _)| *nonce == next(from)).map(|(_, tx)| tx).collect();
            prop_assert_eq!(pool.has_ready(state), !heads.is_empty());
            let flying: BTreeSet<Hash> = heads
                .iter()
                .filter(|tx| tx.body.sender == address(in_flight_of))
                .map(|tx| tx.body.id())
                .collect();
            let mut expected = Vec::new();
            while !heads.is_empty() {
                heads.sort_by_key(|tx| (tx.body.fee, Reverse((tx.body.sender, tx.body.nonce))));
                let Some(best) = heads.pop() else { break };
                heads.extend(model.get(&(best.body.sender, best.body.nonce + 1)));
                if !flying.contains(&best.body.id()) {
                    expected.push(best.clone());
                }
            }
            prop_assert_eq!(pool.build(state, &flying, Budget::default()), expected);
        }
    }

    /// Two pools that got the same transactions in different orders build the same block.
    #[test]
    fn the_order_of_admission_does_not_matter(
        draws in prop::collection::btree_map((0u16..10, 0u64..5), 200u128..3_000, 0..40),
        seed: u64,
    ) {
        let world = World::new();
        let mut txs: Vec<_> = draws.iter().map(|((from, nonce), fee)| world.tx(*from, *nonce, *fee)).collect();
        let mut one = Mempool::new(Limits::default());
        for tx in &txs {
            one.insert(tx.clone().assume_verified(), &world.state).unwrap();
        }
        txs.sort_by_key(|tx| Hash::of("shuffle", &[&seed.to_le_bytes()[..], &tx.body.id().0].concat()));
        let mut other = Mempool::new(Limits::default());
        for tx in &txs {
            other.insert(tx.clone().assume_verified(), &world.state).unwrap();
        }
        let build = |pool: &Mempool| pool.build(&world.state, &BTreeSet::new(), Budget::default());
        prop_assert_eq!(build(&one), build(&other));
        let root = |pool: &Mempool| {
            let mut state = State::new(&world.genesis).unwrap();
            apply_block(&mut state, &ordered(1, &body(build(pool))));
            state.root()
        };
        prop_assert_eq!(root(&one), root(&other));
    }
}
