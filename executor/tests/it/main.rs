//! Everything that runs modules, in one binary.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod engines;
mod generated;
mod guest;
mod hostile;
mod operations;
mod pool;
mod support;
mod workers;
