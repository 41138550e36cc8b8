//! What supervisors and issuers can do to an account, and what they cannot.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{address, ask, bid, body, genesis, ordered, transaction, transfer};
use gongsuan_ledger::identity::{OWNER, owner};
use gongsuan_ledger::{Genesis, Op, Role, State, StateKey, TxStatus, apply_block};
use gongsuan_market::book::Why;
use gongsuan_market::{Command, Oddness, RecordId};
use gongsuan_types::capacity::Capacity;
use gongsuan_types::credential::{Attribute, Shown, root};
use gongsuan_types::order::Capabilities;
use gongsuan_types::{Amount, DealId, Hash, TimeMs};

struct Town {
    genesis: Genesis,
    state: State,
}

impl Town {
    /// Account 0 is the issuer; 1, 2 and 3 are supervisors; 4 and 5 are people.
    fn new() -> Self {
        let genesis = genesis(6);
        let state = State::new(&genesis).unwrap();
        let mut town = Self { genesis, state };
        let grant = |n| Op::Grant {
            subject: address(n),
            role: Role::Supervisor,
            expires_at: TimeMs(1_000_000),
        };
        town.good(0, (1..4).map(grant).collect());
        town
    }

    fn send(&mut self, from: u16, ops: Vec<Op>) -> TxStatus {
        let nonce = self.state.accounts().account(&address(from)).nonce;
        let tx = transaction(self.genesis.chain_id(), from, nonce, 1_000, ops);
        let body = body(vec![tx]);
        let height = self.state.height().0 + 1;
        apply_block(&mut self.state, &ordered(height, &body)).receipts.remove(0).status
    }

    fn good(&mut self, from: u16, ops: Vec<Op>) {
        assert_eq!(self.send(from, ops), TxStatus::Applied);
    }

    fn code(&mut self, from: u16, op: Op) -> String {
        match self.send(from, vec![op]) {
            TxStatus::Failed { refusal, .. } => refusal.code.into_owned(),
            other @ (TxStatus::Applied | TxStatus::Skipped { .. }) => format!("{other:?}"),
        }
    }

    fn is_frozen(&self, n: u16) -> bool {
        self.state.is_frozen(&address(n))
    }
}

fn freeze(n: u16) -> Op {
    Op::Freeze { subject: address(n), reason: "sells what it does not have".into() }
}

fn free(n: u16) -> Op {
    Op::Free { subject: address(n) }
}

#[test]
fn two_supervisors_freeze_an_account_with_a_reason_and_two_free_it() {
    let mut town = Town::new();
    assert_eq!(town.code(5, freeze(4)), "not-a-supervisor");
    let silent = Op::Freeze { subject: address(4), reason: " ".into() };
    assert_eq!(town.code(1, silent), "out-of-range");
    assert_eq!(town.code(1, free(4)), "not-found");
    town.good(1, vec![freeze(4)]);
    town.good(1, vec![freeze(4)]);
    assert!(!town.is_frozen(4), "one supervisor is one, however often it speaks");
    town.good(1, vec![free(4)]);
    assert!(town.state.accounts().freeze(&address(4)).is_none(), "it took its word back");
    town.good(1, vec![freeze(4)]);
    // Whose attestation is gone does not count any more.
    town.good(0, vec![Op::Revoke { subject: address(1), role: Role::Supervisor }]);
    town.good(2, vec![freeze(4)]);
    assert!(!town.is_frozen(4));
    town.good(3, vec![freeze(4)]);
    assert!(town.is_frozen(4));
    let record = town.state.record(&StateKey::Freeze(address(4))).unwrap();
    assert!(String::from_utf8_lossy(&record).contains("sells what it does not have"));
    assert_eq!(town.code(2, freeze(4)), "frozen");
    town.good(2, vec![free(4)]);
    assert!(town.is_frozen(4));
    town.good(3, vec![free(4)]);
    assert!(!town.is_frozen(4));
    town.good(4, vec![transfer(5, 1)]);
}

