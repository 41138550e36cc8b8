//! Private jobs: what is encrypted, to whom, and how the keys travel.
//!
//! ```text
//! on the chain      hashes of plaintexts (what receipts prove) · each account's encryption key · "private" in the order's requirements
//! blobs             ciphertexts, each under its own hash                                                  readable by nobody
//! letters           signed by the sender, sealed to one account (HPKE): openings {plaintext's hash, ciphertext's hash, key}
//!
//! renter ── openings of module and inputs ──▶ provider ── openings of outputs ──▶ renter
//!    └───── of module and one segment's input ──▶ drawn auditor, validators of an open case
//! ```
//!
//! An [`Opening`] binds the two hashes: whoever uses it checks the ciphertext against one and the plaintext against the other, so a letter can
//! withhold, but not deceive. Every blob has a key of its own, so exactly what somebody has to execute can be shown, and nothing else.
//!
//! All keys follow from the account's secret: encryption keys by their number ([`KeyPair::derive`]), keys of blobs by the hash of what they encrypt. One
//! backup of the account opens everything, and nothing has to be kept beside it. The price is said in `docs/privacy.md`: whoever gets the account's
//! secret reads all that was ever sent to it.

mod blob;
mod court;
mod keys;
mod letter;
mod mailbox;
mod post;
mod sharer;

use gongsuan_types::Hash;

pub use blob::{BlobKey, Opening, seal};
pub use court::attend;
pub use keys::KeyPair;
pub use letter::{Content, DELETION, LETTER_BYTES_MAX, Letter, OPENINGS_MAX, SignedLetter};
pub use mailbox::Mailbox;
pub use post::{Keyring, Outputs, Post, Source, letters};
pub use sharer::{Files, Sharer};

/// Why something sealed cannot be made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Nothing can be encrypted to this key: it is a point of low order.
    #[error("nothing can be encrypted to the published key {0}")]
    BadKey(gongsuan_types::EncryptionKey),
    /// It was sealed to another key, for another purpose, or was changed.
    #[error("it was not sealed for this account and this deal, or was changed")]
    Closed,
    /// The bytes are not those that the opening names.
    #[error("the blob is {got}, not {expected}")]
    OtherBytes {
        /// What the opening says.
        expected: Hash,
        /// What it is.
        got: Hash,
    },
    /// More than a letter holds.
    #[error("{got} openings in one letter, at most {OPENINGS_MAX}")]
    TooMany {
        /// How many.
        got: usize,
    },
}
