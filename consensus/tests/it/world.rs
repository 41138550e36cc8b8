//! Validators with disks and a network between them, on an imagined clock. One seed decides everything.

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_consensus::{
    AppRef, Blocks, CommittedBlock, Config, Core, Draft, Epoch, Evidence, Input, Message, Millis,
    Output, Outputs, Payload, Record, Recovered, Seat, Seq, To, ValidatorSet, VoteCache, verify,
};
use gongsuan_types::{Hash, Height, SecretKey, TimeMs, codec};

use crate::monitor::Monitor;

/// Numbers that look random and follow from the seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Hash::of("dice", &seed.to_le_bytes()).to_u64())
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// How bad the world is.
#[derive(Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) loss_percent: u64,
    pub(crate) repeat_percent: u64,
    pub(crate) delay_max: u64,
    pub(crate) disk_max: u64,
}

pub(crate) const FINE: Weather =
    Weather { loss_percent: 0, repeat_percent: 0, delay_max: 3, disk_max: 2 };

enum Event {
    Deliver {
        from: Seat,
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
    /// To be told whether there is work, as it is then.
    Work {
        node: usize,
        life: u32,
    },
}

/// A validator: its core while it lives, and its disks, which survive.
pub(crate) struct Node {
    pub(crate) seat: Seat,
    pub(crate) core: Option<Core>,
    pub(crate) log: Vec<CommittedBlock>,
    life: u32,
    records: Vec<(Seq, Record)>,
    durable: usize,
    log_durable: usize,
    synced: Seq,
    held: Vec<(Seq, To, Message)>,
    seen: BTreeSet<u64>,
    timer: u64,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) dice: Dice,
    pub(crate) nodes: Vec<Node>,
    pub(crate) weather: Weather,
    /// Pairs of nodes between which nothing passes in this direction.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    pub(crate) monitor: Monitor,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) messages: u64,
    pub(crate) submitted: u64,
    pub(crate) chain_id: Hash,
    pub(crate) set: ValidatorSet,
    pub(crate) epoch: Epoch,
    /// Whether a write-ahead log is sometimes replaced by the core's own summary.
    pub(crate) rotate: bool,
    keys: Vec<SecretKey>,
    cache: VoteCache,
    queue: BTreeMap<(u64, u64), Event>,
    tickets: u64,
}

impl World {
    /// `n` validators that have never run.
    pub(crate) fn new(n: usize, seed: u64) -> Self {
        Self::with_seats(n, &(0..n).collect::<Vec<_>>(), seed)
    }

    /// Nodes that sit on the given seats; two may share one.
    pub(crate) fn with_seats(n: usize, seats: &[usize], seed: u64) -> Self {
        let keys: Vec<_> = (0..n).map(|i| SecretKey::from_seed(&[i as u8])).collect();
        let set = ValidatorSet::new(0, keys.iter().map(SecretKey::public_key).collect()).unwrap();
        let node = |seat: &usize| Node {
            seat: Seat(*seat as u16),
            core: None,
            log: Vec::new(),
            life: 0,
            records: Vec::new(),
            durable: 0,
            log_durable: 0,
            synced: Seq(0),
            held: Vec::new(),
            seen: BTreeSet::new(),
            timer: 0,
        };
        let mut world = Self {
            now: 1_000,
            dice: Dice::new(seed),
            nodes: seats.iter().map(node).collect(),
            weather: FINE,
            cut: BTreeSet::new(),
            monitor: Monitor::default(),
            evidence: Vec::new(),
            messages: 0,
            submitted: 0,
            chain_id: Hash::of("test chain", b""),
            epoch: Epoch::first(&Hash::of("test chain", b""), set.clone()),
            set,
            rotate: false,
            keys,
            cache: VoteCache::new(100_000),
            queue: BTreeMap::new(),
            tickets: 0,
        };
        for node in 0..seats.len() {
            world.start(node);
        }
        world
    }

