//! The whole story of a job, each line of it proved.
//!
//! A line is an event of the chain, or a validator's verdict. What stands behind it is the receipt of a transaction, the block's own events
//! or the transaction itself, and for each of these there is one proof that anybody can check offline.

use std::collections::BTreeMap;

use gongsuan_ledger::{Event, LightClient};
use gongsuan_market::{Event as MarketEvent, HoldId, Reason, Settlement};
use gongsuan_types::OrderId;
use gongsuan_types::order::Unit;
use serde::Serialize;
use serde_json::Value;

use super::trail::{Of, Row, Trail};
use super::{Check, Mismatch, ProofFile, Source, Subject, Validators, prove};
use crate::client::Client;

/// One line.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Where and what.
    #[serde(flatten)]
    pub row: Row,
    /// In words.
    pub what: String,
    /// The name of its proof in [`Story::proofs`].
    pub proof: String,
}

/// A job's story.
#[derive(Debug, Clone, Serialize)]
pub struct Story {
    /// The order.
    pub job: OrderId,
    /// Its lines, oldest first.
    pub events: Vec<Line>,
    /// What proves them.
    pub proofs: BTreeMap<String, ProofFile>,
    /// Whether every proof holds, and says what its lines say.
    pub valid: bool,
}

/// Tells a job's story: events out of the source's blocks, proofs from the nodes or, without any, out of the blocks as well. Every proof is checked
/// from the genesis on before it is given.
///
/// # Errors
/// If blocks cannot be read, something is not certified yet, or a proof does not hold ([`Mismatch`]).
pub fn tell(source: &Source, job: OrderId, nodes: Option<&Client>) -> anyhow::Result<Story> {
    let trail = Trail::new(source, Of::Job(job))?;
    let mut rows = Vec::new();
    for block in source.blocks(gongsuan_types::Height(1), source.head()) {
        rows.extend(trail.lines(&block?));
    }
    let genesis = source.genesis();
    let validators = Validators::of_genesis(genesis);
    let mut client = LightClient::from_genesis(genesis.chain_id(), validators);
    let mut proofs = BTreeMap::new();
    let mut events = Vec::new();
    let words = Words::of(&rows, job);
    for row in rows {
        let subject = row.subject();
        let (kind, id) = subject.name();
        let proof = format!("{kind}:{id}");
        if !proofs.contains_key(&proof) {
            let file = match nodes {
                Some(nodes) => nodes.get(&format!("/v1/proofs/{kind}/{id}"))?,
                None => ProofFile::new(&prove::prove(source, &subject)?),
            };
            hold(&file, &subject, &mut client)?;
            proofs.insert(proof.clone(), file);
        }
        let file = &proofs[&proof];
        if !row.is_in(&file.shows) {
            let text = format!("height {}: the proof {proof} does not show this event", row.height);
            return Err(Mismatch(text).into());
        }
        events.push(Line { what: row.words(words), proof, row });
    }
    Ok(Story { job, events, proofs, valid: true })
}

fn hold(
    file: &ProofFile,
    subject: &Subject,
    client: &mut LightClient<Validators>,
) -> anyhow::Result<()> {
    let (kind, id) = subject.name();
    let checks: Vec<Check> = file.check(client);
    let failed = checks.iter().find(|check| !check.ok);
    if let Some(failed) = failed {
        return Err(Mismatch(format!(
            "the proof {kind}:{id} does not hold: {}: {}",
            failed.name, failed.detail
        ))
        .into());
    }
    let other = file.kind != kind || file.id != id;
    anyhow::ensure!(
        !other,
        Mismatch(format!("asked for a proof of {kind} {id}, got one of {} {}", file.kind, file.id))
    );
    Ok(())
}

impl Row {
    fn subject(&self) -> Subject {
        match (&self.tx, &self.event) {
            (Some(tx), Some(_)) => Subject::Receipt(*tx),
            (Some(tx), None) => Subject::Transaction(*tx),
            (None, _) => Subject::Events(self.height),
        }
    }

