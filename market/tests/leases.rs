//! Leases from end to end: what is paid, by whom it is witnessed, and how one ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "support/street.rs"]
mod street;

use gongsuan_market::{Command, DealState, Failure, MarketError, Rules};
use gongsuan_types::job::JobOrder;
use gongsuan_types::lease::{LeaseOrder, Witness, answer};
use gongsuan_types::order::{
    Ask, Bid, Capabilities, Class, FillRule, Machine, Region, Requirements, SelfMatch, Unit, Work,
};
use gongsuan_types::{DealId, DurationMs, Hash, Price, TimeMs, Units};
use street::{CHEAP, DEAL, DEAR, RENTER, Street};

/// Ten intervals of ten seconds on four cores, at ten a core-second: 400 an interval, of which 8 are the treasury's.
const INTERVALS: u32 = 10;
const LOT: u64 = 40;
const PAID: i128 = 392;
const CORE: Class = Class { unit: Unit::CoreSecond, ..Class::WASM };

fn token(interval: u32) -> Hash {
    let mut token = Hash([3; 32]);
    for _ in interval..INTERVALS {
        token = JobOrder::hash_secret(&token);
    }
    token
}

fn ask(price: u64) -> Command {
    Command::PlaceAsk(Ask {
        class: CORE,
        price: Price(price),
        units: Units(LOT * u64::from(INTERVALS)),
        fill_min: Units(1),
        machine: Machine {
            cpu_cores: 4,
            memory_mib: 1,
            disk_mib: 0,
            gpu_count: 0,
            duration_s_max: 100,
            region: Region(0),
            capabilities: Capabilities::NONE,
        },
        expires_at: TimeMs(1 << 40),
    })
}

fn bid(witness: Witness) -> Bid {
    let units = Units(LOT * u64::from(INTERVALS));
    Bid {
        class: CORE,
        price_max: Price(12),
        units,
        lot: Units(LOT),
        fill_min: units,
        deals_max: 1,
        requirements: Requirements { cpu_cores_min: 4, duration_s_min: 100, ..Requirements::ANY },
        fill_rule: FillRule::Rest,
        self_match: SelfMatch::Skip,
        expires_at: TimeMs(1 << 40),
        work: Work::Lease(Box::new(LeaseOrder {
            setup: Hash::of_content(b"a machine image"),
            cores: 4,
            interval: DurationMs(10_000),
            grace: DurationMs(5_000),
            ack_within: DurationMs(10_000),
            deposit_basis_points: 10_000,
            attempts_max: 2,
            witness,
        })),
    }
}

/// A lease that has just begun.
fn lease(witness: Witness) -> Street {
    let mut street = Street::empty(Rules::default());
    street.good(CHEAP, ask(10));
    street.good(DEAR, ask(12));
    street.good(RENTER, Command::PlaceBid(Box::new(bid(witness))));
    street.good(CHEAP, Command::Acknowledge(DEAL));
    assert!(matches!(street.state(1), DealState::Leased { .. }));
    street
}

fn by_renter() -> Street {
    lease(Witness::Renter(token(0)))
}

fn beat(interval: u32, token: Hash) -> Command {
    Command::Beat { deal: DEAL, interval, token }
}

/// The right answer to what the chain asks now.
fn reply(street: &Street, interval: u32) -> Command {
    let DealState::Leased { question, .. } = *street.state(1) else { panic!("leased") };
    beat(interval, answer(question, DEAL, interval, CHEAP))
}

fn refused(street: &mut Street, command: Command, field: &str) {
    match street.send(CHEAP, command) {
        Err(MarketError::Mismatch { field: got, .. }) => assert_eq!(got, field),
        other => panic!("{field}: {other:?}"),
    }
}

#[test]
fn a_lease_is_paid_by_the_interval_and_ends_with_the_last_one() {
    let mut street = by_renter();
    street.good(CHEAP, beat(1, token(1)));
    assert_eq!(street.gain(CHEAP), PAID);
    // Later tokens stand for all before them, but not for an interval that has not begun.
    refused(&mut street, beat(3, token(3)), "time");
    street.wait(20_000);
    street.good(CHEAP, beat(3, token(3)));
    assert_eq!(street.gain(CHEAP), 3 * PAID);
    for interval in 4..=INTERVALS {
        street.wait(10_000);
        street.good(CHEAP, beat(interval, token(interval)));
    }
    assert_eq!(street.gain(CHEAP), 10 * PAID);
    assert_eq!(street.gain(RENTER), -4_000);
    assert!(
        matches!(street.state(1), DealState::Completed { refund, .. } if refund.micro() == 800)
    );
    assert!(street.market.order(street.market.deal(DEAL).unwrap().ask).unwrap().is_live());
    street.good(RENTER, Command::Rate { deal: DEAL, stars: 5, comment: "there".into() });
}

#[test]
fn only_the_renters_own_token_of_the_right_interval_is_paid() {
    let mut street = by_renter();
    refused(&mut street, beat(1, token(2)), "token");
    refused(&mut street, beat(1, token(0)), "token");
    refused(&mut street, beat(0, token(0)), "interval");
    refused(&mut street, beat(INTERVALS + 1, token(INTERVALS)), "interval");
    assert!(street.send(DEAR, beat(1, token(1))).is_err(), "another provider");
    street.good(CHEAP, beat(1, token(1)));
    refused(&mut street, beat(1, token(1)), "interval");
    assert_eq!(street.gain(CHEAP), PAID);
}