#[test]
fn a_frozen_account_finishes_its_deals_and_does_nothing_else() {
    let mut town = Town::new();
    town.good(4, vec![ask(100)]);
    town.good(5, vec![bid(150)]);
    assert_eq!(town.state.market().deals().count(), 1);
    town.good(1, vec![freeze(4)]);
    town.good(2, vec![freeze(4)]);
    assert_eq!(town.code(4, transfer(5, 1)), "frozen");
    assert_eq!(town.code(4, ask(100)), "frozen");
    let stays = town.state.accounts().account(&address(4)).balance;
    town.good(4, vec![Op::Market(Command::Acknowledge(DealId(1)))]);
    let now = town.state.accounts().account(&address(4)).balance;
    assert_eq!(now.micro(), stays.micro() - 1_000, "the fee, and nothing else");
}

#[test]
fn what_a_frozen_account_offers_and_orders_is_withdrawn() {
    let mut town = Town::new();
    let free = |town: &Town| town.state.accounts().account(&address(4)).balance.micro();
    let before = free(&town);
    town.good(4, vec![ask(100), ask(110)]);
    town.good(1, vec![freeze(4)]);
    town.good(2, vec![freeze(4)]);
    let orders: Vec<_> = town.state.market().orders().cloned().collect();
    assert!(orders.iter().all(|order| !order.is_live() && order.cancelled == Some(Why::Barred)));
    assert_eq!(free(&town), before - 1_000, "the fee; what was held is back");
    town.good(5, vec![bid(150)]);
    assert_eq!(town.state.market().deals().count(), 0, "nobody deals with it");
}

#[test]
fn an_attested_root_shows_one_attribute_and_hides_the_others() {
    let mut town = Town::new();
    let attribute = |name: &str, value: &str| Attribute {
        name: name.into(),
        value: value.into(),
        salt: Hash::of_content(name.as_bytes()),
    };
    let list = [attribute("country", "DE"), attribute("name", "Erika Mustermann")];
    let attest = Op::Attest {
        subject: address(4),
        role: Role::Provider,
        expires_at: TimeMs(500_000),
        attributes: root(&list).unwrap(),
    };
    assert_eq!(town.code(5, attest.clone()), "not-an-issuer");
    town.good(0, vec![attest]);
    let attested = town.state.accounts().attestation(address(4), Role::Provider).unwrap();
    let shown = Shown::new(&list, "country").unwrap();
    assert!(shown.verify(attested.attributes.unwrap()));
    assert!(town.state.has_role(address(4), Role::Provider));
}

#[test]
fn an_account_shows_its_owner_as_an_issuer_attested_it_and_keeps_it() {
    let mut town = Town::new();
    let attribute = |name: &str, value: &str| Attribute {
        name: name.into(),
        value: value.into(),
        salt: Hash::of_content(name.as_bytes()),
    };
    let list = [attribute("country", "DE"), attribute(OWNER, "c4f1")];
    let show = |name: &str| {
        let shown = Box::new(Shown::new(&list, name).unwrap());
        Op::ShowOwner { role: Role::Provider, shown }
    };
    assert_eq!(town.code(4, show(OWNER)), "not-found");
    for subject in [address(4), address(5)] {
        let attest = Op::Attest {
            subject,
            role: Role::Provider,
            expires_at: TimeMs(500_000),
            attributes: root(&list).unwrap(),
        };
        town.good(0, vec![attest]);
    }
    assert_eq!(town.code(4, show("country")), "mismatch");
    let Op::ShowOwner { role, mut shown } = show(OWNER) else { panic!("an owner") };
    shown.attribute.value = "another".into();
    assert_eq!(town.code(4, Op::ShowOwner { role, shown }), "bad-proof");
    let alone = town.state.market().owner_of(&address(4));
    assert_ne!(alone, town.state.market().owner_of(&address(5)));
    // What is refused later in one transaction leaves nothing of it.
    let status = town.send(4, vec![show(OWNER), transfer(5, 1 << 40)]);
    assert!(matches!(status, TxStatus::Failed { op: 1, .. }));
    assert_eq!(town.state.market().owner_of(&address(4)), alone);
    town.good(4, vec![show(OWNER)]);
    town.good(5, vec![show(OWNER)]);
    assert_eq!(town.state.market().owner_of(&address(4)), owner("c4f1"));
    assert_eq!(town.state.market().owner_of(&address(5)), owner("c4f1"));
    town.good(0, vec![Op::Revoke { subject: address(4), role: Role::Provider }]);
    assert_eq!(town.state.market().owner_of(&address(4)), owner("c4f1"), "it is not forgotten");
    let again = State::restore(&town.genesis, &town.state.snapshot()).unwrap();
    assert_eq!(again.root(), town.state.root());
    assert_eq!(again.market().owner_of(&address(5)), owner("c4f1"));
}

