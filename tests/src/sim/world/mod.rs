//! The world: time, the network, the disks, and the nodes. One seed decides everything.

mod driver;
mod network;
mod people;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gongsuan_consensus::{Config, Epoch, Input, Seq, ValidatorSet, VoteCache};
use gongsuan_journal::Tear;
use gongsuan_types::{DurationMs, Hash, Height, PublicKey, SecretKey};

use self::people::People;
use super::app::App;
use super::dice::Dice;
use super::judge::{self, Judge};
use super::mischief::Mischief;
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
    /// The people of a chain look at it.
    Look,
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
    /// Whether the validators order a chain.
    pub(crate) chain: bool,
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
    /// Who uses the chain, if there is one.
    people: Option<People>,
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
        let people = setting.chain.then(|| {
            let of = |seat: &PublicKey| (0..count).map(key).find(|key| key.public_key() == *seat);
            let seats: Vec<SecretKey> = set.keys().iter().filter_map(of).collect();
            People::new(&set, &seats, seed)
        });
        let chain_id =
            people.as_ref().map_or(Hash::of("gongsuan/sim/chain", b""), People::chain_id);
        let first = Epoch::first(&chain_id, set.clone());
        let mischief = |at: usize| {
            setting
                .liars
                .iter()
                .find(|(liar, _)| *liar == at)
                .map_or(Mischief::Honest, |(_, how)| *how)
        };
        let nodes: Vec<Node> = (0..count)
            .map(|at| {
                let ledger = people.as_ref().map(|people| people.ledger(&set));
                Node::new(key(at), mischief(at), App::with(ledger))
            })
            .collect();
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
            people,
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
        if world.people.is_some() {
            world.after(1, Event::Look);
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
        if self.people.is_some() {
            // The people of a chain decide for themselves.
            return;
        }
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
            && self.people.as_ref().is_none_or(People::are_done)
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
            Event::Look => self.look(),
            _ => {}
        }
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
