//! Tables out of a chain, for other tools. Rows are written as blocks are read; nothing but the state is ever held.
//!
//! Columns are named with their units and are only ever added at the end. `micro` is micro-tokens, `ms` is block time in milliseconds since 1970. In JSONL
//! amounts of money are strings, because they can be larger than what JSON readers take for a number; every row has a `schema`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use gongsuan_ledger::header::Body;
use gongsuan_ledger::{Replay, State, StoredBlock, TxStatus};
use gongsuan_market::DealState;
use gongsuan_types::{Address, Amount, Height};
use serde_json::{Map, Value, json};

use super::{Mismatch, Source};

/// What can be exported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Table {
    /// One row a block: its header.
    Blocks,
    /// One row a transaction: what was asked.
    Transactions,
    /// One row a transaction: what became of it.
    Receipts,
    /// One row an event, those of the blocks themselves too.
    Events,
    /// One row an account, after the last block of the range.
    Accounts,
    /// One row an order, after the last block of the range.
    Orders,
    /// One row a deal, after the last block of the range.
    Deals,
    /// One row a block: where all money is.
    Supply,
}

/// How rows are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Format {
    /// Comma-separated, with a line of names.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

impl Table {
    /// The table's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Transactions => "transactions",
            Self::Receipts => "receipts",
            Self::Events => "events",
            Self::Accounts => "accounts",
            Self::Orders => "orders",
            Self::Deals => "deals",
            Self::Supply => "supply",
        }
    }

    /// The names of its columns, in order.
    #[must_use]
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Blocks => &[
                "height",
                "time_ms",
                "term",
                "proposer",
                "hash",
                "parent",
                "block",
                "state_root",
                "tx_count",
                "body_bytes",
            ],
            Self::Transactions => &[
                "height",
                "index",
                "time_ms",
                "id",
                "sender",
                "nonce",
                "fee_micro",
                "expires_at_ms",
                "ops",
                "ops_json",
                "signature",
            ],
            Self::Receipts => &[
                "height",
                "index",
                "time_ms",
                "id",
                "sender",
                "status",
                "failed_op",
                "code",
                "message",
                "fee_charged_micro",
                "events",
            ],
            Self::Events => &["height", "index", "time_ms", "tx", "kind", "event_json"],
            Self::Accounts => &["height", "address", "balance_micro", "held_micro", "nonce"],
            Self::Orders => &[
                "height",
                "id",
                "side",
                "owner",
                "class",
                "price_micro_per_unit",
                "open_units",
                "state",
                "arrived_height",
                "expires_at_ms",
                "deals",
                "held_micro",
            ],
            Self::Deals => &[
                "height",
                "id",
                "ask",
                "bid",
                "provider",
                "renter",
                "class",
                "job",
                "first_segment",
                "segments",
                "units",
                "price_micro_per_unit",
                "escrow_micro",
                "deposit_micro",
                "audited_micro",
                "state",
                "due_ms",
                "paid_micro",
                "fee_micro",
            ],
            Self::Supply => &[
                "height",
                "time_ms",
                "total_micro",
                "free_micro",
                "held_micro",
                "treasury_micro",
                "adds_up",
            ],
        }
    }

    fn is_of_state(self) -> bool {
        matches!(self, Self::Accounts | Self::Orders | Self::Deals)
    }
}

/// Which rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The first height, at least 1.
    pub from: Height,
    /// The last height, at most the source's.
    pub to: Height,
    /// Of the supply: every so many blocks, and the last one.
    pub every: u64,
}

/// Writes the rows of a table. Returns how many.
///
/// # Errors
/// If blocks cannot be read or written; [`Mismatch`] if executing them gives something else than they say.
pub fn write<W: Write>(
    source: &Source,
    table: Table,
    range: Range,
    format: Format,
    to: W,
) -> anyhow::Result<u64> {
    let mut rows = Rows::new(table, format, to)?;
    let executed = table.is_of_state() || table == Table::Supply;
    if !executed {
        for block in source.blocks(range.from, range.to) {
            rows_of_block(&block?, table, &mut rows)?;
        }
        return Ok(rows.finish()?);
    }
    let mut replay = Replay::new(source.genesis())?;
    for block in source.blocks(Height(1), range.to) {
        let block = block?;
        replay.apply(&block).map_err(|differs| Mismatch(differs.to_string()))?;
        let height = block.header.height;
        let wanted = (height.0 - range.from.0.min(height.0)).is_multiple_of(range.every.max(1));
        if table == Table::Supply && height >= range.from && (wanted || height == range.to) {
            rows.add(supply(replay.state()))?;
        }
    }
    match table {
        Table::Accounts => accounts(replay.state(), &mut rows)?,
        Table::Orders => orders(replay.state(), &mut rows)?,
        Table::Deals => deals(replay.state(), &mut rows)?,
        _ => {}
    }
    Ok(rows.finish()?)
}

