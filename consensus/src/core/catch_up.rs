//! Helping those behind, and catching up oneself, beside consensus: rules 13 to 15.

use std::cmp::Ordering;

use gongsuan_types::{Hash, Height, Term};

use super::tree::Check;
use super::{Core, planted};
use crate::block::Rank;
use crate::input::Millis;
use crate::message::{BLOCKS_MAX, Blocks, FetchBlock, FetchRange, Message, Status};
use crate::output::{Output, Outputs, To};
use crate::validators::Seat;

/// Single blocks asked for at the same time, at most.
const WANTS_MAX: usize = 64;

/// What is known about a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    /// The greatest height it claimed to have committed. A claim, no more.
    committed: Height,
    /// The epoch it claimed to be in.
    epoch: u64,
    /// When it was last helped.
    helped_at: Option<Millis>,
}

/// Something to fetch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub(super) height: Height,
    pub(super) due: Millis,
    attempts: usize,
}

impl Core {
    fn status(&self) -> Message {
        Message::Status(Status {
            epoch: self.epoch.number(),
            term: self.term,
            committed: self.tip.height,
            high: self.high.rank,
        })
    }

    pub(super) fn send_status(&self, out: &mut Outputs) {
        self.send(To::All, self.status(), None, out);
    }

    pub(super) fn heard_height(&mut self, from: Seat, committed: Height) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.committed = peer.committed.max(committed);
        }
    }

    pub(super) fn on_status(&mut self, from: Seat, status: Status, out: &mut Outputs) {
        self.heard_height(from, status.committed);
        self.observe(from, status);
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.epoch = status.epoch;
        }
        match status.epoch.cmp(&self.epoch.number()) {
            Ordering::Less => self.tell_where_we_are(from, out),
            Ordering::Equal => {
                self.help(from, status.term, status.committed, Some(status.high), out);
            }
            // There is something to fetch.
            Ordering::Greater => {}
        }
    }

    /// Rule 16: whoever is in a later epoch can serve the end of ours, even if none of those we know is there any more.
    pub(super) fn on_strange_status(&mut self, from: Seat, status: Status, out: &mut Outputs) {
        let ahead = status.epoch > self.epoch.number() && status.committed > self.tip.height;
        let (now, pause) = (self.now, self.retry());
        let rested = self.stranger_asked.is_none_or(|at| now.0 >= at.0.saturating_add(pause));
        if ahead && rested && self.tip.next.is_none() {
            self.stranger_asked = Some(now);
            let from_height = self.tip.height.next();
            let message = Message::FetchRange(FetchRange { from_height });
            self.send(To::One(from), message, None, out);
        }
    }

    /// A peer in an earlier epoch cannot check anything of this one but blocks that it asks for.
    fn tell_where_we_are(&mut self, from: Seat, out: &mut Outputs) {
        if self.may_help(from) {
            self.send(To::One(from), self.status(), None, out);
        }
    }

    fn may_help(&mut self, from: Seat) -> bool {
        let (now, pause) = (self.now, self.retry() / 2);
        let Some(peer) = self.peers.get_mut(&from) else { return false };
        if peer.helped_at.is_some_and(|at| now.0 < at.0.saturating_add(pause)) {
            return false;
        }
        peer.helped_at = Some(now);
        true
    }

    /// Rule 13: upon word from a peer that is behind, give it the certificate it lacks. Bounded in time, so that a peer
    /// gets no more by asking more.
    pub(super) fn help(
        &mut self,
        from: Seat,
        term: Term,
        committed: Height,
        high: Option<Rank>,
        out: &mut Outputs,
    ) {
        let behind_in_term = term < self.term;
        let behind_in_log = committed < self.tip.height;
        let behind_in_rank = high.is_some_and(|high| high < self.high.rank);
        if !(behind_in_term || behind_in_log || behind_in_rank) {
            return;
        }
        if !self.may_help(from) {
            return;
        }
        let to = To::One(from);
        if let Some(tc) = self.reign.tc.as_ref().filter(|_| behind_in_term) {
            self.send(to, Message::TermOver(Box::new(tc.clone())), None, out);
        }
        if behind_in_log {
            self.send(to, Message::Certificate(self.tip.certificate.clone()), None, out);
        }
        if behind_in_rank && self.high.rank > self.tip.certificate.rank {
            self.send(to, Message::Certificate(self.high.clone()), None, out);
        }
    }

    /// Rule 14: a block is missing that a certificate, a vote or a child speaks of. It is asked for a little later, since
    /// most often it is on its way.
    pub(super) fn want(&mut self, hash: Hash, height: Height) {
        if height <= self.tip.height || self.wants.len() >= WANTS_MAX {
            return;
        }
        let due = Millis(self.now.0.saturating_add(self.retry() / 4));
        self.wants.entry(hash).or_insert(Want { height, due, attempts: 0 });
    }

    /// Rule 14: upon such a question, answer with the block, or with the proof that it is final.
    pub(super) fn on_fetch_block(&mut self, from: Seat, fetch: FetchBlock, out: &mut Outputs) {
        if let Some(entry) = self.tree.get(&fetch.block) {
            let proposal = Box::new(entry.proposal.clone());
            self.send(To::One(from), Message::Propose(proposal), None, out);
        } else if fetch.height <= self.tip.height {
            let certificate = Message::Certificate(self.tip.certificate.clone());
            self.send(To::One(from), certificate, None, out);
        }
    }

    /// Rule 15: upon a question for a range, the driver answers from its log.
    pub(super) fn on_fetch_range(&mut self, from: Seat, fetch: FetchRange, out: &mut Outputs) {
        let from_height = fetch.from_height.max(Height(1));
        if from_height < self.lowest {
            let above = Height(from_height.0 - 1);
            out.push(Output::ServeSnapshot { to: from, above });
            return;
        }
        let last = from_height.0.saturating_add(BLOCKS_MAX as u64 - 1);
        let to_height = Height(last.min(self.applied.0));
        if from_height <= to_height {
            out.push(Output::ServeBlocks { to: from, from_height, to_height });
        }
    }

    /// Rule 15: upon a range of committed blocks, take those above mine; their certificate commits them.
    pub(super) fn on_blocks(&mut self, blocks: Blocks, out: &mut Outputs) {
        let tip = self.tip.height;
        let mut fresh = blocks
            .proposals
            .into_iter()
            .skip_while(|proposal| proposal.block.header.height <= tip)
            .peekable();
        let Some(first) = fresh.peek() else { return };
        if first.block.header.height > tip.next() {
            return;
        }
        let parent = first.block.header.parent;
        assert_eq!(parent, self.tip.hash, "two chains are final: more than f validators lie");
        for proposal in fresh {
            let hash = proposal.block.hash(&self.config.chain_id);
            self.keep(hash, proposal, Check::Good, out);
        }
        self.range = None;
        self.learn(blocks.certificate, out);
    }

    /// Rules 14 and 15: asks for what is missing, one peer after the other.
    pub(super) fn fetch(&mut self, out: &mut Outputs) {
        for (hash, height) in self.tree.missing_parents() {
            self.want(hash, height);
        }
        let near = self.horizon();
        let pending: Vec<_> = self.pending.values().map(|qc| (qc.block, qc.rank.height)).collect();
        for (hash, height) in pending {
            if !self.tree.contains(&hash) && height <= near {
                self.want(hash, height);
            }
        }
        let pause = self.retry();
        let wants = self.wants.iter().map(|(hash, want)| (*hash, *want));
        let due: Vec<(Hash, Want)> = wants.filter(|(_, want)| want.due <= self.now).collect();
        let never = planted!(self, NeverFetchBlocks);
        for (hash, want) in due.into_iter().filter(|_| !never) {
            let message = Message::FetchBlock(FetchBlock { block: hash, height: want.height });
            if let Some(peer) = self.turn(want.attempts, Height(0)) {
                self.send(To::One(peer), message, None, out);
            }
            let due = Millis(self.now.0.saturating_add(pause));
            let attempts = want.attempts + 1;
            self.wants.insert(hash, Want { due, attempts, ..want });
        }
        self.fetch_range(out);
    }

    fn fetch_range(&mut self, out: &mut Outputs) {
        let tip = self.tip.height;
        let claimed = self.peers.values().map(|peer| peer.committed).max().unwrap_or_default();
        let proved = self.commits.last_key_value().map_or(Height(0), |(height, _)| *height);
        let rumoured = self.pending.values().map(|qc| qc.rank.height).max().unwrap_or_default();
        let next_epoch = self
            .peers
            .values()
            .any(|peer| peer.epoch > self.epoch.number() && peer.committed > tip);
        let far = claimed.max(rumoured).0 > tip.0.saturating_add(self.config.window) || next_epoch;
        if self.snapshots.is_busy() || self.tip.next.is_some() || planted!(self, NeverCatchUp) {
            self.range = None;
            return;
        }
        // Nobody sends a learner what it lacks: it asks, even for one block.
        let behind = proved.max(claimed) > tip;
        if !far && !behind {
            self.range = None;
            return;
        }
        // What is only a little ahead is most often on its way.
        let wait = if far { 0 } else { self.retry() / 4 };
        let due = Millis(self.now.0.saturating_add(wait));
        let want = *self.range.get_or_insert(Want { height: tip.next(), due, attempts: 0 });
        if want.due > self.now {
            return;
        }
        if let Some(peer) = self.turn(want.attempts, tip.next()) {
            let message = Message::FetchRange(FetchRange { from_height: tip.next() });
            self.send(To::One(peer), message, None, out);
        }
        let due = Millis(self.now.0.saturating_add(self.retry()));
        self.range = Some(Want { height: tip.next(), due, attempts: want.attempts + 1 });
    }

    /// Whose turn it is to be asked: first the leader, then the others in seat order; those who claim to have committed
    /// `height`, if anybody does.
    fn turn(&self, attempts: usize, height: Height) -> Option<Seat> {
        let n = self.set().len();
        let start = usize::from(self.leader().0);
        let mut others: Vec<Seat> = self.set().seats().collect();
        others.rotate_left(start % n);
        others.retain(|seat| Some(*seat) != self.seat);
        let ahead: Vec<Seat> =
            others.iter().copied().filter(|seat| self.peers[seat].committed >= height).collect();
        let choice = if ahead.is_empty() { &others } else { &ahead };
        if choice.is_empty() {
            return None;
        }
        choice.get(attempts % choice.len()).copied()
    }
}
