//! One canonical encoding.
//!
//! postcard is compact and stable but lenient: it accepts over-long varints and trailing bytes. Bytes that
//! replicas sign or hash must have one form only, so [`decode`] takes the value, requires that nothing is left
//! over, encodes it again and compares. No maps with free order and no floats appear in our wire types.

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than the limit; nothing was read.
    #[error("{what} is {got} bytes, the limit is {limit}")]
    TooLong {
        /// What was being decoded.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
        /// The bytes got.
        got: usize,
    },
    /// Not an encoding of the type.
    #[error("{what} does not decode: {reason}")]
    Malformed {
        /// What was being decoded.
        what: &'static str,
        /// The decoder's words.
        reason: String,
    },
    /// A value followed by more bytes.
    #[error("{what} is followed by {extra} extra bytes")]
    Trailing {
        /// What was being decoded.
        what: &'static str,
        /// Bytes left over.
        extra: usize,
    },
    /// A second encoding of a value that has another, canonical one.
    #[error("{what} is not in canonical form")]
    NotCanonical {
        /// What was being decoded.
        what: &'static str,
    },
}

/// The canonical bytes of a value.
///
/// # Panics
/// If the type cannot be serialised without self-description, which is a defect of the type.
#[must_use]
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    // Most values have some hundred bytes: growing towards them by doubling would cost as much as writing them.
    postcard::to_extend(value, Vec::with_capacity(CAPACITY)).expect("wire types serialise")
}

const CAPACITY: usize = 256;

/// Compares what is encoded with bytes, without storing it.
struct Comparison<'a> {
    /// What is expected next.
    rest: &'a [u8],
}

impl Flavor for Comparison<'_> {
    /// Whether nothing more was expected.
    type Output = bool;

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        match self.rest.split_first() {
            Some((expected, rest)) if *expected == byte => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(postcard::Error::SerializeBufferFull),
        }
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.rest = self.rest.strip_prefix(bytes).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.rest.is_empty())
    }
}

/// Whether `bytes` are the canonical encoding of a value.
fn is_encoding<T: Serialize>(value: &T, bytes: &[u8]) -> bool {
    postcard::serialize_with_flavor(value, Comparison { rest: bytes }).unwrap_or(false)
}

/// The value whose canonical encoding `bytes` is. `what` names it in errors; `limit` is in bytes.
///
/// # Errors
/// [`DecodeError`]: too long (checked first, before any allocation), malformed, trailing bytes, not canonical.
pub fn decode<T: Serialize + DeserializeOwned>(
    what: &'static str,
    limit: usize,
    bytes: &[u8],
) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong { what, limit, got: bytes.len() });
    }
    let (value, rest) = postcard::take_from_bytes::<T>(bytes)
        .map_err(|error| DecodeError::Malformed { what, reason: error.to_string() })?;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing { what, extra: rest.len() });
    }
    if !is_encoding(&value, bytes) {
        return Err(DecodeError::NotCanonical { what });
    }
    Ok(value)
}

/// The value that this program encoded itself and stored: nothing may be left over, but it is not encoded again for comparison. Never
/// for bytes that somebody sent, nor for bytes that are hashed.
///
/// # Errors
/// [`DecodeError`]: malformed, trailing bytes.
pub fn decode_own<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes::<T>(bytes)
        .map_err(|error| DecodeError::Malformed { what, reason: error.to_string() })?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::Trailing { what, extra: rest.len() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_form_is_accepted() {
        assert_eq!(decode::<u32>("n", 8, &[1]), Ok(1));
        assert_eq!(decode::<u32>("n", 8, &[0x81, 0]), Err(DecodeError::NotCanonical { what: "n" }));
        assert_eq!(
            decode::<u32>("n", 8, &[1, 0]),
            Err(DecodeError::Trailing { what: "n", extra: 1 })
        );
        assert!(matches!(decode::<u32>("n", 8, &[]), Err(DecodeError::Malformed { .. })));
        assert_eq!(
            decode::<u32>("n", 1, &[1, 0]),
            Err(DecodeError::TooLong { what: "n", limit: 1, got: 2 })
        );
    }

    #[test]
    fn a_lying_length_allocates_nothing() {
        let lie = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(matches!(decode::<Vec<u8>>("v", 64, &lie), Err(DecodeError::Malformed { .. })));
    }
}
