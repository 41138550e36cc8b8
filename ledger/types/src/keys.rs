//! Keys and signatures: BIP340 Schnorr over secp256k1.
//!
//! Public keys are 32-byte x-only points; signatures are 64 bytes; what is signed is always a tagged
//! [`struct@Hash`]. Signing is deterministic (no auxiliary randomness), so equal inputs give equal transactions.

use k256::schnorr::{Signature as RawSignature, SigningKey, VerifyingKey};

use crate::bytes::{byte_string, hex_text};
use crate::{Address, Hash};

/// A secp256k1 secret key with its public key, which is computed once. Wiped when dropped; never printed.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

/// The secret is wiped by the key inside.
const _: () = {
    const fn wiped<T: zeroize::ZeroizeOnDrop>() {}
    wiped::<SigningKey>();
};

/// An x-only public key. Any 32 bytes decode; [`PublicKey::verify`] refuses those off the curve.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// A BIP340 signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 64]);

byte_string!(PublicKey, 32);
hex_text!(PublicKey, 32);
byte_string!(Signature, 64);
hex_text!(Signature, 64);

/// Why a key or a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The secret is zero or not below the group order.
    #[error("secret key is zero or not below the order of secp256k1")]
    SecretOutOfRange,
    /// The 32 bytes are not the x coordinate of a curve point.
    #[error("public key is not a point of secp256k1")]
    NotOnCurve,
    /// The signature's encoding is out of range.
    #[error("signature encoding is out of range")]
    SignatureOutOfRange,
    /// The signature does not belong to this key and message.
    #[error("signature does not match the key and the message")]
    Mismatch,
}

impl SecretKey {
    /// A key from its 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::SecretOutOfRange`] for zero or a number not below the group order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        SigningKey::from_slice(&bytes).map(Self).map_err(|_| KeyError::SecretOutOfRange)
    }

    /// A key derived from a seed, for development networks and tests. Anybody who knows the seed owns the key.
    ///
    /// # Panics
    /// Never in practice: the chance that a hash is not a valid secret is below 2^-127 for each of 256 tries.
    #[must_use]
    pub fn from_seed(seed: &[u8]) -> Self {
        (0..=u8::MAX)
            .find_map(|salt| {
                let mut bytes = seed.to_vec();
                bytes.push(salt);
                Self::from_bytes(Hash::of("gongsuan/key/seed/v1", &bytes).0).ok()
            })
            .expect("one of 256 hashes is a valid secret")
    }

    /// The 32 bytes of the key. The caller keeps them secret.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes().into()
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes().into())
    }

    /// The address of the account that this key controls.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::from(self.public_key())
    }

    /// Signs a digest.
    ///
    /// # Panics
    /// If BIP340's nonce is zero, which no input is known to cause.
    #[must_use]
    pub fn sign(&self, digest: &Hash) -> Signature {
        let signature = self.0.sign_raw(&digest.0, &[0; 32]).expect("a BIP340 nonce is not zero");
        Signature(signature.to_bytes())
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

impl PublicKey {
    /// Whether the bytes are a point of the curve.
    ///
    /// # Errors
    /// [`KeyError::NotOnCurve`].
    pub fn check(&self) -> Result<(), KeyError> {
        VerifyingKey::from_slice(&self.0).map(|_| ()).map_err(|_| KeyError::NotOnCurve)
    }

    /// Verifies one signature over a digest (about 50 µs).
    ///
    /// # Errors
    /// [`KeyError`], by what was wrong.
    pub fn verify(&self, digest: &Hash, signature: &Signature) -> Result<(), KeyError> {
        let key = VerifyingKey::from_slice(&self.0).map_err(|_| KeyError::NotOnCurve)?;
        let signature = RawSignature::try_from(signature.0.as_slice())
            .map_err(|_| KeyError::SignatureOutOfRange)?;
        key.verify_raw(&digest.0, &signature).map_err(|_| KeyError::Mismatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_bip340_test_vectors() {
        // BIP340 test-vectors.csv, rows 0 and 1 (aux_rand zero for row 0).
        let mut secret = [0; 32];
        secret[31] = 3;
        let key = SecretKey::from_bytes(secret).unwrap();
        assert_eq!(
            key.public_key().to_string(),
            "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9"
        );
        let signature = key.sign(&Hash([0; 32]));
        assert_eq!(
            signature.to_string(),
            "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca821525f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0"
        );
    }

    #[test]
    fn every_flipped_bit_of_a_signature_is_refused() {
        let key = SecretKey::from_seed(b"flip");
        let digest = Hash::of("t", b"message");
        let good = key.sign(&digest);
        assert_eq!(key.public_key().verify(&digest, &good), Ok(()));
        for bit in (0..512).step_by(37) {
            let mut bad = good;
            bad.0[bit / 8] ^= 1 << (bit % 8);
            assert!(key.public_key().verify(&digest, &bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn zero_and_the_group_order_are_no_secrets() {
        assert_eq!(SecretKey::from_bytes([0; 32]).unwrap_err(), KeyError::SecretOutOfRange);
        assert_eq!(SecretKey::from_bytes([0xff; 32]).unwrap_err(), KeyError::SecretOutOfRange);
    }
}
