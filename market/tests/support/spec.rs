//! The job and the machine of tests that ask nothing of either: one for the tests of the market and of the ledger.

#![allow(dead_code, reason = "no test uses all of it")]

use gongsuan_types::job::{JOB_VERSION, JobSpec, Limits, MapInput, Shape};
use gongsuan_types::order::{Capabilities, Machine, Region};
use gongsuan_types::{Fuel, Hash};

/// So many segments of so many units (Gf) each; module and input do not exist.
pub(crate) fn job(segments: u32, lot: u64) -> JobSpec {
    JobSpec {
        version: JOB_VERSION,
        module: Hash::ZERO,
        meter: 1,
        args: vec![],
        shape: Shape::Map { segments, input: MapInput::Shared(Hash::ZERO) },
        limits: Limits { fuel: Fuel(lot * 1_000_000_000), memory_pages: 1, output_bytes: 0 },
        seed: Hash::ZERO,
    }
}

/// The least machine there is.
pub(crate) const MACHINE: Machine = Machine {
    cpu_cores: 1,
    memory_mib: 1,
    disk_mib: 0,
    gpu_count: 0,
    duration_s_max: 60,
    region: Region(0),
    capabilities: Capabilities::NONE,
};
