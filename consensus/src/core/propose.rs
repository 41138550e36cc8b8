//! The leader's part: rule 2.

use gongsuan_types::{Hash, Height, Term, TimeMs};

use super::tree::{Check, Entry};
use super::{Core, planted};
use crate::block::{Block, Header, Proposal};
use crate::certificate::{Qc, Tc};
use crate::input::Draft;
use crate::message::Message;
use crate::output::{Output, Outputs, To, WantPayload};
use crate::validators::Seat;

/// Where the leader's next block goes.
struct Place {
    parent: Hash,
    height: Height,
    parent_time: TimeMs,
    ancestors: Vec<Hash>,
    is_first: bool,
}

impl Core {
    pub(super) fn on_work(&mut self, pending: bool) {
        self.work = pending;
        self.ask = pending;
    }

    /// Rule 2: while I lead and the window has room, ask for payloads. The first block of the term stands on the highest
    /// certificate of the proof that the last term is over, each further one on my last. Nobody waits for certificates.
    /// A term that was entered before a restart is not proposed in.
    pub(super) fn propose(&mut self, out: &mut Outputs) -> bool {
        let resumed = self.reign.resumed && !planted!(self, ProposeAfterRestart);
        if !self.leads() || self.timed_out >= self.term || resumed {
            return false;
        }
        if self.reopen(out) || self.close(out) {
            return true;
        }
        if self.reign.asked.is_some() || self.reign.closing {
            return false;
        }
        let Some(place) = self.next_place() else { return false };
        let required = place.is_first && !place.ancestors.is_empty();
        let rested =
            self.reign.refused_at.is_none_or(|at| self.now.0 >= at.0.saturating_add(self.retry()));
        let due = self.ask || (required && rested);
        if !due {
            return false;
        }
        self.reign.asked = Some(place.height);
        let ancestors = place.ancestors.iter().filter_map(|hash| self.tree.get(hash));
        out.push(Output::WantPayload(WantPayload {
            term: self.term,
            height: place.height,
            parent: place.parent,
            parent_time: place.parent_time,
            ancestors: ancestors.map(|entry| entry.proposal.clone()).collect(),
            required,
        }));
        true
    }

    fn begins_epoch(&self) -> bool {
        self.term == self.epoch.first_term() && self.tip.height == self.epoch.base_height()
    }

    /// Rule 2, the exception: what the term stands on is the last block of the epoch. Nothing may follow it, so all are
    /// asked to vote for it again, in this term.
    fn reopen(&mut self, out: &mut Outputs) -> bool {
        if self.reign.reopened.is_some() || self.reign.proposed.is_some() {
            return false;
        }
        let Some(tc) = &self.reign.tc else { return false };
        let ends = |entry: &Entry| entry.proposal.block.header.is_final();
        if !self.tree.get(&tc.high.block).is_some_and(ends) || planted!(self, ProposeAfterFinal) {
            return false;
        }
        let tc = tc.clone();
        self.reign.reopened = Some(tc.clone());
        self.send(To::All, Message::Reopen(Box::new(tc)), None, out);
        true
    }

    pub(super) fn on_reopen(&mut self, from: Seat, tc: Tc, out: &mut Outputs) {
        self.on_term_over(tc.clone(), out);
        if tc.term.next() == self.term && from == self.leader() {
            self.reign.reopened.get_or_insert(tc);
        }
    }

    /// The next block's place, if there is room and its parent is held with all ancestors.
    fn next_place(&self) -> Option<Place> {
        let (parent, is_first) = match (self.reign.proposed, &self.reign.tc) {
            (Some(own), _) => (own, false),
            (None, Some(tc)) => (tc.high.block, true),
            (None, None) if self.begins_epoch() => (self.tip.hash, true),
            (None, None) if planted!(self, ProposeAfterRestart) => (self.high.block, false),
            (None, None) => return None,
        };
        let ancestors = self.tree.chain(&parent)?;
        let (above, parent_time, ends) = match self.tree.get(&parent) {
            Some(entry) => {
                let header = &entry.proposal.block.header;
                (header.height, header.time, header.is_final())
            }
            None => (self.tip.height, self.tip.time, self.tip.next.is_some()),
        };
        // Nothing follows the last block of an epoch.
        if ends && !planted!(self, ProposeAfterFinal) {
            return None;
        }
        let height = above.next();
        let in_window = height.0 <= self.tip.height.0.saturating_add(self.config.window);
        (in_window || is_first).then_some(Place {
            parent,
            height,
            parent_time,
            ancestors,
            is_first,
        })
    }

    /// Rule 2, second half: upon a payload. An answer to an earlier question is ignored.
    pub(super) fn on_payload(
        &mut self,
        term: Term,
        height: Height,
        draft: Option<Draft>,
        out: &mut Outputs,
    ) {
        if term != self.term || self.reign.asked != Some(height) || self.timed_out >= self.term {
            return;
        }
        self.reign.asked = None;
        let Some(place) = self.next_place().filter(|place| place.height == height) else { return };
        let Some(draft) = draft else {
            self.ask = false;
            self.reign.refused_at = Some(self.now);
            return;
        };
        let header = Header {
            epoch: self.epoch.number(),
            term,
            height,
            parent: place.parent,
            justify: self.justify(&place),
            tc: self.reign.tc.clone().filter(|_| place.is_first),
            payload_hash: draft.payload.hash(),
            app: draft.app,
            time: draft.time.max(TimeMs(place.parent_time.0.saturating_add(1))),
            proposer: self.leader(),
            next: draft.next.filter(|next| next.epoch() == self.epoch.number() + 1),
        };
        let block = Block::sign(header, &self.config.chain_id, &self.config.key);
        let hash = block.hash(&self.config.chain_id);
        let proposal = Proposal { block, payload: draft.payload };
        self.keep(hash, proposal.clone(), Check::Good, out);
        self.reign.proposed = Some(hash);
        self.reign.proposals += 1;
        if self.reign.proposals >= self.config.reign_blocks {
            self.hand_over();
        }
        self.send(To::All, Message::Propose(Box::new(proposal)), None, out);
    }

    /// The highest certificate on the branch of the block to be made.
    fn justify(&self, place: &Place) -> Qc {
        if let Some(tc) = self.reign.tc.as_ref().filter(|_| place.is_first) {
            return tc.high.clone();
        }
        let mut newest_first = place.ancestors.iter().rev();
        newest_first
            .find_map(|hash| self.tree.get(hash)?.certificate.clone())
            .unwrap_or_else(|| self.tip.certificate.clone())
    }
}
