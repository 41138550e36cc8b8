//! Jobs: metered against native code, fresh instances, parallel pieces, checking products.

mod kernels;

use std::time::Instant;

use gongsuan_executor::verify::freivalds::{self, Sizes};
use gongsuan_executor::worker::{Pool, PoolConfig};
use gongsuan_executor::{Backend, Cancel, InProcess, Inputs, Job, METER_VERSION, default_engine};
use gongsuan_types::job::{JOB_VERSION, JobSpec, Limits, MapInput, Shape};
use gongsuan_types::{Fuel, Hash};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::measure::median;
use crate::table::Report;

/// CPU time of this process in nanoseconds: segments may run on threads of their own.
fn process_nanos() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

pub(crate) fn run(report: &mut Report, quick: bool) {
    match kernels::run(report, quick) {
        Ok(Some(mean)) => {
            report.top("metered_over_native_geomean", json!((mean * 1000.0).round() / 1000.0))
        }
        Ok(None) => {}
        Err(error) => report.note(&format!("FAILED: metered against native: {error}")),
    }
    instances(report, quick);
    grain(report, quick);
    products(report, quick);
    report.note("kernels: this project's own, of the kinds that CoreMark and PolyBench have; CPU time, best of several runs; same compiler, -O3, 128-bit vectors on both sides");
    report.note("instances and pieces: wall time of the whole machine as it is; leave it alone while measuring");
}

/// A job of `segments` pieces, each a loop of `rounds`.
fn job(segments: u32, rounds: u32) -> Job {
    // (module (func (export "_start") (local i32) (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const ROUNDS))))) (memory 1))
    let mut code = vec![1, 1, 0x7f, 0x03, 0x40, 0x20, 0, 0x41, 1, 0x6a, 0x22, 0, 0x41];
    leb(&mut code, i64::from(rounds));
    code.extend([0x49, 0x0d, 0, 0x0b, 0x0b]);
    let mut module =
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01".to_vec();
    module.extend(b"\x07\x0a\x01\x06_start\0\0\x0a");
    module.extend([
        u8::try_from(code.len() + 2).unwrap_or(0),
        1,
        u8::try_from(code.len()).unwrap_or(0),
    ]);
    module.extend(code);
    let spec = JobSpec {
        version: JOB_VERSION,
        module: Hash::of_content(&module),
        meter: METER_VERSION,
        args: Vec::new(),
        shape: Shape::Map { segments, input: MapInput::Shared(Hash::of_content(b"")) },
        limits: Limits { fuel: Fuel(4_000_000_000), memory_pages: 1, output_bytes: 0 },
        seed: Hash::ZERO,
    };
    Job {
        module: module.into(),
        spec,
        segments: (0..segments).collect(),
        inputs: Inputs::Shared([].into()),
    }
}

/// Signed LEB128.
fn leb(to: &mut Vec<u8>, mut value: i64) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 && low & 0x40 == 0 {
            to.push(low);
            return;
        }
        to.push(low | 0x80);
    }
}

