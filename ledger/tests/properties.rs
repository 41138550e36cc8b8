//! Random lives of a chain: people pay each other, offer machines, order work, do it, are late, lie and fail; blocks come soon or late. After every
//! block the books are balanced again by this file's own sums, which share nothing with the ledger's.
//!
//! What other files check is not checked here: the tree's root (`tree.rs`), bent proofs (`light.rs`), permuted pools (`mempool.rs`), restarts
//! (`ledger.rs`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{address, body, genesis, key, transfer};
use gongsuan_ledger::{
    Body, Event, Genesis, Op, OrderedBlock, Replay, Role, SignedTransaction, State, StoredBlock,
    Transaction, TxStatus, apply_block, check_body,
};
use gongsuan_market::{Command, DealState, Settlement};
use gongsuan_types::job::{Check, JobOrder, Pace};
use gongsuan_types::order::{
    Ask, Bid, Capabilities, Class, FillRule, Machine, Region, Requirements, SelfMatch, Work,
};
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof, Status};
use gongsuan_types::secrets::Secrets;
use gongsuan_types::{
    Address, Amount, DealId, DurationMs, Fuel, Hash, Height, OrderId, Price, Term, TimeMs, Units,
    Verified,
};
use proptest::prelude::*;

const PEOPLE: u16 = 5;
const FEE: u128 = 2_000;

fn secrets() -> &'static Secrets {
    static SECRETS: std::sync::OnceLock<Secrets> = std::sync::OnceLock::new();
    SECRETS.get_or_init(|| Secrets::new(Hash::of_content(b"the renter's secret")))
}

fn ask(price: u64, units: u64) -> Op {
    Op::Market(Command::PlaceAsk(Ask {
        class: Class::WASM,
        price: Price(price),
        units: Units(units),
        fill_min: Units(1),
        machine: Machine {
            cpu_cores: 1,
            memory_mib: 1_024,
            disk_mib: 0,
            gpu_count: 0,
            duration_s_max: 3_600,
            region: Region(0),
            capabilities: Capabilities::NONE,
        },
        expires_at: TimeMs(600_000),
    }))
}

fn bid(price_max: u64, segments: u32) -> Op {
    let spec = common::spec::job(segments, 1);
    Op::Market(Command::PlaceBid(Box::new(Bid {
        class: Class::WASM,
        price_max: Price(price_max),
        units: Units(u64::from(segments)),
        lot: Units(1),
        fill_min: Units(1),
        deals_max: 3,
        requirements: Requirements::ANY,
        fill_rule: FillRule::Rest,
        self_match: SelfMatch::Skip,
        expires_at: TimeMs(600_000),
        work: Work::Job(Box::new(JobOrder {
            spec,
            ack_within: DurationMs(500),
            run_within: DurationMs(5_000),
            samples: 1,
            deposit_basis_points: 10_000,
            secret_hash: secrets().root(),
            check: Check::default(),
            pace: Pace::default(),
        })),
    })))
}

/// What somebody does; who and what exactly depends on the chain as it is.
#[derive(Debug, Clone, Copy)]
enum Draw {
    Pay {
        from: u16,
        to: u16,
        amount: u64,
    },
    Ask {
        from: u16,
        price: u64,
        units: u64,
    },
    Bid {
        from: u16,
        price: u64,
        segments: u32,
    },
    Cancel {
        from: u16,
        order: u64,
    },
    /// The next step of some deal, by whom it is up to.
    Step {
        pick: u16,
    },
    /// An operation that does something, and then one that cannot be done.
    Fail {
        from: u16,
        to: u16,
    },
    /// With a nonce that is used, or one too far.
    Stray {
        from: u16,
        ahead: bool,
    },
}

