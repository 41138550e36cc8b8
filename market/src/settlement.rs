//! How money follows: instructions that the ledger carries out. Nothing in this crate knows a balance.

use gongsuan_types::{Address, Amount, DealId, OrderId};
use serde::{Deserialize, Serialize};

/// A pot of money set aside.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldId {
    /// Behind a resting order: a bid's price and audit budget, an ask's deposits to come.
    Order(OrderId),
    /// A deal's price and audit budget, the renter's money.
    Escrow(DealId),
    /// A deal's deposit, the provider's money.
    Deposit(DealId),
    /// What somebody set aside for what it says of a deal.
    Stake(DealId),
    /// What an auditor pledged.
    Pledge(Address),
    /// What a provider set aside behind its certificate of capacity.
    Capacity(Address),
}

/// Why money is paid out of a hold.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// To the provider, for accepted work.
    Work,
    /// To an auditor, for re-executing a drawn segment.
    Audit,
    /// To the treasury.
    Fee,
    /// A fine for a deadline missed.
    Late,
    /// A fine for a wrong result, or one that was not shown.
    Fraud,
    /// A stake lost by a false claim.
    FalseClaim,
    /// The renter's bond, for an input that it did not serve.
    NoInput,
    /// To the provider, for showing a receipt on the chain.
    Served,
    /// What an auditor pledged, for an audit that was false or missing.
    FalseAudit,
}

/// One movement of money. Only [`Settlement::Hold`] can fail (not enough free balance); the market returns it from
/// [`crate::Market::submit`] alone, so that the transaction can still be refused. All others are within holds that
/// exist, and a ledger that cannot carry one out has found a defect.
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
/// let outcome = market.submit(provider, Command::PlaceAsk(ask))?;
/// let Settlement::Hold { owner, amount, .. } = outcome.settlements[0] else { panic!("a hold") };
/// assert_eq!((owner, amount), (provider.address, Price(100).cost(Units(50))));
/// # Ok::<(), MarketError>(())
/// ```
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settlement {
    /// From the owner's free balance into a hold, which is opened if it does not exist.
    Hold {
        /// The hold.
        hold: HoldId,
        /// Whose money.
        owner: Address,
        /// How much.
        amount: Amount,
    },
    /// From one hold to another of the same owner, which is opened if it does not exist.
    Move {
        /// Out of this hold.
        source: HoldId,
        /// Into this hold.
        target: HoldId,
        /// How much.
        amount: Amount,
    },
    /// Out of a hold to an account's free balance.
    Post {
        /// The hold.
        hold: HoldId,
        /// Who is paid.
        to: Address,
        /// How much.
        amount: Amount,
        /// For what.
        reason: Reason,
    },
    /// Out of a hold back to its owner's free balance.
    Void {
        /// The hold.
        hold: HoldId,
        /// How much.
        amount: Amount,
    },
    /// Out of a hold to somebody else, as a punishment.
    Slash {
        /// The hold.
        hold: HoldId,
        /// Who receives it.
        to: Address,
        /// How much.
        amount: Amount,
        /// For what.
        reason: Reason,
    },
}
