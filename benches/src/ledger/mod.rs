//! The ledger: from signed bytes to a durable block, and its parts.

mod pipeline;
mod pool;
mod root;
mod stores;
mod world;

use serde_json::json;

use crate::measure::{Clock, per_second};
use crate::table::Report;

/// How large and how often.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// Accounts in the state.
    accounts: usize,
    /// Repetitions of a block of 4,000.
    runs: usize,
}

/// A row: `items` done `runs` times since `started`.
#[expect(clippy::cast_precision_loss, reason = "statistics")]
fn row(report: &mut Report, name: &str, items: usize, runs: usize, started: Clock) {
    let (wall, cpu) = started.elapsed();
    let done = (items * runs) as f64;
    let ms = |seconds: f64| (seconds * 1e5 / runs as f64).round() / 100.0;
    report.row(json!({
        "name": name,
        "batch": items,
        "per_second": per_second(wall * 1e9 / done),
        "wall_ms": ms(wall),
        "cpu_ms": ms(cpu),
        "cpu_ns_per_item": (cpu * 1e9 / done).round(),
    }));
}

pub(crate) fn run(report: &mut Report, quick: bool) {
    let size = if quick {
        Size { accounts: 100_000, runs: 4 }
    } else {
        Size { accounts: 1_000_000, runs: 8 }
    };
    report.note(&format!(
        "{} accounts; wall time on {} threads; every block is made durable with one fdatasync",
        size.accounts,
        rayon::current_num_threads()
    ));
    report.note("per_second is wall time; cpu_ms is what all threads together used, to a hundredth of a second in all; both ms are per batch; transfers have one operation, distinct signers and hints");
    root::run(report, size);
    stores::run(report, size);
    pipeline::run(report, size);
}
