//! The world: time, the network, the disks, and the nodes. One seed decides everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gongsuan_consensus::{
    Config, Core, Draft, Epoch, Input, Message, Millis, Output, Outputs, Proposal, Seat, Seq, To,
    ValidatorSet, VoteCache, WantPayload, verify,
};
use gongsuan_journal::Tear;
use gongsuan_types::{DurationMs, Hash, Height, PublicKey, SecretKey, TimeMs};

use super::app::{self, Tx};
use super::dice::Dice;
use super::judge::{self, Judge};
use super::mischief::{self, Liar, Mischief};
use super::node::{Node, WALL};
use super::trace::Trace;

/// Entries that a core may hold, for a set of `n`: a window and what is ahead of it, votes of two terms and two kinds.
fn entries_max(n: usize) -> usize {
    300 + 2 * 2 * 40 * n
}

/// How bad the network and the disks are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) loss_percent: u64,
    pub(crate) repeat_percent: u64,
    pub(crate) delay_max: u64,
    /// Commit votes take this many times as long.
    pub(crate) slow_commits: u64,
    pub(crate) disk_max: u64,
}

pub(crate) const FINE: Weather =
    Weather { loss_percent: 0, repeat_percent: 0, delay_max: 3, slow_commits: 1, disk_max: 2 };

#[derive(Debug)]
enum Event {
    Deliver {
        from: usize,
        to: usize,
        bytes: Vec<u8>,
    },
    Synced {
        node: usize,
        life: u32,
        seq: Seq,
    },
    Logged {
        node: usize,
        life: u32,
        height: u64,
    },
    Timer {
        node: usize,
        life: u32,
        at: u64,
    },
    Answer {
        node: usize,
        life: u32,
        input: Input,
    },
    /// Looks again at checks that waited, and at whether there is work.
    Housekeep {
        node: usize,
        life: u32,
    },
}

/// What is settled before the world begins.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// Validators of the first epoch, then learners.
    pub(crate) members: usize,
    pub(crate) learners: usize,
    /// Nodes that lie, and how.
    pub(crate) liars: Vec<(usize, Mischief)>,
    /// Nodes that run with the key of another: (which, whose).
    pub(crate) twins: Vec<(usize, usize)>,
    /// Blocks of a reign.
    pub(crate) reign_blocks: u64,
    /// Heights under one lease.
    pub(crate) lease: u64,
    /// Whether logs are cut below snapshots.
    pub(crate) prune: bool,
    /// The fault planted in every honest node.
    #[cfg(feature = "faults")]
    pub(crate) fault: Option<gongsuan_consensus::faults::Fault>,
}

/// The world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) dice: Dice,
    pub(crate) nodes: Vec<Node>,
    pub(crate) weather: Weather,
    /// Pairs of nodes between which nothing passes in this direction.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    pub(crate) judge: Judge,
    pub(crate) trace: Trace,
    pub(crate) setting: Setting,
    /// The sets that epochs shall have, as the governed application would decide.
    pub(crate) plans: BTreeMap<u64, ValidatorSet>,
    submitted: Vec<u64>,
    evidence: BTreeSet<(usize, PublicKey)>,
    chain_id: Hash,
    first: Epoch,
    cache: VoteCache,
    queue: BTreeMap<(u64, u64), Event>,
    tickets: u64,
    /// Inputs of one node that follow from its own outputs at once.
    pending: VecDeque<(usize, Input)>,
    busy: bool,
}

