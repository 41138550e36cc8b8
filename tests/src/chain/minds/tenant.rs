//! Tenants: lease machines, and hand over a token for each interval that they have.

use gongsuan_ledger::Op;
use gongsuan_market::{Command, Deal, DealState, Kind};
use gongsuan_types::job::JobOrder;
use gongsuan_types::lease::{LeaseOrder, Witness};
use gongsuan_types::order::{Bid, FillRule, Requirements, SelfMatch, Work};
use gongsuan_types::{Hash, OrderId, Price};

use super::host::{INTERVAL, LEASED};
use crate::chain::actor::{Look, Mind};
use crate::chain::cast::Pace;

/// Cores of a lease.
const CORES: u16 = 2;
/// Intervals of a lease, at most; at least 2.
const INTERVALS_MAX: u32 = 6;
/// How often, in percent, a lease is stopped at a look.
const STOPS: u64 = 1;

/// What a tenant does that the protocol does not want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purse {
    /// Nothing.
    Open,
    /// Hands no token over: it has the machine and never accepts that it had it.
    Shut,
}

/// A tenant.
#[derive(Debug)]
pub(crate) struct Tenant {
    purse: Purse,
    pace: Pace,
    /// Leases still to order.
    leases: u32,
    /// What the tokens of each order follow from.
    seeds: Vec<Hash>,
    seed: u64,
}

impl Tenant {
    pub(crate) fn new(purse: Purse, pace: Pace, leases: u32, seed: u64) -> Self {
        Self { purse, pace, leases, seeds: Vec::new(), seed }
    }

    fn bid(&mut self, look: &mut Look<'_>) -> Bid {
        let number = self.seeds.len() as u64;
        let name = [self.seed.to_le_bytes(), number.to_le_bytes()].concat();
        let seed = Hash::of("gongsuan/chain/tokens", &name);
        self.seeds.push(seed);
        let count = 2 + u32::try_from(look.dice.below(u64::from(INTERVALS_MAX) - 1)).unwrap_or(0);
        // Who will not pay does not have the chain look.
        let watched = self.purse == Purse::Open && look.dice.percent(50);
        let end = token(seed, INTERVALS_MAX);
        let lease = LeaseOrder {
            setup: Hash::of("gongsuan/chain/setup", &name),
            cores: CORES,
            interval: INTERVAL,
            grace: self.pace.ack_within,
            ack_within: self.pace.ack_within,
            deposit_basis_points: self.pace.deposit_basis_points,
            attempts_max: look.dice.pick(&[1, 2, 3]),
            witness: if watched { Witness::Chain } else { Witness::Renter(end) },
        };
        let lot = lease.lot();
        let units = gongsuan_types::Units(lot.0 * u64::from(count));
        let seconds = lease.duration(units).0 / 1_000;
        Bid {
            class: LEASED,
            price_max: Price(look.dice.pick(&[150_000, 200_000])),
            units,
            lot,
            fill_min: units,
            deals_max: 1,
            requirements: Requirements {
                cpu_cores_min: CORES,
                duration_s_min: u32::try_from(seconds).unwrap_or(u32::MAX),
                ..Requirements::ANY
            },
            fill_rule: FillRule::Rest,
            self_match: SelfMatch::Skip,
            expires_at: look.now.plus(self.pace.order_life),
            work: Work::Lease(Box::new(lease)),
        }
    }

    /// Hands over the token of the last interval that has begun.
    fn hand_over(&self, deal: &Deal, look: &mut Look<'_>) {
        let (
            DealState::Leased { from, .. },
            Kind::Lease { interval, witness: Witness::Renter(end), .. },
        ) = (&deal.state, deal.terms.kind)
        else {
            return;
        };
        let Some(seed) = self.seeds.iter().find(|seed| token(**seed, INTERVALS_MAX) == end) else {
            return;
        };
        if look.now < *from {
            return;
        }
        let begun = u32::try_from(look.now.since(*from).0 / interval.0).unwrap_or(u32::MAX);
        let number = deal.accepted.saturating_add(begun).saturating_add(1).min(deal.terms.count);
        look.shelf.hand_over(deal.id, number, token(*seed, INTERVALS_MAX - number));
    }
}

/// What follows from a seed after so many hashes.
fn token(seed: Hash, hashes: u32) -> Hash {
    (0..hashes).fold(seed, |at, _| JobOrder::hash_secret(&at))
}

impl Mind for Tenant {
    fn act(&mut self, look: &mut Look<'_>) -> Vec<Op> {
        let market = look.state.market();
        let (me, mut ops) = (look.me, Vec::new());
        for deal in market.deals().filter(|deal| deal.renter == me) {
            if !matches!(deal.state, DealState::Leased { .. }) {
                continue;
            }
            if self.purse == Purse::Open {
                self.hand_over(deal, look);
            }
            if look.dice.percent(STOPS) {
                ops.push(Op::Market(Command::Stop(deal.id)));
            }
        }
        let open: Vec<OrderId> = market
            .orders()
            .filter(|order| order.owner == me && order.is_live())
            .map(|order| order.id)
            .collect();
        let ordered = u32::try_from(self.seeds.len()).unwrap_or(u32::MAX);
        if look.closing {
            ops.extend(open.into_iter().map(|id| Op::Market(Command::Cancel(id))));
        } else if ordered < self.leases && open.is_empty() && look.dice.percent(self.pace.haste) {
            let bid = self.bid(look);
            ops.push(Op::Market(Command::PlaceBid(Box::new(bid))));
        }
        ops
    }
}
