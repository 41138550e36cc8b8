//! Asks with machines, bids with requirements: find the cheapest suitable ask, take it, put a new one in.
//!
//! The machines are drawn with integers only. *typical* bids ask for small machines; *selective* ones for large machines of well-known
//! owners at a low price; *anti* is selective on asks whose memory falls as their cores rise, which defeats plain maxima.

use std::collections::BTreeMap;
use std::time::Instant;

use gongsuan_market::attributes::{AskIndex, AskKey, Step};
use gongsuan_types::order::{
    Arch, Capabilities, Class, GpuModel, Machine, Region, RegionSet, Requirements, Unit,
};
use gongsuan_types::{OrderId, Price};

use super::Tally;
use super::stream::Rng;
use crate::machine::{cpu_nanos, percentile};
use crate::report::{Report, Row};

/// The nodes that one bid may visit, as in the default rules.
const WORK: u32 = 4_096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Typical,
    Selective,
    Anti,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) class: Class,
    pub(super) key: AskKey,
    pub(super) machine: Machine,
    pub(super) id: OrderId,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Bid {
    pub(super) class: Class,
    pub(super) needs: Requirements,
    pub(super) price_max: Price,
}

/// Books that can be asked for the best ask.
trait Asks {
    fn insert(&mut self, ask: &Ask);
    fn remove(&mut self, ask: &Ask);
    /// The best ask, and the nodes or asks looked at. `None` and a full count: the work ran out.
    fn find(&self, bid: &Bid) -> (Option<OrderId>, u32);
    fn bytes(&self) -> usize;
}

#[derive(Default)]
struct Indexed(BTreeMap<Class, AskIndex>);

impl Asks for Indexed {
    fn insert(&mut self, ask: &Ask) {
        self.0.entry(ask.class).or_default().insert(ask.key, &ask.machine, ask.id);
    }

    fn remove(&mut self, ask: &Ask) {
        let there = self.0.get_mut(&ask.class).is_some_and(|index| index.remove(ask.key));
        assert!(there, "a filled ask was in the book");
    }

    fn find(&self, bid: &Bid) -> (Option<OrderId>, u32) {
        let Some(index) = self.0.get(&bid.class) else { return (None, 0) };
        let mut work = WORK;
        let step = index.next(&bid.needs, AskKey::FIRST, bid.price_max, &mut work);
        let found = if let Step::Found(_, id) = step { Some(id) } else { None };
        (found, WORK - work)
    }

    fn bytes(&self) -> usize {
        self.0.values().map(AskIndex::bytes).sum()
    }
}

/// The honest comparison: everybody whose market we know scans.
#[derive(Default)]
struct Scan {
    asks: Vec<Ask>,
    places: BTreeMap<OrderId, usize>,
}

impl Asks for Scan {
    fn insert(&mut self, ask: &Ask) {
        self.places.insert(ask.id, self.asks.len());
        self.asks.push(*ask);
    }

    fn remove(&mut self, ask: &Ask) {
        let Some(place) = self.places.remove(&ask.id) else { return };
        self.asks.swap_remove(place);
        if let Some(moved) = self.asks.get(place) {
            self.places.insert(moved.id, place);
        }
    }

    fn find(&self, bid: &Bid) -> (Option<OrderId>, u32) {
        let suits = |ask: &&Ask| {
            ask.class == bid.class
                && ask.key.price() <= bid.price_max
                && bid.needs.accept(&ask.machine, ask.key.reputation())
        };
        let best = self.asks.iter().filter(suits).min_by_key(|ask| ask.key);
        (best.map(|ask| ask.id), 0)
    }

    fn bytes(&self) -> usize {
        self.asks.len() * size_of::<Ask>()
    }
}

/// About exponential: a value from 1 to below `2^bits`, with as many at each power of two.
fn spread(rng: &mut Rng, bits: u64) -> u64 {
    let drawn = rng.below(bits << 16);
    let (power, part) = (drawn >> 16, drawn & 0xffff);
    ((65_536 + part) << power) >> 16
}

/// About normal: 0 on average, 65,536 the deviation.
fn normal(rng: &mut Rng) -> i64 {
    let sum: u64 = (0..12).map(|_| rng.below(65_536)).sum();
    i64::try_from(sum).unwrap_or(0) - 6 * 65_536
}

/// `mean × e^(normal × 0.35)`, about.
fn around(rng: &mut Rng, mean: u64) -> u64 {
    let step = 65_536 + normal(rng) * 35 / 800;
    let mut value = i64::try_from(mean << 16).unwrap_or(0);
    for _ in 0..8 {
        value = ((value >> 8) * (step >> 4)) >> 4;
    }
    u64::try_from(value >> 16).unwrap_or(1).max(1)
}

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[usize::try_from(rng.below(of.len() as u64)).unwrap_or(0)]
}