impl World {
    pub(crate) fn new(seed: u64, setting: Setting, traced: bool) -> Self {
        let chain_id = Hash::of("gongsuan/sim/chain", b"");
        let count = setting.members + setting.learners;
        let key = |at: usize| {
            let whose =
                setting.twins.iter().find(|(twin, _)| *twin == at).map_or(at, |(_, of)| *of);
            SecretKey::from_seed(&(whose as u64).to_le_bytes())
        };
        let keys = (0..setting.members)
            .filter(|at| setting.twins.iter().all(|(twin, _)| twin != at))
            .map(|at| key(at).public_key())
            .collect();
        let set = ValidatorSet::new(0, keys).expect("the sim's keys are distinct");
        let first = Epoch::first(&chain_id, set);
        let mischief = |at: usize| {
            setting
                .liars
                .iter()
                .find(|(liar, _)| *liar == at)
                .map_or(Mischief::Honest, |(_, how)| *how)
        };
        let nodes: Vec<Node> = (0..count).map(|at| Node::new(key(at), mischief(at))).collect();
        let twinned = setting.twins.iter().map(|(_, of)| *of);
        let liars = setting.liars.iter().map(|(liar, _)| *liar).chain(twinned);
        let liars = liars.map(|at| key(at).public_key()).collect();
        let mut world = Self {
            now: 1_000,
            dice: Dice::new(seed),
            nodes,
            weather: FINE,
            cut: BTreeSet::new(),
            judge: Judge::new(chain_id, first.clone(), liars),
            trace: Trace::new(traced),
            setting,
            plans: BTreeMap::new(),
            submitted: Vec::new(),
            evidence: BTreeSet::new(),
            chain_id,
            first,
            cache: VoteCache::new(100_000),
            queue: BTreeMap::new(),
            tickets: 0,
            pending: VecDeque::new(),
            busy: false,
        };
        for at in 0..count {
            world.start(at);
        }
        world
    }

    // ---------------------------------------------------------------------------------- what a plan does to the world

    pub(crate) fn is_honest(&self, at: usize) -> bool {
        !self.judge.liars.contains(&self.nodes[at].key.public_key())
    }

    pub(crate) fn is_up(&self, at: usize) -> bool {
        self.nodes[at].is_up()
    }

    pub(crate) fn down(&self) -> usize {
        self.nodes.iter().filter(|node| !node.is_up() && !node.retired).count()
    }

    /// Starts a node from its disks.
    pub(crate) fn start(&mut self, at: usize) {
        if self.is_up(at) || self.nodes[at].retired {
            return;
        }
        let (reign_blocks, lease) = (self.setting.reign_blocks, self.setting.lease);
        let honest = self.is_honest(at);
        #[cfg(feature = "faults")]
        let fault = self.setting.fault.filter(|_| honest);
        let config = |config: Config| Config {
            reign_blocks,
            rejoin: DurationMs(5_000),
            join_votes: honest,
            lease,
            #[cfg(feature = "faults")]
            fault,
            ..config
        };
        let set = self.first.validators().clone();
        let started = self.nodes[at].start(self.chain_id, config, set);
        match started {
            Err(error) => {
                return self.judge.blame(judge::DURABILITY, format!("node {at}: {error}"));
            }
            Ok(whole) if !whole && honest => {
                self.judge.blame(judge::DURABILITY, format!("node {at} forgot what was synced"));
            }
            Ok(_) => {}
        }
        self.note(at, "start", &[], String::new);
        if let Some(lowest) = self.nodes[at].app.lowest() {
            self.give(at, Input::Pruned { lowest: Height(lowest) });
        }
        self.give(at, Input::Tick);
        self.tell_work(at);
        let life = self.nodes[at].life;
        self.after(500, Event::Housekeep { node: at, life });
    }

    /// Kills a node: what was not durable may be lost.
    pub(crate) fn crash(&mut self, at: usize) {
        if !self.is_up(at) {
            return;
        }
        let (_, unsynced) = self.nodes[at].disk().unsynced();
        let tear = match self.dice.below(4) {
            0 => Tear::Nothing,
            1 => Tear::Everything,
            2 => Tear::Prefix {
                bytes: self.dice.below(unsynced as u64 + 1),
                names: self.dice.index(3),
            },
            _ => Tear::Scatter(self.dice.roll()),
        };
        let lost = self.dice.index(4);
        self.nodes[at].crash(tear, lost);
        self.note(at, "crash", &[], || format!("{tear:?}"));
    }

    pub(crate) fn restart_all(&mut self) {
        for at in 0..self.nodes.len() {
            self.start(at);
        }
    }

    /// Gives the nodes one more transaction to order.
    pub(crate) fn submit(&mut self) {
        self.submitted.push(self.now);
        for at in 0..self.nodes.len() {
            self.tell_work(at);
        }
    }

    /// The application decides who votes in the epoch after the newest one planned.
    pub(crate) fn plan(&mut self, members: &[usize]) {
        let newest = self.plans.last_key_value().map_or(0, |(epoch, _)| *epoch);
        let keys = members.iter().map(|at| self.nodes[*at].key.public_key()).collect();
        let set = ValidatorSet::new(newest + 1, keys).expect("the sim's keys are distinct");
        self.plans.insert(newest + 1, set);
        for at in 0..self.nodes.len() {
            self.tell_work(at);
        }
    }

