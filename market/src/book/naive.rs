//! The rules of the standard book in obvious code: lists, scans and sorts. The oracle that [`Book`](super::Book) is tested against.

use std::cmp::Reverse;

use gongsuan_types::TimeMs;

use super::{
    Event, FillRule, Kind, Lots, Mode, NewOrder, OrderId, Owner, Pricing, Refused, Resting,
    SelfMatch, Side, Sink, Tick, Waiting, Why,
};

/// An order in the list.
#[derive(Clone, Debug)]
struct Entry {
    order: Resting,
    /// Gone at the end of the batch in which it came.
    once: bool,
    /// Time priority.
    rank: u64,
}

/// The naive book. Its commands are those of [`Book`](super::Book).
#[derive(Clone, Debug)]
pub struct NaiveBook {
    mode: Mode,
    now: TimeMs,
    next_id: u64,
    next_rank: u64,
    block_first: u64,
    last: Option<Tick>,
    entries: Vec<Entry>,
    waiting: Vec<Waiting>,
}

/// What ends a taker's way.
struct Taken {
    left: u32,
    others_left: Option<u32>,
    met_itself: bool,
    fills: Vec<(OrderId, u32)>,
    events: Vec<Event>,
    gone: Vec<OrderId>,
}

fn ends(side: Side) -> Tick {
    match side {
        Side::Bid => Tick(u32::MAX),
        Side::Ask => Tick(0),
    }
}

fn meets(side: Side, limit: Tick, price: Tick) -> bool {
    match side {
        Side::Bid => price <= limit,
        Side::Ask => price >= limit,
    }
}

fn only_takes(order: &NewOrder) -> bool {
    order.kind == Kind::Market
        || order.fill_rule == FillRule::ImmediateOrCancel
        || order.fill_rule == FillRule::FillOrKill
}

impl NaiveBook {
    /// An empty book.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            now: TimeMs(0),
            next_id: 1,
            next_rank: 1,
            block_first: 1,
            last: None,
            entries: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// The open orders of a side in the order in which they are taken.
    #[must_use]
    pub fn orders(&self, side: Side) -> Vec<Resting> {
        self.queue(side).into_iter().map(|entry| entry.order).collect()
    }

    fn queue(&self, side: Side) -> Vec<Entry> {
        let mut queue: Vec<Entry> =
            self.entries.iter().filter(|entry| entry.order.side == side).cloned().collect();
        match side {
            Side::Bid => queue.sort_by_key(|entry| (Reverse(entry.order.price), entry.rank)),
            Side::Ask => queue.sort_by_key(|entry| (entry.order.price, entry.rank)),
        }
        queue
    }

    fn other(side: Side) -> Side {
        match side {
            Side::Bid => Side::Ask,
            Side::Ask => Side::Bid,
        }
    }

    fn is_over(&self, order: &Resting) -> bool {
        order.expires_at.is_some_and(|at| at <= self.now)
    }

    fn find(&mut self, id: OrderId) -> &mut Entry {
        self.entries.iter_mut().find(|entry| entry.order.id == id).expect("an order of the list")
    }

    fn remove(&mut self, id: OrderId, why: Why, sink: &mut impl Sink) {
        let at = self.entries.iter().position(|entry| entry.order.id == id);
        let entry = self.entries.remove(at.expect("an order of the list"));
        sink.event(Event::Cancelled { id, quantity: entry.order.quantity, why });
    }

    /// As [`Book::submit`](super::Book::submit).
    ///
    /// # Errors
    /// [`Refused`].
    pub fn submit(&mut self, order: &NewOrder, sink: &mut impl Sink) -> Result<OrderId, Refused> {
        let id = OrderId(self.next_id);
        if self.mode != Mode::Continuous {
            return self.queue_up(order, id.0, sink);
        }
        order.check(self.mode, self.now)?;
        self.next_id += 1;
        let best = self.queue(Self::other(order.side)).first().map(|entry| entry.order.price);
        let limit = match order.kind {
            Kind::Limit(price) => Some(price),
            Kind::Market => Some(ends(order.side)),
            Kind::MarketLimit => best,
        };
        sink.event(Event::Accepted {
            id,
            side: order.side,
            owner: order.owner,
            price: limit.unwrap_or(Tick(0)),
            quantity: order.quantity,
        });
        let Some(price) = limit else {
            sink.event(Event::Cancelled { id, quantity: order.quantity, why: Why::Immediate });
            return Ok(id);
        };
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
        self.enter(resting, order.fill_rule, only_takes(order), sink);
        Ok(id)
    }