/// Writes the rows of a table into a file, which is replaced when all of them are there and durable, and is left alone otherwise.
///
/// # Errors
/// As [`write()`].
pub fn write_file(
    source: &Source,
    table: Table,
    range: Range,
    format: Format,
    path: &Path,
) -> anyhow::Result<u64> {
    let mut rows = 0;
    replace(path, |file| {
        rows = write(source, table, range, format, io::BufWriter::new(file))?;
        Ok(())
    })?;
    Ok(rows)
}

/// Replaces a file at once: what was there stays until the new content is durable.
///
/// # Errors
/// What `fill` or the disk said.
pub fn replace(
    path: &Path,
    fill: impl FnOnce(&mut std::fs::File) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let fault = |error: io::Error| anyhow::anyhow!("{}: {error}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(fault)?;
    fill(file.as_file_mut())?;
    file.as_file().sync_all().map_err(fault)?;
    file.persist(path).map_err(|error| fault(error.error))?;
    gongsuan_journal::sync_dir(folder).map_err(fault)
}

enum Sink<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Jsonl(W),
}

struct Rows<W: Write> {
    table: Table,
    sink: Sink<W>,
    schema: String,
    count: u64,
}

impl<W: Write> Rows<W> {
    fn new(table: Table, format: Format, to: W) -> io::Result<Self> {
        let sink = match format {
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(to);
                writer.write_record(table.columns()).map_err(io::Error::from)?;
                Sink::Csv(Box::new(writer))
            }
            Format::Jsonl => Sink::Jsonl(to),
        };
        Ok(Self { table, sink, schema: format!("gongsuan/export/{}/v1", table.name()), count: 0 })
    }

    fn add(&mut self, row: Vec<Value>) -> io::Result<()> {
        let columns = self.table.columns();
        debug_assert_eq!(row.len(), columns.len(), "a value for each column");
        self.count += 1;
        match &mut self.sink {
            Sink::Csv(writer) => {
                let fields = row.iter().map(|value| match value {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                writer.write_record(fields).map_err(io::Error::from)
            }
            Sink::Jsonl(writer) => {
                let mut object = Map::new();
                object.insert("schema".into(), self.schema.clone().into());
                object.extend(columns.iter().map(|name| (*name).to_owned()).zip(row));
                serde_json::to_writer(&mut *writer, &object)?;
                writer.write_all(b"\n")
            }
        }
    }

    fn finish(mut self) -> io::Result<u64> {
        match &mut self.sink {
            Sink::Csv(writer) => writer.flush()?,
            Sink::Jsonl(writer) => writer.flush()?,
        }
        Ok(self.count)
    }
}

fn micro(amount: Amount) -> Value {
    amount.micro().to_string().into()
}

fn rows_of_block<W: Write>(
    block: &StoredBlock,
    table: Table,
    rows: &mut Rows<W>,
) -> anyhow::Result<()> {
    let header = &block.header;
    let (height, time) = (json!(header.height), json!(header.time));
    let body = Body::decode(&block.body).unwrap_or_default();
    match table {
        Table::Blocks => rows.add(vec![
            height,
            time,
            json!(header.term),
            json!(header.proposer),
            json!(header.hash()),
            json!(header.parent),
            json!(header.block),
            json!(header.state_root),
            json!(header.tx_count),
            json!(header.body_bytes),
        ])?,
        Table::Transactions => {
            for (index, (tx, receipt)) in body.txs.iter().zip(&block.receipts).enumerate() {
                rows.add(vec![
                    height.clone(),
                    json!(index),
                    time.clone(),
                    json!(receipt.id),
                    json!(tx.body.sender),
                    json!(tx.body.nonce),
                    micro(tx.body.fee),
                    json!(tx.body.expires_at),
                    json!(tx.body.ops.len()),
                    serde_json::to_string(&tx.body.ops)?.into(),
                    json!(tx.signature),
                ])?;
            }
        }
        Table::Receipts => {
            for (index, (tx, receipt)) in body.txs.iter().zip(&block.receipts).enumerate() {
                let (status, op, refusal) = match &receipt.status {
                    TxStatus::Applied => ("applied", None, None),
                    TxStatus::Failed { op, refusal } => ("failed", Some(*op), Some(refusal)),
                    TxStatus::Skipped { refusal } => ("skipped", None, Some(refusal)),
                };
                rows.add(vec![
                    height.clone(),
                    json!(index),
                    time.clone(),
                    json!(receipt.id),
                    json!(tx.body.sender),
                    json!(status),
                    json!(op),
                    json!(refusal.map(|refusal| &refusal.code)),
                    json!(refusal.map(|refusal| &refusal.message)),
                    micro(receipt.fee),
                    json!(receipt.events.len()),
                ])?;
            }
        }
        Table::Events => {
            let of_txs =
                block.receipts.iter().flat_map(|r| r.events.iter().map(move |e| (Some(r.id), e)));
            let own = block.events.iter().map(|event| (None, event));
            for (index, (tx, event)) in of_txs.chain(own).enumerate() {
                let value = serde_json::to_value(event)?;
                rows.add(vec![
                    height.clone(),
                    json!(index),
                    time.clone(),
                    json!(tx),
                    kind_of(&value).into(),
                    value.to_string().into(),
                ])?;
            }
        }
        Table::Accounts | Table::Orders | Table::Deals | Table::Supply => {}
    }
    Ok(())
}

/// The word of a value whose enum is tagged from outside; inside `market` and `money`, that of the event within.
fn kind_of(value: &Value) -> String {
    let Value::Object(fields) = value else {
        return value.as_str().unwrap_or_default().to_owned();
    };
    let Some((name, inner)) = fields.iter().next() else { return String::new() };
    if ["market", "money"].contains(&name.as_str()) { kind_of(inner) } else { name.clone() }
}

fn supply(state: &State) -> Vec<Value> {
    let supply = state.supply();
    let adds_up = gongsuan_ledger::invariants::check(state).is_ok();
    vec![
        json!(state.height()),
        json!(state.time()),
        micro(supply.total),
        micro(supply.free),
        micro(supply.held),
        micro(supply.treasury),
        json!(adds_up),
    ]
}

fn accounts<W: Write>(state: &State, rows: &mut Rows<W>) -> io::Result<()> {
    let mut held: BTreeMap<Address, Amount> = BTreeMap::new();
    for (_, hold) in state.accounts().holds() {
        let sum = held.entry(hold.owner).or_default();
        *sum = sum.checked_add(hold.amount).unwrap_or(*sum);
    }
    for (address, account) in state.accounts().accounts() {
        rows.add(vec![
            json!(state.height()),
            json!(address),
            micro(account.balance),
            micro(held.get(address).copied().unwrap_or_default()),
            json!(account.nonce),
        ])?;
    }
    Ok(())
}

fn orders<W: Write>(state: &State, rows: &mut Rows<W>) -> io::Result<()> {
    for order in state.market().orders() {
        rows.add(vec![
            json!(state.height()),
            json!(order.id),
            json!(order.side()),
            json!(order.owner),
            order.class().to_string().into(),
            json!(order.price()),
            json!(order.open),
            json!(order.state),
            json!(order.arrived),
            json!(order.expires_at()),
            json!(order.deals),
            micro(order.held),
        ])?;
    }
    Ok(())
}

fn deals<W: Write>(state: &State, rows: &mut Rows<W>) -> anyhow::Result<()> {
    for deal in state.market().deals() {
        let (paid, fee) = match &deal.state {
            DealState::Settled { paid, fee, .. } => (micro(*paid), micro(*fee)),
            _ => (Value::Null, Value::Null),
        };
        let terms = &deal.terms;
        rows.add(vec![
            json!(state.height()),
            json!(deal.id),
            json!(deal.ask),
            json!(deal.bid),
            json!(deal.provider),
            json!(deal.renter),
            deal.class.to_string().into(),
            json!(terms.job),
            json!(terms.first),
            json!(terms.count),
            json!(terms.units),
            json!(terms.price),
            micro(deal.escrow),
            micro(deal.deposit),
            micro(deal.audited),
            kind_of(&serde_json::to_value(&deal.state)?).into(),
            json!(deal.due()),
            paid,
            fee,
        ])?;
    }
    Ok(())
}
