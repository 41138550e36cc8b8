//! Certificates of capacity, where a chain requires them: claim, answer what the chain asks, give back in the end. A part of whoever offers a machine.

use std::collections::BTreeMap;

use gongsuan_ledger::Op;
use gongsuan_market::{Command, Deal, DealState, Probe};
use gongsuan_types::capacity::Capacity;
use gongsuan_types::receipt::{Commitment, Receipt};
use gongsuan_types::{Amount, DealId, Fuel};

use super::Provider;
use crate::chain::actor::Look;
use crate::chain::work;

/// Probes after which who claims too much has learnt that it does not pay.
const LESSONS: usize = 2;
/// Memory of each lane, in MiB.
const MEBIBYTES: u32 = 256;

/// What a machine claims and what it has.
#[derive(Debug)]
pub(crate) struct Prover {
    claim: Capacity,
    /// Lanes that it can really answer; the others it makes up.
    has: u16,
    /// What answering each probe has cost.
    answered: BTreeMap<DealId, Amount>,
}

impl Prover {
    pub(crate) fn new(lanes: u16, has: u16) -> Self {
        Self { claim: Capacity { lanes, mebibytes: MEBIBYTES }, has, answered: BTreeMap::new() }
    }

    /// Cores and MiB of memory that it may list, as it claims.
    pub(crate) fn listed(&self) -> (u16, u32) {
        (self.claim.lanes, self.claim.memory_mib())
    }

    /// Whether asks must wait for a certificate.
    pub(crate) fn waits(look: &Look<'_>) -> bool {
        let market = look.state.market();
        let shown = market.certificate(&look.me).and_then(|certificate| certificate.shown);
        market.rules().capacity.required && shown.is_none()
    }

    pub(crate) fn act(&mut self, look: &mut Look<'_>) -> Vec<Op> {
        let market = look.state.market();
        if !market.rules().capacity.required {
            return Vec::new();
        }
        let (me, mut ops) = (look.me, Vec::new());
        for deal in market.deals().filter(|deal| deal.provider == me && deal.is_probe()) {
            match &deal.state {
                DealState::Running { .. } => ops.extend(self.answer(deal, look)),
                DealState::Demanded { segment, .. } => {
                    ops.extend(Provider::serve(deal, *segment, look));
                }
                _ => {}
            }
        }
        let lies = self.has < self.claim.lanes;
        let learnt = lies && self.answered.len() >= LESSONS;
        let busy = market.deals().any(|deal| deal.provider == me && !deal.is_over());
        match market.certificate(&me) {
            None if !look.closing && !learnt => {
                ops.push(Op::Market(Command::ProveCapacity(self.claim)));
            }
            Some(certificate) if look.closing && !busy && certificate.probe == Probe::No => {
                ops.push(Op::Market(Command::GiveUpCapacity));
            }
            _ => {}
        }
        ops
    }

    fn answer(&mut self, deal: &Deal, look: &mut Look<'_>) -> Option<Op> {
        let spec = work::job_of(look.state.market(), deal)?.clone();
        let mut burnt = 0;
        let receipts: Vec<Receipt> = (0..spec.segment_count())
            .map(|lane| {
                if lane >= u32::from(self.has) {
                    return work::make_up(&spec, lane);
                }
                let receipt = work::execute(&spec, lane);
                burnt += receipt.fuel.0;
                receipt
            })
            .collect();
        self.answered.insert(deal.id, work::cost(deal, Fuel(burnt)));
        let commitment = Commitment::new(&receipts)?;
        // Everybody can make what a probe reads.
        look.shelf.serve_job(&spec);
        let receipts = look.shelf.serve_receipts(&receipts);
        Some(Op::Market(Command::Commit { deal: deal.id, commitment, receipts }))
    }

    pub(crate) fn effort(&self) -> Amount {
        Amount::checked_sum(self.answered.values().copied()).unwrap_or_default()
    }
}
