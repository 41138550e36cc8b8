//! `gongsuan-bench match`: order books under a stream of orders.

mod attributes;
mod facade;
mod mirror;
mod ours;
#[cfg(feature = "peers")]
mod peers;
mod reference;
pub(crate) mod stream;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};

use crate::machine::{cpu_nanos, percentile};
use crate::report::{Report, Row};
use stream::{Offset, Op, Shape, Stream};

/// Which workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Mix {
    /// Prices near the middle; about 12,000 orders rest.
    Realistic,
    /// A million orders rest before the clock starts.
    Deep,
    /// Asks with machines, bids with requirements.
    Attributes,
    /// The realistic stream in blocks of 10,000, each cleared at one price.
    Batch,
    /// New asks looking for resting bids.
    Mirror,
    /// Whole blocks through the market that the chain runs: commands, matching on one thread and on all, deals.
    Facade,
}

/// Options of `match`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Operations of the stream (default 2,000,000); asks in the book with `--mix attributes`, bids with `--mix mirror` (default
    /// 1,000,000); orders placed with `--mix facade` (default 200,000).
    #[arg(long)]
    orders: Option<usize>,
    /// The workload; may be given several times. Default: realistic and deep.
    #[arg(long, value_enum)]
    mix: Vec<Mix>,
    /// The seed of the stream.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// How often each engine runs; best and median are shown.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Run every peer that exists as a crate on the same stream (needs the feature `peers`).
    #[arg(long)]
    peers: bool,
    /// Write the figures as JSON; `-` for stdout.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Write the figures as CSV.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write one HTML file with plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What an engine did, comparable between engines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) fills: u64,
    pub(crate) volume: u64,
    digest: u64,
}

impl Tally {
    /// The digest does not depend on the order of the fills of one operation, which peers report differently.
    #[inline]
    pub(crate) fn fill(&mut self, maker: u64, price: u32, quantity: u32) {
        self.fills += 1;
        self.volume += u64::from(quantity);
        let name = maker.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(price);
        self.digest = self.digest.wrapping_add(name.wrapping_mul(u64::from(quantity) | 1));
    }

    pub(crate) fn digest(&self) -> String {
        format!("{:016x}", self.digest)
    }
}

