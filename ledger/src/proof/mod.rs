//! What an auditor is handed: a fact about the chain with everything that proves it.
//!
//! ```text
//! certificate ─ certifies → anchor ─ history root → block ─ its roots → fact
//! ```
//!
//! The *anchor* is a header that the validators certified; the certificate is bytes here, because this crate does not know consensus. The *block* is the
//! anchor itself or a header in its past. The *fact* stands under a root of the block. [`crate::LightClient::verify`] checks all of it, and nothing else
//! in the workspace decides whether a proof holds.

mod fact;
mod make;

use gongsuan_types::{codec, codec::DecodeError};
use serde::{Deserialize, Serialize};

pub use self::fact::Fact;
pub use self::make::{events_of, receipt_of, transaction_of};

use crate::header::Header;
use crate::history::HistoryProof;

/// The only version.
pub const PROOF_VERSION: u16 = 1;
/// Bytes of an encoded proof, at most: a block's own events are the largest fact, certificates of a full validator set the largest certificate.
pub const PROOF_BYTES_MAX: usize = 16 << 20;

/// See the module's documentation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proof {
    /// [`PROOF_VERSION`].
    pub version: u16,
    /// The certified header.
    pub anchor: Header,
    /// What certifies it.
    pub certificate: Vec<u8>,
    /// The block that the fact is about; absent if that is the anchor itself.
    pub past: Option<Past>,
    /// The fact.
    pub fact: Fact,
}

/// A header in the past of another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Past {
    /// The older header.
    pub header: Header,
    /// The path to the younger one's history root.
    pub path: HistoryProof,
}

impl Proof {
    /// The block that the fact is about.
    #[must_use]
    pub fn block(&self) -> &Header {
        self.past.as_ref().map_or(&self.anchor, |past| &past.header)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The proof whose canonical encoding `bytes` is. Nothing is checked yet.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode("proof", PROOF_BYTES_MAX, bytes)
    }
}

/// The steps of a verification, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The version is known.
    Version,
    /// The anchor is of the chain that is trusted.
    Chain,
    /// The anchor is trusted, or the validators certified it.
    Certificate,
    /// The block is the anchor or in its past.
    Ancestry,
    /// The fact agrees with itself: a transaction with its signature, a place with the block's counts.
    Content,
    /// The fact stands under the block's root.
    Path,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Version => "version",
            Self::Chain => "chain",
            Self::Certificate => "certificate",
            Self::Ancestry => "ancestry",
            Self::Content => "content",
            Self::Path => "path",
        })
    }
}

/// A step that holds, and with which values.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Passed {
    /// Which.
    pub step: Step,
    /// One line for people.
    pub detail: String,
}

/// A proof that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {reason}")]
pub struct Refuted {
    /// The first step that fails.
    pub step: Step,
    /// Why.
    pub reason: String,
    /// The steps before it.
    pub passed: Vec<Passed>,
}