/// Seconds of wall time that a backend takes, at best.
fn seconds(backend: &dyn Backend, job: &Job, runs: u32) -> Result<f64, String> {
    let mut best = f64::MAX;
    for _ in 0..runs {
        let from = Instant::now();
        backend.run(job, &Cancel::new(), &mut |_| {}).map_err(|error| error.to_string())?;
        best = best.min(from.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn threads(threads: usize) -> InProcess {
    InProcess { engine: default_engine(), threads }
}

fn processes(workers: usize) -> Result<Pool, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(Pool::new(PoolConfig { workers, ..PoolConfig::new(program, ["execute-worker"]) }))
}

/// Segments of nothing: what a fresh instance costs with everything around it.
fn instances(report: &mut Report, quick: bool) {
    let count: u32 = if quick { 20_000 } else { 200_000 };
    let job = job(count, 1);
    let mut add = |variant: &str, taken: Result<f64, String>| match taken {
        Ok(seconds) => report.row(json!({
            "name": "instances",
            "variant": variant,
            "engine": default_engine().to_string(),
            "per_second": (f64::from(count) / seconds).round(),
        })),
        Err(error) => report.note(&format!("FAILED: instances, {variant}: {error}")),
    };
    add("1 thread", seconds(&threads(1), &job, 3));
    add("2 threads", seconds(&threads(2), &job, 3));
    for workers in [1, 2] {
        let taken = processes(workers).and_then(|pool| seconds(&pool, &job, 3));
        add(&format!("{workers} caged process(es)"), taken);
    }
}

/// How well two threads share pieces of different sizes.
fn grain(report: &mut Report, quick: bool) {
    for (rounds, segments) in [(30_000, 4_000), (300_000, 800), (3_000_000, 160), (30_000_000, 24)]
    {
        let segments = if quick { segments / 4 } else { segments };
        let job = job(segments, rounds);
        let (one, two) = (seconds(&threads(1), &job, 2), seconds(&threads(2), &job, 2));
        match (one, two) {
            (Ok(one), Ok(two)) => report.row(json!({
                "name": "pieces",
                "variant": format!("{rounds} rounds"),
                "engine": default_engine().to_string(),
                "piece_us": (one / f64::from(segments) * 1e6).round(),
                "efficiency_of_2_threads": (one / two / 2.0 * 1000.0).round() / 1000.0,
            })),
            (Err(error), _) | (_, Err(error)) => report.note(&format!("FAILED: pieces: {error}")),
        }
    }
}

/// Checking a product against computing it again.
fn products(report: &mut Report, quick: bool) {
    for size in if quick { vec![256u32, 512] } else { vec![256, 512, 1024] } {
        let entries = (size * size) as usize;
        let matrix = |salt: u64| -> Vec<i16> {
            let mix = |at: u64| {
                (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt).wrapping_mul(0xbf58_476d_1ce4_e5b9)
            };
            (0..entries as u64)
                .map(|at| i16::from_le_bytes([mix(at).to_le_bytes()[6], mix(at).to_le_bytes()[7]]))
                .collect()
        };
        let (a, b) = (matrix(1), matrix(2));
        let c = multiply(&a, &b, size as usize);
        let short = |matrix: &[i16]| {
            matrix.iter().flat_map(|entry| entry.to_le_bytes()).collect::<Vec<u8>>()
        };
        let (a_bytes, b_bytes) = (short(&a), short(&b));
        let c_bytes: Vec<u8> = c.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        let sizes = Sizes { rows: size, inner: size, columns: size };
        if !freivalds::check(sizes, &a_bytes, &b_bytes, &c_bytes) {
            report.note("FAILED: a true product was not recognised");
            return;
        }
        let runs = if quick { 3 } else { 5 };
        let checking = median(1, runs, || freivalds::check(sizes, &a_bytes, &b_bytes, &c_bytes));
        let computing = median(1, runs, || multiply(&a, &b, size as usize));
        report.row(json!({
            "name": "product",
            "variant": format!("{size} x {size}"),
            "check_ms": (checking.cpu_ns / 1e4).round() / 100.0,
            "compute_ms": (computing.cpu_ns / 1e4).round() / 100.0,
            "ratio": (computing.cpu_ns / checking.cpu_ns * 10.0).round() / 10.0,
        }));
    }
}

fn multiply(a: &[i16], b: &[i16], n: usize) -> Vec<i64> {
    let mut c = vec![0i64; n * n];
    for (a, c) in a.chunks_exact(n).zip(c.chunks_exact_mut(n)) {
        for (&left, b) in a.iter().zip(b.chunks_exact(n)) {
            for (sum, &right) in c.iter_mut().zip(b) {
                *sum += i64::from(i32::from(left) * i32::from(right));
            }
        }
    }
    c
}
