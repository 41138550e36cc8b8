//! What is claimed: that a key signed a message.

use super::affine::Affine;
use crate::bytes::{byte_string, hex_text};
use crate::keys::KeyError;
use crate::{PublicKey, Signature};

/// "This key signed this message."
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Who signed.
    pub key: PublicKey,
    /// What was signed: in this project always the 32 bytes of a tagged hash, but BIP340 allows any length.
    pub message: &'a [u8],
    /// The signature.
    pub signature: Signature,
    /// Saves a square root if it is right, costs one multiplication or two if it is wrong; it never changes a verdict.
    pub hint: Option<NonceHint>,
}

/// The y coordinate of a signature's nonce point R, big-endian.
///
/// A signature carries only the x of R, and a batch needs the point. BIP340 fixes which of the two y is meant, so there is exactly one right
/// hint for a signature and it adds nothing to what is signed. It travels *beside* transactions, is not hashed into anything, and
/// may be dropped at any time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NonceHint(pub [u8; 32]);

byte_string!(NonceHint, 32);
hex_text!(NonceHint, 32);

impl NonceHint {
    /// The hint for a signature, by a square root; `None` if no point has the signature's x, in which case the signature is bad.
    #[must_use]
    pub fn of(signature: &Signature) -> Option<Self> {
        Affine::lift(nonce_bytes(signature)).map(|point| Self(point.y.to_bytes()))
    }
}

/// The x of R.
pub(super) fn nonce_bytes(signature: &Signature) -> &[u8; 32] {
    signature.0.first_chunk().expect("64 bytes begin with 32")
}

/// One claim that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("claim {index}: {error}")]
pub struct Fault {
    /// Which claim, from 0.
    pub index: usize,
    /// What single verification says of it.
    pub error: KeyError,
}
