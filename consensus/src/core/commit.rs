//! Certificates, the lock, and what becomes final: rules 5 to 7.

use gongsuan_types::Hash;

use super::tree::Entry;
use super::{Core, Own, PENDING_MAX, Tip};
use crate::certificate::{CommittedBlock, Qc};
use crate::message::Message;
use crate::output::{Output, Outputs, To};
use crate::record::Record;
use crate::vote::{Vote, VoteKind};

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
        if qc.kind == VoteKind::Commit {
            self.commits.entry(qc.rank.height).or_insert_with(|| qc.clone());
            if self.commits.len() > PENDING_MAX {
                self.commits.pop_first();
            }
        }
        if let Some(entry) = self.tree.get_mut(&qc.block) {
            entry.certificate.get_or_insert_with(|| qc.clone());
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
        let in_term = qc.rank.term == self.term && self.timed_out < self.term;
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
            if self.bodies.insert(hash, body.clone()).is_none() {
                self.persist(Record::Body(Box::new(body)), false, out);
            }
        }
        self.reign.commit_voted = qc.rank;
        let mut after = None;
        if qc.rank > self.lock.rank {
            self.lock = qc.clone();
            after = Some(self.persist(Record::Lock(Box::new(qc.clone())), true, out));
        }
        let vote =
            Vote::sign(VoteKind::Commit, qc.rank, qc.block, self.config.seat, &self.signer());
        self.cast(vote, after, out);
        true
    }

    /// Sends a vote, keeps it for repetition, and counts it when it is durable.
    pub(super) fn cast(
        &mut self,
        vote: Vote,
        after: Option<crate::record::Seq>,
        out: &mut Outputs,
    ) {
        self.reign.votes.insert((vote.kind, vote.rank.height), (vote.clone(), after));
        self.send(To::All, Message::Vote(vote.clone()), after, out);
        self.count_when_durable(after, Own::Vote(vote), out);
    }

    /// Rule 7: upon a COMMIT certificate whose block is here with all its ancestors: they are final, oldest first, each
    /// once. What is final is never taken back.
    pub(super) fn commit(&mut self, out: &mut Outputs) -> bool {
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
        blocks.reverse();
        let last = blocks.last().expect("a commit above the tip has a block");
        self.tip = Tip {
            height,
            hash: newest.block,
            time: last.proposal.block.header.time,
            certificate: newest,
        };
        out.push(Output::Commit { blocks });
        self.after_commit();
        true
    }

    fn take_committed(&mut self, hash: &Hash) -> Entry {
        self.tree.remove(hash).expect("a chain is made of known blocks")
    }

    /// What a new tip makes superfluous, and what it says about the term.
    fn after_commit(&mut self) {
        let (hash, height) = (self.tip.hash, self.tip.height);
        let rank = self.tip.certificate.rank;
        self.tree.set_root(hash, height);
        self.tallies.prune(self.term, height);
        self.commits.retain(|at, _| *at > height);
        self.wants.retain(|_, want| want.height > height);
        self.reign.votes.retain(|(_, at), _| *at > height);
        if self.high.rank < rank {
            self.high = self.tip.certificate.clone();
        }
        let high = self.high.rank;
        self.pending.retain(|at, _| *at > high);
        if rank.term == self.term {
            self.barren = 0;
            self.reign.busy_since = None;
            self.reign.suspecting = false;
            self.reign.suspects.clear();
        }
    }
}
