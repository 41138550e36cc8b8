//! Many BIP340 signatures at once, several times cheaper than one by one.
//!
//! A signature (R, s) by P is right if `s·G = R + e·P`. With random coefficients aᵢ, all of a batch are right, except with a chance of
//! 2⁻¹²⁸, if
//!
//! ```text
//! (Σ aᵢ·sᵢ)·G  =  Σ aᵢ·Rᵢ  +  Σ (aᵢ·eᵢ)·Pᵢ        terms with equal P are merged
//! ```
//!
//! secp256k1 has prime order, so the verdict is that of single verification for every input: there is no cofactor to disagree over. If the
//! equation fails, the batch is halved until small groups are left, which are verified one by one by k256: whoever is refused is refused by
//! single verification. One bad signature costs about as much as its batch again, `b` of them at most `b·log₂(n/8)` smaller
//! sums, and never more than a constant times verifying every signature by itself.
//!
//! | file | what it does |
//! |---|---|
//! | `claim` | [`Claim`], [`NonceHint`] |
//! | `prepare` | ranges, points, challenges, coefficients |
//! | `glv` | halves 256-bit scalars |
//! | `sum` | `Σ kᵢ·Pᵢ` (Pippenger) |
//! | `segments`, `jacobian` | the two ways to add points |
//! | `field`, `affine` | field elements and points for public data |
//! | `cache` | points of keys seen before |
//!
//! Scalars, hashing to them, multiples of the generator and inversions are k256's. Multiplying and adding in the field is ours, because it is most of the
//! work; the sums made of it are compared with k256's in the tests, and no claim is refused by anybody but k256. Everything here is variable-time: it
//! sees public data only.
//!
//! # Example
//! ```
//! use gongsuan_types::batch::{BatchVerifier, Claim};
//! use gongsuan_types::{Hash, SecretKey};
//!
//! let key = SecretKey::from_seed(b"doc example");
//! let digests: Vec<Hash> = (0..20u8).map(|n| Hash::of("example/v1", &[n])).collect();
//! let mut claims: Vec<Claim> = digests
//!     .iter()
//!     .map(|digest| Claim { key: key.public_key(), message: &digest.0, signature: key.sign(digest), hint: None })
//!     .collect();
//! let verifier = BatchVerifier::new();
//! assert!(verifier.verify_all(&claims).is_ok());
//!
//! claims[13].message = b"something else";
//! assert_eq!(verifier.verify_all(&claims).unwrap_err().index, 13);
//! assert_eq!(verifier.verify_each(&claims).iter().filter(|verdict| verdict.is_ok()).count(), 19);
//! ```

mod affine;
mod cache;
mod claim;
mod field;
mod glv;
mod jacobian;
mod prepare;
mod segments;
mod sum;

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use k256::schnorr::{Signature as RawSignature, VerifyingKey};
use k256::{ProjectivePoint, Scalar};

pub use self::claim::{Claim, Fault, NonceHint};

use self::cache::KeyCache;
use self::glv::Splitter;
use self::prepare::{Batch, Prepared, prepare};
use self::sum::{Scratch, Term, sum};
use crate::keys::KeyError;

/// Keys remembered unless asked otherwise: about 8 MB.
pub const KEYS_DEFAULT: usize = 1 << 16;
/// Claims that a single sum may hold. Larger batches are cut, which bounds memory; the gain of more is below 5 %.
const CLAIMS_MAX: usize = 8_192;
/// Groups up to this size are verified one by one: a sum of so few gains nothing.
const SINGLE_MAX: usize = 8;

/// Verifies batches. Shared freely between threads: only the table of keys is behind a lock, and only for moments.
#[derive(Debug)]
pub struct BatchVerifier {
    splitter: Splitter,
    keys: Mutex<KeyCache>,
    /// Working memory between batches, one for each thread that verified at the same time: fresh pages cost a tenth of a batch.
    spare: Mutex<Vec<Scratch>>,
}

impl Default for BatchVerifier {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchVerifier {
    /// A verifier that remembers up to [`KEYS_DEFAULT`] public keys.
    #[must_use]
    pub fn new() -> Self {
        Self::with_keys_max(KEYS_DEFAULT)
    }

    /// A verifier that remembers at most `keys_max` public keys (112 bytes each); 0 remembers none.
    #[must_use]
    pub fn with_keys_max(keys_max: usize) -> Self {
        let keys = Mutex::new(KeyCache::new(keys_max));
        Self { splitter: Splitter::new(), keys, spare: Mutex::default() }
    }

    /// The process's own verifier, so that all its parts share one table of keys. No verdict depends on what the table holds.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<BatchVerifier> = LazyLock::new(BatchVerifier::new);
        &SHARED
    }

    /// How many public keys are remembered.
    #[must_use]
    pub fn keys_known(&self) -> usize {
        lock(&self.keys).count()
    }

