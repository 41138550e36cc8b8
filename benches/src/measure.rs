//! Repetitions and their median, in CPU time of the measuring thread where the system tells it.

use std::time::{Duration, Instant};

use crate::machine::cpu_nanos;

/// One measured thing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Median {
    /// Nanoseconds of CPU per item.
    pub(crate) cpu_ns: f64,
    /// Nanoseconds of wall time per item.
    pub(crate) wall_ns: f64,
    /// The fastest and the slowest repetition, CPU nanoseconds per item.
    pub(crate) range: (f64, f64),
}

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// A run repeats the work for at least so long: some systems count CPU time in ticks of 4 ms.
const RUN_MIN: Duration = Duration::from_millis(200);

/// One of several things that are measured in turns.
pub(crate) struct Contender<'a> {
    /// What one call of `work` does.
    pub(crate) items: usize,
    pub(crate) work: Box<dyn FnMut() + 'a>,
}

/// Calls everybody once to warm up. Then measures everybody for at least [`RUN_MIN`], and everybody again, `runs` times: whatever else the machine does in the meantime meets them alike.
pub(crate) fn medians(contenders: &mut [Contender<'_>], runs: usize) -> Vec<Median> {
    let mut turns: Vec<Turns> = contenders.iter_mut().map(Turns::warm_up).collect();
    for _ in 0..runs.max(1) {
        for (turns, contender) in turns.iter_mut().zip(&mut *contenders) {
            turns.take(contender);
        }
    }
    turns.into_iter().map(Turns::median).collect()
}

/// What one contender needed so far.
struct Turns {
    repeats: u32,
    cpu: Vec<f64>,
    wall: Vec<f64>,
}

impl Turns {
    fn warm_up(contender: &mut Contender<'_>) -> Self {
        let warm_up = Instant::now();
        (contender.work)();
        let repeats = RUN_MIN.as_nanos() / warm_up.elapsed().as_nanos().max(1) + 1;
        Self { repeats: u32::try_from(repeats).unwrap_or(u32::MAX), cpu: vec![], wall: vec![] }
    }

    fn take(&mut self, contender: &mut Contender<'_>) {
        let done = f64::from(u32::try_from(contender.items).unwrap_or(1)) * f64::from(self.repeats);
        let (started, cpu_started) = (Instant::now(), cpu_nanos());
        for _ in 0..self.repeats {
            (contender.work)();
        }
        let elapsed = started.elapsed();
        let cpu = Duration::from_nanos(cpu_nanos().saturating_sub(cpu_started));
        self.wall.push(nanos(elapsed) / done);
        self.cpu.push(nanos(cpu) / done);
    }

    fn median(mut self) -> Median {
        self.cpu.sort_by(f64::total_cmp);
        self.wall.sort_by(f64::total_cmp);
        let range =
            (self.cpu.first().copied().unwrap_or(0.0), self.cpu.last().copied().unwrap_or(0.0));
        let middle = self.cpu.len() / 2;
        Median { cpu_ns: self.cpu[middle], wall_ns: self.wall[middle], range }
    }
}

/// Items per second at so many nanoseconds each, as a whole number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rounded rate")]
pub(crate) fn per_second(ns: f64) -> u64 {
    (1e9 / ns.max(0.001)).round() as u64
}

/// Wall time and CPU time of the whole process since a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    wall: Instant,
    cpu: f64,
}

/// Seconds of CPU that this process has used: Linux counts them in hundredths.
fn process_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program may hold spaces; what follows its bracket may not.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), cpu: process_cpu() }
    }

    /// Seconds: wall, CPU.
    pub(crate) fn elapsed(self) -> (f64, f64) {
        (self.wall.elapsed().as_secs_f64(), process_cpu() - self.cpu)
    }
}
