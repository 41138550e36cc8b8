//! Leaving a term and entering the next: rules 8 to 12.

use gongsuan_types::Term;

use super::reign::Reign;
use super::{Core, Unsaved, planted};
use crate::certificate::{Tc, TimeoutShare};
use crate::message::Message;
use crate::output::{Output, Outputs, To};
use crate::record::Record;
use crate::validators::Seat;
use crate::vote::{Suspect, Timeout};

impl Core {
    /// Rule 8: suspect the term. This may be taken back (by a commit), so it is repeated while it holds.
    pub(super) fn suspect(&mut self, out: &mut Outputs) {
        if self.timed_out >= self.term || self.seat.is_none() || planted!(self, NeverSuspect) {
            return;
        }
        if !self.reign.suspecting {
            self.reign.suspecting = true;
            self.send_suspect(out);
        }
        self.judge(out);
    }

    pub(super) fn send_suspect(&self, out: &mut Outputs) {
        let suspect = Suspect { term: self.term, committed: self.tip.height };
        self.send(To::All, Message::Suspect(suspect), None, out);
    }

    pub(super) fn on_suspect(&mut self, from: Seat, suspect: Suspect, out: &mut Outputs) {
        self.heard_height(from, suspect.committed);
        if suspect.term < self.term || suspect.committed < self.tip.height {
            self.help(from, suspect.term, suspect.committed, None, out);
        }
        if suspect.term == self.term {
            self.reign.suspects.insert(from, self.now);
            self.judge(out);
        }
    }

    /// Rule 9, first case: f + 1 validators suspect the term, me among them. An old suspicion does not count: whoever
    /// still holds it repeats it.
    fn judge(&mut self, out: &mut Outputs) {
        let horizon = self.now.0.saturating_sub(2 * self.config.timeout.0);
        let others = self.reign.suspects.values().filter(|at| at.0 >= horizon).count();
        let enough = others + 1 >= self.set().honest();
        if self.reign.suspecting && enough && self.timed_out < self.term {
            self.end_term(out);
        }
    }

    /// Rule 9: sign a timeout, irrevocably: from here on no PREPARE and no COMMIT in this term.
    pub(super) fn end_term(&mut self, out: &mut Outputs) {
        let Some(seat) = self.seat else { return };
        self.timed_out = self.term;
        let mut after = Some(self.persist(Record::TimedOut(self.term), true, out));
        if planted!(self, TimeoutBeforeDurable) {
            after = None;
        }
        self.reign.asked = None;
        // What was not signed yet never will be.
        if !planted!(self, CommitAfterTimeout) {
            self.reign.ballots.clear();
        }
        assert!(
            self.high.rank >= self.lock.rank,
            "the highest certificate is never below the lock"
        );
        let high = match planted!(self, TimeoutBelowLock) {
            true => self.tip.certificate.clone(),
            false => self.high.clone(),
        };
        let timeout = Timeout::sign(self.term, high, self.tip.height, seat, &self.signer());
        self.reign.timeout = Some((timeout.clone(), after));
        self.send(To::All, Message::Timeout(Box::new(timeout.clone())), after, out);
        match self.gate(after) {
            Some(after) if after > self.durable => self.unsaved.push(Unsaved { after, timeout }),
            _ => self.count_timeout(timeout, out),
        }
    }

    /// A leader that is about to stop, or has led long enough, lets what is in flight become final first.
    pub(super) fn hand_over(&mut self) {
        self.reign.closing |= self.leads() && self.set().len() > 1;
    }

    /// Rule 12, third case: the end of a reign that is handed over.
    pub(super) fn close(&mut self, out: &mut Outputs) -> bool {
        let settled = self.reign.proposed.is_none_or(|own| own == self.tip.hash);
        let ends = self.reign.closing && settled && self.timed_out < self.term && self.leads();
        if ends {
            self.end_term(out);
        }
        ends
    }