    fn enter(&mut self, mut order: Resting, rule: FillRule, once: bool, sink: &mut impl Sink) {
        let queue = self.queue(Self::other(order.side));
        let crosses =
            queue.first().is_some_and(|best| meets(order.side, order.price, best.order.price));
        let id = order.id;
        if crosses && order.post_only {
            sink.event(Event::Cancelled { id, quantity: order.quantity, why: Why::WouldTake });
            return;
        }
        let taken = self.walk(&order, &queue);
        let all = matches!(rule, FillRule::FillOrKill | FillRule::AllOrNone);
        let mut why = None;
        if taken.left == 0 || !all {
            for event in &taken.events {
                sink.event(*event);
            }
            for (maker, quantity) in &taken.fills {
                let maker = self.find(*maker);
                maker.order.quantity.0 -= quantity;
                if let Some(left) = &mut maker.order.counterparties_left {
                    *left -= 1;
                }
                self.last = Some(maker.order.price);
            }
            self.entries.retain(|entry| {
                entry.order.quantity.0 > 0
                    && entry.order.counterparties_left != Some(0)
                    && !taken.gone.contains(&entry.order.id)
            });
            order.quantity.0 = taken.left;
            order.counterparties_left = taken.others_left;
            if taken.met_itself {
                why = Some(Why::SelfMatch);
            } else if taken.others_left == Some(0) {
                why = Some(Why::Counterparties);
            }
        }
        if order.quantity.0 == 0 {
            return;
        }
        if why.is_none() && rule == FillRule::FillOrKill {
            why = Some(Why::NotWhole);
        }
        if why.is_none() && once {
            why = Some(Why::Immediate);
        }
        if let Some(why) = why {
            sink.event(Event::Cancelled { id, quantity: order.quantity, why });
            return;
        }
        sink.event(Event::Rested { id, price: order.price, quantity: order.quantity });
        self.rest(order, once);
    }

    fn rest(&mut self, order: Resting, once: bool) {
        self.entries.push(Entry { order, once, rank: self.next_rank });
        self.next_rank += 1;
    }

    /// What a taker would do.
    fn walk(&self, taker: &Resting, queue: &[Entry]) -> Taken {
        let mut taken = Taken {
            left: taker.quantity.0,
            others_left: taker.counterparties_left,
            met_itself: false,
            fills: Vec::new(),
            events: Vec::new(),
            gone: Vec::new(),
        };
        for Entry { order: maker, .. } in queue {
            let finished = taken.left == 0 || taken.met_itself || taken.others_left == Some(0);
            if finished || !meets(taker.side, taker.price, maker.price) {
                break;
            }
            let (id, mut quantity) = (maker.id, maker.quantity);
            if self.is_over(maker) {
                taken.gone.push(id);
                taken.events.push(Event::Cancelled { id, quantity, why: Why::Expired });
                continue;
            }
            if maker.owner == taker.owner {
                match taker.self_match {
                    SelfMatch::Skip => {}
                    SelfMatch::CancelResting => {
                        taken.gone.push(id);
                        taken.events.push(Event::Cancelled { id, quantity, why: Why::SelfMatch });
                    }
                    SelfMatch::CancelIncoming => taken.met_itself = true,
                }
                continue;
            }
            quantity.0 = quantity.0.min(taken.left);
            let completes_maker = quantity == maker.quantity;
            let completes_taker = quantity.0 == taken.left;
            if (maker.all_or_none || quantity < maker.fill_min) && !completes_maker {
                continue;
            }
            if quantity < taker.fill_min && !completes_taker {
                continue;
            }
            taken.left -= quantity.0;
            if let Some(left) = &mut taken.others_left {
                *left -= 1;
            }
            taken.fills.push((id, quantity.0));
            let maker_left = Lots(maker.quantity.0 - quantity.0);
            let (taker, price) = (taker.id, maker.price);
            taken.events.push(Event::Filled { taker, maker: id, price, quantity, maker_left });
            if maker.counterparties_left == Some(1) && maker_left.0 > 0 {
                let (quantity, why) = (maker_left, Why::Counterparties);
                taken.events.push(Event::Cancelled { id, quantity, why });
            }
        }
        taken
    }

    /// As [`Book::cancel`](super::Book::cancel).
    ///
    /// # Errors
    /// [`Refused`].
    pub fn cancel(
        &mut self,
        id: OrderId,
        owner: Owner,
        sink: &mut impl Sink,
    ) -> Result<(), Refused> {
        if let Some(waiting) =
            self.waiting.iter_mut().find(|waiting| waiting.id == id && !waiting.withdrawn)
        {
            if waiting.order.owner != owner {
                return Err(Refused::NotYours(id));
            }
            waiting.withdrawn = true;
            sink.event(Event::Cancelled { id, quantity: waiting.order.quantity, why: Why::Owner });
            return Ok(());
        }
        let entry = self.entries.iter().find(|entry| entry.order.id == id);
        let entry = entry.ok_or(Refused::NoOrder(id))?;
        if entry.order.owner != owner {
            return Err(Refused::NotYours(id));
        }
        self.remove(id, Why::Owner, sink);
        Ok(())
    }

