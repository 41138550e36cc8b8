//! Between the nodes: what is sent, twisted, lost, repeated, delayed and received.

use gongsuan_consensus::{Core, Input, Message, Seat, To, Vote, verify};

use super::{Event, World};
use crate::sim::judge;
use crate::sim::mischief::{self, Liar, Mischief};
use crate::sim::trace::brief;

impl World {
    pub(super) fn deliver(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let Some(core) = &self.nodes[to].core else { return };
        let Ok(message) = Message::decode(bytes) else { return };
        let set = core.epoch().validators();
        let learner = || Seat(u16::try_from(set.len() + from).unwrap_or(u16::MAX));
        let seat = set.seat_of(&self.nodes[from].key.public_key()).unwrap_or_else(learner);
        if !core.wants(seat, &message) {
            return;
        }
        let checked = verify(message, core.epoch(), &self.chain_id, &self.cache);
        let message = match checked {
            Ok(message) => message,
            Err(error) => {
                let other_epoch = self.nodes[from].core.as_ref().is_none_or(|sender| {
                    Some(sender.epoch()) != self.nodes[to].core.as_ref().map(Core::epoch)
                });
                if self.is_honest(from)
                    && !other_epoch
                    && !matches!(error, gongsuan_consensus::VerifyError::Epoch { .. })
                {
                    let why = format!("node {to} refuses what node {from} sends: {error}");
                    self.judge.blame(judge::WELL_FORMED, why);
                }
                return;
            }
        };
        let text = if self.trace.is_wanted() { brief(message.message()) } else { String::new() };
        self.note(to, "receive", bytes, || format!("from {from}: {text}"));
        self.give(to, Input::Message { from: seat, message });
    }

    pub(super) fn transmit(&mut self, at: usize, to: To, message: &Message) {
        let node = &self.nodes[at];
        let key = node.key.public_key();
        if let (Some(core), true) = (&node.core, self.people.is_some() && self.is_honest(at)) {
            // Where the ledger is on trial, the votes of honest nodes are taken as signed: checking them anew costs as much as all else together.
            let remember = |vote: &Vote| {
                self.cache.remember(vote, core.epoch().validators(), &self.chain_id);
            };
            match message {
                Message::Vote(vote) => remember(vote),
                Message::Votes(joined) => remember(&joined.split(&self.chain_id)[0]),
                _ => {}
            }
        }
        let (logged, committed) = (node.app.durable_height(), node.app.height());
        self.judge.leaves(key, message, &judge::Stands { saved: &node.saved, logged, committed });
        if self.trace.is_wanted() {
            let glyphs = self.glyphs();
            let line = || format!("{at} send      to {to:?}: {}", brief(message));
            self.trace.line(self.now, &glyphs, line);
        }
        let sent = self.twisted(at, to, message);
        for (to, bytes, late) in sent {
            // A liar may have made another block of it, which is a first block as well.
            if matches!(message, Message::Propose(_))
                && !self.is_honest(at)
                && let Ok(Message::Propose(proposal)) = Message::decode(&bytes)
            {
                self.judge.opens(&proposal);
            }
            self.spread(at, to, &bytes, late, message);
        }
    }

    pub(super) fn twisted(
        &mut self,
        at: usize,
        to: To,
        message: &Message,
    ) -> Vec<mischief::Forged> {
        let node = &self.nodes[at];
        let core = node.core.as_ref();
        let seat = core.and_then(|core| core.progress().seat);
        let (Some(core), Some(seat), false) = (core, seat, node.mischief == Mischief::Honest)
        else {
            return vec![(to, message.encode(), 0)];
        };
        let liar = Liar {
            key: &node.key,
            seat,
            epoch: core.epoch().number(),
            chain_id: &self.chain_id,
            members: u16::try_from(core.epoch().validators().len()).unwrap_or(u16::MAX),
        };
        liar.twist(node.mischief, to, message, &mut self.dice)
    }

    pub(super) fn spread(&mut self, at: usize, to: To, bytes: &[u8], late: u64, message: &Message) {
        let set = match &self.nodes[at].core {
            Some(core) => core.epoch().validators().clone(),
            None => self.first.validators().clone(),
        };
        let own = self.nodes[at].key.public_key();
        for other in 0..self.nodes.len() {
            let key = self.nodes[other].key.public_key();
            let meant = other != at
                && match to {
                    To::All => key != own,
                    To::One(seat) => match set.key(seat) {
                        Some(meant) => *meant == key,
                        None => usize::from(seat.0) == set.len() + other,
                    },
                };
            if !meant || self.cut.contains(&(at, other)) || !self.nodes[other].is_up() {
                continue;
            }
            if self.dice.percent(self.weather.loss_percent) {
                continue;
            }
            let copies = 1 + u64::from(self.dice.percent(self.weather.repeat_percent));
            for _ in 0..copies {
                let mut delay = 1 + self.dice.below(self.weather.delay_max) + late;
                let commit = match message {
                    Message::Vote(vote) => vote.kind == gongsuan_consensus::VoteKind::Commit,
                    Message::Votes(_) => true,
                    _ => false,
                };
                if commit {
                    delay *= self.weather.slow_commits;
                }
                self.after(delay, Event::Deliver { from: at, to: other, bytes: bytes.to_vec() });
            }
        }
    }
}
