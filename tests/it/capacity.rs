//! What the chain asks of a machine is what the program answers: a probe from the claim to the certificate, its lanes really run.

use gongsuan::{capacity, provider};
use gongsuan_executor::verify::capacity::job;
use gongsuan_executor::{Inputs, Program, default_engine, reexecute};
use gongsuan_market::{
    CapacityRules, Command, DealState, Event, Kind, Market, Moment, Probe, Rules,
};
use gongsuan_types::capacity::Capacity;
use gongsuan_types::order::{Capabilities, Party};
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof, Status};
use gongsuan_types::{Address, Hash, Height, TimeMs};

const PROVIDER: Address = Address([7; 32]);
const AUDITOR: Address = Address([8; 32]);
const CLAIM: Capacity = Capacity { lanes: 2, mebibytes: 1 };

fn block(market: &mut Market, height: u64, time: u64) -> Vec<Event> {
    let block = Hash::of_content(&height.to_le_bytes());
    let moment = Moment { height: Height(height), time: TimeMs(time), block };
    market.begin_block(moment, &[AUDITOR]).events
}

fn send(market: &mut Market, address: Address, command: Command) {
    let party = Party { address, attested: Capabilities::NONE };
    market.submit(party, command).expect("taken");
    let _ = market.end_block();
}

#[test]
fn a_probe_is_answered_by_the_program_and_audited_by_running_a_lane_again() {
    let rules = CapacityRules { steps: 5_000, ..capacity::rules(true) };
    let mut market = Market::new(Rules { capacity: rules, ..Rules::default() });
    block(&mut market, 1, 1_000);
    send(&mut market, PROVIDER, Command::ProveCapacity(CLAIM));
    block(&mut market, 2, 2_000);
    let Some(Probe::Open(id)) = market.certificate(&PROVIDER).map(|one| one.probe) else {
        panic!("the seed is there")
    };
    let deal = market.deal(id).expect("the probe").clone();
    let order = market.order(deal.bid).expect("the chain's order");
    let spec = order.bid().and_then(|bid| bid.work.job()).expect("a job").spec.clone();
    let Kind::Probe { capacity: asked, steps } = deal.terms.kind else { panic!("a probe") };
    assert_eq!(spec, job(&asked.challenge(spec.seed, steps)), "the executor means the same job");

    // Whoever runs it needs nothing from anybody.
    type Failure = Box<dyn std::error::Error + Send + Sync>;
    let lanes = provider::assemble_job::<Failure>(&spec, vec![0, 1], |hash| {
        capacity::blob(&deal, &spec, hash).ok_or_else(|| format!("{hash} is not known").into())
    });
    let lanes = lanes.expect("everybody can make it");
    let Inputs::Shared(input) = &lanes.inputs else { panic!("one for all lanes") };
    let program = Program::load(default_engine(), &lanes.module).expect("the program");
    let lane = |segment| reexecute(&program, &spec, segment, input).expect("it runs");
    let receipts: Vec<Receipt> = [0, 1].map(lane).into();
    assert!(receipts.iter().all(|one| one.status == Status::Ok), "{receipts:?}");
    let commitment = Commitment::new(&receipts).expect("small");
    block(&mut market, 3, 4_000);
    send(&mut market, PROVIDER, Command::Commit { deal: id, commitment, receipts: Hash::ZERO });
    block(&mut market, 4, 4_001);

    let DealState::Drawn { samples, .. } = &market.deal(id).expect("the probe").state else {
        panic!("drawn in the next block")
    };
    let drawn = samples[0].segment;
    let proof = ReceiptProof::new(&receipts, drawn as usize).expect("a lane");
    let (committed, found) = (receipts[drawn as usize], lane(drawn));
    send(&mut market, AUDITOR, Command::Audit { deal: id, sample: 0, committed, proof, found });
    let events = block(&mut market, 5, 100_000);
    // In the two seconds between the seed's block and the commitment's.
    let rate = commitment.fuel.0 / 2;
    let certified = Event::Certified { provider: PROVIDER, capacity: CLAIM, fuel_per_s: rate };
    assert!(events.contains(&certified), "{events:?}");
}
