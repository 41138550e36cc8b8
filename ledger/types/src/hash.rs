//! Tagged SHA-256.

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

use crate::bytes::{byte_string, hex_text};

/// A SHA-256 digest. Text form: 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; 32]);

byte_string!(Hash, 32);
hex_text!(Hash, 32);

/// Text that is not the hexadecimal form expected.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("expected {expected_len} hexadecimal digits, got {got_len} characters: {source}")]
pub struct HexError {
    /// Digits expected.
    pub expected_len: usize,
    /// Characters got.
    pub got_len: usize,
    /// What was wrong.
    #[source]
    pub source: hex::FromHexError,
}

impl Hash {
    /// The hash of nothing: all bits zero. Never the result of hashing in practice.
    pub const ZERO: Self = Self([0; 32]);

    /// `SHA-256(SHA-256(domain) || SHA-256(domain) || bytes)`, as BIP340 tags its hashes, so that a digest
    /// made for one purpose cannot be presented for another.
    #[must_use]
    pub fn of(domain: &str, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(domain);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Untagged SHA-256, for content addresses: what `sha256sum` prints for the same bytes.
    #[must_use]
    pub fn of_content(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first eight hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }

    /// The first eight bytes as a number, big-endian: a uniform draw from a uniform hash.
    #[must_use]
    pub fn to_u64(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// A tagged SHA-256 in progress. Every variable-length part should go through [`Hasher::part`], which
/// prefixes its length, so that two different lists of parts never hash alike.
#[derive(Clone, Debug)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Starts a hash for one purpose. `domain` is a constant such as `gongsuan/tx/v1`.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        let tag = Sha256::digest(domain.as_bytes());
        let mut inner = Sha256::new();
        inner.update(tag);
        inner.update(tag);
        Self(inner)
    }

    /// Adds bytes whose length is fixed by the format.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// Adds bytes of any length, prefixed with the length as eight bytes little-endian.
    pub fn part(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// The digest of everything added.
    #[must_use]
    pub fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

/// [`Hash::of_content`] in progress, for bytes that come in parts.
#[derive(Clone, Debug, Default)]
pub struct ContentHasher(Sha256);

impl ContentHasher {
    /// Adds the next bytes. How the content is cut makes no difference.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// The content address of everything added.
    #[must_use]
    pub fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

/// Tagged SHA-256 of exactly two digests: [`Hash::of`] their 64 bytes, at half the price. The tag is hashed once, the padding is a constant, and
/// nothing is buffered. This is what nodes of Merkle trees are made of.
#[derive(Clone, Debug)]
pub struct PairHasher {
    /// SHA-256's state after the tag's block.
    tagged: [u32; 8],
}

/// The state in which SHA-256 begins (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The last block of a message of 128 bytes: a one, zeros, and the length in bits.
const PADDING: [u8; 64] = {
    let mut block = [0; 64];
    block[0] = 0x80;
    block[62] = 0x04;
    block
};

impl PairHasher {
    /// Hashes pairs for one purpose. `domain` is a constant such as `gongsuan/merkle/node/v1`.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        let tag: [u8; 32] = Sha256::digest(domain.as_bytes()).into();
        let mut tagged = INITIAL;
        compress256(&mut tagged, &[pair(&tag, &tag)]);
        Self { tagged }
    }

    /// The digest of `left` and `right`.
    #[must_use]
    pub fn hash(&self, left: &Hash, right: &Hash) -> Hash {
        let mut state = self.tagged;
        compress256(&mut state, &[pair(&left.0, &right.0), PADDING]);
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        Hash(digest)
    }
}

fn pair(left: &[u8; 32], right: &[u8; 32]) -> [u8; 64] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(left);
    block[32..].copy_from_slice(right);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_separates_equal_bytes() {
        assert_ne!(Hash::of("a", b"x"), Hash::of("b", b"x"));
        assert_eq!(
            Hash::of_content(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn content_has_one_address_however_it_is_cut() {
        let bytes: Vec<u8> = (0..200).collect();
        for cut in [0, 1, 63, 64, 65, 200] {
            let mut hasher = ContentHasher::default();
            hasher.update(&bytes[..cut]).update(&bytes[cut..]);
            assert_eq!(hasher.finish(), Hash::of_content(&bytes), "{cut}");
        }
    }

    #[test]
    fn a_pair_hashes_like_its_64_bytes() {
        for n in 0..50_u8 {
            let (left, right) = (Hash::of("left", &[n]), Hash::of("right", &[n]));
            let bytes = [left.0, right.0].concat();
            let domain = "x".repeat(usize::from(n));
            assert_eq!(PairHasher::new(&domain).hash(&left, &right), Hash::of(&domain, &bytes));
        }
    }

    #[test]
    fn parts_do_not_run_together() {
        let digest = |parts: &[&[u8]]| {
            let mut hasher = Hasher::new("t");
            for part in parts {
                hasher.part(part);
            }
            hasher.finish()
        };
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    }

    #[test]
    fn text_form_refuses_wrong_lengths_and_says_what_it_got() {
        let error = "abcd".parse::<Hash>().unwrap_err();
        assert_eq!((error.expected_len, error.got_len), (64, 4));
        let hash = Hash::of("t", b"");
        assert_eq!(hash.to_string().parse::<Hash>().unwrap(), hash);
    }
}
