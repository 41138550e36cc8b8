//! Matching a block's bids, and opening the deals.

use std::collections::BTreeMap;

use gongsuan_types::order::{Bid, FillRule, SelfMatch, Work};
use gongsuan_types::{Amount, DealId, OrderId, Units};
use serde::{Deserialize, Serialize};

use crate::attributes::{AskKey, Step};
use crate::deal::{Deal, DealState, Terms};
use crate::table::ask_key;
use crate::{Event, HoldId, Market, Order, OrderState, Outcome, Settlement};

/// One fill to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fill {
    pub(crate) ask: OrderId,
    pub(crate) units: Units,
}

/// What looking for asks found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Search {
    pub(crate) fills: Vec<Fill>,
    /// Asks of the bid's own account that its policy cancels.
    pub(crate) cancel: Vec<OrderId>,
    /// The bid met itself and its policy cancels it.
    pub(crate) stop: bool,
    /// The work bound was reached. No ask before this key can fill any of what is still needed.
    pub(crate) deferred: Option<AskKey>,
}

/// A bid to be searched for at the end of the next block, whatever comes in by then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Awake {
    /// Where the search begins: the halves of an [`AskKey`].
    from: (u64, u64),
    /// The work bound was reached, so the next block is wanted.
    pub(crate) deferred: bool,
}

/// What one ask can give a bid that still needs `need` units and may open `deals_left` deals: a multiple of the lot,
/// not below either side's smallest fill, except that the rest that completes the bid may be below the bid's own.
pub(crate) fn fill_units(bid: &Bid, ask: &Order, need: Units) -> Units {
    let Some(offer) = ask.ask() else { return Units(0) };
    let room = ask.open.0.min(need.0);
    let units = room - room % bid.lot.0;
    let complete = units == need.0;
    if units == 0 || units < offer.fill_min.0 || (units < bid.fill_min.0 && !complete) {
        return Units(0);
    }
    Units(units)
}

/// The smallest work bound: a search that goes on comes back to its place in at most 32 steps, and has to get further.
const VISITS_LEAST: u32 = 64;

impl Market {
    /// Matches the open bids that can match, best limit first.
    ///
    /// A bid was looked at in the block in which it came, and found all that suited. After that only four things give it a fill: an ask
    /// that entered the book since and suits it; more of the search, if its work bound stopped it; what it passed over before a fill made
    /// it smaller; and, if it takes all or nothing, any change at all.
    pub(crate) fn match_all(&mut self, fresh: &[OrderId], outcome: &mut Outcome) {
        let mut ranked: Vec<_> = self
            .candidates(fresh)
            .into_iter()
            .filter_map(|(id, from)| self.table.orders.get(&id).map(|order| (order, from)))
            .filter(|(order, _)| order.state == OrderState::Resting)
            .map(|(order, from)| {
                let best_first = std::cmp::Reverse(order.price());
                (best_first, order.arrived, self.tie(order.id), order.id, from)
            })
            .collect();
        ranked.sort_unstable();
        for (.., id, from) in ranked {
            self.match_bid(id, from, outcome);
        }
    }

    /// The bids that can match, each with the key before which no ask can fill it.
    fn candidates(&mut self, fresh: &[OrderId]) -> BTreeMap<OrderId, AskKey> {
        let mut found: BTreeMap<OrderId, AskKey> = std::mem::take(&mut self.awake)
            .into_iter()
            .map(|(id, awake)| (id, AskKey::from_halves(awake.from)))
            .collect();
        for shelf in self.table.shelves.values() {
            found.extend(shelf.whole.iter().map(|id| (*id, AskKey::FIRST)));
        }
        for order in fresh.iter().filter_map(|id| self.table.orders.get(id)) {
            let Some(machine) = order.machine() else {
                found.insert(order.id, AskKey::FIRST);
                continue;
            };
            let Some(shelf) = self.table.shelves.get(&order.class()) else { continue };
            let key = ask_key(order);
            for bid in shelf.bids.suited(machine, order.reputation, order.price()) {
                found.entry(bid).and_modify(|from| *from = key.min(*from)).or_insert(key);
            }
        }
        found
    }

    fn match_bid(&mut self, id: OrderId, from: AskKey, outcome: &mut Outcome) {
        let Some(order) = self.table.orders.get(&id).cloned() else { return };
        let Some(bid) = order.bid() else { return };
        let search = self.search(&order, bid, from);
        for ask in &search.cancel {
            let mut own = self.table.orders.get(ask).expect("found in the book").clone();
            own.state = OrderState::Cancelled;
            outcome.events.push(Event::Cancelled { order: *ask, open: own.open });
            self.close(own, outcome);
        }
        for fill in &search.fills {
            self.open_deal(id, *fill, outcome);
        }
        if search.deferred.is_some() {
            outcome.events.push(Event::Deferred { order: id });
        }
        let Some(mut order) = self.table.orders.get(&id).cloned() else { return };
        if order.open.0 == 0 {
            order.state = OrderState::Filled;
            self.close(order, outcome);
            return;
        }
        let ends = match bid.fill_rule {
            FillRule::ImmediateOrCancel | FillRule::FillOrKill => search.deferred.is_none(),
            FillRule::Rest | FillRule::AllOrNone => false,
        };
        if ends || search.stop || order.deals >= u32::from(bid.deals_max) {
            order.state = OrderState::Cancelled;
            outcome.events.push(Event::Cancelled { order: id, open: order.open });
            self.close(order, outcome);
            return;
        }
        // What is needed has changed, or is needed at once: the next search begins at the front.
        let from = search.deferred.filter(|_| search.fills.is_empty() && !is_whole(bid));
        if search.deferred.is_some() || !search.fills.is_empty() {
            let from = from.unwrap_or(AskKey::FIRST).halves();
            self.awake.insert(id, Awake { from, deferred: search.deferred.is_some() });
        }
    }

