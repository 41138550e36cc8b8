//! A local network: folders, keys, ports, processes.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use gongsuan_ledger::Genesis;
use gongsuan_ledger::genesis::{GenesisAccount, Params, Validator};
use gongsuan_types::{Amount, SecretKey};
use serde::{Deserialize, Serialize};

use crate::api::wire::Status;
use crate::client::Client;
use crate::node::config::{NodeFile, Peer, write_key, write_node_key};
use crate::wire::Link;

/// Ports are taken from here: below the range that outgoing connections use, so that a killed node finds its own free again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// All money of a development network.
const SUPPLY_TOKENS: u64 = 1_000_000;
/// What of it each validator's account has.
const VALIDATOR_TOKENS: u64 = 100;

/// One node of the network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub home: PathBuf,
    /// For validators.
    pub p2p: SocketAddr,
    /// For clients.
    pub api: SocketAddr,
}

/// `cluster.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cluster {
    /// The folder of everything.
    pub dir: PathBuf,
    /// The nodes.
    pub members: Vec<Member>,
    /// The wire between them, if their links go through one.
    #[serde(default)]
    pub wire: Vec<Link>,
}

/// Who owns the money at the beginning, and may attest roles. A development key: anybody who knows the seed can spend it.
#[must_use]
pub fn faucet_key(seed: &str) -> SecretKey {
    SecretKey::from_seed(format!("gongsuan/dev/{seed}/faucet").as_bytes())
}

