//! What goes wrong in a world, and in which order: bad times, then a fine day on which everything must be finished.

use gongsuan_journal::Fault;

use super::judge;
use super::mischief::Mischief;
use super::world::{FINE, Setting, Weather, World};

/// A kind of bad times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Profile {
    /// Nothing goes wrong.
    Calm,
    /// Everything that honest nodes can suffer, mixed.
    Chaos,
    /// Partitions of every shape: two against two, one alone, one-way, flapping, a ring.
    Partitions,
    /// A third of all messages is lost; others come twice.
    Loss,
    /// Long and uneven delays; commit votes ten times slower.
    Delay,
    /// Clocks ten minutes off, jumping, fast, slow, frozen.
    Skew,
    /// Nodes crash at any byte of their logs, one after the other.
    Crashes,
    /// The power goes everywhere at once, again and again.
    PowerCuts,
    /// Disks fail: writes, syncs, space.
    BadDisks,
    /// A validator runs twice with one key; the twins hear different halves of the others.
    Twins,
    /// A leader proposes two blocks and votes for both.
    Equivocator,
    /// A validator that votes twice, openly.
    DoubleVoter,
    /// A validator withholds its commit votes and shows certificates to one other only.
    Withholder,
    /// A leader that orders nothing.
    Censor,
    /// A leader that is always almost too late.
    SlowLeader,
    /// Bent bytes, forged and low certificates.
    Forger,
    /// Wrong blocks and wrong pieces for those who catch up, under constant load and with short logs.
    LyingSync,
    /// Snapshots, honest and not, with nodes that were away for long.
    Snapshots,
    /// Validators come and go, back to back; those removed go dark, new ones are late.
    Reconfig,
    /// A validator loses its disk and comes back with its old key.
    DiskWiped,
    /// Far too many messages, from the far future.
    Flood,
    /// The lead is handed over again and again.
    Handover,
}

/// All profiles; a seed takes the one at its place.
pub const PROFILES: [Profile; 22] = [
    Profile::Chaos,
    Profile::Calm,
    Profile::Partitions,
    Profile::Loss,
    Profile::Delay,
    Profile::Skew,
    Profile::Crashes,
    Profile::PowerCuts,
    Profile::BadDisks,
    Profile::Twins,
    Profile::Equivocator,
    Profile::DoubleVoter,
    Profile::Withholder,
    Profile::Censor,
    Profile::SlowLeader,
    Profile::Forger,
    Profile::LyingSync,
    Profile::Snapshots,
    Profile::Reconfig,
    Profile::DiskWiped,
    Profile::Flood,
    Profile::Handover,
];

/// The profiles of worlds with a chain: those without snapshots and without changes of the validators, which the ledger has not yet.
pub const CHAIN_PROFILES: [Profile; 18] = [
    Profile::Chaos,
    Profile::Calm,
    Profile::Partitions,
    Profile::Loss,
    Profile::Delay,
    Profile::Skew,
    Profile::Crashes,
    Profile::PowerCuts,
    Profile::BadDisks,
    Profile::Twins,
    Profile::Equivocator,
    Profile::DoubleVoter,
    Profile::Withholder,
    Profile::Censor,
    Profile::SlowLeader,
    Profile::Forger,
    Profile::Flood,
    Profile::Handover,
];

impl Profile {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.extend(letter.to_lowercase());
        }
        name
    }

    /// The profile of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        PROFILES.into_iter().find(|profile| profile.name() == name)
    }

    /// The profile that a seed takes by itself.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let count = PROFILES.len() as u64;
        PROFILES[usize::try_from(seed % count).unwrap_or(0)]
    }

    /// The profile that a seed takes by itself in worlds with a chain.
    #[must_use]
    pub fn of_chain(seed: u64) -> Self {
        let count = CHAIN_PROFILES.len() as u64;
        CHAIN_PROFILES[usize::try_from(seed % count).unwrap_or(0)]
    }

    fn mischief(self) -> Option<Mischief> {
        Some(match self {
            Self::Equivocator => Mischief::Equivocate,
            Self::DoubleVoter => Mischief::VoteTwice,
            Self::Withholder => Mischief::Withhold,
            Self::Censor => Mischief::Censor,
            Self::SlowLeader => Mischief::Dawdle,
            Self::Forger => Mischief::Forge,
            Self::LyingSync => Mischief::Mislead,
            Self::Flood => Mischief::Flood,
            _ => return None,
        })
    }

    pub(crate) fn setting(self, seed: u64) -> Setting {
        let large = seed.is_multiple_of(8) && matches!(self, Self::Chaos | Self::Crashes);
        let members = if large { 7 } else { 4 };
        let learners = if self == Self::Reconfig { 2 } else { 0 };
        let twins = if self == Self::Twins { vec![(4, 1)] } else { Vec::new() };
        let first_leader = 1;
        Setting {
            members: members + usize::from(!twins.is_empty()),
            learners,
            liars: self.mischief().map(|how| (first_leader, how)).into_iter().collect(),
            twins,
            reign_blocks: if self == Self::Handover { 3 } else { 4_096 },
            lease: if matches!(self, Self::Chaos | Self::Crashes) { 64 } else { 4 },
            prune: matches!(self, Self::Snapshots | Self::LyingSync)
                || self == Self::Reconfig && seed.is_multiple_of(3),
            chain: false,
            #[cfg(feature = "faults")]
            fault: None,
        }
    }
}

fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |a| (0..n).filter(move |b| *b != a).map(move |b| (a, b)))
}

fn bad_weather(world: &mut World) {
    world.weather = Weather {
        loss_percent: world.dice.pick(&[0, 5, 30]),
        repeat_percent: 10,
        delay_max: world.dice.pick(&[3, 30, 400]),
        slow_commits: 1,
        disk_max: world.dice.pick(&[2, 10, 200]),
    };
}

fn cut(world: &mut World) {
    let n = world.nodes.len();
    world.cut.clear();
    match world.dice.below(6) {
        0 => {
            let side = world.dice.below(1 << n);
            let apart = |(a, b): &(usize, usize)| (side >> a) & 1 != (side >> b) & 1;
            world.cut.extend(pairs(n).filter(apart));
        }
        1 => {
            for pair in pairs(n) {
                if world.dice.percent(25) {
                    world.cut.insert(pair);
                }
            }
        }
        2 => {
            let alone = world.dice.index(n);
            world.cut.extend(pairs(n).filter(|(a, b)| *a == alone || *b == alone));
        }
        3 => {
            // One-way: it hears and is not heard.
            let mute = world.dice.index(n);
            world.cut.extend(pairs(n).filter(|(a, _)| *a == mute));
        }
        4 => {
            // A ring: everybody reaches the next one only.
            world.cut.extend(pairs(n).filter(|(a, b)| (a + 1) % n != *b));
        }
        _ => {}
    }
}

/// Submits a little and lets some time pass.
fn work(world: &mut World, txs: u64, pause: u64) {
    for _ in 0..txs {
        world.submit();
        let pause = world.dice.below(60);
        world.run_for(pause);
    }
    let pause = world.dice.below(pause);
    world.run_for(pause);
}

fn crash_some(world: &mut World) {
    let n = world.nodes.len();
    // Sometimes more than f are down: then nothing moves, and nothing may break.
    let down_max = if world.dice.percent(20) { n } else { (n - 1) / 3 };
    for at in 0..n {
        if world.is_up(at) && world.down() < down_max && world.dice.percent(40) {
            world.crash(at);
        } else if !world.is_up(at) && world.dice.percent(60) {
            world.start(at);
        }
    }
}

fn storms(world: &mut World, profile: Profile, seed: u64) {
    let n = world.nodes.len();
    let rounds = 5 + seed % 5;
    for round in 0..rounds {
        match profile {
            Profile::Chaos => {
                bad_weather(world);
                if world.dice.percent(40) {
                    cut(world);
                }
                crash_some(world);
                work(world, 4, 1_500);
            }
            Profile::Partitions => {
                cut(world);
                let flaps = if world.dice.percent(30) { 6 } else { 1 };
                for _ in 0..flaps {
                    work(world, 1, 3_000 / flaps);
                    if flaps > 1 {
                        cut(world);
                    }
                }
                work(world, 2, 1_000);
            }
            Profile::Loss => {
                world.weather = Weather { loss_percent: 30, repeat_percent: 30, ..FINE };
                work(world, 4, 1_500);
            }
            Profile::Delay => {
                world.weather = Weather {
                    delay_max: world.dice.pick(&[60, 200, 700]),
                    slow_commits: world.dice.pick(&[1, 10]),
                    ..FINE
                };
                work(world, 4, 2_500);
            }
            Profile::Skew => {
                // Of all wall clocks f may be far off, and always the same: block time needs the others.
                let far = usize::try_from(seed / 22 % 4).unwrap_or(0);
                for at in 0..n {
                    world.skew(at, at == far);
                }
                crash_some(world);
                work(world, 4, 2_000);
            }
            Profile::Crashes => {
                world.weather.disk_max = world.dice.pick(&[1, 5, 30]);
                for _ in 0..4 {
                    let at = world.dice.index(n);
                    world.submit();
                    let pause = world.dice.below(25);
                    world.run_for(pause);
                    world.crash(at);
                    let pause = world.dice.below(25);
                    world.run_for(pause);
                    world.start(at);
                }
                work(world, 1, 400);
            }
            Profile::PowerCuts => {
                world.weather.disk_max = 1 + world.dice.below(20);
                work(world, 3, 40);
                for at in 0..n {
                    world.crash(at);
                }
                world.run_for(5);
                world.restart_all();
                work(world, 1, 300);
            }
            Profile::BadDisks => {
                let at = world.dice.index(n);
                let disk = world.nodes[at].disk().clone();
                let ahead = world.dice.below(30);
                let kept = world.dice.index(40);
                let fault = world.dice.pick(&[Fault::Error, Fault::SyncLost, Fault::Full { kept }]);
                disk.inject(disk.calls() + ahead, fault);
                work(world, 4, 700);
                disk.heal();
                for at in 0..n {
                    if !world.is_up(at) {
                        world.nodes[at].disk().heal();
                        world.start(at);
                    }
                }
            }
            Profile::Twins => {
                bad_weather(world);
                world.weather.disk_max = 5;
                world.cut.clear();
                for honest in [0, 2, 3] {
                    // Each honest validator hears one of the twins, or both.
                    if let Some(deaf) = world.dice.pick(&[None, Some(1), Some(4)]) {
                        world.cut.insert((deaf, honest));
                        world.cut.insert((honest, deaf));
                    }
                    if world.dice.percent(15) {
                        world.crash(honest);
                        world.start(honest);
                    }
                }
                work(world, 3, 1_500);
            }
            Profile::LyingSync | Profile::Snapshots => {
                let away = [0, 2, 3][usize::try_from(round % 3).unwrap_or(0)];
                world.crash(away);
                for _ in 0..16 {
                    work(world, 1, 20);
                }
                world.run_for(300);
                world.start(away);
                if world.dice.percent(30) {
                    let pause = world.dice.below(150);
                    world.run_for(pause);
                    world.crash(away);
                    world.start(away);
                }
                work(world, 4, 1_500);
            }
            Profile::Reconfig => reconfigure(world, round),
            Profile::DiskWiped => {
                if round == 1 {
                    world.crash(2);
                    world.nodes[2].wipe();
                    let key = world.nodes[2].key.public_key();
                    world.judge.liars.insert(key);
                    world.start(2);
                }
                bad_weather(world);
                work(world, 4, 1_500);
            }
            Profile::Handover => {
                let at = world.dice.index(n);
                world.hand_over(at);
                work(world, 4, 300);
            }
            Profile::Equivocator => {
                world.weather.delay_max = world.dice.pick(&[3, 30]);
                for _ in 0..3 {
                    world.submit();
                    let pause = world.dice.below(30);
                    world.run_for(pause);
                    let at = world.dice.pick(&[0, 2, 3]);
                    world.crash(at);
                    let pause = world.dice.below(10);
                    world.run_for(pause);
                    world.start(at);
                    let pause = world.dice.below(600);
                    world.run_for(pause);
                }
            }
            Profile::Withholder | Profile::Forger => {
                bad_weather(world);
                if world.dice.percent(20) {
                    cut(world);
                }
                work(world, 4, 1_500);
                world.cut.clear();
            }
            Profile::Calm | Profile::DoubleVoter | Profile::Censor => work(world, 4, 600),
            Profile::SlowLeader | Profile::Flood => work(world, 3, 900),
        }
        if world.judge.found.is_some() {
            return;
        }
    }
}