    pub(super) fn on_timeout(&mut self, from: Seat, timeout: Timeout, out: &mut Outputs) {
        self.heard_height(from, timeout.committed);
        self.learn(timeout.high.clone(), out);
        if timeout.term < self.term {
            self.help(from, timeout.term, timeout.committed, None, out);
            return;
        }
        let (term, seat) = (timeout.term, timeout.seat);
        self.count_timeout(timeout, out);
        if term != self.term || self.timed_out >= self.term {
            return;
        }
        // Whoever has left the term suspects it as well.
        self.reign.suspects.insert(seat, self.now);
        if seat == self.leader() {
            // The leader has given up: as good as a timer that ran out.
            self.suspect(out);
        } else if self.leads() {
            self.make_room_for_stragglers(out);
        }
        self.judge(out);
    }

    /// Rule 12, second case: somebody has left a term that lives on. Its leader ends it, once it has lasted long enough.
    fn make_room_for_stragglers(&mut self, out: &mut Outputs) {
        let lasted = self.now.0.saturating_sub(self.reign.entered_at.0);
        if lasted >= self.config.rejoin.0 {
            self.end_term(out);
        }
    }

    /// Rule 9, second case, and rule 10: upon f + 1 timeouts of this term or later ones I join, in the latest term that
    /// f + 1 have reached (an honest one among them had proof of it); upon a quorum of timeouts of one term it is over.
    pub(super) fn count_timeout(&mut self, timeout: Timeout, out: &mut Outputs) {
        if timeout.term < self.term {
            return;
        }
        let term = timeout.term;
        let known = self.timeouts.get(&timeout.seat);
        if known.is_some_and(|known| known.term >= term) {
            return;
        }
        self.remember_timeout(&timeout, out);
        self.timeouts.insert(timeout.seat, timeout);
        if let Some(tc) = self.collect(term) {
            self.send(To::All, Message::TermOver(Box::new(tc.clone())), None, out);
            self.on_term_over(tc, out);
            return;
        }
        let mut terms: Vec<Term> = self.timeouts.values().map(|timeout| timeout.term).collect();
        terms.sort_unstable_by(|a, b| b.cmp(a));
        let Some(reached) = terms.get(self.set().faulty_max()) else { return };
        if *reached > self.term {
            self.enter(*reached, None, out);
        }
        if self.timed_out < self.term {
            self.end_term(out);
        }
    }

    /// The proof that a term is over, if a quorum has signed.
    fn collect(&self, term: Term) -> Option<Tc> {
        let quorum = self.set().quorum();
        let signed: Vec<_> =
            self.timeouts.values().filter(|timeout| timeout.term == term).take(quorum).collect();
        if signed.len() < quorum {
            return None;
        }
        let mut high = signed.iter().max_by_key(|timeout| timeout.high.rank)?.high.clone();
        if planted!(self, LowTimeoutCertificate) {
            high = signed.iter().min_by_key(|timeout| timeout.high.rank)?.high.clone();
        }
        let shares = signed
            .iter()
            .map(|timeout| TimeoutShare {
                seat: timeout.seat,
                high: timeout.high.rank,
                signature: timeout.signature,
            })
            .collect();
        Some(Tc { epoch: self.epoch.number(), term, shares, high })
    }

    /// Rule 10: upon the proof that a term is over, enter the next one.
    pub(super) fn on_term_over(&mut self, tc: Tc, out: &mut Outputs) {
        self.learn(tc.high.clone(), out);
        self.remember_term_over(&tc, out);
        let next = tc.term.next();
        if next > self.term {
            self.enter(next, Some(tc), out);
        } else if next == self.term && self.reign.tc.is_none() {
            self.reign.tc = Some(tc);
        }
    }

    /// Rule 11: enter a later term, durably before anything of it leaves.
    pub(super) fn enter(&mut self, term: Term, tc: Option<Tc>, out: &mut Outputs) {
        assert!(term > self.term, "terms only rise");
        self.term = term;
        let entry = match planted!(self, ForgetTerm) {
            true => None,
            false => Some(self.persist(Record::Term(term), true, out)),
        };
        self.reign = Reign::new(self.now, entry, tc);
        self.barren = self.barren.saturating_add(1);
        self.ask = self.work;
        self.timeouts.retain(|_, timeout| timeout.term >= term);
        self.tallies.prune(term, self.tip.height);
        out.push(Output::EnterTerm { term, leader: self.leader() });
    }
}
