//! Providers: offer, acknowledge, run, commit, serve what they committed.

use std::collections::BTreeMap;

use gongsuan_ledger::Op;
use gongsuan_market::{Command, Deal, DealState};
use gongsuan_types::job::JobSpec;
use gongsuan_types::order::{Ask, Capabilities, Class, Machine, Region};
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof};
use gongsuan_types::{Amount, DealId, Fuel, Price, TimeMs, Units};

use super::Prover;
use super::renter::LONG;
use crate::chain::actor::{Look, Mind};
use crate::chain::work::{self, Shelf};

/// What a provider does that the protocol does not want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Nothing.
    Honest,
    /// Runs nothing and makes up every result.
    Lazy,
    /// Makes up this share of the results, in percent.
    Fakes(u64),
    /// Makes up every result, and serves the list of receipts to nobody.
    Withholds,
    /// Does its work, and offers a machine that it has not got.
    Overclaims,
}

/// A provider.
#[derive(Debug)]
pub(crate) struct Provider {
    conduct: Conduct,
    price: Price,
    units: Units,
    prover: Prover,
    /// When the work of a batch will be done, by the segments accepted before it.
    busy: BTreeMap<(DealId, u32), TimeMs>,
    /// Batches that are made, and what making them has cost.
    made: BTreeMap<(DealId, u32), Amount>,
}

impl Provider {
    pub(crate) fn new(conduct: Conduct, price: Price, units: Units, prover: Prover) -> Self {
        Self { conduct, price, units, prover, busy: BTreeMap::new(), made: BTreeMap::new() }
    }

    fn ask(&self, now: TimeMs) -> Ask {
        let (cpu_cores, memory_mib) = self.prover.listed();
        Ask {
            class: Class::WASM,
            price: self.price,
            units: self.units,
            fill_min: Units(1),
            machine: Machine {
                cpu_cores,
                memory_mib,
                disk_mib: 1_024,
                gpu_count: 0,
                duration_s_max: 86_400,
                region: Region(0),
                capabilities: Capabilities::NONE,
            },
            expires_at: now.plus(LONG),
        }
    }

    /// The deal's receipts: run, or made up. What was run costs.
    fn receipts(&mut self, deal: &Deal, spec: &JobSpec, look: &mut Look<'_>) -> Vec<Receipt> {
        let mut burnt = 0;
        // Where the order allows several batches, half of what is left first.
        let several = deal.commits + 1 < deal.terms.batches_max && deal.left() > 1;
        let count = if several { deal.left().div_ceil(2) } else { deal.left() };
        let range = deal.batch_first()..deal.batch_first() + count;
        let receipts = range.map(|segment| {
            let fake = match self.conduct {
                Conduct::Honest | Conduct::Overclaims => false,
                Conduct::Lazy | Conduct::Withholds => true,
                Conduct::Fakes(share) => look.dice.percent(share),
            };
            if fake {
                return work::make_up(spec, segment);
            }
            let receipt = work::execute(spec, segment);
            burnt += receipt.fuel.0;
            receipt
        });
        let receipts = receipts.collect();
        self.made.insert((deal.id, deal.accepted), work::cost(deal, Fuel(burnt)));
        receipts
    }

    /// Shows one receipt on the chain.
    pub(super) fn serve(deal: &Deal, segment: u32, look: &Look<'_>) -> Option<Op> {
        let receipts = look.shelf.receipts(&deal.receipts()?)?;
        let at = usize::try_from(segment - deal.batch_first()).ok()?;
        let (receipt, proof) = (*receipts.get(at)?, ReceiptProof::new(&receipts, at)?);
        Some(Op::Market(Command::Serve { deal: deal.id, receipt, proof }))
    }

    fn commit(&mut self, deal: &Deal, look: &mut Look<'_>) -> Option<Op> {
        let spec = work::job_of(look.state.market(), deal)?.clone();
        let receipts = self.receipts(deal, &spec, look);
        let commitment = Commitment::new(&receipts)?;
        let receipts = match self.conduct {
            Conduct::Withholds => Shelf::address_of(&receipts),
            Conduct::Honest | Conduct::Overclaims | Conduct::Lazy | Conduct::Fakes(_) => {
                look.shelf.serve_receipts(&receipts)
            }
        };
        Some(Op::Market(Command::Commit { deal: deal.id, commitment, receipts }))
    }
}

impl Mind for Provider {
    fn act(&mut self, look: &mut Look<'_>) -> Vec<Op> {
        let mut ops = self.prover.act(look);
        let state = look.state;
        let (market, now) = (state.market(), look.now);
        let me = look.me;
        for deal in market.deals().filter(|deal| deal.provider == me && !deal.is_probe()) {
            match &deal.state {
                DealState::Matched { ack_by } => {
                    let there =
                        work::job_of(market, deal).is_some_and(|spec| look.shelf.has_job(spec));
                    let half = deal.matched.0 + ack_by.since(deal.matched).0 / 2;
                    if there {
                        ops.push(Op::Market(Command::Acknowledge(deal.id)));
                    } else if now.0 >= half {
                        ops.push(Op::Market(Command::AskInput(deal.id)));
                    }
                }
                DealState::Demanded { segment, .. } => {
                    ops.extend(Self::serve(deal, *segment, look));
                }
                DealState::Running { .. } => {
                    let takes = gongsuan_types::DurationMs(100 + look.dice.below(400));
                    let ready =
                        *self.busy.entry((deal.id, deal.accepted)).or_insert(now.plus(takes));
                    if ready <= now {
                        ops.extend(self.commit(deal, look));
                    }
                }
                _ => {}
            }
        }
        let own = |order: &&gongsuan_market::Order| {
            order.owner == me && order.is_live() && order.ask().is_some()
        };
        // Who offers what it has not got does not wait for a certificate either.
        let waits = self.conduct != Conduct::Overclaims && Prover::waits(look);
        match market.orders().find(own) {
            Some(ask) if look.closing => ops.push(Op::Market(Command::Cancel(ask.id))),
            None if !look.closing && !waits => {
                ops.push(Op::Market(Command::PlaceAsk(self.ask(now))));
            }
            _ => {}
        }
        ops
    }

    fn effort(&self) -> Amount {
        let made = self.made.values().copied().chain([self.prover.effort()]);
        Amount::checked_sum(made).unwrap_or_default()
    }
}
