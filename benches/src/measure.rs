//! Repetitions and their median, in CPU time of the measuring thread where the system tells it.

use std::hint::black_box;
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

/// Runs `work` once to warm up and then `runs` times for at least [`RUN_MIN`]; `items` are done each time.
pub(crate) fn median<R>(items: usize, runs: usize, mut work: impl FnMut() -> R) -> Median {
    let warm_up = Instant::now();
    black_box(work());
    let repeats = RUN_MIN.as_nanos() / warm_up.elapsed().as_nanos().max(1) + 1;
    let repeats = u32::try_from(repeats).unwrap_or(u32::MAX);
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    let done = f64::from(u32::try_from(items).unwrap_or(1)) * f64::from(repeats);
    let per_item = |time: Duration| nanos(time) / done;
    for _ in 0..runs.max(1) {
        let (started, cpu_started) = (Instant::now(), cpu_nanos());
        for _ in 0..repeats {
            black_box(work());
        }
        let elapsed = started.elapsed();
        wall.push(per_item(elapsed));
        cpu.push(per_item(Duration::from_nanos(cpu_nanos().saturating_sub(cpu_started))));
    }
    cpu.sort_by(f64::total_cmp);
    wall.sort_by(f64::total_cmp);
    let range = (cpu.first().copied().unwrap_or(0.0), cpu.last().copied().unwrap_or(0.0));
    Median { cpu_ns: cpu[cpu.len() / 2], wall_ns: wall[wall.len() / 2], range }
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
