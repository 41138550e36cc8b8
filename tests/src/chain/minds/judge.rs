//! Validators as judges: look at a case, run the segment, sign what they found.

use gongsuan_ledger::Op;
use gongsuan_market::{Case, Deal, Question};
use gongsuan_types::court::{Finding, Verdict};
use gongsuan_types::{Hash, SecretKey, Verified};

use crate::chain::actor::{Look, Mind};
use crate::chain::work;

/// How a judge goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Law {
    /// Says what it found.
    Honest,
    /// Says the opposite.
    Lies,
}

/// A judge.
#[derive(Debug)]
pub(crate) struct Judge {
    law: Law,
    key: SecretKey,
}

impl Judge {
    pub(crate) fn new(law: Law, key: SecretKey) -> Self {
        Self { law, key }
    }

    fn finding(&self, deal: &Deal, case: &Case, look: &Look<'_>) -> Option<Finding> {
        let spec = work::job_of(look.state.market(), deal)?;
        // What is missing may still come in the first half of the case's time.
        let half = case.until.since(case.opened).0 / 2;
        let waited = look.now.since(case.opened).0 >= half;
        let there = |is: bool| {
            if is { Some(Finding::Available) } else { waited.then_some(Finding::Unavailable) }
        };
        let found = match &case.question {
            Question::Result { committed, .. } if look.shelf.has_job(spec) => {
                Some(Finding::Produced(work::execute(spec, committed.segment)))
            }
            Question::Result { .. } => waited.then_some(Finding::Unavailable),
            Question::Output { .. } => {
                there(deal.receipts().is_some_and(|list| look.shelf.receipts(&list).is_some()))
            }
            Question::Input => there(look.shelf.has_job(spec)),
            Question::Predicate => Some(Finding::Accepts),
        };
        found.map(|found| if self.law == Law::Lies { opposite(found) } else { found })
    }
}

fn opposite(finding: Finding) -> Finding {
    match finding {
        Finding::Produced(mut receipt) => {
            receipt.output = Hash::of("gongsuan/chain/lie", &receipt.output.0);
            Finding::Produced(receipt)
        }
        Finding::Available => Finding::Unavailable,
        Finding::Unavailable => Finding::Available,
        Finding::Accepts => Finding::Refuses,
        Finding::Refuses => Finding::Accepts,
    }
}

impl Mind for Judge {
    fn act(&mut self, look: &mut Look<'_>) -> Vec<Op> {
        let state = look.state;
        let validator = self.key.public_key();
        let seat = state.validators().iter().position(|key| *key == validator);
        let Some(seat) = seat.and_then(|seat| u16::try_from(seat).ok()) else { return Vec::new() };
        let mut ops = Vec::new();
        for deal in state.market().deals() {
            let Some(case) = deal.case() else { continue };
            if case.votes.iter().any(|vote| vote.seat == seat) {
                continue;
            }
            let Some(finding) = self.finding(deal, case, look) else { continue };
            let chain_id = state.chain_id();
            let verdict = Verdict { chain_id, case: case.id, finding, validator };
            ops.push(Op::Judge(vec![Verified::sign(verdict, &self.key).into_signed()]));
        }
        ops
    }
}
