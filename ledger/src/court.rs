//! Verdicts on their way to the market: who says it, of what, and whether it is signed.

use std::collections::BTreeMap;

use gongsuan_market::Vote;
use gongsuan_types::court::{CaseId, VERDICTS_MAX, Verdict};
use gongsuan_types::{Refusal, Signed};

use crate::check::bad_signature;
use crate::state::State;

/// What the verdicts of one operation say of each case.
///
/// # Errors
/// A [`Refusal`] for the first verdict that is for another chain, of somebody who is no validator, or not signed by it; or if there are none or
/// too many.
pub(crate) fn votes(
    state: &State,
    verdicts: &[Signed<Verdict>],
) -> Result<BTreeMap<CaseId, Vec<Vote>>, Refusal> {
    if verdicts.is_empty() || verdicts.len() > VERDICTS_MAX {
        let (limit, message) = (format!("1..={VERDICTS_MAX}"), "too few or too many verdicts");
        return Err(Refusal::new("out-of-range", "verdicts", limit, verdicts.len(), message));
    }
    let mut votes: BTreeMap<CaseId, Vec<Vote>> = BTreeMap::new();
    for (index, signed) in verdicts.iter().enumerate() {
        let vote = vote(state, signed).map_err(|refusal| {
            let outer = format!("verdicts[{index}]");
            refusal.within(&outer)
        })?;
        votes.entry(signed.body.case).or_default().push(vote);
    }
    Ok(votes)
}

fn vote(state: &State, signed: &Signed<Verdict>) -> Result<Vote, Refusal> {
    let verdict = &signed.body;
    if verdict.chain_id != state.chain_id {
        let (limit, message) = (state.chain_id, "the verdict is for another chain");
        return Err(Refusal::new("wrong-chain", "chain_id", limit, verdict.chain_id, message));
    }
    let seat = state.validators.iter().position(|key| *key == verdict.validator);
    let Some(seat) = seat.and_then(|seat| u16::try_from(seat).ok()) else {
        let (limit, message) = ("a validator of the chain", "only validators judge");
        return Err(Refusal::new(
            "not-a-validator",
            "validator",
            limit,
            verdict.validator,
            message,
        ));
    };
    signed.clone().verify().map_err(|error| bad_signature(signed.signature, error))?;
    Ok(Vote { seat, finding: verdict.finding })
}
