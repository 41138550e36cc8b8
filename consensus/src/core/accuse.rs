//! Evidence against those who sign what an honest validator never would.

use std::collections::BTreeMap;

use gongsuan_types::{Hash, Height, Term};

use super::{Core, planted};
use crate::block::Rank;
use crate::certificate::{Tc, TimeoutShare};
use crate::evidence::{Evidence, forgets, switches};
use crate::output::Outputs;
use crate::validators::Seat;
use crate::vote::{Timeout, Vote, VoteKind};

/// What each validator has signed that later words of its may contradict. Two entries a seat.
#[derive(Debug, Default)]
pub(super) struct Memory {
    commits: BTreeMap<Seat, Vote>,
    timeouts: BTreeMap<Seat, (Term, TimeoutShare)>,
}

impl Core {
    /// Upon a COMMIT vote: is there a timeout that denies it?
    pub(super) fn remember_commit(&mut self, vote: &Vote, out: &mut Outputs) {
        if let Some((term, timeout)) = self.memory.timeouts.get(&vote.seat).cloned() {
            self.accuse_of_amnesia(vote.clone(), term, timeout, out);
        }
        let newest = self.memory.commits.get(&vote.seat).is_none_or(|old| old.rank < vote.rank);
        if newest {
            self.memory.commits.insert(vote.seat, vote.clone());
        }
    }

    pub(super) fn remember_timeout(&mut self, timeout: &Timeout, out: &mut Outputs) {
        let (seat, high) = (timeout.seat, timeout.high.rank);
        let share = TimeoutShare { seat, high, signature: timeout.signature };
        self.remember_share(timeout.term, share, out);
    }

    pub(super) fn remember_term_over(&mut self, tc: &Tc, out: &mut Outputs) {
        for share in &tc.shares {
            self.remember_share(tc.term, share.clone(), out);
        }
    }

    fn remember_share(&mut self, term: Term, share: TimeoutShare, out: &mut Outputs) {
        let seat = share.seat;
        if let Some(commit) = self.memory.commits.get(&seat).cloned() {
            self.accuse_of_amnesia(commit, term, share.clone(), out);
        }
        if self.memory.timeouts.get(&seat).is_none_or(|(known, _)| *known < term) {
            self.memory.timeouts.insert(seat, (term, share));
        }
    }

    fn accuse_of_amnesia(
        &mut self,
        commit: Vote,
        term: Term,
        timeout: TimeoutShare,
        out: &mut Outputs,
    ) {
        if forgets(commit.rank, term, timeout.high) {
            let (seat, rank) = (commit.seat, commit.rank);
            self.report(seat, rank, Evidence::Amnesia { commit, term, timeout }, out);
        }
    }

    /// Upon a PREPARE, or a block that PREPAREs were cast for: did one of the voters leave another branch for it without
    /// a reason? There is nothing to find as long as the tree is a chain.
    pub(super) fn accuse_switchers(&mut self, rank: Rank, block: &Hash, out: &mut Outputs) {
        if !self.tree.is_forked() {
            return;
        }
        for vote in self.tallies.prepares_for(rank, block) {
            let others: Vec<Vote> =
                self.tallies.prepares_of(vote.seat, rank.term).into_iter().cloned().collect();
            for other in others {
                let (lower, upper) = if other.rank < vote.rank {
                    (other, vote.clone())
                } else {
                    (vote.clone(), other)
                };
                self.accuse_of_switching(lower, upper, out);
            }
        }
    }

    fn accuse_of_switching(&mut self, lower: Vote, upper: Vote, out: &mut Outputs) {
        if lower.rank.height >= upper.rank.height {
            return;
        }
        let mut path = Vec::new();
        let (mut at, mut height) = (upper.block, upper.rank.height);
        while height > lower.rank.height {
            let Some(entry) = self.tree.get(&at) else { return };
            path.push((at, entry.proposal.block.header.clone()));
            at = entry.parent();
            height = Height(height.0 - 1);
        }
        let hashed: Vec<_> = path.iter().map(|(hash, header)| (*hash, header)).collect();
        if switches(&lower, &upper, &hashed) || planted!(self, AccuseAnyBranch) && at != lower.block
        {
            let (seat, rank) = (upper.seat, upper.rank);
            let path = path.into_iter().map(|(_, header)| header).collect();
            self.report(seat, rank, Evidence::BranchSwitch { lower, upper, path }, out);
        }
    }

    pub(super) fn remember_vote(&mut self, vote: &Vote, out: &mut Outputs) {
        match vote.kind {
            VoteKind::Commit => self.remember_commit(vote, out),
            VoteKind::Prepare => self.accuse_switchers(vote.rank, &vote.block, out),
        }
    }
}