    /// The epoch that any honest node has reached.
    pub(crate) fn epoch(&self) -> u64 {
        self.judge.epochs.last_key_value().map_or(0, |(number, _)| *number)
    }

    fn plan_of(&self, at: usize) -> Option<&ValidatorSet> {
        let core = self.nodes[at].core.as_ref()?;
        self.plans.get(&(core.epoch().number() + 1))
    }

    pub(crate) fn hand_over(&mut self, at: usize) {
        if self.is_up(at) {
            self.give(at, Input::HandOver);
        }
    }

    /// Whether this node has ordered every transaction there is, in the last epoch there is to be.
    pub(crate) fn is_done(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        let epoch = node.core.as_ref().map_or(0, |core| core.epoch().number());
        node.app.count() >= self.submitted.len() as u64
            && self.plans.last_key_value().is_none_or(|(last, _)| *last == epoch)
    }

    /// All that are honest, and have not left for good.
    pub(crate) fn all_done(&self) -> bool {
        (0..self.nodes.len())
            .filter(|at| self.is_honest(*at) && !self.nodes[*at].retired)
            .all(|at| self.is_up(at) && self.is_done(at))
    }

    pub(crate) fn accused(&self, by: usize, whom: usize) -> bool {
        self.evidence.contains(&(by, self.nodes[whom].key.public_key()))
    }

