//! Several classes in one block: the same result on every number of threads, and the fee for long searches.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test picks what it needs and panics when it cannot go on"
)]

use gongsuan_market::{Command, Event, HoldId, Market, Moment, Outcome, Reason, Rules, Settlement};
use gongsuan_types::job::{JOB_VERSION, JobOrder, JobSpec, Limits, MapInput, Shape};
use gongsuan_types::order::{
    Arch, Ask, Bid, Capabilities, Class, FillRule, GpuModel, Machine, Party, Region, Requirements,
    SelfMatch, Unit, Work,
};
use gongsuan_types::{
    Address, Amount, DurationMs, Fuel, Hash, Height, OrderId, Price, TimeMs, Units,
};

fn who(n: u8) -> Party {
    Party { address: Address([n + 1; 32]), attested: Capabilities::NONE }
}

fn class(gpu: u16) -> Class {
    Class { unit: Unit::GigaFuel, arch: Arch::Wasm, gpu: (gpu > 0).then_some(GpuModel(gpu)) }
}

fn ask(class: Class, price: u64, units: u64, (memory_mib, disk_mib): (u32, u32)) -> Command {
    Command::PlaceAsk(Ask {
        class,
        price: Price(price),
        units: Units(units),
        fill_min: Units(1),
        machine: Machine {
            cpu_cores: 4,
            memory_mib,
            disk_mib,
            gpu_count: 0,
            duration_s_max: 60,
            region: Region(0),
            capabilities: Capabilities::NONE,
        },
        expires_at: TimeMs(1_000_000),
    })
}

fn bid(class: Class, price_max: u64, segments: u32, requirements: Requirements) -> Command {
    let spec = JobSpec {
        version: JOB_VERSION,
        module: Hash::ZERO,
        meter: 1,
        args: vec![],
        shape: Shape::Map { segments, input: MapInput::Shared(Hash::ZERO) },
        limits: Limits { fuel: Fuel(1_000_000_000), memory_pages: 1, output_bytes: 0 },
        seed: Hash::ZERO,
    };
    Command::PlaceBid(Box::new(Bid {
        class,
        price_max: Price(price_max),
        units: Units(u64::from(segments)),
        lot: Units(1),
        fill_min: Units(1),
        deals_max: 4,
        requirements,
        fill_rule: FillRule::Rest,
        self_match: SelfMatch::Skip,
        expires_at: TimeMs(1_000_000),
        work: Work::Job(Box::new(JobOrder {
            spec,
            ack_within: DurationMs(100_000),
            run_within: DurationMs(100_000),
            samples: 1,
            deposit_basis_points: 10_000,
            secret_hash: JobOrder::hash_secret(&Hash::ZERO),
        })),
    }))
}

fn block(market: &mut Market, height: u64, commands: Vec<(u8, Command)>) -> Outcome {
    let block = Hash::of_content(&height.to_le_bytes());
    let moment = Moment { height: Height(height), time: TimeMs(height), block };
    let mut all = market.begin_block(moment, &[]);
    for (n, command) in commands {
        let outcome = market.submit(who(n), command).unwrap();
        all.settlements.extend(outcome.settlements);
        all.events.extend(outcome.events);
    }
    let end = market.end_block();
    all.settlements.extend(end.settlements);
    all.events.extend(end.events);
    all
}

fn mixed(height: u64) -> Vec<(u8, Command)> {
    let mut random = height;
    let mut next = |below: u64| {
        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (random >> 33) % below
    };
    (0..40)
        .map(|_| {
            let class = class(u16::try_from(next(6)).unwrap());
            let (n, price, units) = (u8::try_from(next(5)).unwrap(), 90 + next(20), 1 + next(9));
            if next(2) == 0 {
                (n, ask(class, price, units, (1_024, 0)))
            } else {
                (n, bid(class, price, u32::try_from(units).unwrap(), Requirements::ANY))
            }
        })
        .collect()
}

