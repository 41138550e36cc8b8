//! `gongsuan job`.

mod deletions;
mod example;
mod fetch;
pub(super) mod file;
mod list;
mod order;
mod quote;
mod rate;

use std::path::PathBuf;

use gongsuan_ledger::Op;
use gongsuan_market::Command as MarketCommand;
use gongsuan_types::{DealId, OrderId, Units};
use serde_json::json;

use self::example::Example;
use self::quote::Quote;
use super::{Context, exit, output};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print a commented job file; or make a folder with a job that works.
    Init {
        /// Make this folder, with a program, what it reads and a job file.
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
        /// What the job in the folder does.
        #[arg(long, value_enum, default_value = "picture", requires = "into")]
        example: Example,
    },
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
        /// Where outputs (`segment-N`) and `receipt.json` are written; of a job with stages, those of each into `stage-N`, and the last output as `result`.
        #[arg(long, short, default_value = "out")]
        out: PathBuf,
        /// Go on with what this account has ordered of this job before, instead of ordering it again: after an interruption, from any machine with the same files.
        #[arg(long)]
        resume: bool,
    },
    /// The jobs of this account, the newest first.
    List {
        /// Only those that are not over.
        #[arg(long)]
        open: bool,
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
    /// What the providers of a private job have signed about deleting it. A promise is not a proof; see docs/privacy.md.
    Deletions {
        /// The bid.
        bid: OrderId,
    },
    /// Rate the other side of a job's settled deals, once each: a renter its providers, a provider its renter.
    Rate {
        /// The bid.
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
        /// The bid.
        bid: OrderId,
        /// Where to.
        #[arg(long, short, default_value = "out")]
        out: PathBuf,
    },
}

pub(super) fn run(command: Command, context: &Context) -> anyhow::Result<u8> {
    match command {
        Command::Init { into: None, .. } => output::data(file::TEMPLATE.trim_end()),
        Command::Init { into: Some(dir), example } => example::write(&dir, example)?,
        Command::Check { file } => {
            let ready = file::load(&file)?;
            let (spec, widths) = (&ready.wish.spec, ready.plan.widths());
            let segments: u64 = widths.iter().map(|width| u64::from(*width)).sum();
            let copies = u64::from(ready.wish.check.copies());
            let units = Units(spec.lot().0 * segments * copies);
            let value = json!({ "job": spec.id(), "segments": spec.segment_count(), "stages": widths, "units": units });
            output::show(context.json, "gongsuan/job-check/v1", &value, || {
                let stages = match widths.len() {
                    1 => String::new(),
                    stages => format!(" in {stages} stages"),
                };
                format!(
                    "job {}: {segments} segments{stages}, {units} Gf at most",
                    spec.id().short()
                )
            });
        }
        Command::Quote { file } => {
            let quote = Quote::of(&file::load(&file)?, context)?;
            let (units, covered) = quote.units;
            let value = json!({ "units": units, "covered": covered, "cost_max": quote.cost });
            output::show(context.json, "gongsuan/quote/v1", &value, || quote.to_string());
            return Ok(if quote.is_covered() { 0 } else { exit::NO_MATCH });
        }
        Command::Run { file, out, resume } => return order::run(&file, &out, resume, context),
        Command::List { open } => list::list(open, context)?,
        Command::Status { bid } => list::status(bid, context)?,
        Command::Stop { bid } => {
            super::account::execute(context, &[Op::Market(MarketCommand::Cancel(bid))])?;
            output::note(&format!("bid {bid} is withdrawn; deals that run go on"));
        }
        Command::Deletions { bid } => return deletions::show(bid, context),
        Command::Rate { bid, stars, comment, deal } => {
            rate::rate(context, (bid, deal), stars, &comment)?;
        }
        Command::Fetch { bid, out } => {
            let done = fetch::fetch(context, bid, &out)?;
            done.show(context);
            return Ok(done.code());
        }
    }
    Ok(0)
}
