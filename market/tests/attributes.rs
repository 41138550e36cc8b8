//! The attribute index against a list, under random inserts, removals and searches; and its shape against one that was built afresh.

mod support;

use gongsuan_market::attributes::{AskIndex, AskKey, BidIndex, Step};
use gongsuan_types::order::{Capabilities, Machine, Region, RegionSet, Requirements};
use gongsuan_types::{OrderId, Price};
use proptest::prelude::*;
use support::cases;

fn size() -> impl Strategy<Value = u32> {
    prop_oneof![3 => 0u32..5, 2 => 0u32..70_000, 1 => 2_040u32..2_060, 1 => Just(u32::MAX)]
}

fn small() -> impl Strategy<Value = u16> {
    prop_oneof![0u16..5, 0u16..1_100, Just(u16::MAX)]
}

fn price() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 1u64..6, 3 => 1u64..3_000, 1 => any::<u64>()]
}

fn machine() -> impl Strategy<Value = Machine> {
    ((small(), size(), size()), (0u16..4, size(), 0u8..70, 0u64..8)).prop_map(|(a, b)| Machine {
        cpu_cores: a.0,
        memory_mib: a.1,
        disk_mib: a.2,
        gpu_count: b.0,
        duration_s_max: b.1,
        region: Region(b.2 % 4 + if b.2 > 60 { 62 } else { 0 }),
        capabilities: Capabilities(b.3),
    })
}

fn needs() -> impl Strategy<Value = Requirements> {
    let bits = prop_oneof![3 => Just(u64::MAX), 2 => 0u64..16];
    let little = (prop_oneof![2 => Just(0), 1 => small()], prop_oneof![2 => Just(0), 1 => size()]);
    (little, (prop_oneof![3 => Just(0), 1 => size()], 0u16..2, 0u32..4), (0u16..900, bits, 0u64..4))
        .prop_map(|(a, b, c)| Requirements {
            cpu_cores_min: a.0,
            memory_mib_min: a.1,
            disk_mib_min: b.0,
            gpu_count_min: b.1,
            duration_s_min: b.2,
            reputation_min: c.0,
            regions: RegionSet(c.1),
            capabilities: Capabilities(c.2),
        })
}

type Asks = Vec<(AskKey, Machine, OrderId)>;

fn list() -> impl Strategy<Value = Asks> {
    prop::collection::vec((price(), 0u16..1_001, machine()), 0..120).prop_map(|asks| {
        let numbered = (1u64..).zip(asks);
        numbered
            .map(|(n, (price, reputation, machine))| {
                (AskKey::new(Price(price), reputation, n), machine, OrderId(n))
            })
            .collect()
    })
}

fn naive_next(asks: &Asks, needs: &Requirements, from: AskKey, max: Price) -> Step {
    let suitable = asks
        .iter()
        .filter(|(key, machine, _)| {
            *key >= from && key.price() <= max && needs.accept(machine, key.reputation())
        })
        .min_by_key(|ask| ask.0);
    suitable.map_or(Step::Nothing, |(key, _, id)| Step::Found(*key, *id))
}

fn build(asks: &Asks) -> AskIndex {
    let mut index = AskIndex::new();
    for (key, machine, id) in asks {
        index.insert(*key, machine, *id);
    }
    index
}

