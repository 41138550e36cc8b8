//! Certificates of capacity: shown, drawn again, refuted; and what may be listed under one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "support/street.rs"]
mod street;

use gongsuan_market::{
    CapacityRules, Certificate, Command, DealState, Event, Failure, Kind, Lapse, MarketError,
    OrderState, Probe, Rules,
};
use gongsuan_types::capacity::Capacity;
use gongsuan_types::court::Finding;
use gongsuan_types::order::{Ask, Capabilities, Class, Machine, Region, Work};
use gongsuan_types::receipt::{Commitment, Receipt, Status};
use gongsuan_types::{Amount, DealId, DurationMs, Fuel, Hash, OrderId, Price, TimeMs, Units};
use street::{AUDITOR, CHEAP, DEAL, DEAR, Street, WATCHER};

const CLAIM: Capacity = Capacity { lanes: 4, mebibytes: 100 };
/// Four lanes at 100,000 each.
const STAKE: i128 = 400_000;

fn rules(redraw_every: u64) -> Rules {
    let capacity = CapacityRules {
        required: true,
        module: Hash::of_content(b"the program that fills memory"),
        redraw_every: DurationMs(redraw_every),
        ..CapacityRules::default()
    };
    Rules { capacity, ..Rules::default() }
}

fn street(redraw_every: u64) -> Street {
    let mut street = Street::empty(rules(redraw_every));
    street.good(AUDITOR, Command::Pledge(Amount::new(4_000)));
    street
}

fn ask(cores: u16, memory_mib: u32) -> Command {
    Command::PlaceAsk(Ask {
        class: Class::WASM,
        price: Price(1),
        units: Units(10),
        fill_min: Units(1),
        machine: Machine {
            cpu_cores: cores,
            memory_mib,
            disk_mib: 0,
            gpu_count: 0,
            duration_s_max: 60,
            region: Region(0),
            capabilities: Capabilities::NONE,
        },
        expires_at: TimeMs(1 << 40),
    })
}

fn certificate(street: &Street) -> Certificate {
    *street.market.certificate(&CHEAP).unwrap()
}

/// What the lanes of the open probe produce; a lie where the first lane was made up.
fn lanes(is_right: bool) -> Vec<Receipt> {
    let lane = |segment| Receipt {
        segment,
        input: Hash::ZERO,
        output: if is_right || segment > 0 { Hash([8; 32]) } else { Hash([6; 32]) },
        output_bytes: 32,
        fuel: Fuel(300_000_000),
        status: Status::Ok,
    };
    (0..4).map(lane).collect()
}

fn commit(street: &mut Street, deal: DealId, list: &[Receipt]) {
    let commitment = Commitment::new(list).unwrap();
    street.good(CHEAP, Command::Commit { deal, commitment, receipts: Hash::ZERO });
    street.wait(1);
}

/// A claim whose probe is open.
fn probed(redraw_every: u64) -> Street {
    let mut street = street(redraw_every);
    street.good(CHEAP, Command::ProveCapacity(CLAIM));
    street.wait(1);
    assert_eq!(certificate(&street).probe, Probe::Open(DEAL));
    street
}

fn certified(redraw_every: u64) -> Street {
    let mut street = probed(redraw_every);
    street.wait(5_000);
    commit(&mut street, DEAL, &lanes(true));
    street.audits(&lanes(true), |receipt| receipt);
    street.wait(30_000);
    street
}

#[test]
fn the_next_blocks_hash_is_the_seed_and_the_job_follows_from_it() {
    let street = probed(0);
    let deal = street.market.deal(DEAL).unwrap();
    let steps = street.market.rules().capacity.steps;
    assert_eq!((deal.provider, deal.terms.kind), (CHEAP, Kind::Probe { capacity: CLAIM, steps }));
    let order = street.market.order(deal.bid).unwrap();
    let Work::Job(job) = &order.bid().unwrap().work else { panic!("a job") };
    assert_eq!(job.spec.id(), deal.terms.job);
    let rules = &street.market.rules().capacity;
    let challenge = CLAIM.challenge(job.spec.seed, rules.steps);
    assert_eq!(job.spec, challenge.to_job(rules.module, rules.meter));
    // Another block would have asked for something else, and so would another provider.
    let mut other = self::street(0);
    other.wait(1);
    other.good(CHEAP, Command::ProveCapacity(CLAIM));
    other.good(DEAR, Command::ProveCapacity(CLAIM));
    other.wait(1);
    let jobs: Vec<Hash> = other.market.deals().map(|deal| deal.terms.job).collect();
    assert_eq!(jobs.len(), 2);
    assert!(jobs[0] != jobs[1] && !jobs.contains(&deal.terms.job));
}

