//! Everything that happened to a deal or an account.

use gongsuan_ledger::{Body, Event, StoredBlock};
use gongsuan_market::{Event as MarketEvent, HoldId, Settlement};
use gongsuan_types::{Address, DealId, Hash, Height, OrderId};
use serde_json::{Value, json};

use super::Source;

/// Whose story is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Of {
    /// A deal: its order to its last payment.
    Deal(DealId),
    /// An account: what it sent, and every event that names it.
    Account(Address),
}

impl std::str::FromStr for Of {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(deal) = text.parse() {
            return Ok(Self::Deal(deal));
        }
        text.parse()
            .map(Self::Account)
            .map_err(|error| format!("expected a deal's number or an account's address: {error}"))
    }
}

/// Whose story is told, with what must be known before it can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trail {
    of: Of,
    /// The ask and the bid that a deal came from.
    orders: Option<(OrderId, OrderId)>,
}

impl Trail {
    /// Prepares. For a deal, blocks are read until the fill that opened it.
    ///
    /// # Errors
    /// If blocks cannot be read.
    pub fn new(source: &Source, of: Of) -> anyhow::Result<Self> {
        let Of::Deal(deal) = of else { return Ok(Self { of, orders: None }) };
        for block in source.blocks(Height(1), source.head()) {
            // Fills happen at the end of a block, in its own events.
            let found = block?.events.into_iter().find_map(|event| match event {
                Event::Market(MarketEvent::Filled { deal: id, ask, bid, .. }) if id == deal => {
                    Some((ask, bid))
                }
                _ => None,
            });
            if found.is_some() {
                return Ok(Self { of, orders: found });
            }
        }
        Ok(Self { of, orders: None })
    }

    /// Prepares for a deal whose orders, ask and bid, are known.
    #[must_use]
    pub fn of_deal(of: Of, orders: (OrderId, OrderId)) -> Self {
        Self { of, orders: Some(orders) }
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
            Of::Deal(deal) => names_deal(&value, deal) || self.begins(event),
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
        self.orders.is_some_and(|(ask, bid)| *of == ask || *of == bid)
    }
}

/// Whether an event names a deal, as `deal` or as a hold of it.
fn names_deal(value: &Value, deal: DealId) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            (["deal", "escrow", "deposit"].contains(&key.as_str())
                && value.as_u64() == Some(deal.0))
                || names_deal(value, deal)
        }),
        Value::Array(items) => items.iter().any(|item| names_deal(item, deal)),
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
