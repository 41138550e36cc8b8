//! The mirror: new asks looking for resting bids that they suit. The bids are selective ones, as those that rest are.

use std::collections::BTreeMap;
use std::time::Instant;

use gongsuan_market::attributes::BidIndex;
use gongsuan_types::OrderId;
use gongsuan_types::order::Class;

use super::Tally;
use super::attributes::{Ask, Bid, Load, Mode, load};
use crate::machine::{cpu_nanos, percentile};
use crate::report::{Report, Row};

/// How many asks come.
const ASKS: usize = 20_000;

fn price(ask: &Ask) -> u64 {
    ask.key.price().0
}

/// Every bid of a list that an ask suits.
fn scan(bids: &[Bid], ask: &Ask) -> Vec<OrderId> {
    let mut found: Vec<_> = (1u64..)
        .zip(bids)
        .filter(|(_, bid)| {
            bid.class == ask.class
                && bid.price_max.0 >= price(ask)
                && bid.needs.accept(&ask.machine, ask.key.reputation())
        })
        .map(|(id, bid)| (u64::MAX - bid.price_max.0, id))
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, id)| OrderId(id)).collect()
}

fn row(
    (engine, workload): (&str, &str),
    asks: &[Ask],
    bids: u64,
    mut find: impl FnMut(&Ask) -> Vec<OrderId>,
) -> Row {
    crate::note(&format!("running {engine} on '{workload}' ..."));
    let (mut tally, mut latencies) = (Tally::default(), Vec::with_capacity(asks.len()));
    let (started, cpu) = (Instant::now(), cpu_nanos());
    for ask in asks {
        let before = Instant::now();
        for bid in find(ask) {
            tally.fill(bid.0, u32::try_from(price(ask)).unwrap_or(u32::MAX), 1);
        }
        latencies.push(u32::try_from(before.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
    let (cpu, wall) = (cpu_nanos() - cpu, started.elapsed().as_nanos());
    latencies.sort_unstable();
    let count = asks.len() as u64;
    let per_second = |nanos: u64| count.saturating_mul(1_000_000_000) / nanos.max(1);
    Row {
        engine: engine.into(),
        workload: workload.into(),
        ops_per_second: per_second(cpu),
        ops_per_second_median: per_second(cpu),
        ops_per_second_wall: per_second(u64::try_from(wall).unwrap_or(u64::MAX)),
        cpu_ns_per_op: cpu / count.max(1),
        p50_ns: percentile(&latencies, 500),
        p99_ns: percentile(&latencies, 990),
        p999_ns: percentile(&latencies, 999),
        max_ns: percentile(&latencies, 1_000),
        fills: tally.fills,
        volume: tally.volume,
        digest: tally.digest(),
        equal: None,
        extras: [("asks", count), ("bids", bids)].map(|(name, n)| (name.to_owned(), n)).into(),
    }
}

/// Runs `--mix mirror`: 10,000 bids and ten times more up to the number wanted.
pub(super) fn run(bids_max: usize, seed: u64, report: &mut Report) {
    let mut count = bids_max.min(10_000);
    loop {
        let Load { asks, bids, .. } = load(Mode::Selective, ASKS, count, seed);
        let mut index: BTreeMap<Class, BidIndex> = BTreeMap::new();
        for (id, bid) in (1u64..).zip(&bids) {
            index.entry(bid.class).or_default().insert(bid.price_max, &bid.needs, OrderId(id));
        }
        let find = |ask: &Ask| {
            let of_class = index.get(&ask.class);
            of_class.map_or_else(Vec::new, |bids| {
                bids.suited(&ask.machine, ask.key.reputation(), ask.key.price())
            })
        };
        let (workload, all) = (format!("mirror-{count}"), count as u64);
        report.workload(&workload, &[("asks", ASKS as u64), ("bids", all)]);
        report.add(row(("gongsuan", &workload), &asks, all, find));
        // The scan gets fewer asks, and the index the same few, so that the results compare.
        let few = (20_000_000 / count).clamp(40, 1_000);
        let short = format!("{workload}-short");
        let mut ours = row(("gongsuan", &short), &asks[..few], all, find);
        let mut naive = row(("scan", &short), &asks[..few], all, |ask| scan(&bids, ask));
        let equal = ours.digest == naive.digest;
        (ours.equal, naive.equal) = (Some(equal), Some(equal));
        report.add(ours);
        report.add(naive);
        if count >= bids_max {
            return;
        }
        count = bids_max.min(count * 10);
    }
}
