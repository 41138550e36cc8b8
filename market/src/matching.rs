//! Matching a block's bids, and opening the deals.

use gongsuan_types::order::{Bid, FillRule, Work};
use gongsuan_types::{Address, Amount, DealId, DurationMs, OrderId, Units};
use serde::{Deserialize, Serialize};

use crate::attributes::AskKey;
use crate::deal::{Deal, DealState, Stop, Terms};
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
        let ends = match rule {
            FillRule::ImmediateOrCancel | FillRule::FillOrKill => search.deferred.is_none(),
            FillRule::Rest | FillRule::AllOrNone => false,
        };
        if ends || search.stop || !has_deals || !is_paid {
            order.state = OrderState::Cancelled;
            outcome.events.push(Event::Cancelled { order: id, open: order.open });
            self.close(order, outcome);
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

    /// Takes the fee for a search that visited more nodes than are free out of what the bid holds beyond what its fills may need. Answers
    /// whether that was enough.
    fn charge(&self, order: &mut Order, visited: u32, outcome: &mut Outcome) -> bool {
        let nodes = u128::from(visited.saturating_sub(self.rules.visits_free));
        let due = Amount::new(nodes * u128::from(self.rules.visit_price_micro));
        if due.is_zero() {
            return true;
        }
        let needed = self.needed(order).expect("less than when it was placed");
        let spare = order.held.checked_sub(needed).expect("a bid holds what its fills need");
        let fee = due.min(spare);
        if !fee.is_zero() {
            order.held = needed
                .checked_add(spare.checked_sub(fee).unwrap_or_default())
                .expect("less than before");
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
        let Work::Job(job) = &bid.work;
        let price = ask.price();
        let (check, pace) = (job.check, job.pace);
        let cost = price.cost(fill.units);
        // Whoever takes over may ask as much as the bid's limit.
        let ceiling = if pace.attempts_max > 1 { bid.price_max } else { price };
        let audit_budget = self.audit_budget(&bid, ceiling).expect("smaller than at the limit");
        let bond = self.bond(ceiling.cost(fill.units)).expect("smaller than at the limit price");
        let parts = [ceiling.cost(fill.units), bond, audit_budget];
        let escrow = Amount::checked_sum(parts).expect("smaller than what the bid holds");
        let deposit =
            cost.basis_points(job.deposit_basis_points).expect("smaller than what the ask holds");
        self.table.next_deal += 1;
        let id = DealId(self.table.next_deal);
        let count = bid.segments_of(fill.units);
        let group =
            (check.copies() > 1).then(|| (DealId(id.0 - u64::from(order.deals)), check.copies()));
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
                lot: bid.lot,
                price_max: bid.price_max,
                deposit_basis_points: job.deposit_basis_points,
                check,
                heartbeat_within: pace.heartbeat_within,
                batches_max: pace.batches_max,
                attempts_max: pace.attempts_max,
            },
            escrow,
            audit_budget,
            audited: Amount::ZERO,
            deposit,
            state: DealState::Matched { ack_by: self.now.time.plus(job.ack_within) },
            matched: self.now.time,
            bond,
            taken: fill.units,
            accepted: 0,
            batches: Vec::new(),
            commits: 0,
            tried: Vec::new(),
            cases: 0,
            stop: Stop::No,
            secret: None,
            time_left: DurationMs(0),
            group,
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
    let Work::Job(job) = &bid.work;
    usize::from(job.check.copies())
}