    /// As [`Book::cancel_all`](super::Book::cancel_all).
    pub fn cancel_all(&mut self, owner: Owner, sink: &mut impl Sink) -> usize {
        (1..self.next_id).filter(|id| self.cancel(OrderId(*id), owner, sink).is_ok()).count()
    }

    /// As [`Book::amend`](super::Book::amend).
    ///
    /// # Errors
    /// [`Refused`].
    pub fn amend(
        &mut self,
        id: OrderId,
        owner: Owner,
        change: (Lots, Tick),
        sink: &mut impl Sink,
    ) -> Result<(), Refused> {
        let (quantity, price) = change;
        let at = self.entries.iter().position(|entry| entry.order.id == id);
        let at = at.ok_or(Refused::NoOrder(id))?;
        let mut entry = self.entries[at].clone();
        if entry.order.owner != owner {
            return Err(Refused::NotYours(id));
        }
        if quantity.0 == 0 {
            return Err(Refused::NoQuantity);
        }
        if price.0 == 0 || price.0 == u32::MAX {
            return Err(Refused::NoPrice);
        }
        if self.is_over(&entry.order) {
            return Err(Refused::PastItsTime);
        }
        let kept_place = price == entry.order.price && quantity <= entry.order.quantity;
        sink.event(Event::Amended { id, price, quantity, kept_place });
        (entry.order.price, entry.order.quantity) = (price, quantity);
        if kept_place {
            self.entries[at] = entry;
            return Ok(());
        }
        self.entries.remove(at);
        let whole = entry.order.all_or_none;
        let rule = if whole { FillRule::AllOrNone } else { FillRule::Rest };
        if self.mode == Mode::Continuous {
            self.enter(entry.order, rule, false, sink);
        } else {
            self.rest(entry.order, entry.once);
        }
        Ok(())
    }

