//! What is below a child of a node, in few bytes: enough to leave out most children without looking at them.
//!
//! Every lane is one byte: a largest value, or a step of a staircase. A staircase says for each step of one attribute the largest value of
//! another one among the orders at or above that step, so that large machines of unknown owners do not stand for small machines of
//! well-known ones. Which pairs earn their place was measured (`docs/benchmarks-market.md`): without the stairs of reputation, bids for large machines
//! of well-known owners visit ten times as many nodes once the cheapest are gone.

use super::lanes::{
    CPU, DURATION, Entry, LANES, MEMORY, Query, REPUTATION, cores_step, level, tier,
};
use super::leaves::Row;

struct Stair {
    /// The attribute whose steps it has.
    by: usize,
    /// The attribute whose largest value stands on each step.
    of: usize,
    /// Its first lane.
    first: usize,
    steps: usize,
}

const STAIRS: [Stair; 4] = [
    Stair { by: CPU, of: MEMORY, first: LANES, steps: 10 },
    Stair { by: CPU, of: DURATION, first: LANES + 10, steps: 8 },
    Stair { by: REPUTATION, of: CPU, first: LANES + 18, steps: 8 },
    Stair { by: REPUTATION, of: DURATION, first: LANES + 26, steps: 8 },
];

const SUMMARY_LANES: usize = LANES + 34;

type Lanes = [u8; SUMMARY_LANES];

/// How many steps of a staircase a value has climbed. Never falls when the value rises.
#[inline]
fn climbed<const FROM_TOP: bool>(stair: &Stair, value: u32) -> usize {
    let steps =
        if stair.by == CPU { cores_step::<FROM_TOP>(value) + 1 } else { tier::<FROM_TOP>(value) };
    steps.min(stair.steps)
}

/// The largest of each value, the stairs, and the unions of regions and capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Summary {
    /// The lane of memory itself is not used: the stairs say more.
    lanes: Lanes,
    regions: u64,
    capabilities: u64,
}

impl Summary {
    pub(super) const NONE: Self = Self { lanes: [0; SUMMARY_LANES], regions: 0, capabilities: 0 };

    #[inline]
    pub(super) fn of<const FROM_TOP: bool>(entry: &Entry) -> Self {
        let values = levels::<FROM_TOP>(&entry.values);
        let mut lanes = [0; SUMMARY_LANES];
        lanes[..LANES].copy_from_slice(&values);
        lanes[MEMORY] = 0;
        for stair in &STAIRS {
            let climbed = climbed::<FROM_TOP>(stair, entry.values[stair.by]);
            let steps = &mut lanes[stair.first..stair.first + stair.steps];
            for (step, lane) in steps.iter_mut().enumerate() {
                *lane = if step < climbed { values[stair.of] } else { 0 };
            }
        }
        Self { lanes, regions: entry.regions, capabilities: entry.capabilities }
    }

    pub(super) fn of_all<const FROM_TOP: bool>(rows: &[Row]) -> Self {
        let mut summary = Self::NONE;
        for row in rows {
            summary.add(&Self::of::<FROM_TOP>(&row.entry));
        }
        summary
    }

    #[inline]
    pub(super) fn add(&mut self, other: &Self) {
        for (mine, other) in self.lanes.iter_mut().zip(other.lanes) {
            *mine = (*mine).max(other);
        }
        self.regions |= other.regions;
        self.capabilities |= other.capabilities;
    }
}

/// What a query needs of a summary.
#[derive(Debug)]
pub(super) struct Needs<'a> {
    query: &'a Query,
    /// What every lane must have at least.
    least: Lanes,
}

impl<'a> Needs<'a> {
    pub(super) fn of<const FROM_TOP: bool>(query: &'a Query) -> Self {
        let values = levels::<FROM_TOP>(&query.values);
        let mut least = [0; SUMMARY_LANES];
        least[..LANES].copy_from_slice(&values);
        least[MEMORY] = 0;
        for stair in &STAIRS {
            let climbed = climbed::<FROM_TOP>(stair, query.values[stair.by]);
            if climbed > 0 {
                least[stair.first + climbed - 1] = values[stair.of];
            }
        }
        Self { query, least }
    }

    /// Whether an entry that suits may be below.
    #[inline]
    pub(super) fn may_be_in(&self, summary: &Summary) -> bool {
        let mut short = 0;
        for (need, have) in self.least.iter().zip(&summary.lanes) {
            short |= need.saturating_sub(*have);
        }
        short == 0 && self.query.masks_suit(summary.regions, summary.capabilities)
    }
}

#[inline]
fn levels<const FROM_TOP: bool>(values: &[u32; LANES]) -> [u8; LANES] {
    std::array::from_fn(|lane| level::<FROM_TOP>(lane, values[lane]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stairs_lie_side_by_side() {
        let mut next = LANES;
        for stair in &STAIRS {
            assert_eq!(stair.first, next);
            next += stair.steps;
        }
        assert_eq!(next, SUMMARY_LANES);
    }

    /// Every pair of an entry and a query out of a grid, in both directions: what suits is never left out.
    #[test]
    fn what_suits_is_never_left_out() {
        let grid = |values: [&[u32]; 3]| -> Vec<[u32; LANES]> {
            let mut all = Vec::new();
            for cpu in values[0] {
                for duration in values[1] {
                    for reputation in values[2] {
                        all.push([*cpu, cpu * 1_000 + 17, 40, 1, *duration, *reputation]);
                    }
                }
            }
            all
        };
        let values =
            grid([&[0, 1, 5, 16, 700], &[0, 59, 3_600, 90_000], &[0, 199, 500, 760, 1_000]]);
        let (mut suit, mut left_out) = (0, 0);
        for have in &values {
            for need in &values {
                let entry = |values| Entry { values, regions: 1, capabilities: 0 };
                let query = |values| Query { values, regions: 1, capabilities: 0 };
                let flipped = |values: &[u32; LANES]| values.map(|value| u32::MAX - value);
                let up = query(*need);
                let found = Needs::of::<false>(&up).may_be_in(&Summary::of::<false>(&entry(*have)));
                assert!(found || !up.suits(&entry(*have)), "{have:?} for {need:?}");
                let down = query(flipped(have));
                let bid = entry(flipped(need));
                let mirrored = Needs::of::<true>(&down).may_be_in(&Summary::of::<true>(&bid));
                assert!(mirrored || !down.suits(&bid), "{have:?} for {need:?}, mirrored");
                suit += usize::from(up.suits(&entry(*have)));
                left_out += usize::from(!found);
            }
        }
        assert!(suit > 500 && left_out > 5_000, "{suit} suit, {left_out} are left out");
    }
}