fn draw() -> impl Strategy<Value = Draw> {
    let who = || 0..PEOPLE;
    prop_oneof![
        2 => (who(), 0..PEOPLE + 2, 1u64..90_000).prop_map(|(from, to, amount)| Draw::Pay { from, to, amount }),
        2 => (who(), 1u64..60, 1u64..12).prop_map(|(from, price, units)| Draw::Ask { from, price, units }),
        2 => (who(), 20u64..90, 1u32..6).prop_map(|(from, price, segments)| Draw::Bid { from, price, segments }),
        1 => (who(), 0u64..12).prop_map(|(from, order)| Draw::Cancel { from, order }),
        6 => (0u16..200).prop_map(|pick| Draw::Step { pick }),
        1 => (who(), who()).prop_map(|(from, to)| Draw::Fail { from, to }),
        1 => (who(), any::<bool>()).prop_map(|(from, ahead)| Draw::Stray { from, ahead }),
    ]
}

fn number(address: Address) -> u16 {
    (0..PEOPLE).find(|n| common::address(*n) == address).unwrap()
}

/// The next step of a deal, by its provider or renter; nothing while others are due.
fn step(state: &State, pick: u16) -> Option<(u16, Op)> {
    let open: Vec<_> = state.market().deals().filter(|deal| !deal.is_over()).collect();
    let deal = open.get(usize::from(pick) % open.len().max(1))?;
    let (provider, renter, id) = (number(deal.provider), number(deal.renter), deal.id);
    Some(match &deal.state {
        DealState::Matched { .. } => (provider, Op::Market(Command::Acknowledge(id))),
        DealState::Running { .. } if pick.is_multiple_of(5) => {
            (renter, Op::Market(Command::Stop(id)))
        }
        DealState::Running { .. } | DealState::Closing { .. } => {
            (provider, commit(id, deal.terms.first, deal.terms.count))
        }
        DealState::Committed { .. } => {
            let (secret, path) = deal.next_secret(secrets())?;
            (renter, Op::Market(Command::Reveal { deal: id, secret, path }))
        }
        DealState::Drawn { .. } if pick.is_multiple_of(3) => {
            let list = receipts(deal.terms.first, deal.terms.count);
            let (committed, proof) = (list[0], ReceiptProof::new(&list, 0).unwrap());
            let found = Receipt { fuel: Fuel(1), ..committed };
            let challenge = Command::Challenge { deal: id, committed, proof, found };
            ((provider + 1) % PEOPLE, Op::Market(challenge))
        }
        DealState::Drawn { .. }
        | DealState::Disputed { .. }
        | DealState::Settled { .. }
        | DealState::Failed { .. }
        | DealState::Asked { .. }
        | DealState::Examined { .. }
        | DealState::Demanded { .. }
        | DealState::Sealed { .. }
        | DealState::Rematch { .. }
        | DealState::Leased { .. }
        | DealState::Completed { .. }
        | DealState::Cancelled { .. } => return None,
    })
}

fn receipts(first: u32, count: u32) -> Vec<Receipt> {
    let receipt = |segment: u32| Receipt {
        segment,
        input: Hash::ZERO,
        output: Hash::of_content(&segment.to_le_bytes()),
        output_bytes: 4,
        fuel: Fuel(900_000_000),
        status: Status::Ok,
    };
    (first..first + count).map(receipt).collect()
}

fn commit(deal: DealId, first: u32, count: u32) -> Op {
    let commitment = Commitment::new(&receipts(first, count)).unwrap();
    Op::Market(Command::Commit { deal, commitment, receipts: Hash::ZERO })
}

struct Life {
    genesis: Genesis,
    state: State,
    blocks: Vec<StoredBlock>,
}

impl Life {
    fn new() -> Self {
        let genesis = genesis(PEOPLE);
        let state = State::new(&genesis).unwrap();
        Self { genesis, state, blocks: Vec::new() }
    }

    fn sign(&self, from: u16, nonce: u64, ops: Vec<Op>) -> SignedTransaction {
        sign(self.genesis.chain_id(), from, nonce, ops)
    }