#[test]
fn a_machine_that_answers_is_certified_and_pays_for_its_audits_alone() {
    let street = certified(0);
    let shown = certificate(&street).shown.unwrap();
    assert_eq!(shown.capacity, CLAIM);
    // 1.2 Gf of four lanes in the 5,001 ms between the seed and the commitment.
    assert_eq!(shown.fuel_per_s, 1_200_000_000_000 / 5_001);
    // A lane of 0.3 Gf at 1,000 a Gf, and a quarter more.
    assert_eq!((street.gain(CHEAP), street.gain(AUDITOR)), (-375, 375));
    assert_eq!(street.market.standing(&CHEAP).settled, 0, "nobody traded");
    assert_eq!(street.market.anomalies(gongsuan_market::Oddness::default()), []);
}

#[test]
fn listings_together_stay_within_the_certificate_and_the_refusal_says_what_to_do() {
    let mut street = street(0);
    let refused = |street: &mut Street, command| match street.send(CHEAP, command) {
        Err(MarketError::Mismatch { field, limit, got }) => (field, limit, got),
        other => panic!("{other:?}"),
    };
    let (field, limit, _) = refused(&mut street, ask(1, 1));
    assert_eq!(field, "machine.cpu_cores");
    assert!(limit.contains("has none") && limit.contains("prove-capacity"), "{limit}");
    let mut street = certified(0);
    let (field, limit, got) = refused(&mut street, ask(5, 1));
    assert_eq!((field, got.as_str()), ("machine.cpu_cores", "5"));
    assert!(limit.starts_with("at most 4: the certificate shows 4, of which 0"), "{limit}");
    assert_eq!(refused(&mut street, ask(1, 401)).0, "machine.memory_mib");
    street.good(CHEAP, ask(3, 300));
    let (_, limit, _) = refused(&mut street, ask(2, 100));
    assert!(limit.starts_with("at most 1: the certificate shows 4, of which 3"), "{limit}");
    street.good(CHEAP, ask(1, 100));
    // What is withdrawn can be listed again.
    let first = street.market.orders().find(|order| order.is_live()).unwrap().id;
    street.good(CHEAP, Command::Cancel(first));
    street.good(CHEAP, ask(2, 200));
}

#[test]
fn a_made_up_lane_costs_the_stake_the_certificate_and_the_listings() {
    let mut street = certified(1);
    street.good(CHEAP, ask(4, 400));
    street.wait(1);
    // Drawn again at once: every millisecond, on average.
    let Probe::Open(again) = certificate(&street).probe else { panic!("drawn again") };
    let listed = street.market.orders().find(|order| order.is_live()).unwrap().id;
    let before = street.gain(CHEAP);
    commit(&mut street, again, &lanes(false));
    let list = lanes(false);
    let proof = gongsuan_types::receipt::ReceiptProof::new(&list, 0).unwrap();
    let found = lanes(true)[0];
    let claim = Command::Challenge { deal: again, committed: list[0], proof, found };
    street.good(WATCHER, claim);
    let case = street.market.deal(again).unwrap().case().unwrap().id;
    let votes =
        [0, 1, 2].map(|seat| gongsuan_market::Vote { seat, finding: Finding::Produced(found) });
    assert!(street.block(1, |market| market.judge(case, &votes, 3).ok()));
    assert_eq!(street.gain(CHEAP) - before, -STAKE);
    assert_eq!(street.gain(WATCHER), STAKE / 2);
    assert_eq!(street.market.certificate(&CHEAP), None);
    assert_eq!(street.market.order(listed).unwrap().state, OrderState::Cancelled);
    let why = Lapse::Failed(Failure::Fraud);
    assert!(street.events().contains(&Event::Uncertified { provider: CHEAP, why }));
    assert!(
        street.market.expected_holds().keys().all(|hold| !format!("{hold:?}").contains("Capacity"))
    );
}

