//! What a provider's past counts for.
//!
//! A settled deal is worth what the treasury got of it, in *points* of [`ReputationRules::fee_micro`]; the fee is gone for good, so reputation
//! costs at least what it is worth, whoever deals with whom. Four rules keep it from being bought among friends:
//!
//! 1. Deals between accounts of one owner count nothing ([`crate::Market::owner_of`]).
//! 2. Where [`ReputationRules::vetted_only`] is set, deals count that are between two accounts that issuers had vetted when they ordered.
//! 3. One counterpart (by owner) counts at most [`ReputationRules::pair_points_max`] in a window, however much it buys.
//! 4. What was earned halves with every [`ReputationRules::half_life`]; what was failed does as well.
//!
//! A failure weighs five times what success with the same deal would have brought, and at least five points. Reputation is
//! 1,000 × (good + 10) / (good + bad + 20): 500 for a newcomer, whom ten points cannot tell from a stranger.

use gongsuan_types::{Amount, DurationMs, Hash, Refusal, TimeMs};
use serde::{Deserialize, Serialize};

use crate::{Deal, Failure, Market};

/// Counterparts that are kept apart in one window, at most: what further ones buy in it is not counted, so that the record stays small.
const COUNTERPARTS_MAX: usize = 256;
/// What a failure weighs against a success.
const FAILURE_WEIGHT: u64 = 5;
/// Points are kept in thousandths.
const POINT: u64 = 1_000;
/// The good and the bad that everybody begins with, in points.
const PRIOR: u64 = 10;

/// What reputation obeys: a part of [`crate::Rules`].
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReputationRules {
    /// Fees that make one point, in micro-tokens.
    pub fee_micro: u64,
    /// Points that one counterpart brings in one window, at most.
    pub pair_points_max: u32,
    /// How long a window is.
    pub window: DurationMs,
    /// After this the past counts half; zero: for ever.
    pub half_life: DurationMs,
    /// Deals count only between vetted accounts. Without it, reputation is bounded by the fees alone.
    pub vetted_only: bool,
}

impl Default for ReputationRules {
    fn default() -> Self {
        Self {
            fee_micro: 1_000,
            pair_points_max: 10,
            window: DurationMs(86_400_000),
            half_life: DurationMs(90 * 86_400_000),
            vetted_only: true,
        }
    }
}

impl ReputationRules {
    /// Whether the rules make sense.
    ///
    /// # Errors
    /// A [`Refusal`] that names the first field at fault.
    pub fn validate(&self) -> Result<(), Refusal> {
        for (field, got) in [("fee_micro", self.fee_micro), ("window", self.window.0)] {
            if got == 0 {
                let message = "nothing can be divided by it";
                return Err(Refusal::new("out-of-range", field, "at least 1", got, message));
            }
        }
        Ok(())
    }
}

/// What a provider has done, and what it counts for.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Deals settled or completed, whether or not they count.
    pub settled: u32,
    /// Deals that it failed in.
    pub failed: u32,
    /// What it did well, in thousandths of a point, as of `at`.
    pub good: u64,
    /// What it failed in, in thousandths of a point, as of `at`.
    pub bad: u64,
    /// When it changed last.
    pub at: TimeMs,
    /// The window of `counterparts`.
    pub window: u64,
    /// What each counterpart's owner has brought in this window, in thousandths of a point; in rising order.
    pub counterparts: Vec<(Hash, u64)>,
}

impl Standing {
    /// 0 to 1,000; 500 for a newcomer.
    pub(crate) fn reputation(&self, now: TimeMs, rules: &ReputationRules) -> u16 {
        let since = now.since(self.at);
        let prior = u128::from(PRIOR * POINT);
        let good = u128::from(halved(self.good, since, rules.half_life)) + prior;
        let bad = u128::from(halved(self.bad, since, rules.half_life)) + prior;
        u16::try_from(1_000 * good / (good + bad)).unwrap_or(1_000)
    }

    fn forget(&mut self, now: TimeMs, rules: &ReputationRules) {
        let since = now.since(self.at);
        self.good = halved(self.good, since, rules.half_life);
        self.bad = halved(self.bad, since, rules.half_life);
        self.at = now;
        let window = now.0 / rules.window.0.max(1);
        if window != self.window {
            self.window = window;
            self.counterparts.clear();
        }
    }

    /// Counts what a counterpart has brought, up to what it may bring in this window.
    fn earn(&mut self, counterpart: Hash, points: u64, rules: &ReputationRules) {
        let most = u64::from(rules.pair_points_max) * POINT;
        let at = match self.counterparts.binary_search_by_key(&counterpart, |(owner, _)| *owner) {
            Ok(at) => at,
            Err(_) if self.counterparts.len() >= COUNTERPARTS_MAX => return,
            Err(at) => {
                self.counterparts.insert(at, (counterpart, 0));
                at
            }
        };
        let (_, before) = &mut self.counterparts[at];
        let gained = points.min(most.saturating_sub(*before));
        *before += gained;
        self.good = self.good.saturating_add(gained);
    }
}

