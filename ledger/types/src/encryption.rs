//! Keys to which others encrypt.

use crate::bytes::{byte_string, hex_text};

/// An account's X25519 public key, to which others encrypt (HPKE, RFC 9180). Published on the chain beside the account, and rotated there.
///
/// Any 32 bytes are one: whoever publishes a point of low order can be sent nothing, because HPKE refuses to encapsulate to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncryptionKey(pub [u8; 32]);

byte_string!(EncryptionKey, 32);
hex_text!(EncryptionKey, 32);
