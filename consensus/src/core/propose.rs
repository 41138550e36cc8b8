//! The leader's part: rule 2.

use gongsuan_types::{Hash, Height, Term, TimeMs};

use super::Core;
use super::tree::Check;
use crate::block::{Block, Header, Proposal};
use crate::certificate::Qc;
use crate::input::Draft;
use crate::message::Message;
use crate::output::{Output, Outputs, To, WantPayload};

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
        let leads = self.leader() == self.config.seat;
        if !leads || self.timed_out >= self.term || self.reign.resumed {
            return false;
        }
        if self.reign.asked.is_some() {
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

    /// The next block's place, if there is room and its parent is held with all ancestors.
    fn next_place(&self) -> Option<Place> {
        let (parent, is_first) = match (self.reign.proposed, &self.reign.tc) {
            (Some(own), _) => (own, false),
            (None, Some(tc)) => (tc.high.block, true),
            (None, None) if self.term == Term(1) && self.tip.height == Height(0) => {
                (self.tip.hash, true)
            }
            (None, None) => return None,
        };
        let ancestors = self.tree.chain(&parent)?;
        let (above, parent_time) = match self.tree.get(&parent) {
            Some(entry) => (entry.rank().height, entry.proposal.block.header.time),
            None => (self.tip.height, self.tip.time),
        };
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
            epoch: self.config.validators.epoch(),
            term,
            height,
            parent: place.parent,
            justify: self.justify(&place),
            tc: self.reign.tc.clone().filter(|_| place.is_first),
            payload_hash: draft.payload.hash(),
            app: draft.app,
            time: draft.time.max(TimeMs(place.parent_time.0.saturating_add(1))),
            proposer: self.config.seat,
        };
        let block = Block::sign(header, &self.config.chain_id, &self.config.key);
        let hash = block.hash(&self.config.chain_id);
        let proposal = Proposal { block, payload: draft.payload };
        self.keep(hash, proposal.clone(), Check::Good);
        self.reign.proposed = Some(hash);
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
