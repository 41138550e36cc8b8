//! Everything that runs modules, in one binary.

mod engines;
mod generated;
mod guest;
mod hostile;
mod pool;
mod support;
mod workers;