fn class(gpu: u64, arm: bool) -> Class {
    let gpu = (gpu > 0).then(|| GpuModel(u16::try_from(gpu).unwrap_or(0)));
    Class { unit: Unit::CoreSecond, arch: if arm { Arch::Aarch64 } else { Arch::X86_64 }, gpu }
}

fn to_u32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn to_u16(value: u64) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

fn region(rng: &mut Rng) -> u8 {
    u8::try_from(spread(rng, 4) - 1).unwrap_or(0)
}

/// Three of four owners are vetted; seven other capabilities have one machine of eight each.
fn capabilities(rng: &mut Rng) -> Capabilities {
    let vetted = u64::from(rng.below(4) > 0);
    Capabilities(vetted | (rng.next() & rng.next() & rng.next() & 0xfe))
}

/// One bid of four wants a vetted owner, one of fifty one of the rarer capabilities.
fn needed_capabilities(rng: &mut Rng) -> Capabilities {
    match rng.below(100) {
        0..25 => Capabilities::VETTED,
        25 | 26 => Capabilities(1 << (1 + rng.below(7))),
        _ => Capabilities::NONE,
    }
}

fn new_ask(rng: &mut Rng, number: u64, anti: bool) -> Ask {
    let power = rng.below(8);
    let cores = (1 << power) + rng.below(1 + (1 << power) / 4);
    let memory_gib = if anti {
        (2_048 / cores).max(1) + rng.below(8)
    } else {
        cores * pick(rng, &[1, 2, 4, 4, 8, 16])
    };
    let has_gpu = rng.below(100) < 30;
    let gpu = if has_gpu { spread(rng, 4) } else { 0 };
    let gpus = if has_gpu { pick(rng, &[1, 1, 1, 2, 4, 8]) } else { 0 };
    let reputation = (500 + normal(rng) * 170 / 65_536).clamp(0, 1_000);
    let reputation = u16::try_from(reputation).unwrap_or(0);
    let base = around(rng, 2_000) * if has_gpu { 7 } else { 1 };
    let price = base * (1_000 + 2 * u64::from(reputation) / 5) / 1_000;
    let disk_gib = if anti { (4_000 / memory_gib).max(1) } else { 2 * spread(rng, 9) };
    Ask {
        class: class(gpu, rng.below(100) < 15),
        key: AskKey::new(Price(price), reputation, number),
        machine: Machine {
            cpu_cores: to_u16(cores),
            memory_mib: to_u32(memory_gib * 1_024),
            disk_mib: to_u32(disk_gib * 1_024),
            gpu_count: gpus,
            duration_s_max: to_u32(3_600 * spread(rng, 9)),
            region: Region(region(rng)),
            capabilities: capabilities(rng),
        },
        id: OrderId(number),
    }
}

fn new_bid(rng: &mut Rng, selective: bool) -> Bid {
    let power = if selective { 4 + rng.below(4) } else { rng.below(6) };
    let cores = 1u64 << power;
    let has_gpu = rng.below(100) < 35;
    let reputations: &[u16] = if selective {
        &[500, 700, 800, 900, 950]
    } else {
        &[0, 0, 0, 0, 300, 300, 500, 500, 700, 900]
    };
    let regions = if rng.below(2) == 0 {
        u64::MAX
    } else {
        (0..=rng.below(3)).map(|_| 1u64 << region(rng)).fold(0, |set, bit| set | bit)
    };
    let percent = if selective { 45 + rng.below(50) } else { 80 + rng.below(80) };
    let gpu = if has_gpu { spread(rng, 4) } else { 0 };
    Bid {
        class: class(gpu, rng.below(100) < 15),
        needs: Requirements {
            cpu_cores_min: to_u16(cores),
            memory_mib_min: to_u32(cores * pick(rng, &[1, 2, 4]) * 1_024),
            disk_mib_min: to_u32(spread(rng, 8) * 1_024),
            gpu_count_min: if has_gpu { pick(rng, &[1, 1, 2, 4]) } else { 0 },
            duration_s_min: to_u32(1_800 * spread(rng, 8)),
            reputation_min: pick(rng, reputations),
            regions: RegionSet(regions),
            capabilities: needed_capabilities(rng),
        },
        price_max: Price(2_000 * percent / 100 * if has_gpu { 7 } else { 1 }),
    }
}

pub(super) struct Load {
    pub(super) asks: Vec<Ask>,
    pub(super) bids: Vec<Bid>,
    fresh: Vec<Ask>,
}

pub(super) fn load(mode: Mode, asks: usize, bids: usize, seed: u64) -> Load {
    let (mut rng, mut bid_rng) = (Rng(seed), Rng(seed ^ 0x5eed));
    let count = asks as u64;
    let anti = mode == Mode::Anti;
    Load {
        asks: (1..=count).map(|number| new_ask(&mut rng, number, anti)).collect(),
        bids: (0..bids).map(|_| new_bid(&mut bid_rng, mode != Mode::Typical)).collect(),
        fresh: (0..bids as u64).map(|n| new_ask(&mut rng, count + 1 + n, anti)).collect(),
    }
}