    fn transactions(&self, draws: &[Draw]) -> Vec<SignedTransaction> {
        let nonce_of = |from| self.state.accounts().account(&address(from)).nonce;
        let mut used: BTreeMap<u16, u64> = BTreeMap::new();
        let mut txs = Vec::new();
        for draw in draws {
            let (from, ops) = match *draw {
                Draw::Pay { from, to, amount } => (from, vec![transfer(to, amount.into())]),
                Draw::Ask { from, price, units } => (from, vec![ask(price, units)]),
                Draw::Bid { from, price, segments } => (from, vec![bid(price, segments)]),
                Draw::Cancel { from, order } => {
                    (from, vec![Op::Market(Command::Cancel(OrderId(order)))])
                }
                Draw::Step { pick } => match step(&self.state, pick) {
                    Some((from, op)) => (from, vec![op]),
                    None => continue,
                },
                Draw::Fail { from, to } => {
                    (from, vec![transfer(to, 3), ask(7, 2), bid(30, 1), transfer(to, u128::MAX)])
                }
                Draw::Stray { from, ahead } => {
                    let expected = nonce_of(from) + used.get(&from).copied().unwrap_or(0);
                    let nonce = if ahead { expected + 1 } else { expected.wrapping_sub(1) };
                    txs.push(self.sign(from, nonce, vec![transfer(0, 1)]));
                    continue;
                }
            };
            let at = used.entry(from).or_default();
            txs.push(self.sign(from, nonce_of(from) + *at, ops));
            *at += 1;
        }
        txs
    }

    fn block(&mut self, txs: Vec<SignedTransaction>, after_ms: u64) -> &StoredBlock {
        let body = body(txs);
        let ordered = ordered_at(self.state.height().next(), self.state.time().0 + after_ms, &body);
        let applied = apply_block(&mut self.state, &ordered);
        self.blocks.push(StoredBlock {
            header: applied.header,
            body,
            receipts: applied.receipts,
            events: applied.events,
            consensus: vec![],
        });
        self.blocks.last().unwrap()
    }
}

fn sign(chain_id: Hash, from: u16, nonce: u64, ops: Vec<Op>) -> SignedTransaction {
    let body = Transaction {
        version: 1,
        chain_id,
        sender: address(from),
        nonce,
        fee: Amount::new(FEE),
        expires_at: TimeMs(1_000_000_000),
        ops,
    };
    Verified::sign(body, &key(from)).into_signed()
}

fn ordered_at(height: Height, time: u64, body: &[u8]) -> OrderedBlock<'_> {
    OrderedBlock {
        height,
        term: Term(1),
        time: TimeMs(time),
        proposer: key(999).public_key(),
        block: Hash::of_content(&height.0.to_le_bytes()),
        body,
    }
}

/// Where every micro-token is: accounts, and holds.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Books {
    free: BTreeMap<Address, u128>,
    held: BTreeMap<String, (Address, u128)>,
}

fn books(state: &State) -> Books {
    let accounts = state.accounts();
    let free = accounts.accounts().map(|(of, account)| (*of, account.balance.micro()));
    Books {
        free: free.filter(|(_, amount)| *amount > 0).collect(),
        held: accounts
            .holds()
            .map(|(id, hold)| (format!("{id:?}"), (hold.owner, hold.amount.micro())))
            .collect(),
    }
}

impl Books {
    fn sum(&self) -> u128 {
        let held: u128 = self.held.values().map(|(_, amount)| amount).sum();
        self.free.values().sum::<u128>() + held
    }

    /// Carries out what a block's receipts and events say, and nothing else.
    fn follow(&mut self, block: &StoredBlock) {
        // Money moves at the start of a block, by its transactions, and at its end: sums do not depend on the order.
        let of_txs = block.receipts.iter().flat_map(|receipt| &receipt.events);
        let all: Vec<&Event> = of_txs.chain(&block.events).collect();
        let first = |event: &Event| matches!(event, Event::Money(Settlement::Hold { .. }));
        let (holds, rest): (Vec<&Event>, Vec<&Event>) = all.iter().partition(|event| first(event));
        let mut moved = Signed::default();
        let txs = Body::decode(&block.body).unwrap().txs;
        for (tx, receipt) in txs.iter().zip(&block.receipts) {
            let fee = i128::try_from(receipt.fee.micro()).unwrap();
            *moved.free.entry(tx.body.sender).or_default() -= fee;
            *moved.free.entry(Address::TREASURY).or_default() += fee;
        }
        for event in holds.into_iter().chain(rest) {
            moved.add(event, &self.held);
        }
        for (of, change) in moved.free {
            let balance = self.free.entry(of).or_default();
            *balance = balance.checked_add_signed(change).unwrap();
        }
        for (id, (owner, change)) in moved.held {
            let hold = self.held.entry(id).or_insert((owner, 0));
            hold.1 = hold.1.checked_add_signed(change).unwrap();
        }
        self.held.retain(|_, (_, amount)| *amount > 0);
        self.free.retain(|_, amount| *amount > 0);
    }
}

