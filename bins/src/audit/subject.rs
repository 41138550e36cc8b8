//! What a proof is about, in the words of people.

use gongsuan_ledger::accounts::{Account, Hold};
use gongsuan_ledger::identity::Attestation;
use gongsuan_ledger::proof::Fact;
use gongsuan_ledger::{Proof, StateKey};
use gongsuan_market::{Deal, HoldId, Order, RecordId};
use gongsuan_types::{Amount, Hash, Height, OrderId, Refusal, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The kinds, with the form of the id.
pub const KINDS: &[(&str, &str)] = &[
    ("account", "an address: its balance and nonce, or that it is not there"),
    ("order", "a number"),
    ("deal", "a number"),
    ("hold", "order:N, escrow:N, deposit:N, stake:N, pledge:ADDRESS or capacity:ADDRESS"),
    ("attestation", "an address and a role, such as gs1...:provider"),
    ("provider", "an address: deals settled and failed, and what they count for"),
    ("auditor", "an address: what it has pledged"),
    ("certificate", "an address: what its machine has shown"),
    ("owner", "an address: whose account it is, if it has shown it"),
    ("freeze", "an address: what supervisors say of it"),
    ("key", "an address: the key to which others encrypt for it"),
    ("supply", "the word `total`"),
    ("market", "the word `registers`: the counters, and the bids that wait for another search"),
    ("tx", "a transaction's id: that it is in a block"),
    ("receipt", "a transaction's id: what became of it, with its events"),
    ("events", "a height: the block's own events"),
    ("block", "a height: that the block is on the chain"),
];

/// What a proof is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A record of the state, or its absence.
    Record(StateKey),
    /// A transaction in a block.
    Transaction(Hash),
    /// What became of a transaction.
    Receipt(Hash),
    /// A block's own events.
    Events(Height),
    /// A block.
    Block(Height),
}

fn parse<T: std::str::FromStr>(form: &str, text: &str) -> Result<T, Refusal>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| {
        let got: String = text.chars().take(100).collect();
        Refusal::new("malformed", "id", form, got, error.to_string())
    })
}

fn halves<'a>(form: &str, text: &'a str) -> Result<(&'a str, &'a str), Refusal> {
    text.split_once(':').ok_or_else(|| {
        let got: String = text.chars().take(100).collect();
        Refusal::new("malformed", "id", form, got, "there is no colon")
    })
}

impl Subject {
    /// From a kind and an id.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field and the form it should have.
    pub fn parse(kind: &str, id: &str) -> Result<Self, Refusal> {
        let form = KINDS.iter().find(|(known, _)| *known == kind).map_or("", |(_, form)| form);
        let market = |id| Self::Record(StateKey::Market(id));
        Ok(match kind {
            "account" => Self::Record(StateKey::Account(parse(form, id)?)),
            "order" => market(RecordId::Order(parse(form, id)?)),
            "deal" => market(RecordId::Deal(parse(form, id)?)),
            "provider" => market(RecordId::Provider(parse(form, id)?)),
            "freeze" => Self::Record(StateKey::Freeze(parse(form, id)?)),
            "key" => Self::Record(StateKey::EncryptionKey(parse(form, id)?)),
            "auditor" => market(RecordId::Auditor(parse(form, id)?)),
            "certificate" => market(RecordId::Certificate(parse(form, id)?)),
            "owner" => market(RecordId::Owner(parse(form, id)?)),
            "hold" => {
                let (of, number) = halves(form, id)?;
                Self::Record(StateKey::Hold(match of {
                    "order" => HoldId::Order(parse(form, number)?),
                    "escrow" => HoldId::Escrow(parse(form, number)?),
                    "deposit" => HoldId::Deposit(parse(form, number)?),
                    "pledge" => HoldId::Pledge(parse(form, number)?),
                    "capacity" => HoldId::Capacity(parse(form, number)?),
                    "stake" => HoldId::Stake(parse(form, number)?),
                    _ => return Err(Refusal::new("malformed", "id", form, of, "no such hold")),
                }))
            }
            "attestation" => {
                let (address, role) = halves(form, id)?;
                Self::Record(StateKey::Attestation(parse(form, address)?, parse(form, role)?))
            }
            "supply" if id == "total" => Self::Record(StateKey::Supply),
            "supply" => return Err(Refusal::new("malformed", "id", form, id, "there is one only")),
            "market" if id == "registers" => Self::Record(StateKey::MarketRegisters),
            "market" => return Err(Refusal::new("malformed", "id", form, id, "there is one only")),
            "tx" => Self::Transaction(parse(form, id)?),
            "receipt" => Self::Receipt(parse(form, id)?),
            "events" => Self::Events(parse(form, id)?),
            "block" => Self::Block(parse(form, id)?),
            _ => {
                let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
                let got: String = kind.chars().take(100).collect();
                let message = "nothing of this kind can be proved";
                return Err(Refusal::new("malformed", "kind", kinds.join(", "), got, message));
            }
        })
    }

