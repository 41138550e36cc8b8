//! Does a machine have the cores and the memory that it claims?
//!
//! A challenge is a job: one segment ("lane") for each core, each filling the claimed memory from a seed that nobody knew
//! before and walking through it where its contents lead. The provider commits to the lanes' receipts; afterwards a few lanes
//! are drawn ([`super::draw`]) and run again by whoever checks. A lane cannot be answered without about its work, which is
//! mostly waiting for memory, so what was computed per second is a lower bound of what the machine can do.
//!
//! What it shows is access to a machine at that time, not ownership; two identities that share a machine are caught by being
//! challenged at once.

use gongsuan_types::job::{JOB_VERSION, JobSpec, Limits, MapInput, SEGMENT_FUEL_MAX, Shape};
use gongsuan_types::{Fuel, Hash};

use crate::METER_VERSION;
use crate::guests::CAPACITY;

/// Memory of a lane in MiB, at most: what a segment may have, less the program's own.
pub const MEBIBYTES_MAX: u32 = 1000;
/// Fuel of filling one MiB and of one step, as the program burns it, rounded up.
const FILL_FUEL: u64 = 3_600_000;
const STEP_FUEL: u64 = 40;

/// What a machine is asked to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// From something that was not known before: the hash of a block with the provider's address, say.
    pub seed: Hash,
    /// Lanes at once: the cores claimed.
    pub lanes: u32,
    /// Memory of each lane in MiB.
    pub mebibytes: u32,
    /// Dependent reads of each lane.
    pub steps: u32,
}

impl Challenge {
    /// What every lane reads.
    #[must_use]
    pub fn to_input(&self) -> Vec<u8> {
        let seed: String = self.seed.0.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} {} {seed}\n", self.mebibytes, self.steps).into_bytes()
    }

    /// The challenge as a job, with limits that fit it. A challenge beyond what a segment may have gives a job that ends out of
    /// fuel, or exits with 2: see [`Challenge::fits`].
    #[must_use]
    pub fn to_job(&self) -> JobSpec {
        JobSpec {
            version: JOB_VERSION,
            module: Hash::of_content(CAPACITY),
            meter: METER_VERSION,
            args: Vec::new(),
            shape: Shape::Map {
                segments: self.lanes,
                input: MapInput::Shared(Hash::of_content(&self.to_input())),
            },
            limits: Limits {
                fuel: Fuel(self.fuel_max().min(SEGMENT_FUEL_MAX.0)),
                memory_pages: self.mebibytes.saturating_mul(16).saturating_add(4).min(16_384),
                output_bytes: 32,
            },
            seed: self.seed,
        }
    }

    /// Whether a lane stays within what one segment may have.
    #[must_use]
    pub fn fits(&self) -> bool {
        (1..=MEBIBYTES_MAX).contains(&self.mebibytes) && self.fuel_max() <= SEGMENT_FUEL_MAX.0
    }

    fn fuel_max(&self) -> u64 {
        let start = 1_000_000;
        start + u64::from(self.mebibytes) * FILL_FUEL + u64::from(self.steps) * STEP_FUEL
    }

    /// Fuel per second that all lanes together have shown, if their commitment came `elapsed_ms` after the challenge: a
    /// lower bound, since nobody can see when the work began.
    #[must_use]
    pub fn shown(&self, committed: Fuel, elapsed_ms: u64) -> u64 {
        let rate = u128::from(committed.0) * 1000 / u128::from(elapsed_ms.max(1));
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}