/// Runs the cycle and, first, the searches alone.
fn measure<A: Asks + Default>(names: (&str, &str), load: &Load, bids: usize) -> [Row; 2] {
    let (engine, workload) = names;
    crate::note(&format!("running {engine} on '{workload}' ..."));
    let mut book = A::default();
    load.asks.iter().for_each(|ask| book.insert(ask));
    let bytes = book.bytes() as u64 / load.asks.len().max(1) as u64;
    let bids = &load.bids[..bids];
    let (mut nodes, mut latencies) = (Vec::new(), Vec::new());
    let (mut hits, mut deferred) = (0, 0);
    let (started, cpu) = (Instant::now(), cpu_nanos());
    for bid in bids {
        let (found, visited) = book.find(bid);
        nodes.push(visited);
        hits += u64::from(found.is_some());
        deferred += u64::from(found.is_none() && visited == WORK);
    }
    let find = (cpu_nanos() - cpu, started.elapsed().as_nanos());
    for bid in bids.iter().take(50_000) {
        let started = Instant::now();
        std::hint::black_box(book.find(bid));
        latencies.push(u32::try_from(started.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
    let mut by_id = load.asks.clone();
    by_id.extend(&load.fresh);
    let (mut tally, mut next) = (Tally::default(), 0);
    let (started, cpu) = (Instant::now(), cpu_nanos());
    for bid in bids {
        let (Some(id), _) = book.find(bid) else { continue };
        let ask = by_id[usize::try_from(id.0 - 1).unwrap_or(0)];
        tally.fill(id.0, to_u32(ask.key.price().0), 1);
        book.remove(&ask);
        book.insert(&load.fresh[next]);
        next += 1;
    }
    let cycle = (cpu_nanos() - cpu, started.elapsed().as_nanos());
    nodes.sort_unstable();
    latencies.sort_unstable();
    let total: u64 = nodes.iter().map(|count| u64::from(*count)).sum();
    let count = bids.len() as u64;
    let extras = [
        ("asks", load.asks.len() as u64),
        ("bids", count),
        ("hits", hits),
        ("deferred", deferred),
        ("nodes_total", total),
        ("nodes_mean", total / count.max(1)),
        ("nodes_p99", percentile(&nodes, 990)),
        ("nodes_max", percentile(&nodes, 1_000)),
        ("bytes_per_order", bytes),
    ];
    let row = |what: &str, (cpu, wall): (u64, u128), fills: Tally| {
        let per_second = |nanos: u64| count.saturating_mul(1_000_000_000) / nanos.max(1);
        Row {
            engine: engine.into(),
            workload: format!("{workload}-{what}"),
            ops_per_second: per_second(cpu),
            ops_per_second_median: per_second(cpu),
            ops_per_second_wall: per_second(u64::try_from(wall).unwrap_or(u64::MAX)),
            cpu_ns_per_op: cpu / count.max(1),
            p50_ns: percentile(&latencies, 500),
            p99_ns: percentile(&latencies, 990),
            p999_ns: percentile(&latencies, 999),
            max_ns: percentile(&latencies, 1_000),
            fills: fills.fills,
            volume: fills.volume,
            digest: fills.digest(),
            equal: None,
            extras: extras.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        }
    };
    [row("find", find, Tally::default()), row("cycle", cycle, tally)]
}

/// Runs `--mix attributes`: 10,000 asks and ten times more up to the number wanted.
pub(super) fn run(asks_max: usize, seed: u64, report: &mut Report) {
    let modes = [(Mode::Typical, "typical"), (Mode::Selective, "selective"), (Mode::Anti, "anti")];
    for (mode, name) in modes {
        let mut asks = asks_max.min(10_000);
        loop {
            let load = load(mode, asks, 100_000, seed);
            let workload = format!("attributes-{name}-{asks}");
            report.workload(&workload, &[("asks", asks as u64), ("bids", load.bids.len() as u64)]);
            for row in measure::<Indexed>(("gongsuan", &workload), &load, load.bids.len()) {
                report.add(row);
            }
            // The scan gets fewer bids, and the index the same few, so that the results compare.
            let few = (20_000_000 / asks).clamp(40, 1_000);
            let short = format!("{workload}-short");
            let ours = measure::<Indexed>(("gongsuan", &short), &load, few);
            let scan = measure::<Scan>(("scan", &short), &load, few);
            for (mut ours, mut scan) in ours.into_iter().zip(scan) {
                let equal = ours.digest == scan.digest;
                (ours.equal, scan.equal) = (Some(equal), Some(equal));
                report.add(ours);
                report.add(scan);
            }
            if asks >= asks_max {
                break;
            }
            asks = asks_max.min(asks * 10);
        }
    }
}
