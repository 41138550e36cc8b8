//! The stateless validity of a payload.

use std::collections::BTreeSet;

use gongsuan_types::{Hash, Refusal};
use rayon::prelude::*;

use crate::header::Body;

/// Checks a payload before it is voted for: it decodes, is within bounds, is for this chain, and every signature that is not in `known` (by
/// transaction id) matches. Signatures are verified in parallel; the verdict does not depend on how many threads there are.
///
/// # Errors
/// A [`Refusal`] for the first transaction at fault.
pub fn check_body(bytes: &[u8], chain_id: Hash, known: &BTreeSet<Hash>) -> Result<Body, Refusal> {
    let body = Body::decode(bytes)?;
    let verdicts: Vec<Result<(), Refusal>> = body
        .txs
        .par_iter()
        .map(|tx| {
            tx.body.validate(chain_id)?;
            let id = tx.body.id();
            if known.contains(&id) {
                return Ok(());
            }
            tx.body.sender.public_key().verify(&id, &tx.signature).map_err(|error| {
                let (limit, got) = ("the sender's signature", tx.signature);
                Refusal::new("bad-signature", "signature", limit, got, error.to_string())
            })
        })
        .collect();
    for (index, verdict) in verdicts.into_iter().enumerate() {
        verdict.map_err(|refusal| refusal.within(&format!("txs[{index}]")))?;
    }
    Ok(body)
}
