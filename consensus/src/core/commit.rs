//! Certificates, the lock, and what becomes final: rules 5 to 7.

use gongsuan_types::Hash;

use super::reign::Ballot;
use super::tree::Entry;
use super::{Core, PENDING_MAX, Tip, planted};
use crate::certificate::{CommittedBlock, Qc};
use crate::epoch::Epoch;
use crate::output::{Output, Outputs};
use crate::record::Record;
use crate::vote::VoteKind;

impl Core {
    /// Rule 5: upon a certificate. It proves that its term has begun, so the term is entered. It is kept with its
    /// block, or until the block is here: never dropped for want of the block.
    pub(super) fn learn(&mut self, qc: Qc, out: &mut Outputs) {
        if qc.rank.term > self.term {
            self.enter(qc.rank.term, None, out);
        }
        if qc.rank.height <= self.tip.height {
            let conflict = qc.kind == VoteKind::Commit
                && qc.rank.height == self.tip.height
                && qc.block != self.tip.hash;
            assert!(
                !conflict,
                "two blocks of height {} are final: more than f validators lie",
                self.tip.height
            );
            return;
        }
        if qc.kind == VoteKind::Commit || planted!(self, CommitOnPrepare) {
            self.commits.entry(qc.rank.height).or_insert_with(|| qc.clone());
            if self.commits.len() > PENDING_MAX {
                self.commits.pop_first();
            }
        }
        if let Some(entry) = self.tree.get_mut(&qc.block) {
            // The newest term counts: the last block of an epoch can be certified again.
            let known = entry.certificate.get_or_insert_with(|| qc.clone());
            if known.rank < qc.rank {
                *known = qc.clone();
            }
        }
        if qc.rank > self.high.rank {
            self.pending.insert(qc.rank, qc);
            if self.pending.len() > PENDING_MAX {
                self.pending.pop_first();
            }
        }
    }

    /// Rule 5, second half: a certificate whose block has arrived with all its ancestors may become the highest.
    pub(super) fn adopt(&mut self) -> bool {
        let held = self.pending.values().rev().find(|qc| self.tree.chain(&qc.block).is_some());
        let Some(qc) = held.cloned() else { return false };
        assert!(qc.rank > self.high.rank, "lower certificates are not kept");
        self.pending = self.pending.split_off(&qc.rank);
        self.pending.remove(&qc.rank);
        self.high = qc;
        true
    }

    /// Rule 6: lock and COMMIT, upon the highest PREPARE certificate of my term. The body, all ancestors not
    /// yet in the log, and the lock become durable with one sync; then the vote leaves. Lower certificates are skipped: COMMIT is
    /// cumulative.
    pub(super) fn lock_and_commit(&mut self, out: &mut Outputs) -> bool {
        let qc = &self.high;
        let gone = self.timed_out >= self.term && !planted!(self, CommitAfterTimeout);
        let in_term = self.seat.is_some() && qc.rank.term == self.term && !gone;
        let fresh = qc.rank > self.reign.commit_voted && qc.rank.height > self.tip.height;
        if !in_term || !fresh || qc.rank < self.lock.rank {
            return false;
        }
        let Some(chain) = self.tree.chain(&qc.block) else { return false };
        let qc = qc.clone();
        let above =
            chain.iter().filter_map(|hash| Some((*hash, self.tree.get(hash)?.proposal.clone())));
        let stands_on: Vec<_> = self.unlogged.values().cloned().chain(above).collect();
        for (hash, body) in stands_on {
            if self.bodies.insert(hash, body.clone()).is_none() && !planted!(self, LockWithoutBody)
            {
                self.persist(Record::Body(Box::new(body)), false, out);
            }
        }
        self.reign.commit_voted = qc.rank;
        let mut after = None;
        if qc.rank > self.lock.rank {
            self.lock = qc.clone();
            after = Some(self.persist(Record::Lock(Box::new(qc.clone())), true, out));
        }
        if planted!(self, CommitBeforeLock) {
            after = None;
        }
        self.cast(Ballot { kind: VoteKind::Commit, rank: qc.rank, block: qc.block, after });
        true
    }

