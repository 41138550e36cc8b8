//! The market and the obvious market, event for event and settlement for settlement; and what the order of a block's transactions may change.
//! The numbers of invariants are those of `docs/market.md`.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks what it needs")]

mod support;

use gongsuan_market::prelude::*;
use gongsuan_types::job::{Check, JobOrder, Pace};
use gongsuan_types::order::{
    Arch, Ask, Bid, Capabilities, Class, GpuModel, Machine, Party, Region, RegionSet, Requirements,
    Unit, Work,
};
use gongsuan_types::{Address, DurationMs, Hash, Height, Price, TimeMs, Units};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use support::cases;

/// One thing that an account does.
#[derive(Clone, Debug)]
struct Step {
    account: u8,
    command: Command,
}

fn party(account: u8) -> Party {
    let attested = if account == 0 { Capabilities::VETTED } else { Capabilities::NONE };
    Party { address: Address([account + 1; 32]), attested }
}

fn class(number: u8) -> Class {
    let gpu = (number > 0).then(|| GpuModel(number.into()));
    Class { unit: Unit::GigaFuel, arch: Arch::Wasm, gpu }
}

fn machine() -> impl Strategy<Value = Machine> {
    let size = || prop_oneof![Just(1u16), 1u16..9, Just(64u16)];
    (size(), size(), 0u8..3, 0u64..3).prop_map(|(cores, memory, region, bits)| Machine {
        cpu_cores: cores,
        memory_mib: u32::from(memory) * 512,
        disk_mib: 0,
        gpu_count: 0,
        duration_s_max: 60,
        region: Region(region),
        // The lowest bit is the chain's to give.
        capabilities: Capabilities(bits << 1),
    })
}

fn needs() -> impl Strategy<Value = Requirements> {
    let least = || prop_oneof![3 => Just(0u16), 1 => 1u16..9];
    let regions = prop_oneof![2 => Just(u64::MAX), 1 => 0u64..16];
    let reputation = prop_oneof![8 => Just(0u16), 2 => Just(500u16), 1 => Just(501u16)];
    (least(), least(), regions, prop_oneof![4 => Just(0u64), 1 => 0u64..4], reputation).prop_map(
        |(cores, memory, regions, capabilities, reputation)| Requirements {
            cpu_cores_min: cores,
            memory_mib_min: u32::from(memory) * 512,
            regions: RegionSet(regions),
            capabilities: Capabilities(capabilities),
            reputation_min: reputation,
            ..Requirements::ANY
        },
    )
}

fn ask() -> impl Strategy<Value = Command> {
    ((0u8..2, 90u64..110, 1u64..40), (1u64..9, 1u64..300), machine()).prop_map(
        |((kind, price, units), (fill_min, expires), machine)| {
            Command::PlaceAsk(Ask {
                class: class(kind),
                price: Price(price),
                units: Units(units),
                fill_min: Units(fill_min.min(units)),
                machine,
                expires_at: TimeMs(expires * 100),
            })
        },
    )
}

/// `lot` Gf a segment.
fn work(
    segments: u32,
    lot: u64,
    samples: u16,
    deposit_basis_points: u32,
    way: (Check, Pace),
) -> Work {
    let spec = support::spec::job(segments, lot);
    Work::Job(Box::new(JobOrder {
        spec,
        // Longer than any test: deals have no life here.
        ack_within: DurationMs(3_000_000),
        run_within: DurationMs(3_000_000),
        samples,
        deposit_basis_points,
        secret_hash: Hash::ZERO,
        check: way.0,
        pace: way.1,
    }))
}

