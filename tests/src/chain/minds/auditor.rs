//! Auditors: run what was drawn for them again, and tell.

use std::collections::BTreeMap;

use gongsuan_ledger::Op;
use gongsuan_market::{Command, Deal, DealState, audit_seal};
use gongsuan_types::receipt::ReceiptProof;
use gongsuan_types::{Address, Amount, DealId, DurationMs, Hash, TimeMs};

use crate::chain::actor::{Look, Mind};
use crate::chain::work;

/// What an auditor sets aside behind its word.
pub(crate) const PLEDGE: Amount = Amount::new(2_000_000);
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
        *self.missed.entry(results).or_insert(look.now)
    }

    fn report(&mut self, deal: &Deal, index: u16, look: &Look<'_>) -> Option<Op> {
        let DealState::Drawn { receipts, samples, audit_by, .. } = &deal.state else { return None };
        let sample = samples.get(usize::from(index))?;
        let rules = look.state.market().rules();
        let Some(list) = look.shelf.receipts(receipts) else {
            // It may still come; then it is asked for where everybody sees it.
            let waited = look.now >= self.first_seen(deal, look).plus(LIST_PATIENCE);
            let demand = Command::Demand { deal: deal.id, segment: sample.segment };
            return waited.then_some(Op::Market(demand));
        };
        let spec = work::job_of(look.state.market(), deal)?;
        let at = usize::try_from(sample.segment - deal.batch_first()).ok()?;
        let (committed, proof) = (*list.get(at)?, ReceiptProof::new(&list, at)?);
        let colludes = match &self.care {
            Care::Honest => false,
            Care::ColludesWith(friends) => friends.contains(&deal.provider),
        };
        let found = if colludes { committed } else { work::execute(spec, sample.segment) };
        if !colludes {
            self.ran.insert((deal.id, sample.segment), work::cost(deal, found.fuel));
        }
        let (deal, sample_index) = (deal.id, index);
        if sample.seal.is_none() && rules.seal_window.0 > 0 {
            let seal = audit_seal(look.me, deal, sample_index, &found);
            return Some(Op::Market(Command::SealAudit { deal, sample: sample_index, seal }));
        }
        let all = samples.iter().all(|other| other.seal.is_some() || other.auditor.is_none());
        let left = audit_by.since(look.state.time()).0;
        let may = all || left + rules.seal_window.0 <= rules.audit_window.0;
        let audit = Command::Audit { deal, sample: sample_index, committed, proof, found };
        may.then_some(Op::Market(audit))
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
                    let op = self.report(deal, index, look);
                    // What differs ends the draw: one report of a deal at a time.
                    if op.is_some() {
                        ops.extend(op);
                        break;
                    }
                }
            }
        }
        let pledge = market.pledge_of(&look.me);
        let quiet = market.deals().all(Deal::is_over);
        if look.closing && quiet && !pledge.amount.is_zero() && pledge.until.is_none() {
            ops.push(Op::Market(Command::Unpledge));
        } else if !look.closing && pledge.amount < PLEDGE {
            ops.push(Op::Market(Command::Pledge(PLEDGE)));
        }
        ops
    }

    fn effort(&self) -> Amount {
        Amount::checked_sum(self.ran.values().copied()).unwrap_or_default()
    }
}
