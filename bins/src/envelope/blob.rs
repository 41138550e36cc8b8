//! One blob, one key: ChaCha20-Poly1305 under a key that is used for nothing else.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use gongsuan_types::{Hash, SecretKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::EnvelopeError;

/// The key of one blob. Wiped when dropped; never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct BlobKey([u8; 32]);

impl std::fmt::Debug for BlobKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlobKey(..)")
    }
}

/// What finds and opens one blob.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Opening {
    /// The content address of the plaintext: what the chain names.
    pub plain: Hash,
    /// The content address of the ciphertext: where nodes have it.
    pub sealed: Hash,
    /// What opens it.
    pub key: BlobKey,
}

/// Encrypts a blob: what opens it, and the ciphertext (16 bytes longer).
///
/// The key follows from the account's secret and the hash of the plaintext, so equal blobs of one account are one ciphertext, nothing has to be remembered,
/// and no key ever encrypts two plaintexts (which is why the nonce may be constant).
///
/// # Panics
/// If `plain` is longer than `ChaCha20` can encrypt: 256 GiB.
#[must_use]
pub fn seal(account: &SecretKey, plain: &[u8]) -> (Opening, Vec<u8>) {
    let address = Hash::of_content(plain);
    let mut seed = Zeroizing::new([0; 64]);
    seed[..32].copy_from_slice(Zeroizing::new(account.to_bytes()).as_ref());
    seed[32..].copy_from_slice(&address.0);
    let key = BlobKey(Hash::of("gongsuan/blob-key/v1", seed.as_ref()).0);
    let payload = Payload { msg: plain, aad: &address.0 };
    let sealed = cipher(&key).encrypt(&Nonce::default(), payload).expect("a blob fits in memory");
    (Opening { plain: address, sealed: Hash::of_content(&sealed), key }, sealed)
}

fn cipher(key: &BlobKey) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new((&key.0).into())
}

impl Opening {
    /// Decrypts a ciphertext, and checks that both are what the opening says.
    ///
    /// # Errors
    /// [`EnvelopeError::OtherBytes`] or [`EnvelopeError::Closed`].
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        let same = |expected: Hash, bytes: &[u8]| match Hash::of_content(bytes) {
            got if got == expected => Ok(()),
            got => Err(EnvelopeError::OtherBytes { expected, got }),
        };
        same(self.sealed, sealed)?;
        let payload = Payload { msg: sealed, aad: &self.plain.0 };
        let plain = cipher(&self.key)
            .decrypt(&Nonce::default(), payload)
            .map_err(|_| EnvelopeError::Closed)?;
        same(self.plain, &plain)?;
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_opens_its_own_blob_and_no_other() {
        let renter = SecretKey::from_seed(b"renter");
        let (opening, sealed) = seal(&renter, b"input");
        assert_eq!(opening.open(&sealed).unwrap(), b"input");
        assert!(!sealed.windows(5).any(|window| window == b"input"));
        let (other, other_sealed) = seal(&renter, b"other");
        assert_ne!(opening.key, other.key, "each blob has a key of its own");
        assert!(matches!(opening.open(&other_sealed), Err(EnvelopeError::OtherBytes { .. })));
        let (stranger, strangers) = seal(&SecretKey::from_seed(b"stranger"), b"input");
        assert_ne!(strangers, sealed, "the hash of a plaintext alone does not give its ciphertext");
        let wrong_key = Opening { key: stranger.key, ..opening };
        assert!(matches!(wrong_key.open(&sealed), Err(EnvelopeError::Closed)));
        // Somebody who knows the key and names a ciphertext of its own as another plaintext's.
        let lie = Opening { plain: Hash::of_content(b"lie"), ..opening };
        assert!(lie.open(&sealed).is_err());
    }
}
