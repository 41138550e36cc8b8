//! The whole deal on one machine, from genesis to audit; and the one that goes wrong.

mod cheat;
mod stage;

use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gongsuan_executor::guests::{RAYTRACE, RaytraceScene};
use gongsuan_ledger::genesis::Params;
use gongsuan_ledger::{Event, Op, Role, StoredBlock};
use gongsuan_market::{DealState, HoldId, Rules, Settlement};
use gongsuan_types::job::{Check, Pace};
use gongsuan_types::order::{Capabilities, Requirements};
use gongsuan_types::{Address, Amount, DurationMs, Fuel, Hash, OrderId, Price, SecretKey, TimeMs};
use serde::Serialize;

use crate::api::wire::{Status, SupplyView};
use crate::client::Client;
use crate::cluster::{Cluster, faucet_key};
use crate::node::config::write_key;
use crate::renter::{self, Wish};
pub use cheat::{CheatSummary, Slashed, run as run_cheat};
use stage::Stage;

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// Fixes keys, prices and scene.
    pub seed: u64,
    /// Where picture and receipt go.
    pub out: PathBuf,
    /// Keep the chain up at the end.
    pub serve: bool,
    /// Keep the folder of the chain.
    pub keep: bool,
    /// Tiles in a row and in a column.
    pub grid: (u32, u32),
    /// The picture's width and height.
    pub size: (u32, u32),
}

/// What the demo did, as one object.
#[derive(Debug, Clone, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four checks, each with its own name in the JSON"
)]
pub struct Summary {
    /// `gongsuan/demo/v1`.
    pub schema: &'static str,
    /// The chain.
    pub chain_id: Hash,
    /// Blocks.
    pub blocks: u64,
    /// Tiles.
    pub segments: u32,
    /// Who worked and what for.
    pub providers: Vec<ProviderRow>,
    /// Micro-tokens set aside for the job.
    pub escrow: Amount,
    /// Micro-tokens paid to providers.
    pub paid: Amount,
    /// Micro-tokens paid to auditors.
    pub audited: Amount,
    /// Micro-tokens to the treasury out of the escrow.
    pub fees: Amount,
    /// Micro-tokens back to the renter.
    pub refund: Amount,
    /// Segments executed again after the commitment, and found equal.
    pub audits: u32,
    /// The validator that was killed.
    pub killed: String,
    /// Whether the supply is what it was and the escrow adds up.
    pub supply_equal: bool,
    /// Whether all nodes have the same state root.
    pub roots_equal: bool,
    /// Whether executing every block again gives that root.
    pub replay_equal: bool,
    /// Whether the receipt passes its offline check.
    pub receipt_valid: bool,
    /// The common state root.
    pub state_root: Hash,
    /// The picture.
    pub picture: PathBuf,
    /// Its SHA-256.
    pub picture_sha256: Hash,
    /// The receipt.
    pub receipt: PathBuf,
    /// From start to end.
    pub seconds: u64,
    /// The same in milliseconds.
    pub milliseconds: u64,
}

/// One provider's part.
#[derive(Debug, Clone, Serialize)]
pub struct ProviderRow {
    /// Its name here.
    pub name: String,
    /// Its address.
    pub address: Address,
    /// Micro-tokens per Gf.
    pub price: Price,
    /// Segments it ran.
    pub segments: u32,
    /// Micro-tokens it earned.
    pub paid: Amount,
}

impl Summary {
    /// Whether everything that the demo claims is so.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.supply_equal && self.roots_equal && self.replay_equal && self.receipt_valid
    }
}

/// Processes that end with this one, whatever happens.
#[derive(Debug, Default)]
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The folder to remove when a signal ends the process before `TempDir` can.
static FOLDER: std::sync::Mutex<Option<PathBuf>> = std::sync::Mutex::new(None);

/// Removes the running demo's folder. Its processes end when they see this one gone.
pub fn clean_up() {
    let folder = FOLDER.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    if let Some(folder) = folder {
        drop(std::fs::remove_dir_all(folder));
    }
}

struct Bench {
    cluster: Cluster,
    client: Client,
    children: Children,
    dir: PathBuf,
    _temp: Option<tempfile::TempDir>,
}

fn key(seed: u64, name: &str) -> SecretKey {
    SecretKey::from_seed(format!("gongsuan/dev/demo-{seed}/{name}").as_bytes())
}

