//! The obvious matcher: scan everything, every time. The oracle that the real books are tested against.

use gongsuan_types::order::{FillRule, SelfMatch};
use gongsuan_types::{Hash, OrderId, Price, Units};

use crate::{Order, OrderState};

/// One fill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fill {
    /// The ask.
    pub ask: OrderId,
    /// The bid.
    pub bid: OrderId,
    /// At this price.
    pub price: Price,
    /// How much.
    pub units: Units,
}

/// The fills of one block over all live orders, expired and cancelled ones already gone. `tie` breaks ties between bids that
/// arrived at one height with one limit. There is no bound on the work.
#[must_use]
pub fn matches(mut orders: Vec<Order>, tie: impl Fn(OrderId) -> Hash) -> Vec<Fill> {
    let mut fills = Vec::new();
    let mut waiting: Vec<OrderId> = orders
        .iter()
        .filter(|order| order.bid().is_some() && order.state == OrderState::Resting)
        .map(|order| order.id)
        .collect();
    while let Some(next) = waiting.iter().copied().min_by_key(|id| {
        let order = find(&orders, *id);
        (order.class(), u64::MAX - order.price().0, order.arrived, tie(*id))
    }) {
        waiting.retain(|id| *id != next);
        one_bid(&mut orders, next, &mut fills);
    }
    fills
}

fn find(orders: &[Order], id: OrderId) -> &Order {
    orders.iter().find(|order| order.id == id).expect("an order of the list")
}

fn one_bid(orders: &mut [Order], id: OrderId, fills: &mut Vec<Fill>) {
    let order = find(orders, id).clone();
    let bid = order.bid().expect("a bid").clone();
    let (mut need, mut made) = (order.open.0, Vec::new());
    let copies = crate::matching::copies(&bid);
    let deals_max = if copies > 1 { copies } else { usize::from(bid.deals_max) };
    let mut owners = Vec::new();
    let mut passed: Vec<OrderId> = Vec::new();
    let mut cancelled: Vec<OrderId> = Vec::new();
    while need > 0 && made.len() + (order.deals as usize) < deals_max {
        let best = orders
            .iter()
            .filter(|ask| ask.state == OrderState::Resting && !passed.contains(&ask.id))
            .filter(|ask| ask.class() == bid.class && ask.price() <= bid.price_max)
            .filter(|ask| ask.machine().is_some_and(|m| bid.requirements.accept(m, ask.reputation)))
            .min_by_key(|ask| (ask.price(), std::cmp::Reverse(ask.reputation), ask.sequence));
        let Some(ask) = best else { break };
        passed.push(ask.id);
        if ask.owner == order.owner {
            match bid.self_match {
                SelfMatch::Skip => continue,
                SelfMatch::CancelResting => {
                    cancelled.push(ask.id);
                    continue;
                }
                SelfMatch::CancelIncoming => break,
            }
        }
        let offer = ask.ask().expect("an ask");
        let mut units = 0;
        while units + bid.lot.0 <= ask.open.0.min(need) {
            units += bid.lot.0;
        }
        let too_small = units < offer.fill_min.0 || (units < bid.fill_min.0 && units != need);
        if copies > 1 {
            if units == need && !too_small && !owners.contains(&ask.owner) {
                owners.push(ask.owner);
                made.push(Fill { ask: ask.id, bid: id, price: ask.price(), units: Units(units) });
            }
            continue;
        }
        if units > 0 && !too_small {
            need -= units;
            made.push(Fill { ask: ask.id, bid: id, price: ask.price(), units: Units(units) });
        }
    }
    let is_partial = if copies > 1 { made.len() < copies } else { need > 0 };
    let is_whole = matches!(bid.fill_rule, FillRule::FillOrKill | FillRule::AllOrNone);
    if is_partial && (copies > 1 || is_whole) {
        made.clear();
    }
    for order in orders.iter_mut() {
        if cancelled.contains(&order.id) {
            order.state = OrderState::Cancelled;
        }
        if let Some(fill) = made.iter().find(|fill| fill.ask == order.id) {
            order.open.0 -= fill.units.0;
            if order.open.0 == 0 {
                order.state = OrderState::Filled;
            }
        }
    }
    fills.extend(made);
}