/// The path of a search, told by how much work each budget lacks.
fn work_of(index: &AskIndex, needs: &Requirements, max: Price) -> u32 {
    let mut work = 1_000_000;
    let mut from = AskKey::FIRST;
    while let Step::Found(key, _) = index.next(needs, from, max, &mut work) {
        from = key.next();
    }
    1_000_000 - work
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn invariants_2_7_10_every_search_finds_what_a_scan_finds(
        mut asks in list(), searches in prop::collection::vec((needs(), price()), 1..12),
        removals in prop::collection::vec(any::<prop::sample::Index>(), 0..120)
    ) {
        let mut index = build(&asks);
        index.check();
        for removal in removals {
            for (needs, max) in &searches {
                let mut from = AskKey::FIRST;
                loop {
                    let mut work = u32::MAX;
                    let found = index.next(needs, from, Price(*max), &mut work);
                    prop_assert_eq!(found, naive_next(&asks, needs, from, Price(*max)));
                    let Step::Found(key, _) = found else { break };
                    from = key.next();
                }
            }
            if !asks.is_empty() {
                let (key, ..) = asks.swap_remove(removal.index(asks.len()));
                prop_assert!(index.remove(key));
                prop_assert!(!index.remove(key));
                index.check();
            }
        }
        // The shape depends on the set alone: an index built afresh in another order visits the same number of nodes.
        asks.reverse();
        let fresh = build(&asks);
        prop_assert_eq!(&index, &fresh);
        for (needs, max) in &searches {
            prop_assert_eq!(
                work_of(&index, needs, Price(*max)),
                work_of(&fresh, needs, Price(*max))
            );
        }
    }

    /// Whatever the budget, going on where the work ran out finds the same orders.
    #[test]
    fn a_bounded_search_goes_on_where_it_stopped(
        asks in list(), needs in needs(), max in price(), budget in 1u32..6
    ) {
        let index = build(&asks);
        let (mut from, mut bounded, mut steps) = (AskKey::FIRST, Vec::new(), 0);
        loop {
            let mut work = budget;
            steps += 1;
            prop_assert!(steps < 10_000, "every step gets further");
            match index.next(&needs, from, Price(max), &mut work) {
                Step::Found(key, id) => {
                    bounded.push(id);
                    from = key.next();
                }
                Step::OutOfWork(key) => {
                    prop_assert!(key >= from);
                    // A budget below the depth of the trie cannot get on: the caller gives more then.
                    if key == from {
                        break;
                    }
                    from = key;
                }
                Step::Nothing => break,
            }
        }
        let mut from = AskKey::FIRST;
        let mut all = Vec::new();
        while let Step::Found(key, id) = naive_next(&asks, &needs, from, Price(max)) {
            all.push(id);
            from = key.next();
        }
        prop_assert!(all.starts_with(&bounded), "{:?} {:?}", all, bounded);
    }

    #[test]
    fn a_new_ask_finds_the_bids_that_it_suits(
        bids in prop::collection::vec((price(), needs()), 0..100), ask in machine(),
        reputation in 0u16..1_001, at in price(), removed in 0usize..50
    ) {
        let mut bids: Vec<(u64, Price, Requirements)> =
            (1u64..).zip(bids).map(|(n, (price, needs))| (n, Price(price), needs)).collect();
        let mut index = BidIndex::new();
        for (id, price, needs) in &bids {
            index.insert(*price, needs, OrderId(*id));
        }
        for _ in 0..removed.min(bids.len()) {
            let (id, price, _) = bids.swap_remove(0);
            prop_assert!(index.remove(price, OrderId(id)));
        }
        index.check();
        let suited = |bid: &&(u64, Price, Requirements)| {
            bid.1 >= Price(at) && bid.2.accept(&ask, reputation)
        };
        let mut expected: Vec<_> = bids.iter().filter(suited).map(|bid| (bid.1, bid.0)).collect();
        expected.sort_by_key(|(price, id)| (std::cmp::Reverse(*price), *id));
        let expected: Vec<_> = expected.into_iter().map(|(_, id)| OrderId(id)).collect();
        prop_assert_eq!(index.suited(&ask, reputation, Price(at)), expected);
    }
}

#[test]
fn reputation_breaks_ties_of_price_and_age_ties_of_reputation() {
    let keys = [(5, 900, 9), (5, 900, 10), (5, 100, 1), (6, 1_000, 2)];
    let keys = keys.map(|(price, reputation, age)| AskKey::new(Price(price), reputation, age));
    assert!(keys.is_sorted());
    assert_eq!((keys[0].price(), keys[0].reputation()), (Price(5), 900));
    assert!(AskKey::last_at(Price(5)) > keys[2] && AskKey::last_at(Price(5)) < keys[3]);
}

const PLAIN: Machine = Machine {
    cpu_cores: 4,
    memory_mib: 1_024,
    disk_mib: 0,
    gpu_count: 0,
    duration_s_max: 60,
    region: Region(0),
    capabilities: Capabilities::NONE,
};

/// A leaf moves as it grows and shrinks, and every room it leaves is used again.
#[test]
fn memory_follows_the_asks_and_not_their_history() {
    let asks: Vec<_> =
        (0..3_000u64).map(|n| (AskKey::new(Price(n * 37 % 1_001), 500, n), n)).collect();
    let mut index = AskIndex::new();
    let fill = |index: &mut AskIndex| {
        for (key, n) in &asks {
            index.insert(*key, &PLAIN, OrderId(*n));
        }
        index.check();
        let most = index.bytes();
        for (key, _) in &asks {
            assert!(index.remove(*key));
        }
        assert!(index.is_empty());
        most
    };
    let first = fill(&mut index);
    for _ in 0..5 {
        assert_eq!(fill(&mut index), first);
    }
}