    /// Whether every claim is right.
    ///
    /// # Errors
    /// The first [`Fault`] in the order of the claims.
    pub fn verify_all(&self, claims: &[Claim<'_>]) -> Result<(), Fault> {
        for (from, part) in (0..).step_by(CLAIMS_MAX).zip(claims.chunks(CLAIMS_MAX)) {
            let mut faults = Faults { found: Vec::new(), first_only: true };
            self.check(part, &mut faults);
            if let Some((index, error)) = faults.found.into_iter().min_by_key(|(index, _)| *index) {
                return Err(Fault { index: from + index, error });
            }
        }
        Ok(())
    }

    /// The verdict on every claim, in order: exactly what [`crate::PublicKey::verify`] says of each.
    #[must_use]
    pub fn verify_each(&self, claims: &[Claim<'_>]) -> Vec<Result<(), KeyError>> {
        let mut verdicts = vec![Ok(()); claims.len()];
        for (part, verdicts) in claims.chunks(CLAIMS_MAX).zip(verdicts.chunks_mut(CLAIMS_MAX)) {
            let mut faults = Faults { found: Vec::new(), first_only: false };
            self.check(part, &mut faults);
            for (index, error) in faults.found {
                verdicts[index] = Err(error);
            }
        }
        verdicts
    }

    fn check(&self, claims: &[Claim<'_>], faults: &mut Faults) {
        if claims.len() <= SINGLE_MAX {
            faults.add_singles(claims, 0..claims.len());
            return;
        }
        let (mut batch, found) = prepare(claims, &self.keys);
        if faults.first_only
            && let Some((first, _)) = found.first()
        {
            // What comes after it no longer matters.
            batch.claims.retain(|claim| claim.index < *first);
        }
        faults.found = found;
        let mut scratch = lock(&self.spare).pop().unwrap_or_default();
        if !self.holds(&batch, &batch.claims, &mut scratch) {
            self.bisect(claims, &batch, &batch.claims, &mut scratch, faults);
        }
        lock(&self.spare).push(scratch);
    }

    /// Finds the faults in a group that is known to hold one.
    fn bisect(
        &self,
        claims: &[Claim<'_>],
        batch: &Batch,
        group: &[Prepared],
        scratch: &mut Scratch,
        faults: &mut Faults,
    ) {
        if group.len() <= SINGLE_MAX {
            faults.add_singles(claims, group.iter().map(|claim| claim.index));
            return;
        }
        let (left, right) = group.split_at(group.len() / 2);
        let left_holds = self.holds(batch, left, scratch);
        if !left_holds {
            self.bisect(claims, batch, left, scratch, faults);
            if faults.first_only {
                return;
            }
        }
        // If the left half holds, the fault is in the right one: no need to ask.
        if left_holds || !self.holds(batch, right, scratch) {
            self.bisect(claims, batch, right, scratch, faults);
        }
    }

    /// Whether the equation holds for a group. The coefficients of the whole batch serve for every part of it: they were drawn
    /// after all of it was fixed.
    fn holds(&self, batch: &Batch, group: &[Prepared], scratch: &mut Scratch) -> bool {
        let mut response = Scalar::ZERO;
        let mut of_keys = vec![None; batch.keys.len()];
        let mut terms = std::mem::take(&mut scratch.terms);
        terms.clear();
        for claim in group {
            response += claim.response;
            *of_keys[claim.key].get_or_insert(Scalar::ZERO) += claim.challenge;
            terms.push(Term { point: claim.nonce, magnitude: claim.coefficient });
        }
        for (point, scalar) in batch.keys.iter().zip(&of_keys) {
            let Some(scalar) = scalar else { continue };
            let [first, second] = self.splitter.split(scalar);
            let turned = self.splitter.endomorphism(point);
            terms
                .push(Term { point: point.negated_if(first.negative), magnitude: first.magnitude });
            terms.push(Term {
                point: turned.negated_if(second.negative),
                magnitude: second.magnitude,
            });
        }
        let left = sum(&terms, scratch);
        scratch.terms = terms;
        left.is(&ProjectivePoint::mul_by_generator_vartime(&response))
    }
}

/// What is behind these locks stays whole if a thread panics beside it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is wrong, by the claims' places.
struct Faults {
    found: Vec<(usize, KeyError)>,
    /// Whether only the first matters.
    first_only: bool,
}

impl Faults {
    fn add_singles(&mut self, claims: &[Claim<'_>], group: impl IntoIterator<Item = usize>) {
        for index in group {
            if let Err(error) = single(&claims[index]) {
                self.found.push((index, error));
                if self.first_only {
                    return;
                }
            }
        }
    }
}

/// k256's own verdict.
fn single(claim: &Claim<'_>) -> Result<(), KeyError> {
    let key = VerifyingKey::from_slice(&claim.key.0).map_err(|_| KeyError::NotOnCurve)?;
    let signature = RawSignature::try_from(claim.signature.0.as_slice())
        .map_err(|_| KeyError::SignatureOutOfRange)?;
    key.verify_raw(claim.message, &signature).map_err(|_| KeyError::Mismatch)
}
