//! From claims to the terms of one equation.

use std::sync::Mutex;

use k256::Scalar;
use k256::elliptic_curve::ff::PrimeField;
use k256::elliptic_curve::ops::Reduce;
use sha2::{Digest, Sha256};

use super::affine::Affine;
use super::cache::KeyCache;
use super::claim::{Claim, nonce_bytes};
use super::field::Field;
use super::lock;

use crate::keys::KeyError;
use crate::{Hasher, PublicKey};

/// A claim whose parts are points and scalars, times its coefficient `a`.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    /// Its place among the claims.
    pub(super) index: usize,
    /// Its key's place among the distinct keys, which are sorted.
    pub(super) key: usize,
    pub(super) nonce: Affine,
    pub(super) coefficient: u128,
    /// `a·s`.
    pub(super) response: Scalar,
    /// `a·e`, with `e` the challenge.
    pub(super) challenge: Scalar,
}

/// All claims that can be right at all.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) claims: Vec<Prepared>,
    pub(super) keys: Vec<Affine>,
}

/// Splits claims into those whose encodings are in range, and the faults of the others: what single verification finds before it
/// multiplies a point, in the same order of checks.
pub(super) fn prepare(
    claims: &[Claim<'_>],
    cache: &Mutex<KeyCache>,
) -> (Batch, Vec<(usize, KeyError)>) {
    let keys = distinct_keys(claims, cache);
    let mut coefficients = Coefficients::new(claims);
    let challenges = tagged("BIP0340/challenge");
    let mut points: Vec<(PublicKey, Affine)> = Vec::new();
    let mut places = vec![None; keys.len()];
    let (mut prepared, mut faults) = (Vec::with_capacity(claims.len()), Vec::new());
    for (index, claim) in claims.iter().enumerate() {
        let coefficient = coefficients.next(index);
        let at = keys.binary_search_by(|(key, _)| key.cmp(&claim.key)).expect("it was collected");
        let (key, Some(point)) = keys[at] else {
            faults.push((index, KeyError::NotOnCurve));
            continue;
        };
        let Some(response) = response(claim) else {
            faults.push((index, KeyError::SignatureOutOfRange));
            continue;
        };
        let Some(nonce) = nonce(claim) else {
            faults.push((index, KeyError::Mismatch));
            continue;
        };
        let a = Scalar::from(coefficient);
        let (response, challenge) = (a * response, a * challenge(&challenges, claim));
        let place = *places[at].get_or_insert_with(|| {
            points.push((key, point));
            points.len() - 1
        });
        prepared.push(Prepared { index, key: place, nonce, coefficient, response, challenge });
    }
    let keys = points.into_iter().map(|(_, point)| point).collect();
    (Batch { claims: prepared, keys }, faults)
}

/// The keys in rising order with their points; none for a key that is not on the curve. The cache is locked twice for a moment, not while
/// square roots are taken.
fn distinct_keys(
    claims: &[Claim<'_>],
    cache: &Mutex<KeyCache>,
) -> Vec<(PublicKey, Option<Affine>)> {
    let mut keys: Vec<PublicKey> = claims.iter().map(|claim| claim.key).collect();
    keys.sort_unstable();
    keys.dedup();
    let known: Vec<Option<Affine>> = {
        let cache = lock(cache);
        keys.iter().map(|key| cache.get(key)).collect()
    };
    let mut fresh = Vec::new();
    let lifted = keys.into_iter().zip(known).map(|(key, known)| {
        let point = known.or_else(|| Affine::lift(&key.0));
        if let (None, Some(point)) = (known, point) {
            fresh.push((key, point));
        }
        (key, point)
    });
    let lifted = lifted.collect();
    if !fresh.is_empty() {
        let mut cache = lock(cache);
        for (key, point) in fresh {
            cache.put(key, point);
        }
    }
    lifted
}

/// s, if both halves of the signature are in range. k256 refuses zero in either half, and so do we.
fn response(claim: &Claim<'_>) -> Option<Scalar> {
    let r = Field::parse(nonce_bytes(&claim.signature))?;
    let s: &[u8; 32] = claim.signature.0.last_chunk().expect("64 bytes end with 32");
    let s = Scalar::from_repr((*s).into()).into_option()?;
    (!r.is_zero() && s != Scalar::ZERO).then_some(s)
}

fn nonce(claim: &Claim<'_>) -> Option<Affine> {
    let x = nonce_bytes(&claim.signature);
    let hinted = claim.hint.and_then(|hint| Affine::lift_hinted(x, &hint.0));
    hinted.or_else(|| Affine::lift(x))
}

/// `tagged_hash(tag, ·)` of BIP340 with the tag already hashed in.
fn tagged(tag: &str) -> Sha256 {
    let tag = Sha256::digest(tag.as_bytes());
    Sha256::new_with_prefix([tag, tag].concat())
}

/// BIP340's e.
fn challenge(tagged: &Sha256, claim: &Claim<'_>) -> Scalar {
    let mut hash = tagged.clone();
    hash.update(nonce_bytes(&claim.signature));
    hash.update(claim.key.0);
    hash.update(claim.message);
    <Scalar as Reduce<k256::FieldBytes>>::reduce(&hash.finalize())
}

/// The random linear combination's coefficients: 128 bits each, from a hash of every signature, key and message of the batch, so
/// that nobody can choose a signature after its coefficient is known. The first is 1.
struct Coefficients {
    seed: Sha256,
    spare: Option<u128>,
}

impl Coefficients {
    fn new(claims: &[Claim<'_>]) -> Self {
        let mut transcript = Hasher::new("gongsuan/batch/transcript/v1");
        for claim in claims {
            transcript.update(&claim.signature.0).update(&claim.key.0).part(claim.message);
        }
        let mut seed = tagged("gongsuan/batch/coefficient/v1");
        seed.update(transcript.finish().0);
        Self { seed, spare: None }
    }

    /// The coefficient of the claim at `index`; two come out of one hash.
    fn next(&mut self, index: usize) -> u128 {
        if index == 0 {
            return 1;
        }
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let mut hash = self.seed.clone();
        hash.update((index as u64).to_le_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let (first, second) = digest.split_first_chunk::<16>().expect("32 bytes");
        let second: [u8; 16] = second.try_into().expect("the other 16");
        self.spare = Some(u128::from_le_bytes(second));
        u128::from_le_bytes(*first)
    }
}
