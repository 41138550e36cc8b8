//! Where the figures come from.

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// The machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) rustc: String,
    pub(crate) load: String,
    pub(crate) clock_read_ns: u64,
}

/// CPU time of this thread: what others do on the machine does not count.
pub(crate) fn cpu_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let whole = u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000;
    whole + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Of a sorted list, in thousandths.
pub(crate) fn percentile(sorted: &[u32], thousandths: usize) -> u64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * thousandths / 1_000).copied().map_or(0, u64::from)
}

fn first_line(command: &str, args: &[&str]) -> String {
    let output = std::process::Command::new(command).args(args).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or("unknown").to_owned()
}

pub(crate) fn commit() -> String {
    first_line("git", &["rev-parse", "--short=12", "HEAD"])
}

impl Machine {
    pub(crate) fn read() -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let model = model.and_then(|line| line.split_once(": ")).map(|(_, name)| name.to_owned());
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            cpu: model.unwrap_or_else(|| "unknown".into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            rustc: first_line("rustc", &["--version"]),
            load: load.split(' ').next().unwrap_or("unknown").to_owned(),
            clock_read_ns: clock_read(),
        }
    }
}

/// What one read of the clock adds to a latency: the median of many.
fn clock_read() -> u64 {
    let mut reads: Vec<u32> = (0..10_000)
        .map(|_| u32::try_from(std::time::Instant::now().elapsed().as_nanos()).unwrap_or(0))
        .collect();
    reads.sort_unstable();
    percentile(&reads, 500)
}