/// Changes of balances and holds.
#[derive(Default)]
struct Signed {
    free: BTreeMap<Address, i128>,
    held: BTreeMap<String, (Address, i128)>,
}

impl Signed {
    fn owner(&self, id: &str, before: &BTreeMap<String, (Address, u128)>) -> Address {
        let known = self.held.get(id).map(|(owner, _)| *owner);
        known.or_else(|| before.get(id).map(|(owner, _)| *owner)).unwrap()
    }

    fn add(&mut self, event: &Event, before: &BTreeMap<String, (Address, u128)>) {
        let micro = |amount: Amount| i128::try_from(amount.micro()).unwrap();
        let hold = |this: &mut Self, id: String, owner: Address, change: i128| {
            this.held.entry(id).or_insert((owner, 0)).1 += change;
        };
        match event {
            Event::Transferred { from, to, amount } => {
                *self.free.entry(*from).or_default() -= micro(*amount);
                *self.free.entry(*to).or_default() += micro(*amount);
            }
            Event::Money(Settlement::Hold { hold: id, owner, amount }) => {
                *self.free.entry(*owner).or_default() -= micro(*amount);
                hold(self, format!("{id:?}"), *owner, micro(*amount));
            }
            Event::Money(Settlement::Move { source, target, amount }) => {
                let owner = self.owner(&format!("{source:?}"), before);
                hold(self, format!("{source:?}"), owner, -micro(*amount));
                hold(self, format!("{target:?}"), owner, micro(*amount));
            }
            Event::Money(
                Settlement::Post { hold: id, to, amount, .. }
                | Settlement::Slash { hold: id, to, amount, .. },
            ) => {
                let owner = self.owner(&format!("{id:?}"), before);
                hold(self, format!("{id:?}"), owner, -micro(*amount));
                *self.free.entry(*to).or_default() += micro(*amount);
            }
            Event::Money(Settlement::Void { hold: id, amount }) => {
                let owner = self.owner(&format!("{id:?}"), before);
                hold(self, format!("{id:?}"), owner, -micro(*amount));
                *self.free.entry(owner).or_default() += micro(*amount);
            }
            Event::Granted { .. }
            | Event::Revoked { .. }
            | Event::Supervised { .. }
            | Event::Owned { .. }
            | Event::KeyPublished { .. }
            | Event::Market(_) => {}
        }
    }
}

