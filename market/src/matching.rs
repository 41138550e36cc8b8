//! Matching a block's bids, and opening the deals.

use gongsuan_types::order::{Bid, FillRule};
use gongsuan_types::{Address, Amount, DealId, OrderId, Units};
use serde::{Deserialize, Serialize};

use crate::attributes::AskKey;
use crate::book::Why;
use crate::deal::{Deal, Terms};
use crate::search::{Fill, Search};
use crate::{Event, HoldId, Market, Order, OrderState, Outcome, Reason, Settlement};

/// A bid to be searched for at the end of the next block, whatever comes in by then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Awake {
    /// Where the search begins: the halves of an [`AskKey`].
    from: (u64, u64),
    /// The work bound was reached, so the next block is wanted.
    pub(crate) deferred: bool,
}

impl Awake {
    pub(crate) fn start(self) -> AskKey {
        AskKey::from_halves(self.from)
    }
}

/// What one ask with `open` units can give a bid that still needs `need` units: a multiple of the lot, not below either side's smallest
/// fill, except that the rest that completes the bid may be below the bid's own.
pub(crate) fn fill_units(bid: &Bid, ask: &Order, open: Units, need: Units) -> Units {
    let Some(offer) = ask.ask() else { return Units(0) };
    let room = open.0.min(need.0);
    let units = room - room % bid.lot.0;
    let complete = units == need.0;
    if units == 0 || units < offer.fill_min.0 || (units < bid.fill_min.0 && !complete) {
        return Units(0);
    }
    Units(units)
}

impl Market {
    /// Matches the open bids that can match: class by class, in each the best limit first.
    pub(crate) fn match_all(&mut self, fresh: &[OrderId], outcome: &mut Outcome) {
        for (id, search) in self.search_all(fresh) {
            self.carry_out(id, &search, outcome);
        }
    }

    /// Changes the books as the search for a bid found.
    fn carry_out(&mut self, id: OrderId, search: &Search, outcome: &mut Outcome) {
        for ask in &search.cancel {
            let own = self.table.orders.get(ask).expect("found in the book").clone();
            self.end(own, Why::SelfMatch, outcome);
        }
        for fill in &search.fills {
            self.open_deal(id, *fill, outcome);
        }
        if search.deferred.is_some() {
            outcome.events.push(Event::Deferred { order: id });
        }
        let mut order = self.table.orders.get(&id).expect("a bid that was searched for").clone();
        let is_paid = self.charge(&mut order, search.visited, outcome);
        if order.open.0 == 0 {
            order.state = OrderState::Filled;
            self.close(order, outcome);
            return;
        }
        let bid = order.bid().expect("only bids search");
        let (is_whole, rule) = (is_whole(bid), bid.fill_rule);
        let has_deals = order.deals < u32::from(bid.deals_max);
        let why = match rule {
            _ if search.stop => Some(Why::SelfMatch),
            _ if !has_deals => Some(Why::Counterparties),
            _ if !is_paid => Some(Why::SearchBudget),
            FillRule::ImmediateOrCancel if search.deferred.is_none() => Some(Why::Immediate),
            FillRule::FillOrKill if search.deferred.is_none() => Some(Why::NotWhole),
            FillRule::Rest | FillRule::AllOrNone => None,
            // The search goes on in the next block.
            FillRule::ImmediateOrCancel | FillRule::FillOrKill => None,
        };
        if let Some(why) = why {
            self.end(order, why, outcome);
            return;
        }
        self.table.put_order(order);
        // What is needed has changed, or is needed at once: the next search begins at the front.
        let from = search.deferred.filter(|_| search.fills.is_empty() && !is_whole);
        if search.deferred.is_some() || !search.fills.is_empty() {
            let from = from.unwrap_or(AskKey::FIRST).halves();
            self.awake.insert(id, Awake { from, deferred: search.deferred.is_some() });
        }
    }

    /// What a bid holds beyond what its fills may need: its budget for searches.
    pub(crate) fn spare(&self, order: &Order) -> Option<Amount> {
        let needed = self.needed(order)?;
        Some(order.held.saturating_sub(needed))
    }

    /// Takes the fee for a search that visited more nodes than are free out of what the bid holds beyond what its fills may need. Answers
    /// whether that was enough.
    fn charge(&self, order: &mut Order, visited: u32, outcome: &mut Outcome) -> bool {
        let nodes = u128::from(visited.saturating_sub(self.rules.visits_free));
        let due = Amount::new(nodes * u128::from(self.rules.visit_price_micro));
        if due.is_zero() {
            return true;
        }
        let fee = due.min(self.spare(order).expect("only bids search"));
        if !fee.is_zero() {
            order.held = order.held.checked_sub(fee).expect("a part of it");
            let (hold, reason) = (HoldId::Order(order.id), Reason::Fee);
            outcome.settlements.push(Settlement::Post {
                hold,
                to: Address::TREASURY,
                amount: fee,
                reason,
            });
        }
        outcome.events.push(Event::Searched { order: order.id, visited, fee });
        fee == due
    }

    fn open_deal(&mut self, bid_id: OrderId, fill: Fill, outcome: &mut Outcome) {
        let mut ask = self.table.orders.get(&fill.ask).expect("found in the book").clone();
        let mut order = self.table.orders.get(&bid_id).expect("a bid being matched").clone();
        let bid = order.bid().expect("a bid").clone();
        let price = ask.price();
        let (check, attempts) = (bid.work.check(), bid.work.pace().attempts_max);
        let cost = price.cost(fill.units);
        // Whoever takes over may ask as much as the bid's limit.
        let ceiling = if attempts > 1 { bid.price_max } else { price };
        let audit_budget = self.audit_budget(&bid, ceiling).expect("smaller than at the limit");
        let bond = self.bond(&bid, ceiling.cost(fill.units)).expect("smaller than at the limit");
        let parts = [ceiling.cost(fill.units), bond, audit_budget];
        let escrow = Amount::checked_sum(parts).expect("smaller than what the bid holds");
        let deposit = cost.basis_points(bid.work.deposit_basis_points());
        let deposit = deposit.expect("smaller than what the ask holds");
        self.table.next_deal += 1;
        let id = DealId(self.table.next_deal);
        let count = bid.segments_of(fill.units);
        let group =
            (check.copies() > 1).then(|| (DealId(id.0 - u64::from(order.deals)), check.copies()));
        let deal = Deal {
            ask: ask.id,
            bid: order.id,
            number: u16::try_from(order.deals).expect("bounded by the bid"),
            provider: ask.owner,
            renter: order.owner,
            escrow,
            audit_budget,
            deposit,
            bond,
            taken: fill.units,
            group,
            vetted: ask.vetted && order.vetted,
            ..Deal::new(
                id,
                Terms::of(&bid, (fill.units, price), order.segments_done),
                (bid.class, self.now.time),
            )
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
        order.deals += 1;
        // The copies of a quorum are over the same segments.
        if order.deals.is_multiple_of(u32::from(check.copies())) {
            order.open.0 -= fill.units.0;
            order.segments_done += count;
        }
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

/// Whether it matters to a bid that all of it matches at once.
pub(crate) fn is_whole(bid: &Bid) -> bool {
    copies(bid) > 1 || matches!(bid.fill_rule, FillRule::FillOrKill | FillRule::AllOrNone)
}

/// How many providers do the same work for a bid.
pub(crate) fn copies(bid: &Bid) -> usize {
    usize::from(bid.work.check().copies())
}
