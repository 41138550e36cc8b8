//! C programs that somebody has, built natively and for WASI by the same compiler, and run as they are: for CoreMark, PolyBench and the like, of
//! which no copy is in this repository.
//!
//! In the folder given, every `*.c` is a program, and every subfolder with `*.c` in it is one. What the compiler is told beside the usual stands
//! in a file `flags` in the folder, one argument a line; relative paths begin there. A program must end within a segment's fuel.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gongsuan_executor::{METER_VERSION, Program, default_engine, run_segment};
use gongsuan_types::Hash;
use gongsuan_types::job::{JOB_VERSION, JobSpec, Limits, MapInput, SEGMENT_FUEL_MAX, Shape};
use gongsuan_types::receipt::{Receipt, Status};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::json;

use super::{process_nanos, rounded, text};
use crate::table::Report;

const CLANG: &str = "clang-14";
const FLAGS: [&str; 3] = ["-O3", "-ffp-contract=off", "-w"];
const WASI_FLAGS: [&str; 5] = [
    "--target=wasm32-wasi",
    "-mbulk-memory",
    "-fuse-ld=/usr/bin/wasm-ld-14",
    "-D_WASI_EMULATED_PROCESS_CLOCKS",
    "-lwasi-emulated-process-clocks",
];
const BUILDS: [(&str, &[&str]); 2] = [("vector", &["-msimd128"]), ("scalar", &[])];

/// One program: its name, where it stands, its files.
struct Sources {
    name: String,
    folder: PathBuf,
    files: Vec<PathBuf>,
}

pub(super) fn run(report: &mut Report, quick: bool, folder: &Path) -> Result<(), String> {
    let work = tempfile::tempdir().map_err(text)?;
    let programs = programs(folder)?;
    if programs.is_empty() {
        return Err(format!("{} holds no *.c and no folder with *.c", folder.display()));
    }
    let (mut ratios, mut log) = (0, 0.0);
    for program in programs {
        match measure(report, quick, work.path(), &program) {
            Ok(ratio) => {
                ratios += 1;
                log += ratio.ln();
            }
            Err(error) => report.note(&format!("FAILED: {}: {error}", program.name)),
        }
    }
    if ratios > 0 {
        let mean = (log / f64::from(ratios)).exp();
        report.summarise("sources_metered_over_native_better", rounded(mean, 3));
    }
    Ok(())
}

fn c_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for entry in
        std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?
    {
        let path = entry.map_err(text)?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            files.push(path.canonicalize().map_err(text)?);
        }
    }
    files.sort();
    Ok(files)
}

fn programs(folder: &Path) -> Result<Vec<Sources>, String> {
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let own =
        |file: PathBuf| Sources { name: name(&file), folder: folder.into(), files: vec![file] };
    let mut programs: Vec<Sources> = c_files(folder)?.into_iter().map(own).collect();
    let mut below: Vec<PathBuf> =
        std::fs::read_dir(folder).map_err(text)?.flatten().map(|entry| entry.path()).collect();
    below.sort();
    for folder in below.into_iter().filter(|path| path.is_dir()) {
        let files = c_files(&folder)?;
        if !files.is_empty() {
            programs.push(Sources { name: name(&folder), folder, files });
        }
    }
    Ok(programs)
}

impl Sources {
    fn build(&self, out: &Path, more: &[&str]) -> Result<(), String> {
        let own = std::fs::read_to_string(self.folder.join("flags")).unwrap_or_default();
        let done = Command::new(CLANG)
            .current_dir(&self.folder)
            .args(FLAGS)
            .args(more)
            .args(own.lines().map(str::trim).filter(|line| !line.is_empty()))
            .args(&self.files)
            .arg("-o")
            .arg(out)
            .arg("-lm")
            .output()
            .map_err(|error| format!("{CLANG}: {error}"))?;
        let words = String::from_utf8_lossy(&done.stderr);
        if done.status.success() { Ok(()) } else { Err(words.into_owned()) }
    }
}

/// Adds the rows of one program and returns the ratio of its better build.
fn measure(
    report: &mut Report,
    quick: bool,
    work: &Path,
    sources: &Sources,
) -> Result<f64, String> {
    let binary = work.join(&sources.name);
    sources.build(&binary, &[])?;
    let mut better = f64::MAX;
    for (build, flags) in BUILDS {
        let wasm = work.join(format!("{}.{build}.wasm", sources.name));
        sources.build(&wasm, &[&WASI_FLAGS[..], flags].concat())?;
        let module = std::fs::read(&wasm).map_err(text)?;
        let program = Program::load(default_engine(), &module).map_err(text)?;
        if let Some(refusal) = program.refusal() {
            return Err(refusal.to_string());
        }
        let spec = spec(&module);
        let (mut native_best, mut metered_best) = (f64::MAX, f64::MAX);
        let (mut same, mut fuel) = (true, 0);
        for _ in 0..if quick { 3 } else { 9 } {
            let (nanos, output) = native(&binary)?;
            native_best = native_best.min(nanos);
            let from = process_nanos();
            let done = run_segment(&program, &spec, 0, b"").map_err(text)?;
            metered_best = metered_best.min(process_nanos() - from);
            fuel = ended(&done.receipt)?;
            same &= done.output == output;
        }
        better = better.min(metered_best / native_best);
        report.row(json!({
            "name": "source",
            "variant": sources.name,
            "build": build,
            "native_ms": rounded(native_best / 1e6, 2),
            "metered_ms": rounded(metered_best / 1e6, 2),
            "metered_over_native": rounded(metered_best / native_best, 3),
            "fuel": fuel,
            "same_output": same,
        }));
    }
    Ok(better)
}

fn ended(receipt: &Receipt) -> Result<u64, String> {
    match receipt.status {
        Status::Ok | Status::Exit(_) => Ok(receipt.fuel.0),
        Status::OutOfFuel => {
            Err(format!("takes more than {SEGMENT_FUEL_MAX} fuel: make it smaller"))
        }
        Status::Trap(_) | Status::Refused => Err(format!("ended with {:?}", receipt.status)),
    }
}

fn spec(module: &[u8]) -> JobSpec {
    JobSpec {
        version: JOB_VERSION,
        module: Hash::of_content(module),
        meter: METER_VERSION,
        args: Vec::new(),
        shape: Shape::Map { segments: 1, input: MapInput::Shared(Hash::of_content(b"")) },
        limits: Limits { fuel: SEGMENT_FUEL_MAX, memory_pages: 4096, output_bytes: 1 << 20 },
        seed: Hash::ZERO,
    }
}

/// CPU nanoseconds of a whole process, as the kernel counted them when it had ended, and what it printed.
fn native(binary: &Path) -> Result<(f64, Vec<u8>), String> {
    let out = tempfile::NamedTempFile::new().map_err(text)?;
    let mut child = Command::new(binary)
        .stdin(Stdio::null())
        .stdout(out.reopen().map_err(text)?)
        .stderr(Stdio::null())
        .spawn()
        .map_err(text)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?;
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).map_err(text)?;
    let counted = std::fs::read_to_string(format!("/proc/{}/schedstat", child.id()));
    child.wait().map_err(text)?;
    let counted = counted.map_err(text)?;
    let nanos = counted.split_whitespace().next().and_then(|word| word.parse().ok());
    Ok((nanos.ok_or("no CPU time of the process")?, std::fs::read(out.path()).map_err(text)?))
}
