//! One replica as a process of its own. It reads lines from its standard input and answers on its standard output; when
//! the input ends, so does the process.

use std::io::{BufRead as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use gongsuan::net::Identity;
use gongsuan::replica::wal::Wal;
use gongsuan::replica::{Replica, Setup, Totals};
use gongsuan_consensus::{Config, Core, Record, Seat, ValidatorSet};
use gongsuan_types::{DurationMs, Hash, SecretKey};
use serde::{Deserialize, Serialize};

use super::app::{self, Opaque, Options, Stats};
use super::door::{self, Clients};
use super::log::OpaqueLog;

/// What a replica process is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) seat: u16,
    pub(super) nodes: u16,
    pub(super) home: PathBuf,
    pub(super) timeout_ms: u64,
    pub(super) gap_us: u64,
    pub(super) worth_bytes: usize,
    pub(super) door_bytes: usize,
    pub(super) empty: bool,
}

/// Where a replica listens: its first line.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Ports {
    pub(super) p2p: SocketAddr,
    pub(super) door: SocketAddr,
}

/// A line to a replica.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Order {
    /// Where all replicas listen: start.
    Peers(Vec<SocketAddr>),
    /// Begin to measure.
    Mark,
    /// Say what was measured.
    Report,
}

/// What a replica measured since the mark.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Report {
    /// Percentiles 50, 99 and 99.9 of proposal to commit, in microseconds.
    pub(super) latency_us: [u64; 3],
    /// How many of its own blocks it saw committed.
    pub(super) proposals: usize,
    pub(super) blocks: u64,
    pub(super) txs: u64,
    pub(super) doubles: u64,
    pub(super) leader: u16,
    pub(super) term: u64,
    pub(super) height: u64,
    pub(super) durable: u64,
    pub(super) open: usize,
    pub(super) totals: Totals,
}

pub(super) fn key(seat: u16) -> SecretKey {
    SecretKey::from_seed(format!("bench-{seat}").as_bytes())
}

pub(super) fn chain_id() -> Hash {
    Hash::of("gongsuan/bench/v1", b"consensus")
}

pub(super) fn log_dir(home: &Path) -> PathBuf {
    home.join("blocks")
}

fn say(line: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Runs until the input ends.
pub(super) fn run(start: &Start) -> anyhow::Result<()> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let doors = TcpListener::bind("127.0.0.1:0")?;
    say(&Ports { p2p: socket.local_addr()?, door: doors.local_addr()? })?;
    let mut orders = std::io::stdin().lock().lines();
    let mut next = || -> anyhow::Result<Option<Order>> {
        let Some(line) = orders.next() else { return Ok(None) };
        Ok(Some(serde_json::from_str(&line?)?))
    };
    let Some(Order::Peers(addresses)) = next()? else { return Ok(()) };
    let clients = Clients::new(start.door_bytes);
    let stats = Arc::new(Mutex::new(Stats::default()));
    let replica = open(start, socket, &addresses, (clients.clone(), stats.clone()))?;
    door::open(doors, clients, replica.front().clone());
    while let Some(order) = next()? {
        let mut stats = stats.lock().unwrap_or_else(PoisonError::into_inner);
        match order {
            Order::Peers(_) => {}
            Order::Mark => {
                stats.latency_us.clear();
                (stats.blocks, stats.txs) = (0, 0);
            }
            Order::Report => {
                let report = report(&mut stats, replica.counters().totals());
                drop(stats);
                say(&report)?;
            }
        }
    }
    Ok(())
}

fn report(stats: &mut Stats, totals: Totals) -> Report {
    stats.latency_us.sort_unstable();
    Report {
        latency_us: super::measure::percentiles(&stats.latency_us),
        proposals: stats.latency_us.len(),
        blocks: stats.blocks,
        txs: stats.txs,
        doubles: stats.doubles,
        leader: stats.leader,
        term: stats.term,
        height: stats.height,
        durable: stats.durable,
        open: stats.open,
        totals,
    }
}

fn open(
    start: &Start,
    socket: TcpListener,
    addresses: &[SocketAddr],
    (clients, stats): (Clients, Arc<Mutex<Stats>>),
) -> anyhow::Result<Replica<app::Event>> {
    let keys = (0..start.nodes).map(|seat| key(seat).public_key()).collect();
    let validators = ValidatorSet::new(0, keys)?;
    let seat = Seat(start.seat);
    let (mut wal, recovered, was_there) = Wal::open(&start.home.join("votes.wal"))?;
    anyhow::ensure!(!was_there, "a benchmark starts from nothing");
    wal.append(&[Record::Term(recovered.term())], true)?;
    let timeout = DurationMs(start.timeout_ms);
    let config = Config::new(chain_id(), validators.clone(), key(start.seat));
    let core = Core::new(Config { timeout, ..config }, recovered)?;
    let identity = Identity { key: key(start.seat), chain_id: chain_id(), port: 0 };
    let keys = validators.seats().zip(validators.keys().iter().copied());
    let others = keys.zip(addresses).filter(|((other, _), _)| *other != seat);
    let others = others.map(|((_, key), address)| (key, *address));
    let setup = Setup { core, wal, identity, socket, addresses: others.collect() };
    let log = OpaqueLog::open(&log_dir(&start.home)).context("the block log")?;
    let options = Options {
        gap: Duration::from_micros(start.gap_us),
        worth: start.worth_bytes,
        empty: start.empty,
    };
    Replica::start(setup, app::gate(), |front, peers| {
        Ok(Opaque::start((seat, options), log, (clients, stats), (front, peers))?)
    })
}
