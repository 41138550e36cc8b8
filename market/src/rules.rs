//! The market's parameters, part of the chain's genesis.

use gongsuan_types::{DurationMs, Refusal};
use serde::{Deserialize, Serialize};

use crate::{CapacityRules, ReputationRules};

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
    /// From the opening of a case: without a verdict it lapses after this.
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
    /// What a renter loses to the provider if it does not serve the input, in basis points of the deal's price.
    pub bond_basis_points: u32,
    /// What a claim that needs the validators sets aside, in basis points of the price of what the provider has taken.
    pub claim_stake_basis_points: u32,
    /// And at least so much, in micro-tokens: the validators' work.
    pub claim_stake_micro: u64,
    /// Of the stake of a false claim: to whom it delayed. The rest is the treasury's.
    pub false_claim_to_delayed_basis_points: u32,
    /// Of the deposit of a provider that committed a wrong result: to whoever showed it.
    pub fraud_to_challenger_basis_points: u32,
    /// And to the renter. The rest is the treasury's.
    pub fraud_to_renter_basis_points: u32,
    /// Of the deposit of a provider that does not show what it committed: to the renter. The rest is the treasury's.
    pub withheld_to_renter_basis_points: u32,
    /// What the provider is paid for showing a receipt on the chain, in micro-tokens.
    pub receipt_fee_micro: u64,
    /// From a demand: the provider must show the receipt within this.
    pub serve_window: DurationMs,
    /// From a stop: the provider may commit what it has done within this.
    pub stop_window: DurationMs,
    /// From a provider's failure: another one is looked for until then.
    pub rematch_window: DurationMs,
    /// What an auditor must have pledged to be drawn, in micro-tokens.
    pub pledge_min_micro: u64,
    /// From when an auditor wants its pledge back: it gets it after this. Longer than its last audit can be disputed.
    pub pledge_window: DurationMs,
    /// What of its pledge an auditor loses that does not answer in time.
    pub absent_fine_basis_points: u32,
    /// From the draw: auditors seal what they got within this, and show it after; zero: audits are not sealed.
    pub seal_window: DurationMs,
    /// What of the deposit a provider loses that leaves a lease before its end.
    pub leave_fine_basis_points: u32,
    /// What reputation obeys.
    pub reputation: ReputationRules,
    /// What certificates of capacity obey.
    pub capacity: CapacityRules,
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
            bond_basis_points: 500,
            claim_stake_basis_points: 1_000,
            claim_stake_micro: 10_000,
            false_claim_to_delayed_basis_points: 7_000,
            fraud_to_challenger_basis_points: 5_000,
            fraud_to_renter_basis_points: 2_000,
            withheld_to_renter_basis_points: 7_000,
            receipt_fee_micro: 1_000,
            serve_window: DurationMs(60_000),
            stop_window: DurationMs(30_000),
            rematch_window: DurationMs(600_000),
            pledge_min_micro: 0,
            pledge_window: DurationMs(86_400_000),
            absent_fine_basis_points: 500,
            seal_window: DurationMs(0),
            leave_fine_basis_points: 500,
            reputation: ReputationRules::default(),
            capacity: CapacityRules::default(),
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
            ("leave_fine_basis_points", self.leave_fine_basis_points),
            ("bond_basis_points", self.bond_basis_points),
            ("false_claim_to_delayed_basis_points", self.false_claim_to_delayed_basis_points),
            (
                "fraud_to_challenger_basis_points + fraud_to_renter_basis_points",
                self.fraud_to_challenger_basis_points
                    .saturating_add(self.fraud_to_renter_basis_points),
            ),
            ("withheld_to_renter_basis_points", self.withheld_to_renter_basis_points),
            ("absent_fine_basis_points", self.absent_fine_basis_points),
        ];
        for (field, got) in shares {
            if got > 10_000 {
                let message = "a share is above the whole";
                return Err(Refusal::new("out-of-range", field, 10_000, got, message));
            }
        }
        if self.seal_window.0 > self.audit_window.0 / 2 {
            let (limit, got) = (self.audit_window.0 / 2, self.seal_window.0);
            let message = "auditors need as long to show what they sealed as to seal it";
            return Err(Refusal::new("out-of-range", "seal_window", limit, got, message));
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
            ("claim_stake_basis_points", self.claim_stake_basis_points),
        ] {
            if got > 1_000_000 {
                let message = "more than a hundred times the price";
                return Err(Refusal::new("out-of-range", field, 1_000_000, got, message));
            }
        }
        self.reputation.validate().map_err(|refusal| refusal.within("reputation"))?;
        self.capacity.validate().map_err(|refusal| refusal.within("capacity"))
    }
}
