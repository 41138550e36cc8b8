//! Hosts: lease a machine out, and show for every interval that it was there.

use std::collections::BTreeMap;

use gongsuan_ledger::Op;
use gongsuan_market::{Command, Deal, DealState, Kind, Stop};
use gongsuan_types::lease::{Witness, answer};
use gongsuan_types::order::{Arch, Ask, Capabilities, Class, Machine, Region, Unit};
use gongsuan_types::{Amount, DealId, DurationMs, Hash, Price, TimeMs, Units};

use super::Prover;
use super::renter::LONG;
use crate::chain::actor::{Look, Mind};
use crate::chain::work;

/// What is leased.
pub(crate) const LEASED: Class = Class { unit: Unit::CoreSecond, arch: Arch::X86_64, gpu: None };
/// Core-seconds of one offer.
const UNITS: Units = Units(2_000);

/// What a host does that the protocol does not want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Nothing.
    Honest,
    /// Is gone after the first interval; where the chain does not look, at once.
    Vanishes,
    /// Serves nothing, and asks to be paid with tokens that it makes up, and before time.
    Grabs,
}

/// A host.
#[derive(Debug)]
pub(crate) struct Host {
    service: Service,
    price: Price,
    prover: Prover,
    /// By deal: up to which interval it has served, how many that were, and what serving one costs.
    served: BTreeMap<DealId, (u32, u32, Amount)>,
    /// What a grabber has tried: once for each interval.
    grabbed: BTreeMap<DealId, u32>,
}

impl Host {
    pub(crate) fn new(service: Service, price: Price, prover: Prover) -> Self {
        Self { service, price, prover, served: BTreeMap::new(), grabbed: BTreeMap::new() }
    }

    fn ask(&self, now: TimeMs) -> Ask {
        let (cpu_cores, memory_mib) = self.prover.listed();
        Ask {
            class: LEASED,
            price: self.price,
            units: UNITS,
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

    /// The heartbeat that is due, if there is anything to show for it.
    fn beat(&mut self, deal: &Deal, look: &Look<'_>) -> Option<Op> {
        let (DealState::Leased { from, question, .. }, Kind::Lease { interval, witness, .. }) =
            (&deal.state, deal.terms.kind)
        else {
            return None;
        };
        let next = deal.accepted + 1;
        let (number, token) = match (self.service, witness) {
            (Service::Vanishes, _) if deal.accepted > 0 => return None,
            (Service::Vanishes, Witness::Renter(_)) => return None,
            (Service::Grabs, _) => {
                if self.grabbed.insert(deal.id, next) == Some(next) {
                    return None;
                }
                (next, false_token(witness, *question, deal, look))
            }
            (Service::Honest, Witness::Renter(_)) => {
                let (number, token) = look.shelf.token(deal.id)?;
                if number < next {
                    return None;
                }
                (number, token)
            }
            (Service::Honest | Service::Vanishes, Witness::Chain) => {
                if deal.stop == Stop::No && look.now < from.plus(interval) {
                    return None;
                }
                (next, answer(*question, deal.id, next, look.me))
            }
        };
        if self.service != Service::Grabs {
            let each = deal.terms.price.cost(deal.terms.lot);
            let each = each.basis_points(work::COST_BASIS_POINTS).unwrap_or_default();
            let (last, count, _) = self.served.get(&deal.id).copied().unwrap_or_default();
            // Those before it were another's, if it has taken the lease over.
            let fresh = number.saturating_sub(last.max(deal.accepted));
            self.served.insert(deal.id, (number.max(last), count + fresh, each));
        }
        Some(Op::Market(Command::Beat { deal: deal.id, interval: number, token }))
    }
}

/// A token out of nothing; to the chain, the right answer before its time.
fn false_token(witness: Witness, question: Hash, deal: &Deal, look: &Look<'_>) -> Hash {
    let next = deal.accepted + 1;
    match witness {
        Witness::Renter(_) => Hash::of("gongsuan/chain/no-token", &next.to_le_bytes()),
        Witness::Chain => answer(question, deal.id, next, look.me),
    }
}

impl Mind for Host {
    fn act(&mut self, look: &mut Look<'_>) -> Vec<Op> {
        let mut ops = self.prover.act(look);
        let market = look.state.market();
        let me = look.me;
        for deal in market.deals().filter(|deal| deal.provider == me && !deal.is_probe()) {
            match &deal.state {
                DealState::Matched { .. } => {
                    ops.push(Op::Market(Command::Acknowledge(deal.id)));
                }
                DealState::Leased { .. } => ops.extend(self.beat(deal, look)),
                _ => {}
            }
        }
        let own = |order: &&gongsuan_market::Order| {
            order.owner == me && order.is_live() && order.ask().is_some()
        };
        match market.orders().find(own) {
            Some(ask) if look.closing => ops.push(Op::Market(Command::Cancel(ask.id))),
            None if !look.closing && !Prover::waits(look) => {
                ops.push(Op::Market(Command::PlaceAsk(self.ask(look.now))));
            }
            _ => {}
        }
        ops
    }

    fn effort(&self) -> Amount {
        let served = self
            .served
            .values()
            .map(|(_, count, each)| each.mul_div_floor(u64::from(*count), 1).unwrap_or_default());
        Amount::checked_sum(served.chain([self.prover.effort()])).unwrap_or_default()
    }
}

/// How long an interval is.
pub(crate) const INTERVAL: DurationMs = DurationMs(10_000);
