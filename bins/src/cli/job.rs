//! `gongsuan job`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use gongsuan_executor::EngineKind;
use gongsuan_executor::guests::{RAYTRACE, RaytraceScene};
use gongsuan_ledger::Op;
use gongsuan_market::{Command as MarketCommand, Deal, DealState};
use gongsuan_types::job::{Check as JobCheck, JOB_VERSION, JobSpec, Limits, MapInput, Pace, Shape};
use gongsuan_types::order::{Bid, Capabilities, Class, Requirements, Side, Work};
use gongsuan_types::{Amount, DealId, DurationMs, Fuel, Hash, OrderId, Price, SecretKey, Units};
use serde_json::json;

use super::job_file::{JobFile, TEMPLATE};
use super::{Coded, Context, exit, output, usage};
use crate::audit::Check;
use crate::client::{Client, Page};
use crate::envelope::{self, Post, Sharer, Source};
use crate::renter::{self, Duties, Wish};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print a commented job file; or make a folder with a job that works.
    Init {
        /// Make this folder, with a small ray tracer as the program, its scene and its job file.
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
    /// Check a job file without a network.
    Check {
        /// The job file; `gongsuan job init` makes one.
        file: PathBuf,
    },
    /// What a job would cost at today's asks, at most.
    Quote {
        /// The job file; `gongsuan job init` makes one.
        file: PathBuf,
    },
    /// Order a job, wait for it, fetch and check its outputs.
    Run {
        /// The job file; `gongsuan job init` makes one.
        file: PathBuf,
        /// Where outputs (`segment-N`) and `receipt.json` are written.
        #[arg(long, short, default_value = "out")]
        out: PathBuf,
    },
    /// The bids of this account, the newest first.
    List {
        /// Only those that are not over.
        #[arg(long)]
        open: bool,
    },
    /// A bid and its deals.
    Status {
        /// The bid's number, as `gongsuan job list` shows it.
        bid: OrderId,
    },
    /// Withdraw what is left of a bid.
    Stop {
        /// The bid's number, as `gongsuan job list` shows it.
        bid: OrderId,
    },
    /// What the providers of a private job have signed about deleting it. A promise is not a proof; see docs/privacy.md.
    Deletions {
        /// The bid's number, as `gongsuan job list` shows it.
        bid: OrderId,
    },
    /// Rate the other side of a job's settled deals, once each: a renter its providers, a provider its renter.
    Rate {
        /// The bid's number, as `gongsuan job list` shows it.
        bid: OrderId,
        /// From 1, bad, to 5, good.
        #[arg(value_parser = clap::value_parser!(u8).range(1..=5))]
        stars: u8,
        /// Words that everybody can read, for ever: at most 280 bytes.
        #[arg(long, default_value = "")]
        comment: String,
        /// Only this deal of the bid.
        #[arg(long)]
        deal: Option<DealId>,
    },
    /// Fetch a settled job's outputs and receipt.
    Fetch {
        /// The bid's number, as `gongsuan job list` shows it.
        bid: OrderId,
        /// Where to.
        #[arg(long, short, default_value = "out")]
        out: PathBuf,
    },
}

struct Ready {
    wish: Wish,
    requirements: Requirements,
    check: JobCheck,
    pace: Pace,
    module: Vec<u8>,
    input: Vec<u8>,
    predicate: Option<Vec<u8>>,
}

impl Ready {
    /// The bid, with what the machine must have.
    fn to_bid(&self, secret: &Hash) -> Bid {
        let mut bid = self.wish.to_bid(crate::node::clock(), secret);
        bid.requirements = Requirements {
            capabilities: bid.requirements.capabilities.union(self.requirements.capabilities),
            ..self.requirements
        };
        if let Work::Job(order) = &mut bid.work {
            order.check = self.check;
            order.pace = self.pace;
        }
        bid
    }

    /// Units at most.
    fn units(&self) -> Units {
        let spec = &self.wish.spec;
        Units(spec.lot().0 * u64::from(spec.segment_count()))
    }
}

/// What today's offers would cost for a job.
struct Quote {
    /// Units wanted and units on offer at the price or below.
    units: (Units, Units),
    /// At most.
    cost: Amount,
}

impl Quote {
    fn of(ready: &Ready, context: &Context) -> anyhow::Result<Self> {
        let wanted = ready.units();
        let book = context.client().book(Class::WASM)?;
        let (mut need, mut cost) = (wanted.0, 0u128);
        for level in book.asks.iter().filter(|level| level.price <= ready.wish.price_max) {
            let take = level.units.0.min(need);
            cost += level.price.cost(Units(take)).micro();
            need -= take;
        }
        Ok(Self { units: (wanted, Units(wanted.0 - need)), cost: Amount::new(cost) })
    }

    fn is_covered(&self) -> bool {
        self.units.0 == self.units.1
    }
}