/// A free port, different for different callers at the same time.
///
/// # Errors
/// If none of the range is free.
pub fn free_port(next: &mut u16) -> anyhow::Result<u16> {
    for _ in PORTS {
        let port = *next;
        *next = if port + 1 >= PORTS.end { PORTS.start } else { port + 1 };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port of {}..{} is free", PORTS.start, PORTS.end)
}

/// Where to begin to look, so that two processes rarely meet and two clusters of one process never do: a port that was found free is not taken yet.
fn first_port() -> u16 {
    static CLUSTERS: AtomicU32 = AtomicU32::new(0);
    let span = u32::from(PORTS.end - PORTS.start);
    let own = CLUSTERS.fetch_add(1, Ordering::Relaxed).wrapping_mul(64);
    let offset = std::process::id().wrapping_mul(2_654_435_761).wrapping_add(own) % span;
    PORTS.start + u16::try_from(offset).unwrap_or(0)
}

impl Cluster {
    /// Writes the folders of `count` validators whose keys follow from a seed. With `wired` their links go through [`crate::wire`].
    ///
    /// # Errors
    /// What the disk said, or no free ports.
    ///
    /// # Panics
    /// Never: a million tokens fit.
    pub fn init_with(
        dir: &Path,
        count: usize,
        seed: &str,
        mut params: Params,
        wired: bool,
    ) -> anyhow::Result<Self> {
        if !params.market.capacity.is_on() {
            params.market.capacity = crate::capacity::rules(false);
        }
        let keys: Vec<SecretKey> = (0..count)
            .map(|n| SecretKey::from_seed(format!("gongsuan/dev/{seed}/validator/{n}").as_bytes()))
            .collect();
        let validators = keys
            .iter()
            .enumerate()
            .map(|(n, key)| Validator { name: format!("v{n}"), key: key.public_key() });
        let faucet = faucet_key(seed).address();
        // Verdicts are free; for whatever else validators do they have accounts of their own. All else is the faucet's.
        let of_seat = Amount::from_tokens(VALIDATOR_TOKENS).expect("fits");
        let seats = VALIDATOR_TOKENS * u64::try_from(count).unwrap_or(u64::MAX);
        let balance = Amount::from_tokens(SUPPLY_TOKENS.saturating_sub(seats)).expect("fits");
        let owners = keys.iter().map(|key| (key.address(), of_seat)).chain([(faucet, balance)]);
        let genesis = Genesis {
            name: format!("dev-{seed}"),
            time: gongsuan_types::TimeMs(1_700_000_000_000),
            params,
            accounts: owners
                .map(|(address, balance)| GenesisAccount { address, balance })
                .collect(),
            validators: validators.collect(),
            issuers: vec![faucet],
        };
        genesis.validate()?;
        let mut next = first_port();
        let mut members = Vec::new();
        for n in 0..count {
            let p2p = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(&mut next)?));
            let api = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(&mut next)?));
            members.push(Member {
                name: format!("v{n}"),
                home: dir.join(format!("v{n}")),
                p2p,
                api,
            });
        }
        let mut wire = Vec::new();
        for from in (0..count).filter(|_| wired) {
            for to in (0..count).filter(|to| *to != from) {
                let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(&mut next)?));
                wire.push(Link { from, to, listen, address: members[to].p2p });
            }
        }
        for (at, (member, key)) in members.iter().zip(&keys).enumerate() {
            std::fs::create_dir_all(&member.home)?;
            let dial = |to: usize| {
                let link = wire.iter().find(|link| link.from == at && link.to == to);
                link.map_or(members[to].p2p, |link| link.listen)
            };
            let others = members.iter().enumerate().filter(|(other, _)| *other != at);
            let file = NodeFile {
                name: member.name.clone(),
                p2p: member.p2p,
                api: member.api,
                peers: others
                    .map(|(n, o)| Peer {
                        name: o.name.clone(),
                        key: None,
                        p2p: dial(n),
                        api: Some(o.api),
                    })
                    .collect(),
                timeout_ms: 250,
                retention: None,
                segment_bytes: None,
            };
            std::fs::write(member.home.join("node.toml"), toml::to_string(&file)?)?;
            let genesis = serde_json::to_string_pretty(&genesis)?;
            std::fs::write(member.home.join("genesis.json"), genesis)?;
            write_node_key(&member.home, key)?;
        }
        write_key(&dir.join("faucet.key"), &faucet_key(seed))?;
        let cluster = Self { dir: dir.to_owned(), members, wire };
        std::fs::write(dir.join("cluster.json"), serde_json::to_string_pretty(&cluster)?)?;
        Ok(cluster)
    }

    /// [`Cluster::init_with`], with links from node to node.
    ///
    /// # Errors
    /// What the disk said, or no free ports.
    pub fn init(dir: &Path, count: usize, seed: &str, params: Params) -> anyhow::Result<Self> {
        Self::init_with(dir, count, seed, params, false)
    }

    /// The rules of the wire.
    #[must_use]
    pub fn rules(&self) -> PathBuf {
        self.dir.join("wire.json")
    }

    /// Starts the wire as a process of its own, if there is one and it does not run.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn_wire(&self) -> anyhow::Result<()> {
        let pid = self.dir.join("wire.pid");
        if self.wire.is_empty() || running(&pid).is_some() {
            return Ok(());
        }
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("wire.log"))?;
        let mut command = Command::new(std::env::current_exe()?);
        use std::os::unix::process::CommandExt as _;
        command.args(["wire", "--dir"]).arg(&self.dir).stdout(Stdio::null()).stderr(log);
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the wire")?;
        std::fs::write(pid, Stamp::of(child.id())?.to_string())?;
        Ok(())
    }

    /// Ends the wire, if it runs.
    ///
    /// # Errors
    /// If it cannot be told.
    pub fn stop_wire(&self) -> anyhow::Result<()> {
        if let Some(pid) = running(&self.dir.join("wire.pid")) {
            Command::new("kill").args(["-TERM", &pid.to_string()]).status()?;
        }
        Ok(())
    }

    /// Reads a network's `cluster.json`.
    ///
    /// # Errors
    /// If there is none.
    pub fn load(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("cluster.json");
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("{}: no cluster here; start one with `cluster up`", path.display())
        })?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// A client of all nodes.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.members.iter().map(|member| format!("http://{}", member.api)))
    }

    /// Starts one node as a process of its own. With `with_parent` it ends when this process does.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(&self, index: usize, with_parent: bool) -> anyhow::Result<Child> {
        self.spawn_program(&std::env::current_exe()?, index, with_parent)
    }

    /// The same with another program than this one, such as a newer build.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn_program(
        &self,
        program: &Path,
        index: usize,
        with_parent: bool,
    ) -> anyhow::Result<Child> {
        let member = self.members.get(index).context("there is no such node")?;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(member.home.join("node.log"))?;
        let mut command = Command::new(program);
        command.args(["node", "run", "--home"]).arg(&member.home).stdout(Stdio::null()).stderr(log);
        if with_parent {
            command.arg("--exit-with-parent").stdin(Stdio::piped());
        } else {
            use std::os::unix::process::CommandExt as _;
            command.stdin(Stdio::null()).process_group(0);
        }
        let child = command.spawn().context("cannot start a node")?;
        std::fs::write(member.home.join("node.pid"), Stamp::of(child.id())?.to_string())?;
        Ok(child)
    }

    /// Waits until every node answers and is connected to a quorum.
    ///
    /// # Errors
    /// If that takes too long; the end of the node's log is part of the message.
    pub fn wait_ready(&self, which: &[usize], patience: Duration) -> anyhow::Result<()> {
        let client = self.client();
        for index in which {
            let one = client.only(*index);
            let quorum = self.members.len() - (self.members.len() - 1) / 3;
            let ready = one.wait_for("a node's start", patience, |client| {
                let status: Status = client.get("/v1/status")?;
                Ok((status.peers.len() + 1 >= quorum).then_some(()))
            });
            ready.with_context(|| {
                let log = self.members.get(*index).map(|m| m.home.join("node.log"));
                let log =
                    log.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                format!("v{index} is not ready; its log ends: {tail:?}")
            })?;
        }
        Ok(())
    }

    /// The process of a node, if it runs and is the one that was started.
    #[must_use]
    pub fn pid(&self, index: usize) -> Option<u32> {
        let member = self.members.get(index)?;
        running(&member.home.join("node.pid"))
    }

    /// Sends a signal to a node that this network started.
    ///
    /// # Errors
    /// If it does not run.
    pub fn signal(&self, index: usize, signal: &str) -> anyhow::Result<u32> {
        let pid = self.pid(index).with_context(|| format!("v{index} does not run"))?;
        let status = Command::new("kill").args([signal, &pid.to_string()]).status()?;
        if !status.success() {
            bail!("kill {signal} {pid} failed");
        }
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while self.pid(index).is_some() && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(pid)
    }
}