    /// What a proof is about.
    #[must_use]
    pub fn of(proof: &Proof) -> Self {
        match &proof.fact {
            Fact::Block => Self::Block(proof.block().height),
            Fact::Record { key, .. } => Self::Record(*key),
            Fact::Transaction { tx, .. } => Self::Transaction(tx.body.id()),
            Fact::Receipt { receipt, .. } => Self::Receipt(receipt.id),
            Fact::Events { .. } => Self::Events(proof.block().height),
        }
    }

    /// The kind and the id, as [`Subject::parse`] takes them.
    #[must_use]
    pub fn name(&self) -> (&'static str, String) {
        match self {
            Self::Record(StateKey::Account(address)) => ("account", address.to_string()),
            Self::Record(StateKey::Attestation(address, role)) => {
                ("attestation", format!("{address}:{role}"))
            }
            Self::Record(StateKey::Freeze(address)) => ("freeze", address.to_string()),
            Self::Record(StateKey::EncryptionKey(address)) => ("key", address.to_string()),
            Self::Record(StateKey::Supply) => ("supply", "total".to_owned()),
            Self::Record(StateKey::MarketRegisters) => ("market", "registers".to_owned()),
            Self::Record(StateKey::Hold(HoldId::Order(id))) => ("hold", format!("order:{id}")),
            Self::Record(StateKey::Hold(HoldId::Escrow(id))) => ("hold", format!("escrow:{id}")),
            Self::Record(StateKey::Hold(HoldId::Deposit(id))) => ("hold", format!("deposit:{id}")),
            Self::Record(StateKey::Hold(HoldId::Pledge(who))) => ("hold", format!("pledge:{who}")),
            Self::Record(StateKey::Hold(HoldId::Capacity(who))) => {
                ("hold", format!("capacity:{who}"))
            }
            Self::Record(StateKey::Hold(HoldId::Stake(id))) => ("hold", format!("stake:{id}")),
            Self::Record(StateKey::Market(RecordId::Order(id))) => ("order", id.to_string()),
            Self::Record(StateKey::Market(RecordId::Deal(id))) => ("deal", id.to_string()),
            Self::Record(StateKey::Market(RecordId::Provider(address))) => {
                ("provider", address.to_string())
            }
            Self::Record(StateKey::Market(RecordId::Auditor(address))) => {
                ("auditor", address.to_string())
            }
            Self::Record(StateKey::Market(RecordId::Certificate(address))) => {
                ("certificate", address.to_string())
            }
            Self::Record(StateKey::Market(RecordId::Owner(address))) => {
                ("owner", address.to_string())
            }
            Self::Transaction(id) => ("tx", id.to_string()),
            Self::Receipt(id) => ("receipt", id.to_string()),
            Self::Events(height) => ("events", height.to_string()),
            Self::Block(height) => ("block", height.to_string()),
        }
    }
}

/// What a proof shows, in JSON: a function of the proof's bytes alone.
#[must_use]
pub fn shown(proof: &Proof) -> Value {
    let block = proof.block();
    let fact = match &proof.fact {
        Fact::Block => json!({ "header": block }),
        Fact::Record { key, value, .. } => {
            json!({ "present": value.is_some(), "record": value.as_deref().map(|v| record(key, v)) })
        }
        Fact::Transaction { tx, path } => json!({ "index": path.index, "transaction": tx }),
        Fact::Receipt { receipt, path } => json!({ "index": path.index, "receipt": receipt }),
        Fact::Events { events, .. } => json!({ "events": events }),
    };
    let mut object =
        json!({ "height": block.height, "time_ms": block.time, "block": block.hash() });
    if let (Value::Object(all), Value::Object(more)) = (&mut object, fact) {
        all.extend(more);
    }
    object
}

fn record(key: &StateKey, bytes: &[u8]) -> Value {
    fn of<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<Value> {
        let record: T = codec::decode("record", usize::MAX, bytes).ok()?;
        serde_json::to_value(record).ok()
    }
    let known = match key {
        StateKey::Account(_) => of::<Account>(bytes),
        StateKey::Hold(_) => of::<Hold>(bytes),
        StateKey::Attestation(..) => of::<Attestation>(bytes),
        StateKey::Market(RecordId::Order(_)) => of::<Order>(bytes),
        StateKey::Market(RecordId::Deal(_)) => of::<Deal>(bytes),
        StateKey::Market(RecordId::Provider(_)) => of::<gongsuan_market::Standing>(bytes),
        StateKey::Market(RecordId::Certificate(_)) => of::<gongsuan_market::Certificate>(bytes),
        StateKey::Market(RecordId::Owner(_)) => of::<Hash>(bytes),
        StateKey::Market(RecordId::Auditor(_)) => of::<gongsuan_market::Pledge>(bytes),
        StateKey::Freeze(_) => of::<gongsuan_ledger::identity::Freeze>(bytes),
        StateKey::EncryptionKey(_) => of::<gongsuan_ledger::identity::PublishedKey>(bytes),
        StateKey::Supply => of::<Amount>(bytes),
        StateKey::MarketRegisters => of::<(u64, u64, u64, Vec<OrderId>)>(bytes).map(|all| {
            json!({ "next_order": all[0], "next_deal": all[1], "next_sequence": all[2], "awake": all[3] })
        }),
    };
    known.unwrap_or_else(|| json!({ "bytes": hex::encode(bytes) }))
}