impl std::fmt::Display for Quote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ((wanted, there), cost) = (self.units, self.cost);
        write!(
            f,
            "{there} of {wanted} Gf are on offer at that price; at most {cost} tokens, less what is not burnt"
        )
    }
}

fn load(path: &Path) -> anyhow::Result<Ready> {
    let text = crate::node::config::read_file(path)?;
    let file: JobFile =
        toml::from_str(&text).map_err(|error| usage(format!("{}: {error}", path.display())))?;
    let base = path.parent().unwrap_or(Path::new("."));
    let read = |name: &Path| {
        std::fs::read(base.join(name))
            .map_err(|error| usage(format!("{}: {error}", base.join(name).display())))
    };
    let (module, input) = (read(&file.module)?, read(&file.input)?);
    let predicate = file.predicate.as_deref().map(read).transpose()?;
    let wrong = |reason: String| usage(format!("{}: {reason}", path.display()));
    let (check, pace) = (file.check(predicate.as_deref()).map_err(wrong)?, file.pace());
    let requirements = file.requirements().map_err(wrong)?;
    let price_max: Price = file
        .price_max
        .parse()
        .map_err(|error| usage(format!("{}: price_max: {error}", path.display())))?;
    let spec = JobSpec {
        version: JOB_VERSION,
        module: Hash::of_content(&module),
        meter: gongsuan_executor::METER_VERSION,
        args: file.args,
        shape: Shape::Map {
            segments: file.segments,
            input: MapInput::Shared(Hash::of_content(&input)),
        },
        limits: Limits {
            fuel: Fuel(file.fuel_max),
            memory_pages: file.memory_pages,
            output_bytes: file.output_bytes,
        },
        seed: Hash::of_content(&input),
    };
    let wish = Wish {
        spec,
        price_max,
        deals_max: file.deals_max,
        samples: file.samples,
        vetted: file.vetted,
        match_within: DurationMs(file.match_within_s.saturating_mul(1_000)),
        run_within: DurationMs(file.run_within_s.saturating_mul(1_000)),
    };
    let programs =
        [(Some(&file.module), Some(&module)), (file.predicate.as_ref(), predicate.as_ref())];
    for (name, bytes) in programs.into_iter().filter_map(|(name, bytes)| name.zip(bytes)) {
        let program = gongsuan_executor::Program::load(EngineKind::Wasmi, bytes)?;
        if let Some(why) = program.refusal() {
            return Err(usage(format!("{}: {why}", base.join(name).display())));
        }
    }
    let ready = Ready { wish, requirements, check, pace, module, input, predicate };
    let bid = ready.to_bid(&Hash::ZERO);
    let valid = ready.wish.spec.validate().and_then(|()| bid.validate(crate::node::clock()));
    valid.map_err(|refusal| wrong(refusal.to_string()))?;
    Ok(ready)
}

pub(super) fn run(command: Command, context: &Context) -> anyhow::Result<u8> {
    match command {
        Command::Init { into: None } => output::data(TEMPLATE.trim_end()),
        Command::Init { into: Some(dir) } => example(&dir)?,
        Command::Check { file } => {
            let ready = load(&file)?;
            let spec = &ready.wish.spec;
            let units = ready.units();
            let value =
                json!({ "job": spec.id(), "segments": spec.segment_count(), "units": units });
            output::show(context.json, "gongsuan/job-check/v1", &value, || {
                format!(
                    "job {}: {} segments, {units} Gf at most",
                    spec.id().short(),
                    spec.segment_count()
                )
            });
        }
        Command::Quote { file } => {
            let ready = load(&file)?;
            let quote = Quote::of(&ready, context)?;
            let (units, covered) = quote.units;
            let value = json!({ "units": units, "covered": covered, "cost_max": quote.cost });
            output::show(context.json, "gongsuan/quote/v1", &value, || quote.to_string());
            return Ok(if quote.is_covered() { 0 } else { exit::NO_MATCH });
        }
        Command::Run { file, out } => return run_job(&file, &out, context),
        Command::List { open } => list(open, context)?,
        Command::Status { bid } => {
            let client = context.client();
            let order = client.order(bid)?;
            let deals = renter::deals_of(&client, bid)?;
            output::show(
                context.json,
                "gongsuan/job/v1",
                &json!({ "order": order, "deals": deals }),
                || {
                    let rows = deals.iter().map(|deal| {
                        vec![
                            deal.id.to_string(),
                            deal.provider.short(),
                            format!("{}/{}", renter::done(deal), deal.terms.count),
                        ]
                    });
                    output::table(&["deal", "provider", "done"], rows)
                },
            );
        }
        Command::Stop { bid } => {
            super::account::execute(context, &[Op::Market(MarketCommand::Cancel(bid))])?;
            output::note(&format!("bid {bid} is withdrawn; deals that run go on"));
        }
        Command::Deletions { bid } => return super::job_deletions::show(bid, context),
        Command::Rate { bid, stars, comment, deal } => {
            super::job_rate::rate(context, (bid, deal), stars, &comment)?;
        }
        Command::Fetch { bid, out } => {
            let done = fetch(context, bid, &out)?;
            done.show(context);
            return Ok(done.code());
        }
    }
    Ok(0)
}

