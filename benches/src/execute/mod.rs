//! Jobs: metered against native code and other fuel, fresh instances, parallel pieces, starts from a cache, audits, checking products.

mod calibrate;
mod jobs;
mod kernels;
mod products;
mod sources;
mod starts;

use std::path::PathBuf;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::table::Report;

pub(crate) use calibrate::run as calibrate;

/// What is measured beside the usual.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A folder of C programs, measured natively and as jobs instead of everything else: every *.c is one, and every subfolder of *.c; a file
    /// `flags` holds more arguments for the compiler.
    #[arg(long, value_name = "DIR")]
    sources: Option<PathBuf>,
    /// The module whose start is measured, instead of the Python that scripts/setup --programs installs.
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
}

/// Measures one thing, quickly or well, and adds its rows.
type Part<'a> = &'a dyn Fn(&mut Report, bool) -> Result<(), String>;

pub(crate) fn run(report: &mut Report, quick: bool, options: &Options) {
    if let Some(folder) = &options.sources {
        if let Err(error) = sources::run(report, quick, folder) {
            report.note(&format!("FAILED: sources: {error}"));
        }
        report.note("CPU time of whole programs, best of several runs: a process natively, a segment from a fresh instance to its receipt");
        return;
    }
    let parts: [(&str, Part<'_>); 6] = [
        ("metered against native", &kernels::run),
        ("instances", &jobs::instances),
        ("pieces", &jobs::pieces),
        ("audits", &jobs::audits),
        ("products", &products::run),
        ("starts", &|report, quick| starts::run(report, quick, options.module.as_deref())),
    ];
    for (name, part) in parts {
        crate::note(name);
        if let Err(error) = part(report, quick) {
            report.note(&format!("FAILED: {name}: {error}"));
        }
    }
    report.note("kernels are this project's own, of the kinds that CoreMark and PolyBench have (Debian has no package of either): the same clang-14, -O3, natively with vectors of 128 bits, for WebAssembly with and without; CPU time, best of several runs");
    report.note("cpu_us is CPU time of all processes; per_second and efficiency are wall time, on the machine as it is");
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
