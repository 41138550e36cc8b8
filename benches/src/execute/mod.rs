//! Jobs: metered against native code and other fuel, fresh instances, parallel pieces, starts from a cache, audits, checking products.

mod calibrate;
mod jobs;
mod kernels;
mod products;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::table::Report;

pub(crate) use calibrate::run as calibrate;

/// Measures one thing, quickly or well, and adds its rows.
type Part = fn(&mut Report, bool) -> Result<(), String>;

pub(crate) fn run(report: &mut Report, quick: bool) {
    let parts: [(&str, Part); 5] = [
        ("metered against native", kernels::run),
        ("instances", jobs::instances),
        ("pieces", jobs::pieces),
        ("audits", jobs::audits),
        ("products", products::run),
    ];
    for (name, part) in parts {
        crate::note(name);
        if let Err(error) = part(report, quick) {
            report.note(&format!("FAILED: {name}: {error}"));
        }
    }
    report.note("kernels are this project's own, of the kinds that CoreMark and PolyBench have (Debian has no package of either): the same clang-14, -O3, vectors of 128 bits on both sides; CPU time, best of several runs");
    report.note("cpu_us is CPU time of all processes; per_second and efficiency are wall time, on the machine as it is");
    report.note(
        "left out: a start from a cache of compiled modules, which the executor does not have",
    );
}

/// CPU nanoseconds of this process: segments may run on threads of their own.
fn process_nanos() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    nanos(time.tv_sec, time.tv_nsec)
}

#[expect(clippy::cast_precision_loss, reason = "statistics")]
fn nanos(seconds: i64, nanoseconds: i64) -> f64 {
    seconds as f64 * 1e9 + nanoseconds as f64
}

/// A figure with so many decimals.
fn rounded(figure: f64, decimals: i32) -> Value {
    let scale = 10f64.powi(decimals);
    json!((figure * scale).round() / scale)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