fn run_job(file: &Path, out: &Path, context: &Context) -> anyhow::Result<u8> {
    let ready = load(file)?;
    let (client, key) = (context.client(), context.key()?);
    output::note(&Quote::of(&ready, context)?.to_string());
    let mut duties = Duties::new(&client, &key, store(&ready, &client, &key)?);
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let secret = Hash(secret);
    let bid = renter::place(&client, &key, ready.to_bid(&secret))?;
    output::note(&format!(
        "bid {bid} is placed; {} tokens are set aside",
        set_aside(&client, bid)?
    ));
    let wanted = ready.wish.spec.segment_count();
    let patience = Duration::from_millis(ready.wish.match_within.0);
    let matched = client.wait_for("a match", patience, |client| {
        let deals = renter::deals_of(client, bid)?;
        duties.look(&deals);
        Ok((deals.iter().map(|deal| deal.terms.count).sum::<u32>() == wanted).then_some(()))
    });
    if let Err(error) = matched {
        let why = client.why(bid).map(|why| why.summary).unwrap_or_default();
        return Err(Coded(
            exit::NO_MATCH,
            format!("{error}: {why}; ask again with `gongsuan market why {bid}`"),
        )
        .into());
    }
    let (mut told, mut drawn, mut dropped) = (0, BTreeSet::new(), BTreeSet::new());
    let patience = Duration::from_millis(ready.wish.run_within.0) + Duration::from_secs(300);
    let deals = renter::follow(&client, &key, bid, secret, patience, |deals| {
        duties.look(deals);
        let done: u32 = deals.iter().map(renter::done).sum();
        if done > told {
            told = done;
            output::note(&format!("{done}/{wanted} segments"));
        }
        for deal in deals {
            for (who, why) in deal.dropped().filter(|(who, _)| dropped.insert((deal.id, *who))) {
                let (id, who, why) = (deal.id, who.short(), renter::failure(why));
                output::note(&format!("deal {id}: {why} ({who}); the next one is looked for"));
            }
            if let DealState::Drawn { open_until, .. } = deal.state
                && drawn.insert((deal.id, deal.commits))
            {
                let left = open_until.since(crate::node::clock()).0.div_ceil(1_000);
                output::note(&format!(
                    "deal {}: the results are there; for {left} s anybody may show that one is wrong, then it is paid",
                    deal.id
                ));
            }
        }
        Ok(())
    })?;
    for deal in &deals {
        if let DealState::Failed { why, .. } = deal.state {
            let (id, words) = (deal.id, renter::failure(why));
            let message = format!("deal {id} failed: {words}; what it had not paid is back");
            return Err(Coded(exit::JOB_FAILED, message).into());
        }
    }
    let done = fetch(context, bid, out)?;
    done.show(context);
    Ok(done.code())
}

/// What a bid and its deals hold of the renter's money.
fn set_aside(client: &Client, bid: OrderId) -> anyhow::Result<Amount> {
    let held = renter::deals_of(client, bid)?.iter().map(|deal| deal.escrow).collect::<Vec<_>>();
    let sum = Amount::checked_sum(held.into_iter().chain([client.order(bid)?.held]));
    sum.context("more than there can be")
}

/// Stores module and input: as they are or, of a private job, encrypted, with somebody to send the keys.
fn store(ready: &Ready, client: &Client, key: &SecretKey) -> anyhow::Result<Option<Sharer>> {
    if !ready.requirements.capabilities.covers(Capabilities::PRIVATE) {
        for file in [Some(&ready.module), Some(&ready.input), ready.predicate.as_ref()] {
            file.map(|file| client.put_blob(file)).transpose()?;
        }
        return Ok(None);
    }
    let post = Post::new(client, key)?;
    post.publish()?;
    let mut files = envelope::Files::shared(&post, &ready.module, &ready.input)?;
    if let Some(program) = &ready.predicate {
        files = files.with_predicate(&post, program)?;
    }
    Ok(Some(Sharer::new(post, files)))
}