/// The process whose stamp is in a file, if it still runs.
fn running(file: &Path) -> Option<u32> {
    let stamp: Stamp = std::fs::read_to_string(file).ok()?.parse().ok()?;
    stamp.is_alive().then_some(stamp.pid)
}

/// A process, known by its number and the moment it started: a number alone may name another one later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Its number.
    pub pid: u32,
    started: u64,
}

impl Stamp {
    /// The process with this number now.
    ///
    /// # Errors
    /// If there is none.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let (started, _) = stat(pid).with_context(|| format!("there is no process {pid}"))?;
        Ok(Self { pid, started })
    }

    /// Whether it is still the same process and has not ended. One whose first thread has ended holds its files, and the lock of its folder, until the last
    /// of the others has.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let same = stat(self.pid).filter(|(started, _)| *started == self.started);
        same.is_some_and(|(_, state)| state != 'Z' || thread_count(self.pid) > 1)
    }
}

fn thread_count(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Start time and state out of `/proc/PID/stat`.
fn stat(pid: u32) -> Option<(u64, char)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    Some((fields.get(19)?.parse().ok()?, fields.first()?.chars().next()?))
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.pid, self.started)
    }
}

impl std::str::FromStr for Stamp {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (pid, started) = text.trim().split_once(' ').context("not a process stamp")?;
        Ok(Self { pid: pid.parse()?, started: started.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_now_names_another_process_is_not_alive() {
        let own = Stamp::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        assert_eq!(own.to_string().parse::<Stamp>().unwrap(), own);
        assert!(!Stamp { started: own.started + 1, ..own }.is_alive());
    }

    #[test]
    fn taken_ports_are_passed_over() {
        let mut next = first_port();
        let first = free_port(&mut next).unwrap();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        let mut again = first;
        assert_ne!(free_port(&mut again).unwrap(), first);
    }
}
