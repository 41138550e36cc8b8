//! Connections that have not yet shown who they are: each costs a thread, so there are few at a time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Connections in their handshake, at most. An honest one takes milliseconds.
const STRANGERS_MAX: usize = 128;
/// Of one address, at most: a whole network on one machine starts at once.
const PER_ADDRESS_MAX: usize = 32;

/// How many are in their handshake, by address.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    by_address: Mutex<BTreeMap<IpAddr, usize>>,
}

/// The place of one of them; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    strangers: Arc<Strangers>,
    address: IpAddr,
}

impl Strangers {
    /// A place, if there is one. Whoever gets none is to be closed: an honest peer comes again within half a second.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Stranger> {
        let address = address.to_canonical();
        let mut all = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = all.get(&address).copied().unwrap_or(0);
        if of_address >= PER_ADDRESS_MAX || all.values().sum::<usize>() >= STRANGERS_MAX {
            return None;
        }
        all.insert(address, of_address + 1);
        drop(all);
        Some(Stranger { strangers: Arc::clone(self), address })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut all = self.strangers.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_have_places_by_address_and_in_all_and_give_them_back() {
        let strangers = Arc::new(Strangers::default());
        let address = |n: usize| IpAddr::from([10, 0, 0, u8::try_from(n).unwrap()]);
        let enter = |n| strangers.enter(address(n));
        let mut first: Vec<Stranger> = (0..PER_ADDRESS_MAX).filter_map(|_| enter(0)).collect();
        assert_eq!(first.len(), PER_ADDRESS_MAX);
        assert!(enter(0).is_none(), "one address has no more places");
        let mapped: IpAddr = "::ffff:10.0.0.0".parse().unwrap();
        assert!(strangers.enter(mapped).is_none(), "nor has it by its other name");
        first.pop();
        first.extend(enter(0));
        assert_eq!(first.len(), PER_ADDRESS_MAX, "a place that was left is free");
        let others = (1..STRANGERS_MAX).flat_map(|n| [enter(n), enter(n)]).flatten();
        let others: Vec<Stranger> = others.collect();
        assert_eq!(first.len() + others.len(), STRANGERS_MAX);
        drop((first, others));
        assert!(strangers.by_address.lock().unwrap().is_empty());
    }
}
