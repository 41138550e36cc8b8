//! Metered, deterministic WebAssembly jobs in parallel, with receipts and re-execution.
//!
//! ```text
//!  module ──► meter ──► engine (wasmi │ Cranelift) ──► run_segment ──► Receipt + output
//!             fuel, stack and NaN rules           ▲
//!             are written INTO the module         └── wasi: 15 functions, no clock, no file, no net
//! ```
//!
//! Rules:
//! 1. A segment's receipt depends on the module, the [`JobSpec`](gongsuan_types::job::JobSpec), the segment's number
//!    and its input; not on the engine, its version, the machine or the time.
//! 2. Every module gives a receipt. One that may not run gives [`Status::Refused`](gongsuan_types::receipt::Status),
//!    so that a provider is never stuck with a job that it can neither run nor refuse.
//! 3. What is this machine's fault is a [`RunError`], never a receipt.
//! 4. Strangers' modules are parsed, compiled and run in child processes ([`worker`]) that have given up files,
//!    sockets and programs before they see a byte of the module.
//! 5. Re-execution ([`reexecute`]) is the same function as execution.
//!
//! Around it: [`jobs`] runs many at once, fairly, with logs and resumption; [`backend`] takes them to the machines of a cluster; [`verify`]
//! checks what others say they ran.
//!
//! It deliberately does not know that a chain exists, fetch modules or inputs, or keep results on disk.
//!
//! # Example
//! ```
//! use gongsuan_executor::{EngineKind, Program, guests, run_segment};
//! let scene = guests::RaytraceScene { width: 32, height: 20, columns: 2, rows: 2, seed: 7, samples: 4 };
//! let input = scene.to_input();
//! let spec = scene.to_job(gongsuan_types::Hash::ZERO);
//! let program = Program::load(EngineKind::Wasmi, guests::RAYTRACE).unwrap();
//! let tile = run_segment(&program, &spec, 0, &input).unwrap();
//! assert_eq!(tile.output.len(), 16 * 10 * 3);
//! assert_eq!(run_segment(&program, &spec, 0, &input).unwrap().receipt, tile.receipt);
//! ```

pub mod backend;
pub mod engine;
pub mod error;
pub mod guests;
pub mod jobs;
mod lane;
pub mod meter;
pub mod pool;
pub mod run;
pub mod verify;
pub mod wasi;
pub mod worker;

pub use engine::{EngineKind, Program, default_engine, with_big_stack};
pub use error::{ModuleError, PoolError, RunError, WorkerFailure};
pub use meter::{METER_VERSION, Metered};
pub use pool::{Backend, Cancel, Event, InProcess, Inputs, Job};
pub use run::{SegmentOutput, reexecute, run_segment};