fn bid() -> impl Strategy<Value = Command> {
    let rules = prop_oneof![
        3 => Just(FillRule::Rest),
        1 => Just(FillRule::ImmediateOrCancel),
        1 => Just(FillRule::FillOrKill),
        1 => Just(FillRule::AllOrNone),
    ];
    let policies = prop_oneof![
        Just(SelfMatch::Skip),
        Just(SelfMatch::CancelResting),
        Just(SelfMatch::CancelIncoming)
    ];
    let size = (1u32..12, 1u64..4, prop_oneof![3 => Just(1u64), 1 => 0u64..30], 1u16..5);
    let money = (
        prop_oneof![1 => Just(0u16), 9 => 1u16..3],
        prop_oneof![9 => Just(10_000u32), 3 => Just(0), 1 => Just(10_001)],
    );
    let way = prop_oneof![
        4 => (1u16..3, 1u8..3).prop_map(|(batches_max, attempts_max)| (
            Check::Lottery,
            Pace { batches_max, attempts_max, ..Pace::default() },
        )),
        1 => (2u8..4).prop_map(|copies| (Check::Quorum { copies }, Pace::default())),
    ];
    ((0u8..2, 95u64..115, 1u64..300), size, money, (rules, policies, way), needs()).prop_map(
        |((kind, price_max, expires), (segments, lot, fill_min, deals_max), money, how, needs)| {
            let units = u64::from(segments) * lot;
            Command::PlaceBid(Box::new(Bid {
                class: class(kind),
                price_max: Price(price_max),
                units: Units(units),
                lot: Units(lot),
                fill_min: Units(fill_min.min(units)),
                deals_max,
                requirements: needs,
                fill_rule: how.0,
                self_match: how.1,
                expires_at: TimeMs(expires * 100),
                work: work(segments, lot, money.0, money.1, how.2),
            }))
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let command = prop_oneof![
        5 => ask(),
        5 => bid(),
        1 => (0u64..25).prop_map(|order| Command::Cancel(OrderId(order))),
        2 => (0u64..25, 0u64..40, 89u64..110).prop_map(|(order, units, price)| Command::Amend {
            order: OrderId(order),
            units: Units(units),
            price: Price(price),
        }),
    ];
    (0u8..4, command).prop_map(|(account, command)| Step { account, command })
}

/// No bound on work, which the obvious market does not have either; and few orders an account, so that the bound is met.
fn rules() -> Rules {
    Rules {
        visits_max: u32::MAX,
        visits_free: u32::MAX,
        orders_per_account_max: 12,
        ..Rules::default()
    }
}

fn moment(height: u64, time: u64) -> Moment {
    let block = Hash::of_content(&height.to_le_bytes());
    Moment { height: Height(height), time: TimeMs(time), block }
}

fn blocks() -> impl Strategy<Value = Vec<(u64, Vec<Step>)>> {
    prop::collection::vec((0u64..900, prop::collection::vec(step(), 0..10)), 1..14)
}

/// What is compared below is worth comparing: in the same random worlds, orders trade, end in every way, and are refused.
#[test]
fn the_random_worlds_are_lively() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut fills, mut copies, mut refused, mut expired) = (0, 0, 0, 0);
    let mut whys = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let world = blocks().new_tree(&mut runner).expect("a world").current();
        let (mut market, mut time) = (NaiveMarket::new(rules()), 0);
        for (height, (wait, steps)) in (1..).zip(world) {
            time += wait;
            market.begin_block(moment(height, time));
            for Step { account, command } in steps {
                refused += u32::from(market.submit(party(account), command).is_err());
            }
            for event in market.end_block().events {
                match event {
                    Event::Filled { bid, .. } => {
                        fills += 1;
                        let order = market.orders().iter().find(|order| order.id == bid);
                        let bid = order.and_then(Order::bid).expect("a bid");
                        copies += u32::from(bid.work.check().copies() > 1);
                    }
                    Event::Cancelled { why, .. } => drop(whys.insert(format!("{why:?}"))),
                    Event::Expired { .. } => expired += 1,
                    _ => {}
                }
            }
        }
    }
    assert!(
        fills > 500 && copies > 40 && refused > 500 && expired > 100,
        "{fills} {copies} {refused} {expired}"
    );
    let at_the_end: Vec<_> = whys.iter().map(String::as_str).collect();
    assert_eq!(at_the_end, ["Counterparties", "Immediate", "NotWhole", "SelfMatch"]);
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn invariant_2_the_market_says_what_the_obvious_market_says(
        blocks in blocks()
    ) {
        let (mut fast, mut naive) = (Market::new(rules()), NaiveMarket::new(rules()));
        let mut time = 0;
        for (height, (wait, steps)) in (1..).zip(blocks) {
            time += wait;
            let quiet = fast.begin_block(moment(height, time), &[]);
            prop_assert!(quiet.events.is_empty(), "no deal has a deadline here");
            naive.begin_block(moment(height, time));
            for Step { account, command } in steps {
                fast.begin_tx();
                let left = fast.submit(party(account), command.clone());
                if left.is_ok() { fast.commit_tx() } else { fast.abort_tx() }
                let right = naive.submit(party(account), command);
                prop_assert_eq!(&left, &right);
            }
            let (left, right) = (fast.end_block(), naive.end_block());
            prop_assert_eq!(left.events, right.events);
            prop_assert_eq!(left.settlements, right.settlements);
            prop_assert!(fast.orders().eq(naive.orders()), "the orders themselves are equal");
            let bytes = gongsuan_types::codec::encode(&fast);
            fast = gongsuan_types::codec::decode("market", usize::MAX, &bytes).expect("its own bytes");
        }
    }

    /// Prices differ, so that nothing is left to chance (ties are broken by a hash of the number, which the sequence decides).
    #[test]
    fn invariant_8_the_sequence_of_a_blocks_transactions_changes_numbers_only(
        blocks in prop::collection::vec(prop::collection::vec((step(), any::<u64>()), 0..10), 1..8)
    ) {
        // Each order under a name that does not depend on the sequence: its block and its place in the block as generated.
        type Name = (u64, usize);
        let run = |shuffled: bool| {
            let mut market = Market::new(Rules { orders_per_account_max: 1_000, ..rules() });
            let mut names: std::collections::BTreeMap<OrderId, Name> = Default::default();
            let mut fills = Vec::new();
            for (height, block) in (1..).zip(&blocks) {
                market.begin_block(moment(height, height), &[]);
                let mut steps: Vec<_> = block.iter().enumerate().collect();
                if shuffled {
                    steps.sort_by_key(|(_, (_, rank))| *rank);
                }
                for (place, (Step { account, command }, _)) in steps {
                    let mut command = command.clone();
                    let unique = Price(1_000_000 + 100 * (height * 10 + place as u64));
                    match &mut command {
                        Command::PlaceAsk(ask) => ask.price.0 = unique.0 - 100 * (ask.price.0 % 20) * 10,
                        Command::PlaceBid(bid) => bid.price_max.0 += unique.0,
                        _ => continue,
                    }
                    if let Ok(outcome) = market.submit(party(*account), command)
                        && let Some(Event::Placed { order, .. }) = outcome.events.first()
                    {
                        names.insert(*order, (height, place));
                    }
                }
                let mut block_fills: Vec<_> = market.end_block().events.iter().filter_map(|event| match event {
                    Event::Filled { ask, bid, price, units, .. } => Some((names[ask], names[bid], *price, *units)),
                    _ => None,
                }).collect();
                block_fills.sort_unstable();
                fills.push(block_fills);
            }
            let mut orders: Vec<_> = market.orders().map(|order| (names[&order.id], order.open, order.state, order.held)).collect();
            orders.sort_unstable_by_key(|order| order.0);
            (fills, orders)
        };
        prop_assert_eq!(run(false), run(true));
    }
}
