//! `gongsuan audit`.

use std::path::PathBuf;

use anyhow::Context as _;
use gongsuan_types::{DealId, Hash};
use serde_json::{Value, json};

use super::{Context, exit, output, usage};
use crate::api::wire::SupplyView;
use crate::audit::{Bundle, check, replay_all};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Check a receipt offline: certificate signatures, header, Merkle paths, price.
    Receipt {
        /// The file.
        file: PathBuf,
        /// The chain's id, if you know it: otherwise the receipt's own genesis is believed.
        #[arg(long)]
        chain: Option<Hash>,
    },
    /// Execute every block again on a fresh state and compare the roots of all nodes.
    Replay,
    /// Where all money is.
    Supply,
    /// Everything that happened to a deal.
    Trail {
        /// The deal.
        deal: DealId,
    },
}

pub(super) fn run(command: Command, context: &Context) -> anyhow::Result<u8> {
    match command {
        Command::Receipt { file, chain } => receipt(&file, chain, context),
        Command::Replay => {
            let replayed =
                replay_all(&context.client()).map_err(|error| match error
                    .downcast_ref::<gongsuan_ledger::ChainError>(
                ) {
                    Some(_) => super::Coded(exit::MISMATCH, format!("{error:#}")).into(),
                    None => error,
                })?;
            let roots: Vec<Value> = replayed
                .roots
                .iter()
                .map(|(name, root)| json!({ "node": name, "root": root }))
                .collect();
            let value = json!({
                "blocks": replayed.state.height(),
                "state_root": replayed.state.root(),
                "roots": roots,
                "equal": replayed.equal,
            });
            output::show(context.json, "gongsuan/replay/v1", &value, || {
                let rows =
                    replayed.roots.iter().map(|(name, root)| vec![name.clone(), root.to_string()]);
                let table = output::table(&["node", "state root"], rows);
                let word = if replayed.equal { "equal" } else { "DIFFERENT" };
                format!(
                    "{table}\nreplay of {} blocks: {}  {word}",
                    replayed.state.height(),
                    replayed.state.root()
                )
            });
            Ok(if replayed.equal { 0 } else { exit::MISMATCH })
        }
        Command::Supply => {
            let view: SupplyView = context.client().get("/v1/supply")?;
            output::show(context.json, "gongsuan/supply/v1", &serde_json::to_value(&view)?, || {
                let supply = view.supply;
                format!(
                    "total    {}\nfree     {}\nheld     {}\ntreasury {}\nequal    {}",
                    supply.total, supply.free, supply.held, supply.treasury, view.equal
                )
            });
            Ok(if view.equal { 0 } else { exit::MISMATCH })
        }
        Command::Trail { deal } => {
            let client = context.client();
            let _: Value = client.get(&format!("/v1/deals/{deal}"))?;
            let status: crate::api::wire::Status = client.get("/v1/status")?;
            let mut rows = Vec::new();
            for block in crate::audit::blocks(&client, status.height)? {
                let of_txs =
                    block.receipts.iter().flat_map(|r| r.events.iter().map(|e| (Some(r.id), e)));
                for (tx, event) in of_txs.chain(block.events.iter().map(|event| (None, event))) {
                    let value = serde_json::to_value(event)?;
                    if mentions(&value, deal) {
                        rows.push(json!({ "height": block.header.height, "time": block.header.time, "tx": tx, "event": value }));
                    }
                }
            }
            output::show(
                context.json,
                "gongsuan/trail/v1",
                &json!({ "deal": deal, "events": rows }),
                || {
                    rows.iter()
                        .map(|row| format!("{:>6}  {}", row["height"], row["event"]))
                        .collect::<Vec<_>>()
                        .join("\n")
                },
            );
            Ok(0)
        }
    }
}

/// Whether an event names a deal, as `deal` or as a hold of it.
fn mentions(value: &Value, deal: DealId) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            (["deal", "escrow", "deposit"].contains(&key.as_str())
                && value.as_u64() == Some(deal.0))
                || mentions(value, deal)
        }),
        Value::Array(items) => items.iter().any(|item| mentions(item, deal)),
        _ => false,
    }
}

fn receipt(file: &std::path::Path, chain: Option<Hash>, context: &Context) -> anyhow::Result<u8> {
    let text = std::fs::read(file).with_context(|| file.display().to_string())?;
    let bundle: Bundle = serde_json::from_slice(&text)
        .map_err(|error| usage(format!("{}: not a receipt: {error}", file.display())))?;
    let checks = check(&bundle, chain);
    let valid = checks.iter().all(|check| check.ok);
    output::show(
        context.json,
        "gongsuan/receipt-check/v1",
        &json!({ "valid": valid, "checks": checks }),
        || {
            let rows = checks.iter().map(|check| {
                let mark = if check.ok { "ok" } else { "FAILED" };
                vec![mark.to_owned(), check.name.clone(), check.detail.clone()]
            });
            let word = if valid { "the receipt is valid" } else { "the receipt is NOT valid" };
            format!("{}\n{word}", output::table(&["", "check", ""], rows))
        },
    );
    Ok(if valid { 0 } else { exit::MISMATCH })
}
