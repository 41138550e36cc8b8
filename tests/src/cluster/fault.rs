//! What is done to a network, by name.

use std::fmt;
use std::str::FromStr;

/// What is done to a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// SIGKILL to each node in turn; each comes back before the next goes.
    KillEach,
    /// SIGKILL to all at once.
    KillAll,
    /// SIGTERM to each in turn, and on with another file of the program, as a new version is rolled out.
    Rolling,
    /// SIGSTOP to the leader, as if its machine hung; it goes on where it was.
    Pause,
    /// The leader alone on one side.
    Isolate,
    /// Two and two: nobody has a quorum.
    Halves,
    /// What the leader sends reaches nobody; it hears everything.
    OneWay,
    /// The links of one node cut and healed many times.
    Flapping,
    /// 50 ± 20 ms, five of a hundred pieces lost.
    Slow,
    /// One node's file system has no room left.
    DiskFull,
    /// The leader's clock is suddenly an hour ahead; later it is right again.
    ClockAhead,
    /// The leader's clock is suddenly an hour behind; later it is right again.
    ClockBehind,
}

const NAMES: [(Fault, &str); 12] = [
    (Fault::KillEach, "kill-each"),
    (Fault::KillAll, "kill-all"),
    (Fault::Rolling, "rolling"),
    (Fault::Pause, "pause"),
    (Fault::Isolate, "isolate"),
    (Fault::Halves, "halves"),
    (Fault::OneWay, "one-way"),
    (Fault::Flapping, "flapping"),
    (Fault::Slow, "slow"),
    (Fault::DiskFull, "disk-full"),
    (Fault::ClockAhead, "clock-ahead"),
    (Fault::ClockBehind, "clock-behind"),
];

impl Fault {
    /// All of them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        NAMES.iter().map(|(fault, _)| *fault).collect()
    }

    /// Those that cut links between nodes.
    #[must_use]
    pub fn cuts() -> Vec<Self> {
        vec![Self::Isolate, Self::Halves, Self::OneWay, Self::Flapping]
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(NAMES.iter().find(|(fault, _)| fault == self).map_or("", |(_, name)| name))
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
