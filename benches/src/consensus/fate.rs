//! What became of every transaction, so that none is ordered twice.

use std::collections::BTreeMap;

use super::tx::Name;

/// How far a transaction has come at one replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Fate {
    /// Not known.
    #[default]
    Unknown,
    /// In the queue of this replica.
    Queued,
    /// In a block that is not final.
    Proposed,
    /// In a final block.
    Final,
}

/// The fates of all transactions, by client and sequence number.
#[derive(Debug, Default)]
pub(super) struct Fates(BTreeMap<u32, Vec<Fate>>);

impl Fates {
    pub(super) fn get(&self, name: Name) -> Fate {
        let index = usize::try_from(name.sequence).unwrap_or(usize::MAX);
        self.0.get(&name.client).and_then(|fates| fates.get(index)).copied().unwrap_or_default()
    }

    /// Sets a fate; returns the one before.
    pub(super) fn set(&mut self, name: Name, fate: Fate) -> Fate {
        let fates = self.0.entry(name.client).or_default();
        let index = usize::try_from(name.sequence).unwrap_or(usize::MAX);
        if index >= fates.len() {
            fates.resize((index + 1).max(fates.len() * 2), Fate::Unknown);
        }
        std::mem::replace(&mut fates[index], fate)
    }

    /// A term has ended: what was in its blocks may be ordered again. `Queued` is forgotten too unless `keep_queued`.
    pub(super) fn forget(&mut self, keep_queued: bool) {
        for fate in self.0.values_mut().flatten() {
            if *fate == Fate::Proposed || (*fate == Fate::Queued && !keep_queued) {
                *fate = Fate::Unknown;
            }
        }
    }
}
