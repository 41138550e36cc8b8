//! How a chain begins.

use gongsuan_market::Rules;
use gongsuan_types::{Address, Amount, Hash, PublicKey, Refusal, TimeMs, codec};
use serde::{Deserialize, Serialize};

/// Accounts in a genesis, at most.
pub const ACCOUNTS_MAX: usize = 10_000;
/// Validators, at most.
pub const VALIDATORS_MAX: usize = 64;
/// Bounds of [`Params::snapshot_blocks`]: a snapshot is written on the thread that votes, and blocks after the one before it cannot be pruned.
pub const SNAPSHOT_BLOCKS: std::ops::RangeInclusive<u64> = 8..=1 << 20;

/// Who may use the market.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admission {
    /// Those with an attested role.
    Vetted,
    /// Everybody.
    Open,
}

/// The chain's parameters.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Who may use the market.
    pub admission: Admission,
    /// The smallest fee of a transaction.
    pub fee_base: Amount,
    /// And for each operation.
    pub fee_per_op: Amount,
    /// The market's rules.
    pub market: Rules,
    /// Supervisors that must agree to freeze or free an account.
    pub supervisors_needed: u16,
    /// Blocks between two heights whose state every node keeps for those that are far behind.
    #[serde(default = "snapshot_blocks")]
    pub snapshot_blocks: u64,
}

/// Within [`SNAPSHOT_BLOCKS`].
fn snapshot_blocks() -> u64 {
    4_096
}

/// An account that exists from the beginning.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// Its address.
    pub address: Address,
    /// Its balance.
    pub balance: Amount,
}

/// A validator.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// A name for people.
    pub name: String,
    /// The key it votes with.
    pub key: PublicKey,
}

/// Everything that replicas must agree on before the first block. Its hash is the chain's id.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// A name for people.
    pub name: String,
    /// When the chain begins.
    pub time: TimeMs,
    /// The parameters.
    pub params: Params,
    /// Accounts with money.
    pub accounts: Vec<GenesisAccount>,
    /// Who votes, in the order of their indexes.
    pub validators: Vec<Validator>,
    /// Who may attest roles.
    pub issuers: Vec<Address>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            admission: Admission::Vetted,
            fee_base: Amount::new(100),
            fee_per_op: Amount::new(100),
            market: Rules::default(),
            supervisors_needed: 2,
            snapshot_blocks: snapshot_blocks(),
        }
    }
}

impl Genesis {
    /// The chain's id.
    #[must_use]
    pub fn chain_id(&self) -> Hash {
        Hash::of("gongsuan/genesis/v1", &codec::encode(self))
    }

    /// All money there will ever be.
    ///
    /// # Errors
    /// A [`Refusal`] if it overflows.
    pub fn supply(&self) -> Result<Amount, Refusal> {
        Amount::checked_sum(self.accounts.iter().map(|account| account.balance)).ok_or_else(|| {
            let message = "the balances overflow";
            Refusal::new("overflow", "accounts.balance", u128::MAX, "more", message)
        })
    }

    /// Whether a chain can begin like this.
    ///
    /// # Errors
    /// A [`Refusal`] that names the first entry at fault.
    pub fn validate(&self) -> Result<(), Refusal> {
        let count = self.validators.len();
        if count == 0 || count > VALIDATORS_MAX {
            let limit = format!("1..={VALIDATORS_MAX}");
            let message = "too few or too many validators";
            return Err(Refusal::new("out-of-range", "validators", limit, count, message));
        }
        if self.accounts.len() > ACCOUNTS_MAX {
            let (got, message) = (self.accounts.len(), "too many accounts");
            return Err(Refusal::new("out-of-range", "accounts", ACCOUNTS_MAX, got, message));
        }
        for (index, validator) in self.validators.iter().enumerate() {
            let twice = self.validators[..index].iter().any(|other| other.key == validator.key);
            if twice || validator.key.check().is_err() {
                let message = format!("validators[{index}] has a key that is bad or stands twice");
                let limit = "distinct points of the curve";
                return Err(Refusal::new(
                    "bad-key",
                    "validators.key",
                    limit,
                    validator.key,
                    message,
                ));
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        for (index, account) in self.accounts.iter().enumerate() {
            if !seen.insert(account.address) || account.address == Address::TREASURY {
                let message = format!("accounts[{index}] stands twice or is the treasury");
                let got = account.address;
                return Err(Refusal::new(
                    "duplicate",
                    "accounts.address",
                    "distinct",
                    got,
                    message,
                ));
            }
        }
        self.supply()?;
        if self.params.supervisors_needed == 0 {
            let message = "nobody could be told who froze an account";
            let field = "params.supervisors_needed";
            return Err(Refusal::new("out-of-range", field, "at least 1", 0, message));
        }
        let every = self.params.snapshot_blocks;
        if !SNAPSHOT_BLOCKS.contains(&every) {
            let limit = format!("{}..={}", SNAPSHOT_BLOCKS.start(), SNAPSHOT_BLOCKS.end());
            let message = "snapshots would be too frequent or too rare";
            let field = "params.snapshot_blocks";
            return Err(Refusal::new("out-of-range", field, limit, every, message));
        }
        self.params.market.validate().map_err(|refusal| refusal.within("params.market"))
    }
}
