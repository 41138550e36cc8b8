//! Auditors: run what was drawn for them again, and tell.

use std::collections::BTreeMap;

use gongsuan_ledger::Op;
use gongsuan_market::{Command, Deal, DealState, Sample};
use gongsuan_types::receipt::ReceiptProof;
use gongsuan_types::{Address, Amount, DealId, DurationMs, Hash, TimeMs};

use crate::chain::actor::{Look, Mind};
use crate::chain::work;

/// How long a list of receipts is waited for.
const LIST_PATIENCE: DurationMs = DurationMs(3_000);

/// How an auditor goes about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Care {
    /// Runs every segment, tells what came out.
    Honest,
    /// Calls everything right that these providers committed, without running it.
    ColludesWith(Vec<Address>),
}

/// An auditor.
#[derive(Debug)]
pub(crate) struct Auditor {
    care: Care,
    /// Samples executed, and what each has cost.
    ran: BTreeMap<(DealId, u32), Amount>,
    /// When results without a list were first seen.
    missed: BTreeMap<Hash, TimeMs>,
}

impl Auditor {
    pub(crate) fn new(care: Care) -> Self {
        Self { care, ran: BTreeMap::new(), missed: BTreeMap::new() }
    }

    fn first_seen(&mut self, deal: &Deal, look: &Look<'_>) -> TimeMs {
        let results = deal.receipts().unwrap_or(Hash::ZERO);
        *self.missed.entry(results).or_insert(look.state.time())
    }

    fn report(&mut self, deal: &Deal, index: u16, sample: &Sample, look: &Look<'_>) -> Option<Op> {
        let DealState::Drawn { receipts, .. } = &deal.state else { return None };
        let Some(list) = look.shelf.receipts(receipts) else {
            // It may still come; then it is asked for where everybody sees it.
            let waited = look.state.time() >= self.first_seen(deal, look).plus(LIST_PATIENCE);
            let demand = Command::Demand { deal: deal.id, segment: sample.segment };
            return waited.then_some(Op::Market(demand));
        };
        let spec = work::job_of(look.state.market(), deal)?;
        let at = usize::try_from(sample.segment - deal.batch_first()).ok()?;
        let committed = *list.get(at)?;
        let proof = ReceiptProof::new(&list, at)?;
        let colludes = match &self.care {
            Care::Honest => false,
            Care::ColludesWith(friends) => friends.contains(&deal.provider),
        };
        let found = if colludes { committed } else { work::execute(spec, sample.segment) };
        if !colludes {
            self.ran.insert((deal.id, sample.segment), work::cost(deal, found.fuel));
        }
        let deal = deal.id;
        Some(Op::Market(Command::Audit { deal, sample: index, committed, proof, found }))
    }
}

impl Mind for Auditor {
    fn act(&mut self, look: &mut Look<'_>) -> Vec<Op> {
        let market = look.state.market();
        let mut ops = Vec::new();
        for deal in market.deals() {
            let DealState::Drawn { samples, .. } = &deal.state else { continue };
            for (index, sample) in (0u16..).zip(samples) {
                if sample.auditor == Some(look.me) && !sample.passed {
                    ops.extend(self.report(deal, index, sample, look));
                    // What differs ends the draw: one report of a deal at a time.
                    break;
                }
            }
        }
        ops
    }

    fn effort(&self) -> Amount {
        Amount::checked_sum(self.ran.values().copied()).unwrap_or_default()
    }
}
