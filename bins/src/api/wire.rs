//! What the API says, as JSON. The description at `/openapi.json` is derived from these types and from those of the engines.

use gongsuan_consensus::{CertifiedHeader, ValidatorSet};
use gongsuan_ledger::genesis::Validator;
use gongsuan_ledger::identity::PublishedKey;
use gongsuan_ledger::{Event, Header, SignedTransaction, Supply, TxReceipt};
use gongsuan_market::{Anomaly, Deal, Oddness, Order};
use gongsuan_types::receipt::Receipt;
use gongsuan_types::{Address, Amount, DealId, Hash, Height, PublicKey, Refusal, Term, TimeMs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::node::Trade;

/// `/v1/status`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// `gongsuan/status/v1`.
    pub schema: String,
    /// The chain.
    pub chain_id: Hash,
    /// The node's name.
    pub name: String,
    /// Its seat among the validators; none, if it follows without a vote.
    #[serde(default)]
    pub seat: Option<u16>,
    /// Blocks applied.
    pub height: Height,
    /// The term.
    pub term: Term,
    /// Who leads it.
    pub leader: String,
    /// Over all records after the last block.
    pub state_root: Hash,
    /// The newest height whose state is certified.
    pub certified: Height,
    /// Time of the last block.
    pub time: TimeMs,
    /// Transactions waiting.
    pub pool: u64,
    /// Validators whose links are up.
    pub peers: Vec<String>,
}

/// A transaction as JSON: the canonical bytes of the signed transaction in hexadecimal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HexTransaction {
    /// At most 64 KiB, two digits a byte.
    #[schema(pattern = "^([0-9a-fA-F]{2})*$")]
    pub hex: String,
}

/// Bytes as they are.
#[derive(Clone, PartialEq, Eq, Debug, ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct Octets(pub Vec<u8>);

/// What became of a transaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "status")]
pub enum TxState {
    /// It waits.
    Pending {
        /// Its id.
        id: Hash,
    },
    /// It is in a block.
    Committed {
        /// Its id.
        id: Hash,
        /// In which block.
        height: Height,
        /// Where in the block, from 0.
        index: u32,
        /// How it ended.
        receipt: Box<TxReceipt>,
    },
    /// Nobody knows it.
    Unknown {
        /// Its id.
        id: Hash,
    },
}

/// `/v1/accounts/{address}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    /// The address.
    pub address: Address,
    /// Free money.
    pub balance: Amount,
    /// Money set aside.
    pub held: Amount,
    /// Transactions made.
    pub nonce: u64,
    /// The nonce for the next one, those waiting counted.
    pub nonce_next: u64,
    /// Roles it has now.
    pub roles: Vec<String>,
    /// As a provider, 0 to 1,000.
    pub reputation: u16,
    /// What it has set aside as an auditor.
    pub pledge: Amount,
    /// What others encrypt to, if it has published a key.
    pub encryption_key: Option<PublishedKey>,
}

/// `/v1/headers/latest`: the newest state that is certified.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CertifiedState {
    /// The ledger's header.
    pub header: Header,
    /// The later block of consensus that names it, with its commit certificate. To be checked by the library, not by its fields.
    #[schema(value_type = Object)]
    pub certified: CertifiedHeader,
    /// Who signs.
    #[schema(value_type = Object)]
    pub validators: ValidatorSet,
}

/// `/v1/supply`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SupplyView {
    /// Where the money is.
    #[serde(flatten)]
    pub supply: Supply,
    /// Whether the parts sum to the whole.
    pub equal: bool,
}

/// A block in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BlockRow {
    /// Its position.
    pub height: Height,
    /// Its header's hash.
    pub hash: Hash,
    /// Its time.
    pub time: TimeMs,
    /// The term in which it was proposed.
    pub term: Term,
    /// Who proposed it.
    pub proposer: PublicKey,
    /// Transactions in it.
    pub tx_count: u32,
    /// Bytes of its transactions.
    pub body_bytes: u32,
    /// Over all records after it.
    pub state_root: Hash,
}

/// `/v1/blocks`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Blocks {
    /// The newest first.
    pub blocks: Vec<BlockRow>,
}

/// `/v1/blocks/{height}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BlockView {
    /// The header.
    pub header: Header,
    /// The header's hash.
    pub hash: Hash,
    /// The transactions, in order.
    pub transactions: Vec<SignedTransaction>,
    /// What became of them.
    pub receipts: Vec<TxReceipt>,
    /// What the block did by itself.
    pub events: Vec<Event>,
    /// The block's canonical bytes in hexadecimal.
    pub bytes: String,
}

