//! The stateless validity of payloads and of single transactions.

use std::collections::BTreeSet;

use gongsuan_types::batch::{BatchVerifier, Claim, NonceHint};
use gongsuan_types::keys::KeyError;
use gongsuan_types::{Hash, Refusal, Signature};
use rayon::prelude::*;

use crate::header::Body;
use crate::tx::{SignedTransaction, witness_id};

/// Signatures that one thread verifies together, at least: below, the batch gains less than another thread does.
const BATCH_MIN: usize = 64;
/// And at most: above, a larger batch gains little, and smaller pieces spread better.
const BATCH_MAX: usize = 2_048;

/// A transaction with its id, which is what its signature signs.
#[derive(Clone, Copy, Debug)]
pub struct Unverified<'a> {
    /// The transaction.
    pub tx: &'a SignedTransaction,
    /// [`crate::Transaction::id`] of it.
    pub id: &'a Hash,
    /// See [`NonceHint`]: saves time, never trusted.
    pub hint: Option<NonceHint>,
}

/// Checks a payload before it is voted for: it decodes, is within bounds, is for this chain, and every signature that is not in `known` (by
/// [`witness_id`]) matches. Signatures are verified in batches and in parallel; the verdict does not depend on how many threads there are.
///
/// # Errors
/// A [`Refusal`] for the first transaction at fault.
pub fn check_body(bytes: &[u8], chain_id: Hash, known: &BTreeSet<Hash>) -> Result<Body, Refusal> {
    check_body_hinted(bytes, chain_id, known, &[])
}

/// [`check_body`] with hints that came beside the payload, one for each transaction; missing and wrong ones cost time only.
///
/// # Errors
/// As [`check_body`], whatever the hints are.
pub fn check_body_hinted(
    bytes: &[u8],
    chain_id: Hash,
    known: &BTreeSet<Hash>,
    hints: &[Option<NonceHint>],
) -> Result<Body, Refusal> {
    let body = Body::decode(bytes)?;
    let checked: Vec<Result<Hash, Refusal>> =
        body.txs.par_iter().map(|tx| tx.body.validate(chain_id).map(|()| tx.body.id())).collect();
    // What comes after the first malformed transaction does not matter.
    let sound = checked.iter().take_while(|result| result.is_ok()).count();
    let (mut places, mut unverified) = (Vec::new(), Vec::new());
    for (index, (tx, id)) in body.txs.iter().zip(&checked[..sound]).enumerate() {
        if let Ok(id) = id
            && (known.is_empty() || !known.contains(&witness_id(id, &tx.signature)))
        {
            places.push(index);
            let hint = hints.get(index).copied().flatten();
            unverified.push(Unverified { tx, id, hint });
        }
    }
    let verdicts = verify_signatures(&unverified);
    for (index, (one, verdict)) in places.into_iter().zip(unverified.iter().zip(verdicts)) {
        verdict.map_err(|error| {
            bad_signature(one.tx.signature, error).within(&format!("txs[{index}]"))
        })?;
    }
    match checked.into_iter().nth(sound) {
        Some(Err(refusal)) => Err(refusal.within(&format!("txs[{sound}]"))),
        Some(Ok(_)) | None => Ok(body),
    }
}

/// The verdict on each signature, in order: what verifying each alone would say, several times cheaper.
#[must_use]
pub fn verify_signatures(unverified: &[Unverified<'_>]) -> Vec<Result<(), KeyError>> {
    let share = unverified.len().div_ceil(rayon::current_num_threads());
    let claims: Vec<Claim<'_>> = unverified
        .iter()
        .map(|one| Claim {
            key: one.tx.body.sender.public_key(),
            message: &one.id.0,
            signature: one.tx.signature,
            hint: one.hint,
        })
        .collect();
    claims
        .par_chunks(share.clamp(BATCH_MIN, BATCH_MAX))
        .map(|chunk| BatchVerifier::shared().verify_each(chunk))
        .flatten_iter()
        .collect()
}

/// The answer to whoever sent a bad signature.
#[must_use]
pub fn bad_signature(signature: Signature, error: KeyError) -> Refusal {
    let limit = "the sender's signature";
    Refusal::new("bad-signature", "signature", limit, signature, error.to_string())
}
