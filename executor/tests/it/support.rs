//! A job around a text module.

use gongsuan_executor::{EngineKind, METER_VERSION, Program, SegmentOutput, run_segment};
use gongsuan_types::job::{JOB_VERSION, JobSpec, Limits, MapInput, Shape};
use gongsuan_types::receipt::{Receipt, Status};
use gongsuan_types::{Fuel, Hash};

/// The engines of this build.
pub(crate) fn engines() -> Vec<EngineKind> {
    if cfg!(feature = "jit") {
        vec![EngineKind::Wasmi, EngineKind::Cranelift]
    } else {
        vec![EngineKind::Wasmi]
    }
}

pub(crate) fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A job of four segments over `input`: 100 Mf, 4 pages, 1000 bytes.
pub(crate) fn job(module: &[u8], input: &[u8]) -> JobSpec {
    JobSpec {
        version: JOB_VERSION,
        module: Hash::of_content(module),
        meter: METER_VERSION,
        args: vec!["one".into(), "two".into()],
        shape: Shape::Map { segments: 4, input: MapInput::Shared(Hash::of_content(input)) },
        limits: Limits { fuel: Fuel(100_000_000), memory_pages: 4, output_bytes: 1000 },
        seed: Hash::of_content(b"seed"),
    }
}

/// Runs segment 0 on every engine, requires that all agree, and returns what they agree on.
pub(crate) fn run(text: &str) -> SegmentOutput {
    let module = wasm(text);
    let spec = job(&module, b"input");
    run_with(&module, &spec, 0, b"input")
}

pub(crate) fn run_with(module: &[u8], spec: &JobSpec, segment: u32, input: &[u8]) -> SegmentOutput {
    let mut outputs = engines().into_iter().map(|kind| {
        let program = Program::load(kind, module).unwrap();
        (kind, run_segment(&program, spec, segment, input).unwrap())
    });
    let (_, first) = outputs.next().unwrap();
    for (kind, other) in outputs {
        assert_eq!(other, first, "{kind} disagrees with the first engine");
    }
    first
}

/// A command that runs `body` with a memory of one page and the usual imports.
pub(crate) fn command(body: &str) -> String {
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1 100)
  (table 4 funcref)
  (type $nothing (func))
  (type $number (func (result i32)))
  (elem (i32.const 0) $five)
  (func $five (result i32) (i32.const 5))
  ;; Writes `length` bytes from `pointer` to standard output.
  (func $put (param $pointer i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $pointer))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  {body})"#
    )
}

pub(crate) fn start(body: &str) -> String {
    command(&format!("(func (export \"_start\") {body})"))
}

pub(crate) fn ending(text: &str) -> (Status, u64) {
    let Receipt { status, fuel, .. } = run(text).receipt;
    (status, fuel.0)
}
