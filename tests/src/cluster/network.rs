//! The network: processes, their folders, their clocks.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gongsuan::client::{Client, ClientError};
use gongsuan::cluster::Cluster;
use gongsuan::node::config::NodeFile;
use gongsuan::replica::CLOCK_VARIABLE;

use super::Fault;
use super::hosts::{self, Hosts};
use super::links::{Links, Wire};
use crate::enclose::tool;

/// Validators: one may fail.
const COUNT: usize = 4;
/// Whose file system runs full.
pub(super) const SMALL: usize = COUNT - 1;
/// A node that is to end has ended by then.
const END: Duration = Duration::from_secs(10);

/// What does not hold, or cannot be done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        Self(error.to_string())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Why there is no network.
#[derive(Debug)]
pub enum Stop {
    /// This machine does not allow hosts.
    Impossible(String),
    /// It does not start.
    Failed(Error),
}

/// With all its causes.
pub(super) fn whole(error: impl std::fmt::Display) -> Error {
    Error(format!("{error:#}"))
}

/// Where a network runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `gongsuan` to run.
    pub program: PathBuf,
    /// Whether the folder stays.
    pub keep: bool,
    /// Why there are no mounts of this program's own; `None` if there are, which a full disk needs.
    pub shared: Option<String>,
    /// Each validator on a host of its own instead of loopback with a wire; needs a network namespace of this program's own.
    pub hosts: bool,
}

/// Four validators. They end, and their folder is removed, when this is dropped.
#[derive(Debug)]
pub struct Network {
    options: Options,
    dir: PathBuf,
    cluster: Cluster,
    links: Links,
    /// The file of the program that runs now, by how often it was replaced.
    version: u32,
}

impl Network {
    /// Starts one in a temporary folder.
    ///
    /// # Errors
    /// [`Stop`].
    pub fn up(options: Options) -> Result<Self, Stop> {
        let hosts = if options.hosts { Some(Hosts::new(COUNT)) } else { None };
        let hosts = hosts.transpose().map_err(Stop::Impossible)?;
        Self::start_all(options, hosts).map_err(Stop::Failed)
    }

    fn start_all(options: Options, hosts: Option<Hosts>) -> Result<Self, Error> {
        let dir = tempfile::tempdir()?;
        let path = dir.path();
        if options.shared.is_none() {
            let small = path.join(format!("v{SMALL}"));
            std::fs::create_dir(&small)?;
            tool!("mount", "-t", "tmpfs", "tmpfs", &small).map_err(Error)?;
            // Its log is read when its disk is full.
            let log = path.join(format!("v{SMALL}.log"));
            std::os::unix::fs::symlink(log, small.join("node.log"))?;
        }
        let params = gongsuan_ledger::genesis::Params::default();
        let cluster = Cluster::init_with(path, COUNT, "local", params, hosts.is_none());
        let mut cluster = cluster.map_err(whole)?;
        let links = match hosts {
            Some(hosts) => {
                settle(&mut cluster)?;
                Links::Hosts(hosts)
            }
            None => Links::Wire(Wire::start(&options.program, path, cluster.rules())?),
        };
        let mut network = Self { options, dir: dir.keep(), cluster, links, version: 0 };
        network.renew()?;
        for id in 0..COUNT {
            network.spawn(id)?;
        }
        network.ready()?;
        Ok(network)
    }

    /// The folder, which stays.
    pub fn keep(&mut self) -> &Path {
        self.options.keep = true;
        &self.dir
    }

    /// Why a fault cannot be tried here, if it cannot.
    #[must_use]
    pub fn refuses(&self, fault: Fault) -> Option<String> {
        if fault == Fault::DiskFull {
            return self.options.shared.clone();
        }
        let is_slow = fault == Fault::Slow && self.options.hosts;
        is_slow.then(|| "hosts drop packets and do not delay them; the wire does".into())
    }

    /// How many validators.
    #[must_use]
    pub fn count(&self) -> usize {
        COUNT
    }

    /// A client of all, with one of them first.
    #[must_use]
    pub fn client(&self, first: usize) -> Client {
        let mut nodes = self.cluster.client().nodes().to_vec();
        let count = nodes.len();
        nodes.rotate_left(first % count);
        Client::new(nodes)
    }

    /// A client of one.
    #[must_use]
    pub fn only(&self, id: usize) -> Client {
        self.cluster.client().only(id)
    }

    /// The links between the validators.
    pub(super) fn links(&mut self) -> &mut Links {
        &mut self.links
    }

    /// Who leads now, as the first that answers says.
    pub(super) fn leader(&self) -> Result<usize, Error> {
        let name = self.cluster.client().status()?.leader;
        let place = self.cluster.members.iter().position(|member| member.name == name);
        place.ok_or_else(|| Error(format!("the leader {name:?} is no member")))
    }

    /// Everybody but one.
    pub(super) fn others(&self, id: usize) -> Vec<usize> {
        (0..COUNT).filter(|other| *other != id).collect()
    }

    /// Sends a signal that ends the process, and waits until it has ended.
    pub(super) fn end(&self, id: usize, signal: &str) -> Result<(), Error> {
        self.tell(id, signal)?;
        self.wait_ended(id)
    }

