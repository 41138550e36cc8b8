//! What the API says, as JSON.

use gongsuan_consensus::{CertifiedHeader, ValidatorSet};
use gongsuan_ledger::{Header, Location, Supply, TxReceipt};
use gongsuan_types::{Address, Amount, Hash, Height, Refusal, Term, TimeMs};
use serde::{Deserialize, Serialize};

/// `/v1/status`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// `gongsuan/status/v1`.
    pub schema: String,
    /// The chain.
    pub chain_id: Hash,
    /// The validator's name.
    pub name: String,
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

/// What became of a transaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
        /// Where.
        #[serde(flatten)]
        location: Location,
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
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
}

/// `/v1/headers/latest`: the newest state that is certified.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CertifiedState {
    /// The ledger's header.
    pub header: Header,
    /// The later block that names it, with its commit certificate.
    pub certified: CertifiedHeader,
    /// Who signs.
    pub validators: ValidatorSet,
}

/// `/v1/supply`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SupplyView {
    /// Where the money is.
    #[serde(flatten)]
    pub supply: Supply,
    /// Whether the parts sum to the whole.
    pub equal: bool,
}

/// The form of every error.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorBody(pub Refusal);
