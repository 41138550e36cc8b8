//! Rule 1: the leader's part.

use gongsuan_types::Hash;

use super::{Core, Effect, Entry, Leading, Output, Outputs, Payload, Validity};
use crate::{Block, Message, Tc, WINDOW};

impl Core {
    pub(super) fn on_work(&mut self, work: bool) {
        self.work = work;
        if let Some(leading) = &mut self.leading {
            leading.wanting = false;
        }
    }

    /// Becomes the leader of a term that `start` began.
    pub(super) fn lead(&mut self, start: &Tc) {
        let high = start.high.as_ref();
        let height = high.map_or(gongsuan_types::Height(0), |qc| qc.height);
        self.leading = Some(Leading {
            height: height.next(),
            parent: high.map_or_else(|| self.config.validators.genesis(), |qc| qc.block),
            start: Some(Box::new(start.clone())),
            wanting: false,
            first: true,
        });
    }

    /// Asks for the next payload, if there is room and reason.
    pub(super) fn propose(&mut self, out: &mut Outputs) {
        if self.gave_up() || self.mute {
            return;
        }
        let unfinished = self.high.as_ref().is_some_and(|qc| qc.height > self.tip.height);
        let (term, tip, work) = (self.term, self.tip.height, self.work);
        let Some(leading) = &self.leading else { return };
        let room = leading.height.0 <= tip.0 + WINDOW && leading.height > tip;
        let required = leading.first && unfinished;
        let known = self.position(leading.parent).is_some();
        if leading.wanting || !room || !known || !(work || required) {
            return;
        }
        let height = leading.height;
        if let Some(leading) = &mut self.leading {
            leading.wanting = true;
        }
        out.push(Output::WantPayload { term, height, required });
    }

    pub(super) fn on_payload(&mut self, payload: Payload, out: &mut Outputs) {
        let Some(mut leading) = self.leading.take() else { return };
        let asked =
            leading.wanting && payload.term == self.term && payload.height == leading.height;
        let parent = self.position(leading.parent);
        let (true, false, Some((_, parent_time))) = (asked, self.gave_up(), parent) else {
            self.leading = Some(leading);
            return;
        };
        let validators = &self.config.validators;
        let block = Block {
            epoch: validators.epoch,
            term: self.term,
            height: leading.height,
            parent: leading.parent,
            payload: Hash::of_content(&payload.bytes),
            app: payload.app,
            time: payload.time.max(parent_time.next()),
            proposer: self.config.me,
            start: leading.start.take(),
        };
        let hash = block.hash(validators);
        let signed = block.sign(validators, &self.config.key);
        leading.height = leading.height.next();
        leading.parent = hash;
        leading.wanting = false;
        leading.first = false;
        let height = signed.block.height;
        self.leading = Some(leading);
        self.renew_lease(height, out);
        let message = Message::Proposal { block: signed.clone(), payload: payload.bytes.clone() };
        self.after(self.term_seq.max(self.lease_seq), Effect::Send(None, message), out);
        let own = Entry { signed, payload: payload.bytes, validity: Validity::Valid };
        self.entries.insert(hash, own);
    }
}
