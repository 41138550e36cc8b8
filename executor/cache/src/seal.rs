//! Tags under a local key.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::{CacheError, Discarded};

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// A folder's key.
pub(crate) struct Key(XChaCha20Poly1305);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// As many random bytes as asked for.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], CacheError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| CacheError::Random { reason: error.to_string() })?;
    Ok(bytes)
}

impl Key {
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(&bytes.into()))
    }

    /// Nonce and tag that prove a body, which stays readable: nothing is encrypted.
    pub(crate) fn seal(&self, body: &[u8]) -> Result<Vec<u8>, CacheError> {
        // 24 random bytes do not repeat.
        let nonce: [u8; NONCE_BYTES] = random()?;
        let payload = Payload { msg: b"", aad: body };
        let tag = self.0.encrypt(&XNonce::from(nonce), payload);
        Ok([&nonce[..], &tag.expect("a body is shorter than 256 GiB")].concat())
    }

    /// The body behind nonce and tag, if they prove it.
    pub(crate) fn open<'a>(&self, sealed: &'a [u8]) -> Result<&'a [u8], Discarded> {
        let (nonce, rest) =
            sealed.split_first_chunk::<NONCE_BYTES>().ok_or(Discarded::NotAnEntry)?;
        let (tag, body) = rest.split_first_chunk::<TAG_BYTES>().ok_or(Discarded::NotAnEntry)?;
        let payload = Payload { msg: tag, aad: body };
        let opened = self.0.decrypt(&XNonce::from(*nonce), payload);
        opened.map(|_| body).map_err(|_| Discarded::NotAuthentic)
    }
}
