//! Real nodes under real faults: processes on loopback that are killed, stopped and cut off, and a checker that counts the money.
//!
//! ```text
//! load    sixteen payers, each with its own key and its own node to begin with: one transfer after another, waiting for the commit of each
//! faults  one after another, each healed again; after each, how long it took until somebody's transfer was committed
//! judge   every acknowledged transfer is committed at every node, its payee has exactly what was sent, and all roots are equal
//! ```

mod load;
mod network;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use load::Load;
pub use network::{Error, Network};

/// After a fault that leaves a quorum, or once it is healed, somebody's transfer must be committed within this. It is a bound against standing still, far above
/// what is measured, and not a target.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a fault lasts.
const LASTS: Duration = Duration::from_secs(3);

/// What is done to a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// SIGKILL to each node in turn; each comes back before the next goes.
    KillEach,
    /// SIGKILL to all at once.
    KillAll,
    /// SIGTERM to each in turn, as a new version is rolled out.
    Rolling,
    /// SIGSTOP to one node, as if its machine hung; it goes on where it was.
    Pause,
    /// The leader alone on one side.
    Isolate,
    /// Two and two: nobody has a quorum.
    Halves,
    /// What one node sends reaches nobody; it hears everything.
    OneWay,
    /// The links of one node cut and healed many times.
    Flapping,
    /// 50 ± 20 ms, five of a hundred pieces lost.
    Slow,
}

const NAMES: [(Fault, &str); 9] = [
    (Fault::KillEach, "kill-each"),
    (Fault::KillAll, "kill-all"),
    (Fault::Rolling, "rolling"),
    (Fault::Pause, "pause"),
    (Fault::Isolate, "isolate"),
    (Fault::Halves, "halves"),
    (Fault::OneWay, "one-way"),
    (Fault::Flapping, "flapping"),
    (Fault::Slow, "slow"),
];

impl Fault {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::KillEach,
        Self::KillAll,
        Self::Rolling,
        Self::Pause,
        Self::Isolate,
        Self::Halves,
        Self::OneWay,
        Self::Flapping,
        Self::Slow,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(fault, _)| fault == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(_, name)| *name == text).map(|(fault, _)| *fault);
        let all = || NAMES.map(|(_, name)| name).join(", ");
        found.ok_or_else(|| format!("{text:?} is no fault: {}", all()))
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Sum {
    faults: usize,
    acknowledged: usize,
    longest: Duration,
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, acknowledged, longest } = self;
        write!(
            f,
            "{faults} faults, {acknowledged} transfers acknowledged: 0 lost, 0 doubled, roots equal; commits went on within {longest:.1?}"
        )
    }
}

/// Puts faults on a network under load, once or until a time is over, and counts. `say` hears a line for each fault.
///
/// # Errors
/// What does not hold.
pub fn run(
    network: &Network,
    faults: &[Fault],
    until: Option<Duration>,
    mut say: impl FnMut(String),
) -> Result<Sum, Error> {
    let start = Instant::now();
    let load = Load::start(network)?;
    load.wait_for_commit(PATIENCE)?;
    let (mut count, mut longest) = (0, Duration::ZERO);
    loop {
        for fault in faults {
            let gap = put(network, &load, *fault)?;
            count += 1;
            longest = longest.max(gap);
            say(format!(
                "{fault}: commits went on within {gap:.1?}; {} acknowledged",
                load.count()
            ));
        }
        if until.is_none_or(|until| start.elapsed() >= until) {
            break;
        }
    }
    let paid = load.stop()?;
    let acknowledged = paid.iter().map(|payer| payer.acknowledged.len()).sum();
    load::judge(network, &paid)?;
    Ok(Sum { faults: count, acknowledged, longest })
}

/// One fault, healed; the longest that nothing was committed after it began (if a quorum was left) or was healed (if not).
fn put(network: &Network, load: &Load, fault: Fault) -> Result<Duration, Error> {
    let all = 0..network.count();
    let mut longest = Duration::ZERO;
    let mut gap = || -> Result<(), Error> {
        longest = longest.max(load.wait_for_commit(PATIENCE)?);
        Ok(())
    };
    match fault {
        Fault::KillEach => {
            for id in all {
                network.signal(id, "-KILL")?;
                gap()?;
                network.start(id)?;
            }
        }
        Fault::KillAll => {
            for id in all.clone() {
                network.signal(id, "-KILL")?;
            }
            for id in all {
                network.spawn(id)?;
            }
            network.ready()?;
            gap()?;
        }
        Fault::Rolling => {
            for id in all {
                network.signal(id, "-TERM")?;
                network.start(id)?;
                gap()?;
            }
        }
        Fault::Pause => {
            let leader = network.leader()?;
            network.tell(leader, "-STOP")?;
            let went_on = gap();
            std::thread::sleep(LASTS);
            network.tell(leader, "-CONT")?;
            went_on?;
            gap()?;
        }
        Fault::Isolate => {
            let leader = network.leader()?;
            let others: Vec<usize> = all.filter(|id| *id != leader).collect();
            network.cut(&[vec![leader], others], false)?;
            let went_on = gap();
            std::thread::sleep(LASTS);
            network.heal()?;
            went_on?;
        }
        Fault::Halves => {
            let half = network.count() / 2;
            network.cut(&[(0..half).collect(), (half..network.count()).collect()], false)?;
            std::thread::sleep(LASTS);
            network.heal()?;
            gap()?;
        }
        Fault::OneWay => {
            network.cut(&[vec![0], (1..network.count()).collect()], true)?;
            let went_on = gap();
            std::thread::sleep(LASTS);
            network.heal()?;
            went_on?;
        }
        Fault::Flapping => {
            for _ in 0..10 {
                network.cut(&[vec![1], vec![0, 2, 3]], false)?;
                std::thread::sleep(LASTS / 15);
                network.heal()?;
                std::thread::sleep(LASTS / 15);
            }
            gap()?;
        }
        Fault::Slow => {
            network.slow(50, 20, 5)?;
            let went_on = gap();
            std::thread::sleep(LASTS);
            network.slow(0, 0, 0)?;
            went_on?;
            gap()?;
        }
    }
    network.ready()?;
    Ok(longest)
}
