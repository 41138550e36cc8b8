//! Does a machine have the cores and the memory that it claims? The challenge itself is the chain's
//! ([`gongsuan_types::capacity`]); here is the program that answers it.

use gongsuan_types::Hash;
pub use gongsuan_types::capacity::{Challenge, MEBIBYTES_MAX};
use gongsuan_types::job::JobSpec;

use crate::METER_VERSION;
use crate::guests::CAPACITY;

/// A challenge as a job of [`CAPACITY`] under this executor's meter.
#[must_use]
pub fn job(challenge: &Challenge) -> JobSpec {
    challenge.to_job(Hash::of_content(CAPACITY), METER_VERSION)
}
