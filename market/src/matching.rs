//! Matching a block's bids, and opening the deals.

use gongsuan_types::order::{Bid, FillRule, SelfMatch, Work};
use gongsuan_types::{Amount, DealId, OrderId, Units};

use crate::deal::{Deal, DealState, Terms};
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
    /// The work bound was reached.
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

/// Whether an ask's machine and owner will do for a bid.
pub(crate) fn suits(bid: &Bid, ask: &Order) -> bool {
    ask.machine().is_some_and(|machine| bid.requirements.accept(machine, ask.reputation))
}

impl Market {
    /// Matches every open bid, best limit first.
    pub(crate) fn match_all(&mut self, outcome: &mut Outcome) {
        self.deferred = false;
        let mut bids: Vec<_> = self
            .table
            .shelves
            .values()
            .flat_map(|shelf| &shelf.bids)
            .filter_map(|id| self.table.orders.get(id))
            .map(|order| {
                let best_first = std::cmp::Reverse(order.price());
                (best_first, order.arrived, self.tie(order.id), order.id)
            })
            .collect();
        bids.sort_unstable();
        for (.., id) in bids {
            self.match_bid(id, outcome);
        }
    }

    fn match_bid(&mut self, id: OrderId, outcome: &mut Outcome) {
        let Some(order) = self.table.orders.get(&id).cloned() else { return };
        let Some(bid) = order.bid() else { return };
        let search = self.search(&order, bid);
        for ask in &search.cancel {
            let mut own = self.table.orders.get(ask).expect("found in the book").clone();
            own.state = OrderState::Cancelled;
            outcome.events.push(Event::Cancelled { order: *ask, open: own.open });
            self.close(own, outcome);
        }
        for fill in &search.fills {
            self.open_deal(id, *fill, outcome);
        }
        if search.deferred {
            self.deferred = true;
            outcome.events.push(Event::Deferred { order: id });
        }
        let Some(mut order) = self.table.orders.get(&id).cloned() else { return };
        if order.open.0 == 0 {
            order.state = OrderState::Filled;
            self.close(order, outcome);
            return;
        }
        let ends = match bid.fill_rule {
            FillRule::ImmediateOrCancel | FillRule::FillOrKill => !search.deferred,
            FillRule::Rest | FillRule::AllOrNone => false,
        };
        if ends || search.stop || order.deals >= u32::from(bid.deals_max) {
            order.state = OrderState::Cancelled;
            outcome.events.push(Event::Cancelled { order: id, open: order.open });
            self.close(order, outcome);
        }
    }

    /// Walks the asks of the class from the cheapest. Reads only.
    pub(crate) fn search(&self, order: &Order, bid: &Bid) -> Search {
        let mut search = Search::default();
        let Some(shelf) = self.table.shelves.get(&bid.class) else { return search };
        let mut need = order.open;
        let deals_left = usize::from(bid.deals_max).saturating_sub(order.deals as usize);
        let dearest = (bid.price_max.0, u16::MAX, u64::MAX);
        for (visits, (_, id)) in (0u32..).zip(shelf.asks.range(..=dearest)) {
            if need.0 == 0 || search.fills.len() == deals_left {
                break;
            }
            if visits == self.rules.visits_max {
                search.deferred = true;
                break;
            }
            let Some(ask) = self.table.orders.get(id) else { continue };
            if !suits(bid, ask) {
                continue;
            }
            if ask.owner == order.owner {
                match bid.self_match {
                    SelfMatch::Skip => continue,
                    SelfMatch::CancelResting => {
                        search.cancel.push(*id);
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
                search.fills.push(Fill { ask: *id, units });
                need.0 -= units.0;
            }
        }
        let whole = matches!(bid.fill_rule, FillRule::FillOrKill | FillRule::AllOrNone);
        if whole && need.0 > 0 {
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
