//! A network of real processes that keep little: who comes late, or comes back with nothing, gets the state and not the log.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, in its helpers too, and shows its logs"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gongsuan::api::wire::{Status, TxState};
use gongsuan::client::{Client, ClientError};
use gongsuan::cluster::{Cluster, Member, faucet_key, free_port};
use gongsuan::node::config::{NodeFile, Peer, write_node_key};
use gongsuan_ledger::Op;
use gongsuan_ledger::genesis::{Admission, Params};
use gongsuan_types::{Amount, SecretKey};

const SEED: &str = "snapshots";
/// Longer than anything takes on a machine under load.
const PATIENCE: Duration = Duration::from_secs(120);

struct Network {
    cluster: Cluster,
    children: Vec<Option<Child>>,
    _dir: tempfile::TempDir,
}

impl Drop for Network {
    fn drop(&mut self) {
        for mut child in self.children.iter_mut().filter_map(Option::take) {
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            for member in &self.cluster.members {
                let log = std::fs::read_to_string(member.home.join("node.log"));
                eprintln!("--- {}\n{}", member.name, log.unwrap_or_default());
            }
        }
    }
}

fn change(home: &Path, change: impl FnOnce(&mut NodeFile)) {
    let path = home.join("node.toml");
    let mut file: NodeFile = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut file);
    std::fs::write(path, toml::to_string(&file).unwrap()).unwrap();
}

fn keep_little(file: &mut NodeFile) {
    file.retention = Some("pruned:8".parse().unwrap());
    file.segment_bytes = Some(8_000);
}

fn payment(n: u64) -> Op {
    let to = SecretKey::from_seed(&n.to_le_bytes()).address();
    Op::Transfer { to, amount: Amount::new(1) }
}

impl Network {
    /// Four validators that keep eight blocks and what a snapshot needs.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let params =
            Params { admission: Admission::Open, snapshot_blocks: 16, ..Params::default() };
        let cluster = Cluster::init(dir.path(), 4, SEED, params).unwrap();
        let mut network = Self { cluster, children: Vec::new(), _dir: dir };
        for index in 0..4 {
            change(&network.cluster.members[index].home, keep_little);
            network.children.push(None);
            network.start(index);
        }
        network.cluster.wait_ready(&[0, 1, 2, 3], PATIENCE).unwrap();
        network
    }

    fn start(&mut self, index: usize) {
        let program = Path::new(env!("CARGO_BIN_EXE_gongsuan"));
        let child = self.cluster.spawn_program(program, index, true).unwrap();
        self.children[index] = Some(child);
    }

    /// Ends a node at once, or as it is told to end.
    fn stop(&mut self, index: usize, signal: &str) {
        self.cluster.signal(index, signal).unwrap();
        drop(self.children[index].take().unwrap().wait());
    }

    /// A node with a key that no genesis knows.
    fn add_follower(&mut self) -> usize {
        let index = self.cluster.members.len();
        let mut next = 19_000;
        let mut address = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(&mut next).unwrap()));
        let name = "watcher".to_owned();
        let (home, p2p, api) = (self._dir.path().join(&name), address(), address());
        std::fs::create_dir(&home).unwrap();
        write_node_key(&home, &SecretKey::from_seed(b"watcher")).unwrap();
        let first = &self.cluster.members[0].home;
        std::fs::copy(first.join("genesis.json"), home.join("genesis.json")).unwrap();
        let peer = |member: &Member| Peer {
            name: member.name.clone(),
            key: None,
            p2p: member.p2p,
            api: Some(member.api),
        };
        let peers = self.cluster.members.iter().map(peer).collect();
        let (timeout_ms, retention, segment_bytes) = (250, None, None);
        let file =
            NodeFile { name: name.clone(), p2p, api, peers, timeout_ms, retention, segment_bytes };
        std::fs::write(home.join("node.toml"), toml::to_string(&file).unwrap()).unwrap();
        self.cluster.members.push(Member { name, home, p2p, api });
        self.children.push(None);
        self.start(index);
        index
    }

    fn client(&self, index: usize) -> Client {
        Client::new([format!("http://{}", self.cluster.members[index].api)])
    }

    fn status(&self, index: usize) -> Result<Status, ClientError> {
        self.client(index).get("/v1/status")
    }

    fn wait<T>(&self, what: &str, mut ask: impl FnMut() -> Result<Option<T>, ClientError>) -> T {
        self.client(0).wait_for(what, PATIENCE, |_| ask()).unwrap()
    }

    /// Waits until nodes have the same last block, and compares what they made of it.
    fn assert_equal(&self, which: &[usize]) -> Status {
        self.wait("equal heights", || {
            let all = which.iter().map(|index| self.status(*index));
            let all: Vec<Status> = all.collect::<Result<_, _>>()?;
            if all.iter().any(|status| status.height != all[0].height) {
                return Ok(None);
            }
            assert!(all.iter().all(|status| status.state_root == all[0].state_root));
            Ok(Some(all[0].clone()))
        })
    }

    fn has_pruned(&self, index: usize) -> bool {
        let first = std::fs::read_dir(self.cluster.members[index].home.join("blocks")).unwrap();
        let names = first.map(|name| name.unwrap().file_name().into_string().unwrap());
        let oldest = names.filter(|name| name.ends_with(".seg")).min().unwrap();
        oldest != "00000000000000000001.seg"
    }

    fn log(&self, index: usize) -> String {
        std::fs::read_to_string(self.cluster.members[index].home.join("node.log")).unwrap()
    }

    fn pay(&self, by: usize, n: u64) {
        let paid = self.client(by).execute(&faucet_key(SEED), &[payment(n)]).unwrap();
        assert!(matches!(paid, TxState::Committed { .. }), "{paid:?}");
    }
}