/// What is left of a number: half of it after each half-life, on a straight line between two of them.
fn halved(number: u64, since: DurationMs, half_life: DurationMs) -> u64 {
    if half_life.0 == 0 {
        return number;
    }
    let Ok(halvings) = u32::try_from(since.0 / half_life.0) else { return 0 };
    let start = number.checked_shr(halvings).unwrap_or(0);
    let gone =
        u128::from(start) * u128::from(since.0 % half_life.0) / (2 * u128::from(half_life.0));
    start.saturating_sub(u64::try_from(gone).unwrap_or(u64::MAX))
}

impl Market {
    fn points(&self, fees: Amount) -> u64 {
        let per_point = u128::from(self.rules.reputation.fee_micro.max(1));
        let points = fees.micro().saturating_mul(u128::from(POINT)) / per_point;
        u64::try_from(points).unwrap_or(u64::MAX)
    }

    fn change_standing(&mut self, deal: &Deal, change: impl FnOnce(&mut Standing, &Self)) {
        let mut standing = self.standing(&deal.provider);
        standing.forget(self.now.time, &self.rules.reputation);
        change(&mut standing, self);
        self.table.put_standing(deal.provider, standing);
    }

    /// The provider of a deal has done what was agreed.
    pub(crate) fn credit(&mut self, deal: &Deal) {
        if deal.is_probe() {
            return;
        }
        let counterpart = self.owner_of(&deal.renter);
        let is_of_two = counterpart != self.owner_of(&deal.provider);
        let counts = is_of_two && (deal.vetted || !self.rules.reputation.vetted_only);
        self.change_standing(deal, |standing, market| {
            standing.settled = standing.settled.saturating_add(1);
            if counts {
                let points = market.points(deal.fees);
                standing.earn(counterpart, points, &market.rules.reputation);
            }
        });
    }

    /// The provider of a deal is out. It counts where the fault is the provider's.
    pub(crate) fn debit(&mut self, deal: &Deal, why: Failure) {
        let is_fault = match why {
            Failure::NoAck
            | Failure::Late
            | Failure::Fraud
            | Failure::Withheld
            | Failure::Silent
            | Failure::Left => true,
            Failure::Disputed | Failure::Refused | Failure::Unwitnessed => false,
        };
        if deal.is_probe() || !is_fault {
            return;
        }
        self.change_standing(deal, |standing, market| {
            standing.failed = standing.failed.saturating_add(1);
            let price = deal.terms.price.cost(deal.terms.units);
            let fees = price.basis_points(market.rules.fee_basis_points).unwrap_or_default();
            let most = u64::from(market.rules.reputation.pair_points_max).max(1) * POINT;
            let lost = market.points(fees).clamp(POINT, most).saturating_mul(FAILURE_WEIGHT);
            standing.bad = standing.bad.saturating_add(lost);
        });
    }

    /// What a provider has done.
    #[must_use]
    pub fn standing(&self, provider: &gongsuan_types::Address) -> Standing {
        self.table.providers.get(provider).cloned().unwrap_or_default()
    }

    /// A provider's reputation now, 0 to 1,000; 500 for a newcomer.
    #[must_use]
    pub fn reputation(&self, provider: &gongsuan_types::Address) -> u16 {
        let standing = self.table.providers.get(provider);
        standing.map_or(500, |standing| standing.reputation(self.now.time, &self.rules.reputation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> ReputationRules {
        ReputationRules::default()
    }

    #[test]
    fn a_half_life_halves_and_never_rises_in_between() {
        let life = DurationMs(1_000);
        let at = |ms| halved(1_024, DurationMs(ms), life);
        assert_eq!([at(0), at(500), at(1_000), at(2_000), at(64_000)], [1_024, 768, 512, 256, 0]);
        assert!((0..5_000).all(|ms| at(ms) >= at(ms + 1)));
        assert_eq!(halved(7, DurationMs(u64::MAX), DurationMs(0)), 7);
    }

    #[test]
    fn one_counterpart_brings_no_more_than_its_share_until_the_next_window() {
        let mut standing = Standing::default();
        let (friend, other) = (Hash([1; 32]), Hash([2; 32]));
        for _ in 0..10 {
            standing.earn(friend, 3 * POINT, &rules());
        }
        assert_eq!(standing.good, 10 * POINT);
        standing.earn(other, 4 * POINT, &rules());
        assert_eq!(standing.good, 14 * POINT);
        let tomorrow = TimeMs(rules().window.0);
        standing.forget(tomorrow, &ReputationRules { half_life: DurationMs(0), ..rules() });
        standing.earn(friend, 3 * POINT, &rules());
        assert_eq!(standing.good, 17 * POINT);
    }
}
