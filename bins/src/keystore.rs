//! Keys on disk: Argon2id makes a key of a password, XChaCha20-Poly1305 seals the secret under it.

use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use gongsuan_types::{Address, DealId, Hash, SecretKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Memory that a file may make us use, at most: a file of a stranger must not exhaust the machine.
const MEMORY_KIB_MAX: u32 = 256 << 10;
const MEMORY_KIB_MIN: u32 = 8 << 10;

/// A sealed key, as it stands in the file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// `gongsuan/keystore/v1`.
    pub schema: String,
    /// Whose key it is.
    pub address: Address,
    /// Argon2id: KiB of memory.
    pub memory_kib: u32,
    /// Argon2id: passes.
    pub passes: u32,
    /// 16 bytes, hex.
    pub salt: String,
    /// 24 bytes, hex.
    pub nonce: String,
    /// The secret and its tag, hex.
    pub sealed: String,
}

/// Why a key cannot be opened or stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// The disk said no.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Not a keystore file.
    #[error("not a keystore file: {0}")]
    Malformed(String),
    /// The wrong password, or a file that was changed.
    #[error("the password is wrong, or the file was changed")]
    WrongPassword,
    /// A cost that would not protect, or would exhaust the machine.
    #[error("memory_kib is {got}, allowed is {MEMORY_KIB_MIN}..={MEMORY_KIB_MAX}")]
    Cost {
        /// What the file says.
        got: u32,
    },
    /// Others can read the file.
    #[error("mode {0:o} lets others read the file; use 600")]
    Mode(u32),
}

/// The key of the address to which an account has one deal paid. It follows from the account's own, so one backup is enough, and nobody who has only this one
/// learns another.
#[must_use]
pub fn payout_key(account: &SecretKey, chain_id: &Hash, deal: DealId) -> SecretKey {
    let mut seed = Zeroizing::new(b"gongsuan/payout/v1".to_vec());
    seed.extend_from_slice(Zeroizing::new(account.to_bytes()).as_ref());
    seed.extend_from_slice(&chain_id.0);
    seed.extend_from_slice(&deal.0.to_le_bytes());
    SecretKey::from_seed(&seed)
}

const SCHEMA: &str = "gongsuan/keystore/v1";

fn derive(
    password: &str,
    salt: &[u8],
    memory: u32,
    passes: u32,
) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
    if !(MEMORY_KIB_MIN..=MEMORY_KIB_MAX).contains(&memory) {
        return Err(KeystoreError::Cost { got: memory });
    }
    let malformed = |error: argon2::Error| KeystoreError::Malformed(error.to_string());
    let params = Params::new(memory, passes.clamp(1, 16), 1, Some(32)).map_err(malformed)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, key.as_mut())
        .map_err(malformed)?;
    Ok(key)
}

impl Sealed {
    fn bound(&self) -> Vec<u8> {
        format!("{}/{}", self.schema, self.address).into_bytes()
    }

    /// Seals a key: 64 MiB and three passes.
    ///
    /// # Errors
    /// [`KeystoreError`] if the system has no randomness.
    pub fn new(key: &SecretKey, password: &str) -> Result<Self, KeystoreError> {
        Self::with_cost(key, password, 64 << 10)
    }

