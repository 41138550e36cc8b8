//! Replica processes.

use std::collections::BTreeMap;
use std::io::{BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use super::measure::cpu_by_thread;
use super::node::{Order, Ports, Report, Start};

/// One replica process.
#[derive(Debug)]
pub(super) struct Node {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(super) ports: Ports,
    pub(super) home: PathBuf,
    pub(super) is_alive: bool,
}

impl Node {
    fn spawn(start: &Start) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&start.home)?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["consensus-replica", &serde_json::to_string(start)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a replica")?;
        let orders = child.stdin.take().context("no input")?;
        let mut answers = BufReader::new(child.stdout.take().context("no output")?);
        let ports = read_line(&mut answers)?;
        Ok(Self { child, orders, answers, ports, home: start.home.clone(), is_alive: true })
    }

    fn order(&mut self, order: &Order) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        Ok(self.orders.write_all(&line)?)
    }

    pub(super) fn report(&mut self) -> anyhow::Result<Report> {
        self.order(&Order::Report)?;
        read_line(&mut self.answers)
    }

    /// Ends the process at once.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.is_alive = false;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn read_line<T: DeserializeOwned>(from: &mut impl std::io::BufRead) -> anyhow::Result<T> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("a replica said {line:?}"))
}

/// All of them.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
}

impl Cluster {
    pub(super) fn start(starts: &[Start]) -> anyhow::Result<Self> {
        let mut nodes = starts.iter().map(Node::spawn).collect::<anyhow::Result<Vec<_>>>()?;
        let addresses: Vec<_> = nodes.iter().map(|node| node.ports.p2p).collect();
        for node in &mut nodes {
            node.order(&Order::Peers(addresses.clone()))?;
        }
        Ok(Self { nodes })
    }

    pub(super) fn alive(&mut self) -> impl Iterator<Item = &mut Node> {
        self.nodes.iter_mut().filter(|node| node.is_alive)
    }

    pub(super) fn mark(&mut self) -> anyhow::Result<()> {
        self.alive().try_for_each(|node| node.order(&Order::Mark))
    }

    pub(super) fn reports(&mut self) -> anyhow::Result<Vec<Report>> {
        self.alive().map(Node::report).collect()
    }

    /// Nanoseconds of CPU time so far, by the name of threads, over all processes that live.
    pub(super) fn cpu(&mut self) -> BTreeMap<String, u64> {
        let mut sum = BTreeMap::new();
        for node in self.alive() {
            for (name, nanos) in cpu_by_thread(node.child.id()) {
                *sum.entry(name).or_insert(0) += nanos;
            }
        }
        sum
    }
}
