//! The façade: blocks of orders through [`Market`], as the chain runs it, on one thread and on all of them.
//!
//! Half of the orders are asks, half bids for jobs of one to four segments. Included: validation, records, both indexes, matching, opening
//! deals, deadlines. Not included: signatures, accounts, the state root, and the life of the deals after the match.

use std::time::Instant;

use gongsuan_market::{Command, Event, Market, Moment, Rules};
use gongsuan_types::job::{Check, JOB_VERSION, JobOrder, JobSpec, Limits, MapInput, Pace, Shape};
use gongsuan_types::order::{
    Arch, Ask, Bid, Capabilities, Class, FillRule, Machine, Party, SelfMatch, Unit, Work,
};
use gongsuan_types::{Address, DurationMs, Fuel, Hash, Height, Price, TimeMs, Units};

use super::attributes::{self, Load, Mode, load};
use super::{Options, Tally};
use crate::machine::percentile;
use crate::report::{Report, Row};

/// Orders of one block.
const BLOCK: usize = 1_000;
/// Nothing expires while the benchmark runs.
const LATE: TimeMs = TimeMs(1_000_000_000);

/// The class as one that sells proved work: bids here are for jobs.
fn sold(class: Class) -> Class {
    Class { unit: Unit::GigaFuel, arch: Arch::Wasm, gpu: class.gpu }
}

fn party(number: usize) -> Party {
    let name = u16::try_from(number % 20_011).unwrap_or(0).to_le_bytes();
    let mut address = [1; 32];
    address[..2].copy_from_slice(&name);
    // Three of four owners are vetted.
    let vetted = !number.is_multiple_of(4);
    let attested = if vetted { Capabilities::VETTED } else { Capabilities::NONE };
    Party { address: Address(address), attested }
}

fn place_ask(ask: &attributes::Ask, number: u64) -> Command {
    Command::PlaceAsk(Ask {
        class: sold(ask.class),
        price: ask.key.price(),
        units: Units(1 + number % 8),
        fill_min: Units(1),
        // Vetting is attested by the chain, never claimed.
        machine: Machine {
            capabilities: Capabilities(ask.machine.capabilities.0 & !Capabilities::VETTED.0),
            ..ask.machine
        },
        expires_at: LATE,
    })
}

fn place_bid(bid: &attributes::Bid, number: u64) -> Command {
    let segments = u32::try_from(1 + number % 4).unwrap_or(1);
    let spec = JobSpec {
        version: JOB_VERSION,
        module: Hash::ZERO,
        meter: 1,
        args: Vec::new(),
        shape: Shape::Map { segments, input: MapInput::Shared(Hash::ZERO) },
        limits: Limits { fuel: Fuel(1_000_000_000), memory_pages: 1, output_bytes: 0 },
        seed: Hash::ZERO,
    };
    // Reputations are those of newcomers here.
    let reputation_min = bid.needs.reputation_min.min(500);
    Command::PlaceBid(Box::new(Bid {
        class: sold(bid.class),
        price_max: Price(bid.price_max.0),
        units: Units(u64::from(segments)),
        lot: Units(1),
        fill_min: Units(1),
        deals_max: 4,
        requirements: gongsuan_types::order::Requirements { reputation_min, ..bid.needs },
        fill_rule: FillRule::Rest,
        self_match: SelfMatch::Skip,
        expires_at: LATE,
        work: Work::Job(Box::new(JobOrder {
            spec,
            ack_within: DurationMs(1_000_000),
            run_within: DurationMs(1_000_000),
            samples: 1,
            deposit_basis_points: 10_000,
            secret_hash: Hash::ZERO,
            check: Check::default(),
            pace: Pace::default(),
        })),
    }))
}

fn commands(load: &Load) -> Vec<(Party, Command)> {
    let pairs = (0u64..).zip(load.asks.iter().zip(&load.bids));
    pairs
        .flat_map(|(number, (ask, bid))| [place_ask(ask, number), place_bid(bid, number)])
        .enumerate()
        .map(|(number, command)| (party(number), command))
        .collect()
}

