//! Leased time: cores by the second, metered by heartbeat.
//!
//! A lease is sold in *intervals*: so many cores for so long. An interval is paid when its heartbeat comes, and nothing else has to be proved or
//! judged; who is not served, or not paid, goes, and has lost one interval at most. What a heartbeat has to carry is the renter's choice:
//!
//! | [`Witness`] | a heartbeat carries | so it shows |
//! |---|---|---|
//! | `renter` | the renter's token for the interval, which is hashed to the token before | the renter was there and had what it pays for |
//! | `chain` | [`answer`] to what the chain asked with the last heartbeat | the provider's agent was there, at that time |

use serde::{Deserialize, Serialize};

use crate::job::{ATTEMPTS_MAX, JobOrder, WINDOW_MAX};
use crate::order::within;
use crate::{Address, DealId, DurationMs, Hash, Hasher, Refusal, Units};

/// Intervals of one lease, at most.
pub const INTERVALS_MAX: u32 = 100_000;
/// An interval, at most: an hour. What either side can lose is one interval.
pub const INTERVAL_MAX: DurationMs = DurationMs(3_600_000);
/// A heartbeat may come so late, at least: longer than a change of leaders.
pub const GRACE_MIN: DurationMs = DurationMs(1_000);
/// Tokens that one heartbeat may go forward: each is a hash for every node.
pub const TOKENS_MAX: u32 = 256;

/// Who says that the machine was there.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Witness {
    /// The renter, by a token for each interval, handed over when it begins. The first one is hashed to this.
    Renter(Hash),
    /// The chain, by a question for each interval that nobody knew before the one before ended.
    Chain,
}

/// A lease as ordered.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaseOrder {
    /// The content address of what is to be set up there: the two sides understand it, the chain does not.
    pub setup: Hash,
    /// Cores.
    pub cores: u16,
    /// What is paid at one time: whole seconds.
    pub interval: DurationMs,
    /// How long after an interval its heartbeat may come.
    pub grace: DurationMs,
    /// From the match: the provider must begin within this.
    pub ack_within: DurationMs,
    /// The provider's deposit in basis points of the lease's price.
    pub deposit_basis_points: u32,
    /// Providers that the lease may go through, one after another.
    pub attempts_max: u8,
    /// Who says that the machine was there.
    pub witness: Witness,
}

impl LeaseOrder {
    /// Units of one interval: core-seconds.
    #[must_use]
    pub const fn lot(&self) -> Units {
        Units(self.cores as u64 * (self.interval.0 / 1_000))
    }

    /// How long a lease of so many units is.
    #[must_use]
    pub fn duration(&self, units: Units) -> DurationMs {
        DurationMs((units.0 / self.lot().0.max(1)).saturating_mul(self.interval.0))
    }

    /// Whether the order makes sense for a bid of `units` in lots of `lot`.
    ///
    /// # Errors
    /// A [`Refusal`] that names the first field at fault.
    pub fn validate(&self, units: Units, lot: Units) -> Result<(), Refusal> {
        within("cores", u64::from(self.cores), 1, u64::from(u16::MAX))?;
        within("interval", self.interval.0, 1_000, INTERVAL_MAX.0)?;
        if !self.interval.0.is_multiple_of(1_000) {
            let message = "an interval is paid by the second";
            return Err(Refusal::new(
                "not-a-multiple",
                "interval",
                "whole seconds",
                self.interval,
                message,
            ));
        }
        within("grace", self.grace.0, GRACE_MIN.0, INTERVAL_MAX.0)?;
        within("ack_within", self.ack_within.0, 1, WINDOW_MAX.0)?;
        within("deposit_basis_points", u64::from(self.deposit_basis_points), 0, 1_000_000)?;
        within("attempts_max", u64::from(self.attempts_max), 1, u64::from(ATTEMPTS_MAX))?;
        if lot != self.lot() {
            let message = "the lot must be the core-seconds of one interval";
            return Err(Refusal::new("wrong-lot", "lot", self.lot(), lot, message));
        }
        within("units/lot", units.0 / lot.0, 1, u64::from(INTERVALS_MAX))
    }

    /// Whether `token` is the one for the interval `count` after the one whose token was `last`.
    #[must_use]
    pub fn is_token(token: &Hash, count: u32, last: &Hash) -> bool {
        if count == 0 || count > TOKENS_MAX {
            return false;
        }
        let mut at = *token;
        for _ in 0..count {
            at = JobOrder::hash_secret(&at);
        }
        at == *last
    }
}

/// What a heartbeat carries where the chain is the witness: nobody can make it before the block that the chain named, and nobody else can use it.
#[must_use]
pub fn answer(question: Hash, deal: DealId, interval: u32, provider: Address) -> Hash {
    let mut hasher = Hasher::new("gongsuan/lease/answer/v1");
    hasher.update(&question.0).update(&deal.0.to_le_bytes());
    hasher.update(&interval.to_le_bytes()).update(&provider.0);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> LeaseOrder {
        LeaseOrder {
            setup: Hash::ZERO,
            cores: 4,
            interval: DurationMs(10_000),
            grace: DurationMs(5_000),
            ack_within: DurationMs(60_000),
            deposit_basis_points: 1_000,
            attempts_max: 1,
            witness: Witness::Chain,
        }
    }

    #[test]
    fn every_bound_is_named_when_crossed() {
        let (units, lot) = (Units(400), Units(40));
        assert_eq!(order().validate(units, lot), Ok(()));
        assert_eq!(order().duration(units), DurationMs(100_000));
        let field = |change: fn(&mut LeaseOrder)| {
            let mut order = order();
            change(&mut order);
            order.validate(units, lot).unwrap_err().field
        };
        assert_eq!(field(|o| o.cores = 0), "cores");
        assert_eq!(field(|o| o.interval = DurationMs(1_500)), "interval");
        assert_eq!(field(|o| o.interval = DurationMs(3_601_000)), "interval");
        assert_eq!(field(|o| o.grace = DurationMs(999)), "grace");
        assert_eq!(field(|o| o.attempts_max = 0), "attempts_max");
        assert_eq!(field(|o| o.cores = 5), "lot");
        let long = Units(40 * (u64::from(INTERVALS_MAX) + 1));
        assert_eq!(order().validate(long, lot).unwrap_err().field, "units/lot");
    }

    #[test]
    fn a_token_counts_once_for_its_own_interval() {
        let chain: Vec<Hash> =
            std::iter::successors(Some(Hash([9; 32])), |t| Some(JobOrder::hash_secret(t)))
                .take(5)
                .collect();
        let last = chain[4];
        assert!(LeaseOrder::is_token(&chain[3], 1, &last));
        assert!(LeaseOrder::is_token(&chain[0], 4, &last));
        assert!(!LeaseOrder::is_token(&chain[2], 1, &last));
        assert!(!LeaseOrder::is_token(&last, 0, &last));
        assert_ne!(
            answer(Hash::ZERO, DealId(1), 1, Address([1; 32])),
            answer(Hash::ZERO, DealId(1), 2, Address([1; 32]))
        );
    }
}