/// Invariant 1 for threads: whatever their number, the same events, the same money and the same state; and in the order of the classes.
#[test]
fn classes_on_one_thread_and_on_many_give_the_same_blocks() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut market = Market::new(Rules::default());
            let outcomes: Vec<_> =
                (1..=30).map(|height| block(&mut market, height, mixed(height))).collect();
            (outcomes, market)
        })
    };
    let (outcomes, market) = run(1);
    for threads in [2, 3, 8] {
        let (others, other) = run(threads);
        for (left, right) in outcomes.iter().zip(&others) {
            assert_eq!(left.events, right.events);
            assert_eq!(left.settlements, right.settlements);
        }
        assert_eq!(market, other);
    }
    let mut busiest = 0;
    for outcome in &outcomes {
        let classes: Vec<Class> = outcome
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Filled { deal, .. } => Some(market.deal(*deal).unwrap().class),
                _ => None,
            })
            .collect();
        assert!(classes.is_sorted(), "fills come class by class");
        let mut distinct = classes;
        distinct.dedup();
        busiest = busiest.max(distinct.len());
    }
    assert!(busiest >= 4, "several classes match in one block");
}

/// Memory and disk are never there together, but every node has both somewhere below it: the search looks at almost everything.
fn hard(market: &mut Market, asks: u64) -> OrderId {
    let offers = (0..asks).map(|n| {
        let machine = if n % 2 == 0 { (1, 9_000) } else { (9_000, 1) };
        (0, ask(class(0), 100 + n / 100, 1, machine))
    });
    block(market, 1, offers.collect());
    let needs = Requirements { memory_mib_min: 5_000, disk_mib_min: 5_000, ..Requirements::ANY };
    block(market, 2, vec![(1, bid(class(0), 500, 4, needs))]);
    OrderId(asks + 1)
}

fn fees(outcome: &Outcome) -> Vec<u128> {
    let paid = outcome.settlements.iter().filter_map(|settlement| match settlement {
        Settlement::Post { hold: HoldId::Order(_), to: Address::TREASURY, amount, reason } => {
            assert_eq!(*reason, Reason::Fee);
            Some(amount.micro())
        }
        _ => None,
    });
    paid.collect()
}

#[test]
fn a_search_pays_for_every_node_beyond_the_free_ones_until_its_budget_ends_it() {
    let rules = Rules {
        visits_max: 100,
        visits_free: 40,
        visit_price_micro: 7,
        search_budget_micro: 1_000,
        orders_per_account_max: 10_000,
        ..Rules::default()
    };
    let price = rules.visit_price_micro;
    let mut market = Market::new(rules);
    let id = hard(&mut market, 6_000);
    // Four units, and four audits at a quarter more than a segment's price.
    let needed = 4 * 500 + 4 * 625;
    // The first search was in the block in which the bid came: 100 nodes, 60 of them paid.
    let fee = 60 * u128::from(price);
    assert_eq!(market.order(id).unwrap().held.micro(), needed + 1_000 - fee);
    let outcome = block(&mut market, 3, vec![]);
    assert_eq!(fees(&outcome), [fee]);
    let paid = Event::Searched { order: id, visited: 100, fee: Amount::new(fee) };
    assert!(outcome.events.contains(&paid), "{:?}", outcome.events);
    // 160 are left of 1,000: the third search takes them, and the bid ends with the rest of its money back.
    let outcome = block(&mut market, 4, vec![]);
    assert_eq!(fees(&outcome), [160]);
    let ended =
        outcome.events.iter().any(|e| matches!(e, Event::Cancelled { order, .. } if *order == id));
    assert!(ended, "{:?}", outcome.events);
    let back = Settlement::Void { hold: HoldId::Order(id), amount: Amount::new(needed) };
    assert!(outcome.settlements.contains(&back), "{:?}", outcome.settlements);
    assert!(!market.wants_block());
}

#[test]
fn an_ordinary_search_costs_nothing() {
    let mut market = Market::new(Rules::default());
    let offers = (0..150).map(|n| (0, ask(class(0), 100 + n, 5, (1_024, 0)))).collect();
    block(&mut market, 1, offers);
    let outcome = block(&mut market, 2, vec![(1, bid(class(0), 500, 20, Requirements::ANY))]);
    assert!(fees(&outcome).is_empty());
    assert!(!outcome.events.iter().any(|event| matches!(event, Event::Searched { .. })));
    let filled = outcome.events.iter().filter(|e| matches!(e, Event::Filled { .. })).count();
    assert_eq!(filled, 4);
}
