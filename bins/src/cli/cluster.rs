//! `gongsuan cluster`.

use std::path::PathBuf;
use std::time::Duration;

use gongsuan_types::Height;
use serde_json::json;

use super::{Context, exit, output, usage};
use crate::api::wire::Status;
use crate::cluster::Cluster;
use crate::wire::{Rule, Rules};

#[derive(Debug, clap::Args)]
pub(super) struct Dir {
    /// The network's folder.
    #[arg(long, default_value = ".cluster")]
    dir: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Start a network; a stopped one in the folder is started again.
    Up {
        /// How many validators: 3f + 1 survive f failures.
        #[arg(default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
        validators: u8,
        /// Put a wire between the validators, so that `cluster partition` and `cluster slow` can cut and slow their links.
        #[arg(long)]
        wire: bool,
        #[command(flatten)]
        dir: Dir,
    },
    /// Stop every node.
    Down {
        /// Also remove the folder.
        #[arg(long)]
        purge: bool,
        #[command(flatten)]
        dir: Dir,
    },
    /// Addresses, processes, heights and roots.
    Status {
        #[command(flatten)]
        dir: Dir,
    },
    /// Kill a node with SIGKILL.
    Kill {
        /// Its number.
        id: usize,
        #[command(flatten)]
        dir: Dir,
    },
    /// Start a node again.
    Start {
        /// Its number.
        id: usize,
        #[command(flatten)]
        dir: Dir,
    },
    /// Cut the links between groups of validators (a network started with `up --wire`).
    Partition {
        /// Groups of numbers, such as `0,1 2,3`; whoever is in none is cut from nobody.
        #[arg(required_unless_present = "heal", num_args = 2..)]
        groups: Vec<Group>,
        /// Cut only what the first group sends to the others.
        #[arg(long)]
        one_way: bool,
        /// Heal after so many seconds, and only then return.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3600))]
        seconds: Option<u64>,
        /// Let everything pass again.
        #[arg(long, conflicts_with_all = ["groups", "one_way", "seconds"])]
        heal: bool,
        #[command(flatten)]
        dir: Dir,
    },
    /// Slow all links (a network started with `up --wire`). Without options: as fast as they are.
    Slow {
        /// Milliseconds that everything takes.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000))]
        delay_ms: u64,
        /// More or less, at random.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000))]
        jitter_ms: u64,
        /// So many of a hundred pieces are lost and sent again, 200 ms later.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
        loss_percent: u8,
        #[command(flatten)]
        dir: Dir,
    },
    /// Wait until every running node has a height.
    Wait {
        /// The height.
        height: Height,
        #[command(flatten)]
        dir: Dir,
    },
    /// Whether all running nodes have the same root at their common height; exit code 7 if not.
    Check {
        #[command(flatten)]
        dir: Dir,
    },
}

/// Validators on one side of a cut.
#[derive(Debug, Clone)]
pub(super) struct Group(Vec<usize>);

impl std::str::FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            part.trim_start_matches('v')
                .parse()
                .map_err(|_| format!("`{part}` is not a validator's number"))
        };
        text.split(',').map(number).collect::<Result<_, _>>().map(Self)
    }
}

fn wired(cluster: &Cluster) -> anyhow::Result<Rules> {
    if cluster.wire.is_empty() {
        return Err(usage(
            "this network has no wire: `gongsuan cluster down --purge`, then `gongsuan cluster up --wire`",
        ));
    }
    Rules::load(&cluster.rules())
}

fn partition(
    cluster: &Cluster,
    groups: &[Group],
    one_way: bool,
    seconds: Option<u64>,
    heal: bool,
) -> anyhow::Result<()> {
    let mut rules = wired(cluster)?;
    let before = rules.clone();
    let groups: Vec<Vec<usize>> = groups.iter().map(|group| group.0.clone()).collect();
    for id in groups.iter().flatten() {
        known(cluster, *id)?;
    }
    if heal {
        rules.heal();
    } else {
        rules.partition(&groups, one_way);
    }
    rules.save(&cluster.rules())?;
    if let Some(seconds) = seconds {
        std::thread::sleep(Duration::from_secs(seconds));
        before.save(&cluster.rules())?;
    }
    Ok(())
}

