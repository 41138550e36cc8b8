//! Verdicts on their way to the market: who says it, of what, and whether it is signed.

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_market::{Deal, MarketError, Vote};
use gongsuan_types::court::{CaseId, VERDICTS_MAX, Verdict};
use gongsuan_types::{Refusal, Remembered, Signed};

use crate::check::bad_signature;
use crate::state::State;
use crate::tx::{Op, Transaction};

/// Verdicts that were found signed: each is looked at when it comes, for its fee and for its case, and must cost one verification only.
static SIGNED: Remembered = Remembered::new(4_096);

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

/// Whether a transaction does nothing but what its sender's office asks of it: new verdicts of its own, of open cases in which it has not been heard.
pub(crate) fn is_duty(state: &State, tx: &Transaction) -> bool {
    let own = tx.sender.public_key();
    let seat = state.validators.iter().position(|key| *key == own);
    let Some(seat) = seat.and_then(|seat| u16::try_from(seat).ok()) else { return false };
    let mut cases = BTreeSet::new();
    tx.ops.iter().all(|op| {
        let Op::Judge(verdicts) = op else { return false };
        let mut is_new = |signed: &Signed<Verdict>| {
            let Verdict { chain_id, case, finding, validator } = signed.body;
            let open = state.market.deal(case.deal).and_then(Deal::case);
            let waits = open.is_some_and(|open| {
                let unheard = open.votes.iter().all(|vote| vote.seat != seat);
                open.id == case && unheard && open.question.is_answered_by(&finding)
            });
            let is_own = chain_id == state.chain_id && validator == own;
            waits && is_own && cases.insert(case) && signed.check(&SIGNED).is_ok()
        };
        !verdicts.is_empty() && verdicts.iter().all(&mut is_new)
    })
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
    // Before the signature, which costs more: verdicts of cases that are over are free to repeat.
    let open = state.market.deal(verdict.case.deal).and_then(Deal::case);
    if open.is_none_or(|open| open.id != verdict.case) {
        return Err(MarketError::NoCase(verdict.case).into());
    }
    signed.check(&SIGNED).map_err(|error| bad_signature(signed.signature, error))?;
    Ok(Vote { seat, finding: verdict.finding })
}