    /// What kind of proof stands behind it.
    #[must_use]
    pub fn proof_kind(&self) -> &'static str {
        self.subject().name().0
    }

    /// Whether a proof shows this row: the event stands in what it shows, or the transaction is the one.
    fn is_in(&self, shows: &Value) -> bool {
        let Some(event) = &self.event else {
            return shows.get("transaction").is_some();
        };
        let Ok(wanted) = serde_json::to_value(event) else { return false };
        let lists =
            [shows.get("events"), shows.get("receipt").and_then(|receipt| receipt.get("events"))];
        lists
            .into_iter()
            .flatten()
            .filter_map(Value::as_array)
            .flatten()
            .any(|there| *there == wanted)
    }

    /// The row in words.
    fn words(&self, words: Words) -> String {
        match &self.event {
            None => self.verdicts.join("; "),
            Some(Event::Market(event)) => market(event, words),
            Some(Event::Money(settlement)) => money(settlement),
            Some(Event::KeyPublished { owner, number, .. }) => {
                format!("{} publishes encryption key {number}", owner.short())
            }
            Some(other) => serde_json::to_string(other).unwrap_or_default(),
        }
    }
}

/// What is counted in an order's story.
#[derive(Debug, Clone, Copy)]
struct Words {
    /// What is bought.
    unit: &'static str,
    /// What it is cut into.
    parts: &'static str,
}

impl Words {
    fn of(rows: &[Row], of: OrderId) -> Self {
        let unit = rows.iter().find_map(|row| match &row.event {
            Some(Event::Market(MarketEvent::Placed { order, class, .. })) if *order == of => {
                Some(class.unit)
            }
            _ => None,
        });
        match unit {
            Some(Unit::CoreSecond) => Self { unit: "core-seconds", parts: "intervals" },
            Some(Unit::GigaFuel) | None => Self { unit: "Gf", parts: "segments" },
        }
    }
}