    fn with_cost(key: &SecretKey, password: &str, memory_kib: u32) -> Result<Self, KeystoreError> {
        let (mut salt, mut nonce) = ([0; 16], [0; 24]);
        let random = |error: getrandom::Error| KeystoreError::Malformed(error.to_string());
        getrandom::fill(&mut salt).map_err(random)?;
        getrandom::fill(&mut nonce).map_err(random)?;
        let mut sealed = Self {
            schema: SCHEMA.to_owned(),
            address: key.address(),
            memory_kib,
            passes: 3,
            salt: hex::encode(salt),
            nonce: hex::encode(nonce),
            sealed: String::new(),
        };
        let cipher = derive(password, &salt, memory_kib, 3)?;
        let cipher = XChaCha20Poly1305::new((&*cipher).into());
        let secret = Zeroizing::new(key.to_bytes());
        let payload = Payload { msg: secret.as_ref(), aad: &sealed.bound() };
        let bytes = cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| KeystoreError::Malformed("cannot seal".into()))?;
        sealed.sealed = hex::encode(bytes);
        Ok(sealed)
    }

    /// Opens the key.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub fn open(&self, password: &str) -> Result<SecretKey, KeystoreError> {
        if self.schema != SCHEMA {
            return Err(KeystoreError::Malformed(format!("schema {}", self.schema)));
        }
        let unhex = |text: &str| {
            hex::decode(text).map_err(|error| KeystoreError::Malformed(error.to_string()))
        };
        let salt = unhex(&self.salt)?;
        let nonce: [u8; 24] = unhex(&self.nonce)?
            .try_into()
            .map_err(|_| KeystoreError::Malformed("the nonce is not 24 bytes".into()))?;
        let cipher = derive(password, &salt, self.memory_kib, self.passes)?;
        let cipher = XChaCha20Poly1305::new((&*cipher).into());
        let bytes = unhex(&self.sealed)?;
        let payload = Payload { msg: &bytes, aad: &self.bound() };
        let secret = cipher
            .decrypt(&XNonce::from(nonce), payload)
            .map_err(|_| KeystoreError::WrongPassword)?;
        let secret = Zeroizing::new(secret);
        let bytes: [u8; 32] =
            secret.as_slice().try_into().map_err(|_| KeystoreError::WrongPassword)?;
        let key = SecretKey::from_bytes(bytes).map_err(|_| KeystoreError::WrongPassword)?;
        if key.address() != self.address {
            return Err(KeystoreError::WrongPassword);
        }
        Ok(key)
    }

    /// Writes the file, readable by its owner only. Never overwrites.
    ///
    /// # Errors
    /// [`KeystoreError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), KeystoreError> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| KeystoreError::Malformed(error.to_string()))?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        Ok(())
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub fn read(path: &Path) -> Result<Self, KeystoreError> {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeystoreError::Mode(mode));
        }
        let text = std::fs::read_to_string(path)?;
        serde_json::from_str(&text).map_err(|error| KeystoreError::Malformed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> (SecretKey, Sealed) {
        let key = SecretKey::from_seed(b"keystore");
        let sealed = Sealed::with_cost(&key, "pass", MEMORY_KIB_MIN).unwrap();
        (key, sealed)
    }

    #[test]
    fn only_the_password_opens_it() {
        let (key, sealed) = sealed();
        assert_eq!(sealed.open("pass").unwrap().to_bytes(), key.to_bytes());
        assert!(matches!(sealed.open("Pass"), Err(KeystoreError::WrongPassword)));
        let other = Sealed { address: SecretKey::from_seed(b"x").address(), ..sealed.clone() };
        assert!(matches!(other.open("pass"), Err(KeystoreError::WrongPassword)));
        let mut bent = sealed;
        bent.sealed.replace_range(0..1, if bent.sealed.starts_with('0') { "1" } else { "0" });
        assert!(matches!(bent.open("pass"), Err(KeystoreError::WrongPassword)));
    }

    #[test]
    fn each_deal_of_each_chain_is_paid_to_an_address_of_its_own() {
        let [a, b] = ["a", "b"].map(|name| SecretKey::from_seed(name.as_bytes()));
        let [here, there] = [Hash::of("chain", b"1"), Hash::of("chain", b"2")];
        let of = |key, chain, deal| payout_key(key, chain, DealId(deal)).address();
        let all =
            [of(&a, &here, 1), of(&a, &here, 2), of(&a, &there, 1), of(&b, &here, 1), a.address()];
        let distinct: std::collections::BTreeSet<_> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(of(&a, &here, 1), all[0], "found again from the account's key alone");
    }

    #[test]
    fn a_memory_bomb_and_a_readable_file_are_refused() {
        let (_, sealed) = sealed();
        let bomb = Sealed { memory_kib: u32::MAX, ..sealed.clone() };
        assert!(matches!(bomb.open("pass"), Err(KeystoreError::Cost { got: u32::MAX })));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.json");
        sealed.write(&path).unwrap();
        assert_eq!(Sealed::read(&path).unwrap(), sealed);
        assert!(matches!(sealed.write(&path), Err(KeystoreError::Io(_))));
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Sealed::read(&path), Err(KeystoreError::Mode(0o644))));
    }
}
