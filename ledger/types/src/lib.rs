//! The shared vocabulary of Gongsuan.
//!
//! Every other crate speaks in these words: hashes, keys, addresses, amounts, time, orders, job
//! specifications, receipts, the canonical codec and Merkle trees. Nothing here performs I/O, reads a
//! clock or draws randomness, and no other crate of the workspace is imported.
//!
//! | module | what it holds |
//! |---|---|
//! | [`hash`] | [`struct@Hash`], tagged SHA-256 |
//! | [`keys`] | [`SecretKey`], [`PublicKey`], [`Signature`] (BIP340 Schnorr over secp256k1) |
//! | [`batch`] | many signatures at once: [`BatchVerifier`] |
//! | [`remembered`] | [`Remembered`]: good signatures are verified once |
//! | [`signed`] | [`Signed`] becomes [`Verified`] only through `verify` |
//! | [`address`] | [`Address`]: an account's id and its bech32m text form |
//! | [`amount`] | [`Amount`] and [`Price`]: integer money, rounding named |
//! | [`units`] | [`Height`], [`Term`], [`TimeMs`], [`DurationMs`], [`Fuel`], [`Units`] |
//! | [`codec`] | one canonical encoding: decode, nothing left over, re-encode equals input |
//! | [`merkle`] | binary Merkle trees with inclusion proofs |
//! | [`order`] | asks, bids, classes, attributes and requirements |
//! | [`court`] | what validators say of a disputed segment: [`court::Verdict`] |
//! | [`encryption`] | [`EncryptionKey`]: what others encrypt to |
//! | [`credential`] | attributes that an issuer vouches for, shown one by one |
//! | [`job`] | what a renter wants run: module, shape, limits |
//! | [`secrets`] | a renter's share of the draws, one chain of secrets for each deal |
//! | [`lease`] | leased time: cores by the second, metered by heartbeat |
//! | [`capacity`] | the challenge that shows what a machine has |
//! | [`receipt`] | what running a segment produced, and the summing tree over a job's receipts |
//! | [`refusal`] | [`Refusal`]: code, field, limit, got; the form in which bad input is answered |
//!
//! # Example
//! ```
//! use gongsuan_types::{Amount, Hash, SecretKey};
//! let key = SecretKey::from_seed(b"doc example");
//! let digest = Hash::of("example/v1", b"hello");
//! let signature = key.sign(&digest);
//! assert!(key.public_key().verify(&digest, &signature).is_ok());
//! assert_eq!(Amount::from_tokens(2).unwrap().checked_sub(Amount::new(1)), Some(Amount::new(1_999_999)));
//! ```

mod bytes;

pub mod address;
pub mod amount;
pub mod batch;
pub mod capacity;
pub mod codec;
pub mod court;
pub mod credential;
pub mod encryption;
pub mod hash;
pub mod job;
pub mod keys;
pub mod lease;
pub mod merkle;
pub mod order;
pub mod receipt;
pub mod refusal;
pub mod remembered;
#[cfg(feature = "schema")]
mod schema;
pub mod secrets;
pub mod signed;
pub mod units;

pub use address::Address;
pub use amount::{Amount, Price};
pub use batch::BatchVerifier;
pub use encryption::EncryptionKey;
pub use hash::{ContentHasher, Hash, Hasher, PairHasher};
pub use keys::{PublicKey, SecretKey, Signature};
pub use refusal::Refusal;
pub use remembered::Remembered;
pub use signed::{Signed, Verified};
pub use units::{DealId, DurationMs, Fuel, Height, OrderId, Term, TimeMs, Units};
