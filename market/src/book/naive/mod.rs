//! The rules of the standard book in obvious code: lists, scans and sorts. The oracle that [`Book`](super::Book) is tested against.

mod batch;

use std::cmp::Reverse;

use gongsuan_types::TimeMs;

use super::{
    Event, FillRule, Kind, Lots, Mode, NewOrder, OrderId, Owner, Refused, Resting, SelfMatch, Side,
    Sink, Tick, Waiting, Why,
};

/// An order in the list.
#[derive(Clone, Debug)]
struct Entry {
    order: Resting,
    /// Gone at the end of the batch in which it came.
    once: bool,
    /// Gone at the end of the batch if not all of it traded in it.
    kill: bool,
    /// Time priority.
    rank: u64,
}

/// The naive book. Its commands are those of [`Book`](super::Book).
///
/// ```
/// use gongsuan_market::prelude::*;
/// let order = NewOrder::limit(Side::Bid, Owner(1), Tick(9), Lots(2));
/// let (mut fast, mut slow) = (Vec::new(), Vec::new());
/// Book::new(Mode::Continuous).submit(&order, &mut fast)?;
/// NaiveBook::new(Mode::Continuous).submit(&order, &mut slow)?;
/// assert_eq!(fast, slow);
/// # Ok::<(), Refused>(())
/// ```
#[derive(Clone, Debug)]
pub struct NaiveBook {
    mode: Mode,
    now: TimeMs,
    next_id: u64,
    next_rank: u64,
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
        order.check(self.now)?;
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
        self.rest(order, once, false);
    }

    fn rest(&mut self, order: Resting, once: bool, kill: bool) {
        self.entries.push(Entry { order, once, kill, rank: self.next_rank });
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
        if let Some(refused) = self.amend_waiting(id, owner, change, sink) {
            return refused;
        }
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
            self.wait_again(&entry.order, rule);
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
}