    /// Rule 7: upon a COMMIT certificate whose block is here with all its ancestors: they are final, oldest first, each
    /// once. What is final is never taken back.
    pub(super) fn commit(&mut self, out: &mut Outputs) -> bool {
        // While the state is being replaced, and before the epoch's beginning is durable, nothing becomes final.
        if self.snapshots.is_installing() || self.epoch_entry.is_some_and(|seq| seq > self.durable)
        {
            return false;
        }
        let newest = self
            .commits
            .iter()
            .rev()
            .find_map(|(height, qc)| Some((*height, self.tree.chain(&qc.block)?)));
        let Some((height, chain)) = newest else { return false };
        let newest = self.commits[&height].clone();
        let mut certificate = newest.clone();
        let mut blocks = Vec::with_capacity(chain.len());
        for hash in chain.iter().rev() {
            let proposal = self.take_committed(hash).proposal;
            let own = self.commits.get(&proposal.block.header.height);
            if let Some(own) = own {
                assert_eq!(
                    own.block, *hash,
                    "conflicting blocks are final: more than f validators lie"
                );
                certificate = own.clone();
            }
            self.unlogged.insert(proposal.block.header.height, (*hash, proposal.clone()));
            blocks.push(CommittedBlock { proposal, certificate: certificate.clone() });
        }
        if !planted!(self, CommitOutOfOrder) {
            blocks.reverse();
        }
        let heights = self.tip.height.next().0..;
        if let Some(voted) = &mut self.reign.voted
            && let Some((_, block)) = heights.zip(&chain).find(|(at, _)| *at == voted.height.0)
        {
            voted.is_final = *block == voted.block;
        }
        let last = &self.unlogged[&height].1.block;
        let next = Epoch::after(&self.config.chain_id, last).map(Box::new);
        let time = last.header.time;
        self.tip = Tip { height, hash: newest.block, time, certificate: newest, next };
        #[cfg(feature = "faults")]
        self.deliver_twice(&mut blocks);
        out.push(Output::Commit { blocks });
        self.after_commit();
        if planted!(self, EnterEpochEarly) && self.tip.next.is_some() {
            self.enter_epoch(out);
        }
        true
    }

    #[cfg(feature = "faults")]
    fn deliver_twice(&self, blocks: &mut Vec<CommittedBlock>) {
        if planted!(self, CommitTwice)
            && blocks.len() > 1
            && let Some(first) = blocks.first().cloned()
        {
            blocks.insert(0, first);
        }
    }

    fn take_committed(&mut self, hash: &Hash) -> Entry {
        self.tree.remove(hash).expect("a chain is made of known blocks")
    }

    /// What a new tip makes superfluous, and what it says about the term.
    pub(super) fn after_commit(&mut self) {
        let (hash, height) = (self.tip.hash, self.tip.height);
        let rank = self.tip.certificate.rank;
        self.tree.set_root(hash, height);
        self.tallies.prune(self.term, height);
        self.commits.retain(|at, _| *at > height);
        self.wants.retain(|_, want| want.height > height);
        self.reign.votes.retain(|(_, at), _| *at > height);
        self.reign.ballots.retain(|ballot| ballot.rank.height > height);
        self.reign.prepared.retain(|at, _| *at >= height);
        if self.high.rank < rank {
            self.high = self.tip.certificate.clone();
        }
        let high = self.high.rank;
        self.pending.retain(|at, _| *at > high);
        if rank.term == self.term {
            self.barren = 0;
            self.reign.busy_since = None;
            if !self.starved {
                self.reign.suspecting = false;
                self.reign.suspects.clear();
            }
            if planted!(self, HealAfterTimeout) && self.timed_out == self.term {
                self.timed_out = gongsuan_types::Term(self.term.0 - 1);
            }
        }
    }
}
