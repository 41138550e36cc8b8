//! Accounts' addresses.

use std::str::FromStr;

use bech32::{Bech32m, Hrp};

use crate::PublicKey;
use crate::bytes::byte_string;

/// The human-readable prefix of an address.
pub const PREFIX: &str = "gs";

/// An account's id: the x-only public key that controls it. Text form: bech32m with the prefix `gs`, so that a
/// mistyped character is noticed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 32]);

byte_string!(Address, 32);

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Bad characters or checksum.
    #[error("not a bech32m address: {0}")]
    Encoding(String),
    /// Another network or another kind of string.
    #[error("expected an address that starts with `{PREFIX}1`, got prefix `{0}`")]
    Prefix(String),
    /// The wrong number of bytes.
    #[error("expected 32 bytes in the address, got {0}")]
    Length(usize),
}

impl Address {
    /// The account that collects fees, fines and rounding remainders. No key signs for it.
    pub const TREASURY: Self = Self([0; 32]);

    /// The key that signs for this account.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0)
    }

    /// A short form for people: the first ten and last four characters.
    #[must_use]
    pub fn short(&self) -> String {
        let text = self.to_string();
        format!("{}…{}", &text[..10], &text[text.len() - 4..])
    }
}

impl From<PublicKey> for Address {
    fn from(key: PublicKey) -> Self {
        Self(key.0)
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        bech32::encode_to_fmt::<Bech32m, _>(f, Hrp::parse_unchecked(PREFIX), &self.0)
            .map_err(|_| std::fmt::Error)
    }
}

impl FromStr for Address {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = bech32::primitives::decode::CheckedHrpstring::new::<Bech32m>(text)
            .map_err(|error| AddressError::Encoding(error.to_string()))?;
        if parsed.hrp() != Hrp::parse_unchecked(PREFIX) {
            return Err(AddressError::Prefix(parsed.hrp().to_string()));
        }
        let bytes: Vec<u8> = parsed.byte_iter().collect();
        let length = bytes.len();
        Ok(Self(bytes.try_into().map_err(|_| AddressError::Length(length))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn one_wrong_character_is_noticed() {
        let address = SecretKey::from_seed(b"a").address();
        let text = address.to_string();
        assert_eq!(text.parse::<Address>().unwrap(), address);
        let wrong = if text.ends_with('q') { 'p' } else { 'q' };
        let typo = format!("{}{wrong}", &text[..text.len() - 1]);
        assert!(matches!(typo.parse::<Address>(), Err(AddressError::Encoding(_))));
    }

    #[test]
    fn other_prefixes_are_named() {
        let other = bech32::encode::<Bech32m>(Hrp::parse("bc").unwrap(), &[1; 32]).unwrap();
        assert_eq!(other.parse::<Address>(), Err(AddressError::Prefix("bc".into())));
    }
}
