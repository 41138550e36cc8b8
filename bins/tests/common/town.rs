//! A network of real processes with rules of the test's choice, and people in it.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::print_stderr,
    reason = "each test binary uses a part of this; logs are shown when a test fails"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use gongsuan::client::{Client, ClientError};
use gongsuan::cluster::{Cluster, faucet_key};
use gongsuan::node::config::write_key;
use gongsuan_executor::guests::{RAYTRACE, RaytraceScene};
use gongsuan_ledger::genesis::{Admission, Params};
use gongsuan_ledger::{Op, Role};
use gongsuan_market::{Deal, Rules};
use gongsuan_types::{Address, Amount, OrderId, SecretKey, TimeMs};

const SEED: &str = "town";
/// Longer than anything takes on a machine under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// A picture of four tiles that takes milliseconds.
pub(crate) const SCENE: RaytraceScene =
    RaytraceScene { width: 32, height: 20, columns: 2, rows: 2, seed: 7, samples: 1 };

/// A network that ends with the test.
pub(crate) struct Town {
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
    dir: tempfile::TempDir,
    children: Vec<Child>,
    /// What people run, by their names.
    people: BTreeMap<String, Child>,
}

impl Drop for Town {
    fn drop(&mut self) {
        for child in self.children.iter_mut().chain(self.people.values_mut()) {
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            for name in std::fs::read_dir(self.dir.path()).into_iter().flatten().flatten() {
                if name.path().extension().is_some_and(|end| end == "log") {
                    let text = std::fs::read_to_string(name.path()).unwrap_or_default();
                    eprintln!("--- {}\n{text}", name.path().display());
                }
            }
        }
    }
}

pub(crate) fn gongsuan() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gongsuan"));
    command.env_remove("GONGSUAN_NODE").env_remove("GONGSUAN_KEY").stdin(Stdio::null());
    command
}

/// A person's key.
pub(crate) fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(format!("town/{name}").as_bytes())
}

pub(crate) fn address(name: &str) -> Address {
    key(name).address()
}

impl Town {
    /// Four validators, open to everybody, with these rules of the market.
    pub(crate) fn new(market: Rules) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let params = Params { market, admission: Admission::Open, ..Params::default() };
        let cluster = Cluster::init(dir.path(), 4, SEED, params).unwrap();
        let client = cluster.client();
        let mut town = Self { cluster, client, dir, children: Vec::new(), people: BTreeMap::new() };
        for index in 0..4 {
            town.start(index);
        }
        town.cluster.wait_ready(&[0, 1, 2, 3], PATIENCE).unwrap();
        town
    }

    /// Starts a validator.
    pub(crate) fn start(&mut self, index: usize) {
        let program = Path::new(env!("CARGO_BIN_EXE_gongsuan"));
        self.children.push(self.cluster.spawn_program(program, index, true).unwrap());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Gives people money and a key file each, and attests them as auditors.
    pub(crate) fn settle(&self, names: &[&str], auditors: &[&str]) {
        let expires_at = TimeMs(gongsuan::node::clock().0 + 86_400_000);
        let amount = Amount::from_tokens(1_000).unwrap();
        let pay = names.iter().map(|name| Op::Transfer { to: address(name), amount });
        let grant = auditors.iter().map(|name| Op::Grant {
            subject: address(name),
            role: Role::Auditor,
            expires_at,
        });
        let ops: Vec<Op> = pay.chain(grant).collect();
        self.client.execute(&faucet_key(SEED), &ops).unwrap();
        for name in names {
            write_key(&self.path(&format!("{name}.key")), &key(name)).unwrap();
        }
    }

    /// A command of a person.
    pub(crate) fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = gongsuan();
        command.args(args).arg("--key").arg(self.path(&format!("{name}.key")));
        command.args(["--node", &self.client.nodes().join(",")]).current_dir(self.dir.path());
        command
    }

    /// Runs a command of a person to its end.
    pub(crate) fn run(&self, name: &str, args: &[&str]) -> Output {
        self.command(name, args).output().unwrap()
    }

    /// Starts a command of a person; it ends with the network at the latest. What it says goes into `<name>.log`.
    pub(crate) fn spawn(&mut self, name: &str, args: &[&str]) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{name}.log")));
        let log = log.unwrap();
        let child = self.command(name, args).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        if let Some(before) = self.people.insert(name.to_owned(), child) {
            self.children.push(before);
        }
    }

    /// Kills what a person runs, as a power cut would.
    pub(crate) fn kill(&mut self, name: &str) {
        let mut child = self.people.remove(name).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts a provider's agent and waits for its ask.
    pub(crate) fn provider(&mut self, name: &str, args: &[&str]) {
        self.spawn(name, &[&["provider", "run", "--workers", "1"], args].concat());
        let me = address(name);
        self.wait("an ask", |client| {
            let asks = client.orders(&gongsuan::client::Page {
                account: Some(me),
                open: true,
                ..gongsuan::client::Page::default()
            })?;
            Ok((!asks.orders.is_empty()).then_some(()))
        });
    }

    pub(crate) fn wait<T>(
        &self,
        what: &str,
        ask: impl FnMut(&Client) -> Result<Option<T>, ClientError>,
    ) -> T {
        self.client.wait_for(what, PATIENCE, ask).unwrap()
    }

    /// Waits until a deal of a bid is as wanted.
    pub(crate) fn wait_deal(&self, what: &str, bid: OrderId, is: impl Fn(&Deal) -> bool) -> Deal {
        self.wait(what, |client| {
            let deals = gongsuan::renter::deals_of(client, bid)?;
            Ok(deals.into_iter().find(|deal| is(deal)))
        })
    }

    /// A folder with a job of four small tiles; `more` are lines of its file.
    pub(crate) fn job(&self, folder: &str, more: &str) -> PathBuf {
        let dir = self.path(folder);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("program.wasm"), RAYTRACE).unwrap();
        std::fs::write(dir.join("input.bin"), SCENE.to_input()).unwrap();
        let file = format!(
            "module = \"program.wasm\"\ninput = \"input.bin\"\nsegments = 4\nfuel_max = 1_000_000_000\n\
             memory_pages = 256\noutput_bytes = 65_536\nprice_max = \"0.2\"\ndeals_max = 1\nsamples = 2\n\
             vetted = false\nmatch_within_s = 60\nrun_within_s = 120\n{more}\n"
        );
        let path = dir.join("job.toml");
        std::fs::write(&path, file).unwrap();
        path
    }

    /// The newest bid of a person, once it is a later one than this.
    pub(crate) fn newest_bid_above(&self, name: &str, below: OrderId) -> OrderId {
        let page = gongsuan::client::Page {
            account: Some(address(name)),
            side: Some(gongsuan_types::order::Side::Bid),
            ..gongsuan::client::Page::default()
        };
        self.wait("a bid", |client| {
            let newest = client.orders(&page)?.orders.first().map(|bid| bid.id);
            Ok(newest.filter(|id| *id > below))
        })
    }

    /// The newest bid of a person.
    pub(crate) fn newest_bid(&self, name: &str) -> OrderId {
        self.newest_bid_above(name, OrderId(0))
    }
}

/// What a command printed as JSON, if it ended with this code.
pub(crate) fn json(out: &Output, code: i32) -> serde_json::Value {
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{said}\n{}", String::from_utf8_lossy(&out.stdout));
    // An error is the last line, after notes for people.
    let line = said.lines().last().unwrap_or_default();
    let object = if out.stdout.is_empty() { line.as_bytes() } else { &out.stdout };
    serde_json::from_slice(object).unwrap()
}
