//! What a bid bought and what was paid for it, provable with one file.

use gongsuan_ledger::proof::Fact;
use gongsuan_ledger::{Genesis, LightClient, StateKey};
use gongsuan_market::{Deal, DealState, RecordId, Stop};
use gongsuan_types::job::Check as DealCheck;
use gongsuan_types::receipt::{Commitment, Receipt};
use gongsuan_types::{Hash, OrderId, codec};
use serde::{Deserialize, Serialize};

use super::{Check, ProofFile, Validators};
use crate::client::{Client, ClientError};
use crate::renter::results::{self, Part};

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
    #[must_use]
    pub fn deal(&self) -> Option<Deal> {
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
    let name = |what: &str| format!("deal {}: {what}", deal.id);
    let DealState::Settled { commitment, samples, paid, fee, .. } = &deal.state else {
        add(&name("receipts"), false, "the deal is not settled".into());
        return;
    };
    let parts = results::parts(deal);
    add(&name("receipts"), are_committed(deal, &parts, receipts), {
        let roots = parts.iter().map(|part| part.commitment.root.to_string());
        format!("{} receipts under {}", receipts.len(), roots.collect::<Vec<_>>().join(", "))
    });
    let price = deal.terms.price.cost_of_fuel(commitment.fuel);
    let right = paid.checked_add(*fee) == Some(price);
    let detail = format!("{} fuel at {} per Gf: {price}", commitment.fuel, deal.terms.price);
    add(&name("price"), right, detail);
    for batch in &deal.batches {
        // What it was agreed at is not in the record if another provider did it, but no more than the bid's limit.
        let most = deal.terms.price_max.cost_of_fuel(batch.commitment.fuel);
        let detail = format!("{} for {} fuel, at most {most}", batch.paid, batch.commitment.fuel);
        add(&name(&format!("price from segment {}", batch.first)), batch.paid <= most, detail);
    }
    // Without samples a deal settles in two ways only: the copies of a quorum agree, or the validators accept by the renter's predicate. Which one
    // it was is in the record that they certify.
    let needs_samples = matches!(deal.terms.check, DealCheck::Lottery | DealCheck::Own);
    let batches = deal.batches.iter().map(|batch| &batch.samples).chain([samples]);
    let mut audited = 0;
    let mut passed = true;
    for samples in batches {
        audited += samples.iter().filter(|sample| sample.auditor.is_some()).count();
        passed &= samples.iter().all(|sample| sample.passed);
        passed &= !(samples.is_empty() && needs_samples);
    }
    let how = match deal.terms.check {
        DealCheck::Quorum { copies } if samples.is_empty() => {
            format!("most of {copies} providers got the same")
        }
        DealCheck::Predicate(_) if samples.is_empty() => {
            "the validators accept the outputs by the renter's predicate".to_owned()
        }
        _ => format!("{audited} segments executed again"),
    };
    add(&name("audits"), passed, how);
}

