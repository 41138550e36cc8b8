//! From the decision to vote to the signed vote: what waits for the disk, and what is signed together.

use super::reign::Ballot;
use super::{Core, planted};
use crate::message::Message;
use crate::output::{Outputs, To};
use crate::record::Seq;
use crate::vote::{JoinedVote, Vote, VoteKind};

impl Core {
    /// Decides on a vote. It is signed, sent and counted once its record is durable. A PREPARE also waits for a COMMIT
    /// whose record is on its way to the disk, so that one signature serves both.
    pub(super) fn cast(&mut self, mut ballot: Ballot) {
        if self.config.join_votes && ballot.kind == VoteKind::Prepare {
            let commits = self.reign.ballots.iter().filter(|it| it.kind == VoteKind::Commit);
            let waiting = commits.filter_map(|it| self.waits_for(it)).min();
            ballot.after = ballot.after.max(waiting);
        }
        self.reign.ballots.push(ballot);
    }

    fn waits_for(&self, ballot: &Ballot) -> Option<Seq> {
        self.gate(ballot.after).filter(|seq| *seq > self.durable)
    }

    /// Signs and sends the votes that wait for nothing any more. Whether there were any.
    pub(super) fn sign_ballots(&mut self, out: &mut Outputs) -> bool {
        if self.reign.ballots.is_empty() {
            return false;
        }
        let (waiting, ready): (Vec<_>, Vec<_>) = std::mem::take(&mut self.reign.ballots)
            .into_iter()
            .partition(|ballot| self.waits_for(ballot).is_some());
        self.reign.ballots = waiting;
        let moved = !ready.is_empty();
        let (mut prepares, mut commits): (Vec<_>, Vec<_>) =
            ready.into_iter().partition(|ballot| ballot.kind == VoteKind::Prepare);
        if self.config.join_votes {
            while !prepares.is_empty()
                && let Some(commit) = commits.pop()
            {
                let prepare = prepares.remove(0);
                self.sign_joined(prepare, commit, out);
            }
        }
        for ballot in prepares.into_iter().chain(commits) {
            self.sign_one(ballot, out);
        }
        moved
    }

    fn sign_joined(&mut self, prepare: Ballot, commit: Ballot, out: &mut Outputs) {
        let Some(seat) = self.seat else { return };
        let halves = ((prepare.rank, prepare.block), (commit.rank, commit.block));
        let joined = JoinedVote::sign(halves.0, halves.1, seat, &self.signer());
        let votes = joined.split(&self.config.chain_id);
        self.send(To::All, Message::Votes(Box::new(joined)), None, out);
        for vote in votes {
            self.count_own(&vote, out);
        }
    }

    fn sign_one(&mut self, ballot: Ballot, out: &mut Outputs) {
        let Some(seat) = self.seat else { return };
        let vote = Vote::sign(ballot.kind, ballot.rank, ballot.block, seat, &self.signer());
        self.send(To::All, Message::Vote(vote.clone()), None, out);
        if planted!(self, VoteForBothKinds) && ballot.kind == VoteKind::Prepare {
            let kind = VoteKind::Commit;
            let early = Vote::sign(kind, ballot.rank, ballot.block, seat, &self.signer());
            self.send(To::All, Message::Vote(early), None, out);
        }
        self.count_own(&vote, out);
    }

    fn count_own(&mut self, vote: &Vote, out: &mut Outputs) {
        self.reign.votes.insert((vote.kind, vote.rank.height), vote.clone());
        self.on_vote(vote, out);
    }
}