    /// Takes suitable asks of the class from the cheapest at or after `from`. Reads only.
    pub(crate) fn search(&self, order: &Order, bid: &Bid, mut from: AskKey) -> Search {
        let mut search = Search::default();
        let Some(shelf) = self.table.shelves.get(&bid.class) else { return search };
        let mut need = order.open;
        let deals_left = usize::from(bid.deals_max).saturating_sub(order.deals as usize);
        let mut work = self.rules.visits_max.max(VISITS_LEAST);
        while need.0 > 0 && search.fills.len() < deals_left {
            let id = match shelf.asks.next(&bid.requirements, from, bid.price_max, &mut work) {
                Step::Found(key, id) => {
                    from = key.next();
                    id
                }
                Step::OutOfWork(key) => {
                    search.deferred = Some(key);
                    break;
                }
                Step::Nothing => break,
            };
            let Some(ask) = self.table.orders.get(&id) else { continue };
            if ask.owner == order.owner {
                match bid.self_match {
                    SelfMatch::Skip => continue,
                    SelfMatch::CancelResting => {
                        search.cancel.push(id);
                        continue;
                    }
                    SelfMatch::CancelIncoming => {
                        search.stop = true;
                        break;
                    }
                }
            }
            let units = fill_units(bid, ask, need);
            if units.0 > 0 {
                search.fills.push(Fill { ask: id, units });
                need.0 -= units.0;
            }
        }
        if is_whole(bid) && need.0 > 0 {
            search.fills.clear();
        }
        search
    }

    fn open_deal(&mut self, bid_id: OrderId, fill: Fill, outcome: &mut Outcome) {
        let mut ask = self.table.orders.get(&fill.ask).expect("found in the book").clone();
        let mut order = self.table.orders.get(&bid_id).expect("a bid being matched").clone();
        let bid = order.bid().expect("a bid").clone();
        let Work::Job(job) = &bid.work;
        let price = ask.price();
        let cost = price.cost(fill.units);
        let audit_budget = self.audit_budget(&bid, price).expect("smaller than at the limit price");
        let escrow = cost.checked_add(audit_budget).expect("smaller than what the bid holds");
        let deposit =
            cost.basis_points(job.deposit_basis_points).expect("smaller than what the ask holds");
        self.table.next_deal += 1;
        let id = DealId(self.table.next_deal);
        let count = bid.segments_of(fill.units);
        let deal = Deal {
            id,
            ask: ask.id,
            bid: order.id,
            provider: ask.owner,
            renter: order.owner,
            class: bid.class,
            terms: Terms {
                job: job.spec.id(),
                fuel_max: job.spec.limits.fuel,
                first: order.segments_done,
                count,
                units: fill.units,
                price,
                ack_within: job.ack_within,
                run_within: job.run_within,
                samples: job.samples,
                secret_hash: job.secret_hash,
            },
            escrow,
            audit_budget,
            audited: Amount::ZERO,
            deposit,
            state: DealState::Matched { ack_by: self.now.time.plus(job.ack_within) },
        };
        outcome.events.push(Event::Filled {
            deal: id,
            ask: ask.id,
            bid: order.id,
            provider: ask.owner,
            renter: order.owner,
            price,
            units: fill.units,
            first: order.segments_done,
            count,
        });
        take(&mut order, escrow, HoldId::Escrow(id), outcome);
        take(&mut ask, deposit, HoldId::Deposit(id), outcome);
        order.open.0 -= fill.units.0;
        order.segments_done += count;
        order.deals += 1;
        ask.open.0 -= fill.units.0;
        ask.deals += 1;
        if ask.open.0 == 0 {
            ask.state = OrderState::Filled;
        }
        self.table.put_order(order);
        self.table.put_order(ask);
        self.table.put_deal(deal);
    }
}

/// Moves money from an order's hold into a deal's.
fn take(order: &mut Order, amount: Amount, target: HoldId, outcome: &mut Outcome) {
    if amount.is_zero() {
        return;
    }
    order.held = order.held.checked_sub(amount).expect("an order holds what its fills need");
    outcome.settlements.push(Settlement::Move { source: HoldId::Order(order.id), target, amount });
}

fn is_whole(bid: &Bid) -> bool {
    matches!(bid.fill_rule, FillRule::FillOrKill | FillRule::AllOrNone)
}
