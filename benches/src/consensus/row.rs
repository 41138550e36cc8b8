//! One row: a cluster, a load, and what was measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::check::{Found, check};
use super::cluster::Cluster;
use super::load::{Client, Schedule, Seen, lock};
use super::measure::{machine_load, percentiles, verifications_per_second};
use super::node::{Report, Start};

/// What goes wrong in a row, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// One follower is dead from the beginning.
    DeadFollower,
    /// The leader is killed in the middle.
    KillLeader,
}

/// What is run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) nodes: u16,
    /// Transactions per second; with none, only the replicas' idle life is measured.
    pub(super) rate: u64,
    pub(super) size: usize,
    pub(super) seconds: u64,
    pub(super) warm_up: u64,
    pub(super) timeout_ms: u64,
    pub(super) gap_us: u64,
    pub(super) worth_bytes: usize,
    pub(super) door_bytes: usize,
    pub(super) empty: bool,
    pub(super) fault: Fault,
    pub(super) dir: PathBuf,
}

/// What was measured.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) plan: Plan,
    pub(super) committed_per_second: f64,
    pub(super) refused_per_second: f64,
    pub(super) blocks_per_second: f64,
    /// End to end, in microseconds: percentiles 50, 99, 99.9.
    pub(super) latency_us: [u64; 3],
    /// Proposal to commit at the leader.
    pub(super) consensus_us: [u64; 3],
    pub(super) cpu_cores: f64,
    pub(super) cpu_us_per_tx: f64,
    /// The longest time without any acknowledgement, in the measured window.
    pub(super) gap_ms: f64,
    pub(super) found: Found,
    pub(super) load_before: f64,
    /// Signatures that one thread verified per second just before: how fast this machine was at that moment.
    pub(super) speed: u64,
    pub(super) cpu_by_thread: BTreeMap<String, f64>,
    pub(super) reports: Vec<Report>,
}

impl Plan {
    fn starts(&self, home: &Path) -> Vec<Start> {
        let start = |seat| Start {
            seat,
            nodes: self.nodes,
            home: home.join(format!("node-{seat}")),
            timeout_ms: self.timeout_ms,
            gap_us: self.gap_us,
            worth_bytes: self.worth_bytes,
            door_bytes: self.door_bytes,
            empty: self.empty,
        };
        (0..self.nodes).map(start).collect()
    }

    /// Runs it.
    ///
    /// # Errors
    /// A replica that failed, or a log that is wrong.
    pub(super) fn run(&self) -> anyhow::Result<Row> {
        let (load_before, speed) = (machine_load(), verifications_per_second());
        let home = tempfile::tempdir_in(&self.dir)?;
        let mut cluster = Cluster::start(&self.starts(home.path()))?;
        let leader = settle(&mut cluster)?;
        if self.fault == Fault::DeadFollower {
            let follower = (leader + 1) % cluster.nodes.len();
            cluster.nodes[follower].kill()?;
        }
        let (length, warm_up) =
            (Duration::from_secs(self.warm_up + self.seconds), Duration::from_secs(self.warm_up));
        let alive: Vec<_> = cluster.alive().map(|node| node.ports.door).collect();
        let clients = u32::try_from(alive.len())?;
        let start = Instant::now();
        let (rate, size) = (self.rate.max(1), self.size);
        let schedule = Schedule { rate, clients, size, start, length, warm_up };
        let numbers = if self.rate == 0 { 0..0 } else { 0..clients };
        let running: Vec<Client> = numbers
            .map(|n| Client::start(n, schedule, alive.clone(), n as usize))
            .collect::<anyhow::Result<_>>()?;

        std::thread::sleep(warm_up.saturating_sub(start.elapsed()));
        cluster.mark()?;
        let before = cluster.cpu();
        let mut killed = BTreeMap::new();
        if self.fault == Fault::KillLeader {
            std::thread::sleep((warm_up + length).div_f64(2.0).saturating_sub(start.elapsed()));
            // What the leader used up to here is not lost from the sum.
            let all = cluster.cpu();
            cluster.nodes[leader].kill()?;
            let rest = cluster.cpu();
            killed = difference(&all, &rest);
        }
        std::thread::sleep(length.saturating_sub(start.elapsed()));
        let reports = cluster.reports()?;
        let mut after = cluster.cpu();
        for (name, nanos) in killed {
            *after.entry(name).or_insert(0) += nanos;
        }
        let outcomes: Vec<_> = running.into_iter().map(Client::finish).collect();
        if !self.empty {
            quiesce(&mut cluster)?;
        }
        let homes: Vec<PathBuf> = cluster.alive().map(|node| node.home.clone()).collect();
        let dead = cluster.nodes.iter().filter(|node| !node.is_alive).map(|node| node.home.clone());
        let homes: Vec<PathBuf> = homes.into_iter().chain(dead).collect();
        drop(cluster);
        let found = check(&homes.iter().map(PathBuf::as_path).collect::<Vec<_>>(), &outcomes)?;

        let (mut latency_us, mut arrivals, mut committed, mut refused) = (vec![], vec![], 0, 0);
        for outcome in &outcomes {
            let outcome = lock(outcome);
            latency_us.extend_from_slice(&outcome.latency_us);
            arrivals.extend_from_slice(&outcome.arrivals_us);
            committed += outcome.final_in_window;
            refused += outcome.fates.iter().filter(|seen| **seen == Seen::Busy).count();
        }
        latency_us.sort_unstable();
        let seconds = self.seconds as f64;
        let spent = difference(&after, &before);
        let cores = spent.values().sum::<u64>() as f64 / 1e9 / seconds;
        let blocks = reports.iter().map(|report| report.blocks).max().unwrap_or(0);
        let proposer = reports.iter().max_by_key(|report| report.proposals);
        Ok(Row {
            plan: self.clone(),
            committed_per_second: committed as f64 / seconds,
            refused_per_second: refused as f64 / (self.seconds + self.warm_up) as f64,
            blocks_per_second: blocks as f64 / seconds,
            latency_us: percentiles(&latency_us),
            consensus_us: proposer.map(|report| report.latency_us).unwrap_or_default(),
            cpu_cores: cores,
            cpu_us_per_tx: if committed == 0 {
                0.0
            } else {
                cores * 1e6 * seconds / committed as f64
            },
            gap_ms: longest_gap(arrivals, warm_up, length),
            found,
            load_before,
            speed,
            cpu_by_thread: spent.into_iter().map(|(n, t)| (n, t as f64 / 1e9 / seconds)).collect(),
            reports,
        })
    }
}