/// Whether these are the receipts of a deal: each batch under its commitment, and together all segments that were accepted, in order.
fn are_committed(deal: &Deal, parts: &[Part], receipts: &[Receipt]) -> bool {
    let mut rest = receipts;
    for part in parts {
        let count = part.commitment.count as usize;
        let Some((own, after)) = rest.split_at_checked(count) else { return false };
        let segments = part.first..part.first.saturating_add(part.commitment.count);
        let in_order = own.iter().map(|receipt| receipt.segment).eq(segments);
        if !in_order || Commitment::new(own) != Some(part.commitment) {
            return false;
        }
        rest = after;
    }
    // Only a deal that was stopped ends with less than all.
    let wanted = if deal.stop == Stop::No { deal.terms.count } else { deal.accepted };
    rest.is_empty() && receipts.len() == wanted as usize
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
        // A copy of a quorum that failed is nobody's loss: the others have done its work.
        if deal.group.is_some() && matches!(deal.state, DealState::Failed { .. }) {
            continue;
        }
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

#[cfg(test)]
mod tests {
    use gongsuan_market::{Batch, Sample, Terms};
    use gongsuan_types::order::Class;
    use gongsuan_types::receipt::Status;
    use gongsuan_types::{Address, Amount, DealId, DurationMs, Fuel, Price, TimeMs, Units};

    use super::*;

    fn receipts(segments: std::ops::Range<u32>) -> Vec<Receipt> {
        let one = |segment: u32| Receipt {
            segment,
            input: Hash::of_content(b"in"),
            output: Hash::of_content(&segment.to_le_bytes()),
            output_bytes: 4,
            fuel: Fuel(1_000_000_000),
            status: Status::Ok,
        };
        segments.map(one).collect()
    }

    fn sample(segment: u32) -> Sample {
        Sample { segment, auditor: Some(Address([9; 32])), passed: true, seal: None }
    }

    /// Segments 4 to 9 of a job: two by a provider that then failed, the other four, at another price, by the one that took over.
    fn rematched() -> (Deal, Vec<Receipt>) {
        let (first, rest) = (receipts(4..6), receipts(6..10));
        let [failed, provider, renter] = [1, 2, 3].map(|byte| Address([byte; 32]));
        let terms = Terms {
            job: Hash::ZERO,
            fuel_max: Fuel(1_000_000_000),
            first: 4,
            count: 6,
            units: Units(6),
            price: Price(120),
            ack_within: DurationMs(1),
            run_within: DurationMs(1),
            samples: 1,
            secret_hash: Hash::ZERO,
            lot: Units(1),
            price_max: Price(200),
            deposit_basis_points: 10_000,
            check: DealCheck::Lottery,
            heartbeat_within: DurationMs(0),
            batches_max: 3,
            attempts_max: 2,
            kind: gongsuan_market::Kind::Job,
        };
        let commitment = Commitment::new(&first).unwrap();
        let batch = Batch {
            first: 4,
            provider: failed,
            commitment,
            receipts: Hash::of("list", b"1"),
            samples: vec![sample(5)],
            paid: Amount::new(196),
        };
        let state = DealState::Settled {
            commitment: Commitment::new(&rest).unwrap(),
            receipts: Hash::of("list", b"2"),
            samples: vec![sample(7)],
            paid: Amount::new(470),
            fee: Amount::new(10),
            audited: Amount::ZERO,
            refund: Amount::ZERO,
        };
        let deal = Deal {
            id: DealId(1),
            ask: OrderId(2),
            bid: OrderId(3),
            provider,
            renter,
            class: Class::WASM,
            terms,
            escrow: Amount::ZERO,
            audit_budget: Amount::ZERO,
            audited: Amount::ZERO,
            deposit: Amount::ZERO,
            state,
            matched: TimeMs(1),
            bond: Amount::ZERO,
            taken: Units(0),
            accepted: 6,
            batches: vec![batch],
            commits: 1,
            tried: vec![(failed, gongsuan_market::Failure::Late)],
            cases: 0,
            stop: Stop::No,
            secret: None,
            time_left: DurationMs(0),
            group: None,
            of_provider: None,
            of_renter: None,
            number: 0,
            paid: Amount::new(666),
            fees: Amount::new(14),
            vetted: false,
        };
        (deal, [first, rest].concat())
    }

    /// The checks that do not hold.
    fn wrong(deal: &Deal, receipts: &[Receipt]) -> Vec<String> {
        let mut failed = Vec::new();
        check_deal(OrderId(3), deal, receipts, &mut |name, ok, _| {
            if !ok {
                failed.push(name.trim_start_matches("deal 1: ").to_owned());
            }
        });
        failed
    }

    #[test]
    fn a_deal_that_another_provider_took_over_shows_every_batch_from_its_own_first_segment() {
        let (deal, all) = rematched();
        let firsts: Vec<u32> = results::parts(&deal).iter().map(|part| part.first).collect();
        assert_eq!(firsts, [4, 6]);
        assert_eq!(wrong(&deal, &all), [""; 0]);
        assert_eq!(wrong(&deal, &all[2..]), ["receipts"], "the last batch alone is not all");
        let mut turned = all.clone();
        turned.swap(0, 1);
        assert_eq!(wrong(&deal, &turned), ["receipts"]);
        let mut unaudited = deal.clone();
        unaudited.batches[0].samples[0].passed = false;
        assert_eq!(wrong(&unaudited, &all), ["audits"]);
        let mut dear = deal.clone();
        dear.batches[0].paid = Amount::new(401);
        assert_eq!(wrong(&dear, &all), ["price from segment 4"]);
        let mut stopped = deal;
        (stopped.terms.count, stopped.stop) = (9, Stop::Last);
        assert_eq!(wrong(&stopped, &all), [""; 0]);
        stopped.stop = Stop::No;
        assert_eq!(wrong(&stopped, &all), ["receipts"], "not stopped, and not all there");
    }

    #[test]
    fn only_a_quorum_and_a_predicate_settle_without_samples() {
        let (mut deal, all) = rematched();
        let DealState::Settled { samples, .. } = &mut deal.state else { unreachable!() };
        samples.clear();
        assert_eq!(wrong(&deal, &all), ["audits"]);
        let predicate = gongsuan_types::job::Predicate { module: Hash::ZERO, fuel: Fuel(1) };
        for check in [DealCheck::Quorum { copies: 3 }, DealCheck::Predicate(predicate)] {
            deal.terms.check = check;
            assert_eq!(wrong(&deal, &all), [""; 0], "{check:?}");
        }
        deal.terms.check = DealCheck::Own;
        assert_eq!(wrong(&deal, &all), ["audits"]);
    }
}
