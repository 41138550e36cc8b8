//! Everything that happened to a job, a deal or an account.

use std::collections::BTreeSet;

use gongsuan_ledger::{Body, Event, Op, StoredBlock};
use gongsuan_market::{Event as MarketEvent, HoldId, Settlement};
use gongsuan_types::{Address, DealId, Hash, Height, OrderId, TimeMs};
use serde::Serialize;
use serde_json::{Value, json};

use super::Source;

/// Whose story is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Of {
    /// A job, by its order: everything that happened to the order and to all its deals.
    Job(OrderId),
    /// A deal: its order to its last payment.
    Deal(DealId),
    /// An account: what it sent, and every event that names it.
    Account(Address),
}

impl std::str::FromStr for Of {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let of = |word: &str| text.strip_prefix(word).map(str::trim);
        if let Some(job) = of("job ") {
            return job
                .parse()
                .map(Self::Job)
                .map_err(|error| format!("expected an order's number: {error}"));
        }
        let text = of("deal ").or_else(|| of("account ")).unwrap_or(text);
        if let Ok(deal) = text.parse() {
            return Ok(Self::Deal(deal));
        }
        text.parse()
            .map(Self::Account)
            .map_err(|error| format!("expected a deal's number or an account's address: {error}"))
    }
}

/// Whose story is told, with what must be known before it can be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trail {
    of: Of,
    /// The asks and the bids of the deals.
    orders: BTreeSet<OrderId>,
    deals: BTreeSet<DealId>,
}

/// Something that happened, with its place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Row {
    /// The block.
    pub height: Height,
    /// Its time.
    pub time_ms: TimeMs,
    /// The transaction that did it; none, where the block itself did.
    pub tx: Option<Hash>,
    /// The event; none, where the transaction itself is what is told.
    pub event: Option<Event>,
    /// Verdicts of validators that the transaction brought, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<String>,
}

impl Trail {
    /// Prepares. For a deal, blocks are read until the fill that opened it.
    ///
    /// # Errors
    /// If blocks cannot be read.
    pub fn new(source: &Source, of: Of) -> anyhow::Result<Self> {
        let mut trail = Self { of, orders: BTreeSet::new(), deals: BTreeSet::new() };
        match of {
            Of::Account(_) => return Ok(trail),
            Of::Job(job) => drop(trail.orders.insert(job)),
            Of::Deal(deal) => drop(trail.deals.insert(deal)),
        }
        for block in source.blocks(Height(1), source.head()) {
            // Fills happen at the end of a block, in its own events.
            for event in block?.events {
                match event {
                    Event::Market(MarketEvent::Filled { deal, ask, bid, .. })
                        if of == Of::Job(bid) || of == Of::Deal(deal) =>
                    {
                        trail.deals.insert(deal);
                        trail.orders.extend([ask, bid]);
                    }
                    Event::Market(MarketEvent::Rematched { deal, ask, .. })
                        if trail.deals.contains(&deal) =>
                    {
                        trail.orders.insert(ask);
                    }
                    _ => {}
                }
            }
        }
        Ok(trail)
    }

    /// Prepares for a deal whose orders, ask and bid, are known.
    #[must_use]
    pub fn of_deal(deal: DealId, orders: (OrderId, OrderId)) -> Self {
        let orders = BTreeSet::from([orders.0, orders.1]);
        Self { of: Of::Deal(deal), orders, deals: BTreeSet::from([deal]) }
    }

    /// What a block did to a job or a deal, verdicts of validators included.
    #[must_use]
    pub fn lines(&self, block: &StoredBlock) -> Vec<Row> {
        let (height, time_ms) = (block.header.height, block.header.time);
        let row = |tx, event: &Event| {
            let event = Some(event.clone());
            Row { height, time_ms, tx, event, verdicts: Vec::new() }
        };
        let mut rows = Vec::new();
        let body = Body::decode(&block.body).unwrap_or_default();
        for (tx, receipt) in body.txs.iter().zip(&block.receipts) {
            let verdicts = self.verdicts(&tx.body.ops);
            if !verdicts.is_empty() && receipt.status == gongsuan_ledger::TxStatus::Applied {
                rows.push(Row { height, time_ms, tx: Some(receipt.id), event: None, verdicts });
            }
            let named = receipt.events.iter().filter(|event| self.is_about(event));
            rows.extend(named.map(|event| row(Some(receipt.id), event)));
        }
        let own = block.events.iter().filter(|event| self.is_about(event));
        rows.extend(own.map(|event| row(None, event)));
        rows
    }

