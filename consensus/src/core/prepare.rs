//! Blocks coming in, PREPARE, and counting votes: rules 3 and 4.

use gongsuan_types::{Hash, Height};

use super::reign::{Ballot, Voted};
use super::tally::Counted;
use super::tree::{Check, Entry};
use super::{Core, planted};
use crate::block::{Proposal, Rank};
use crate::certificate::Qc;
use crate::evidence::Evidence;
use crate::output::{Output, Outputs};
use crate::record::{Record, Seq};
use crate::vote::{Vote, VoteKind};

impl Core {
    /// Rule 3: upon a block. The certificates inside count by themselves. The block is kept if it can matter: of this
    /// term or the next, not too far ahead, the first of its rank; or if certificates or f + 1 votes vouch for it.
    pub(super) fn on_proposal(&mut self, proposal: Proposal, out: &mut Outputs) {
        let header = &proposal.block.header;
        if let Some(tc) = &header.tc {
            self.on_term_over(tc.clone(), out);
        }
        self.learn(header.justify.clone(), out);
        let hash = proposal.block.hash(&self.config.chain_id);
        let rank = header.rank();
        if rank.height <= self.tip.height || self.tree.contains(&hash) {
            return;
        }
        let twin = self.tree.at(rank).map(|(_, entry)| entry.proposal.block.clone());
        if let Some(first) = &twin {
            let second = proposal.block.clone();
            let evidence = Evidence::DoubleProposal { first: first.clone(), second };
            self.report(header.proposer, rank, evidence, out);
        }
        let near = self.is_near(rank.term) && rank.height <= self.horizon();
        if self.is_vouched_for(rank, &hash) || (near && twin.is_none()) {
            self.keep(hash, proposal, Check::New, out);
        }
    }

    fn is_vouched_for(&self, rank: Rank, hash: &Hash) -> bool {
        let certified = self.pending.get(&rank).is_some_and(|qc| qc.block == *hash)
            || self.commits.get(&rank.height).is_some_and(|qc| qc.block == *hash);
        certified || self.wants.contains_key(hash) || self.has_honest_vote(rank, hash)
    }

    fn has_honest_vote(&self, rank: Rank, hash: &Hash) -> bool {
        let honest = self.set().honest();
        [VoteKind::Prepare, VoteKind::Commit]
            .into_iter()
            .any(|kind| self.tallies.votes_for(rank, kind, hash) >= honest)
    }

    /// Puts a block into the tree, with its certificate if that came first.
    pub(super) fn keep(&mut self, hash: Hash, proposal: Proposal, check: Check, out: &mut Outputs) {
        let rank = proposal.block.header.rank();
        self.wants.remove(&hash);
        self.tree.insert(hash, proposal, check);
        let of_block = |qc: &&Qc| qc.block == hash;
        let committed = self.commits.get(&rank.height).filter(of_block);
        let known = committed.or_else(|| self.pending.values().rev().find(of_block)).cloned();
        if let (Some(qc), Some(entry)) = (known, self.tree.get_mut(&hash)) {
            entry.certificate = Some(qc);
        }
        self.accuse_switchers(rank, &hash, out);
    }

    /// The driver's verdict on a block. A leader whose block does not pass is suspected.
    pub(super) fn on_checked(&mut self, block: &Hash, ok: bool, out: &mut Outputs) {
        let ok = ok || planted!(self, PrepareUnchecked);
        let Some(entry) = self.tree.get_mut(block) else { return };
        if entry.check != Check::Asked {
            return;
        }
        entry.check = if ok { Check::Good } else { Check::Bad };
        if !ok && entry.rank().term == self.term && entry.certificate.is_none() {
            self.suspect(out);
        }
    }

