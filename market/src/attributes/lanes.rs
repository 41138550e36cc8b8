//! Attributes as numbers that are compared many at a time.
//!
//! An entry suits a query if every one of its six values is at least the query's, their regions meet, and the query's capabilities are
//! among the entry's. For a resting bid, `x - minimum` stands for the minimum and the complement for the capabilities; then the same
//! comparison says whether an ask suits it.

use gongsuan_types::order::{Machine, Requirements};

/// Cores, memory, disk, graphics processors, duration, reputation.
pub(super) const LANES: usize = 6;
pub(super) const CPU: usize = 0;
pub(super) const MEMORY: usize = 1;
pub(super) const DURATION: usize = 4;
pub(super) const REPUTATION: usize = 5;

/// What the trie keeps of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) values: [u32; LANES],
    pub(super) regions: u64,
    pub(super) capabilities: u64,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query {
    pub(super) values: [u32; LANES],
    pub(super) regions: u64,
    pub(super) capabilities: u64,
}

fn region_bit(machine: &Machine) -> u64 {
    // Regions above 63 are in no set.
    1u64.checked_shl(u32::from(machine.region.0)).unwrap_or(0)
}

fn machine_values(machine: &Machine, reputation: u16) -> [u32; LANES] {
    [
        u32::from(machine.cpu_cores),
        machine.memory_mib,
        machine.disk_mib,
        u32::from(machine.gpu_count),
        machine.duration_s_max,
        u32::from(reputation),
    ]
}

fn needed_values(needs: &Requirements) -> [u32; LANES] {
    [
        u32::from(needs.cpu_cores_min),
        needs.memory_mib_min,
        needs.disk_mib_min,
        u32::from(needs.gpu_count_min),
        needs.duration_s_min,
        u32::from(needs.reputation_min),
    ]
}

impl Entry {
    pub(super) fn of_ask(machine: &Machine, reputation: u16) -> Self {
        Self {
            values: machine_values(machine, reputation),
            regions: region_bit(machine),
            capabilities: machine.capabilities.0,
        }
    }

    pub(super) fn of_bid(needs: &Requirements) -> Self {
        Self {
            values: needed_values(needs).map(|value| u32::MAX - value),
            regions: needs.regions.0,
            capabilities: !needs.capabilities.0,
        }
    }
}

impl Query {
    pub(super) fn of_bid(needs: &Requirements) -> Self {
        Self {
            values: needed_values(needs),
            regions: needs.regions.0,
            capabilities: needs.capabilities.0,
        }
    }

    pub(super) fn of_ask(machine: &Machine, reputation: u16) -> Self {
        Self {
            values: machine_values(machine, reputation).map(|value| u32::MAX - value),
            regions: region_bit(machine),
            capabilities: !machine.capabilities.0,
        }
    }

    #[inline]
    pub(super) fn suits(&self, entry: &Entry) -> bool {
        let mut enough = true;
        for (need, have) in self.values.iter().zip(entry.values) {
            enough &= have >= *need;
        }
        enough && self.masks_suit(entry.regions, entry.capabilities)
    }

    #[inline]
    pub(super) fn masks_suit(&self, regions: u64, capabilities: u64) -> bool {
        self.regions & regions != 0 && self.capabilities & !capabilities == 0
    }
}

/// A value in 8 bits, so that `a >= b` implies `coarse(a) >= coarse(b)`: exact below 16, then the exponent and the three bits after the
/// leading one.
#[inline]
fn coarse(value: u32) -> u8 {
    let bits = 32 - value.leading_zeros();
    let shift = bits.saturating_sub(4);
    // At most 28 × 8 + 15.
    u8::try_from((shift << 3) + (value >> shift)).unwrap_or(u8::MAX)
}

/// An attribute's value in 8 bits; never falls when the value rises. `FROM_TOP`: the value is a distance from the largest one.
#[inline]
pub(super) fn level<const FROM_TOP: bool>(lane: usize, value: u32) -> u8 {
    let plain = if FROM_TOP { u32::MAX - value } else { value };
    let level = if lane == REPUTATION {
        // 0 to 1,000: quarters are finer than the exponent.
        u8::try_from(plain / 4).unwrap_or(u8::MAX)
    } else {
        coarse(plain)
    };
    if FROM_TOP { u8::MAX - level } else { level }
}

/// The step of a number of cores, 0 to 9: 1, 2, 4, ... 512 and more. In the mirror: of the distance from needing 2¹⁰.
#[inline]
pub(super) fn cores_step<const FROM_TOP: bool>(cpu: u32) -> usize {
    let step = if FROM_TOP {
        // Needing 0 is the highest step, needing 512 and more the lowest.
        let need = u32::MAX - cpu;
        10u32.saturating_sub(32 - need.leading_zeros())
    } else {
        31 - cpu.max(1).leading_zeros()
    };
    (step as usize).min(9)
}

/// Finer where owners are well known: there, reputation decides between many.
const TIERS: [u32; 8] = [200, 350, 500, 600, 700, 800, 875, 950];

/// How many tiers a reputation has reached, 0 to 8. In the mirror: how many ask for at least what is needed.
#[inline]
pub(super) fn tier<const FROM_TOP: bool>(reputation: u32) -> usize {
    let plain = if FROM_TOP { u32::MAX - reputation } else { reputation };
    let reached = |tier: &&u32| if FROM_TOP { plain <= **tier } else { plain >= **tier };
    TIERS.iter().filter(reached).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_values_and_steps_never_turn_an_order_round() {
        let around = (0..32).flat_map(|bit| {
            let at = 1u32 << bit;
            [at - 1, at, at + 1, at + at / 3]
        });
        let reputations = [199, 200, 350, 600, 874, 875, 950].into_iter();
        let mut values: Vec<u32> = around.chain(reputations).chain([u32::MAX]).collect();
        let from_top: Vec<u32> = values.iter().map(|value| u32::MAX - value).collect();
        values.extend(from_top);
        values.sort_unstable();
        for pair in values.windows(2) {
            assert!(coarse(pair[0]) <= coarse(pair[1]), "{pair:?}");
            for lane in 0..LANES {
                assert!(level::<false>(lane, pair[0]) <= level::<false>(lane, pair[1]), "{pair:?}");
                assert!(level::<true>(lane, pair[0]) <= level::<true>(lane, pair[1]), "{pair:?}");
            }
            assert!(cores_step::<false>(pair[0]) <= cores_step::<false>(pair[1]), "{pair:?}");
            assert!(cores_step::<true>(pair[0]) <= cores_step::<true>(pair[1]), "{pair:?}");
            assert!(tier::<false>(pair[0]) <= tier::<false>(pair[1]), "{pair:?}");
            assert!(tier::<true>(pair[0]) <= tier::<true>(pair[1]), "{pair:?}");
        }
        assert_eq!((coarse(15), coarse(16), coarse(17), coarse(18)), (15, 16, 16, 17));
        assert_eq!((tier::<false>(1_000), tier::<true>(u32::MAX)), (8, 8));
    }
}
