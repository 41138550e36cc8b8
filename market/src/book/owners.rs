//! The orders of each owner, oldest first.
//!
//! Kept without any work when an order comes or goes: the table of numbers already says which orders came since the index was used last,
//! so it is brought up to date only when somebody asks. Each number is looked at once for that; orders that went meanwhile are dropped when
//! they are most of the index. So the work is constant for each order, and nobody who never asks pays.

use std::collections::BTreeMap;

use super::Owner;
use super::ids::Ids;

#[derive(Debug, Default)]
pub(super) struct Owners {
    ids: BTreeMap<Owner, Vec<u64>>,
    /// How many numbers are in the lists.
    listed: usize,
    /// The first number that the lists do not know.
    known: u64,
}

/// So many numbers more than orders may be in the lists.
const SLACK: usize = 1_024;

impl Owners {
    /// Lists the orders from the last known number to below `next`. `owner_at`: whose the order at a place is.
    pub(super) fn catch_up(&mut self, ids: &Ids, next: u64, owner_at: impl Fn(u32) -> Owner) {
        for (id, at) in ids.iter_from(self.known) {
            self.ids.entry(owner_at(at)).or_default().push(id);
            self.listed += 1;
        }
        self.known = next;
        if self.listed > 2 * ids.len() + SLACK {
            let is_there = |id: &u64| ids.get(*id) != super::slab::NIL;
            self.ids.retain(|_, list| {
                list.retain(is_there);
                !list.is_empty()
            });
            self.listed = self.ids.values().map(Vec::len).sum();
        }
    }

    /// Takes an owner's list out. Some of its orders may be gone.
    pub(super) fn take(&mut self, owner: Owner) -> Vec<u64> {
        let list = self.ids.remove(&owner).unwrap_or_default();
        self.listed -= list.len();
        list
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn every_order_is_looked_at_once_and_dead_ones_are_forgotten() {
        let (mut ids, mut owners, looked) = (Ids::new(), Owners::default(), Cell::new(0));
        let owner_at = |at: u32| {
            looked.set(looked.get() + 1);
            Owner(at % 3)
        };
        for id in 1..=9_000u32 {
            ids.set(u64::from(id), id);
        }
        owners.catch_up(&ids, 9_001, owner_at);
        assert_eq!((looked.get(), owners.listed), (9_000, 9_000));
        assert_eq!(owners.take(Owner(1))[..3], [1, 4, 7]);
        (1..=8_990).for_each(|id| ids.remove(id));
        ids.set(9_001, 9_001);
        owners.catch_up(&ids, 9_002, owner_at);
        assert_eq!(looked.get(), 9_001, "only the new one");
        // 8,991 to 9,001 are there; every third was taken out above.
        assert_eq!(owners.listed, 8, "{owners:?}");
    }
}
