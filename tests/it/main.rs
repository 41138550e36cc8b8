//! The integration tests of the workspace: one binary, a module for each subject.

mod arch;
mod capacity;
mod chain;
mod conformance;
mod sim;