/// Short windows: the demo's chain forgives nobody for long.
fn params() -> Params {
    let market = Rules {
        challenge_window: DurationMs(500),
        reveal_window: DurationMs(5_000),
        audit_window: DurationMs(20_000),
        ..Rules::default()
    };
    Params { market, ..Params::default() }
}

/// Runs the demo. Progress goes to `stage`'s standard error.
///
/// # Errors
/// If a step cannot be done. Checks that fail are in the summary.
pub fn run(options: &Options) -> anyhow::Result<Summary> {
    let started = Instant::now();
    let stage = Stage::new(started);
    let mut bench = start(options, &stage)?;
    let providers = admit(options, &mut bench, &stage)?;
    let supply_before: SupplyView = bench.client.get("/v1/supply")?;
    let scene = RaytraceScene {
        width: options.size.0,
        height: options.size.1,
        columns: options.grid.0,
        rows: options.grid.1,
        seed: options.seed,
        samples: RaytraceScene::default().samples,
    };
    let (bid, secret) = order(options, &bench, &scene, &stage)?;
    let killed = follow(options, &mut bench, bid, secret, &stage)?;
    let (picture, picture_sha256) = assemble(options, &bench, bid, &scene)?;
    let bundle = crate::audit::collect(&bench.client, bid)?;
    let receipt = options.out.join("receipt.json");
    std::fs::write(&receipt, serde_json::to_vec_pretty(&bundle)?)?;
    let checks = crate::audit::check(&bundle, None);
    let receipt_valid = checks.iter().all(|check| check.ok);
    rejoined(&bench, &stage)?;
    let mut blocks = Vec::new();
    let look = |block: &StoredBlock, _: &gongsuan_ledger::State| {
        blocks.push(block.clone());
        Ok(())
    };
    let replayed = crate::audit::replay_all(&bench.client, look).context("the replay differs")?;
    let flow = flow(&blocks, bid);
    let supply_after: SupplyView = bench.client.get("/v1/supply")?;
    let supply_equal = supply_before.supply.total == supply_after.supply.total
        && supply_before.equal
        && supply_after.equal
        && replayed.state.supply().total == supply_after.supply.total
        && flow.adds_up();
    let replay_equal = gongsuan_ledger::invariants::check(&replayed.state).is_ok();
    let deals = renter::deals_of(&bench.client, bid)?;
    let audits = deals.iter().map(|deal| match &deal.state {
        DealState::Settled { samples, .. } => {
            samples.iter().filter(|s| s.auditor.is_some()).count()
        }
        _ => 0,
    });
    let rows = providers.iter().map(|provider| {
        let own = deals.iter().filter(|deal| deal.provider == provider.address);
        let paid = own.clone().map(|deal| match &deal.state {
            DealState::Settled { paid, .. } => *paid,
            _ => Amount::ZERO,
        });
        ProviderRow {
            segments: own.clone().map(|deal| deal.terms.count).sum(),
            paid: Amount::checked_sum(paid).unwrap_or_default(),
            ..provider.clone()
        }
    });
    let elapsed = started.elapsed();
    let summary = Summary {
        schema: "gongsuan/demo/v1",
        chain_id: bundle.genesis.chain_id(),
        blocks: replayed.state.height().0,
        segments: scene.tiles(),
        providers: rows.collect(),
        escrow: flow.escrow,
        paid: flow.paid,
        audited: flow.audited,
        fees: flow.fees,
        refund: flow.refund,
        audits: u32::try_from(audits.sum::<usize>()).unwrap_or(u32::MAX),
        killed,
        supply_equal,
        roots_equal: replayed.equal,
        replay_equal,
        receipt_valid,
        state_root: replayed.state.root(),
        picture,
        picture_sha256,
        receipt,
        seconds: elapsed.as_secs(),
        milliseconds: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    };
    let mark = |ok: bool| if ok { "equal" } else { "DIFFERENT" };
    stage.say(
        "pay",
        &format!(
            "providers {} · auditors {} · fees {} · refund {} · of {} in escrow · supply {}",
            summary.paid,
            summary.audited,
            summary.fees,
            summary.refund,
            summary.escrow,
            mark(supply_equal)
        ),
    );
    stage.say("audit", &format!(
        "4 nodes, state root {}: {} · replay of {} blocks on a fresh state: {} · receipt: {} checks {}",
        summary.state_root.short(), mark(summary.roots_equal), summary.blocks, mark(replay_equal),
        checks.len(), if receipt_valid { "hold" } else { "DO NOT HOLD" }
    ));
    if options.serve {
        stage.say("serve", &format!("{} · Ctrl-C ends it", bench.client.nodes().join(" ")));
        stage.print_summary(&summary);
        loop {
            std::thread::park();
        }
    }
    Ok(summary)
}