    /// As [`Book::advance`](super::Book::advance).
    pub fn advance(&mut self, now: TimeMs, limit: usize, sink: &mut impl Sink) -> usize {
        self.now = self.now.max(now);
        let mut over: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| self.is_over(&entry.order))
            .map(|entry| (entry.order.expires_at, entry.order.id))
            .collect();
        over.sort_unstable();
        over.truncate(limit);
        for (_, id) in &over {
            self.remove(*id, Why::Expired, sink);
        }
        over.len()
    }

    /// As [`Book::queue`](super::Book::queue), under the next number.
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
        order.check(self.mode, self.now)?;
        let id = OrderId(self.next_id);
        self.next_id += 1;
        let price = if let Kind::Limit(price) = order.kind { price } else { ends(order.side) };
        self.waiting.push(Waiting { tie, id, order: *order, withdrawn: false });
        let Waiting { order, .. } = self.waiting[self.waiting.len() - 1];
        sink.event(Event::Accepted {
            id,
            side: order.side,
            owner: order.owner,
            price,
            quantity: order.quantity,
        });
        Ok(id)
    }

    /// As [`Book::clear`](super::Book::clear).
    ///
    /// # Errors
    /// [`Refused::WrongMode`].
    ///
    /// # Panics
    /// Never: whenever there are fills there is a price.
    pub fn clear(&mut self, sink: &mut impl Sink) -> Result<(), Refused> {
        let Mode::Batch(pricing) = self.mode else { return Err(Refused::WrongMode) };
        let mut fresh = std::mem::take(&mut self.waiting);
        fresh.retain(|waiting| !waiting.withdrawn);
        fresh.sort_by_key(|waiting| (waiting.tie, waiting.id));
        for Waiting { id, order, .. } in &fresh {
            if order.expires_at.is_some_and(|at| at <= self.now) {
                let (quantity, why) = (order.quantity, Why::Expired);
                sink.event(Event::Cancelled { id: *id, quantity, why });
                continue;
            }
            let price = if let Kind::Limit(price) = order.kind { price } else { ends(order.side) };
            let resting = Resting {
                id: *id,
                side: order.side,
                owner: order.owner,
                price,
                quantity: order.quantity,
                self_match: order.self_match,
                post_only: false,
                all_or_none: false,
                fill_min: Lots(0),
                counterparties_left: None,
                expires_at: order.expires_at,
            };
            self.rest(resting, only_takes(order));
        }
        let fills = self.uncross(sink);
        let one_price = self.uniform(&fills);
        let (mut price, mut volume) = (None, 0u64);
        for (bid, ask, quantity) in &fills {
            let here = match pricing {
                Pricing::Uniform => one_price.expect("there are fills"),
                Pricing::Quoted => self.quoted(bid, ask),
            };
            price = Some(here);
            self.last = price;
            volume += u64::from(*quantity);
            sink.event(Event::Filled {
                taker: bid.id,
                maker: ask.id,
                price: here,
                quantity: Lots(*quantity),
                maker_left: Lots(ask.quantity.0 - quantity),
            });
        }
        for Waiting { id, .. } in fresh {
            let Some(entry) = self.entries.iter().find(|entry| entry.order.id == id) else {
                continue;
            };
            let Resting { price, quantity, .. } = entry.order;
            if entry.once {
                self.remove(id, Why::Immediate, sink);
            } else {
                sink.event(Event::Rested { id, price, quantity });
            }
        }
        self.block_first = self.next_id;
        sink.event(Event::Cleared { price, volume });
        Ok(())
    }

    /// Fills the best bid with the best ask until they no longer meet. Answers both as they were, and how much.
    fn uncross(&mut self, sink: &mut impl Sink) -> Vec<(Resting, Resting, u32)> {
        let mut fills = Vec::new();
        loop {
            let (bids, asks) = (self.queue(Side::Bid), self.queue(Side::Ask));
            let (Some(bid), Some(ask)) = (bids.first(), asks.first()) else { return fills };
            let (bid, ask) = (bid.order, ask.order);
            if bid.price < ask.price {
                return fills;
            }
            if self.is_over(&bid) {
                self.remove(bid.id, Why::Expired, sink);
            } else if self.is_over(&ask) {
                self.remove(ask.id, Why::Expired, sink);
            } else if bid.owner == ask.owner {
                let (newer, older) = if bid.id > ask.id { (bid, ask) } else { (ask, bid) };
                let dropped =
                    if newer.self_match == SelfMatch::CancelResting { older } else { newer };
                self.remove(dropped.id, Why::SelfMatch, sink);
            } else if bid.price == ends(Side::Bid)
                && ask.price == ends(Side::Ask)
                && self.last.is_none()
                && fills.is_empty()
            {
                self.remove(bid.id, Why::Immediate, sink);
                self.remove(ask.id, Why::Immediate, sink);
            } else {
                let quantity = bid.quantity.0.min(ask.quantity.0);
                fills.push((bid, ask, quantity));
                for id in [bid.id, ask.id] {
                    self.find(id).order.quantity.0 -= quantity;
                }
                self.entries.retain(|entry| entry.order.quantity.0 > 0);
            }
        }
    }

    fn quoted(&self, bid: &Resting, ask: &Resting) -> Tick {
        let (no_bid, no_ask) = (bid.price == ends(Side::Bid), ask.price == ends(Side::Ask));
        if no_bid && no_ask {
            return self.last.expect("orders without limits wait for a first price");
        }
        if no_ask {
            return bid.price;
        }
        if no_bid {
            return ask.price;
        }
        let bid_rested = bid.id.0 < self.block_first && ask.id.0 >= self.block_first;
        if bid_rested { bid.price } else { ask.price }
    }

    /// Tries every limit and its neighbours.
    fn uniform(&self, fills: &[(Resting, Resting, u32)]) -> Option<Tick> {
        let mut bids: Vec<(u32, u64)> = Vec::new();
        let mut asks: Vec<(u32, u64)> = Vec::new();
        for (bid, ask, quantity) in fills {
            bids.push((bid.price.0, u64::from(*quantity)));
            asks.push((ask.price.0, u64::from(*quantity)));
        }
        let left =
            |side| self.orders(side).into_iter().map(|o| (o.price.0, u64::from(o.quantity.0)));
        bids.extend(left(Side::Bid));
        asks.extend(left(Side::Ask));
        let at = |price: u32| {
            let demand: u64 = bids.iter().filter(|bid| bid.0 >= price).map(|bid| bid.1).sum();
            let supply: u64 = asks.iter().filter(|ask| ask.0 <= price).map(|ask| ask.1).sum();
            (Reverse(demand.min(supply)), demand.abs_diff(supply))
        };
        let limits: Vec<u32> = bids.iter().chain(&asks).map(|order| order.0).collect();
        let (first, last) = (*limits.iter().min()?, *limits.iter().max()?);
        let around = |limit: &u32| [limit.saturating_sub(1), *limit, limit.saturating_add(1)];
        let tried: Vec<u32> =
            limits.iter().flat_map(around).filter(|p| (first..=last).contains(p)).collect();
        let best = tried.iter().map(|price| at(*price)).min()?;
        let low = tried.iter().filter(|price| at(**price) == best).min()?;
        let high = tried.iter().filter(|price| at(**price) == best).max()?;
        // Between two limits nothing changes; where the best prices are not neighbours, they are the ends of such a gap or tie at both.
        (!fills.is_empty()).then_some(Tick(low + (high - low) / 2))
    }
}