fn market(event: &MarketEvent, Words { unit, parts }: Words) -> String {
    match event {
        MarketEvent::Placed { order, owner, side, price, units, .. } => {
            let side = format!("{side:?}").to_lowercase();
            format!("{side} {order} placed by {}: {units} {unit} at {price}", owner.short())
        }
        MarketEvent::Filled { deal, ask, bid, provider, price, count, .. } => {
            format!(
                "deal {deal}: bid {bid} meets ask {ask} of {}: {count} {parts} at {price}",
                provider.short()
            )
        }
        MarketEvent::Rematched { deal, ask, provider, price, count, .. } => {
            format!(
                "deal {deal}: taken over by {} (ask {ask}): {count} {parts} at {price}",
                provider.short()
            )
        }
        MarketEvent::Acknowledged { deal } => format!("deal {deal}: the provider begins"),
        MarketEvent::Revealed { deal } => format!("deal {deal}: the renter reveals its secret"),
        MarketEvent::Progress { deal, done, count } => {
            format!("deal {deal}: {done} of {count} {parts} done")
        }
        MarketEvent::Served { deal, receipt } => {
            format!("deal {deal}: the provider shows the receipt of segment {}", receipt.segment)
        }
        MarketEvent::Cancelled { order, open, why } => {
            format!("order {order}: over with {open} {unit} open: {}", why.text())
        }
        MarketEvent::Expired { order, open } => {
            format!("order {order}: expired with {open} {unit} open")
        }
        MarketEvent::Moved { deal, step, to } => format!("deal {deal}: {step:?} → {}", to.name()),
        MarketEvent::Committed { deal, commitment } => {
            let (root, count, fuel) = (commitment.root.short(), commitment.count, commitment.fuel);
            format!("deal {deal}: {count} receipts committed, root {root}, {fuel} fuel")
        }
        MarketEvent::Drawn { deal, samples } => {
            let each = samples.iter().map(|sample| {
                let auditor = sample.auditor.map_or("nobody".to_owned(), |auditor| auditor.short());
                format!("{} to {auditor}", sample.segment)
            });
            format!("deal {deal}: segments drawn: {}", each.collect::<Vec<_>>().join(", "))
        }
        MarketEvent::Audited { deal, segment, auditor, paid } => {
            format!(
                "deal {deal}: {} ran segment {segment} again and got the same, paid {paid}",
                auditor.short()
            )
        }
        MarketEvent::Disputed { deal, segment, auditor } => {
            format!("deal {deal}: {} disputes segment {segment}", auditor.short())
        }
        MarketEvent::CaseOpened { case, by, stake } => {
            format!("case {case}: brought by {} on a stake of {stake}", by.short())
        }
        MarketEvent::Judged { case, finding } => {
            format!("case {case}: decided: {}", found(finding))
        }
        MarketEvent::Dropped { deal, provider, why, fine } => {
            format!("deal {deal}: {} is out ({why:?}), {fine} to the renter", provider.short())
        }
        MarketEvent::BegunPaid { deal, units, paid, fee } => {
            format!("deal {deal}: {units} core-seconds of a begun interval, {paid} paid, fee {fee}")
        }
        MarketEvent::Accepted { deal, first, count, paid, fee } => {
            format!(
                "deal {deal}: {parts} {first} to {} accepted, {paid} paid, fee {fee}",
                first + count - 1
            )
        }
        MarketEvent::Settled { deal, paid, fee, audited, refund } => {
            format!(
                "deal {deal}: settled: {paid} for work, {fee} fee, {audited} for audits, {refund} back"
            )
        }
        MarketEvent::Completed { deal, paid, fee, refund } => {
            format!("deal {deal}: the lease is over: {paid} for its time, {fee} fee, {refund} back")
        }
        MarketEvent::Probed { deal, order, provider, lanes } => {
            format!(
                "deal {deal}: the chain asks {} to show {lanes} lanes (order {order})",
                provider.short()
            )
        }
        MarketEvent::Failed { deal, why, fine } => {
            format!("deal {deal}: failed ({why:?}), fine {fine}")
        }
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

pub(super) fn found(finding: &gongsuan_types::court::Finding) -> String {
    use gongsuan_types::court::Finding;
    match finding {
        Finding::Produced(receipt) => {
            let (segment, output) = (receipt.segment, receipt.output.short());
            format!("segment {segment} gives {output} with {} fuel", receipt.fuel)
        }
        other => format!("{other:?}").to_lowercase(),
    }
}

fn money(settlement: &Settlement) -> String {
    match settlement {
        Settlement::Hold { hold, owner, amount } => {
            format!("{amount} of {} set aside in {}", owner.short(), name(hold))
        }
        Settlement::Move { source, target, amount } => {
            format!("{amount} from {} to {}", name(source), name(target))
        }
        Settlement::Post { hold, to, amount, reason } => {
            format!("{amount} out of {} to {} for {}", name(hold), to.short(), purpose(*reason))
        }
        Settlement::Void { hold, amount } => format!("{amount} out of {} home", name(hold)),
        Settlement::Slash { hold, to, amount, reason } => {
            format!(
                "SLASHED {amount} out of {} to {} for {}",
                name(hold),
                to.short(),
                purpose(*reason)
            )
        }
    }
}

fn name(hold: &HoldId) -> String {
    match hold {
        HoldId::Order(id) => format!("order:{id}"),
        HoldId::Escrow(id) => format!("escrow:{id}"),
        HoldId::Deposit(id) => format!("deposit:{id}"),
        HoldId::Stake(id) => format!("stake:{id}"),
        HoldId::Pledge(who) => format!("pledge:{}", who.short()),
        HoldId::Capacity(who) => format!("capacity:{}", who.short()),
    }
}

fn purpose(reason: Reason) -> &'static str {
    match reason {
        Reason::Work => "work",
        Reason::Audit => "an audit",
        Reason::Fee => "the fee",
        Reason::Late => "being late",
        Reason::Fraud => "fraud",
        Reason::FalseClaim => "a false claim",
        Reason::NoInput => "the missing input",
        Reason::Served => "showing a receipt",
        Reason::FalseAudit => "a false audit",
    }
}
