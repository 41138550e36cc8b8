//! Batch mode: the pairing is done anew from the very beginning for every order that sits out.

use std::cmp::Reverse;

use super::{Entry, NaiveBook, ends, meets, only_takes};
use crate::book::{
    Event, FillRule, Kind, Lots, Mode, NewOrder, OrderId, Owner, Pricing, Refused, Resting,
    SelfMatch, Side, Sink, Tick, UNDONE_MAX, Waiting, Why,
};

/// What happens in a block.
#[derive(Clone, Copy)]
enum Deed {
    Fill { bid: OrderId, ask: OrderId, quantity: u32 },
    End(OrderId, Why),
}

/// Prices and open quantities of one side.
type Sizes = Vec<(u32, u64)>;

/// One attempt to pair the sides.
struct Pairing {
    deeds: Vec<Deed>,
    /// What traded and what is left, of the orders that took part.
    bids: Sizes,
    asks: Sizes,
    last: Option<(Tick, Tick)>,
}

/// An order of a side while the sides are paired.
struct Part {
    order: Resting,
    kill: bool,
    left: u32,
    others: u32,
}

impl Part {
    fn is_partial(&self) -> bool {
        (self.order.all_or_none || self.kill) && self.left < self.order.quantity.0
    }

    fn is_short(&self, quantity: u32) -> bool {
        quantity < self.order.fill_min.0 && quantity != self.left
    }
}

