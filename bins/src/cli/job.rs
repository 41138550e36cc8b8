//! `gongsuan job`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use gongsuan_ledger::Op;
use gongsuan_market::{BookView, Command as MarketCommand, DealState};
use gongsuan_types::job::{JOB_VERSION, JobSpec, Limits, MapInput, Shape};
use gongsuan_types::{DurationMs, Fuel, Hash, OrderId, Price, Units};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Coded, Context, exit, output, usage};
use crate::renter::{self, Wish};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print a commented job file.
    Init,
    /// Check a job file without a network.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// What a job would cost at today's asks, at most.
    Quote {
        /// The file.
        file: PathBuf,
    },
    /// Order a job, wait for it, fetch and check its outputs.
    Run {
        /// The file.
        file: PathBuf,
        /// Where outputs (`segment-N`) and `receipt.json` are written.
        #[arg(long, short, default_value = "out")]
        out: PathBuf,
    },
    /// A bid and its deals.
    Status {
        /// The bid.
        bid: OrderId,
    },
    /// Withdraw what is left of a bid.
    Stop {
        /// The bid.
        bid: OrderId,
    },
    /// Fetch a settled job's outputs and receipt.
    Fetch {
        /// The bid.
        bid: OrderId,
        /// Where to.
        #[arg(long, short, default_value = "out")]
        out: PathBuf,
    },
}

const TEMPLATE: &str = r#"# A job: a WASI module that runs once for every segment. GONGSUAN_SEGMENT tells the segments apart.
module = "program.wasm"
input = "input.bin"            # every segment reads it on standard input
segments = 8
args = []
fuel_max = 1_000_000_000       # for one segment, at most 4_000_000_000 (4 Gf)
memory_pages = 256             # of 64 KiB, for one segment
output_bytes = 1_048_576       # for one segment
price_max = "0.2"              # tokens for a Gf, at most
deals_max = 4                  # providers, at most
samples = 2                    # segments of each deal that are executed again
vetted = true                  # vetted providers only
match_within_s = 60
run_within_s = 600
"#;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobFile {
    module: PathBuf,
    input: PathBuf,
    segments: u32,
    #[serde(default)]
    args: Vec<String>,
    fuel_max: u64,
    memory_pages: u32,
    output_bytes: u32,
    price_max: String,
    deals_max: u16,
    samples: u16,
    vetted: bool,
    match_within_s: u64,
    run_within_s: u64,
}

struct Ready {
    wish: Wish,
    module: Vec<u8>,
    input: Vec<u8>,
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
    wish.spec
        .validate()
        .and_then(|()| {
            wish.to_bid(crate::node::clock(), &Hash::ZERO).validate(crate::node::clock())
        })
        .map_err(|refusal| usage(format!("{}: {refusal}", path.display())))?;
    let program = gongsuan_executor::Program::load(gongsuan_executor::EngineKind::Wasmi, &module)?;
    if let Some(why) = program.refusal() {
        return Err(usage(format!("{}: {why}", base.join(&file.module).display())));
    }
    Ok(Ready { wish, module, input })
}

pub(super) fn run(command: Command, context: &Context) -> anyhow::Result<u8> {
    match command {
        Command::Init => output::data(TEMPLATE.trim_end()),
        Command::Check { file } => {
            let ready = load(&file)?;
            let spec = &ready.wish.spec;
            let units = spec.lot().0 * u64::from(spec.segment_count());
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
            let units = Units(ready.wish.spec.lot().0 * u64::from(ready.wish.spec.segment_count()));
            let book: BookView = context.client().get("/v1/book/giga-fuel/wasm")?;
            let (mut need, mut cost) = (units.0, 0u128);
            for level in book.asks.iter().filter(|level| level.price <= ready.wish.price_max) {
                let take = level.units.0.min(need);
                cost += level.price.cost(Units(take)).micro();
                need -= take;
            }
            let cost = gongsuan_types::Amount::new(cost);
            let value = json!({ "units": units, "covered": units.0 - need, "cost_max": cost });
            output::show(context.json, "gongsuan/quote/v1", &value, || {
                format!(
                    "{} of {units} Gf are on offer at that price; at most {cost} tokens, less what is not burnt",
                    units.0 - need
                )
            });
            return Ok(if need == 0 { 0 } else { exit::NO_MATCH });
        }
        Command::Run { file, out } => return run_job(&file, &out, context),
        Command::Status { bid } => {
            let client = context.client();
            let order: gongsuan_market::Order = client.get(&format!("/v1/orders/{bid}"))?;
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
        Command::Fetch { bid, out } => fetch(context, bid, &out)?,
    }
    Ok(0)
}

fn run_job(file: &Path, out: &Path, context: &Context) -> anyhow::Result<u8> {
    let ready = load(file)?;
    let (client, key) = (context.client(), context.key()?);
    client.put_blob(&ready.module)?;
    client.put_blob(&ready.input)?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let secret = Hash(secret);
    let bid = ready.wish.to_bid(crate::node::clock(), &secret);
    let bid = renter::place(&client, &key, bid)?;
    output::note(&format!("bid {bid} is placed"));
    let wanted = ready.wish.spec.segment_count();
    let patience = Duration::from_millis(ready.wish.match_within.0);
    let matched = client.wait_for("a match", patience, |client| {
        let deals = renter::deals_of(client, bid)?;
        Ok((deals.iter().map(|deal| deal.terms.count).sum::<u32>() == wanted).then_some(()))
    });
    if let Err(error) = matched {
        let why = client.get::<gongsuan_market::Explanation>(&format!("/v1/orders/{bid}/why"));
        let why = why.map(|why| why.summary).unwrap_or_default();
        return Err(Coded(
            exit::NO_MATCH,
            format!("{error}: {why}; ask again with `gongsuan market why {bid}`"),
        )
        .into());
    }
    let mut told = 0;
    let patience = Duration::from_millis(ready.wish.run_within.0) + Duration::from_secs(300);
    let deals = renter::follow(&client, &key, bid, secret, patience, |deals| {
        let done: u32 = deals.iter().map(renter::done).sum();
        if done > told {
            told = done;
            output::note(&format!("{done}/{wanted} segments"));
        }
        Ok(())
    })?;
    if let Some(failed) = deals.iter().find(|deal| matches!(deal.state, DealState::Failed { .. })) {
        let message = format!("deal {} failed; its escrow is back: {:?}", failed.id, failed.state);
        return Err(Coded(exit::JOB_FAILED, message).into());
    }
    fetch(context, bid, out)?;
    Ok(0)
}

fn fetch(context: &Context, bid: OrderId, out: &Path) -> anyhow::Result<()> {
    let client = context.client();
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let bundle = crate::audit::collect(&client, bid)?;
    for receipt in bundle.deals.iter().flat_map(|deal| &deal.receipts) {
        let bytes = client.blob(receipt.output)?;
        std::fs::write(out.join(format!("segment-{}", receipt.segment)), bytes)?;
    }
    let path = out.join("receipt.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&bundle)?)?;
    let value = json!({ "bid": bid, "receipt": path });
    output::show(context.json, "gongsuan/job-result/v1", &value, || {
        format!(
            "outputs and {}; check it: gongsuan audit receipt {}",
            path.display(),
            path.display()
        )
    });
    Ok(())
}
