//! What the driver of a node does: carries out what its core wants, and answers for the application.

use std::collections::BTreeSet;

use gongsuan_consensus::{
    Core, Draft, Input, Message, Millis, Output, Outputs, Proposal, Seq, To, VoteCache, WantPayload,
};
use gongsuan_types::{Height, TimeMs};

use super::{Event, World, entries_max};
use crate::sim::app::{self, Tx};
use crate::sim::judge;
use crate::sim::mischief::{self, Mischief};

/// Transactions in one block of a chain, at most.
const TXS_MAX: usize = 16;

impl World {
    pub(super) fn sync(&mut self, at: usize, seq: Seq) {
        if self.nodes[at].synced >= seq {
            return;
        }
        let chain_id = self.chain_id;
        let rotate = self.dice.percent(3);
        let node = &mut self.nodes[at];
        let synced = if rotate { node.rotate(&chain_id) } else { node.sync(&chain_id) };
        if let Err(error) = synced {
            // A failed sync ends the process.
            self.note(at, "sync fails", &[], || error);
            return self.crash(at);
        }
        let seq = self.nodes[at].synced;
        self.release(at);
        self.note(at, "synced", &seq.0.to_le_bytes(), || format!("{seq:?}"));
        self.give(at, Input::Persisted { seq });
    }

    pub(super) fn release(&mut self, at: usize) {
        let synced = self.nodes[at].synced;
        let held = std::mem::take(&mut self.nodes[at].held);
        for (after, to, message) in held {
            if after <= synced {
                self.transmit(at, to, &message);
            } else {
                self.nodes[at].held.push((after, to, message));
            }
        }
    }

    /// Steps a core, and carries out what it wants; inputs that follow at once come after it.
    pub(super) fn give(&mut self, at: usize, input: Input) {
        self.pending.push_back((at, input));
        if self.busy {
            return;
        }
        self.busy = true;
        while let Some((at, input)) = self.pending.pop_front() {
            let node = &mut self.nodes[at];
            let Some(core) = node.core.as_mut() else { continue };
            let now = node.clock.frozen_until.max(self.now);
            let now =
                if node.clock.frozen_until > self.now { 0 } else { node.clock.monotonic(now) };
            let mut out = Outputs::new();
            core.step(Millis(now), input, &mut out);
            let held = core.buffered();
            let (n, life) = (core.epoch().validators().len(), node.life);
            if held > entries_max(n) && self.is_honest(at) {
                self.judge.blame(judge::BOUNDED, format!("node {at} holds {held} entries"));
            }
            for output in out {
                if self.lives(at, life) {
                    self.obey(at, output);
                }
            }
        }
        self.busy = false;
    }

