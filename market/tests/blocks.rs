//! Blocks of orders in several classes: the same result on every number of threads, what must hold of every fill and after every block,
//! and the fee for long searches. The numbers of invariants are those of `docs/market.md`.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test picks what it needs and panics when it cannot go on"
)]

#[path = "support/spec.rs"]
mod spec;

use gongsuan_market::book::{Book, Ignore, Lots, Mode, NewOrder, Owner, Pricing, Side, Tick, Why};
use gongsuan_market::{
    Command, Event, HoldId, Market, Moment, Order, OrderState, Outcome, Reason, Rules, Settlement,
};
use gongsuan_types::job::{Check, JobOrder, Pace};
use gongsuan_types::order::{
    Arch, Ask, Bid, Capabilities, Class, FillRule, GpuModel, Machine, Party, Region, Requirements,
    SelfMatch, Unit, Work,
};
use gongsuan_types::{Address, Amount, DurationMs, Hash, Height, OrderId, Price, TimeMs, Units};

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
    let spec = spec::job(segments, 1);
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
            secret_hash: Hash::ZERO,
            check: Check::default(),
            pace: Pace::default(),
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
fn invariant_1_classes_on_one_thread_and_on_many_give_the_same_blocks() {
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

fn suits(order: &Order, ask: &Order) -> bool {
    let (Some(bid), Some(machine)) = (order.bid(), ask.machine()) else { return false };
    ask.class() == bid.class
        && ask.price() <= bid.price_max
        && bid.requirements.accept(machine, ask.reputation)
        && ask.owner != order.owner
}

fn key(ask: &Order) -> (Price, std::cmp::Reverse<u16>, u64) {
    (ask.price(), std::cmp::Reverse(ask.reputation), ask.sequence)
}

/// Lots and smallest fills are 1 here, so whatever suits and is open can be filled.
#[test]
fn invariants_3_4_5_7_hold_of_every_fill_and_after_every_block() {
    let rules = Rules { orders_per_account_max: 10_000, ..Rules::default() };
    let mut market = Market::new(rules);
    let mut fills = 0;
    for height in 1..=60 {
        let outcome = block(&mut market, height, mixed(1_000 + height));
        let open = |order: &&Order| order.state == OrderState::Resting && order.open.0 > 0;
        let asks: Vec<&Order> =
            market.orders().filter(|order| order.ask().is_some()).filter(open).collect();
        for event in &outcome.events {
            let Event::Filled { ask, bid, price, units, .. } = event else { continue };
            let (ask, bid) = (market.order(*ask).unwrap(), market.order(*bid).unwrap());
            fills += 1;
            assert!(suits(bid, ask), "4: a fill satisfies both sides: {event:?}");
            assert_eq!(*price, ask.price(), "4: at the ask's price");
            assert!(units.0 > 0);
            let skipped = asks.iter().find(|other| suits(bid, other) && key(other) < key(ask));
            assert!(skipped.is_none(), "7: a better ask was left: {skipped:?} for {event:?}");
        }
        for bid in market.orders().filter(|order| order.bid().is_some()).filter(open) {
            let wish = bid.bid().unwrap();
            let may = bid.deals < u32::from(wish.deals_max);
            let missed = asks.iter().find(|ask| may && suits(bid, ask));
            assert!(missed.is_none(), "3: {missed:?} was left for {bid:?}");
        }
        for order in market.orders() {
            let listed = order.ask().map(|ask| ask.units).or(order.bid().map(|bid| bid.units));
            let dealt = market.deals().filter(|deal| deal.ask == order.id || deal.bid == order.id);
            let dealt: u64 = dealt.map(|deal| deal.terms.units.0).sum();
            let ended = order.cancelled.is_some();
            assert!(ended || listed == Some(Units(order.open.0 + dealt)), "5: {order:?}");
        }
    }
    assert!(fills > 300, "{fills} fills say little");
}

#[test]
fn invariant_3_a_batch_book_of_plain_orders_is_never_left_crossed() {
    for pricing in [Pricing::Quoted, Pricing::Uniform] {
        let mut book = Book::new(Mode::Batch(pricing));
        let mut random = 5u64;
        for _ in 0..200 {
            for _ in 0..20 {
                random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(99);
                let part =
                    |shift: u64, below: u64| u32::try_from((random >> shift) % below).unwrap();
                let side = if part(20, 2) == 0 { Side::Bid } else { Side::Ask };
                let (price, quantity) = (Tick(100 + part(30, 40)), Lots(1 + part(40, 9)));
                let owner = Owner(part(50, 1_000) * 2 + u32::from(side == Side::Ask));
                book.submit(&NewOrder::limit(side, owner, price, quantity), &mut Ignore).unwrap();
            }
            book.clear(&mut Ignore).unwrap();
            if let (Some(bid), Some(ask)) = (book.best(Side::Bid), book.best(Side::Ask)) {
                assert!(bid < ask, "{bid:?} {ask:?}");
            }
        }
        assert!(book.stats().fills > 1_000);
    }
}

/// The largest orders that validation lets by: nothing wraps, saturates or is rounded.
#[test]
fn invariant_12_the_largest_sums_are_exact() {
    let rules = Rules { ask_deposit_basis_points: 1_000_000, ..Rules::default() };
    let mut market = Market::new(rules);
    let Command::PlaceAsk(largest) = ask(class(0), u64::MAX, 1, (1, 1)) else { panic!("an ask") };
    let largest = Ask { units: gongsuan_types::order::UNITS_MAX, ..largest };
    market.submit(who(0), Command::PlaceAsk(largest)).unwrap();
    let held = u128::from(u64::MAX) * 1_000_000_000 * 100;
    assert_eq!(market.order(OrderId(1)).unwrap().held, Amount::new(held));
    block(&mut market, 1, vec![]);
    assert_eq!(market.book(class(0)).asks[0].units, gongsuan_types::order::UNITS_MAX);
    let mut book = Book::new(Mode::Continuous);
    let (price, all) = (Tick(u32::MAX - 1), Lots(u32::MAX));
    for (owner, side) in [(1, Side::Ask), (2, Side::Bid), (3, Side::Ask), (4, Side::Bid)] {
        book.submit(&NewOrder::limit(side, Owner(owner), price, all), &mut Ignore).unwrap();
    }
    let one = u128::from(u32::MAX) * u128::from(u32::MAX - 1);
    assert_eq!((book.stats().value, book.stats().volume), (2 * one, 2 * u64::from(u32::MAX)));
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
    // Four units, the bond of a twentieth of that, and four audits at a quarter more than a segment's price.
    let needed = 4 * 500 + 100 + 4 * 625;
    // The first search was in the block in which the bid came: 100 nodes, 60 of them paid.
    let fee = 60 * u128::from(price);
    assert_eq!(market.order(id).unwrap().held.micro(), needed + 1_000 - fee);
    let left = market.explain(id).unwrap().search_budget;
    assert_eq!(left.map(Amount::micro), Some(1_000 - fee));
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
    let why = market.explain(id).unwrap();
    assert_eq!((why.cancelled, why.search_budget), (Some(Why::SearchBudget), None));
    assert!(
        why.summary.starts_with(
            "the bid is over: its search budget was used up; if it were open, 0 of 6000"
        ),
        "{}",
        why.summary
    );
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