    /// Starts a node from its disks.
    pub(crate) fn start(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        assert!(node.core.is_none(), "node {at} is running");
        node.life += 1;
        node.synced = Seq(0);
        let mut recovered = Recovered::default();
        for (_, record) in &node.records {
            recovered.apply(Record::decode(&record.encode()).unwrap());
        }
        if let Some(newest) = node.log.last() {
            recovered.set_committed(newest.clone());
        }
        // The numbers of an earlier life mean nothing in this one.
        for entry in &mut node.records {
            entry.0 = Seq(0);
        }
        let key = self.keys[usize::from(node.seat.0)].clone();
        let config = Config::new(self.chain_id, self.set.clone(), key);
        node.core = Some(Core::new(config, recovered).unwrap());
        node.seen = seen(&node.log);
        self.step(at, Input::Tick);
        self.tell_work(at);
    }

    /// Kills a node: what was not durable may be lost, from some point on.
    pub(crate) fn crash(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.core = None;
        node.held.clear();
        let torn = self.dice.below((node.records.len() - node.durable + 1) as u64) as usize;
        node.records.truncate(node.durable + torn);
        node.durable = node.records.len();
        let torn = self.dice.below((node.log.len() - node.log_durable + 1) as u64) as usize;
        node.log.truncate(node.log_durable + torn);
        node.log_durable = node.log.len();
    }

    /// Takes away everything a node has but its key, and lets it come back.
    pub(crate) fn wipe(&mut self, at: usize) {
        self.crash(at);
        let node = &mut self.nodes[at];
        (node.records, node.log) = (vec![(Seq(0), Record::Observing(true))], Vec::new());
        (node.durable, node.log_durable) = (1, 0);
        self.start(at);
    }

    pub(crate) fn seat(&self, at: usize) -> Option<Seat> {
        self.nodes[at].core.as_ref().unwrap().progress().seat
    }

    pub(crate) fn is_up(&self, at: usize) -> bool {
        self.nodes[at].core.is_some()
    }

    pub(crate) fn restart_all(&mut self) {
        for at in 0..self.nodes.len() {
            if !self.is_up(at) {
                self.start(at);
            }
        }
    }

    /// Gives all nodes one more transaction to order.
    pub(crate) fn submit(&mut self) {
        self.submitted += 1;
        for at in 0..self.nodes.len() {
            self.tell_work(at);
        }
    }

    fn tell_work(&mut self, at: usize) {
        let pending = (self.nodes[at].seen.len() as u64) < self.submitted;
        self.step(at, Input::Work { pending });
    }

    pub(crate) fn term(&self, at: usize) -> u64 {
        self.nodes[at].core.as_ref().unwrap().progress().term.0
    }

    pub(crate) fn leader(&self, at: usize) -> usize {
        usize::from(self.nodes[at].core.as_ref().unwrap().progress().leader.0)
    }

    /// Whether this node has ordered every transaction there is.
    pub(crate) fn is_done(&self, at: usize) -> bool {
        self.nodes[at].seen.len() as u64 == self.submitted
    }

    pub(crate) fn all_done(&self) -> bool {
        (0..self.nodes.len()).all(|at| self.is_up(at) && self.is_done(at))
    }

    /// Lets time pass until the condition holds; the time it took, or `None` if it did not within `limit` ms.
    pub(crate) fn run_until(&mut self, limit: u64, done: impl Fn(&Self) -> bool) -> Option<u64> {
        let start = self.now;
        loop {
            if done(self) {
                return Some(self.now - start);
            }
            // Nothing is due when all are down.
            let due = self.queue.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = due.filter(|at| *at <= start + limit) else {
                self.now = start + limit;
                return None;
            };
            let (_, event) = self.queue.pop_first().unwrap();
            self.now = at;
            self.happen(event);
        }
    }

