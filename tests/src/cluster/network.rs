//! The network: what `gongsuan cluster` does, told from outside.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gongsuan::client::{Client, ClientError};
use gongsuan::cluster::Cluster;
use gongsuan::wire::{Rule, Rules};

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

/// With all its causes.
fn whole(error: impl std::fmt::Display) -> Error {
    Error(format!("{error:#}"))
}

/// Four validators with a wire between them. It ends, and its folder is removed, when this is dropped.
#[derive(Debug)]
pub struct Network {
    program: PathBuf,
    dir: PathBuf,
    keep: bool,
    cluster: Cluster,
}

impl Network {
    /// Starts one in a temporary folder.
    ///
    /// # Errors
    /// If it does not start.
    pub fn up(program: PathBuf, keep: bool) -> Result<Self, Error> {
        let dir = tempfile::tempdir()?.keep();
        let started = gongsuan(&program, &dir, &["up", "4", "--wire"]);
        let cluster = Cluster::load(&dir).map_err(whole);
        match (started, cluster) {
            (Ok(()), Ok(cluster)) => Ok(Self { program, dir, keep, cluster }),
            (Err(error), _) | (_, Err(error)) => {
                drop(gongsuan(&program, &dir, &["down", "--purge"]));
                Err(error)
            }
        }
    }

    /// How many validators.
    #[must_use]
    pub fn count(&self) -> usize {
        self.cluster.members.len()
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

    /// Who leads now, as the first that answers says.
    pub(super) fn leader(&self) -> Result<usize, Error> {
        let name = self.cluster.client().status()?.leader;
        let place = self.cluster.members.iter().position(|member| member.name == name);
        place.ok_or_else(|| Error(format!("the leader {name:?} is no member")))
    }

    /// Sends a signal and waits until the process is gone.
    pub(super) fn signal(&self, id: usize, signal: &str) -> Result<(), Error> {
        self.cluster.signal(id, signal).map(drop).map_err(whole)
    }

    /// Sends a signal that does not end the process.
    pub(super) fn tell(&self, id: usize, signal: &str) -> Result<(), Error> {
        let pid = self.cluster.pid(id).ok_or_else(|| Error(format!("v{id} does not run")))?;
        let status = Command::new("kill").args([signal, &pid.to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(Error(format!("kill {signal} {pid}: {status}"))) }
    }

    /// Starts a node again and waits until it is connected to a quorum.
    pub(super) fn start(&self, id: usize) -> Result<(), Error> {
        gongsuan(&self.program, &self.dir, &["start", &id.to_string()])
    }

    /// Starts a node again.
    pub(super) fn spawn(&self, id: usize) -> Result<(), Error> {
        let spawned = self.cluster.spawn_program(&self.program, id, false);
        spawned.map(drop).map_err(whole)
    }

    /// Waits until all are connected to a quorum.
    pub(super) fn ready(&self) -> Result<(), Error> {
        let all: Vec<usize> = (0..self.count()).collect();
        let ready = self.cluster.wait_ready(&all, Duration::from_secs(60));
        ready.map_err(whole)
    }

    fn rules(&self, change: impl FnOnce(&mut Rules)) -> Result<(), Error> {
        let path = self.cluster.rules();
        let mut rules = Rules::load(&path).map_err(whole)?;
        change(&mut rules);
        rules.save(&path).map_err(whole)
    }

    /// Cuts groups off from each other.
    pub(super) fn cut(&self, groups: &[Vec<usize>], one_way: bool) -> Result<(), Error> {
        self.rules(|rules| rules.partition(groups, one_way))
    }

    /// Lets everything pass.
    pub(super) fn heal(&self) -> Result<(), Error> {
        self.rules(Rules::heal)
    }

    /// Slows every link.
    pub(super) fn slow(
        &self,
        delay_ms: u64,
        jitter_ms: u64,
        loss_percent: u8,
    ) -> Result<(), Error> {
        self.rules(|rules| rules.all = Rule { delay_ms, jitter_ms, loss_percent, cut: false })
    }

    /// Whether all nodes execute to the same root.
    pub(super) fn check(&self) -> Result<(), Error> {
        gongsuan(&self.program, &self.dir, &["check"])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let purge: &[&str] = if self.keep { &["down"] } else { &["down", "--purge"] };
        drop(gongsuan(&self.program, &self.dir, purge));
        drop(std::fs::remove_dir(&self.dir));
    }
}

fn gongsuan(program: &Path, dir: &Path, args: &[&str]) -> Result<(), Error> {
    let out = Command::new(program).arg("cluster").args(args).arg("--dir").arg(dir).output()?;
    if out.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    Err(Error(format!("cluster {}: {}: {said}", args.join(" "), out.status)))
}