/// One or two changes of the validators, given at once; nodes that lose their seat may go dark as soon as they have.
fn reconfigure(world: &mut World, round: u64) {
    let sets: [&[usize]; 6] = [
        &[0, 1, 2, 4],
        &[0, 2, 4, 5],
        &[4, 5, 0, 1],
        &[0, 1, 2, 3, 4, 5],
        &[1, 2, 3, 0],
        &[3, 4, 5, 0],
    ];
    let back_to_back = 1 + world.dice.below(2);
    let mut newest: &[usize] = &[];
    for _ in 0..back_to_back {
        newest = world.dice.pick(&sets);
        world.plan(newest);
    }
    if world.dice.percent(50) {
        bad_weather(world);
        world.weather.loss_percent = world.weather.loss_percent.min(5);
    }
    let late =
        if world.dice.percent(40) { newest.iter().copied().find(|at| *at >= 4) } else { None };
    if let Some(late) = late {
        world.crash(late);
    }
    // The end of an epoch may come at any moment of a term change.
    if world.dice.percent(40) {
        let pause = world.dice.below(20);
        world.run_for(pause);
        let at = world.dice.index(4);
        world.crash(at);
        let pause = world.dice.below(600);
        world.run_for(pause);
        world.start(at);
    }
    work(world, 3, 1_000);
    if round % 2 == 1 {
        for at in 0..world.nodes.len() {
            if !newest.contains(&at) && world.dice.percent(50) {
                world.crash(at);
            }
        }
    }
    work(world, 2, 1_000);
    if let Some(late) = late {
        world.start(late);
    }
    world.restart_all();
    world.weather = FINE;
}

/// Lives through bad times, and then demands that everything is finished.
pub(crate) fn live(world: &mut World, profile: Profile, seed: u64) {
    storms(world, profile, seed);
    if world.judge.found.is_some() {
        return;
    }
    world.heal();
    world.restart_all();
    if profile == Profile::Twins {
        world.crash(4);
    }
    world.submit();
    world.close();
    let finished = world.run_until(world.patience(), World::all_done);
    if world.judge.found.is_some() {
        return;
    }
    if !finished {
        let text = world.describe();
        world.judge.blame(judge::LIVENESS, format!("not finished on a fine day:\n{text}"));
        return;
    }
    world.judge_ending();
    if profile == Profile::DoubleVoter {
        for honest in [0, 2, 3] {
            if !world.accused(honest, 1) {
                world
                    .judge
                    .blame(judge::EVIDENCE_COMPLETE, format!("{honest} has not named the liar"));
            }
        }
    }
}