struct Run {
    tally: Tally,
    wall: u64,
    matching: u64,
    blocks: Vec<u32>,
    refused: u64,
    deferred: u64,
}

fn run_blocks(commands: Vec<(Party, Command)>) -> Run {
    let mut market = Market::new(Rules { orders_per_account_max: u32::MAX, ..Rules::default() });
    let mut run = Run {
        tally: Tally::default(),
        wall: 0,
        matching: 0,
        blocks: Vec::new(),
        refused: 0,
        deferred: 0,
    };
    let mut commands = commands.into_iter().peekable();
    let mut height = 0u64;
    while commands.peek().is_some() {
        height += 1;
        let block = Hash::of_content(&height.to_le_bytes());
        let moment = Moment { height: Height(height), time: TimeMs(height), block };
        let orders: Vec<_> = commands.by_ref().take(BLOCK).collect();
        let started = Instant::now();
        let _ = market.begin_block(moment, &[]);
        for (party, command) in orders {
            market.begin_tx();
            match market.submit(party, command) {
                Ok(_) => market.commit_tx(),
                Err(refused) => {
                    market.abort_tx();
                    if run.refused == 0 {
                        crate::note(&format!("an order is refused: {refused}"));
                    }
                    run.refused += 1;
                }
            }
        }
        let submitted = started.elapsed();
        let outcome = market.end_block();
        let _ = market.take_dirty();
        let all = started.elapsed();
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        run.wall += nanos(all);
        run.matching += nanos(all - submitted);
        run.blocks.push(u32::try_from(all.as_nanos()).unwrap_or(u32::MAX));
        for event in &outcome.events {
            if let Event::Filled { ask, price, units, .. } = event {
                let price = u32::try_from(price.0).unwrap_or(u32::MAX);
                run.tally.fill(ask.0, price, u32::try_from(units.0).unwrap_or(u32::MAX));
            }
            run.deferred += u64::from(matches!(event, Event::Deferred { .. }));
        }
    }
    run
}

/// Runs `--mix facade`. Throughput is by the wall: more than one thread works.
pub(super) fn run(orders: usize, options: &Options, report: &mut Report) {
    let load = load(Mode::Typical, orders / 2, orders / 2, options.seed);
    let all = commands(&load);
    let count = all.len() as u64;
    report.workload("facade", &[("orders", count), ("block", BLOCK as u64)]);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut first: Option<Tally> = None;
    for threads in [1, cores] {
        crate::note(&format!("running the façade on {threads} threads ..."));
        let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else {
            continue;
        };
        let mut runs: Vec<Run> = (0..options.repeats.clamp(1, 3))
            .map(|_| pool.install(|| run_blocks(all.clone())))
            .collect();
        runs.sort_by_key(|run| run.wall);
        let median = runs[runs.len() / 2].wall;
        let Run { tally, wall, matching, mut blocks, refused, deferred } = runs.swap_remove(0);
        blocks.sort_unstable();
        let per_second = |nanos: u64| count.saturating_mul(1_000_000_000) / nanos.max(1);
        let extras = [
            ("threads", threads as u64),
            ("blocks", blocks.len() as u64),
            ("refused", refused),
            ("deferred", deferred),
            ("end_block_share_percent", 100 * matching / wall.max(1)),
        ];
        report.add(Row {
            engine: format!("gongsuan-market-{threads}-threads"),
            workload: "facade".into(),
            ops_per_second: per_second(wall),
            ops_per_second_median: per_second(median),
            ops_per_second_wall: per_second(wall),
            cpu_ns_per_op: wall / count.max(1),
            // Of whole blocks.
            p50_ns: percentile(&blocks, 500),
            p99_ns: percentile(&blocks, 990),
            p999_ns: percentile(&blocks, 999),
            max_ns: percentile(&blocks, 1_000),
            fills: tally.fills,
            volume: tally.volume,
            digest: tally.digest(),
            equal: Some(*first.get_or_insert(tally) == tally),
            extras: extras.map(|(name, value)| (name.to_owned(), value)).into(),
        });
    }
}