    /// Waits until a process has ended by itself.
    pub(super) fn wait_ended(&self, id: usize) -> Result<(), Error> {
        let deadline = Instant::now() + END;
        while self.cluster.pid(id).is_some() {
            if Instant::now() > deadline {
                return Err(Error(format!("v{id} still runs after {END:?}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Sends a signal.
    pub(super) fn tell(&self, id: usize, signal: &str) -> Result<(), Error> {
        let pid = self.cluster.pid(id).ok_or_else(|| Error(format!("v{id} does not run")))?;
        tool!("kill", signal, pid.to_string()).map_err(Error).map(drop)
    }

    /// Starts a node again and waits until it is connected to a quorum.
    pub(super) fn start(&self, id: usize) -> Result<(), Error> {
        self.spawn(id)?;
        self.cluster.wait_ready(&[id], Duration::from_secs(60)).map_err(whole)
    }

    /// Starts a node.
    pub(super) fn spawn(&self, id: usize) -> Result<(), Error> {
        let launcher = self.dir.join(format!("v{id}.sh"));
        self.cluster.spawn_program(&launcher, id, false).map(drop).map_err(whole)
    }

    /// Waits until all are connected to a quorum.
    pub(super) fn ready(&self) -> Result<(), Error> {
        let all: Vec<usize> = (0..COUNT).collect();
        self.cluster.wait_ready(&all, Duration::from_secs(60)).map_err(whole)
    }

    /// Whoever is started from now on runs another file of the program.
    pub(super) fn renew(&mut self) -> Result<(), Error> {
        let file = |version: u32| self.dir.join(format!("gongsuan.{version}"));
        let (old, new) = (file(self.version), file(self.version + 1));
        std::fs::copy(&self.options.program, &new)?;
        // Those that run it still have it.
        drop(std::fs::remove_file(old));
        for id in 0..COUNT {
            let launcher = self.dir.join(format!("v{id}.sh"));
            let host = self.options.hosts.then(|| format!("ip netns exec {}", hosts::name(id)));
            let text = format!(
                "#!/bin/sh\n{CLOCK_VARIABLE}={} exec {} {} \"$@\"\n",
                quoted(&self.clock(id)),
                host.unwrap_or_default(),
                quoted(&new)
            );
            std::fs::write(&launcher, text)?;
            std::fs::set_permissions(&launcher, std::fs::Permissions::from_mode(0o755))?;
        }
        self.version += 1;
        Ok(())
    }

    fn clock(&self, id: usize) -> PathBuf {
        self.dir.join(format!("v{id}.clock"))
    }

    /// From now on a node's clock is so many milliseconds ahead of the true time.
    pub(super) fn set_clock(&self, id: usize, ahead_ms: i64) -> Result<(), Error> {
        let next = self.clock(id).with_extension("next");
        std::fs::write(&next, ahead_ms.to_string())?;
        Ok(std::fs::rename(next, self.clock(id))?)
    }

    /// Leaves a little room on the file system of [`SMALL`], or much.
    pub(super) fn set_room(&self, much: bool) -> Result<(), Error> {
        let home = &self.cluster.members[SMALL].home;
        let used = tool!("df", "-B1", "--output=used", home).map_err(Error)?;
        let used: Option<u64> = used.lines().last().and_then(|line| line.trim().parse().ok());
        let used = used.ok_or_else(|| Error("df prints something else than expected".into()))?;
        let size = used + if much { 4 << 30 } else { 64 << 10 };
        let size = format!("remount,size={size}");
        tool!("mount", "-o", size, home).map_err(Error).map(drop)
    }

    /// What a node has said.
    pub(super) fn log(&self, id: usize) -> Result<String, Error> {
        Ok(std::fs::read_to_string(self.cluster.members[id].home.join("node.log"))?)
    }

    /// Whether all nodes execute to the same root.
    pub(super) fn check(&self) -> Result<(), Error> {
        let program = &self.options.program;
        let out = Command::new(program).args(["cluster", "check", "--dir"]).arg(&self.dir).output();
        let out = out?;
        if out.status.success() {
            return Ok(());
        }
        let said = [out.stdout, out.stderr].concat();
        Err(Error(format!("cluster check: {}: {}", out.status, String::from_utf8_lossy(&said))))
    }
}

/// Moves every validator to its host.
fn settle(cluster: &mut Cluster) -> Result<(), Error> {
    let names: Vec<String> = cluster.members.iter().map(|member| member.name.clone()).collect();
    for (id, member) in cluster.members.iter_mut().enumerate() {
        let path = member.home.join("node.toml");
        let mut file: NodeFile = toml::from_str(&std::fs::read_to_string(&path)?).map_err(whole)?;
        (file.p2p, file.api) = (hosts::on(id, file.p2p), hosts::on(id, file.api));
        (member.p2p, member.api) = (file.p2p, file.api);
        for peer in &mut file.peers {
            let there = names.iter().position(|name| *name == peer.name).unwrap_or_default();
            peer.p2p = hosts::on(there, peer.p2p);
            peer.api = peer.api.map(|api| hosts::on(there, api));
        }
        std::fs::write(path, toml::to_string(&file).map_err(whole)?)?;
    }
    let text = serde_json::to_string_pretty(&cluster).map_err(whole)?;
    Ok(std::fs::write(cluster.dir.join("cluster.json"), text)?)
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

impl Drop for Network {
    /// Ends every node, in whatever state it is.
    fn drop(&mut self) {
        for id in 0..COUNT {
            drop(self.tell(id, "-KILL"));
            drop(self.wait_ended(id));
        }
        let small = &self.cluster.members[SMALL].home;
        let copied = self.dir.join("small");
        if self.options.keep && self.options.shared.is_none() {
            // Its mount ends with this program.
            drop(tool!("cp", "-a", small, &copied));
        }
        if self.options.shared.is_none() {
            drop(tool!("umount", small));
        }
        if self.options.keep {
            drop(std::fs::rename(copied, small));
        } else {
            drop(std::fs::remove_dir_all(&self.dir));
        }
    }
}
