//! The key pair to which others encrypt: HPKE (RFC 9180), DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.

use gongsuan_types::{EncryptionKey, Hash, SecretKey};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use zeroize::Zeroizing;

use super::EnvelopeError;

type Suite = X25519HkdfSha256;

/// One of an account's key pairs. Wiped when dropped; never printed.
pub struct KeyPair {
    number: u32,
    secret: <Suite as hpke::Kem>::PrivateKey,
    public: EncryptionKey,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair({}, {})", self.number, self.public)
    }
}

impl KeyPair {
    /// The account's key pair with this number: 0 is the first, each rotation adds one. It follows from the account's secret.
    #[must_use]
    pub fn derive(account: &SecretKey, number: u32) -> Self {
        let mut seed = Zeroizing::new([0; 36]);
        seed[..32].copy_from_slice(Zeroizing::new(account.to_bytes()).as_ref());
        seed[32..].copy_from_slice(&number.to_le_bytes());
        let seed = Zeroizing::new(Hash::of("gongsuan/encryption-key/v1", seed.as_ref()).0);
        let (secret, public) = Suite::derive_keypair(seed.as_ref());
        Self { number, secret, public: EncryptionKey(public.to_bytes().into()) }
    }

    /// How many key pairs come before it.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What others encrypt to.
    #[must_use]
    pub fn public(&self) -> EncryptionKey {
        self.public
    }

    /// Opens what [`seal_to`] sealed to this key for the same purpose.
    ///
    /// # Errors
    /// [`EnvelopeError::Closed`].
    pub(super) fn open(
        &self,
        purpose: &[u8],
        encapsulated: &[u8; 32],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let encapsulated = <Suite as hpke::Kem>::EncappedKey::from_bytes(encapsulated)
            .map_err(|_| EnvelopeError::Closed)?;
        let mode = OpModeR::<Suite>::Base;
        hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, Suite>(
            &mode,
            &self.secret,
            &encapsulated,
            purpose,
        )
        .and_then(|mut context| context.open(sealed, &[]))
        .map(Zeroizing::new)
        .map_err(|_| EnvelopeError::Closed)
    }
}

/// Seals bytes to a published key for one purpose: the encapsulated key (32 bytes), and the ciphertext with its tag (16 bytes longer).
///
/// # Errors
/// [`EnvelopeError::BadKey`].
pub(super) fn seal_to(
    key: EncryptionKey,
    purpose: &[u8],
    bytes: &[u8],
) -> Result<([u8; 32], Vec<u8>), EnvelopeError> {
    let bad = |_| EnvelopeError::BadKey(key);
    let to = <Suite as hpke::Kem>::PublicKey::from_bytes(&key.0).map_err(bad)?;
    let mode = OpModeS::<Suite>::Base;
    let (encapsulated, mut context) =
        hpke::setup_sender::<ChaCha20Poly1305, HkdfSha256, Suite>(&mode, &to, purpose)
            .map_err(bad)?;
    Ok((encapsulated.to_bytes().into(), context.seal(bytes, &[]).map_err(bad)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_and_the_purpose_that_it_was_sealed_for_open_it() {
        let account = SecretKey::from_seed(b"renter");
        let (first, second) = (KeyPair::derive(&account, 0), KeyPair::derive(&account, 1));
        assert_ne!(first.public(), second.public());
        let (encapsulated, sealed) = seal_to(first.public(), b"deal 1", b"secret").unwrap();
        let open = |key: &KeyPair, purpose: &[u8], sealed: &[u8]| {
            key.open(purpose, &encapsulated, sealed).map(|bytes| bytes.to_vec()).ok()
        };
        assert_eq!(open(&first, b"deal 1", &sealed).as_deref(), Some(b"secret".as_slice()));
        assert_eq!(open(&second, b"deal 1", &sealed), None);
        assert_eq!(open(&first, b"deal 2", &sealed), None);
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert_eq!(open(&first, b"deal 1", &bent), None, "byte {at}");
        }
        let again = KeyPair::derive(&account, 0);
        assert!(open(&again, b"deal 1", &sealed).is_some(), "one backup of the account is enough");
    }

    #[test]
    fn a_point_of_low_order_is_refused_by_the_sender() {
        for low in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            let refused = seal_to(EncryptionKey(low), b"", b"secret");
            assert!(matches!(refused, Err(EnvelopeError::BadKey(_))), "{low:?}");
        }
    }
}
