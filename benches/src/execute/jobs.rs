//! What surrounds a segment: a fresh instance, handing it out, running it again.

use std::time::Instant;

use gongsuan_executor::verify::{Opening, Verdict, draw, recheck};
use gongsuan_executor::worker::{Pool, PoolConfig};
use gongsuan_executor::{
    Backend, Cancel, EngineKind, InProcess, Inputs, Job, METER_VERSION, Program, default_engine,
    guests, run::prove, with_big_stack,
};
use gongsuan_types::job::{JOB_VERSION, JobSpec, Limits, MapInput, Shape};
use gongsuan_types::{Fuel, Hash};
use serde_json::json;

use super::{process_nanos, rounded, text};
use crate::table::Report;

/// Segments that are drawn in an audit, of a hundred.
const AUDITED_PERCENT: u32 = 5;

/// A job of `segments` pieces, each a loop of `rounds`.
pub(super) fn looping(segments: u32, rounds: u32) -> Result<Job, String> {
    let module = wat::parse_str(format!(
        "(module (memory 1) (func (export \"_start\") (local i32)
           (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const {rounds}))))))"
    ))
    .map_err(text)?;
    let spec = JobSpec {
        version: JOB_VERSION,
        module: Hash::of_content(&module),
        meter: METER_VERSION,
        args: Vec::new(),
        shape: Shape::Map { segments, input: MapInput::Shared(Hash::of_content(b"")) },
        limits: Limits { fuel: Fuel(4_000_000_000), memory_pages: 1, output_bytes: 0 },
        seed: Hash::ZERO,
    };
    Ok(Job {
        module: module.into(),
        spec,
        segments: (0..segments).collect(),
        inputs: Inputs::Shared([].into()),
    })
}

/// The best of some runs: seconds of wall time, and CPU seconds of this process.
fn best(backend: &dyn Backend, job: &Job, runs: u32) -> Result<(f64, f64), String> {
    let mut best = (f64::MAX, f64::MAX);
    for _ in 0..runs {
        let (wall, cpu) = (Instant::now(), process_nanos());
        backend.run(job, &Cancel::new(), &mut |_| {}).map_err(text)?;
        let took = (wall.elapsed().as_secs_f64(), (process_nanos() - cpu) / 1e9);
        best = (best.0.min(took.0), best.1.min(took.1));
    }
    Ok(best)
}

fn threads(threads: usize) -> InProcess {
    InProcess { engine: default_engine(), threads }
}

fn processes(workers: usize) -> Result<Pool, String> {
    let program = std::env::current_exe().map_err(text)?;
    Ok(Pool::new(PoolConfig { workers, ..PoolConfig::new(program, ["execute-worker"]) }))
}

/// Segments of nothing: a fresh instance with everything around it.
pub(super) fn instances(report: &mut Report, quick: bool) -> Result<(), String> {
    let count: u32 = if quick { 20_000 } else { 200_000 };
    let job = looping(count, 1)?;
    let count = f64::from(count);
    // The engine alone: no hand-out, no receipts kept.
    let program = Program::load(default_engine(), &job.module).map_err(text)?;
    let direct = || -> Result<f64, String> {
        let from = process_nanos();
        for segment in 0..job.spec.segment_count() {
            gongsuan_executor::run_segment(&program, &job.spec, segment, b"").map_err(text)?;
        }
        Ok((process_nanos() - from) / 1e9)
    };
    let three = || Ok::<f64, String>(direct()?.min(direct()?).min(direct()?));
    let direct = with_big_stack(three).map_err(text)??;
    report.row(json!({
        "name": "instances",
        "variant": "run_segment alone",
        "cpu_us": rounded(direct / count * 1e6, 2),
        "per_second": rounded(count / direct, 0),
    }));
    for width in [1, 2] {
        let (wall, cpu) = best(&threads(width), &job, 3)?;
        report.row(json!({
            "name": "instances",
            "variant": format!("{width} thread(s)"),
            "cpu_us": rounded(cpu / count * 1e6, 2),
            "per_second": rounded(count / wall, 0),
        }));
    }
    for width in [1, 2] {
        let (wall, _) = best(&processes(width)?, &job, 3)?;
        report.row(json!({
            "name": "instances",
            "variant": format!("{width} caged process(es)"),
            "per_second": rounded(count / wall, 0),
        }));
    }
    Ok(())
}

/// How well two threads share pieces of different sizes.
pub(super) fn pieces(report: &mut Report, quick: bool) -> Result<(), String> {
    for (rounds, segments) in [(30_000, 4_000), (300_000, 800), (3_000_000, 160), (30_000_000, 24)]
    {
        let segments = if quick { segments / 4 } else { segments };
        let job = looping(segments, rounds)?;
        let (one, one_cpu) = best(&threads(1), &job, 2)?;
        let (two, two_cpu) = best(&threads(2), &job, 2)?;
        report.row(json!({
            "name": "pieces",
            "variant": format!("{rounds} rounds"),
            "piece_us": rounded(one_cpu / f64::from(segments) * 1e6, 0),
            "efficiency_of_2_threads": rounded(one / two / 2.0, 3),
            // What sharing itself adds, whatever else runs on the machine.
            "efficiency_in_cpu": rounded(one_cpu / two_cpu, 3),
        }));
    }
    Ok(())
}

/// Running a part again against running all: by the compiler, and by the referee's interpreter.
pub(super) fn audits(report: &mut Report, quick: bool) -> Result<(), String> {
    let scene = if quick {
        guests::RaytraceScene { width: 160, height: 100, ..guests::RaytraceScene::default() }
    } else {
        guests::RaytraceScene { width: 640, height: 400, ..guests::RaytraceScene::default() }
    };
    let (input, spec) = (scene.to_input(), scene.to_job(Hash::ZERO));
    let job = Job {
        module: guests::RAYTRACE.into(),
        segments: (0..scene.tiles()).collect(),
        inputs: Inputs::Shared(input.clone().into()),
        spec,
    };
    let from = process_nanos();
    let receipts = threads(1).run(&job, &Cancel::new(), &mut |_| {}).map_err(text)?;
    let whole = process_nanos() - from;
    let count = (scene.tiles() * AUDITED_PERCENT).div_ceil(100);
    let drawn = draw(&Hash::of_content(b"a later block"), scene.tiles(), count);
    for engine in [default_engine(), EngineKind::Wasmi] {
        let program = Program::load(engine, guests::RAYTRACE).map_err(text)?;
        let from = process_nanos();
        for &segment in &drawn {
            let (commitment, proof) =
                prove(&receipts, segment as usize).ok_or("no such receipt")?;
            let opening = Opening { commitment, receipt: receipts[segment as usize], proof };
            let verdict = recheck(&program, &job.spec, &input, &opening).map_err(text)?;
            if verdict != Verdict::True {
                return Err(format!("segment {segment}: {verdict:?}"));
            }
        }
        let audit = process_nanos() - from;
        report.row(json!({
            "name": "audit",
            "variant": format!("{} of {} segments", drawn.len(), scene.tiles()),
            "engine": engine.to_string(),
            "job_ms": rounded(whole / 1e6, 1),
            "audit_ms": rounded(audit / 1e6, 1),
            "overhead_percent": rounded(audit / whole * 100.0, 1),
        }));
    }
    Ok(())
}
