//! A validator that does not know any more what it has signed: rule 18.

use std::collections::BTreeMap;

use gongsuan_types::Term;

use super::Core;
use crate::message::Status;
use crate::output::{Output, Outputs};
use crate::record::Record;
use crate::validators::Seat;

/// What the others say of where they stand, and what follows from it. They are asked anew in every life: terms only rise.
#[derive(Debug, Default)]
pub(super) struct Observer {
    heard: BTreeMap<Seat, (u64, Term)>,
    /// The greatest epoch and term of enough others.
    bound: Option<(u64, Term)>,
}

impl Observer {
    /// Seats mean others in another epoch.
    pub(super) fn on_epoch(&mut self) {
        self.heard.clear();
    }
}

impl Core {
    /// Enough others that one of them is honest and signed the end of the term before any that this key may have voted in. That takes a
    /// quorum, of which f may lie and one may be this validator itself.
    fn observed_enough(&self) -> usize {
        let set = self.set();
        set.len() - set.quorum() + set.faulty_max() + 1
    }

    /// Rule 18: where another validator stands.
    pub(super) fn observe(&mut self, from: Seat, status: Status) {
        let enough = self.observed_enough();
        let Some(observer) = &mut self.observer else { return };
        if observer.bound.is_none() {
            observer.heard.insert(from, (status.epoch, status.term));
            if observer.heard.len() >= enough {
                observer.bound = observer.heard.values().max().copied();
            }
        }
    }

    /// Rule 18: votes again, once what it may have signed can matter no more.
    pub(super) fn take_seat(&mut self, out: &mut Outputs) {
        let Some((epoch, term)) = self.observer.as_ref().and_then(|observer| observer.bound) else {
            return;
        };
        let own = self.epoch.number();
        let tip = &self.tip.certificate;
        // It may have been one term ahead of all who were heard; and an epoch's first term is one above its base.
        let passed = own.checked_sub(epoch).is_some_and(|ahead| {
            ahead > 1 || tip.epoch == own && tip.rank.term.0 > term.0.saturating_add(1 + ahead)
        });
        // The certificate that stands for an epoch's base has no signatures.
        if !passed || tip.signatures.is_empty() {
            return;
        }
        self.observer = None;
        let entry = self.persist(Record::Observing(false), true, out);
        self.reign.entry = self.reign.entry.max(Some(entry));
        self.seat = self.set().seat_of(&self.config.key.public_key());
        out.push(Output::EnterEpoch { epoch: Box::new(self.epoch.clone()), seat: self.seat });
    }
}