#[test]
fn who_comes_late_or_lost_everything_gets_the_state_and_goes_on() {
    let mut network = Network::new();
    let mut paid = 0;
    network.wait("logs that were cut", || {
        for _ in 0..20 {
            paid += 1;
            network.pay(0, paid);
        }
        Ok((0..4).all(|index| network.has_pruned(index)).then_some(()))
    });

    // A node without a seat.
    let follower = network.add_follower();
    network.wait("the follower's API", || Ok(network.status(follower).ok()));
    let status = network.assert_equal(&[0, 1, 2, 3, follower]);
    assert!(network.log(follower).contains("a snapshot took the place of the log"));
    let own = network.status(follower).unwrap();
    assert_eq!((own.name.as_str(), own.seat), ("watcher", None));
    assert_eq!(network.status(0).unwrap().seat, Some(0));
    // What is handed in there is ordered elsewhere, and can be proved there.
    network.pay(follower, 1_000_001);
    let to = SecretKey::from_seed(&1_000_001_u64.to_le_bytes()).address();
    assert_eq!(network.client(follower).account(to).unwrap().balance, Amount::new(1));
    network.client(follower).proof("account", &to.to_string()).unwrap();
    assert!(network.client(follower).only(0).get::<serde_json::Value>("/v1/blocks/1").is_err());

    // One validator loses everything but its key, under load. Of the others one can read no piece any more.
    network.stop(3, "-KILL");
    let home = network.cluster.members[3].home.clone();
    for entry in std::fs::read_dir(&home).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            std::fs::remove_dir_all(entry.path()).unwrap();
        } else if !["node.toml", "genesis.json", "validator.key"].contains(&name.as_str()) {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    bend_snapshots(&network.cluster.members[1].home);
    let stop = AtomicBool::new(false);
    let (client, faucet) = (network.client(0), faucet_key(SEED));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 2_000_000;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                client.execute(&faucet, &[payment(n)]).unwrap();
            }
        });
        network.start(3);
        network.wait("the state without the log", || {
            let there = network.status(0)?.height;
            Ok(network
                .status(3)
                .ok()
                .filter(|own| own.height.0 + 8 >= there.0 && own.height > status.height))
        });
        stop.store(true, Ordering::Relaxed);
    });
    network.assert_equal(&[0, 1, 2, 3, follower]);
    let log = network.log(3);
    assert!(log.contains("the votes of this key were lost"), "it knows that it forgot");
    assert!(log.contains("a snapshot took the place of the log"));
    let lost = network.status(3).unwrap();
    assert_eq!(lost.seat, None, "it may have voted in this term");

    // Terms pass as leaders are stopped; once there is one in which it cannot have voted, it has its seat again.
    let mut rounds = 0;
    while network.status(3).unwrap().seat.is_none() {
        rounds += 1;
        assert!(rounds <= 8, "it never votes again");
        let leader = network.status(3).unwrap().leader;
        let index =
            network.cluster.members.iter().position(|member| member.name == leader).unwrap();
        if index != 3 {
            network.stop(index, "-INT");
            network.start(index);
            network.cluster.wait_ready(&[index], PATIENCE).unwrap();
        }
        paid += 1;
        network.pay(3, paid);
    }
    let seated = network.status(3).unwrap();
    assert!(seated.term.0 >= lost.term.0 + 2, "one term is not enough: {seated:?} after {lost:?}");
    // Now it is needed.
    network.stop(0, "-KILL");
    network.pay(3, 3_000_000);
    network.assert_equal(&[1, 2, 3, follower]);
}

/// Bends a byte in the middle of every snapshot of a running node.
fn bend_snapshots(home: &Path) {
    for room in ["snapshot-a", "snapshot-b"] {
        for entry in std::fs::read_dir(home.join(room)).unwrap().map(Result::unwrap) {
            if entry.path().extension().is_some_and(|end| end == "seg") {
                let mut bytes = std::fs::read(entry.path()).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(entry.path(), bytes).unwrap();
            }
        }
    }
}

#[test]
fn a_folder_whose_name_and_key_do_not_belong_together_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::init(dir.path(), 4, "names", Params::default()).unwrap();
    let home = &cluster.members[1].home;
    let refused = || gongsuan::node::config::NodeConfig::load(home).unwrap_err().to_string();
    change(home, |file| file.name = "v2".into());
    assert!(refused().ends_with("the key is not that of validator `v2`"));
    change(home, |file| file.name = "somebody".into());
    assert!(refused().ends_with("name: the key is that of validator `v1`"));
    change(home, |file| {
        file.name = "v1".into();
        file.peers[0].name = "stranger".into();
    });
    assert!(
        refused().contains("`stranger` is not another validator of the genesis, and has no key")
    );
    change(home, |file| file.peers[0].key = Some(SecretKey::from_seed(b"stranger").public_key()));
    let config = gongsuan::node::config::NodeConfig::load(home).unwrap();
    assert_eq!(config.addresses().count(), 3);
}
