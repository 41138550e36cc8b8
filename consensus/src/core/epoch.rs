//! From one epoch to the next: what is kept, and what was bound to the old validators.

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_types::Term;

use super::accuse::Memory;
use super::catch_up::Peer;
use super::reign::Reign;
use super::tree::Tree;
use super::{Core, Tip};
use crate::epoch::Epoch;
use crate::output::{Output, Outputs};
use crate::record::Record;

impl Core {
    /// Rule 16: the epoch's last block is final and in the log: the next epoch begins, durably before anything of it
    /// leaves or becomes final.
    pub(super) fn enter_epoch(&mut self, out: &mut Outputs) {
        let Some(epoch) = self.tip.next.take() else { return };
        self.adopt_epoch(*epoch, out);
    }

    /// Starts over at the base of an epoch. Only what is known of peers is kept, by key.
    pub(super) fn adopt_epoch(&mut self, epoch: Epoch, out: &mut Outputs) {
        assert!(epoch.number() > self.epoch.number(), "epochs only rise");
        let old = std::mem::replace(&mut self.epoch, epoch);
        let known = |key| old.validators().seat_of(key).and_then(|seat| self.peers.get(&seat));
        let peers: BTreeMap<_, Peer> = self
            .set()
            .seats()
            .zip(self.set().keys())
            .map(|(seat, key)| (seat, known(key).copied().unwrap_or_default()))
            .collect();
        self.peers = peers;
        self.seat = self.set().seat_of(&self.config.key.public_key());
        if let Some(observer) = &mut self.observer {
            observer.on_epoch();
            self.seat = None;
        }
        let entry = self.persist(Record::Epoch(Box::new(self.epoch.clone())), true, out);
        self.epoch_entry = Some(entry);
        self.term = self.epoch.first_term();
        self.timed_out = Term(0);
        self.lease = None;
        self.lock = self.epoch.certificate();
        self.high = self.lock.clone();
        self.bodies.clear();
        self.unlogged.clear();
        self.unsaved.clear();
        self.tip = Tip::base(&self.epoch);
        self.applied = self.applied.max(self.tip.height);
        self.tree = Tree::new(self.tip.hash, self.tip.height);
        self.pending.clear();
        self.commits.clear();
        self.tallies.clear();
        self.timeouts.clear();
        self.wants.clear();
        self.range = None;
        self.memory = Memory::default();
        self.reported = BTreeSet::new();
        self.reign = Reign::new(self.now, Some(entry), None);
        self.barren = 1;
        self.ask = self.work;
        out.push(Output::EnterEpoch { epoch: Box::new(self.epoch.clone()), seat: self.seat });
        out.push(Output::EnterTerm { term: self.term, leader: self.leader() });
        // Those who still are in the old epoch learn from this that there is something to fetch.
        self.send_status(out);
    }
}