/// A folder with a job that works: sixteen tiles of a small picture.
fn example(dir: &Path) -> anyhow::Result<()> {
    let scene =
        RaytraceScene { width: 320, height: 200, columns: 4, rows: 4, ..RaytraceScene::default() };
    if dir.exists() {
        return Err(usage(format!("{}: it is there already", dir.display())));
    }
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let file = TEMPLATE.replacen("segments = 8", &format!("segments = {}", scene.tiles()), 1);
    let input = scene.to_input();
    let files = [("job.toml", file.as_bytes()), ("program.wasm", RAYTRACE), ("input.bin", &input)];
    for (name, bytes) in files {
        let path = dir.join(name);
        std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    let path = dir.join("job.toml");
    output::note(&format!(
        "next: gongsuan job quote {path}, then gongsuan job run {path}",
        path = path.display()
    ));
    Ok(())
}

/// What a job has brought.
struct Done {
    bid: OrderId,
    receipt: PathBuf,
    segments: usize,
    /// To providers and auditors, and back.
    paid: Amount,
    refund: Amount,
    /// What of the receipt does not hold.
    wrong: Vec<Check>,
}

impl Done {
    fn show(&self, context: &Context) {
        let Self { bid, receipt, segments, paid, refund, wrong } = self;
        let value = json!({ "bid": bid, "receipt": receipt, "segments": segments, "paid": paid, "refund": refund, "verified": wrong.is_empty(), "wrong": wrong });
        let path = receipt.display();
        output::show(context.json, "gongsuan/job-result/v1", &value, || {
            if let Some(check) = wrong.first() {
                return format!("{path}: {} does not hold: {}", check.name, check.detail);
            }
            format!(
                "{segments} outputs, verified; {paid} tokens paid, {refund} came back\n{path}  check it offline: gongsuan audit receipt {path}"
            )
        });
    }

    fn code(&self) -> u8 {
        if self.wrong.is_empty() { 0 } else { exit::MISMATCH }
    }
}

/// What all bids of this account have come to.
fn list(open: bool, context: &Context) -> anyhow::Result<()> {
    let page = Page {
        limit: Some(1_000),
        open: false,
        account: Some(context.key()?.address()),
        side: Some(Side::Bid),
        ..Page::default()
    };
    let client = context.client();
    let deals = client.deals(&Page { side: None, ..page })?.deals;
    let mut rows = Vec::new();
    for order in client.orders(&page)?.orders {
        let own: Vec<&Deal> = deals.iter().filter(|deal| deal.bid == order.id).collect();
        let running = own.iter().any(|deal| !deal.is_over());
        if open && !running && !order.is_live() {
            continue;
        }
        let wanted = order.bid().map_or(0, |bid| bid.segments_of(bid.units));
        let done: u32 = own.iter().map(|deal| renter::done(deal)).sum();
        rows.push((order, own.len(), done, wanted, running));
    }
    let value = rows.iter().map(|(order, deals, done, wanted, running)| {
        json!({ "bid": order.id, "state": order.state, "deals": deals, "segments_done": done, "segments": wanted, "running": running, "price_max": order.price(), "held": order.held })
    });
    let value = json!({ "jobs": value.collect::<Vec<_>>() });
    output::show(context.json, "gongsuan/jobs/v1", &value, || {
        let lines = rows.iter().map(|(order, deals, done, wanted, running)| {
            let state = serde_json::to_value(order.state).unwrap_or_default();
            let state = if *running { "running" } else { state.as_str().unwrap_or("?") };
            vec![
                order.id.to_string(),
                state.to_owned(),
                format!("{done}/{wanted}"),
                deals.to_string(),
                order.price().to_string(),
            ]
        });
        output::table(&["bid", "state", "segments", "deals", "price ≤"], lines)
    });
    Ok(())
}

fn fetch(context: &Context, bid: OrderId, out: &Path) -> anyhow::Result<Done> {
    let client = context.client();
    let bundle = crate::audit::collect(&client, bid)?;
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let (mut paid, mut refund, mut segments) = (0, 0, 0);
    let deals = renter::deals_of(&client, bid)?;
    for deal in &deals {
        if let DealState::Settled { paid: to_provider, fee, audited, refund: back, .. } = deal.state
        {
            paid += to_provider.micro() + fee.micro() + audited.micro();
            refund += back.micro();
        }
    }
    let order = client.order(bid)?;
    let wanted = order.bid().context("the order is no bid")?;
    for (deal, proved) in deals.iter().zip(&bundle.deals) {
        let source = match wanted.is_private() {
            true => Source::private(&client, &context.key()?, deal.id)?,
            false => Source::open(&client),
        };
        for receipt in &proved.receipts {
            let bytes = source.blob(receipt.output)?;
            segments += 1;
            let path = out.join(format!("segment-{}", receipt.segment));
            std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
        }
    }
    let path = out.join("receipt.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&bundle)?)
        .with_context(|| path.display().to_string())?;
    let mut wrong = crate::audit::check(&bundle, None);
    wrong.retain(|check| !check.ok);
    let (paid, refund) = (Amount::new(paid), Amount::new(refund));
    Ok(Done { bid, receipt: path, segments, paid, refund, wrong })
}