fn life() -> impl Strategy<Value = Vec<(Vec<Draw>, u64)>> {
    let after = prop_oneof![6 => 1u64..80, 1 => 600u64..8_000, 1 => Just(700_000u64)];
    prop::collection::vec((prop::collection::vec(draw(), 0..9), after), 4..16)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Fees, escrow, deposits, payments, fines: the receipts and events of a block explain every change of every balance and hold, the sum never
    /// changes, nonces rise by one for each transaction that counted, and executing the blocks again gives the same.
    #[test]
    fn receipts_and_events_explain_every_balance(life in life()) {
        let mut world = Life::new();
        let auditors = [2, 3].map(|n| Op::Grant {
            subject: address(n),
            role: Role::Auditor,
            expires_at: TimeMs(5_000_000),
        });
        let first = world.sign(0, 0, auditors.to_vec());
        world.block(vec![first], 1);
        let supply = world.genesis.supply().unwrap().micro();
        for (draws, after_ms) in life {
            let mut expected = books(&world.state);
            let mut nonces: BTreeMap<Address, u64> =
                world.state.accounts().accounts().map(|(of, a)| (*of, a.nonce)).collect();
            let txs = world.transactions(&draws);
            let block = world.block(txs, after_ms).clone();
            expected.follow(&block);
            let got = books(&world.state);
            prop_assert_eq!(&got, &expected);
            prop_assert_eq!(got.sum(), supply);
            for (tx, receipt) in Body::decode(&block.body).unwrap().txs.iter().zip(&block.receipts) {
                let next = nonces.entry(tx.body.sender).or_default();
                match receipt.status {
                    TxStatus::Skipped { ref refusal } => {
                        let is_stray = tx.body.nonce != *next;
                        let expected = if is_stray { "bad-nonce" } else { "insufficient-funds" };
                        prop_assert_eq!(refusal.code.as_ref(), expected);
                        prop_assert!(receipt.fee.is_zero() && receipt.events.is_empty());
                    }
                    TxStatus::Failed { .. } | TxStatus::Applied => {
                        prop_assert_eq!(tx.body.nonce, *next);
                        prop_assert_eq!(receipt.fee.micro(), FEE);
                        *next += 1;
                    }
                }
            }
            for (of, account) in world.state.accounts().accounts() {
                prop_assert_eq!(account.nonce, nonces.get(of).copied().unwrap_or(0));
            }
        }
        // Everything ends: when all deadlines have passed no money is set aside any more.
        for _ in 0..6 {
            world.block(vec![], 20_000_000);
        }
        prop_assert!(books(&world.state).held.is_empty(), "{:?}", books(&world.state).held);
        // Again from the blocks alone, on one thread and on many.
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let root = pool.install(|| {
                let mut replay = Replay::new(&world.genesis).unwrap();
                world.blocks.iter().for_each(|block| replay.apply(block).unwrap());
                replay.into_state().root()
            });
            prop_assert_eq!(root, world.state.root());
        }
    }

    /// A transaction that fails at its last operation leaves what one leaves that fails at its first.
    #[test]
    fn a_failed_transaction_changes_nothing_but_fee_and_nonce(
        life in life(),
        ops in prop::collection::vec((0u8..4, 1u64..40, 0..PEOPLE), 1..8),
    ) {
        let mut world = Life::new();
        for (draws, after_ms) in life {
            let txs = world.transactions(&draws);
            world.block(txs, after_ms);
        }
        let mut whole: Vec<Op> = ops
            .iter()
            .map(|(kind, n, to)| match kind {
                0 => transfer(*to, u128::from(*n)),
                1 => ask(*n, 3),
                2 => bid(*n, 2),
                _ => Op::Grant { subject: address(*to), role: Role::Provider, expires_at: TimeMs(9_000_000) },
            })
            .collect();
        let bad = transfer(1, u128::MAX);
        whole.push(bad.clone());
        let nonce = world.state.accounts().account(&address(0)).nonce;
        let leave = |ops: Vec<Op>| {
            let (mut state, body) = (world.state.clone(), body(vec![world.sign(0, nonce, ops)]));
            let ordered = ordered_at(state.height().next(), state.time().0 + 1, &body);
            let applied = apply_block(&mut state, &ordered);
            (state, applied)
        };
        let (one, applied) = leave(whole);
        let (other, _) = leave(vec![bad]);
        if let TxStatus::Failed { .. } = applied.receipts[0].status {
            prop_assert_eq!(one.root(), other.root());
            prop_assert!(applied.receipts[0].events.is_empty());
            let account = one.accounts().account(&address(0));
            prop_assert_eq!(account.nonce, nonce + 1);
        } else {
            // Too poor for the fee: it did not even begin.
            prop_assert!(world.state.accounts().account(&address(0)).balance.micro() < FEE);
        }
    }

    /// Payments of different people commute: in whatever order a block has them, the state is the same, though the block is another.
    #[test]
    fn the_state_does_not_depend_on_the_order_of_independent_payments(
        amounts in prop::collection::vec(1u64..9_000, 2..=usize::from(PEOPLE)),
        seed: u64,
    ) {
        let world = Life::new();
        let mut txs: Vec<SignedTransaction> = (0u16..)
            .zip(&amounts)
            .map(|(from, amount)| world.sign(from, 0, vec![transfer(50 + from, (*amount).into())]))
            .collect();
        let run = |txs: Vec<SignedTransaction>| {
            let mut state = world.state.clone();
            let header = apply_block(&mut state, &ordered_at(Height(1), 2_000, &body(txs))).header;
            (state.root(), header.tx_root)
        };
        let (root, tx_root) = run(txs.clone());
        let before = txs.clone();
        txs.sort_by_key(|tx| Hash::of("shuffle", &[&seed.to_le_bytes()[..], &tx.body.id().0].concat()));
        let (other, other_tx_root) = run(txs.clone());
        prop_assert_eq!(root, other);
        prop_assert_eq!(tx_root == other_tx_root, before == txs);
    }
}

