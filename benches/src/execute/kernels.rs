//! Kernels in C, built natively and for WebAssembly by the same compiler, and run on both.

use std::path::Path;
use std::process::Command;

use gongsuan_executor::{METER_VERSION, Program, default_engine, run_segment};
use gongsuan_types::job::{JOB_VERSION, JobSpec, Limits, MapInput, Shape};
use gongsuan_types::receipt::Status;
use gongsuan_types::{Fuel, Hash};
use serde_json::json;

use super::process_nanos;
use crate::table::Report;

const SOURCE: &str = include_str!("kernels.c");
const KERNELS: [&str; 6] = ["gemm", "jacobi", "paths", "hash", "list", "sieve"];
/// The compiler that `scripts/setup` installs, and what it is told in both builds: no contraction, so that results are equal.
const CLANG: &str = "clang-14";
const FLAGS: [&str; 3] = ["-O3", "-ffp-contract=off", "-w"];

/// Runs all kernels; returns the geometric mean of the metered over the native time.
pub(super) fn run(report: &mut Report, quick: bool) -> Result<Option<f64>, String> {
    if Command::new(CLANG).arg("--version").output().is_err() {
        report.note("SKIPPED: metered against native, because clang-14 is absent (scripts/setup installs it)");
        return Ok(None);
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let source = folder.path().join("kernels.c");
    std::fs::write(&source, SOURCE).map_err(|error| error.to_string())?;
    let mut logarithms = 0.0;
    for kernel in KERNELS {
        let (native_ns, native_sum) = native(folder.path(), &source, kernel)?;
        let (wasm_ns, wasm_sum, fuel) = metered(folder.path(), &source, kernel, quick)?;
        if native_sum != wasm_sum {
            return Err(format!("{kernel}: native gives {native_sum}, metered {wasm_sum}"));
        }
        let ratio = wasm_ns / native_ns;
        logarithms += ratio.ln();
        report.row(json!({
            "name": "kernel",
            "variant": kernel,
            "engine": default_engine().to_string(),
            "native_ms": (native_ns / 1e4).round() / 100.0,
            "metered_ms": (wasm_ns / 1e4).round() / 100.0,
            "metered_over_native": (ratio * 1000.0).round() / 1000.0,
            "giga_fuel_per_second": (fuel / wasm_ns * 100.0).round() / 100.0,
        }));
    }
    Ok(Some((logarithms / KERNELS.len() as f64).exp()))
}

fn compile(arguments: &[&str], source: &Path, out: &Path) -> Result<(), String> {
    let done =
        Command::new(CLANG).args(FLAGS).args(arguments).arg("-o").arg(out).arg(source).output();
    let done = done.map_err(|error| format!("{CLANG}: {error}"))?;
    if done.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}

/// Best of five CPU nanoseconds, and the checksum.
fn native(folder: &Path, source: &Path, kernel: &str) -> Result<(f64, u64), String> {
    let program = folder.join(kernel);
    compile(&[&format!("-DKERNEL=run_{kernel}")], source, &program)?;
    let output = Command::new(&program).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(nanos)), Some(Ok(sum))) => {
            Ok((f64::from(u32::try_from(nanos).unwrap_or(u32::MAX)), sum))
        }
        _ => Err(format!("{kernel} printed {text:?}")),
    }
}

/// Best of some CPU nanoseconds, the checksum, and the fuel.
fn metered(
    folder: &Path,
    source: &Path,
    kernel: &str,
    quick: bool,
) -> Result<(f64, u64, f64), String> {
    let out = folder.join(format!("{kernel}.wasm"));
    let define = format!("-DKERNEL=run_{kernel}");
    let linker = "-fuse-ld=/usr/bin/wasm-ld-14";
    compile(
        &[
            "--target=wasm32-unknown-unknown",
            "-msimd128",
            "-mbulk-memory",
            "-nostdlib",
            "-ffreestanding",
            linker,
            &define,
        ],
        source,
        &out,
    )?;
    let module = std::fs::read(&out).map_err(|error| error.to_string())?;
    let program = Program::load(default_engine(), &module).map_err(|error| error.to_string())?;
    let spec = JobSpec {
        version: JOB_VERSION,
        module: Hash::of_content(&module),
        meter: METER_VERSION,
        args: Vec::new(),
        shape: Shape::Map { segments: 1, input: MapInput::Shared(Hash::of_content(b"")) },
        limits: Limits { fuel: Fuel(4_000_000_000), memory_pages: 1024, output_bytes: 8 },
        seed: Hash::ZERO,
    };
    let (mut best, mut result) = (f64::MAX, None);
    for _ in 0..if quick { 3 } else { 7 } {
        let from = process_nanos();
        let done = run_segment(&program, &spec, 0, b"").map_err(|error| error.to_string())?;
        best = best.min(process_nanos() - from);
        result = Some(done);
    }
    let done = result.ok_or("no run")?;
    let sum = done.output.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    match (done.receipt.status, sum) {
        (Status::Ok, Some(sum)) => Ok((best, sum, done.receipt.fuel.0 as f64)),
        (status, _) => {
            Err(format!("{kernel} ended with {status:?} after {} fuel", done.receipt.fuel))
        }
    }
}
