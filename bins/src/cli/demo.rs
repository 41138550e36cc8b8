//! `gongsuan demo`.

use std::path::PathBuf;

use super::output;
use crate::demo::{CheatSummary, Options, Summary};

/// The whole deal on this machine: four validators, three providers, one renter, a picture.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fixes keys, prices and scene: the same seed gives the same trades and the same picture.
    #[arg(long, default_value_t = 2025)]
    seed: u64,
    /// Where `picture.png` and `receipt.json` are written.
    #[arg(long, default_value = "demo")]
    out: PathBuf,
    /// The deal that goes wrong: the cheapest provider makes its results up, is caught, judged by the validators and slashed, and the renter
    /// gets its results from another one.
    #[arg(long)]
    cheat: bool,
    /// Keep the chain and its API up at the end, until Ctrl-C.
    #[arg(long)]
    serve: bool,
    /// Keep the chain's folder.
    #[arg(long)]
    keep: bool,
    /// Tiles in each direction.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=32), hide = true)]
    tiles: u32,
    /// The picture's width; its height follows.
    #[arg(long, default_value_t = 1600, value_parser = clap::value_parser!(u32).range(64..=4096), hide = true)]
    width: u32,
}

pub(super) fn run(args: &Args, json: bool) -> anyhow::Result<u8> {
    let options = Options {
        seed: args.seed,
        out: args.out.clone(),
        serve: args.serve,
        keep: args.keep,
        grid: (args.tiles, args.tiles),
        size: (args.width, args.width * 5 / 8),
    };
    if args.cheat {
        let summary = crate::demo::run_cheat(&options)?;
        if json {
            output::data(&serde_json::to_string(&summary)?);
        } else {
            print_cheat(&summary);
        }
        return Ok(if summary.holds() { 0 } else { super::exit::MISMATCH });
    }
    let summary = crate::demo::run(&options)?;
    if json {
        output::data(&serde_json::to_string(&summary)?);
    } else {
        print_text(&summary);
    }
    Ok(if summary.holds() { 0 } else { super::exit::MISMATCH })
}

/// The summary for people.
pub(crate) fn print_text(summary: &Summary) {
    let mark = |ok: bool| if ok { "yes" } else { "NO" };
    let rows = summary.providers.iter().map(|row| {
        vec![
            row.name.clone(),
            row.address.short(),
            row.price.to_string(),
            row.segments.to_string(),
            row.paid.to_string(),
        ]
    });
    output::data(&output::table(&["provider", "address", "price/Gf", "tiles", "paid"], rows));
    output::data(&format!(
        "\nsupply unchanged {}   roots equal {}   replay equal {}   receipt valid {}   {}.{:03} s",
        mark(summary.supply_equal),
        mark(summary.roots_equal),
        mark(summary.replay_equal),
        mark(summary.receipt_valid),
        summary.milliseconds / 1_000,
        summary.milliseconds % 1_000,
    ));
    output::data(&format!(
        "picture  {}  sha256 {}",
        summary.picture.display(),
        summary.picture_sha256
    ));
    output::data(&format!(
        "receipt  {}  check it offline: gongsuan audit receipt {}",
        summary.receipt.display(),
        summary.receipt.display()
    ));
}

/// The summary of a cheat for people.
pub(crate) fn print_cheat(summary: &CheatSummary) {
    let mark = |ok: bool| if ok { "yes" } else { "NO" };
    let rows = summary.slashed.iter().map(|one| {
        let reason = format!("{:?}", one.reason).to_lowercase();
        vec![one.address.short(), one.amount.to_string(), reason, one.to.short()]
    });
    output::data(&output::table(&["slashed", "amount", "for", "to"], rows));
    output::data(&format!(
        "\n{} of {} results made up, cheat caught {}   renter made whole {}   supply unchanged {}   roots equal {}   replay equal {}   receipt valid {}   {}.{:03} s",
        summary.faked,
        summary.segments,
        mark(summary.caught),
        mark(summary.renter_made_whole),
        mark(summary.supply_equal),
        mark(summary.roots_equal),
        mark(summary.replay_equal),
        mark(summary.receipt_valid),
        summary.milliseconds / 1_000,
        summary.milliseconds % 1_000,
    ));
    output::data(&format!(
        "picture  {}  sha256 {}",
        summary.picture.display(),
        summary.picture_sha256
    ));
    output::data(&format!(
        "the whole story, on a chain kept with --serve: gongsuan audit trail job {}",
        summary.order
    ));
}
