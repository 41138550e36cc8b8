//! Checks that trust nobody: receipts offline, and the whole chain by executing it again.

use anyhow::Context as _;
use gongsuan_consensus::CertifiedHeader;
use gongsuan_ledger::tree::{StateProof, key_hash, value_hash};
use gongsuan_ledger::{Genesis, Header, State, StateKey, StoredBlock, replay};
use gongsuan_market::{Deal, DealState, RecordId};
use gongsuan_types::receipt::{Commitment, Receipt};
use gongsuan_types::{Hash, Height, OrderId, codec};
use serde::{Deserialize, Serialize};

use crate::api::wire::{CertifiedState, ProofView, Status};
use crate::client::{Client, ClientError};

/// The schema of `receipt.json`.
pub const SCHEMA: &str = "gongsuan/receipt/v1";

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
    /// The ledger's header whose state root the proofs lead to.
    pub header: Header,
    /// The later block of the log that names that header, with its commit certificate.
    pub certified: CertifiedHeader,
    /// The deals.
    pub deals: Vec<ProvedDeal>,
}

/// A deal with its proof and its receipts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvedDeal {
    /// The record.
    pub deal: Deal,
    /// The path from the record to the state root.
    pub proof: StateProof,
    /// The receipts of its segments.
    pub receipts: Vec<Receipt>,
}

/// One thing that was checked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// With which values.
    pub detail: String,
}

/// Checks a receipt without asking anybody. `chain_id` is the id that the caller expects, if it knows it.
#[must_use]
pub fn check(bundle: &Bundle, chain_id: Option<Hash>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut add = |name: &str, ok: bool, detail: String| {
        checks.push(Check { name: name.to_owned(), ok, detail });
    };
    let id = bundle.genesis.chain_id();
    let schema = bundle.schema == SCHEMA;
    add("schema", schema, bundle.schema.clone());
    let genesis = bundle.genesis.validate();
    let expected = chain_id.is_none_or(|expected| expected == id);
    add("genesis", genesis.is_ok() && expected, format!("chain {id}"));
    let header = &bundle.header;
    let certified = &bundle.certified;
    let signed = match &genesis {
        Ok(()) => {
            let validators = crate::node::validator_set(&bundle.genesis);
            certified.verify(&validators, &id).map_err(|error| error.to_string())
        }
        Err(refusal) => Err(refusal.to_string()),
    };
    let detail = match &signed {
        Ok(_) => format!(
            "{} of {} validators committed block {}",
            certified.certificate.signatures.len(),
            bundle.genesis.validators.len(),
            certified.block.header.height
        ),
        Err(error) => error.clone(),
    };
    add("certificate", signed.is_ok(), detail);
    let app = &certified.block.header.app;
    let named = app.height == header.height && app.hash == header.hash() && header.chain_id == id;
    add("header", named, format!("height {}, hash {}", header.height, header.hash()));
    for proved in &bundle.deals {
        check_deal(bundle.bid, header, proved, &mut add);
    }
    let found = !bundle.deals.is_empty();
    add("deals", found, format!("{} deals of bid {}", bundle.deals.len(), bundle.bid));
    checks
}