pub(super) fn run(command: Command, context: &Context) -> anyhow::Result<u8> {
    match command {
        Command::Up { validators, wire, dir } => {
            let cluster = match Cluster::load(&dir.dir) {
                Ok(cluster) => cluster,
                Err(_) => {
                    std::fs::create_dir_all(&dir.dir)?;
                    let path = std::fs::canonicalize(&dir.dir)?;
                    let count = usize::from(validators);
                    Cluster::init_with(&path, count, "local", Default::default(), wire)?
                }
            };
            cluster.spawn_wire()?;
            let all: Vec<usize> = (0..cluster.members.len()).collect();
            for index in &all {
                if cluster.pid(*index).is_none() {
                    cluster.spawn(*index, false)?;
                }
            }
            cluster.wait_ready(&all, Duration::from_secs(30))?;
            show(&cluster, context)?;
            output::note(&format!(
                "development keys: anybody can spend the money in {}",
                cluster.dir.join("faucet.key").display()
            ));
        }
        Command::Down { purge, dir } => {
            let cluster = Cluster::load(&dir.dir)?;
            for index in 0..cluster.members.len() {
                if cluster.pid(index).is_some() {
                    cluster.signal(index, "-TERM")?;
                }
            }
            cluster.stop_wire()?;
            if purge {
                std::fs::remove_dir_all(&cluster.dir)?;
            }
        }
        Command::Status { dir } => show(&Cluster::load(&dir.dir)?, context)?,
        Command::Kill { id, dir } => {
            let cluster = Cluster::load(&dir.dir)?;
            known(&cluster, id)?;
            let pid = cluster.signal(id, "-KILL")?;
            output::note(&format!("v{id} (process {pid}) killed"));
        }
        Command::Start { id, dir } => {
            let cluster = Cluster::load(&dir.dir)?;
            known(&cluster, id)?;
            if cluster.pid(id).is_some() {
                return Err(usage(format!("v{id} runs already")));
            }
            cluster.spawn(id, false)?;
            cluster.wait_ready(&[id], Duration::from_secs(30))?;
            output::note(&format!("v{id} is up"));
        }
        Command::Partition { groups, one_way, seconds, heal, dir } => {
            partition(&Cluster::load(&dir.dir)?, &groups, one_way, seconds, heal)?;
        }
        Command::Slow { delay_ms, jitter_ms, loss_percent, dir } => {
            let cluster = Cluster::load(&dir.dir)?;
            let mut rules = wired(&cluster)?;
            rules.all = Rule { delay_ms, jitter_ms, loss_percent, ..rules.all };
            rules.save(&cluster.rules())?;
        }
        Command::Wait { height, dir } => {
            let cluster = Cluster::load(&dir.dir)?;
            for index in running(&cluster) {
                let one = cluster.client().only(index);
                one.wait_for(&format!("height {height}"), Duration::from_secs(60), |client| {
                    let status: Status = client.get("/v1/status")?;
                    Ok((status.height >= height).then_some(()))
                })?;
            }
        }
        Command::Check { dir } => {
            let cluster = Cluster::load(&dir.dir)?;
            let nodes =
                running(&cluster).into_iter().map(|i| format!("http://{}", cluster.members[i].api));
            let replayed =
                crate::audit::replay_all(&crate::client::Client::new(nodes), |_, _| Ok(()))?;
            let value = json!({ "height": replayed.state.height(), "equal": replayed.equal, "state_root": replayed.state.root() });
            output::show(context.json, "gongsuan/cluster-check/v1", &value, || {
                format!(
                    "height {}  root {}  equal {}",
                    replayed.state.height(),
                    replayed.state.root(),
                    replayed.equal
                )
            });
            return Ok(if replayed.equal { 0 } else { exit::MISMATCH });
        }
    }
    Ok(0)
}

fn known(cluster: &Cluster, id: usize) -> anyhow::Result<()> {
    if id < cluster.members.len() {
        return Ok(());
    }
    Err(usage(format!("there is no node {id}; the numbers are 0..{}", cluster.members.len())))
}

fn running(cluster: &Cluster) -> Vec<usize> {
    (0..cluster.members.len()).filter(|index| cluster.pid(*index).is_some()).collect()
}

fn show(cluster: &Cluster, context: &Context) -> anyhow::Result<()> {
    let client = cluster.client();
    let rows: Vec<(usize, Option<u32>, Option<Status>)> = (0..cluster.members.len())
        .map(|index| {
            let pid = cluster.pid(index);
            let status = pid.and_then(|_| client.only(index).get("/v1/status").ok());
            (index, pid, status)
        })
        .collect();
    let value = rows.iter().map(|(index, pid, status)| {
        let member = &cluster.members[*index];
        json!({ "name": member.name, "p2p": member.p2p, "api": member.api, "pid": pid, "status": status })
    });
    let value = json!({ "nodes": value.collect::<Vec<_>>() });
    output::show(context.json, "gongsuan/cluster/v1", &value, || {
        let lines = rows.iter().map(|(index, pid, status)| {
            let member = &cluster.members[*index];
            let dash = || "-".to_owned();
            vec![
                member.name.clone(),
                member.p2p.to_string(),
                format!("http://{}/", member.api),
                pid.map_or_else(|| "down".to_owned(), |pid| pid.to_string()),
                status.as_ref().map_or_else(dash, |s| s.height.to_string()),
                status.as_ref().map_or_else(dash, |s| s.term.to_string()),
                status.as_ref().map_or_else(dash, |s| s.state_root.short()),
                status.as_ref().map_or_else(dash, |s| s.peers.len().to_string()),
            ]
        });
        output::table(&["node", "p2p", "api", "pid", "height", "term", "root", "peers"], lines)
    });
    Ok(())
}
