//! Kernels in C, built natively and for WebAssembly by the same compiler: native, metered, unmetered, and with the engine's own fuel.
//!
//! Each is built for WebAssembly twice, with vectors and without, as somebody would who wants his job done: clang 14 loses a lot with vectors in
//! some loops. The means are told for both, and for the better build of each kernel.

use std::path::{Path, PathBuf};
use std::process::Command;

use gongsuan_executor::{METER_VERSION, Program, default_engine, run_segment};
use gongsuan_types::job::{JOB_VERSION, JobSpec, Limits, MapInput, Shape};
use gongsuan_types::receipt::Status;
use gongsuan_types::{Fuel, Hash};
use serde_json::json;
use wasmtime::{Caller, Config, Engine, Linker, Module, Store};

use super::{process_nanos, rounded, text};
use crate::table::Report;

const SOURCE: &str = include_str!("kernels.c");
const KERNELS: [&str; 12] = [
    "gemm", "lu", "jacobi", "seidel", "paths", "matrix16", "planets", "rounds", "hash", "list",
    "sort", "sieve",
];
/// The compiler that `scripts/setup` installs, and what it is told in both builds: no contraction, so that results are equal.
const CLANG: &str = "clang-14";
const FLAGS: [&str; 4] = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-w"];

/// Nanoseconds of CPU at best, and the checksum.
#[derive(Clone, Copy)]
struct Timed {
    nanos: f64,
    sum: u64,
}

/// Ratios of which the geometric mean is asked for.
#[derive(Default)]
struct Mean(Vec<f64>);

impl Mean {
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    fn geometric(&self) -> f64 {
        (self.0.iter().map(|ratio| ratio.ln()).sum::<f64>() / self.0.len() as f64).exp()
    }
}

/// A build for WebAssembly, and what the compiler is told for it.
const BUILDS: [(&str, &[&str]); 2] = [("vector", &["-msimd128"]), ("scalar", &[])];

/// Nanoseconds of CPU at best, and the fuel.
#[derive(Clone, Copy)]
struct Row {
    native: f64,
    metered: f64,
    plain: f64,
    fuelled: f64,
    fuel: f64,
}

/// Ratios over a set of rows.
#[derive(Default)]
struct Means {
    ratios: [Mean; 5],
    rates: Vec<f64>,
}

impl Means {
    fn add(&mut self, row: Row) {
        let Row { native, metered, plain, fuelled, fuel } = row;
        let ratios =
            [metered / native, metered / plain, plain / native, fuelled / native, fuelled / plain];
        for (mean, ratio) in self.ratios.iter_mut().zip(ratios) {
            mean.0.push(ratio);
        }
        self.rates.push(fuel / metered);
    }

    fn summarise(mut self, report: &mut Report, of: &str) {
        let names = [
            "metered_over_native",
            "metered_over_plain",
            "plain_over_native",
            "wasmtime_fuel_over_native",
            "wasmtime_fuel_over_plain",
        ];
        for (name, mean) in names.into_iter().zip(&self.ratios) {
            report.summarise(&format!("{name}_{of}"), rounded(mean.geometric(), 3));
        }
        if of == "vector" {
            // The one number that scripts read: both sides with vectors of 128 bits, as most programs are built.
            let mean = rounded(self.ratios[0].geometric(), 3);
            report.summarise("metered_over_native_geomean", mean);
        }
        self.rates.sort_by(f64::total_cmp);
        if let (Some(slowest), Some(fastest)) = (self.rates.first(), self.rates.last()) {
            report
                .summarise(&format!("fuel_per_second_spread_{of}"), rounded(fastest / slowest, 2));
        }
    }
}

pub(super) fn run(report: &mut Report, quick: bool) -> Result<(), String> {
    if Command::new(CLANG).arg("--version").output().is_err() {
        report.note("SKIPPED: metered against native, because clang-14 is absent (scripts/setup installs it)");
        return Ok(());
    }
    let runs = if quick { 3 } else { 9 };
    let folder = tempfile::tempdir().map_err(text)?;
    let source = folder.path().join("kernels.c");
    std::fs::write(&source, SOURCE).map_err(text)?;
    let mut means = BUILDS.map(|(build, _)| (build, Means::default()));
    let mut best = Means::default();
    for kernel in KERNELS {
        let program = build_native(folder.path(), &source, kernel)?;
        let mut rows = Vec::new();
        for ((build, flags), (_, means)) in BUILDS.iter().zip(&mut means) {
            let module = build_wasm(folder.path(), &source, kernel, flags)?;
            let row = measure(kernel, &program, &module, runs)?;
            report.row(to_json(kernel, build, row));
            means.add(row);
            rows.push(row);
        }
        rows.sort_by(|a, b| a.metered.total_cmp(&b.metered));
        best.add(rows[0]);
    }
    for (build, means) in means {
        means.summarise(report, build);
    }
    best.summarise(report, "better");
    Ok(())
}

/// All contenders in turns, so that whatever else the machine does meets them alike.
fn measure(kernel: &str, program: &Path, module: &[u8], runs: u32) -> Result<Row, String> {
    let plain = Unmetered::load(module, false)?;
    let fuelled = Unmetered::load(module, true)?;
    let ours = Program::load(default_engine(), module).map_err(text)?;
    let spec = spec(module);
    let (mut best, mut fuel) = ([f64::MAX; 4], 0.0);
    for _ in 0..runs {
        let (metered, burnt) = metered(&ours, &spec)?;
        fuel = burnt;
        let turn = [native(program)?, metered, plain.run()?, fuelled.run()?];
        for (best, one) in best.iter_mut().zip(turn) {
            if one.sum != turn[0].sum {
                return Err(format!("{kernel}: native gives {}, another {}", turn[0].sum, one.sum));
            }
            *best = best.min(one.nanos);
        }
    }
    let [native, metered, plain, fuelled] = best;
    Ok(Row { native, metered, plain, fuelled, fuel })
}

