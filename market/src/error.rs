//! Why a command was refused.

use gongsuan_types::court::CaseId;
use gongsuan_types::{DealId, OrderId, Refusal};

/// Why a command was refused. The market is unchanged.
///
/// ```
/// use gongsuan_market::prelude::*;
/// use gongsuan_types::order::{Ask, Capabilities, Class, Machine, Party, Region};
/// use gongsuan_types::{Address, Hash, Height, Price, TimeMs, Units};
///
/// let machine = Machine {
///     cpu_cores: 8, memory_mib: 16_384, disk_mib: 0, gpu_count: 0, duration_s_max: 3_600,
///     region: Region(3), capabilities: Capabilities::NONE,
/// };
/// let ask = Ask {
///     class: Class::WASM, price: Price(100), units: Units(50), fill_min: Units(1), machine,
///     expires_at: TimeMs(60_000),
/// };
/// let provider = Party { address: Address([7; 32]), attested: Capabilities::NONE };
/// let mut market = Market::new(Rules::default());
/// let refused = market.submit(provider, Command::Cancel(OrderId(9))).unwrap_err();
/// assert_eq!(refused, MarketError::NoOrder(OrderId(9)));
/// # let _ = ask;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarketError {
    /// The order itself does not make sense.
    #[error(transparent)]
    Invalid(#[from] Refusal),
    /// There is no such order.
    #[error("there is no order {0}")]
    NoOrder(OrderId),
    /// There is no such deal.
    #[error("there is no deal {0}")]
    NoDeal(DealId),
    /// There is no such case, or it is closed.
    #[error("there is no open case {0}")]
    NoCase(CaseId),
    /// The sender has no part in it.
    #[error("only the {role} may do this")]
    NotYours {
        /// Whose right it is.
        role: &'static str,
    },
    /// The order is closed.
    #[error("order {0} is closed")]
    Closed(OrderId),
    /// The deal is in another state.
    #[error("deal {deal} is {state}, not {needed}")]
    WrongState {
        /// The deal.
        deal: DealId,
        /// What it is.
        state: &'static str,
        /// What it would have to be.
        needed: &'static str,
    },
    /// Too many open orders.
    #[error("the account has {open} open orders, the limit is {limit}")]
    TooManyOrders {
        /// How many.
        open: u32,
        /// The limit.
        limit: u32,
    },
    /// A number is not what it must be.
    #[error("{field} must be {limit}, got {got}")]
    Mismatch {
        /// Which.
        field: &'static str,
        /// What it must be.
        limit: String,
        /// What it is.
        got: String,
    },
    /// The Merkle path does not lead to the commitment.
    #[error("the receipt is not under the deal's commitment")]
    BadProof,
    /// Sums that do not fit.
    #[error("an amount is too large")]
    Overflow,
}

impl From<MarketError> for Refusal {
    fn from(error: MarketError) -> Self {
        let message = error.to_string();
        match error {
            MarketError::Invalid(refusal) => refusal,
            MarketError::NoOrder(id) => {
                Self::new("no-such-order", "order", "an order", id, message)
            }
            MarketError::NoDeal(id) => Self::new("no-such-deal", "deal", "a deal", id, message),
            MarketError::NoCase(id) => {
                Self::new("no-such-case", "case", "an open case", id, message)
            }
            MarketError::NotYours { role } => {
                Self::new("not-yours", "sender", role, "another account", message)
            }
            MarketError::Closed(id) => Self::new("closed", "order", "an open order", id, message),
            MarketError::WrongState { state, needed, .. } => {
                Self::new("wrong-state", "deal", needed, state, message)
            }
            MarketError::TooManyOrders { open, limit } => {
                Self::new("too-many-orders", "sender", limit, open, message)
            }
            MarketError::Mismatch { field, ref limit, ref got } => {
                Self::new("mismatch", field, limit, got, message)
            }
            MarketError::BadProof => {
                Self::new("bad-proof", "proof", "a path to the commitment", "another path", message)
            }
            MarketError::Overflow => Self::new("overflow", "amount", u128::MAX, "more", message),
        }
    }
}
