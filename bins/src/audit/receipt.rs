//! What a bid bought and what was paid for it, provable with one file.

use gongsuan_ledger::proof::Fact;
use gongsuan_ledger::{Genesis, LightClient, StateKey};
use gongsuan_market::{Deal, DealState, RecordId};
use gongsuan_types::receipt::{Commitment, Receipt};
use gongsuan_types::{Hash, OrderId, codec};
use serde::{Deserialize, Serialize};

use super::{Check, ProofFile, Validators};
use crate::client::{Client, ClientError};

/// The schema of `receipt.json`.
pub const SCHEMA: &str = "gongsuan/receipt/v2";

/// Everything that proves what a bid bought and what was paid for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// [`SCHEMA`].
    pub schema: String,
    /// How the chain began: its hash is the chain's id, and it names the validators.
    pub genesis: Genesis,
    /// The bid.
    pub bid: OrderId,
    /// The deals.
    pub deals: Vec<ProvedDeal>,
}

/// A deal with its proof and its receipts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvedDeal {
    /// The record, from the validators' signatures to its bytes: a proof file of kind `deal`.
    pub record: ProofFile,
    /// The receipts of its segments.
    pub receipts: Vec<Receipt>,
}

impl ProvedDeal {
    /// The deal that the proof is about, unchecked.
    fn deal(&self) -> Option<Deal> {
        let Fact::Record { key: StateKey::Market(RecordId::Deal(id)), value: Some(value), .. } =
            self.record.read().ok()?.fact
        else {
            return None;
        };
        let deal: Deal = codec::decode("deal", usize::MAX, &value).ok()?;
        (deal.id == id).then_some(deal)
    }
}

/// Checks a receipt without asking anybody. `chain_id` is the id that the caller expects, if it knows it.
#[must_use]
pub fn check(bundle: &Bundle, chain_id: Option<Hash>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut add = |name: &str, ok: bool, detail: String| {
        checks.push(Check { name: name.to_owned(), ok, detail });
    };
    let id = bundle.genesis.chain_id();
    add("schema", bundle.schema == SCHEMA, bundle.schema.clone());
    let genesis = bundle.genesis.validate();
    let expected = chain_id.is_none_or(|expected| expected == id);
    let detail = match &genesis {
        Ok(()) => format!("chain {id}"),
        Err(refusal) => refusal.to_string(),
    };
    add("genesis", genesis.is_ok() && expected, detail);
    if genesis.is_err() {
        return checks;
    }
    let mut client = LightClient::from_genesis(id, Validators::of_genesis(&bundle.genesis));
    for proved in &bundle.deals {
        let name = |what: &str| format!("deal {}: {what}", proved.record.id);
        for check in proved.record.check(&mut client) {
            add(&name(&check.name), check.ok, check.detail);
        }
        match proved.deal() {
            Some(deal) => check_deal(bundle.bid, &deal, &proved.receipts, &mut add),
            None => add(&name("record"), false, "the proof is not that of a deal".into()),
        }
    }
    let mut ids: Vec<_> = bundle.deals.iter().map(|proved| &proved.record.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let found = !ids.is_empty() && ids.len() == bundle.deals.len();
    add("deals", found, format!("{} deals of bid {}", ids.len(), bundle.bid));
    checks
}

fn check_deal(
    bid: OrderId,
    deal: &Deal,
    receipts: &[Receipt],
    add: &mut impl FnMut(&str, bool, String),
) {
    add(&format!("deal {}: bid", deal.id), deal.bid == bid, format!("of bid {}", deal.bid));
    let name = format!("deal {}: receipts", deal.id);
    let DealState::Settled { commitment, samples, paid, fee, .. } = &deal.state else {
        add(&name, false, "the deal is not settled".into());
        return;
    };
    let sums = Commitment::new(receipts) == Some(*commitment);
    let range = receipts.iter().map(|receipt| receipt.segment);
    let in_order = range.eq(deal.terms.first..deal.terms.first.saturating_add(deal.terms.count));
    let detail = format!("{} receipts under {}", receipts.len(), commitment.root);
    add(&name, sums && in_order, detail);
    let price = deal.terms.price.cost_of_fuel(commitment.fuel);
    let right = paid.checked_add(*fee) == Some(price);
    add(
        &format!("deal {}: price", deal.id),
        right,
        format!("{} fuel at {} per Gf: {price}", commitment.fuel, deal.terms.price),
    );
    let audited = samples.iter().filter(|sample| sample.auditor.is_some()).count();
    let passed = !samples.is_empty() && samples.iter().all(|sample| sample.passed);
    add(&format!("deal {}: audits", deal.id), passed, format!("{audited} segments executed again"));
}

/// Gathers a settled bid's receipt. Waits until the state that proves it is certified.
///
/// # Errors
/// If a deal is not settled, receipts are missing, or the certificate does not come in time.
pub fn collect(client: &Client, bid: OrderId) -> anyhow::Result<Bundle> {
    let genesis: Genesis = client.get("/v1/genesis")?;
    let all = crate::renter::deals_of(client, bid)?;
    let mut deals = Vec::new();
    for deal in &all {
        let receipts = crate::renter::receipts(client, deal)?;
        deals.push(ProvedDeal { record: settled_proof(client, deal)?, receipts });
    }
    Ok(Bundle { schema: SCHEMA.to_owned(), genesis, bid, deals })
}

/// The proof of a deal that is settled, from whichever node has it first: one that has been away may still show an earlier state.
fn settled_proof(client: &Client, deal: &Deal) -> Result<ProofFile, ClientError> {
    let patience = std::time::Duration::from_secs(20);
    client.wait_for("the certificate of the final state", patience, |client| {
        for index in 0..client.nodes().len() {
            let path = format!("/v1/proofs/deal/{}", deal.id);
            let Ok(record) = client.only(index).get::<ProofFile>(&path) else { continue };
            let proved = ProvedDeal { record, receipts: Vec::new() };
            if proved.deal().as_ref() == Some(deal) {
                return Ok(Some(proved.record));
            }
        }
        Ok(None)
    })
}
