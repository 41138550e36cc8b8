//! Providers: offer, acknowledge, run, commit, serve what they committed.

use std::collections::BTreeMap;

use gongsuan_ledger::Op;
use gongsuan_market::{Command, Deal, DealState};
use gongsuan_types::job::JobSpec;
use gongsuan_types::order::{Ask, Capabilities, Class, Machine, Region};
use gongsuan_types::receipt::{Commitment, Receipt};
use gongsuan_types::{Amount, DealId, Fuel, Price, TimeMs, Units};

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
}

/// A provider.
#[derive(Debug)]
pub(crate) struct Provider {
    conduct: Conduct,
    price: Price,
    units: Units,
    /// When the work of a deal will be done.
    busy: BTreeMap<DealId, TimeMs>,
    /// Deals whose results are made, and what making them has cost.
    made: BTreeMap<DealId, Amount>,
}

impl Provider {
    pub(crate) fn new(conduct: Conduct, price: Price, units: Units) -> Self {
        Self { conduct, price, units, busy: BTreeMap::new(), made: BTreeMap::new() }
    }

    fn ask(&self, now: TimeMs) -> Ask {
        Ask {
            class: Class::WASM,
            price: self.price,
            units: self.units,
            fill_min: Units(1),
            machine: Machine {
                cpu_cores: 8,
                memory_mib: 16_384,
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
        let range = deal.terms.first..deal.terms.first + deal.terms.count;
        let receipts = range.map(|segment| {
            let fake = match self.conduct {
                Conduct::Honest => false,
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
        self.made.insert(deal.id, work::cost(deal, Fuel(burnt)));
        receipts
    }

    fn commit(&mut self, deal: &Deal, look: &mut Look<'_>) -> Option<Op> {
        let spec = work::job_of(look.state.market(), deal)?.clone();
        let receipts = self.receipts(deal, &spec, look);
        let commitment = Commitment::new(&receipts)?;
        let receipts = match self.conduct {
            Conduct::Withholds => Shelf::address_of(&receipts),
            Conduct::Honest | Conduct::Lazy | Conduct::Fakes(_) => {
                look.shelf.serve_receipts(&receipts)
            }
        };
        Some(Op::Market(Command::Commit { deal: deal.id, commitment, receipts }))
    }
}

impl Mind for Provider {
    fn act(&mut self, look: &mut Look<'_>) -> Vec<Op> {
        let state = look.state;
        let (market, now) = (state.market(), state.time());
        let mut ops = Vec::new();
        let me = look.me;
        for deal in market.deals().filter(|deal| deal.provider == me) {
            match &deal.state {
                DealState::Matched { .. } => {
                    let there =
                        work::job_of(market, deal).is_some_and(|spec| look.shelf.has_job(spec));
                    if there {
                        ops.push(Op::Market(Command::Acknowledge(deal.id)));
                    }
                }
                DealState::Running { .. } => {
                    let takes = gongsuan_types::DurationMs(100 + look.dice.below(400));
                    let ready = *self.busy.entry(deal.id).or_insert(now.plus(takes));
                    if ready <= now {
                        ops.extend(self.commit(deal, look));
                    }
                }
                _ => {}
            }
        }
        let own = |order: &&gongsuan_market::Order| order.owner == me && order.is_live();
        match market.orders().find(own) {
            Some(ask) if look.closing => ops.push(Op::Market(Command::Cancel(ask.id))),
            None if !look.closing => ops.push(Op::Market(Command::PlaceAsk(self.ask(now)))),
            _ => {}
        }
        ops
    }

    fn effort(&self) -> Amount {
        Amount::checked_sum(self.made.values().copied()).unwrap_or_default()
    }
}