/// A transaction counts once, and on its own chain only.
#[test]
fn a_transaction_cannot_be_played_again_here_or_elsewhere() {
    let mut world = Life::new();
    let tx = world.sign(1, 0, vec![transfer(2, 77)]);
    world.block(vec![tx.clone()], 1);
    let after = world.state.root();
    // Again in the same chain, in one block and in the next.
    let again = world.block(vec![tx.clone(), tx.clone()], 1).clone();
    assert!(again.receipts.iter().all(|r| matches!(r.status, TxStatus::Skipped { .. })));
    assert_eq!(world.state.root(), after);
    // In a chain that began in the same way but for its name, with the same keys and money.
    let other = Genesis { name: "another".into(), ..world.genesis.clone() };
    assert_ne!(other.chain_id(), world.genesis.chain_id());
    let bytes = body(vec![tx.clone()]);
    let refusal = check_body(&bytes, other.chain_id(), &BTreeSet::new()).unwrap_err();
    assert_eq!((refusal.code.as_ref(), refusal.field.as_ref()), ("wrong-chain", "txs[0].chain_id"));
    // Even ordered there by liars, it does nothing.
    let mut state = State::new(&other).unwrap();
    let untouched = state.root();
    let applied = apply_block(&mut state, &ordered_at(Height(1), 2_000, &bytes));
    assert!(matches!(applied.receipts[0].status, TxStatus::Skipped { .. }));
    assert_eq!(state.root(), untouched);
    // And readdressed to the other chain its signature is none.
    let mut readdressed = tx;
    readdressed.body.chain_id = other.chain_id();
    let refusal =
        check_body(&body(vec![readdressed]), other.chain_id(), &BTreeSet::new()).unwrap_err();
    assert_eq!(refusal.code, "bad-signature");
}

type Change<'a> = &'a dyn Fn(&mut StoredBlock);

/// What a replay says of blocks that lie, field by field.
#[test]
fn a_replay_names_the_block_and_what_differs() {
    let mut world = Life::new();
    for height in 0..4 {
        let txs = (0..3).map(|n| world.sign(n, height, vec![transfer(n + 1, 5)])).collect();
        world.block(txs, 10);
    }
    let found = |change: &dyn Fn(&mut StoredBlock)| {
        let mut replay = Replay::new(&world.genesis).unwrap();
        let mut blocks = world.blocks.clone();
        change(&mut blocks[2]);
        let fault = blocks.iter().find_map(|block| replay.apply(block).err());
        fault.map(|fault| (fault.height.0, fault.what))
    };
    assert_eq!(found(&|_| {}), None);
    let cases: [(Change<'_>, &str); 8] = [
        (&|block| block.header.height = Height(7), "the height"),
        (&|block| block.header.time = TimeMs(1), "the time"),
        (&|block| block.header.parent = Hash::ZERO, "the parent"),
        (&|block| block.header.state_root = Hash::ZERO, "the state root"),
        (&|block| block.header.history_root = Hash::ZERO, "the history root"),
        (&|block| block.receipts[1].events.clear(), "a receipt"),
        (&|block| block.header.tx_count = 9, "the header"),
        (&|block| *block.body.last_mut().unwrap() ^= 1, "the body"),
    ];
    for (change, what) in cases {
        let height = if what == "the height" { 7 } else { 3 };
        assert_eq!(found(change), Some((height, what)));
    }
}