/// A book that can be driven by the stream.
pub(crate) trait Engine {
    fn apply(&mut self, op: &Op);
    /// All of a stream.
    fn run(&mut self, ops: &[Op]) {
        ops.iter().for_each(|op| self.apply(op));
    }
    /// The preloaded orders are in; the clock starts now.
    fn start(&mut self) {}
    /// The stream is over; the clock still runs.
    fn finish(&mut self) {}
    fn tally(&self) -> Tally;
    fn extras(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// Runs `match`.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let mixes =
        if options.mix.is_empty() { vec![Mix::Realistic, Mix::Deep] } else { options.mix.clone() };
    if options.peers && !cfg!(feature = "peers") {
        return Err("this binary was built without peers: add --features peers".into());
    }
    let mut report = Report::new(options.seed);
    for mix in mixes {
        match mix {
            Mix::Realistic | Mix::Deep | Mix::Batch => standard(mix, options, &mut report),
            Mix::Attributes => {
                let asks = options.orders.unwrap_or(1_000_000);
                attributes::run(asks, options.seed, &mut report);
            }
            Mix::Mirror => {
                let bids = options.orders.unwrap_or(1_000_000);
                mirror::run(bids, options.seed, &mut report);
            }
            Mix::Facade => {
                let orders = options.orders.unwrap_or(200_000);
                facade::run(orders, options, &mut report);
            }
        }
    }
    report.print();
    report.write(options.json.as_deref(), options.csv.as_deref(), options.html.as_deref())
}

fn standard(mix: Mix, options: &Options, report: &mut Report) {
    let ops = options.orders.unwrap_or(2_000_000);
    let (shape, workload) = match mix {
        Mix::Deep => {
            let offset = Offset::UniformBelow(26_000);
            (Shape { ops, preload: ops / 2, offset }, "deep")
        }
        Mix::Batch => (Shape { ops, preload: 0, offset: Offset::GeometricMean(20) }, "batch"),
        Mix::Realistic | Mix::Attributes | Mix::Mirror | Mix::Facade => {
            (Shape { ops, preload: 0, offset: Offset::GeometricMean(20) }, "realistic")
        }
    };
    crate::note(&format!("making the stream '{workload}' of {ops} operations ..."));
    let stream = Stream::new(shape, options.seed);
    report.describe(workload, &stream);
    if mix == Mix::Batch {
        for block_len in [100, 1_000, 10_000] {
            let name = format!("gongsuan-batch-{block_len}");
            let expected = None;
            report.add(measure(&name, workload, (&stream, expected), options.repeats, || {
                ours::Batch::new(block_len)
            }));
        }
        return;
    }
    let against = (&stream, Some(stream.expected));
    report.add(measure("gongsuan", workload, against, options.repeats, ours::Ours::new));
    // Its percentiles are those of single operations, which have nothing to read ahead.
    report.add(measure("gongsuan-ahead", workload, against, options.repeats, ours::Ahead::new));
    #[cfg(feature = "peers")]
    if options.peers {
        // The slower ones run once and, with a million resting orders, not at all where that takes minutes.
        let ids = stream.ids();
        report.add(measure("matchcore 0.4.0", workload, against, options.repeats.min(3), || {
            peers::Matchcore::new(ids)
        }));
        report.add(measure("lobster 0.7.0", workload, against, 1, peers::Lobster::new));
        if mix == Mix::Realistic {
            report.add(measure(
                "orderbook-rs 0.15.3",
                workload,
                against,
                1,
                peers::OrderbookRs::new,
            ));
        }
    }
}

/// Runs an engine some times for throughput and once more, with a clock read after every operation, for latency.
fn measure<E: Engine>(
    name: &str,
    workload: &str,
    (stream, expected): (&Stream, Option<Tally>),
    repeats: usize,
    make: impl Fn() -> E,
) -> Row {
    crate::note(&format!("running {name} on '{workload}' ..."));
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    let (mut tally, mut extras) = (Tally::default(), Vec::new());
    for _ in 0..repeats.max(1) {
        let mut engine = make();
        stream.preload.iter().for_each(|op| engine.apply(op));
        engine.start();
        let (started, cpu_before) = (Instant::now(), cpu_nanos());
        engine.run(&stream.ops);
        engine.finish();
        cpu.push(cpu_nanos() - cpu_before);
        wall.push(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
        (tally, extras) = (engine.tally(), engine.extras());
    }
    let mut latencies = Vec::with_capacity(stream.ops.len());
    let mut engine = make();
    stream.preload.iter().for_each(|op| engine.apply(op));
    engine.start();
    let mut before = Instant::now();
    for op in &stream.ops {
        engine.apply(op);
        let after = Instant::now();
        let nanos = after.duration_since(before).as_nanos();
        latencies.push(u32::try_from(nanos).unwrap_or(u32::MAX));
        before = after;
    }
    latencies.sort_unstable();
    cpu.sort_unstable();
    wall.sort_unstable();
    let count = stream.ops.len() as u64;
    let per_second = |nanos: u64| count.saturating_mul(1_000_000_000) / nanos.max(1);
    Row {
        engine: name.into(),
        workload: workload.into(),
        ops_per_second: per_second(cpu[0]),
        ops_per_second_median: per_second(cpu[cpu.len() / 2]),
        ops_per_second_wall: per_second(wall[0]),
        cpu_ns_per_op: cpu[0] / count.max(1),
        p50_ns: percentile(&latencies, 500),
        p99_ns: percentile(&latencies, 990),
        p999_ns: percentile(&latencies, 999),
        max_ns: percentile(&latencies, 1_000),
        fills: tally.fills,
        volume: tally.volume,
        digest: tally.digest(),
        equal: expected.map(|expected| expected == tally),
        extras: extras.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}