    pub(crate) fn run_for(&mut self, span: u64) {
        self.run_until(span, |_| false);
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.tickets += 1;
        self.queue.insert((self.now + delay, self.tickets), event);
    }

    fn lives(&self, at: usize, life: u32) -> bool {
        self.nodes[at].core.is_some() && self.nodes[at].life == life
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, bytes } => {
                let message = Message::decode(&bytes).unwrap();
                let Some(core) = &self.nodes[to].core else { return };
                if core.wants(from, &message) {
                    let checked = verify(message, &self.epoch, &self.chain_id, &self.cache);
                    self.step(to, Input::Message { from, message: checked.unwrap() });
                }
            }
            Event::Synced { node, life, seq } if self.lives(node, life) => {
                let it = &mut self.nodes[node];
                it.durable = it.durable.max(it.records.partition_point(|(s, _)| *s <= seq));
                it.synced = it.synced.max(seq);
                self.release(node);
                self.step(node, Input::Persisted { seq });
                if self.rotate && self.dice.percent(10) {
                    self.rotate_log(node);
                }
            }
            Event::Logged { node, life, height } if self.lives(node, life) => {
                let it = &mut self.nodes[node];
                it.log_durable = it.log_durable.max(height as usize);
                self.step(node, Input::Applied { height: Height(height) });
            }
            Event::Timer { node, life, at }
                if self.lives(node, life) && self.nodes[node].timer == at =>
            {
                self.step(node, Input::Tick);
            }
            Event::Answer { node, life, input } if self.lives(node, life) => self.step(node, input),
            Event::Work { node, life } if self.lives(node, life) => self.tell_work(node),
            _ => {}
        }
    }

    /// Replaces the write-ahead log by the core's own summary, as a driver does when it has grown long.
    fn rotate_log(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let last = node.records.last().map_or(Seq(0), |(seq, _)| *seq).max(node.synced);
        let summary = node.core.as_ref().unwrap().durable_records();
        node.records = summary.into_iter().map(|record| (last, record)).collect();
        node.durable = node.records.len();
        node.synced = last;
        self.release(at);
        self.step(at, Input::Persisted { seq: last });
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

    fn transmit(&mut self, at: usize, to: To, message: &Message) {
        let from = self.nodes[at].seat;
        let durable: Vec<Record> =
            if matches!(message, Message::Vote(_) | Message::Votes(_) | Message::Timeout(_)) {
                let node = &self.nodes[at];
                node.records[..node.durable].iter().map(|(_, record)| record.clone()).collect()
            } else {
                Vec::new()
            };
        let logged = self.nodes[at].log_durable as u64;
        self.monitor.leaves(from, message, (&durable, logged), &self.chain_id);
        let bytes = message.encode();
        for other in 0..self.nodes.len() {
            let meant = match to {
                To::All => self.nodes[other].seat != from,
                To::One(seat) => self.nodes[other].seat == seat,
            };
            if !meant || self.cut.contains(&(at, other)) {
                continue;
            }
            self.messages += 1;
            if self.dice.percent(self.weather.loss_percent) {
                continue;
            }
            let copies = 1 + u64::from(self.dice.percent(self.weather.repeat_percent));
            for _ in 0..copies {
                let delay = 1 + self.dice.below(self.weather.delay_max);
                self.at(delay, Event::Deliver { from, to: other, bytes: bytes.clone() });
            }
        }
    }

    fn step(&mut self, at: usize, input: Input) {
        let Some(core) = self.nodes[at].core.as_mut() else { return };
        let mut out = Outputs::new();
        core.step(Millis(self.now), input, &mut out);
        let life = self.nodes[at].life;
        for output in out {
            self.obey(at, life, output);
        }
    }

    fn obey(&mut self, at: usize, life: u32, output: Output) {
        match output {
            Output::Persist { seq, record, sync } => {
                self.nodes[at].records.push((seq, record));
                if sync {
                    let delay = self.dice.below(self.weather.disk_max + 1);
                    self.at(delay, Event::Synced { node: at, life, seq });
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
                let mut taken = self.nodes[at].seen.clone();
                for proposal in &want.ancestors {
                    taken.extend(transactions(&proposal.payload));
                }
                let free: Vec<u64> =
                    (0..self.submitted).filter(|id| !taken.contains(id)).take(3).collect();
                let draft = (!free.is_empty() || want.required).then(|| Draft {
                    payload: Payload::new(codec::encode(&free)),
                    app: AppRef::default(),
                    time: TimeMs(self.now),
                    next: None,
                });
                let input = Input::Payload { term: want.term, height: want.height, draft };
                let delay = self.dice.below(2);
                self.at(delay, Event::Answer { node: at, life, input });
            }
            Output::Check { block, proposal } => {
                let core = self.nodes[at].core.as_ref().unwrap();
                let parent = proposal.block.header.parent;
                let mut taken = self.nodes[at].seen.clone();
                for ancestor in core.chain_to(&parent).expect("ancestors are here") {
                    taken.extend(transactions(&ancestor.payload));
                }
                let ok = transactions(&proposal.payload).iter().all(|id| !taken.contains(id));
                let delay = self.dice.below(3);
                let input = Input::Checked { block, ok };
                self.at(delay, Event::Answer { node: at, life, input });
            }
            Output::Commit { blocks } => self.take(at, life, blocks),
            Output::ServeBlocks { to, from_height, to_height } => {
                let node = &self.nodes[at];
                assert!(to_height.0 as usize <= node.log_durable, "what is served is durable");
                let range = node.log[from_height.0 as usize - 1..to_height.0 as usize].to_vec();
                if let Some(blocks) = Blocks::from_log(range, 16 << 10) {
                    self.transmit(at, To::One(to), &Message::Blocks(Box::new(blocks)));
                }
            }
            Output::TimerAt { at: when } => {
                self.nodes[at].timer = when.0;
                let delay = when.0.saturating_sub(self.now);
                self.at(delay, Event::Timer { node: at, life, at: when.0 });
            }
            Output::EnterTerm { .. } => {}
            Output::ServeSnapshot { .. } | Output::ServeChunk { .. } | Output::StoreChunk(_) => {}
            Output::InstallSnapshot(_) | Output::EnterEpoch { .. } => {}
            Output::Evidence(evidence) => {
                let guilty = evidence.verify(&self.set, &self.chain_id).unwrap();
                assert!(self.monitor.liars.contains(&guilty), "the honest {guilty} is accused");
                self.evidence.push(*evidence);
            }
        }
    }

    fn take(&mut self, at: usize, life: u32, blocks: Vec<CommittedBlock>) {
        assert!(blocks.last().unwrap().is_certified(), "the last block of a commit is certified");
        for block in blocks {
            let node = &mut self.nodes[at];
            let height = node.log.len() as u64 + 1;
            self.monitor.commits(node.seat, height, &block, &self.chain_id);
            if let Some(header) = block.certified_header() {
                assert!(self.dice.below(8) > 0 || header.verify(&self.set, &self.chain_id).is_ok());
            }
            for id in transactions(&block.proposal.payload) {
                assert!(node.seen.insert(id), "transaction {id} is ordered twice");
            }
            node.log.push(block);
        }
        let height = self.nodes[at].log.len() as u64;
        let delay = self.dice.below(self.weather.disk_max + 1);
        self.at(delay, Event::Logged { node: at, life, height });
        self.at(0, Event::Answer { node: at, life, input: Input::Tick });
        self.at(0, Event::Work { node: at, life });
    }
}

fn transactions(payload: &Payload) -> Vec<u64> {
    codec::decode("payload", 1 << 16, payload.bytes()).unwrap()
}

fn seen(log: &[CommittedBlock]) -> BTreeSet<u64> {
    log.iter().flat_map(|block| transactions(&block.proposal.payload)).collect()
}
