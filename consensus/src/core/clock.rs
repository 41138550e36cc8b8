//! What time brings: heartbeats, repetition, suspicion.

use super::{Core, planted};
use crate::input::Millis;
use crate::message::Message;
use crate::output::{Output, Outputs, To};

impl Core {
    /// How long the leader may take: doubled for every term in a row that committed nothing, up to a cap.
    fn patience(&self) -> u64 {
        let doublings = self.barren.saturating_sub(1).min(20);
        let base = self.config.timeout.0;
        base.saturating_mul(1 << doublings).min(self.config.timeout_max.0.max(base))
    }

    /// How often what may have been lost is repeated.
    pub(super) fn retry(&self) -> u64 {
        (self.config.timeout.0 / 2).max(1)
    }

    fn is_unfinished(&self) -> bool {
        self.work
            || !self.tree.is_empty()
            || !self.pending.is_empty()
            || self.high.rank.height > self.tip.height
    }

    /// When the leader's time is up: for work not done, or for silence.
    fn deadline(&self) -> Option<Millis> {
        if self.timed_out >= self.term || self.seat.is_none() || self.tip.next.is_some() {
            return None;
        }
        let patience = self.patience();
        let busy = self.reign.busy_since.map(|at| at.0.saturating_add(patience));
        let silence = 4 * self.config.heartbeat.0 + patience;
        let silent = (!self.leads()).then(|| self.reign.leader_heard.0.saturating_add(silence));
        let starved = (self.starved && !self.leads())
            .then(|| self.reign.entered_at.0.saturating_add(patience));
        [busy, silent, starved].into_iter().flatten().min().map(Millis)
    }

    /// Runs what is due. Whether that may have given the other rules something to do.
    pub(super) fn on_time(&mut self, out: &mut Outputs) -> bool {
        let since = self.reign.busy_since.unwrap_or(self.now);
        self.reign.busy_since = self.is_unfinished().then_some(since);
        if self.now >= self.heartbeat_at {
            self.heartbeat_at = Millis(self.now.0.saturating_add(self.config.heartbeat.0));
            self.send_status(out);
        }
        if self.now >= self.retry_at {
            self.retry_at = Millis(self.now.0.saturating_add(self.retry()));
            self.repeat(out);
        }
        let overdue = self.deadline().is_some_and(|at| at <= self.now);
        if overdue {
            self.suspect(out);
        }
        overdue
    }

    /// Rule 12: repeat what may have been lost, until it has been superseded.
    fn repeat(&self, out: &mut Outputs) {
        if planted!(self, NeverRepeat) {
            return;
        }
        if let Some((timeout, after)) = &self.reign.timeout {
            self.send(To::All, Message::Timeout(Box::new(timeout.clone())), *after, out);
        } else if self.reign.suspecting {
            self.send_suspect(out);
        }
        let stuck = self
            .reign
            .busy_since
            .is_some_and(|since| self.now.0.saturating_sub(since.0) >= self.retry());
        if !stuck {
            return;
        }
        self.send_status(out);
        if self.timed_out < self.term {
            for vote in self.reign.votes.values() {
                self.send(To::All, Message::Vote(vote.clone()), None, out);
            }
            if let Some(tc) = self.reign.reopened.as_ref().filter(|_| self.leads()) {
                self.send(To::All, Message::Reopen(Box::new(tc.clone())), None, out);
            }
        }
    }

    /// Says when the next thing is due.
    pub(super) fn set_timer(&mut self, out: &mut Outputs) {
        let active = self.reign.busy_since.is_some()
            || self.reign.timeout.is_some()
            || self.reign.suspecting;
        let retry = active.then_some(self.retry_at);
        let fetch = self.wants.values().chain(&self.range).map(|want| want.due).min();
        let chunks = self.snapshots.due();
        // A deadline that has passed has done what it can; repetition goes on.
        let deadline = self.deadline().filter(|at| *at > self.now);
        let next =
            [Some(self.heartbeat_at), retry, fetch, chunks, deadline].into_iter().flatten().min();
        if next != self.timer
            && let Some(at) = next
        {
            out.push(Output::TimerAt { at });
        }
        self.timer = next;
    }
}