    pub(super) fn obey(&mut self, at: usize, output: Output) {
        let life = self.nodes[at].life;
        match output {
            Output::Persist { seq, record, sync } => {
                if let Err(error) = self.nodes[at].append(seq, record) {
                    self.note(at, "write fails", &[], || error);
                    return self.crash(at);
                }
                if sync {
                    let delay = self.dice.below(self.weather.disk_max + 1);
                    self.after(delay, Event::Synced { node: at, life, seq });
                }
            }
            Output::Send { to, message, after } => {
                let node = &mut self.nodes[at];
                match after {
                    Some(seq) if seq > node.synced => node.held.push((seq, to, message)),
                    _ => self.transmit(at, to, &message),
                }
            }
            Output::WantPayload(want) => {
                let draft = self.draft(at, &want);
                let input = Input::Payload { term: want.term, height: want.height, draft };
                let delay = self.dice.below(2);
                self.after(delay, Event::Answer { node: at, life, input });
            }
            Output::Check { block, proposal } => {
                self.nodes[at].delayed.push((block, proposal));
                let delay = self.dice.below(3);
                if delay > 0 {
                    self.after(delay, Event::Answer { node: at, life, input: Input::Tick });
                }
                self.recheck(at);
            }
            Output::Commit { blocks } => self.commit(at, blocks),
            Output::ServeBlocks { to, from_height, to_height } => {
                let app = &self.nodes[at].app;
                let durable = to_height.0.min(app.durable_height());
                let range = app.range(from_height.0, durable);
                if let Some(blocks) = gongsuan_consensus::Blocks::from_log(range, 16 << 10) {
                    self.transmit(at, To::One(to), &Message::Blocks(Box::new(blocks)));
                }
            }
            Output::ServeSnapshot { to, above } => {
                if let Some(offer) = self.nodes[at].app.offer(above.0) {
                    self.transmit(at, To::One(to), &Message::Snapshot(Box::new(offer)));
                }
            }
            Output::ServeChunk { to, fetch } => {
                let kept =
                    self.nodes[at].app.kept.iter().find(|kept| kept.pieces.root() == fetch.root);
                let chunk = kept.and_then(|kept| kept.pieces.piece(fetch.index));
                if let Some(chunk) = chunk {
                    self.transmit(at, To::One(to), &Message::Chunk(Box::new(chunk)));
                }
            }
            Output::StoreChunk(chunk) => {
                let index = u32::try_from(chunk.proof.index).unwrap_or(u32::MAX);
                self.nodes[at].pieces.insert(index, chunk.bytes);
            }
            Output::InstallSnapshot(offer) => {
                let node = &mut self.nodes[at];
                let pieces = std::mem::take(&mut node.pieces);
                let ok = node.app.install(&offer, &pieces);
                let height = offer.height;
                self.note(at, "install", &[u8::from(ok)], || format!("height {height}: {ok}"));
                self.give(at, Input::Installed { height, ok });
                self.give(at, Input::Pruned { lowest: Height(height.0 + 1) });
            }
            Output::TimerAt { at: when } => {
                let node = &mut self.nodes[at];
                node.timer = when.0;
                let due = node.clock.when(when.0).max(node.clock.frozen_until);
                let delay = due.saturating_sub(self.now).max(1);
                self.after(delay, Event::Timer { node: at, life, at: when.0 });
            }
            Output::EnterTerm { term, leader } => {
                self.note(at, "term", &term.0.to_le_bytes(), || format!("{term}, led by {leader}"));
            }
            Output::EnterEpoch { epoch, seat } => {
                let number = epoch.number();
                self.note(at, "epoch", &number.to_le_bytes(), || {
                    format!("{number}, seat {seat:?}")
                });
                self.tell_work(at);
            }
            Output::Evidence(evidence) => {
                let epoch = self.nodes[at].core.as_ref().map_or(0, |core| core.epoch().number());
                if self.is_honest(at)
                    && let Some(key) = self.judge.accuses(epoch, &evidence)
                {
                    self.evidence.insert((at, key));
                }
                self.note(at, "evidence", &[], || {
                    format!("{evidence:?}").chars().take(60).collect()
                });
            }
        }
    }

    pub(super) fn tell_work(&mut self, at: usize) {
        if !self.is_up(at) {
            return;
        }
        let node = &self.nodes[at];
        let waits = Some(node.app.lowest_missing()).filter(|tx| *tx < self.submitted.len() as Tx);
        let since = waits.and_then(|tx| self.submitted.get(usize::try_from(tx).ok()?));
        let starved = since.is_some_and(|since| self.now.saturating_sub(*since) > 3_000);
        let wall = TimeMs(node.clock.wall(self.now));
        let pending = waits.is_some() || self.plan_of(at).is_some() || node.app.wants_block(wall);
        self.give(at, Input::Starved { starved });
        self.give(at, Input::Work { pending });
    }

    pub(super) fn draft(&mut self, at: usize, want: &WantPayload) -> Option<Draft> {
        let node = &self.nodes[at];
        let taken = ordered(want.ancestors.iter());
        let free: Vec<Tx> = (node.app.lowest_missing()..self.submitted.len() as Tx)
            .filter(|tx| !node.app.has(*tx) && !taken.contains(tx))
            .take(if self.people.is_some() { TXS_MAX } else { 3 })
            .collect();
        let next = self.plan_of(at).cloned();
        let wall = TimeMs(node.clock.wall(self.now));
        let wanted = want.required || node.app.wants_block(wall);
        if free.is_empty() && next.is_none() && !wanted {
            return None;
        }
        let time = TimeMs(node.clock.wall(self.now).max(want.parent_time.0 + 1));
        let body = self.people.as_ref().map_or(Vec::new(), |people| people.body(&free));
        let draft =
            Draft { payload: app::encode_with(&free, body), app: node.app.app_ref(), time, next };
        Some(match node.mischief {
            Mischief::Censor => mischief::censored(draft),
            _ => draft,
        })
    }