#[test]
fn without_the_renters_token_nobody_is_paid_or_fined_and_the_next_provider_goes_on() {
    let mut street = by_renter();
    street.good(CHEAP, beat(1, token(1)));
    street.wait(30_000);
    let deal = street.market.deal(DEAL).unwrap();
    assert_eq!((deal.provider, deal.tried.clone()), (DEAR, vec![(CHEAP, Failure::Unwitnessed)]));
    assert_eq!((street.gain(CHEAP), street.gain(RENTER)), (PAID, -400));
    assert_eq!(street.market.standing(&CHEAP).failed, 0, "whose fault it is cannot be told");
    // It begins with the second interval, whose token comes after the first one's.
    street.good(DEAR, Command::Acknowledge(DEAL));
    street.good(DEAR, beat(2, token(2)));
    assert_eq!(street.gain(DEAR), 480 - 9);
    street.wait(40_000);
    assert!(matches!(street.state(1), DealState::Failed { why: Failure::Unwitnessed, .. }));
    assert_eq!(street.gain(RENTER), -400 - 480);
}

#[test]
fn either_side_may_end_a_lease_and_a_provider_that_leaves_pays_for_it() {
    let mut street = by_renter();
    street.good(CHEAP, beat(1, token(1)));
    street.good(RENTER, Command::Stop(DEAL));
    assert!(matches!(street.state(1), DealState::Completed { .. }));
    assert_eq!((street.gain(CHEAP), street.gain(RENTER)), (PAID, -400));
    assert_eq!(street.market.standing(&CHEAP).settled, 1);
    let mut street = by_renter();
    assert!(street.send(DEAR, Command::Leave(DEAL)).is_err());
    street.good(CHEAP, Command::Leave(DEAL));
    assert_eq!((street.gain(CHEAP), street.gain(RENTER)), (-200, 200), "5 % of 4,000");
    assert_eq!(street.market.deal(DEAL).unwrap().provider, DEAR);
    assert_eq!(street.market.standing(&CHEAP).failed, 1);
}

#[test]
fn the_chains_question_is_answered_once_an_interval_and_only_in_its_time() {
    let mut street = lease(Witness::Chain);
    let early = reply(&street, 1);
    refused(&mut street, early.clone(), "time");
    street.wait(10_000);
    refused(&mut street, beat(1, Hash([1; 32])), "token");
    // What was asked has not changed: a block in between does not matter.
    street.good(CHEAP, early.clone());
    assert_eq!(street.gain(CHEAP), PAID);
    street.wait(10_000);
    refused(&mut street, early, "interval");
    let Command::Beat { token: old, .. } = reply(&street, 1) else { panic!("a beat") };
    refused(&mut street, beat(2, old), "token");
    let next = reply(&street, 2);
    street.good(CHEAP, next);
    assert_eq!(street.gain(CHEAP), 2 * PAID);
    // Silence costs a tenth of the deposit.
    street.wait(20_000);
    let deal = street.market.deal(DEAL).unwrap();
    assert_eq!((deal.provider, deal.tried.clone()), (DEAR, vec![(CHEAP, Failure::Silent)]));
    assert_eq!(street.gain(CHEAP), 2 * PAID - 400);
    assert_eq!(street.gain(RENTER), -800 + 400);
}

#[test]
fn a_lease_that_no_machine_could_serve_is_refused() {
    let mut street = Street::empty(Rules::default());
    let field = |street: &mut Street, change: fn(&mut Bid)| {
        let mut bid = bid(Witness::Chain);
        change(&mut bid);
        match street.send(RENTER, Command::PlaceBid(Box::new(bid))) {
            Err(MarketError::Invalid(refusal)) => refusal.field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        field(&mut street, |bid| bid.requirements.cpu_cores_min = 3),
        "work.requirements.cpu_cores_min"
    );
    assert_eq!(
        field(&mut street, |bid| bid.requirements.duration_s_min = 99),
        "work.requirements.duration_s_min"
    );
    assert_eq!(field(&mut street, |bid| bid.fill_min = Units(LOT)), "work.fill_min");
    assert_eq!(field(&mut street, |bid| bid.deals_max = 2), "work.deals_max");
    assert_eq!(field(&mut street, |bid| bid.class = Class::WASM), "class.unit");
    assert_eq!(street.market.deal(DealId(1)), None);
}

#[test]
fn a_renter_that_breaks_off_pays_for_what_has_passed_where_the_chain_watches() {
    let mut street = lease(Witness::Chain);
    street.wait(5_000);
    street.good(RENTER, Command::Stop(DEAL));
    street.wait(1_000);
    let last = reply(&street, 1);
    street.good(CHEAP, last);
    // Half an interval: 20 core-seconds at ten, less 2 %.
    assert_eq!((street.gain(CHEAP), street.gain(RENTER)), (196, -200));
    assert!(matches!(street.state(1), DealState::Completed { paid, .. } if paid.micro() == 196));
    let mut street = lease(Witness::Chain);
    street.wait(14_000);
    street.good(RENTER, Command::Stop(DEAL));
    let last = reply(&street, 1);
    street.good(CHEAP, last);
    assert_eq!(street.gain(RENTER), -400, "one interval at most");
    // Who does not answer is not there, and is not paid; nor fined, for nobody waits for it any more.
    let mut street = lease(Witness::Chain);
    street.wait(5_000);
    street.good(RENTER, Command::Stop(DEAL));
    assert!(street.send(RENTER, Command::Stop(DEAL)).is_err(), "once");
    street.wait(5_000);
    assert!(matches!(street.state(1), DealState::Completed { .. }));
    assert_eq!((street.gain(CHEAP), street.gain(RENTER)), (0, 0));
    // Where the renter is the witness, the provider has the token of an interval that has begun, or has left.
    let mut street = by_renter();
    street.wait(5_000);
    street.good(RENTER, Command::Stop(DEAL));
    assert_eq!((street.gain(CHEAP), street.gain(RENTER)), (0, 0));
}