    /// Rules 3 and 4 for the blocks of my term, by rising height: have them checked, then PREPARE.
    pub(super) fn check_and_prepare(&mut self, out: &mut Outputs) -> bool {
        if self.timed_out >= self.term && !planted!(self, PrepareAfterTimeout) {
            return false;
        }
        let mut moved = self.prepare_again(out);
        for hash in self.tree.of_term(self.term) {
            let Some(entry) = self.tree.get(&hash) else { continue };
            match entry.check {
                Check::New if self.is_ready_to_check(entry) => {
                    let proposal = entry.proposal.clone();
                    out.push(Output::Check { block: hash, proposal });
                    if let Some(entry) = self.tree.get_mut(&hash) {
                        entry.check = Check::Asked;
                    }
                    moved = true;
                }
                Check::Good if self.may_prepare(&hash, entry) => {
                    let rank = entry.rank();
                    self.prepare(rank, hash, out);
                    moved = true;
                }
                Check::New | Check::Asked | Check::Good | Check::Bad => {}
            }
        }
        moved
    }

    /// A block is checked once its parent is known to be good, and its time is later than the parent's.
    fn is_ready_to_check(&self, entry: &Entry) -> bool {
        let parent = entry.parent();
        let time = entry.proposal.block.header.time;
        let after_final = planted!(self, ProposeAfterFinal);
        if parent == self.tip.hash {
            return time > self.tip.time && (self.tip.next.is_none() || after_final);
        }
        self.tree.chain(&parent).is_some()
            && self.tree.get(&parent).is_some_and(|parent| {
                let header = &parent.proposal.block.header;
                let good = parent.check == Check::Good || parent.certificate.is_some();
                good && time > header.time && (!header.is_final() || after_final)
            })
    }

    /// Rule 4: whether I may PREPARE a good block of my term, which has not timed out.
    fn may_prepare(&self, hash: &Hash, entry: &Entry) -> bool {
        let header = &entry.proposal.block.header;
        let reign = &self.reign;
        if self.seat.is_none() {
            return false;
        }
        let opens = self.epoch.opens_term(header);
        let forgets =
            planted!(self, IgnoreLease) || planted!(self, IgnoreLeaseForFirstBlock) && opens;
        let floor = reign.floor.filter(|_| !forgets);
        // One block a height, heights rising; after a restart only above what may have been voted for before.
        let last = reign.voted.map(|voted| voted.height);
        let bar = last.max(floor);
        let again = planted!(self, PrepareTwice)
            && reign.prepared.get(&header.height).is_some_and(|other| other < hash);
        let rises = bar.is_none_or(|bar| header.height > bar) || again;
        // The window. A first block may stand one above: its proof bounds it, and nothing else could end the wait.
        let in_window = header.height.0 <= self.tip.height.0.saturating_add(self.config.window)
            || planted!(self, PrepareBeyondWindow);
        // The reign is bounded: a leader that does not hand over gets no votes.
        let end = reign.first.map(|first| first.0.saturating_add(self.config.reign_blocks));
        let reigns = self.set().len() == 1 || end.is_none_or(|end| header.height.0 < end);
        if !rises || !(in_window || opens) || !reigns {
            return false;
        }
        let Some(chain) = self.tree.chain(hash) else { return false };
        if planted!(self, PrepareAnyBranch) {
            return true;
        }
        // (c) A first block, and I prepared nothing in this term, in no life.
        if opens {
            return last.is_none() && floor.is_none();
        }
        // (a) I prepared its parent in this term and life.
        let below = Height(header.height.0 - 1);
        if reign.prepared.get(&below) == Some(&header.parent) {
            return true;
        }
        // (b) Its parent has a certificate of this term, and it leaves nothing that I prepared.
        let continues = match (reign.voted, floor) {
            (Some(voted), _) if voted.height <= self.tip.height => voted.is_final,
            (Some(voted), _) => chain.contains(&voted.block),
            (None, floor) => floor.is_none(),
        };
        if continues {
            return self.is_certified_in_term(&header.parent);
        }
        // (d) The block shows a certificate of this term on its own branch, no lower than anything I may have prepared.
        let why = &header.justify;
        why.rank.term == self.term
            && Some(why.rank.height) >= bar
            && (chain.contains(&why.block) || why.block == self.tip.hash)
    }

