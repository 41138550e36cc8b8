//! Everything that runs modules, in one binary.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod backends;
#[cfg(feature = "cache")]
mod cache;
mod counted;
mod engines;
mod files;
mod generated;
mod guest;
mod hostile;
mod jobs;
mod menace;
mod operations;
mod pilots;
mod pool;
mod programs;
mod slurm;
mod smith;
mod suite;
mod support;
mod verify;
mod workers;