impl NaiveBook {
    /// As [`Book::queue`](crate::book::Book::queue), under the next number.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn queue_up(
        &mut self,
        order: &NewOrder,
        tie: u64,
        sink: &mut impl Sink,
    ) -> Result<OrderId, Refused> {
        if self.mode == Mode::Continuous {
            return Err(Refused::WrongMode);
        }
        order.check(self.now)?;
        let id = OrderId(self.next_id);
        self.next_id += 1;
        let price = if let Kind::Limit(price) = order.kind { price } else { ends(order.side) };
        self.waiting.push(Waiting { tie, id, order: *order, withdrawn: false });
        let NewOrder { side, owner, quantity, .. } = *order;
        sink.event(Event::Accepted { id, side, owner, price, quantity });
        Ok(id)
    }

    pub(super) fn wait_again(&mut self, order: &Resting, fill_rule: FillRule) {
        let again = NewOrder {
            kind: Kind::Limit(order.price),
            fill_rule,
            self_match: order.self_match,
            post_only: order.post_only,
            fill_min: order.fill_min,
            counterparties_max: order.counterparties_left.unwrap_or(0),
            expires_at: order.expires_at,
            ..NewOrder::limit(order.side, order.owner, order.price, order.quantity)
        };
        let (tie, id) = (order.id.0, order.id);
        self.waiting.push(Waiting { tie, id, order: again, withdrawn: false });
    }

    /// `None`: the order does not wait.
    pub(super) fn amend_waiting(
        &mut self,
        id: OrderId,
        owner: Owner,
        (quantity, price): (Lots, Tick),
        sink: &mut impl Sink,
    ) -> Option<Result<(), Refused>> {
        let now = self.now;
        let waiting = self.waiting.iter_mut().find(|other| other.id == id && !other.withdrawn)?;
        if waiting.order.owner != owner {
            return Some(Err(Refused::NotYours(id)));
        }
        let order = NewOrder { quantity, kind: Kind::Limit(price), ..waiting.order };
        let checked = order.check(now);
        if checked.is_ok() {
            waiting.order = order;
            sink.event(Event::Amended { id, price, quantity, kept_place: true });
        }
        Some(checked)
    }

    /// As [`Book::clear`](crate::book::Book::clear).
    ///
    /// # Errors
    /// [`Refused::WrongMode`].
    ///
    /// # Panics
    /// Never: whenever there are fills there is a price.
    pub fn clear(&mut self, sink: &mut impl Sink) -> Result<(), Refused> {
        let Mode::Batch(pricing) = self.mode else { return Err(Refused::WrongMode) };
        let rested: Vec<OrderId> = self.entries.iter().map(|entry| entry.order.id).collect();
        self.admit(sink);
        let pairing = self.pair_all();
        let one = self.uniform(&pairing);
        let (mut price, mut volume) = (None, 0u64);
        for deed in &pairing.deeds {
            match *deed {
                Deed::End(id, why) => self.remove(id, why, sink),
                Deed::Fill { bid, ask, quantity } => {
                    let is_old = |id: OrderId| rested.contains(&id);
                    let quoted = self.quoted(bid, ask, is_old(bid) && !is_old(ask));
                    let here = if pricing == Pricing::Uniform { one } else { quoted };
                    let here = here.expect("there are fills");
                    (price, self.last) = (Some(here), Some(here));
                    volume += u64::from(quantity);
                    for id in [bid, ask] {
                        let order = &mut self.find(id).order;
                        order.quantity.0 -= quantity;
                        if let Some(left) = &mut order.counterparties_left {
                            *left -= 1;
                        }
                    }
                    let maker_left = self.find(ask).order.quantity;
                    let quantity = Lots(quantity);
                    let (taker, maker, price) = (bid, ask, here);
                    sink.event(Event::Filled { taker, maker, price, quantity, maker_left });
                    self.entries.retain(|entry| entry.order.quantity.0 > 0);
                }
            }
        }
        for side in [Side::Bid, Side::Ask] {
            for Entry { order, once, kill, .. } in self.queue(side) {
                let Resting { id, price, quantity, .. } = order;
                if rested.contains(&id) {
                    continue;
                }
                if kill {
                    self.remove(id, Why::NotWhole, sink);
                } else if once {
                    self.remove(id, Why::Immediate, sink);
                } else {
                    sink.event(Event::Rested { id, price, quantity });
                }
            }
        }
        sink.event(Event::Cleared { price, volume });
        Ok(())
    }

    /// The waiting orders enter, by rank.
    fn admit(&mut self, sink: &mut impl Sink) {
        let mut fresh = std::mem::take(&mut self.waiting);
        fresh.retain(|waiting| !waiting.withdrawn);
        let best = |side| self.queue(side).first().map(|entry| entry.order.price);
        let (best_bid, best_ask) = (best(Side::Bid), best(Side::Ask));
        let mut entering = Vec::new();
        for waiting in &fresh {
            let Waiting { id, order, .. } = *waiting;
            let side = order.side;
            let other = if side == Side::Bid { best_ask } else { best_bid };
            let limit = match order.kind {
                Kind::Limit(price) => Some(price),
                Kind::Market => Some(ends(side)),
                Kind::MarketLimit => other,
            };
            let takes = |price| other.is_some_and(|other| meets(side, price, other));
            let why = if order.expires_at.is_some_and(|at| at <= self.now) {
                Why::Expired
            } else if order.post_only && limit.is_some_and(takes) {
                Why::WouldTake
            } else if let Some(price) = limit {
                entering.push((*waiting, price));
                continue;
            } else {
                Why::Immediate
            };
            sink.event(Event::Cancelled { id, quantity: order.quantity, why });
        }
        entering.sort_by_key(|(waiting, _)| (waiting.tie, waiting.id));
        for (Waiting { id, order, .. }, price) in entering {
            let resting = Resting {
                id,
                side: order.side,
                owner: order.owner,
                price,
                quantity: order.quantity,
                self_match: order.self_match,
                post_only: order.post_only,
                all_or_none: order.fill_rule == FillRule::AllOrNone,
                fill_min: if order.fill_min.0 > 1 { order.fill_min } else { Lots(0) },
                counterparties_left: Some(order.counterparties_max).filter(|max| *max > 0),
                expires_at: order.expires_at,
            };
            let kill = order.fill_rule == FillRule::FillOrKill;
            self.rest(resting, only_takes(&order), kill);
        }
    }

    /// Tries again without the orders that did not get everything.
    fn pair_all(&self) -> Pairing {
        let mut out = Vec::new();
        loop {
            match self.pair(&out) {
                Ok(pairing) => return pairing,
                Err(id) => out.push(id),
            }
        }
    }

    /// The orders of a side that take part, best first.
    fn parts(&self, side: Side, out: &[OrderId]) -> Vec<Part> {
        let whole_ones = out.len() <= UNDONE_MAX;
        let takes_part = |entry: &Entry| {
            let whole = entry.order.all_or_none || entry.kill;
            !whole || (whole_ones && !out.contains(&entry.order.id))
        };
        let part = |entry: Entry| Part {
            left: entry.order.quantity.0,
            others: entry.order.counterparties_left.unwrap_or(u32::MAX),
            kill: entry.kill,
            order: entry.order,
        };
        self.queue(side).into_iter().filter(takes_part).map(part).collect()
    }

    /// Pairs both sides. An error names an order that began and did not get everything.
    fn pair(&self, out: &[OrderId]) -> Result<Pairing, OrderId> {
        let (mut bids, mut asks) = (self.parts(Side::Bid, out), self.parts(Side::Ask, out));
        let mut found =
            Pairing { deeds: Vec::new(), bids: Vec::new(), asks: Vec::new(), last: None };
        let leave = |side: &mut Vec<Part>, why: Option<Why>, deeds: &mut Vec<Deed>| {
            let part = side.remove(0);
            deeds.extend(why.map(|why| Deed::End(part.order.id, why)));
            if part.is_partial() { Err(part.order.id) } else { Ok(()) }
        };
        loop {
            let deeds = &mut found.deeds;
            if bids.first().is_some_and(|bid| self.is_over(&bid.order)) {
                leave(&mut bids, Some(Why::Expired), deeds)?;
                continue;
            }
            if asks.first().is_some_and(|ask| self.is_over(&ask.order)) {
                leave(&mut asks, Some(Why::Expired), deeds)?;
                continue;
            }
            let (Some(bid), Some(ask)) = (bids.first_mut(), asks.first_mut()) else { break };
            if bid.order.price < ask.order.price {
                break;
            }
            if bid.order.owner == ask.order.owner {
                let bid_is_newer = bid.order.id > ask.order.id;
                let newer = if bid_is_newer { &bid.order } else { &ask.order };
                let (bid_leaves, why) = match newer.self_match {
                    SelfMatch::Skip => (bid_is_newer, None),
                    SelfMatch::CancelIncoming => (bid_is_newer, Some(Why::SelfMatch)),
                    SelfMatch::CancelResting => (!bid_is_newer, Some(Why::SelfMatch)),
                };
                leave(if bid_leaves { &mut bids } else { &mut asks }, why, deeds)?;
                continue;
            }
            let quantity = bid.left.min(ask.left);
            let (bid_short, ask_short) = (bid.is_short(quantity), ask.is_short(quantity));
            let no_price = bid.order.price == ends(Side::Bid)
                && ask.order.price == ends(Side::Ask)
                && self.last.is_none();
            if bid_short || ask_short || no_price {
                let any_short = bid_short || ask_short;
                let why = (!any_short).then_some(Why::Immediate);
                if bid_short || !any_short {
                    leave(&mut bids, why, deeds)?;
                }
                if ask_short || !any_short {
                    leave(&mut asks, why, deeds)?;
                }
                continue;
            }
            deeds.push(Deed::Fill { bid: bid.order.id, ask: ask.order.id, quantity });
            found.last = Some((bid.order.price, ask.order.price));
            found.bids.push((bid.order.price.0, u64::from(quantity)));
            found.asks.push((ask.order.price.0, u64::from(quantity)));
            for part in [bid, ask] {
                part.left -= quantity;
                part.others -= 1;
            }
            for side in [&mut bids, &mut asks] {
                if side[0].left == 0 {
                    side.remove(0);
                } else if side[0].others == 0 {
                    leave(side, Some(Why::Counterparties), deeds)?;
                }
            }
        }
        if let Some(part) = bids.first().into_iter().chain(asks.first()).find(|p| p.is_partial()) {
            return Err(part.order.id);
        }
        let left = |parts: Vec<Part>| -> Sizes {
            let there = parts.into_iter().filter(|part| !self.is_over(&part.order));
            there.map(|part| (part.order.price.0, u64::from(part.left))).collect()
        };
        found.bids.extend(left(bids));
        found.asks.extend(left(asks));
        Ok(found)
    }

    fn quoted(&mut self, bid: OrderId, ask: OrderId, bid_rested: bool) -> Option<Tick> {
        let (bid, ask) = (self.find(bid).order.price, self.find(ask).order.price);
        match (bid == ends(Side::Bid), ask == ends(Side::Ask)) {
            (true, true) => self.last,
            (false, true) => Some(bid),
            (true, false) => Some(ask),
            (false, false) => Some(if bid_rested { bid } else { ask }),
        }
    }

    /// Tries every limit and its neighbours.
    fn uniform(&self, pairing: &Pairing) -> Option<Tick> {
        let (last_bid, last_ask) = pairing.last?;
        let (bids, asks) = (&pairing.bids, &pairing.asks);
        let at = |price: u32| {
            let demand: u64 = bids.iter().filter(|bid| bid.0 >= price).map(|bid| bid.1).sum();
            let supply: u64 = asks.iter().filter(|ask| ask.0 <= price).map(|ask| ask.1).sum();
            (Reverse(demand.min(supply)), demand.abs_diff(supply))
        };
        let scale = 1..=u32::MAX - 1;
        let around = |limit: u32| [limit.saturating_sub(1), limit, limit.saturating_add(1)];
        let tried: Vec<u32> = bids
            .iter()
            .chain(asks)
            .flat_map(|order| around(order.0))
            .chain([1, u32::MAX - 1])
            .filter(|price| scale.contains(price))
            .collect();
        let best = tried.iter().map(|price| at(*price)).min()?;
        let low = *tried.iter().filter(|price| at(**price) == best).min()?;
        let high = *tried.iter().filter(|price| at(**price) == best).max()?;
        // Between two limits nothing changes; where the best prices are not neighbours, they are the ends of such a gap or tie at both.
        Some(Tick(match (last_ask == ends(Side::Ask), last_bid == ends(Side::Bid)) {
            (false, false) => low + (high - low) / 2,
            (false, true) => low,
            (true, false) => high,
            (true, true) => self.last?.0.clamp(low, high),
        }))
    }
}
