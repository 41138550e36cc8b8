//! One fault: put on a network under load, and healed.

use std::time::{Duration, Instant};

use gongsuan::wire::Rule;

use super::network::SMALL;
use super::{Error, Fault, Load, Network};

/// How long a fault lasts.
const LASTS: Duration = Duration::from_secs(3);
/// How often links flap in that time.
const FLAPS: u32 = 10;
/// How far a clock jumps, in milliseconds.
const HOUR_MS: i64 = 3_600_000;

/// A fault under way.
pub(super) struct Trial<'a> {
    network: &'a mut Network,
    load: &'a Load,
    /// The longest that nothing was committed while something should have been.
    longest: Duration,
}

impl<'a> Trial<'a> {
    pub(super) fn new(network: &'a mut Network, load: &'a Load) -> Self {
        Self { network, load, longest: Duration::ZERO }
    }

    /// Puts the fault, heals it, and waits until all nodes are back; the longest time until a commit, after it began (if a quorum was left) and after it
    /// was healed.
    pub(super) fn put(mut self, fault: Fault) -> Result<Duration, Error> {
        match fault {
            Fault::KillEach => self.each(|trial, id| {
                trial.network.end(id, "-KILL")?;
                trial.goes_on()?;
                trial.network.start(id)
            }),
            Fault::Rolling => {
                self.network.renew()?;
                self.each(|trial, id| {
                    trial.network.end(id, "-TERM")?;
                    trial.network.start(id)
                })
            }
            Fault::KillAll => self.kill_all(),
            Fault::Pause => self.pause(),
            Fault::Isolate => self.cut_off(false),
            Fault::OneWay => self.cut_off(true),
            Fault::Halves => self.halves(),
            Fault::Flapping => self.flapping(),
            Fault::Slow => self.slow(),
            Fault::DiskFull => self.disk_full(),
            Fault::ClockAhead => self.clock(HOUR_MS),
            Fault::ClockBehind => self.clock(-HOUR_MS),
        }?;
        self.goes_on()?;
        self.network.ready()?;
        Ok(self.longest)
    }

    /// From now on it must not be long until a transfer is committed.
    fn goes_on(&mut self) -> Result<(), Error> {
        self.longest = self.longest.max(self.load.wait_for_commit()?);
        Ok(())
    }

    /// A fault that leaves a quorum lasts, and commits go on.
    fn lasts(&mut self) -> Result<(), Error> {
        self.goes_on()?;
        std::thread::sleep(LASTS);
        self.goes_on()
    }

    fn each(
        &mut self,
        mut step: impl FnMut(&mut Self, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for id in 0..self.network.count() {
            step(self, id)?;
            self.goes_on()?;
        }
        Ok(())
    }

    fn kill_all(&mut self) -> Result<(), Error> {
        for id in 0..self.network.count() {
            self.network.tell(id, "-KILL")?;
        }
        for id in 0..self.network.count() {
            self.network.wait_ended(id)?;
        }
        for id in 0..self.network.count() {
            self.network.spawn(id)?;
        }
        Ok(())
    }

    fn pause(&mut self) -> Result<(), Error> {
        let leader = self.network.leader()?;
        self.network.tell(leader, "-STOP")?;
        let went_on = self.lasts();
        self.network.tell(leader, "-CONT")?;
        went_on
    }

    fn cut_off(&mut self, one_way: bool) -> Result<(), Error> {
        let leader = self.network.leader()?;
        let groups = [vec![leader], self.network.others(leader)];
        self.network.links().cut(&groups, one_way)?;
        let went_on = self.lasts();
        self.network.links().heal()?;
        went_on
    }

    fn halves(&mut self) -> Result<(), Error> {
        let (half, count) = (self.network.count() / 2, self.network.count());
        let groups = [(0..half).collect(), (half..count).collect()];
        self.network.links().cut(&groups, false)?;
        // What is on its way may still arrive; then nobody has a quorum.
        std::thread::sleep(LASTS / 3);
        let settled = Instant::now();
        std::thread::sleep(LASTS);
        let wrong = self.load.acknowledged_after(settled);
        self.network.links().heal()?;
        if wrong {
            return Err(Error("a transfer was acknowledged without a quorum".into()));
        }
        Ok(())
    }

    fn flapping(&mut self) -> Result<(), Error> {
        let flap = LASTS / (2 * FLAPS);
        let groups = [vec![1], self.network.others(1)];
        for _ in 0..FLAPS {
            self.network.links().cut(&groups, false)?;
            std::thread::sleep(flap);
            self.network.links().heal()?;
            std::thread::sleep(flap);
        }
        Ok(())
    }

    fn slow(&mut self) -> Result<(), Error> {
        let rule = Rule { delay_ms: 50, jitter_ms: 20, loss_percent: 5, cut: false };
        self.network.links().slow(rule)?;
        let went_on = self.lasts();
        self.network.links().slow(Rule::default())?;
        went_on
    }

    /// The node that cannot write ends and says why; when there is room again it comes back.
    fn disk_full(&mut self) -> Result<(), Error> {
        let said = self.network.log(SMALL)?.len();
        self.network.set_room(false)?;
        let ended = self.network.wait_ended(SMALL);
        let went_on = self.goes_on();
        self.network.set_room(true)?;
        ended?;
        went_on?;
        let log = self.network.log(SMALL)?;
        if !log.get(said..).unwrap_or_default().contains("No space left") {
            return Err(Error(format!("v{SMALL} ended and did not say that its disk is full")));
        }
        self.network.start(SMALL)
    }

    fn clock(&mut self, ahead_ms: i64) -> Result<(), Error> {
        let leader = self.network.leader()?;
        self.network.set_clock(leader, ahead_ms)?;
        let went_on = self.lasts();
        self.network.set_clock(leader, 0)?;
        went_on
    }
}