    fn verdicts(&self, ops: &[Op]) -> Vec<String> {
        let all = ops.iter().filter_map(|op| match op {
            Op::Judge(verdicts) => Some(verdicts),
            _ => None,
        });
        let own = all
            .flatten()
            .map(|signed| &signed.body)
            .filter(|verdict| self.deals.contains(&verdict.case.deal));
        own.map(|verdict| {
            let (case, who) = (verdict.case, Address(verdict.validator.0).short());
            format!("case {case}: validator {who} finds: {}", super::story::found(&verdict.finding))
        })
        .collect()
    }

    fn is_about(&self, event: &Event) -> bool {
        self.select(event).is_ok_and(|value| value.is_some())
    }

    /// The rows of a block: transactions of an account, then events in their order.
    ///
    /// # Errors
    /// Never for events of this program.
    pub fn rows(&self, block: &StoredBlock) -> anyhow::Result<Vec<Value>> {
        let header = &block.header;
        let mut rows = Vec::new();
        let mut add = |tx: Option<Hash>, what: Value| {
            let (height, time) = (header.height, header.time);
            rows.push(json!({ "height": height, "time_ms": time, "tx": tx, "event": what }));
        };
        let body = Body::decode(&block.body).unwrap_or_default();
        for (tx, receipt) in body.txs.iter().zip(&block.receipts) {
            if self.of == Of::Account(tx.body.sender) {
                let status = serde_json::to_value(&receipt.status)?;
                let (nonce, fee, ops) = (tx.body.nonce, receipt.fee, tx.body.ops.len());
                let sent = json!({ "nonce": nonce, "fee": fee, "ops": ops, "status": status });
                add(Some(receipt.id), json!({ "sent": sent }));
            }
            for event in &receipt.events {
                if let Some(value) = self.select(event)? {
                    add(Some(receipt.id), value);
                }
            }
        }
        for event in &block.events {
            if let Some(value) = self.select(event)? {
                add(None, value);
            }
        }
        Ok(rows)
    }

    fn select(&self, event: &Event) -> anyhow::Result<Option<Value>> {
        let value = serde_json::to_value(event)?;
        let named = match self.of {
            Of::Deal(_) => {
                self.deals.iter().any(|deal| names_deal(&value, *deal)) || self.begins(event)
            }
            Of::Job(job) => {
                self.deals.iter().any(|deal| names_deal(&value, *deal))
                    || names_order(&value, job)
                    || self.begins(event)
            }
            Of::Account(address) => names(&value, &address.to_string()),
        };
        Ok(named.then_some(value))
    }

    /// Whether an event is the beginning of the deal's orders: what was placed, and what was held for it.
    fn begins(&self, event: &Event) -> bool {
        let of = match event {
            Event::Market(MarketEvent::Placed { order, .. }) => order,
            Event::Money(Settlement::Hold { hold: HoldId::Order(order), .. }) => order,
            _ => return false,
        };
        self.orders.contains(of)
    }
}

/// Whether an event names a deal, as `deal` or as a hold of it.
fn names_deal(value: &Value, deal: DealId) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            (["deal", "escrow", "deposit", "stake"].contains(&key.as_str())
                && value.as_u64() == Some(deal.0))
                || names_deal(value, deal)
        }),
        Value::Array(items) => items.iter().any(|item| names_deal(item, deal)),
        _ => false,
    }
}

/// Whether an event names an order, as `order`, `bid` or a hold of it.
fn names_order(value: &Value, order: OrderId) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            (["order", "bid"].contains(&key.as_str()) && value.as_u64() == Some(order.0))
                || names_order(value, order)
        }),
        Value::Array(items) => items.iter().any(|item| names_order(item, order)),
        _ => false,
    }
}

fn names(value: &Value, text: &str) -> bool {
    match value {
        Value::Object(fields) => fields.values().any(|value| names(value, text)),
        Value::Array(items) => items.iter().any(|item| names(item, text)),
        Value::String(word) => word == text,
        _ => false,
    }
}