#[test]
fn an_order_may_ask_for_providers_whose_owner_is_known() {
    let mut town = Town::new();
    let list = [Attribute { name: OWNER.into(), value: "c4f1".into(), salt: Hash::ZERO }];
    let (subject, expires_at) = (address(5), TimeMs(500_000));
    let attributes = root(&list).unwrap();
    town.good(0, vec![Op::Attest { subject, role: Role::Provider, expires_at, attributes }]);
    // Attested and not shown is not known; neither is what is shown after the offer.
    town.good(4, vec![ask(90)]);
    town.good(5, vec![ask(95)]);
    let Op::Market(Command::PlaceBid(mut order)) = bid(150) else { panic!("a bid") };
    order.requirements.capabilities = Capabilities::OWNED;
    town.good(3, vec![Op::Market(Command::PlaceBid(order))]);
    assert_eq!(town.state.market().deals().count(), 0);
    let shown = Box::new(Shown::new(&list, OWNER).unwrap());
    town.good(5, vec![Op::ShowOwner { role: Role::Provider, shown }]);
    assert_eq!(town.state.market().deals().count(), 0);
    town.good(5, vec![ask(120)]);
    let providers: Vec<_> = town.state.market().deals().map(|deal| deal.provider).collect();
    assert_eq!(providers, [address(5)], "dearer, and known");
    let Op::Market(Command::PlaceAsk(mut claim)) = ask(80) else { panic!("an ask") };
    claim.machine.capabilities = Capabilities::OWNED;
    assert_eq!(town.code(4, Op::Market(Command::PlaceAsk(claim))), "reserved");
}

#[test]
fn certificates_and_what_auditors_look_at_are_in_the_state_and_come_back() {
    let mut genesis = genesis(3);
    genesis.params.market.capacity.module = Hash::of_content(b"the program");
    let state = State::new(&genesis).unwrap();
    let mut town = Town { genesis, state };
    let claim = Capacity { lanes: 2, mebibytes: 10 };
    // What is refused later in one transaction leaves nothing of it.
    let prove = Op::Market(Command::ProveCapacity(claim));
    let status = town.send(1, vec![prove.clone(), transfer(2, 1 << 40)]);
    assert!(matches!(status, TxStatus::Failed { op: 1, .. }));
    assert_eq!((town.state.certificates().count(), town.state.supply().held.micro()), (0, 0));
    town.good(1, vec![prove]);
    town.good(2, vec![Op::Market(Command::Pledge(Amount::new(500)))]);
    let (provider, certificate) = town.state.certificates().next().unwrap();
    assert_eq!((*provider, certificate.claim, certificate.probes), (address(1), claim, 1));
    let (auditor, pledge) = town.state.pledges().next().unwrap();
    assert_eq!((*auditor, pledge.amount), (address(2), Amount::new(500)));
    assert_eq!(town.state.frozen().count(), 0);
    assert_eq!(town.state.anomalies(Oddness::default()), []);
    let key = StateKey::Market(RecordId::Certificate(address(1)));
    assert!(town.state.record(&key).is_some());
    let again = State::restore(&town.genesis, &town.state.snapshot()).unwrap();
    assert_eq!(again.root(), town.state.root());
    assert_eq!(again.certificates().next(), town.state.certificates().next());
}
