//! Everything that happened to a deal or an account.

use gongsuan_ledger::{Event, StoredBlock, TxStatus, header::Body};
use gongsuan_types::{Address, DealId, Hash};
use serde_json::{Value, json};

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

/// The rows of a block: transactions of an account, then events in their order.
///
/// # Errors
/// Never for events of this program.
pub fn rows(block: &StoredBlock, of: Of) -> anyhow::Result<Vec<Value>> {
    let header = &block.header;
    let mut rows = Vec::new();
    let mut add = |tx: Option<Hash>, what: Value| {
        let (height, time) = (header.height, header.time);
        rows.push(json!({ "height": height, "time": time, "tx": tx, "event": what }));
    };
    let body = Body::decode(&block.body).unwrap_or_default();
    for (tx, receipt) in body.txs.iter().zip(&block.receipts) {
        if of == Of::Account(tx.body.sender) {
            let status = match &receipt.status {
                TxStatus::Applied => json!("applied"),
                other => serde_json::to_value(other)?,
            };
            add(
                Some(receipt.id),
                json!({ "sent": { "nonce": tx.body.nonce, "fee": receipt.fee, "ops": tx.body.ops.len(), "status": status } }),
            );
        }
        for event in &receipt.events {
            select(event, of, &mut |event| add(Some(receipt.id), event))?;
        }
    }
    for event in &block.events {
        select(event, of, &mut |event| add(None, event))?;
    }
    Ok(rows)
}

fn select(event: &Event, of: Of, add: &mut impl FnMut(Value)) -> anyhow::Result<()> {
    let value = serde_json::to_value(event)?;
    let named = match of {
        Of::Deal(deal) => names_deal(&value, deal),
        Of::Account(address) => names(&value, &address.to_string()),
    };
    if named {
        add(value);
    }
    Ok(())
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