fn start(options: &Options, stage: &Stage) -> anyhow::Result<Bench> {
    std::fs::create_dir_all(&options.out)
        .with_context(|| format!("cannot make {}", options.out.display()))?;
    let temp = tempfile::Builder::new().prefix("gongsuan-demo-").tempdir()?;
    let dir = temp.path().to_owned();
    let temp = if options.keep {
        drop(temp.keep());
        None
    } else {
        Some(temp)
    };
    if temp.is_some() {
        *FOLDER.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(dir.clone());
    }
    let cluster = Cluster::init(&dir, 4, &format!("demo-{}", options.seed), params())?;
    let client = cluster.client();
    let mut bench = Bench { cluster, client, children: Children::default(), dir, _temp: temp };
    for index in 0..4 {
        let child = bench.cluster.spawn(index, true)?;
        bench.children.0.push(child);
    }
    bench.cluster.wait_ready(&[0, 1, 2, 3], Duration::from_secs(20))?;
    let status: Status = bench.client.get("/v1/status")?;
    stage.say(
        "genesis",
        &format!(
            "chain {} · 4 validators, any one may fail · folder {}{}",
            status.chain_id.short(),
            bench.dir.display(),
            if options.keep { "" } else { " (removed at the end)" }
        ),
    );
    Ok(bench)
}

