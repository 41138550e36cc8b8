//! Rules 6 and 7: suspicion, timeouts, new terms; and the clock.

use std::collections::BTreeMap;

use gongsuan_types::{DurationMs, Height, Term, TimeMs};

use super::{Core, Effect, Output, Outputs};
use crate::{Message, Qc, Record, Tc, Timeout};

/// How often a validator says where it stands.
const STATUS_EVERY: DurationMs = DurationMs(1_000);
/// Timeouts of terms this far ahead are kept; farther ones come again.
const TERMS_AHEAD: u64 = 8;

impl Core {
    /// `T` of rule 6.
    fn patience(&self) -> DurationMs {
        let doubled = self.config.timeout_ms.saturating_mul(1 << self.terms_failed.min(20));
        DurationMs(doubled.min(self.config.timeout_ms_max))
    }

    pub(super) fn timer(&self) -> TimeMs {
        let mut at = self.status_at;
        if let Some(since) = self.busy_since {
            at = at.min(since.plus(self.patience()));
            if self.suspecting || self.gave_up() {
                at = at.min(self.repeat_at);
            }
        }
        if self.is_behind() {
            at = at.min(self.fetch_at);
        }
        at.max(self.now.next())
    }

    /// What the clock alone brings about.
    pub(super) fn on_time(&mut self, out: &mut Outputs) {
        if self.now >= self.status_at {
            self.status_at = self.now.plus(STATUS_EVERY);
            let (term, committed) = (self.term, self.tip.height);
            self.broadcast(Message::Status { term, committed }, out);
        }
        self.catch_up(out);
        let Some(since) = self.busy_since else { return };
        let expired = self.now >= since.plus(self.patience());
        if expired && !self.suspecting && !self.gave_up() {
            self.suspecting = true;
            self.repeat_at = self.now;
        }
        if (self.suspecting || self.gave_up()) && self.now >= self.repeat_at {
            self.repeat_at = self.now.plus(DurationMs(self.patience().0 / 2));
            self.repeat(out);
        }
    }

    fn repeat(&mut self, out: &mut Outputs) {
        let (term, committed) = (self.term, self.tip.height);
        if self.gave_up() && !self.mute {
            let timeout = self.own_timeout(term);
            let seq = self.seq_next - 1;
            self.after(seq, Effect::OwnTimeout(timeout), out);
        } else {
            self.broadcast(Message::Suspect { term, committed }, out);
            self.maybe_give_up(out);
        }
    }

    fn own_timeout(&self, term: Term) -> Timeout {
        let config = &self.config;
        Timeout::sign(&config.validators, &config.key, config.me, term, self.high.clone())
    }

    pub(super) fn on_suspect(
        &mut self,
        from: u16,
        term: Term,
        committed: Height,
        out: &mut Outputs,
    ) {
        self.on_status(from, term, committed, out);
        if committed < self.tip.height {
            let status = Message::Status { term: self.term, committed: self.tip.height };
            out.push(Output::Send { to: Some(from), message: status });
        }
        if term == self.term {
            self.suspects.insert(from, self.now);
            self.maybe_give_up(out);
        }
    }

    /// f+1 fresh suspicions including our own.
    fn maybe_give_up(&mut self, out: &mut Outputs) {
        let (now, patience) = (self.now, self.patience());
        let fresh = self.suspects.values().filter(|at| now.since(**at) <= patience).count();
        if self.suspecting && fresh + 1 > self.config.validators.faulty_max() {
            self.give_up(out);
        }
    }

    fn give_up(&mut self, out: &mut Outputs) {
        if self.gave_up() || self.mute {
            return;
        }
        self.timed_out = Some(self.term);
        self.repeat_at = self.now.plus(DurationMs(self.patience().0 / 2));
        let seq = self.persist(Record::TimedOut(self.term), out);
        let timeout = self.own_timeout(self.term);
        self.after(seq, Effect::OwnTimeout(timeout), out);
    }

    pub(super) fn on_timeout(&mut self, from: u16, timeout: Timeout, out: &mut Outputs) {
        let Timeout { term, vote, high } = timeout;
        if let Some(qc) = &high {
            self.on_certificate(qc.clone());
        }
        if term < self.term {
            self.tell_term(from, out);
            return;
        }
        if term.0 > self.term.0 + TERMS_AHEAD {
            return;
        }
        let quorum = self.config.validators.quorum();
        let of_term = self.timeouts.entry(term).or_default();
        of_term.insert(vote.voter, (vote, high));
        if of_term.len() >= quorum {
            let tc = certificate(term, of_term, quorum);
            self.on_new_term(tc, out);
            return;
        }
        let mut voters: Vec<u16> =
            self.timeouts.range(self.term..).flat_map(|(_, of)| of.keys().copied()).collect();
        voters.sort_unstable();
        voters.dedup();
        if voters.len() > self.config.validators.faulty_max() {
            self.give_up(out);
        } else if term == self.term && vote.voter == self.leader() && !self.gave_up() {
            self.suspecting = true;
            self.busy_since.get_or_insert(self.now);
            self.repeat_at = self.now;
        }
    }

    /// Rule 7.
    pub(super) fn on_new_term(&mut self, tc: Tc, out: &mut Outputs) {
        if tc.term < self.term {
            return;
        }
        if let Some(qc) = &tc.high {
            self.on_certificate(qc.clone());
        }
        self.term = tc.term.next();
        self.term_seq = self.persist(Record::Term(self.term), out);
        self.prepared.clear();
        self.prepared_max = Height(0);
        self.certified.clear();
        self.suspecting = false;
        self.suspects.clear();
        let term = self.term;
        self.timeouts.retain(|of, _| *of >= term);
        self.terms_failed = self.terms_failed.saturating_add(1);
        self.busy_since = None;
        self.leading = None;
        let leader = self.leader();
        if leader == self.config.me {
            self.lead(&tc);
        }
        self.start = Some(tc.clone());
        out.push(Output::EnterTerm { term, leader });
        self.after(self.term_seq, Effect::Send(None, Message::NewTerm(tc)), out);
    }

    /// Tells a validator that is in an earlier term how this one began.
    pub(super) fn tell_term(&mut self, to: u16, out: &mut Outputs) {
        if to == self.config.me {
            return;
        }
        if let Some(tc) = self.start.clone() {
            self.after(self.term_seq, Effect::Send(Some(to), Message::NewTerm(tc)), out);
        }
    }
}

fn certificate(
    term: Term,
    of_term: &BTreeMap<u16, (crate::TimeoutVote, Option<Qc>)>,
    quorum: usize,
) -> Tc {
    let taken: Vec<_> = of_term.values().take(quorum).collect();
    let timeouts = taken.iter().map(|(vote, _)| *vote).collect();
    let high = taken.iter().max_by_key(|(vote, _)| vote.high).and_then(|(_, high)| high.clone());
    Tc { term, timeouts, high }
}
