//! Anybody who watches: whoever has run a segment again can challenge it, and whoever has not can only lie.

use std::collections::BTreeMap;

use gongsuan_ledger::Op;
use gongsuan_market::{Command, Deal, DealState};
use gongsuan_types::receipt::ReceiptProof;
use gongsuan_types::{Amount, Hash};

use crate::chain::actor::{Look, Mind};
use crate::chain::work;

/// What a challenger goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Runs one segment of each deal again, and challenges what is wrong.
    Truth,
    /// Challenges what is right, to delay honest providers.
    Harm,
}

/// Somebody who watches.
#[derive(Debug)]
pub(crate) struct Challenger {
    aim: Aim,
    /// By the root of the results: the segment it looks at, and what running it has cost.
    seen: BTreeMap<Hash, (u32, Amount)>,
}

impl Challenger {
    pub(crate) fn new(aim: Aim) -> Self {
        Self { aim, seen: BTreeMap::new() }
    }

    fn challenge(&mut self, deal: &Deal, look: &mut Look<'_>) -> Option<Op> {
        let (commitment, list) = deal.results()?;
        let receipts = look.shelf.receipts(&list)?;
        let spec = work::job_of(look.state.market(), deal)?;
        let (pick, _) = *self.seen.entry(commitment.root).or_insert_with(|| {
            let pick = u32::try_from(look.dice.below(u64::from(commitment.count))).unwrap_or(0);
            let truth = work::execute(spec, deal.batch_first() + pick);
            let cost =
                if self.aim == Aim::Truth { work::cost(deal, truth.fuel) } else { Amount::ZERO };
            (pick, cost)
        });
        let at = usize::try_from(pick).ok()?;
        let committed = *receipts.get(at)?;
        let truth = work::execute(spec, committed.segment);
        let found = match self.aim {
            Aim::Truth if truth == committed => return None,
            Aim::Truth => truth,
            Aim::Harm => work::make_up(spec, committed.segment),
        };
        if found == committed {
            return None;
        }
        let proof = ReceiptProof::new(&receipts, at)?;
        Some(Op::Market(Command::Challenge { deal: deal.id, committed, proof, found }))
    }
}

impl Mind for Challenger {
    fn act(&mut self, look: &mut Look<'_>) -> Vec<Op> {
        let market = look.state.market();
        let me = look.me;
        let mut ops = Vec::new();
        for deal in market.deals().filter(|deal| deal.provider != me) {
            if matches!(deal.state, DealState::Drawn { .. }) {
                ops.extend(self.challenge(deal, look));
            }
        }
        // Whoever harms wants to do so again and again, but not in every block.
        if self.aim == Aim::Harm {
            ops.truncate(1);
        }
        ops
    }

    fn effort(&self) -> Amount {
        Amount::checked_sum(self.seen.values().map(|(_, cost)| *cost)).unwrap_or_default()
    }
}