/// Funds and vets everybody, and starts the providers.
fn admit(options: &Options, bench: &mut Bench, stage: &Stage) -> anyhow::Result<Vec<ProviderRow>> {
    let faucet = faucet_key(&format!("demo-{}", options.seed));
    let renter = key(options.seed, "renter");
    // The seed moves the prices a little; the order of the three stays.
    let shift = options.seed % 7;
    let prices = [100_000 + shift * 1_000, 120_000 + shift * 1_000, 190_000 + shift * 1_000];
    let tiles = options.grid.0 * options.grid.1;
    let capacity = [tiles * 5 / 8, tiles * 5 / 8, tiles];
    let names = ["p1", "p2", "p3"];
    let expires_at = TimeMs(crate::node::clock().0 + 86_400_000);
    let grant = |subject, role| Op::Grant { subject, role, expires_at };
    let mut ops = vec![
        Op::Transfer { to: renter.address(), amount: Amount::from_tokens(1_000).context("fits")? },
        grant(renter.address(), Role::Renter),
    ];
    for name in names {
        let address = key(options.seed, name).address();
        ops.push(Op::Transfer { to: address, amount: Amount::from_tokens(1_000).context("fits")? });
        ops.push(grant(address, Role::Provider));
        ops.push(grant(address, Role::Auditor));
    }
    bench.client.execute(&faucet, &ops).context("cannot fund and vet")?;
    stage.say("vetting", "4 accounts funded; p1, p2, p3 vetted as providers and auditors");
    let lot = job(options, &RaytraceScene::default()).lot();
    let mut rows = Vec::new();
    for ((name, price), tiles) in names.into_iter().zip(prices).zip(capacity) {
        let own = key(options.seed, name);
        let path = bench.dir.join(format!("{name}.key"));
        write_key(&path, &own)?;
        let log = std::fs::File::create(bench.dir.join(format!("{name}.log")))?;
        let child = Process::new(std::env::current_exe()?)
            .args(["provider", "run", "--exit-with-parent", "--workers", "1", "--key"])
            .arg(&path)
            .args(["--node", &bench.client.nodes().join(",")])
            .args(["--price-micro", &price.to_string()])
            .args(["--units", &(u64::from(tiles) * lot.0).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start a provider")?;
        bench.children.0.push(child);
        rows.push(ProviderRow {
            name: name.to_owned(),
            address: own.address(),
            price: Price(price),
            segments: tiles,
            paid: Amount::ZERO,
        });
    }
    bench.client.wait_for("the providers' asks", Duration::from_secs(20), |client| {
        let book: gongsuan_market::BookView = client.get("/v1/book/giga-fuel/wasm")?;
        // Others may ask too.
        let is_there = |row: &ProviderRow| book.asks.iter().any(|level| level.price == row.price);
        Ok(rows.iter().all(is_there).then_some(()))
    })?;
    let asks = rows.iter().map(|row| format!("{} {}×{}", row.name, row.price, row.segments));
    stage.say("market", &format!("asks per Gf × tiles: {}", asks.collect::<Vec<_>>().join(" · ")));
    Ok(rows)
}

fn job(options: &Options, scene: &RaytraceScene) -> gongsuan_types::job::JobSpec {
    let mut spec = scene.to_job(Hash::of("gongsuan/demo/seed", &options.seed.to_le_bytes()));
    spec.limits.fuel = Fuel(4_000_000_000);
    spec
}

fn order(
    options: &Options,
    bench: &Bench,
    scene: &RaytraceScene,
    stage: &Stage,
) -> anyhow::Result<(OrderId, Hash)> {
    let renter = key(options.seed, "renter");
    bench.client.put_blob(RAYTRACE)?;
    bench.client.put_blob(&scene.to_input())?;
    let wish = Wish {
        spec: job(options, scene),
        price_max: Price(200_000),
        deals_max: 4,
        samples: 2,
        requirements: Requirements { capabilities: Capabilities::VETTED, ..Requirements::ANY },
        check: Check::default(),
        pace: Pace::default(),
        match_within: DurationMs(30_000),
        run_within: DurationMs(180_000),
    };
    let secret = Hash::of("gongsuan/demo/secret", &options.seed.to_le_bytes());
    let bid = wish.to_bid(crate::node::clock(), &secret);
    let bid = renter::place(&bench.client, &renter, bid).context("cannot place the bid")?;
    let deals = bench.client.wait_for("a match", Duration::from_secs(20), |client| {
        let deals = renter::deals_of(client, bid)?;
        let covered: u32 = deals.iter().map(|deal| deal.terms.count).sum();
        Ok((covered == scene.tiles()).then_some(deals))
    })?;
    let fills = deals.iter().map(|deal| format!("{}×{}", deal.terms.price, deal.terms.count));
    stage.say(
        "match",
        &format!(
            "bid: {} tiles at most at {} · fills {}",
            scene.tiles(),
            wish.price_max,
            fills.collect::<Vec<_>>().join(" + ")
        ),
    );
    Ok((bid, secret))
}

/// Watches the work; kills the leader half-way and starts it again.
fn follow(
    options: &Options,
    bench: &mut Bench,
    bid: OrderId,
    secret: Hash,
    stage: &Stage,
) -> anyhow::Result<String> {
    let tiles = options.grid.0 * options.grid.1;
    let bar = stage.bar(tiles);
    let mut victim: Option<(usize, u64, bool)> = None;
    let client = bench.client.clone();
    let renter = key(options.seed, "renter");
    let (cluster, children) = (&bench.cluster, &mut bench.children);
    let mut drawn = std::collections::BTreeSet::new();
    renter::follow(&client, &renter, bid, secret, Duration::from_secs(300), |deals| {
        let done: u32 = deals.iter().map(renter::done).sum();
        bar.set(done);
        for deal in deals {
            if let DealState::Drawn { samples, .. } | DealState::Settled { samples, .. } =
                &deal.state
                && drawn.insert(deal.id)
            {
                let segments = samples.iter().map(|sample| sample.segment.to_string());
                stage.say(
                    "verify",
                    &format!(
                        "deal {}: receipts committed; segments {} drawn for re-execution",
                        deal.id,
                        segments.collect::<Vec<_>>().join(", ")
                    ),
                );
            }
        }
        match victim {
            None if done * 2 >= tiles => {
                let status: Status = client.get("/v1/status")?;
                let members = cluster.members.iter();
                let index = members.map(|m| &m.name).position(|name| *name == status.leader);
                let index = index.context("the leader is a validator")?;
                cluster.signal(index, "-KILL")?;
                victim = Some((index, status.height.0, false));
                stage.say(
                    "fault",
                    &format!(
                        "{} (the leader) killed with SIGKILL at {done}/{tiles} tiles, height {}",
                        status.leader, status.height
                    ),
                );
            }
            Some((index, height, false)) => {
                let status: Status = client.get("/v1/status")?;
                if status.height.0 >= height + 3 {
                    stage.say("fault", &format!(
                        "the chain goes on without it: height {}, new leader {}; v{index} is started again",
                        status.height, status.leader
                    ));
                    children.0.push(cluster.spawn(index, true)?);
                    victim = Some((index, height, true));
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    bar.finish();
    let (index, _, restarted) = victim.context("no validator was killed")?;
    if !restarted {
        children.0.push(cluster.spawn(index, true)?);
    }
    Ok(format!("v{index}"))
}

/// Waits until all four nodes stand at one height, which nothing moves any more.
fn rejoined(bench: &Bench, stage: &Stage) -> anyhow::Result<()> {
    let height = bench.client.wait_for(
        "all four nodes at one height",
        Duration::from_secs(60),
        |client| {
            let mut heights = Vec::new();
            for index in 0..4 {
                heights.push(client.only(index).get::<Status>("/v1/status")?.height);
            }
            Ok(heights.iter().all(|height| *height == heights[0]).then_some(heights[0]))
        },
    )?;
    stage.say("rejoin", &format!("all four validators stand at height {height}"));
    Ok(())
}

fn assemble(
    options: &Options,
    bench: &Bench,
    bid: OrderId,
    scene: &RaytraceScene,
) -> anyhow::Result<(PathBuf, Hash)> {
    let (width, height) = options.size;
    let mut picture = vec![0; width as usize * height as usize * 3];
    for deal in renter::deals_of(&bench.client, bid)? {
        for receipt in renter::receipts(&bench.client, &deal)? {
            let pixels = bench.client.blob(receipt.output)?;
            scene.place(&mut picture, receipt.segment, &pixels);
        }
    }
    let path = options.out.join("picture.png");
    write_png(&path, (width, height), &picture)?;
    Ok((path.clone(), Hash::of_content(&std::fs::read(path)?)))
}

fn write_png(path: &Path, size: (u32, u32), pixels: &[u8]) -> anyhow::Result<()> {
    let file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut encoder = png::Encoder::new(file, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(())
}

/// Where the renter's money went, out of the chain's own record.
#[derive(Debug, Default)]
struct Flow {
    escrow: Amount,
    paid: Amount,
    audited: Amount,
    fees: Amount,
    refund: Amount,
}

impl Flow {
    fn adds_up(&self) -> bool {
        Amount::checked_sum([self.paid, self.audited, self.fees, self.refund]) == Some(self.escrow)
    }
}

fn flow(blocks: &[StoredBlock], bid: OrderId) -> Flow {
    use gongsuan_market::Reason;
    let mut flow = Flow::default();
    let mut deals = std::collections::BTreeSet::new();
    let all = blocks.iter().flat_map(|block| {
        block.receipts.iter().flat_map(|receipt| &receipt.events).chain(&block.events)
    });
    for event in all {
        let Event::Money(settlement) = event else { continue };
        let of = |hold: &HoldId| {
            *hold == HoldId::Order(bid)
                || matches!(hold, HoldId::Escrow(deal) if deals.contains(deal))
        };
        let (target, amount) = match settlement {
            Settlement::Hold { hold, amount, .. } if of(hold) => (&mut flow.escrow, amount),
            Settlement::Move { source, target: HoldId::Escrow(deal), .. }
                if *source == HoldId::Order(bid) =>
            {
                deals.insert(*deal);
                continue;
            }
            Settlement::Post { hold, amount, reason, .. } if of(hold) => match reason {
                Reason::Work => (&mut flow.paid, amount),
                Reason::Audit => (&mut flow.audited, amount),
                Reason::Fee
                | Reason::Late
                | Reason::Fraud
                | Reason::FalseClaim
                | Reason::NoInput
                | Reason::Served
                | Reason::FalseAudit => (&mut flow.fees, amount),
            },
            Settlement::Void { hold, amount } if of(hold) => (&mut flow.refund, amount),
            _ => continue,
        };
        *target = target.checked_add(*amount).unwrap_or_default();
    }
    flow
}
