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

/// A value in 16 bits, so that `a >= b` implies `coarse(a) >= coarse(b)`: exact below 2,048, then 11 leading bits and the exponent.
#[inline]
pub(super) fn coarse(value: u32) -> u16 {
    let bits = 32 - value.leading_zeros();
    let shift = bits.saturating_sub(11);
    // At most 21 × 2,048 + 2,047.
    u16::try_from((shift << 10) + (value >> shift)).unwrap_or(u16::MAX)
}

/// As [`coarse`], for values that are distances from the largest one.
#[inline]
pub(super) fn coarse_from<const FROM_TOP: bool>(value: u32) -> u16 {
    if FROM_TOP { u16::MAX - coarse(u32::MAX - value) } else { coarse(value) }
}

/// The steps of the staircase.
pub(super) const STEPS: usize = 10;

/// The step of a number of cores: 1, 2, 4, ... 512 and more. In the mirror: of the distance from needing 2¹⁰.
#[inline]
pub(super) fn step<const FROM_TOP: bool>(cpu: u32) -> usize {
    let level = if FROM_TOP {
        // Needing 0 is the highest step, needing 512 and more the lowest.
        let need = u32::MAX - cpu;
        10u32.saturating_sub(32 - need.leading_zeros())
    } else {
        31 - cpu.max(1).leading_zeros()
    };
    (level as usize).min(STEPS - 1)
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
        let mut values: Vec<u32> = around.chain([u32::MAX, 2_047, 2_048, 2_049, 4_095]).collect();
        values.sort_unstable();
        for pair in values.windows(2) {
            assert!(coarse(pair[0]) <= coarse(pair[1]), "{pair:?}");
            assert!(coarse_from::<true>(pair[0]) <= coarse_from::<true>(pair[1]), "{pair:?}");
            assert!(step::<false>(pair[0]) <= step::<false>(pair[1]), "{pair:?}");
            assert!(step::<true>(pair[0]) <= step::<true>(pair[1]), "{pair:?}");
        }
        assert_eq!((coarse(1_023), coarse(2_047)), (1_023, 2_047), "small values are exact");
    }
}
