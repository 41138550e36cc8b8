//! The cores that are for leases, and who has them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gongsuan_executor::InProcess;
use gongsuan_executor::jobs::Lanes;
use gongsuan_executor::worker::PoolConfig;
use gongsuan_market::{Deal, Kind};
use gongsuan_types::DealId;

/// The cores that an agent leases, and what they run.
#[derive(Debug)]
pub struct Stalls {
    lanes: Lanes,
    cores: u16,
    /// Leases that are served, and how many cores each has.
    served: Mutex<BTreeMap<DealId, u16>>,
}

impl Stalls {
    /// So many cores for leases, on lanes of this kind.
    ///
    /// # Errors
    /// The reason, if nothing can be reserved on such lanes: pilots belong to a cluster's scheduler.
    pub fn new(lanes: Lanes, cores: u16) -> Result<Self, &'static str> {
        match lanes {
            Lanes::Pilots(_) => Err("cores of pilots cannot be reserved for a lease"),
            lanes => Ok(Self { lanes, cores, served: Mutex::default() }),
        }
    }

    /// Cores that are leased out or free.
    #[must_use]
    pub fn cores(&self) -> u16 {
        self.cores
    }

    /// So many lanes for one lease.
    pub(super) fn lanes(&self, cores: u16) -> Lanes {
        let count = usize::from(cores);
        match self.lanes.clone() {
            Lanes::Processes(pool) => Lanes::Processes(PoolConfig { workers: count, ..pool }),
            Lanes::Threads(pool) => Lanes::Threads(InProcess { threads: count, ..pool }),
            other => other,
        }
    }

    fn served(&self) -> MutexGuard<'_, BTreeMap<DealId, u16>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody serves this lease yet; from now on somebody does, on no cores so far.
    pub(super) fn begin(&self, deal: DealId) -> bool {
        let mut served = self.served();
        let is_new = !served.contains_key(&deal);
        if is_new {
            served.insert(deal, 0);
        }
        is_new
    }

    /// Nobody serves this lease any more, and its cores are free.
    pub(super) fn end(&self, deal: DealId) {
        self.served().remove(&deal);
    }

    /// Takes cores for a lease that is being served; `false` if there are not enough.
    pub(super) fn take(&self, deal: DealId, cores: u16) -> bool {
        let mut served = self.served();
        let others = served.iter().filter(|(id, _)| **id != deal).map(|(_, taken)| *taken);
        let free = self.cores.saturating_sub(others.sum());
        if cores > free {
            return false;
        }
        served.insert(deal, cores);
        true
    }
}

/// Cores of one machine that a lease of this deal takes.
#[must_use]
pub fn cores_of(deal: &Deal) -> u16 {
    let Kind::Lease { interval, .. } = deal.terms.kind else { return 0 };
    let cores = deal.terms.lot.0 / (interval.0 / 1_000).max(1);
    u16::try_from(cores).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use gongsuan_executor::EngineKind;

    use super::*;

    fn stalls(cores: u16) -> Stalls {
        let threads = InProcess { engine: EngineKind::Wasmi, threads: 0 };
        Stalls::new(Lanes::Threads(threads), cores).expect("threads can be reserved")
    }

    #[test]
    fn cores_are_leased_once() {
        let stalls = stalls(3);
        assert!(stalls.take(DealId(1), 2));
        assert!(stalls.take(DealId(1), 2), "the same lease, after something went wrong");
        assert!(!stalls.take(DealId(2), 2));
        assert!(stalls.take(DealId(3), 1));
        stalls.end(DealId(1));
        assert!(stalls.take(DealId(2), 2));
        let Lanes::Threads(lanes) = stalls.lanes(2) else { panic!("threads") };
        assert_eq!(lanes.threads, 2, "as many lanes as were ordered");
    }
}