    /// Rule 4 (e): the leader says that the term stands on the last block of the epoch. It is voted for again, like a
    /// first block.
    fn prepare_again(&mut self, out: &mut Outputs) -> bool {
        let Some(tc) = &self.reign.reopened else { return false };
        let nothing = self.reign.voted.is_none() && self.reign.floor.is_none();
        let (hash, height) = (tc.high.block, tc.high.rank.height);
        let held = self.tree.chain(&hash).is_some()
            && self.tree.get(&hash).is_some_and(|entry| entry.proposal.block.header.is_final());
        if self.seat.is_none() || !nothing || !held {
            return false;
        }
        self.prepare(Rank { term: self.term, height }, hash, out);
        true
    }

    fn is_certified_in_term(&self, hash: &Hash) -> bool {
        if *hash == self.tip.hash {
            return self.tip.certificate.rank == Rank { term: self.term, height: self.tip.height };
        }
        self.tree
            .get(hash)
            .and_then(|entry| entry.certificate.as_ref())
            .is_some_and(|qc| qc.rank.term == self.term)
    }

    fn prepare(&mut self, rank: Rank, hash: Hash, out: &mut Outputs) {
        let mut after = Some(self.lease(rank.height, out));
        if planted!(self, PrepareBeforeLease) {
            after = None;
        }
        let opens = |entry: &Entry| self.epoch.opens_term(&entry.proposal.block.header);
        if self.tree.get(&hash).is_some_and(opens) {
            self.reign.first = Some(rank.height);
        }
        self.reign.prepared.insert(rank.height, hash);
        let newest = Voted { height: rank.height, block: hash, is_final: false };
        self.reign.voted = Some(newest);
        self.cast(Ballot { kind: VoteKind::Prepare, rank, block: hash, after });
    }

    /// The durable record that lets me PREPARE at this height: one for many heights, and the next one is asked for while
    /// half of the last is left, so that votes seldom wait.
    fn lease(&mut self, height: Height, out: &mut Outputs) -> Seq {
        let span = self.config.lease;
        let ceiling = self.reign.leases.last().map_or(Height(0), |(_, ceiling)| *ceiling);
        if height.0.saturating_add(span / 2) > ceiling.0 {
            let ceiling = Height(height.0.saturating_add(span));
            let lease = Rank { term: self.term, height: ceiling };
            self.lease = Some(lease);
            let seq = self.persist(Record::Lease(lease), true, out);
            self.reign.leases.retain(|(_, ceiling)| *ceiling >= height);
            self.reign.leases.push((seq, ceiling));
        }
        let covers = self.reign.leases.iter().find(|(_, ceiling)| *ceiling >= height);
        covers.expect("the newest lease covers the height").0
    }

    /// Counts a vote. A quorum of equal votes is a certificate; votes for a block that is not here say that it should be
    /// fetched.
    pub(super) fn on_vote(&mut self, vote: &Vote, out: &mut Outputs) {
        let rank = vote.rank;
        let in_range = rank.height > self.tip.height
            && (rank.height <= self.horizon() || planted!(self, UnboundedBuffers));
        if !self.is_near(rank.term) || !in_range {
            return;
        }
        let count = match self.tallies.count(vote) {
            Counted::Nothing => return,
            Counted::Conflict(first) => {
                let evidence = Evidence::DoubleVote { first: *first, second: vote.clone() };
                self.report(vote.seat, rank, evidence, out);
                return;
            }
            Counted::New(count) => count,
        };
        self.remember_vote(vote, out);
        let quorum = self.set().quorum() - usize::from(planted!(self, SmallQuorum));
        if count == quorum {
            let qc = self.tallies.certificate(vote, count);
            self.learn(qc, out);
        }
        let honest = count >= self.set().honest();
        if !self.tree.contains(&vote.block) && (honest || self.tree.at(rank).is_none()) {
            self.want(vote.block, rank.height);
        }
    }
}
