//! Trust as a type: [`Signed`] becomes [`Verified`] only through [`Signed::verify`].

use serde::{Deserialize, Serialize};

use crate::keys::KeyError;
use crate::{Hash, PublicKey, Remembered, SecretKey, Signature};

/// Something that is signed: it names its signer and the digest that is signed.
pub trait Signable {
    /// The key that must have signed.
    fn signer(&self) -> PublicKey;
    /// What is signed: a tagged hash that binds everything in the value.
    fn digest(&self) -> Hash;
}

/// A value with a signature that nobody has checked yet.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signed<T> {
    /// The value.
    pub body: T,
    /// The signature, not checked.
    pub signature: Signature,
}

/// A value whose signature has been checked. There is no other way to make one than
/// [`Signed::verify`] or signing it oneself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified<T>(Signed<T>);

impl<T: Signable> Signed<T> {
    /// Checks the signature.
    ///
    /// # Errors
    /// [`KeyError`] if it does not match; the value is dropped.
    pub fn verify(self) -> Result<Verified<T>, KeyError> {
        self.body.signer().verify(&self.body.digest(), &self.signature)?;
        Ok(Verified(self))
    }

    /// Checks the signature, if it is not in `memory`.
    ///
    /// # Errors
    /// As [`Signed::verify`].
    pub fn check(&self, memory: &Remembered) -> Result<(), KeyError> {
        memory.verify(&self.body.signer(), &self.body.digest(), &self.signature)
    }

    /// Accepts the verdict of a batch verifier that checked exactly this signer, digest and signature. The caller
    /// answers for it: this is the one door beside [`Signed::verify`].
    #[must_use]
    pub fn assume_verified(self) -> Verified<T> {
        Verified(self)
    }
}

impl<T: Signable> Verified<T> {
    /// Signs a value with the key that it names.
    ///
    /// # Panics
    /// If `key` is not the key of [`Signable::signer`].
    #[must_use]
    pub fn sign(body: T, key: &SecretKey) -> Self {
        assert_eq!(body.signer(), key.public_key(), "the value names another signer");
        let signature = key.sign(&body.digest());
        Self(Signed { body, signature })
    }
}

impl<T> Verified<T> {
    /// The value.
    pub fn body(&self) -> &T {
        &self.0.body
    }

    /// The value with its signature, for sending.
    pub fn as_signed(&self) -> &Signed<T> {
        &self.0
    }

    /// The value with its signature, by value.
    pub fn into_signed(self) -> Signed<T> {
        self.0
    }
}
