//! The market's parameters, part of the chain's genesis.

use gongsuan_types::{DurationMs, Refusal};
use serde::{Deserialize, Serialize};

/// What every deal on this chain obeys.
///
/// ```
/// use gongsuan_market::prelude::*;
/// let rules = Rules { fee_basis_points: 20_000, ..Rules::default() };
/// assert!(rules.validate().is_err(), "a share is above the whole");
/// ```
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// What an ask holds when it is placed, in basis points of price × units: the largest deposit that a bid may demand.
    pub ask_deposit_basis_points: u32,
    /// What an auditor is paid, in basis points of the segment's price.
    pub audit_price_basis_points: u32,
    /// What the treasury takes of what a provider earns.
    pub fee_basis_points: u32,
    /// What of the deposit a provider loses that does not acknowledge in time.
    pub no_ack_fine_basis_points: u32,
    /// What of the deposit a provider loses that does not commit in time.
    pub late_fine_basis_points: u32,
    /// From the commitment: nothing is paid before this is over.
    pub challenge_window: DurationMs,
    /// From the commitment: the renter may reveal its secret within this.
    pub reveal_window: DurationMs,
    /// From the draw: auditors answer within this.
    pub audit_window: DurationMs,
    /// From a dispute: it ends after this.
    pub dispute_window: DurationMs,
    /// Open orders of one account, at most.
    pub orders_per_account_max: u32,
    /// Nodes of the index of asks that one bid may visit in one block; the rest is deferred to the next. Below 64 it counts as 64.
    pub visits_max: u32,
    /// Nodes that one search may visit for nothing. Ordinary searches visit fewer; see `docs/benchmarks-market.md`.
    pub visits_free: u32,
    /// What a bid pays to the treasury for every further node, in micro-tokens.
    pub visit_price_micro: u64,
    /// What a bid holds for that when it is placed, in micro-tokens, beside its price and audits. Returned like them. A bid that cannot
    /// pay for its search is cancelled.
    pub search_budget_micro: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            ask_deposit_basis_points: 10_000,
            audit_price_basis_points: 12_500,
            fee_basis_points: 200,
            no_ack_fine_basis_points: 500,
            late_fine_basis_points: 1_000,
            challenge_window: DurationMs(30_000),
            reveal_window: DurationMs(20_000),
            audit_window: DurationMs(120_000),
            dispute_window: DurationMs(300_000),
            orders_per_account_max: 200,
            visits_max: 4_096,
            visits_free: 512,
            visit_price_micro: 1,
            search_budget_micro: 50_000,
        }
    }
}

impl Rules {
    /// Whether the rules make sense.
    ///
    /// # Errors
    /// A [`Refusal`] that names the first field at fault.
    pub fn validate(&self) -> Result<(), Refusal> {
        let shares = [
            ("fee_basis_points", self.fee_basis_points),
            ("no_ack_fine_basis_points", self.no_ack_fine_basis_points),
            ("late_fine_basis_points", self.late_fine_basis_points),
        ];
        for (field, got) in shares {
            if got > 10_000 {
                let message = "a share is above the whole";
                return Err(Refusal::new("out-of-range", field, 10_000, got, message));
            }
        }
        let counts = [
            ("orders_per_account_max", self.orders_per_account_max),
            ("visits_max", self.visits_max),
        ];
        for (field, got) in counts {
            if got == 0 {
                return Err(Refusal::new(
                    "out-of-range",
                    field,
                    "at least 1",
                    got,
                    "must not be 0",
                ));
            }
        }
        for (field, got) in [
            ("ask_deposit_basis_points", self.ask_deposit_basis_points),
            ("audit_price_basis_points", self.audit_price_basis_points),
        ] {
            if got > 1_000_000 {
                let message = "more than a hundred times the price";
                return Err(Refusal::new("out-of-range", field, 1_000_000, got, message));
            }
        }
        Ok(())
    }
}
