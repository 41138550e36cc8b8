//! What must be true after every block.

use gongsuan_types::Amount;

use crate::accounts::Sums;
use crate::state::State;

/// A defect: money was made or lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The sum of all money is not the supply.
    #[error("all money sums to {got}, the supply is {supply}")]
    Supply {
        /// What it must be.
        supply: Amount,
        /// What it is.
        got: Amount,
    },
    /// The sums that are kept with every change are not those of the records.
    #[error("the records sum to {got:?}, kept is {kept:?}")]
    Sums {
        /// What is kept.
        kept: Sums,
        /// What the records sum to; nothing, if that overflows.
        got: Option<Sums>,
    },
    /// The holds are not those that the market expects.
    #[error("holds differ from what the market expects: {0}")]
    Holds(String),
}

/// Checks that every token is in one place, and that what is set aside is exactly what orders and deals need.
///
/// # Errors
/// The first [`Violation`].
pub fn check(state: &State) -> Result<(), Violation> {
    let (kept, got) = (state.accounts().sums(), state.accounts().recount());
    if got != Some(kept) {
        return Err(Violation::Sums { kept, got });
    }
    let supply = state.supply();
    let parts = [supply.free, supply.held, supply.treasury];
    let got = Amount::checked_sum(parts).unwrap_or(Amount::new(u128::MAX));
    if got != supply.total {
        return Err(Violation::Supply { supply: supply.total, got });
    }
    let expected = state.market().expected_holds();
    let there = state.accounts().holds().map(|(id, hold)| (*id, hold.amount)).collect();
    if expected != there {
        let missing = expected.iter().find(|(id, amount)| there.get(id) != Some(amount));
        let extra = there.iter().find(|(id, _)| !expected.contains_key(id));
        return Err(Violation::Holds(format!("expected {missing:?}, unexpected {extra:?}")));
    }
    Ok(())
}
