//! A lease as its renter wants it.

use gongsuan_types::lease::{LeaseOrder, Witness};
use gongsuan_types::order::{Bid, Capabilities, FillRule, Requirements, SelfMatch, Work};
use gongsuan_types::{DurationMs, Hash, Price, SecretKey, TimeMs, Units};

use super::{CLASS, Tokens};
use crate::node::letters::LETTERS_MAX;

/// Intervals of a lease whose renter is the witness, at most: each takes a letter, and tasks need some as well.
pub const TOKEN_LETTERS_MAX: u32 = 512;
const _: () = assert!(TOKEN_LETTERS_MAX as usize <= LETTERS_MAX / 2);

/// What a renter decides.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Cores, of one machine.
    pub cores: u16,
    /// Intervals, one after another.
    pub intervals: u32,
    /// What is paid at one time: whole seconds.
    pub interval: DurationMs,
    /// How late a heartbeat may come.
    pub grace: DurationMs,
    /// Micro-tokens per core-second, at most.
    pub price_max: Price,
    /// Memory in MiB, for all tasks that run at one time.
    pub memory_mib: u32,
    /// What else the machine must be.
    pub requirements: Requirements,
    /// Providers, one after another, at most.
    pub attempts_max: u8,
    /// Whether the renter is the witness, or the chain.
    pub by_renter: bool,
    /// The order expires after this.
    pub match_within: DurationMs,
}

impl Plan {
    /// The bid. `setup` is a number that no other lease of the account has.
    #[must_use]
    pub fn to_bid(&self, now: TimeMs, key: &SecretKey, setup: Hash) -> Bid {
        let witness = match self.by_renter {
            true => Witness::Renter(Tokens::new(key, setup, self.intervals).end()),
            false => Witness::Chain,
        };
        let order = LeaseOrder {
            setup,
            cores: self.cores,
            interval: self.interval,
            grace: self.grace,
            ack_within: DurationMs(20_000),
            deposit_basis_points: 1_000,
            attempts_max: self.attempts_max,
            witness,
        };
        let lot = order.lot();
        let units = Units(lot.0.saturating_mul(u64::from(self.intervals)));
        let seconds = order.duration(units).0 / 1_000;
        let requirements = Requirements {
            cpu_cores_min: self.cores,
            memory_mib_min: self.memory_mib,
            duration_s_min: u32::try_from(seconds).unwrap_or(u32::MAX),
            // Tasks and answers are sealed to the parties.
            capabilities: self.requirements.capabilities.union(Capabilities::PRIVATE),
            ..self.requirements
        };
        Bid {
            class: CLASS,
            price_max: self.price_max,
            units,
            lot,
            fill_min: units,
            deals_max: 1,
            requirements,
            fill_rule: FillRule::Rest,
            self_match: SelfMatch::Skip,
            expires_at: now.plus(self.match_within),
            work: Work::Lease(Box::new(order)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_becomes_a_bid_that_the_chain_takes() {
        let plan = Plan {
            cores: 2,
            intervals: 3,
            interval: DurationMs(10_000),
            grace: DurationMs(5_000),
            price_max: Price(7),
            memory_mib: 64,
            requirements: Requirements::ANY,
            attempts_max: 1,
            by_renter: true,
            match_within: DurationMs(1_000),
        };
        let key = SecretKey::from_seed(b"renter");
        let bid = plan.to_bid(TimeMs(5), &key, Hash::ZERO);
        assert_eq!(bid.validate(TimeMs(5)), Ok(()));
        assert_eq!((bid.units, bid.lot), (Units(60), Units(20)));
        assert_eq!(bid.requirements.duration_s_min, 30);
        assert!(bid.is_private(), "nobody is matched to whom tasks cannot be sealed");
    }
}