/// `/v1/orders`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Orders {
    /// The newest first.
    pub orders: Vec<Order>,
    /// How many there are in all, whatever the page.
    pub total: u64,
}

/// `/v1/deals`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Deals {
    /// The newest first.
    pub deals: Vec<Deal>,
    /// How many there are in all, whatever the page.
    pub total: u64,
}

/// `/v1/anomalies`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Anomalies {
    /// What is odd, sorted by kind.
    pub anomalies: Vec<Anomaly>,
    /// From when on something is.
    pub oddness: Oddness,
    /// How many deals were looked at, the newest ones.
    pub deals: u64,
}

/// `/v1/classes`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Classes {
    /// Names such as `giga-fuel/wasm`.
    pub classes: Vec<String>,
}

/// `/v1/trades/{unit}/{arch}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TradesView {
    /// The newest first.
    pub trades: Vec<Trade>,
}

/// A role that somebody holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct IdentityRow {
    /// Who.
    pub address: Address,
    /// Which.
    pub role: String,
    /// Who attested it.
    pub issuer: Address,
    /// It holds before this block time.
    pub expires_at: TimeMs,
}

/// `/v1/identities` and `/v1/identities/{address}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Identities {
    /// By address and role.
    pub identities: Vec<IdentityRow>,
}

/// A vetted provider.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProviderRow {
    /// Who.
    pub address: Address,
    /// Its attestation holds before this block time.
    pub vetted_until: TimeMs,
    /// 0 to 1,000.
    pub reputation: u16,
}

/// `/v1/providers`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Providers {
    /// By address.
    pub providers: Vec<ProviderRow>,
}

/// `/v1/validators`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ValidatorsView {
    /// In the order of their seats.
    pub validators: Vec<Validator>,
}

/// `/v1/deals/{id}/receipts`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DealReceipts {
    /// The deal.
    pub deal: DealId,
    /// What its provider committed, by segment.
    pub receipts: Vec<Receipt>,
}

/// A transaction of a history; none where the block itself did something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct HistoryRow {
    /// In which block.
    pub height: Height,
    /// Where in the block.
    pub index: u32,
    /// The transaction.
    pub tx: Option<Hash>,
}

/// `/v1/{kind}/{id}/history`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct HistoryView {
    /// The newest first.
    pub rows: Vec<HistoryRow>,
    /// What to give as `before` for the next page; nothing on the last one.
    pub next: Option<String>,
}

/// An event of a trail.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TrailRow {
    /// In which block.
    pub height: Height,
    /// Block time in milliseconds.
    pub time_ms: TimeMs,
    /// In which transaction; none where the block itself did it.
    pub tx: Option<Hash>,
    /// What: an [`Event`].
    #[schema(value_type = Object)]
    pub event: Value,
}

/// `/v1/deals/{id}/trail`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TrailView {
    /// The deal.
    pub deal: DealId,
    /// The oldest first.
    pub events: Vec<TrailRow>,
    /// Whether all are here.
    pub whole: bool,
}

/// `/v1/deals/{id}/letters`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Letters {
    /// The deal.
    pub deal: DealId,
    /// Content addresses of the letters.
    pub letters: Vec<Hash>,
}

/// The answer to a stored blob.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BlobStored {
    /// Its content address.
    pub hash: Hash,
}

/// The answer to a stored piece of a blob.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PieceStored {
    /// Its content address.
    pub piece: Hash,
}

/// The request to join pieces to a blob.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// Content addresses of all pieces, in order.
    pub pieces: Vec<Hash>,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Joined {
    /// Pieces that are not here; none, once the blob is stored.
    pub missing: Vec<Hash>,
}

/// An event with its place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventRow {
    /// In which block.
    pub height: Height,
    /// In which transaction; none where the block itself did it.
    pub tx: Option<Hash>,
    /// What.
    pub event: Event,
}

/// The data of one message of `/v1/events`. Its id is `height:index` of the last event in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BlockEvents {
    /// The block.
    pub height: Height,
    /// Its events, in order.
    pub events: Vec<EventRow>,
}

/// The form of every error: a refusal with code, field, limit, got, and a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody(pub Refusal);
