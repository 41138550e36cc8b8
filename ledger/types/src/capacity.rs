//! A challenge that shows whether a machine has the cores and the memory that it claims.
//!
//! A challenge is a job: one segment (*lane*) for each core, each filling its memory from a seed that nobody knew before and walking through it
//! where its contents lead. Whoever is challenged commits to the lanes' receipts; afterwards a few lanes are drawn and run again. A lane cannot
//! be answered without about its work, which is mostly waiting for memory, so what was computed per second is a lower bound of what the machine
//! can do.
//!
//! What it shows is access to a machine at that time, not ownership; two accounts that share a machine are caught by being challenged at once.

use serde::{Deserialize, Serialize};

use crate::job::{JOB_VERSION, JobSpec, Limits, MapInput, SEGMENT_FUEL_MAX, Shape};
use crate::{Fuel, Hash, Refusal};

/// Lanes of a challenge, at most.
pub const LANES_MAX: u16 = 1_024;
/// Memory of a lane in MiB, at most: what a segment may have, less the program's own.
pub const MEBIBYTES_MAX: u32 = 1_000;
/// Fuel of filling one MiB and of one step, as the program burns it, rounded up.
const FILL_FUEL: u64 = 3_600_000;
const STEP_FUEL: u64 = 40;

/// What a machine claims to have, and may be asked to show.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Capacity {
    /// Lanes at once: cores.
    pub lanes: u16,
    /// Memory of each lane in MiB.
    pub mebibytes: u32,
}

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

impl Capacity {
    /// Memory of all lanes together, in MiB.
    #[must_use]
    pub fn memory_mib(&self) -> u32 {
        u32::from(self.lanes).saturating_mul(self.mebibytes)
    }

    /// Whether lanes and memory are within what can be asked for.
    ///
    /// # Errors
    /// A [`Refusal`] that names the first field at fault.
    pub fn validate(&self) -> Result<(), Refusal> {
        crate::order::within("lanes", u64::from(self.lanes), 1, u64::from(LANES_MAX))?;
        crate::order::within("mebibytes", u64::from(self.mebibytes), 1, u64::from(MEBIBYTES_MAX))
    }

    /// The challenge for it.
    #[must_use]
    pub fn challenge(&self, seed: Hash, steps: u32) -> Challenge {
        Challenge { seed, lanes: u32::from(self.lanes), mebibytes: self.mebibytes, steps }
    }
}

impl Challenge {
    /// What every lane reads.
    #[must_use]
    pub fn to_input(&self) -> Vec<u8> {
        format!("{} {} {}\n", self.mebibytes, self.steps, self.seed).into_bytes()
    }

    /// The challenge as a job of the program `module` under the cost table `meter`, with limits that fit it. A challenge beyond what a segment
    /// may have gives a job that ends out of fuel, or exits with 2: see [`Challenge::fits`].
    #[must_use]
    pub fn to_job(&self, module: Hash, meter: u16) -> JobSpec {
        JobSpec {
            version: JOB_VERSION,
            module,
            meter,
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

    /// Fuel per second that all lanes together have shown, if their commitment came `elapsed_ms` after the challenge: a lower bound, since
    /// nobody can see when the work began.
    #[must_use]
    pub fn shown(&self, committed: Fuel, elapsed_ms: u64) -> u64 {
        rate(committed, elapsed_ms)
    }
}

/// Fuel per second, rounded down.
#[must_use]
pub fn rate(fuel: Fuel, elapsed_ms: u64) -> u64 {
    let rate = u128::from(fuel.0) * 1_000 / u128::from(elapsed_ms.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_names_its_seed_in_what_the_lanes_read_and_in_the_job() {
        let capacity = Capacity { lanes: 3, mebibytes: 2 };
        let challenge = capacity.challenge(Hash([0xab; 32]), 20_000);
        assert_eq!(challenge.to_input(), format!("2 20000 {}\n", "ab".repeat(32)).into_bytes());
        let job = challenge.to_job(Hash::of_content(b"module"), 1);
        assert_eq!((job.segment_count(), job.validate()), (3, Ok(())));
        let other = Challenge { seed: Hash::ZERO, ..challenge };
        assert_ne!(job.id(), other.to_job(job.module, 1).id());
    }

    #[test]
    fn every_bound_of_a_claim_is_named_when_crossed() {
        let good = Capacity { lanes: LANES_MAX, mebibytes: MEBIBYTES_MAX };
        assert_eq!(good.validate(), Ok(()));
        assert_eq!(Capacity { lanes: 0, ..good }.validate().unwrap_err().field, "lanes");
        let over = Capacity { mebibytes: MEBIBYTES_MAX + 1, ..good };
        assert_eq!(over.validate().unwrap_err().field, "mebibytes");
        assert!(!over.challenge(Hash::ZERO, 1).fits());
        assert!(!good.challenge(Hash::ZERO, u32::MAX).fits());
        assert!(good.challenge(Hash::ZERO, 1_000).fits());
    }
}
