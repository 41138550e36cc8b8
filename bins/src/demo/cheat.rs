//! The deal that goes wrong: the cheapest provider makes up its results, and what the chain does about it.
//!
//! The cheat runs in this process, on the same HTTP API as everybody: the product has no option to cheat with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gongsuan_ledger::{Op, Role};
use gongsuan_market::{Command, Deal, Question, Stage as DealStage, Step};
use gongsuan_types::job::{Check, MapInput, Pace, Shape};
use gongsuan_types::order::{Ask, Capabilities, Class, Machine, Region, Requirements};
use gongsuan_types::receipt::{Commitment, Receipt, Status as Ending};
use gongsuan_types::{DealId, Units};

use super::*;
use crate::provider::deals;

/// What the cheat asks for a Gf: less than everybody else.
const PRICE: Price = Price(90_000);

/// What the demo of a cheat did, as one object.
#[derive(Debug, Clone, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "checks, each with its own name in the JSON")]
pub struct CheatSummary {
    /// `gongsuan/demo-cheat/v1`.
    pub schema: &'static str,
    /// The chain.
    pub chain_id: Hash,
    /// Blocks.
    pub blocks: u64,
    /// Tiles.
    pub segments: u32,
    /// Who made its results up.
    pub cheat: Address,
    /// Results that it made up.
    pub faked: u32,
    /// Who noticed: the account that brought the case.
    pub caught_by: Vec<Address>,
    /// The validator that was dead while the others judged.
    pub killed: String,
    /// Cases that the validators decided.
    pub judged: u32,
    /// Everything that was taken from the cheat's deposit.
    pub slashed: Vec<Slashed>,
    /// Whether the cheat was caught, lost its deposit, and was paid nothing.
    pub caught: bool,
    /// Whether the renter has every result, has paid for true ones only, and has what the cheat owes it.
    pub renter_made_whole: bool,
    /// Micro-tokens of the cheat's deposit that the renter received.
    pub compensation: Amount,
    /// Micro-tokens set aside for the job.
    pub escrow: Amount,
    /// Micro-tokens paid to honest providers.
    pub paid: Amount,
    /// Micro-tokens paid to auditors.
    pub audited: Amount,
    /// Micro-tokens to the treasury out of the escrow.
    pub fees: Amount,
    /// Micro-tokens back to the renter out of the escrow.
    pub refund: Amount,
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
    /// The picture, of true tiles.
    pub picture: PathBuf,
    /// Its SHA-256.
    pub picture_sha256: Hash,
    /// The receipt.
    pub receipt: PathBuf,
    /// The order, for `audit trail job`.
    pub order: OrderId,
    /// One validator's folder, if it was kept.
    pub folder: Option<PathBuf>,
    /// From start to end, in milliseconds.
    pub milliseconds: u64,
}

/// Money that somebody lost as a punishment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slashed {
    /// Who lost it.
    pub address: Address,
    /// How much, in micro-tokens.
    pub amount: Amount,
    /// For what.
    pub reason: gongsuan_market::Reason,
    /// Who has it now.
    pub to: Address,
}

impl CheatSummary {
    /// Whether everything went as it should.
    #[must_use]
    pub fn holds(&self) -> bool {
        let sound = self.supply_equal && self.roots_equal && self.replay_equal;
        sound && self.receipt_valid && self.caught && self.renter_made_whole
    }
}