fn to_json(kernel: &str, build: &str, row: Row) -> serde_json::Value {
    let Row { native, metered, plain, fuelled, fuel } = row;
    let ms = |nanos: f64| rounded(nanos / 1e6, 2);
    json!({
        "name": "kernel",
        "variant": kernel,
        "build": build,
        "engine": default_engine().to_string(),
        "native_ms": ms(native),
        "metered_ms": ms(metered),
        "plain_ms": ms(plain),
        "wasmtime_fuel_ms": ms(fuelled),
        "metered_over_native": rounded(metered / native, 3),
        "metered_over_plain": rounded(metered / plain, 3),
        "plain_over_native": rounded(plain / native, 3),
        "giga_fuel_per_second": rounded(fuel / metered, 2),
    })
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

fn build_native(folder: &Path, source: &Path, kernel: &str) -> Result<PathBuf, String> {
    let program = folder.join(kernel);
    compile(&[&format!("-DKERNEL=run_{kernel}")], source, &program)?;
    Ok(program)
}

fn build_wasm(
    folder: &Path,
    source: &Path,
    kernel: &str,
    flags: &[&str],
) -> Result<Vec<u8>, String> {
    let out = folder.join(format!("{kernel}.wasm"));
    let kernel = format!("-DKERNEL=run_{kernel}");
    let mut arguments = vec![
        "--target=wasm32-unknown-unknown",
        "-mbulk-memory",
        "-nostdlib",
        "-ffreestanding",
        "-fuse-ld=/usr/bin/wasm-ld-14",
        &kernel,
    ];
    arguments.extend(flags);
    compile(&arguments, source, &out)?;
    std::fs::read(&out).map_err(text)
}

/// The program measures itself.
fn native(program: &Path) -> Result<Timed, String> {
    let output = Command::new(program).output().map_err(text)?;
    let words = String::from_utf8_lossy(&output.stdout);
    let mut numbers = words.split_whitespace().map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(nanos)), Some(Ok(sum))) => {
            Ok(Timed { nanos: f64::from(u32::try_from(nanos).unwrap_or(u32::MAX)), sum })
        }
        _ => Err(format!("{} printed {words:?}", program.display())),
    }
}

fn spec(module: &[u8]) -> JobSpec {
    JobSpec {
        version: JOB_VERSION,
        module: Hash::of_content(module),
        meter: METER_VERSION,
        args: Vec::new(),
        shape: Shape::Map { segments: 1, input: MapInput::Shared(Hash::of_content(b"")) },
        limits: Limits { fuel: Fuel(4_000_000_000), memory_pages: 1024, output_bytes: 8 },
        seed: Hash::ZERO,
    }
}

/// A whole segment, from a fresh instance to its receipt; and the fuel.
#[expect(clippy::cast_precision_loss, reason = "statistics")]
fn metered(program: &Program, spec: &JobSpec) -> Result<(Timed, f64), String> {
    let from = process_nanos();
    let done = run_segment(program, spec, 0, b"").map_err(text)?;
    let nanos = process_nanos() - from;
    let sum = done.output.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    match (done.receipt.status, sum) {
        (Status::Ok, Some(sum)) => Ok((Timed { nanos, sum }, done.receipt.fuel.0 as f64)),
        (status, _) => Err(format!("ended with {status:?} after {}", done.receipt.fuel)),
    }
}

/// The module as it came, on the engine without our rules.
struct Unmetered {
    engine: Engine,
    module: Module,
    fuelled: bool,
}

impl Unmetered {
    fn load(module: &[u8], fuelled: bool) -> Result<Self, String> {
        let mut config = Config::new();
        config.consume_fuel(fuelled);
        let engine = Engine::new(&config).map_err(text)?;
        let module = Module::new(&engine, module).map_err(text)?;
        Ok(Self { engine, module, fuelled })
    }

    /// A fresh instance, too, but without a receipt.
    fn run(&self) -> Result<Timed, String> {
        let from = process_nanos();
        let mut linker = Linker::new(&self.engine);
        let write = |mut caller: Caller<'_, u64>, _: i32, list: i32, _: i32, _: i32| {
            let memory = caller.get_export("memory").and_then(wasmtime::Extern::into_memory);
            let sum = memory.and_then(|memory| {
                let bytes = memory.data(&caller);
                let at = |from: usize| Some(u32::from_le_bytes(*bytes.get(from..)?.first_chunk()?));
                let from = at(usize::try_from(list).ok()?)?;
                Some(u64::from_le_bytes(*bytes.get(from as usize..)?.first_chunk()?))
            });
            *caller.data_mut() = sum.unwrap_or(0);
            0
        };
        linker.func_wrap("wasi_snapshot_preview1", "fd_write", write).map_err(text)?;
        let mut store = Store::new(&self.engine, 0u64);
        if self.fuelled {
            store.set_fuel(u64::MAX).map_err(text)?;
        }
        let instance = linker.instantiate(&mut store, &self.module).map_err(text)?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(text)?;
        start.call(&mut store, ()).map_err(text)?;
        Ok(Timed { nanos: process_nanos() - from, sum: *store.data() })
    }
}
