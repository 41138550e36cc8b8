//! Checks that trust nobody, online and offline: proofs, receipts, the whole chain by executing it again, and tables for other tools.
//!
//! | file | job |
//! |---|---|
//! | `source` | blocks one after another, from a folder's files (never written to) or from nodes |
//! | `validators` | judges commit certificates and follows the validators from epoch to epoch |
//! | `subject` | what a proof can be about, and how people name it |
//! | `proof_file` | the proof as a file, and its check |
//! | `prove` | makes a proof out of a folder's files |
//! | `replay` | every block: its certificate, its links, its execution |
//! | `trail` | everything that happened to a job, a deal or an account |
//! | `story` | a job's trail in words, each line proved |
//! | `receipt` | what a bid bought, provable with one file |
//! | `export` | tables as CSV and JSONL |
//!
//! Whether a proof holds is decided in one place, [`gongsuan_ledger::LightClient::verify`]; everything here brings it bytes.

pub mod export;
pub mod proof_file;
pub mod prove;
pub mod receipt;
pub mod replay;
pub mod source;
pub mod story;
pub mod subject;
pub mod trail;
pub mod validators;

use serde::Serialize;

pub use proof_file::ProofFile;
pub use receipt::{Bundle, check, collect};
pub use replay::{Replayed, replay_all};
pub use source::Source;
pub use subject::Subject;
pub use validators::{Certificate, Validators};

/// One thing that was checked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// With which values, or why not.
    pub detail: String,
}

/// Something that was checked and does not hold: exit code 7.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(pub String);
