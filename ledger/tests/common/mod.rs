//! A small chain for the tests of this folder.

#![allow(dead_code, reason = "no test uses all of it")]

#[path = "../../../market/tests/support/spec.rs"]
pub(crate) mod spec;
pub(crate) mod world;

use gongsuan_ledger::genesis::{Admission, GenesisAccount, Params, Validator};
use gongsuan_ledger::{Body, Genesis, Op, OrderedBlock, SignedTransaction, Transaction};
use gongsuan_market::Command;
use gongsuan_types::job::{Check, JobOrder, Pace};
use gongsuan_types::order::{Ask, Bid, Class, FillRule, Requirements, SelfMatch, Work};
use gongsuan_types::secrets::Secrets;
use gongsuan_types::{
    Address, Amount, DurationMs, Hash, Height, OrderId, Price, PublicKey, SecretKey, Term, TimeMs,
    Units, Verified,
};

/// The n-th person's key.
pub(crate) fn key(n: u16) -> SecretKey {
    SecretKey::from_seed(&n.to_le_bytes())
}

pub(crate) fn address(n: u16) -> Address {
    key(n).address()
}

/// An open chain on which the first `people` have a million micro-tokens each.
pub(crate) fn genesis(people: u16) -> Genesis {
    let account = |n| GenesisAccount { address: address(n), balance: Amount::new(1_000_000) };
    Genesis {
        name: "test".into(),
        time: TimeMs(1_000),
        params: Params { admission: Admission::Open, ..Params::default() },
        accounts: (0..people).map(account).collect(),
        validators: vec![Validator { name: "v0".into(), key: key(999).public_key() }],
        issuers: vec![address(0)],
    }
}

pub(crate) fn transfer(to: u16, amount: u128) -> Op {
    Op::Transfer { to: address(to), amount: Amount::new(amount) }
}

/// Ten units of work for sale, somewhere in the world.
pub(crate) fn ask(price: u64) -> Op {
    Op::Market(Command::PlaceAsk(Ask {
        class: Class::WASM,
        price: Price(price),
        units: Units(10),
        fill_min: Units(1),
        machine: spec::MACHINE,
        expires_at: TimeMs(1_000_000),
    }))
}

pub(crate) fn cancel(order: u64) -> Op {
    Op::Market(Command::Cancel(OrderId(order)))
}

/// A job of ten segments of two units.
pub(crate) fn bid(price_max: u64) -> Op {
    let spec = spec::job(10, 2);
    Op::Market(Command::PlaceBid(Box::new(Bid {
        class: Class::WASM,
        price_max: Price(price_max),
        units: Units(20),
        lot: Units(2),
        fill_min: Units(2),
        deals_max: 4,
        requirements: Requirements::ANY,
        fill_rule: FillRule::Rest,
        self_match: SelfMatch::Skip,
        expires_at: TimeMs(1_000_000),
        work: Work::Job(Box::new(JobOrder {
            spec,
            ack_within: DurationMs(100),
            run_within: DurationMs(1_000),
            samples: 2,
            deposit_basis_points: 10_000,
            secret_hash: secrets().root(),
            check: Check::default(),
            pace: Pace::default(),
        })),
    })))
}

pub(crate) fn secrets() -> &'static Secrets {
    static SECRETS: std::sync::OnceLock<Secrets> = std::sync::OnceLock::new();
    SECRETS.get_or_init(|| Secrets::new(Hash::of_content(b"secret")))
}

pub(crate) fn transaction(
    chain_id: Hash,
    from: u16,
    nonce: u64,
    fee: u128,
    ops: Vec<Op>,
) -> SignedTransaction {
    let body = Transaction {
        version: 1,
        chain_id,
        sender: address(from),
        nonce,
        fee: Amount::new(fee),
        expires_at: TimeMs(1_000_000),
        ops,
    };
    Verified::sign(body, &key(from)).into_signed()
}

pub(crate) fn ordered(height: u64, body: &[u8]) -> OrderedBlock<'_> {
    OrderedBlock {
        height: Height(height),
        term: Term(1),
        time: TimeMs(1_000 + height),
        proposer: PublicKey(key(999).public_key().0),
        block: Hash::of_content(&height.to_le_bytes()),
        body,
    }
}

pub(crate) fn body(txs: Vec<SignedTransaction>) -> Vec<u8> {
    Body { txs }.encode()
}