/// Runs the demo of a cheat.
///
/// # Errors
/// If a step cannot be done. Checks that fail are in the summary.
pub fn run(options: &Options) -> anyhow::Result<CheatSummary> {
    let started = Instant::now();
    let stage = Stage::new(started);
    let mut bench = start(options, &stage)?;
    let cheat = Arc::new(Cheat::new(&bench.client, key(options.seed, "cheat")));
    hire(options, &bench, &cheat)?;
    admit(options, &mut bench, &stage)?;
    stage.say(
        "cheat",
        &format!(
            "one more provider asks {PRICE} per Gf, less than everybody: {}",
            cheat.address().short()
        ),
    );
    let supply_before: SupplyView = bench.client.get("/v1/supply")?;
    let scene = RaytraceScene {
        width: options.size.0,
        height: options.size.1,
        columns: options.grid.0,
        rows: options.grid.1,
        seed: options.seed,
        samples: RaytraceScene::default().samples,
    };
    let renter = key(options.seed, "renter");
    let (bid, secret) = place(options, &bench, &scene, &renter)?;
    let working = Cheat::start(&cheat);
    let killed = watch(&mut bench, bid, secret, &renter, scene.tiles(), &stage)?;
    working.store(false, Ordering::Relaxed);
    let (picture, picture_sha256) = assemble(options, &bench, bid, &scene)?;
    let bundle = crate::audit::collect(&bench.client, bid)?;
    let receipt = options.out.join("receipt.json");
    std::fs::write(&receipt, serde_json::to_vec_pretty(&bundle)?)?;
    let receipt_valid = crate::audit::check(&bundle, None).iter().all(|check| check.ok);
    rejoined(&bench, &stage)?;
    let mut blocks = Vec::new();
    let look = |block: &StoredBlock, _: &gongsuan_ledger::State| {
        blocks.push(block.clone());
        Ok(())
    };
    let replayed = crate::audit::replay_all(&bench.client, look).context("the replay differs")?;
    let money = flow(&blocks, bid);
    let verdict = Judgement::of(&blocks, cheat.address(), renter.address());
    let supply_after: SupplyView = bench.client.get("/v1/supply")?;
    let supply_equal = supply_before.supply.total == supply_after.supply.total
        && supply_after.equal
        && replayed.state.supply().total == supply_after.supply.total
        && money.adds_up();
    let faked = cheat.faked.load(Ordering::Relaxed);
    let done: u32 = renter::deals_of(&bench.client, bid)?
        .iter()
        .filter(|deal| matches!(deal.state, DealState::Settled { .. }))
        .map(|deal| deal.terms.count)
        .sum();
    let caught =
        faked > 0 && verdict.judged > 0 && !verdict.slashed.is_empty() && verdict.earned.is_zero();
    let summary = CheatSummary {
        schema: "gongsuan/demo-cheat/v1",
        chain_id: bundle.genesis.chain_id(),
        blocks: replayed.state.height().0,
        segments: scene.tiles(),
        cheat: cheat.address(),
        faked,
        caught_by: verdict.caught_by,
        killed,
        judged: verdict.judged,
        slashed: verdict.slashed,
        caught,
        renter_made_whole: done == scene.tiles()
            && receipt_valid
            && verdict.earned.is_zero()
            && !verdict.compensation.is_zero(),
        compensation: verdict.compensation,
        escrow: money.escrow,
        paid: money.paid,
        audited: money.audited,
        fees: money.fees,
        refund: money.refund,
        supply_equal,
        roots_equal: replayed.equal,
        replay_equal: gongsuan_ledger::invariants::check(&replayed.state).is_ok(),
        receipt_valid,
        state_root: replayed.state.root(),
        picture,
        picture_sha256,
        receipt,
        order: bid,
        folder: options.keep.then(|| bench.dir.join("v0")),
        milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    let taken =
        Amount::checked_sum(summary.slashed.iter().map(|one| one.amount)).unwrap_or_default();
    stage.say("slash", &format!(
        "{taken} of the cheat's deposit: {} to the renter, the rest to who caught it and the treasury; paid for made-up results: {}",
        summary.compensation, verdict.earned
    ));
    if options.serve {
        stage.say("serve", &format!("{} · Ctrl-C ends it", bench.client.nodes().join(" ")));
        crate::cli::demo::print_cheat(&summary);
        loop {
            std::thread::park();
        }
    }
    Ok(summary)
}

/// Funds and vets the cheat like any other provider, and lists it.
fn hire(options: &Options, bench: &Bench, cheat: &Cheat) -> anyhow::Result<()> {
    let faucet = faucet_key(&format!("demo-{}", options.seed));
    let expires_at = TimeMs(crate::node::clock().0 + 86_400_000);
    let amount = Amount::from_tokens(1_000).context("fits")?;
    let (to, role) = (cheat.address(), Role::Provider);
    bench.client.execute(
        &faucet,
        &[Op::Transfer { to, amount }, Op::Grant { subject: to, role, expires_at }],
    )?;
    let tiles = options.grid.0 * options.grid.1;
    let lot = job(options, &RaytraceScene::default()).lot();
    let ask = Ask {
        class: Class::WASM,
        price: PRICE,
        units: Units(u64::from(tiles) * lot.0),
        fill_min: Units(1),
        machine: Machine {
            cpu_cores: 64,
            memory_mib: 65_536,
            disk_mib: 1_024,
            gpu_count: 0,
            duration_s_max: 86_400,
            region: Region(0),
            capabilities: Capabilities::NONE,
        },
        expires_at,
    };
    bench.client.execute(&cheat.key, &[Op::Market(Command::PlaceAsk(ask))])?;
    Ok(())
}

/// Orders all tiles from one provider, and from another one if that fails.
fn place(
    options: &Options,
    bench: &Bench,
    scene: &RaytraceScene,
    renter: &SecretKey,
) -> anyhow::Result<(OrderId, Hash)> {
    bench.client.put_blob(RAYTRACE)?;
    bench.client.put_blob(&scene.to_input())?;
    let wish = Wish {
        spec: job(options, scene),
        price_max: Price(200_000),
        deals_max: 1,
        samples: 2,
        requirements: Requirements { capabilities: Capabilities::VETTED, ..Requirements::ANY },
        check: Check::default(),
        pace: Pace { attempts_max: 3, ..Pace::default() },
        match_within: DurationMs(30_000),
        run_within: DurationMs(180_000),
    };
    let secret = Hash::of("gongsuan/demo/secret", &options.seed.to_le_bytes());
    let bid = wish.to_bid(crate::node::clock(), &secret);
    Ok((renter::place(&bench.client, renter, bid).context("cannot place the bid")?, secret))
}

/// Watches the job to its end. A validator dies when the case comes before the others.
fn watch(
    bench: &mut Bench,
    bid: OrderId,
    secret: Hash,
    renter: &SecretKey,
    tiles: u32,
    stage: &Stage,
) -> anyhow::Result<String> {
    let bar = stage.bar(tiles);
    let client = bench.client.clone();
    let (cluster, children) = (&bench.cluster, &mut bench.children);
    let mut victim: Option<usize> = None;
    let mut told = BTreeSet::new();
    renter::follow(&client, renter, bid, secret, Duration::from_secs(300), |deals| {
        bar.set(deals.iter().map(renter::done).sum());
        for deal in deals {
            if told.insert((deal.id, DealStage::of(&deal.state), deal.provider)) {
                tell(deal, stage);
            }
            if victim.is_none() && deal.case().is_some() {
                // Not the leader: what is shown here is the court, and a change of leader is shown by the plain demo.
                let status: Status = client.get("/v1/status")?;
                let index = cluster.members.iter().rposition(|member| member.name != status.leader);
                let index = index.context("there are several validators")?;
                cluster.signal(index, "-KILL")?;
                victim = Some(index);
                stage.say(
                    "fault",
                    &format!(
                        "v{index} killed with SIGKILL while the case is open; three others judge"
                    ),
                );
            }
        }
        Ok(())
    })?;
    bar.finish();
    let index = victim.context("nobody was caught")?;
    children.0.push(cluster.spawn(index, true)?);
    Ok(format!("v{index}"))
}

fn tell(deal: &Deal, stage: &Stage) {
    let who = deal.provider.short();
    let (id, count) = (deal.id, deal.left());
    match &deal.state {
        DealState::Matched { .. } => stage
            .say("match", &format!("deal {id}: {count} tiles to {who} at {}", deal.terms.price)),
        DealState::Drawn { samples, .. } => {
            let segments: Vec<String> =
                samples.iter().map(|sample| sample.segment.to_string()).collect();
            stage.say(
                "verify",
                &format!("deal {id}: {who} has committed; segments {} drawn", segments.join(", ")),
            );
        }
        DealState::Disputed { case, .. } => {
            let what = match case.question {
                Question::Result { committed, .. } => {
                    format!("segment {} gives something else", committed.segment)
                }
                Question::Output { .. } | Question::Input | Question::Predicate => {
                    "data is missing".to_owned()
                }
            };
            stage.say(
                "case",
                &format!(
                    "{} says: {what}; stake {}; the validators execute it",
                    case.by.short(),
                    case.stake
                ),
            );
        }
        DealState::Rematch { why, .. } => {
            stage.say(
                "verdict",
                &format!("deal {id}: {who} is out, {why:?}; another provider is looked for"),
            );
        }
        DealState::Settled { paid, .. } => {
            stage.say("settle", &format!("deal {id}: {who} is paid {paid}"));
        }
        _ => {}
    }
}

/// What the chain's record says about the cheat.
#[derive(Debug, Default)]
struct Judgement {
    slashed: Vec<Slashed>,
    caught_by: Vec<Address>,
    judged: u32,
    compensation: Amount,
    /// What the cheat was paid for work.
    earned: Amount,
}

impl Judgement {
    fn of(blocks: &[StoredBlock], cheat: Address, renter: Address) -> Self {
        use gongsuan_market::{Event as MarketEvent, Reason};
        let mut found = Self::default();
        let mut providers = std::collections::BTreeMap::new();
        let all = blocks.iter().flat_map(|block| {
            block.receipts.iter().flat_map(|receipt| &receipt.events).chain(&block.events)
        });
        for event in all {
            match event {
                Event::Market(
                    MarketEvent::Filled { deal, provider, .. }
                    | MarketEvent::Rematched { deal, provider, .. },
                ) => {
                    providers.insert(*deal, *provider);
                }
                Event::Market(MarketEvent::CaseOpened { by, .. }) => found.caught_by.push(*by),
                Event::Market(MarketEvent::Moved {
                    step: Step::Fraud | Step::OutputMissing,
                    ..
                }) => found.judged += 1,
                Event::Money(Settlement::Slash {
                    hold: HoldId::Deposit(deal),
                    to,
                    amount,
                    reason,
                }) => {
                    let Some(address) = providers.get(deal).copied() else { continue };
                    if address == cheat && *to == renter {
                        found.compensation =
                            found.compensation.checked_add(*amount).unwrap_or_default();
                    }
                    found.slashed.push(Slashed {
                        address,
                        amount: *amount,
                        reason: *reason,
                        to: *to,
                    });
                }
                Event::Money(Settlement::Post { to, amount, reason: Reason::Work, .. })
                    if *to == cheat =>
                {
                    found.earned = found.earned.checked_add(*amount).unwrap_or_default();
                }
                _ => {}
            }
        }
        found
    }
}

/// A provider that runs nothing and makes up everything.
struct Cheat {
    client: Client,
    key: SecretKey,
    faked: std::sync::atomic::AtomicU32,
}

impl Cheat {
    fn new(client: &Client, key: SecretKey) -> Self {
        Self { client: client.clone(), key, faked: 0.into() }
    }

    fn address(&self) -> Address {
        self.key.address()
    }

    /// Works until told otherwise.
    fn start(this: &Arc<Self>) -> Arc<AtomicBool> {
        let (cheat, working) = (Arc::clone(this), Arc::new(AtomicBool::new(true)));
        let goes_on = Arc::clone(&working);
        std::thread::spawn(move || {
            let mut done = BTreeSet::new();
            while goes_on.load(Ordering::Relaxed) {
                for deal in deals(&cheat.client, "state=open").unwrap_or_default() {
                    if deal.provider == cheat.address()
                        && !done.contains(&deal.id)
                        && cheat.fake(&deal).is_ok()
                    {
                        done.insert(deal.id);
                    }
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        working
    }

    /// Commits results out of thin air, and serves the list of them like an honest provider.
    fn fake(&self, deal: &Deal) -> anyhow::Result<DealId> {
        if matches!(deal.state, DealState::Matched { .. }) {
            self.client.execute(&self.key, &[Op::Market(Command::Acknowledge(deal.id))])?;
        }
        let first = deal.batch_first();
        let order: gongsuan_market::Order = self.client.get(&format!("/v1/orders/{}", deal.bid))?;
        let bid = order.bid().context("the deal's order is no bid")?;
        let work = bid.work.job().context("the deal's order is a lease")?;
        let Shape::Map { input: MapInput::Shared(input) | MapInput::Each(input), .. } =
            work.spec.shape;
        let output = self.client.put_blob(b"nothing that anybody has computed")?;
        let make_up = |segment| Receipt {
            segment,
            input,
            output,
            output_bytes: 33,
            fuel: deal.terms.fuel_max,
            status: Ending::Ok,
        };
        let receipts: Vec<Receipt> = (first..first + deal.left()).map(make_up).collect();
        let commitment = Commitment::new(&receipts).context("the fuel overflows")?;
        let list = self.client.put_blob(&gongsuan_types::codec::encode(&receipts))?;
        let commit = Command::Commit { deal: deal.id, commitment, receipts: list };
        self.client.execute(&self.key, &[Op::Market(commit)])?;
        self.faked.fetch_add(commitment.count, Ordering::Relaxed);
        Ok(deal.id)
    }
}