/// Waits until all replicas are in a term, and says who leads.
fn settle(cluster: &mut Cluster) -> anyhow::Result<usize> {
    for _ in 0..500 {
        std::thread::sleep(Duration::from_millis(20));
        let reports = cluster.reports()?;
        if reports.iter().all(|report| report.term > 0) {
            // The links are up by now, or within the next heartbeat.
            std::thread::sleep(Duration::from_millis(300));
            return Ok(usize::from(reports[0].leader));
        }
    }
    anyhow::bail!("the replicas do not start")
}

/// Waits until all that live have the same durable log and nothing is on its way.
fn quiesce(cluster: &mut Cluster) -> anyhow::Result<()> {
    for _ in 0..1_500 {
        let reports = cluster.reports()?;
        let height = reports.first().map_or(0, |report| report.height);
        let is_quiet = |report: &Report| {
            report.open == 0 && report.height == height && report.durable == height
        };
        if reports.iter().all(is_quiet) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    anyhow::bail!("the replicas do not come to rest: {:?}", cluster.reports()?)
}

fn difference(
    after: &BTreeMap<String, u64>,
    before: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let spent = |(name, nanos): (&String, &u64)| {
        (name.clone(), nanos.saturating_sub(before.get(name).copied().unwrap_or(0)))
    };
    after.iter().map(spent).collect()
}

fn longest_gap(mut arrivals_us: Vec<u64>, from: Duration, to: Duration) -> f64 {
    arrivals_us.sort_unstable();
    let window = (from.as_micros() as u64)..(to.as_micros() as u64);
    let inside: Vec<u64> = arrivals_us.into_iter().filter(|at| window.contains(at)).collect();
    inside.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0) as f64 / 1e3
}

fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn millis(us: u64) -> f64 {
    us as f64 / 1e3
}

impl Row {
    /// The machine-readable row.
    pub(super) fn to_json(&self) -> Value {
        let [p50, p99, p999] = self.latency_us.map(millis);
        let [c50, c99, c999] = self.consensus_us.map(millis);
        json!({
            "engine": "gongsuan", "row": self.plan.name, "offered": self.plan.rate,
            "committed_per_second": round(self.committed_per_second),
            "refused_per_second": round(self.refused_per_second),
            "blocks_per_second": round(self.blocks_per_second),
            "p50_ms": p50, "p99_ms": p99, "p999_ms": p999,
            "consensus_p50_ms": c50, "consensus_p99_ms": c99, "consensus_p999_ms": c999,
            "cpu_cores": round(self.cpu_cores), "cpu_us_per_tx": round(self.cpu_us_per_tx),
            "gap_ms": round(self.gap_ms), "nodes": self.plan.nodes, "size": self.plan.size,
            "seconds": self.plan.seconds, "machine_load_before": self.load_before, "machine_verifications_per_second": self.speed,
            "checked": { "logs": self.found.logs, "heights": self.found.heights, "acknowledged": self.found.acknowledged },
            "cpu_by_thread": self.cpu_by_thread.iter().map(|(n, t)| (n.clone(), round(*t))).collect::<BTreeMap<_, _>>(),
            "replicas": self.reports,
        })
    }

    /// The heading of [`Row::to_line`].
    pub(super) const HEADING: &'static str = "row              | offered/s | committed/s | refused/s | blocks/s | e2e p50/p99/p999 ms    | consensus p50/p99/p999 | cores | us/tx | gap ms | load | verify/s | checked";

    /// One line for people.
    pub(super) fn to_line(&self) -> String {
        let triple = |us: [u64; 3]| {
            let [a, b, c] = us.map(millis);
            format!("{a:.1} / {b:.1} / {c:.1}")
        };
        format!(
            "{:<16} | {:>9} | {:>11.0} | {:>9.0} | {:>8.0} | {:<22} | {:<22} | {:>5.2} | {:>5.1} | {:>6.0} | {:>4.1} | {:>8} | {} logs, {} blocks, {} acknowledged",
            self.plan.name,
            self.plan.rate,
            self.committed_per_second,
            self.refused_per_second,
            self.blocks_per_second,
            triple(self.latency_us),
            triple(self.consensus_us),
            self.cpu_cores,
            self.cpu_us_per_tx,
            self.gap_ms,
            self.load_before,
            self.speed,
            self.found.logs,
            self.found.heights,
            self.found.acknowledged
        )
    }
}
