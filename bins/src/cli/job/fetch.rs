//! Outputs and receipt of a bid that is settled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gongsuan_market::DealState;
use gongsuan_types::receipt::Status;
use gongsuan_types::{Amount, OrderId};
use serde_json::json;

use crate::audit::Check;
use crate::cli::{Context, exit, output};
use crate::envelope::Source;

/// What a bid has brought.
pub(super) struct Done {
    pub(super) bid: OrderId,
    receipt: PathBuf,
    /// How each segment ended.
    pub(super) ends: BTreeMap<u32, Status>,
    /// To providers and auditors, and back.
    paid: Amount,
    refund: Amount,
    /// What of the receipt does not hold.
    wrong: Vec<Check>,
}

impl Done {
    /// As JSON.
    pub(super) fn value(&self) -> serde_json::Value {
        let Self { bid, receipt, ends, paid, refund, wrong } = self;
        let unfinished: BTreeMap<u32, Status> = self.unfinished().collect();
        json!({ "bid": bid, "receipt": receipt, "segments": ends.len(), "unfinished": unfinished, "paid": paid, "refund": refund, "verified": wrong.is_empty(), "wrong": wrong })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let path = self.receipt.display();
        if let Some(check) = self.wrong.first() {
            return format!("{path}: {} does not hold: {}", check.name, check.detail);
        }
        let unfinished = self.unfinished().count();
        let warning = match self.unfinished().next() {
            Some((segment, status)) => format!(
                "\nthe program did not end well in {unfinished} of them, for one in segment {segment}: {status:?}"
            ),
            None => String::new(),
        };
        format!(
            "{} outputs, verified; {} tokens paid, {} came back{warning}\n{path}  check it offline: gongsuan audit receipt {path}",
            self.ends.len(),
            self.paid,
            self.refund
        )
    }

    pub(super) fn show(&self, context: &Context) {
        output::show(context.json, "gongsuan/job-result/v1", &self.value(), || self.text());
    }

    pub(super) fn code(&self) -> u8 {
        if self.wrong.is_empty() { 0 } else { exit::MISMATCH }
    }

    /// Segments in which the program ended otherwise than well. That is proved and paid as any end.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = (u32, Status)> + '_ {
        let ends = self.ends.iter().map(|(segment, status)| (*segment, *status));
        ends.filter(|(_, status)| *status != Status::Ok)
    }
}

/// The file of a segment's output.
pub(super) fn output_path(out: &Path, segment: u32) -> PathBuf {
    out.join(format!("segment-{segment}"))
}

/// Writes the outputs of a bid and its receipt into a folder, and checks the receipt.
pub(super) fn fetch(context: &Context, bid: OrderId, out: &Path) -> anyhow::Result<Done> {
    let client = context.client();
    let bundle = crate::audit::collect(&client, bid)?;
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let order = client.order(bid)?;
    let is_private = order.bid().context("the order is no bid")?.is_private();
    let (mut paid, mut refund, mut ends) = (0, 0, BTreeMap::new());
    for proved in &bundle.deals {
        let deal = proved.deal().context("a proof is not that of a deal")?;
        if let DealState::Settled { paid: to_provider, fee, audited, refund: back, .. } = deal.state
        {
            paid += to_provider.micro() + fee.micro() + audited.micro();
            refund += back.micro();
        }
        let source = match is_private {
            true => Source::private(&client, &context.key()?, deal.id)?,
            false => Source::open(&client),
        };
        for receipt in &proved.receipts {
            // The copies of a quorum have the same outputs.
            if ends.insert(receipt.segment, receipt.status).is_none() {
                let path = output_path(out, receipt.segment);
                std::fs::write(&path, source.blob(receipt.output)?)
                    .with_context(|| path.display().to_string())?;
            }
        }
    }
    let path = out.join("receipt.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&bundle)?)
        .with_context(|| path.display().to_string())?;
    let mut wrong = crate::audit::check(&bundle, None);
    wrong.retain(|check| !check.ok);
    let (paid, refund) = (Amount::new(paid), Amount::new(refund));
    Ok(Done { bid, receipt: path, ends, paid, refund, wrong })
}