    /// Lets time pass until the condition holds; whether it did within `limit` ms.
    pub(crate) fn run_until(&mut self, limit: u64, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if self.judge.found.is_some() || done(self) {
                return true;
            }
            let due = self.queue.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = due.filter(|at| *at <= end) else {
                self.now = end;
                return false;
            };
            let (_, event) = self.queue.pop_first().expect("there was a first");
            self.now = at;
            self.happen(event);
        }
    }

    pub(crate) fn run_for(&mut self, span: u64) {
        self.run_until(span, |_| false);
    }

    /// A line for each node: where it stands.
    pub(crate) fn describe(&self) -> String {
        let line = |(at, node): (usize, &Node)| match &node.core {
            None => format!("  node {at}: down"),
            Some(core) => format!(
                "  node {at}: {} of {} ordered, {:?}",
                node.app.count(),
                self.submitted.len(),
                core.progress()
            ),
        };
        self.nodes.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
    }

    // ------------------------------------------------------------------------------------------------ what happens

    fn after(&mut self, delay: u64, event: Event) {
        self.tickets += 1;
        self.queue.insert((self.now + delay, self.tickets), event);
    }

    fn lives(&self, at: usize, life: u32) -> bool {
        self.nodes[at].is_up() && self.nodes[at].life == life
    }

    fn glyphs(&self) -> String {
        let glyph = |node: &Node| match &node.core {
            None if node.retired => ' ',
            None => 'x',
            Some(core) => {
                let at = core.progress();
                match (at.seat, node.mischief) {
                    (None, _) => 'o',
                    (Some(seat), Mischief::Honest) if seat == at.leader && !at.timed_out => 'L',
                    (Some(_), Mischief::Honest) if at.timed_out => 't',
                    (Some(_), Mischief::Honest) => '.',
                    (Some(seat), _) if seat == at.leader => 'B',
                    (Some(_), _) => 'b',
                }
            }
        };
        self.nodes.iter().map(glyph).collect()
    }

    fn note(&mut self, at: usize, kind: &str, content: &[u8], text: impl FnOnce() -> String) {
        self.trace.event(self.now, kind, at, content);
        if self.trace.is_wanted() {
            let glyphs = self.glyphs();
            let text = text();
            self.trace.line(self.now, &glyphs, || format!("{at} {kind:<9} {text}"));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, bytes } => self.deliver(from, to, &bytes),
            Event::Synced { node, life, seq } if self.lives(node, life) => self.sync(node, seq),
            Event::Logged { node, life, height } if self.lives(node, life) => {
                self.nodes[node].app.synced(height);
                let lowest = match self.setting.prune && self.dice.percent(20) {
                    true => self.nodes[node].app.prune(),
                    false => None,
                };
                if let Some(lowest) = lowest {
                    self.give(node, Input::Pruned { lowest: Height(lowest) });
                }
                self.give(node, Input::Applied { height: Height(height) });
            }
            Event::Timer { node, life, at }
                if self.lives(node, life) && self.nodes[node].timer == at =>
            {
                self.note(node, "timer", &[], String::new);
                self.give(node, Input::Tick);
            }
            Event::Answer { node, life, input } if self.lives(node, life) => self.give(node, input),
            Event::Housekeep { node, life } if self.lives(node, life) => {
                self.recheck(node);
                self.tell_work(node);
                self.after(500, Event::Housekeep { node, life });
            }
            _ => {}
        }
    }

    fn deliver(&mut self, from: usize, to: usize, bytes: &[u8]) {
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

    fn sync(&mut self, at: usize, seq: Seq) {
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

    fn release(&mut self, at: usize) {
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
    fn give(&mut self, at: usize, input: Input) {
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

    fn obey(&mut self, at: usize, output: Output) {
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
                if self.is_honest(at) {
                    self.judge.accuses(epoch, &evidence);
                    let set = self.judge.epochs.get(&epoch).map(|epoch| epoch.validators().clone());
                    if let Some(key) = set.and_then(|set| {
                        let seat = evidence.verify(&set, &self.chain_id).ok()?;
                        set.key(seat).copied()
                    }) {
                        self.evidence.insert((at, key));
                    }
                }
                self.note(at, "evidence", &[], || {
                    format!("{evidence:?}").chars().take(60).collect()
                });
            }
        }
    }

    fn transmit(&mut self, at: usize, to: To, message: &Message) {
        let node = &self.nodes[at];
        let key = node.key.public_key();
        let (logged, committed) = (node.app.durable_height(), node.app.height());
        self.judge.leaves(key, message, &judge::Stands { saved: &node.saved, logged, committed });
        if self.trace.is_wanted() {
            let glyphs = self.glyphs();
            let line = || format!("{at} send      to {to:?}: {}", brief(message));
            self.trace.line(self.now, &glyphs, line);
        }
        let sent = self.twisted(at, to, message);
        for (to, bytes, late) in sent {
            self.spread(at, to, &bytes, late, message);
        }
    }

    fn twisted(&mut self, at: usize, to: To, message: &Message) -> Vec<mischief::Forged> {
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

    fn spread(&mut self, at: usize, to: To, bytes: &[u8], late: u64, message: &Message) {
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

    // ------------------------------------------------------------------------------------------- the application's part

    fn tell_work(&mut self, at: usize) {
        if !self.is_up(at) {
            return;
        }
        let node = &self.nodes[at];
        let waits = (0..self.submitted.len() as Tx).find(|tx| !node.app.has(*tx));
        let since = waits.and_then(|tx| self.submitted.get(usize::try_from(tx).ok()?));
        let starved = since.is_some_and(|since| self.now.saturating_sub(*since) > 3_000);
        let pending = waits.is_some() || self.plan_of(at).is_some();
        self.give(at, Input::Starved { starved });
        self.give(at, Input::Work { pending });
    }

    fn draft(&mut self, at: usize, want: &WantPayload) -> Option<Draft> {
        let node = &self.nodes[at];
        let taken = ordered(want.ancestors.iter());
        let free: Vec<Tx> = (0..self.submitted.len() as Tx)
            .filter(|tx| !node.app.has(*tx) && !taken.contains(tx))
            .take(3)
            .collect();
        let next = self.plan_of(at).cloned();
        if free.is_empty() && next.is_none() && !want.required {
            return None;
        }
        let time = TimeMs(node.clock.wall(self.now).max(want.parent_time.0 + 1));
        let draft = Draft { payload: app::encode(&free), app: node.app.app_ref(), time, next };
        Some(match node.mischief {
            Mischief::Censor => mischief::censored(draft),
            _ => draft,
        })
    }

    /// Whether a block may be voted for; nothing yet, if that needs more blocks or more time.
    fn judge_block(&self, at: usize, proposal: &Proposal) -> Option<bool> {
        let node = &self.nodes[at];
        let core: &Core = node.core.as_ref()?;
        let header = &proposal.block.header;
        if header.time.0 > node.clock.wall(self.now) + 500 {
            return None;
        }
        let Some(ancestors) = core.chain_to(&header.parent) else { return Some(false) };
        let taken = ordered(ancestors.into_iter());
        let Some(txs) = app::decode(&proposal.payload) else { return Some(false) };
        let distinct: BTreeSet<Tx> = txs.iter().copied().collect();
        let known = |tx: &Tx| usize::try_from(*tx).is_ok_and(|tx| tx < self.submitted.len());
        let fresh = |tx: &Tx| !node.app.has(*tx) && !taken.contains(tx);
        let good = distinct.len() == txs.len()
            && txs.iter().all(|tx| known(tx) && fresh(tx))
            && header.next.as_ref().is_none_or(|next| self.plans.get(&next.epoch()) == Some(next));
        if !good {
            return Some(false);
        }
        node.app.agrees(header.app)
    }

    fn recheck(&mut self, at: usize) {
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

    fn commit(&mut self, at: usize, blocks: Vec<gongsuan_consensus::CommittedBlock>) {
        let honest = self.is_honest(at);
        for block in blocks {
            let header = block.proposal.block.header.clone();
            let height = header.height.0;
            let expected = self.nodes[at].app.height() + 1;
            if honest {
                self.judge.commits(expected, &block);
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
            let twice = self.nodes[at].app.apply(block);
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

    /// Wall clocks and their speeds.
    pub(crate) fn skew(&mut self, at: usize, far: bool) {
        let near = [WALL, WALL - 200, WALL + 200];
        let off = [WALL, WALL - 600_000, WALL + 600_000];
        let ahead = self.dice.pick(if far { &off } else { &near });
        let rate = self.dice.pick(&[900, 1_000, 1_100]);
        let frozen = if self.dice.percent(20) { self.now + self.dice.below(2_000) } else { 0 };
        let clock = &mut self.nodes[at].clock;
        clock.ahead = ahead;
        clock.frozen_until = frozen;
        // The monotonic clock never goes back: only a node that is down changes its speed.
        if !self.nodes[at].is_up() {
            self.nodes[at].clock.rate = rate;
        }
    }

    pub(crate) fn heal(&mut self) {
        self.weather = FINE;
        self.cut.clear();
        for node in &mut self.nodes {
            node.clock.ahead = WALL;
            node.clock.frozen_until = 0;
            node.disk().heal();
        }
    }
}

/// What blocks on the way order.
fn ordered<'a>(ancestors: impl Iterator<Item = &'a Proposal>) -> BTreeSet<Tx> {
    ancestors.filter_map(|proposal| app::decode(&proposal.payload)).flatten().collect()
}

/// A message in a few words.
fn brief(message: &Message) -> String {
    match message {
        Message::Propose(p) => {
            let header = &p.block.header;
            let more = if header.is_final() { ", last of its epoch" } else { "" };
            format!("block {}.{}{more}", header.term, header.height)
        }
        Message::Vote(vote) => format!("{:?} {}.{}", vote.kind, vote.rank.term, vote.rank.height),
        Message::Votes(joined) => {
            let (prepare, commit) = (joined.prepare.0, joined.commit.0);
            format!(
                "Prepare {}.{} + Commit {}.{}",
                prepare.term, prepare.height, commit.term, commit.height
            )
        }
        Message::Certificate(qc) => {
            format!("certificate {:?} {}.{}", qc.kind, qc.rank.term, qc.rank.height)
        }
        Message::Suspect(suspect) => format!("suspects term {}", suspect.term),
        Message::Timeout(timeout) => format!(
            "ends term {}, highest {}.{}",
            timeout.term, timeout.high.rank.term, timeout.high.rank.height
        ),
        Message::TermOver(tc) => format!("term {} is over", tc.term),
        Message::Reopen(tc) => format!("votes again on the last block, after term {}", tc.term),
        Message::Status(status) => {
            format!("is at epoch {} term {} height {}", status.epoch, status.term, status.committed)
        }
        Message::FetchBlock(fetch) => format!("asks for block {}", fetch.height),
        Message::FetchRange(fetch) => format!("asks for blocks from {}", fetch.from_height),
        Message::Blocks(blocks) => format!("{} blocks", blocks.proposals.len()),
        Message::Snapshot(offer) => format!("offers a snapshot of {}", offer.height),
        Message::FetchChunk(fetch) => format!("asks for piece {}", fetch.index),
        Message::Chunk(chunk) => format!("piece {}", chunk.proof.index),
    }
}
