//! Finding the next provider for a deal whose provider failed.
//!
//! A deal that looks for one is older than any bid of the block, so it is served before them, deals in the order of their numbers. It looks
//! once through all asks there are (within the same bound of work as a bid, and goes on in the next block), and after that only at asks that come
//! in. One ask takes all that is left, or none does.

use std::collections::BTreeSet;

use gongsuan_types::{Amount, DealId, OrderId, Units};

use super::{Deal, DealState, Step};
use crate::attributes::{AskKey, Step as Found};
use crate::table::ask_key;
use crate::{Event, HoldId, Market, Order, OrderState, Outcome, Settlement};

/// The least work bound: as for bids.
const VISITS_LEAST: u32 = 64;

impl Market {
    /// Looks for asks for all deals that may find one now.
    pub(crate) fn rematch_all(&mut self, fresh: &[OrderId], outcome: &mut Outcome) {
        let mut ready: BTreeSet<DealId> = self.table.seeking.clone();
        for order in fresh.iter().filter_map(|id| self.table.orders.get(id)) {
            let (Some(machine), Some(index)) =
                (order.machine(), self.table.seekers.get(&order.class()))
            else {
                continue;
            };
            let suited = index.suited(machine, order.reputation, order.price());
            ready.extend(suited.into_iter().map(|id| DealId(id.0)));
        }
        for id in ready {
            if let Some(deal) = self.table.deals.get(&id).cloned() {
                self.seek(deal, fresh, outcome);
            }
        }
    }

    fn seek(&mut self, mut deal: Deal, fresh: &[OrderId], outcome: &mut Outcome) {
        let DealState::Rematch { why, fine, until, from } = deal.state else { return };
        let units = Units(u64::from(deal.left()) * deal.terms.lot.0);
        let suits = |ask: &Order| {
            let owner = self.owner_of(&ask.owner);
            let has_tried = deal.dropped().any(|(tried, _)| self.owner_of(&tried) == owner);
            let is_new = owner != self.owner_of(&deal.renter) && !has_tried;
            let is_enough = ask.open >= units;
            is_new && is_enough && ask.ask().is_some_and(|offer| offer.fill_min <= units)
        };
        let Some(requirements) =
            self.table.orders.get(&deal.bid).and_then(Order::bid).map(|bid| bid.requirements)
        else {
            return;
        };
        let limit = deal.terms.price_max;
        let mut found: Option<Order> = None;
        let mut goes_on = None;
        if let (Some(start), Some(shelf)) = (from, self.table.shelves.get(&deal.class)) {
            let mut work = self.rules.visits_max.max(VISITS_LEAST);
            let mut key = AskKey::from_halves(start);
            loop {
                match shelf.asks.next(&requirements, key, limit, &mut work) {
                    Found::Found(at, id) => {
                        key = at.next();
                        found = self.table.orders.get(&id).filter(|ask| suits(ask)).cloned();
                        if found.is_some() {
                            break;
                        }
                    }
                    Found::OutOfWork(at) => {
                        goes_on = Some(at.halves());
                        break;
                    }
                    Found::Nothing => break,
                }
            }
        }
        // Of what came in, the best that suits: it may lie before the place where the search stopped.
        let orders = fresh.iter().filter_map(|id| self.table.orders.get(id));
        let new = orders
            .filter(|ask| ask.state == OrderState::Resting && ask.class() == deal.class)
            .filter(|ask| ask.price() <= limit && suits(ask))
            .filter(|ask| ask.machine().is_some_and(|m| requirements.accept(m, ask.reputation)))
            .min_by_key(|ask| ask_key(ask));
        if let Some(ask) = found.iter().chain(new).min_by_key(|ask| ask_key(ask)).cloned() {
            self.take_over(deal, ask, units, outcome);
        } else if from != goes_on {
            deal.state = DealState::Rematch { why, fine, until, from: goes_on };
            self.table.put_deal(deal);
        }
    }

    fn take_over(&mut self, mut deal: Deal, mut ask: Order, units: Units, outcome: &mut Outcome) {
        let price = ask.price();
        let deposit = price.cost(units).basis_points(deal.terms.deposit_basis_points);
        let deposit = deposit.expect("smaller than what the ask holds");
        if !deposit.is_zero() {
            ask.held = ask.held.checked_sub(deposit).expect("an ask holds what its fills need");
            let (source, target) = (HoldId::Order(ask.id), HoldId::Deposit(deal.id));
            outcome.settlements.push(Settlement::Move { source, target, amount: deposit });
        }
        ask.open.0 -= units.0;
        ask.deals += 1;
        if ask.open.0 == 0 {
            ask.state = OrderState::Filled;
        }
        (deal.ask, deal.provider, deal.terms.price) = (ask.id, ask.owner, price);
        (deal.deposit, deal.taken, deal.matched) = (deposit, units, self.now.time);
        deal.commits = 0;
        (deal.paid, deal.fees) = (Amount::ZERO, Amount::ZERO);
        let renter = self.table.orders.get(&deal.bid);
        deal.vetted = ask.vetted && renter.is_some_and(|order| order.vetted);
        outcome.events.push(Event::Rematched {
            deal: deal.id,
            ask: ask.id,
            provider: ask.owner,
            price,
            first: deal.batch_first(),
            count: deal.left(),
        });
        self.table.put_order(ask);
        let ack_by = self.now.time.plus(deal.terms.ack_within);
        self.enter(deal, Step::Rematched, DealState::Matched { ack_by }, outcome);
    }
}