#[test]
fn who_does_not_answer_in_time_loses_a_tenth_and_the_certificate() {
    let mut street = probed(0);
    assert!(street.send(CHEAP, Command::GiveUpCapacity).is_err(), "not while it is asked");
    assert!(street.send(CHEAP, Command::ProveCapacity(CLAIM)).is_err(), "once at a time");
    street.wait(120_000);
    assert!(matches!(street.state(1), DealState::Failed { why: Failure::Late, .. }));
    assert_eq!(street.gain(CHEAP), -STAKE / 10);
    assert_eq!(street.market.certificate(&CHEAP), None);
}

#[test]
fn what_nobody_judges_leaves_the_certificate_as_it_was() {
    let mut street = certified(1);
    street.wait(1);
    let Probe::Open(again) = certificate(&street).probe else { panic!("drawn again") };
    commit(&mut street, again, &lanes(true));
    let list = lanes(true);
    let proof = gongsuan_types::receipt::ReceiptProof::new(&list, 0).unwrap();
    let found = Receipt { fuel: Fuel(1), ..list[0] };
    street.good(WATCHER, Command::Challenge { deal: again, committed: list[0], proof, found });
    street.wait(300_000);
    assert!(certificate(&street).shown.is_some());
    assert_eq!(street.gain(WATCHER), 0);
}

#[test]
fn what_was_set_aside_comes_back_and_ends_with_the_audits_it_pays_for() {
    let mut street = certified(0);
    street.good(CHEAP, ask(1, 1));
    street.good(CHEAP, Command::GiveUpCapacity);
    assert_eq!(street.market.certificate(&CHEAP), None);
    assert!(!street.market.order(OrderId(2)).unwrap().is_live(), "what was listed under it goes");
    assert!(
        street.market.expected_holds().keys().all(|hold| !format!("{hold:?}").contains("Capacity"))
    );
    // One probe paid in advance, whose audit is used up.
    let mut rules = rules(1);
    rules.capacity.probes_paid = 1;
    let mut street = Street::empty(rules);
    street.good(AUDITOR, Command::Pledge(Amount::new(4_000)));
    street.good(CHEAP, Command::ProveCapacity(CLAIM));
    street.wait(1);
    commit(&mut street, DEAL, &lanes(true));
    street.audits(&lanes(true), |receipt| receipt);
    street.wait(40_000);
    street.wait(10);
    assert_eq!(street.market.certificate(&CHEAP), None);
    assert!(street.events().contains(&Event::Uncertified { provider: CHEAP, why: Lapse::UsedUp }));
    assert_eq!(street.gain(CHEAP), -375);
}

#[test]
fn providers_are_drawn_again_about_as_often_as_the_rules_say() {
    let mut street = certified(0);
    let mut rules = rules(3_600_000);
    rules.capacity.probes_paid = 200;
    street = {
        drop(street);
        Street::empty(rules)
    };
    street.good(AUDITOR, Command::Pledge(Amount::new(4_000)));
    street.good(CHEAP, Command::ProveCapacity(CLAIM));
    let begun = street.time();
    let mut answered = 0;
    // A block a minute, for a hundred hours.
    for _ in 0..6_000 {
        street.wait(60_000);
        if let Probe::Open(deal) = certificate(&street).probe
            && matches!(street.market.deal(deal).unwrap().state, DealState::Running { .. })
        {
            commit(&mut street, deal, &lanes(true));
            answered += 1;
        }
    }
    let hours = street.time().since(begun).0 / 3_600_000;
    assert!(hours >= 100);
    assert!((60..=140).contains(&answered), "{answered} probes in {hours} hours");
}

#[test]
fn a_chain_without_a_program_gives_no_certificates() {
    let mut street = Street::empty(Rules::default());
    let refused = street.send(CHEAP, Command::ProveCapacity(CLAIM)).unwrap_err().to_string();
    assert!(refused.contains("params.market.capacity.module"), "{refused}");
    let wrong = CapacityRules { required: true, ..CapacityRules::default() };
    assert_eq!(wrong.validate().unwrap_err().field, "module");
    let mut street = self::street(0);
    let huge = Capacity { lanes: 1, mebibytes: 1_001 };
    assert!(street.send(CHEAP, Command::ProveCapacity(huge)).is_err());
}