    /// Whether a block may be voted for; nothing yet, if that needs more blocks or more time.
    pub(super) fn judge_block(&self, at: usize, proposal: &Proposal) -> Option<bool> {
        let node = &self.nodes[at];
        let core: &Core = node.core.as_ref()?;
        let header = &proposal.block.header;
        if header.time.0 > node.clock.wall(self.now) + 500 {
            return None;
        }
        let Some(ancestors) = core.chain_to(&header.parent) else { return Some(false) };
        let taken = ordered(ancestors.into_iter());
        let Some((txs, body)) = app::decode_with(&proposal.payload) else { return Some(false) };
        let distinct: BTreeSet<Tx> = txs.iter().copied().collect();
        let known = |tx: &Tx| usize::try_from(*tx).is_ok_and(|tx| tx < self.submitted.len());
        let fresh = |tx: &Tx| !node.app.has(*tx) && !taken.contains(tx);
        let good = distinct.len() == txs.len()
            && txs.iter().all(|tx| known(tx) && fresh(tx))
            && self.people.as_ref().is_none_or(|people| people.signed(&txs, &body))
            && header.next.as_ref().is_none_or(|next| self.plans.get(&next.epoch()) == Some(next));
        if !good {
            return Some(false);
        }
        node.app.agrees(header.app)
    }

    pub(super) fn recheck(&mut self, at: usize) {
        let delayed = std::mem::take(&mut self.nodes[at].delayed);
        let life = self.nodes[at].life;
        for (block, proposal) in delayed {
            match self.judge_block(at, &proposal) {
                Some(ok) => {
                    let delay = self.dice.below(2);
                    let input = Input::Checked { block, ok };
                    self.after(delay, Event::Answer { node: at, life, input });
                }
                None => {
                    let stale = self.nodes[at].core.as_ref().is_none_or(|core| {
                        proposal.block.header.height <= core.progress().committed
                    });
                    if !stale {
                        self.nodes[at].delayed.push((block, proposal));
                    }
                }
            }
        }
    }

    pub(super) fn commit(&mut self, at: usize, blocks: Vec<gongsuan_consensus::CommittedBlock>) {
        let honest = self.is_honest(at);
        for block in blocks {
            let header = block.proposal.block.header.clone();
            let height = header.height.0;
            let expected = self.nodes[at].app.height() + 1;
            if honest {
                let stranger = VoteCache::none();
                let known = if self.people.is_some() { &self.cache } else { &stranger };
                self.judge.commits(expected, &block, known);
                let before =
                    self.nodes[at].app.newest().map(|block| block.proposal.block.header.time);
                let later = before.is_none_or(|time| header.time > time);
                let txs = app::decode(&block.proposal.payload);
                let known =
                    |tx: &Tx| usize::try_from(*tx).is_ok_and(|tx| tx < self.submitted.len());
                let valid = txs.is_some_and(|txs| txs.iter().all(known));
                let state = self.nodes[at].app.agrees(header.app) == Some(true);
                let next = header.next.as_ref();
                let set = next.is_none_or(|next| self.plans.get(&next.epoch()) == Some(next));
                if !(later && valid && state && set) {
                    let why = format!(
                        "block {height}: time {later}, payload {valid}, state {state}, next {set}"
                    );
                    self.judge.blame(judge::VALIDITY, why);
                }
            }
            if height != expected {
                return;
            }
            let told = (honest && self.people.is_some()).then(|| block.clone());
            let twice = self.nodes[at].app.apply(block);
            if let Some(block) = told {
                let header = self.nodes[at].app.app_ref().hash;
                self.tell_people(&block, header);
            }
            if let Some(kept) = self.nodes[at].app.kept.last().filter(|_| honest) {
                self.judge.snapshots.insert(kept.pieces.root());
            }
            if honest && !twice.is_empty() {
                self.judge.blame(judge::EXACTLY_ONCE, format!("{twice:?} are ordered twice"));
            }
            self.note(at, "commit", &height.to_le_bytes(), || format!("height {height}"));
        }
        let (life, height) = (self.nodes[at].life, self.nodes[at].app.height());
        let delay = self.dice.below(self.weather.disk_max + 1);
        self.after(delay, Event::Logged { node: at, life, height });
        self.recheck(at);
        self.tell_work(at);
    }
}

/// What blocks on the way order.
fn ordered<'a>(ancestors: impl Iterator<Item = &'a Proposal>) -> BTreeSet<Tx> {
    ancestors.filter_map(|proposal| app::decode(&proposal.payload)).flatten().collect()
}
