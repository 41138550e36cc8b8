//! Keys to which others encrypt: published, replaced in order, proved, and what the market makes of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{address, ask, bid, body, genesis, ordered, transaction, transfer};
use gongsuan_ledger::identity::PublishedKey;
use gongsuan_ledger::tree::{key_hash, value_hash};
use gongsuan_ledger::{Event, Genesis, Op, State, StateKey, TxReceipt, TxStatus, apply_block};
use gongsuan_market::Command;
use gongsuan_types::order::Capabilities;
use gongsuan_types::{EncryptionKey, codec};

struct Town {
    genesis: Genesis,
    state: State,
}

impl Town {
    fn new() -> Self {
        let genesis = genesis(4);
        let state = State::new(&genesis).unwrap();
        Self { genesis, state }
    }

    fn send(&mut self, from: u16, ops: Vec<Op>) -> TxReceipt {
        let nonce = self.state.accounts().account(&address(from)).nonce;
        let tx = transaction(self.genesis.chain_id(), from, nonce, 1_000, ops);
        let height = self.state.height().0 + 1;
        apply_block(&mut self.state, &ordered(height, &body(vec![tx]))).receipts.remove(0)
    }

    fn code(&mut self, from: u16, ops: Vec<Op>) -> String {
        match self.send(from, ops).status {
            TxStatus::Applied => "applied".to_owned(),
            TxStatus::Failed { refusal, .. } | TxStatus::Skipped { refusal } => {
                refusal.code.into_owned()
            }
        }
    }

    fn key(&self, n: u16) -> Option<PublishedKey> {
        self.state.accounts().encryption_key(&address(n))
    }
}

fn publish(byte: u8, number: u32) -> Op {
    Op::PublishKey { key: EncryptionKey([byte; 32]), number }
}

/// A bid that only those may serve who can be sent secrets.
fn private_bid() -> Op {
    let Op::Market(Command::PlaceBid(mut bid)) = bid(150) else { unreachable!() };
    bid.requirements.capabilities = Capabilities::PRIVATE;
    Op::Market(Command::PlaceBid(bid))
}

#[test]
fn a_key_replaces_the_one_that_its_owner_has_seen() {
    let mut town = Town::new();
    assert_eq!(town.code(1, vec![publish(1, 1)]), "out-of-order", "the first is number 0");
    let receipt = town.send(1, vec![publish(1, 0)]);
    let published =
        Event::KeyPublished { owner: address(1), key: EncryptionKey([1; 32]), number: 0 };
    assert_eq!(receipt.events, [published]);
    assert_eq!(town.code(1, vec![publish(2, 0)]), "out-of-order", "somebody has rotated meanwhile");
    assert_eq!(town.code(1, vec![publish(2, 1)]), "applied");
    let now = town.key(1).unwrap();
    assert_eq!((now.key, now.number, now.since), (EncryptionKey([2; 32]), 1, town.state.time()));
    // All operations happen, or none.
    assert_eq!(town.code(1, vec![publish(3, 2), transfer(2, u128::MAX)]), "insufficient-funds");
    assert_eq!(town.key(1), Some(now));
    assert_eq!(town.key(2), None);
}

#[test]
fn a_key_is_under_the_root_and_in_the_snapshot() {
    let mut town = Town::new();
    let before = town.state.root();
    town.send(1, vec![publish(1, 0)]);
    let (record, root) = (StateKey::EncryptionKey(address(1)), town.state.root());
    assert_ne!(before, root);
    let value = town.state.record(&record).unwrap();
    assert_eq!(codec::decode::<PublishedKey>("key", 100, &value).unwrap(), town.key(1).unwrap());
    let name = key_hash(&codec::encode(&record));
    let proof = town.state.prove(&record);
    assert!(proof.verify(root, name, Some(value_hash(&value))));
    assert!(!proof.verify(before, name, Some(value_hash(&value))));
    let restored = State::restore(&town.genesis, &town.state.snapshot()).unwrap();
    assert_eq!(restored.root(), root);
    assert_eq!(restored.accounts().encryption_key(&address(1)), town.key(1));
}

#[test]
fn private_work_goes_to_those_only_who_can_be_sent_secrets_from_those_who_can_be_answered() {
    let mut town = Town::new();
    let deals =
        |town: &Town| -> Vec<_> { town.state.market().deals().map(|deal| deal.provider).collect() };
    town.send(1, vec![ask(100)]);
    assert_eq!(town.code(3, vec![private_bid()]), "no-key");
    assert_eq!(town.code(3, vec![publish(3, 0), private_bid()]), "applied");
    assert_eq!(deals(&town), [], "nobody has a key");
    // A key that comes after the ask says nothing about the ask.
    town.send(1, vec![publish(1, 0)]);
    assert_eq!(deals(&town), []);
    town.send(2, vec![publish(2, 0), ask(120)]);
    assert_eq!(deals(&town), [address(2)]);
    let Op::Market(Command::PlaceAsk(mut claim)) = ask(90) else { unreachable!() };
    claim.machine.capabilities = Capabilities::PRIVATE;
    let claim = Op::Market(Command::PlaceAsk(claim));
    assert_eq!(town.code(1, vec![claim]), "reserved", "it cannot be claimed");
}