fn check_deal(
    bid: OrderId,
    header: &Header,
    proved: &ProvedDeal,
    add: &mut impl FnMut(&str, bool, String),
) {
    let deal = &proved.deal;
    let key = key_hash(&codec::encode(&StateKey::Market(RecordId::Deal(deal.id))));
    let value = value_hash(&codec::encode(deal));
    let there = proved.proof.verify(header.state_root, key, Some(value));
    add(
        &format!("deal {}: record", deal.id),
        there && deal.bid == bid,
        format!("state root {}", header.state_root),
    );
    let name = format!("deal {}: receipts", deal.id);
    let DealState::Settled { commitment, samples, paid, fee, .. } = &deal.state else {
        add(&name, false, "the deal is not settled".into());
        return;
    };
    let sums = Commitment::new(&proved.receipts) == Some(*commitment);
    let range = proved.receipts.iter().map(|receipt| receipt.segment);
    let in_order = range.eq(deal.terms.first..deal.terms.first.saturating_add(deal.terms.count));
    let detail = format!("{} receipts under {}", proved.receipts.len(), commitment.root);
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
    let receipts = all
        .iter()
        .map(|deal| crate::renter::receipts(client, deal))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let patience = std::time::Duration::from_secs(20);
    let found = client.wait_for("the certificate of the final state", patience, |client| {
        for index in 0..client.nodes().len() {
            let found = certified_proofs(&client.only(index), &all);
            if let Ok(Some(found)) = found {
                return Ok(Some(found));
            }
        }
        Ok(None)
    });
    let (state, proofs) = found?;
    let deals = all.into_iter().zip(proofs).zip(receipts);
    let deals = deals.map(|((deal, proof), receipts)| ProvedDeal { deal, proof, receipts });
    Ok(Bundle {
        schema: SCHEMA.to_owned(),
        genesis,
        bid,
        header: state.header,
        certified: state.certified,
        deals: deals.collect(),
    })
}

/// Proofs under a root that is certified; nothing yet, if the newest state is not.
fn certified_proofs(
    node: &Client,
    deals: &[Deal],
) -> Result<Option<(CertifiedState, Vec<StateProof>)>, ClientError> {
    let proofs = deals
        .iter()
        .map(|deal| node.get::<ProofView>(&format!("/v1/proofs/deal/{}", deal.id)))
        .collect::<Result<Vec<_>, _>>()?;
    let state: CertifiedState = node.get("/v1/headers/latest")?;
    let certified = proofs.iter().all(|proof| proof.state_root == state.header.state_root);
    Ok(certified.then(|| (state, proofs.into_iter().map(|view| view.proof).collect())))
}

/// Reads all blocks of a node.
///
/// # Errors
/// [`ClientError`], or a block that does not decode.
pub fn blocks(client: &Client, upto: Height) -> anyhow::Result<Vec<StoredBlock>> {
    (1..=upto.0)
        .map(|height| {
            let block: serde_json::Value = client.get(&format!("/v1/blocks/{height}"))?;
            let bytes = block["bytes"].as_str().context("the answer has no bytes")?;
            let bytes = hex::decode(bytes).context("the bytes are not hexadecimal")?;
            Ok(codec::decode("stored block", usize::MAX, &bytes)?)
        })
        .collect()
}

/// What an audit of the whole chain found.
#[derive(Debug)]
pub struct Replayed {
    /// The state that executing every block gave.
    pub state: State,
    /// The blocks.
    pub blocks: Vec<StoredBlock>,
    /// The nodes compared, with their state root at the common height.
    pub roots: Vec<(String, Hash)>,
    /// Whether all roots are equal, ours among them.
    pub equal: bool,
}

/// Executes every block up to the least height of all nodes on a fresh state and compares the roots.
///
/// # Errors
/// If a node does not answer or a block gives another result than the one stored.
pub fn replay_all(client: &Client) -> anyhow::Result<Replayed> {
    let genesis: Genesis = client.get("/v1/genesis")?;
    let count = client.nodes().len();
    let statuses = (0..count)
        .map(|index| client.only(index).get::<Status>("/v1/status"))
        .collect::<Result<Vec<_>, _>>()?;
    let height = statuses.iter().map(|status| status.height).min().unwrap_or(Height(0));
    let blocks = blocks(&client.only(0), height)?;
    let state = replay(&genesis, &blocks)?;
    let mut roots = Vec::new();
    for (index, status) in statuses.iter().enumerate() {
        let block: serde_json::Value = client.only(index).get(&format!("/v1/blocks/{height}"))?;
        let header: Header = serde_json::from_value(block["header"].clone())?;
        roots.push((status.name.clone(), header.state_root));
    }
    let equal = roots.iter().all(|(_, root)| *root == state.root());
    Ok(Replayed { state, blocks, roots, equal })
}
