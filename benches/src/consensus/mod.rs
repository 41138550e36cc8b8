//! `gongsuan-bench consensus`: replicas as processes on loopback, encrypted links, real disks, clients that submit on
//! schedule.
//!
//! What is ordered are opaque bytes: no signatures of transactions, no execution. Every replica is a door for clients;
//! an answer means that the transaction is final and durable in the block log of the replica that answers.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "statistics for people; nothing here is agreed upon"
)]

mod app;
mod check;
mod cluster;
mod door;
mod fate;
mod load;
mod log;
mod measure;
mod node;
mod row;
mod tx;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::machine::{Machine, commit};
use clap::Parser;
use serde_json::json;

use self::row::{Fault, Plan, Row};

/// What is offered first on the way to the peak, and how much more at each step, in percent.
const CLIMB: (u64, u64) = (120_000, 115);

/// Order opaque transactions at replicas on this machine, and measure it.
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[derive(Debug, Clone, Parser)]
#[command(name = "gongsuan-bench consensus")]
struct Args {
    /// Replicas.
    #[arg(long, default_value_t = 4)]
    nodes: u16,
    /// Transactions per second that all clients together submit. Without it, the whole table is run.
    #[arg(long)]
    rate: Option<u64>,
    /// Bytes of a transaction.
    #[arg(long, default_value_t = 512)]
    size: usize,
    /// Seconds measured in each row.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Seconds before the measured ones.
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
    /// One follower is dead from the beginning.
    #[arg(long)]
    dead_follower: bool,
    /// The leader is killed in the middle.
    #[arg(long)]
    kill_leader: bool,
    /// Blocks without transactions, as fast as they go.
    #[arg(long)]
    empty: bool,
    /// How long a leader may take to commit, in milliseconds.
    #[arg(long, default_value_t = 250)]
    timeout_ms: u64,
    /// Between two small blocks, in microseconds.
    #[arg(long, default_value_t = 10_000)]
    gap_us: u64,
    /// Bytes that are worth a block at any time.
    #[arg(long, default_value_t = 16 << 10)]
    worth_bytes: usize,
    /// Bytes of clients' transactions that a door lets in before it is busy.
    #[arg(long, default_value_t = 512 << 10)]
    door_bytes: usize,
    /// Where the replicas' folders go for the time of the run: on a disk, not in memory.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// JSON.
    #[arg(long)]
    json: bool,
    /// Say where the CPU time went, by thread.
    #[arg(long)]
    profile: bool,
}

/// Runs the benchmark.
pub(crate) fn main(args: &[String]) -> ExitCode {
    let args = Args::parse_from(std::iter::once(String::from("consensus")).chain(args.to_vec()));
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs one replica of the benchmark.
pub(crate) fn replica(start: &str) -> ExitCode {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    let start = serde_json::from_str(start).map_err(anyhow::Error::from);
    match start.and_then(|start| node::run(&start)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::note(&format!("replica: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(args.size >= tx::HEAD, "a transaction has at least {} bytes", tx::HEAD);
    let mut rows = Vec::new();
    if !args.json {
        crate::data(Row::HEADING);
    }
    if args.rate.is_some() || args.empty {
        let fault = match (args.dead_follower, args.kill_leader) {
            (true, _) => Fault::DeadFollower,
            (_, true) => Fault::KillLeader,
            (false, false) => Fault::None,
        };
        let rate = args.rate.unwrap_or(0);
        let name = if args.empty { "empty" } else { "load" };
        rows.push(one(args, &Plan { empty: args.empty, fault, ..args.plan(name, rate) })?);
    } else {
        table(args, &mut rows)?;
    }
    if args.json {
        crate::data(&report(args, &rows).to_string());
    }
    Ok(())
}

fn one(args: &Args, plan: &Plan) -> anyhow::Result<Row> {
    let row = plan.run()?;
    if !args.json {
        crate::data(&row.to_line());
        if args.profile {
            crate::data(&format!("    {:?}", row.cpu_by_thread));
            for report in &row.reports {
                crate::data(&format!("    {report:?}"));
            }
        }
    }
    Ok(row)
}

fn table(args: &Args, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    rows.push(one(args, &args.plan("idle", 0))?);
    let loads =
        [("1k", 1_000), ("10k", 10_000), ("30k", 30_000), ("60k", 60_000), ("110k", 110_000)];
    for (name, rate) in loads {
        rows.push(one(args, &args.plan(name, rate))?);
    }
    let peak = peak(args, rows)?;
    rows.push(one(args, &args.plan("2x peak", 2 * peak))?);
    let dead = Plan { fault: Fault::DeadFollower, ..args.plan("dead follower", 10_000) };
    rows.push(one(args, &dead)?);
    let killed = Plan { fault: Fault::KillLeader, ..args.plan("killed leader", 10_000) };
    rows.push(one(args, &killed)?);
    rows.push(one(args, &Plan { empty: true, ..args.plan("empty blocks", 0) })?);
    Ok(())
}

/// Offers more and more until not all of it is committed any more. The most that was committed.
fn peak(args: &Args, rows: &mut Vec<Row>) -> anyhow::Result<u64> {
    let mut rate = CLIMB.0;
    let mut best = rows.last().map_or(0, |row| row.committed_per_second as u64);
    loop {
        let row = one(args, &args.plan("peak", rate))?;
        let committed = row.committed_per_second as u64;
        rows.push(row);
        best = best.max(committed);
        if committed < rate / 100 * 97 {
            return Ok(best);
        }
        rate = rate * CLIMB.1 / 100;
    }
}

impl Args {
    fn plan(&self, name: &str, rate: u64) -> Plan {
        Plan {
            name: name.to_owned(),
            nodes: self.nodes,
            rate,
            size: self.size,
            seconds: self.seconds,
            warm_up: self.warm_up,
            timeout_ms: self.timeout_ms,
            gap_us: self.gap_us,
            worth_bytes: self.worth_bytes,
            door_bytes: self.door_bytes,
            empty: false,
            fault: Fault::None,
            dir: self.dir.clone(),
        }
    }
}

fn report(args: &Args, rows: &[Row]) -> serde_json::Value {
    json!({
        "schema": "gongsuan/bench/v1",
        "machine": Machine::read(),
        "commit": commit(),
        "seed": 0,
        "workload": {
            "nodes": args.nodes, "tx_bytes": args.size, "links": "Noise XX, loopback", "sync": true,
            "answered": "when final and durable in the answering replica's log",
            "left_out": "signatures of transactions, execution",
        },
        "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>(),
    })
}
