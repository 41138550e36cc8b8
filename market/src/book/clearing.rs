//! A block as a batch: all its orders enter, then both sides are uncrossed. The order in which orders came buys nothing.

use std::cmp::Ordering;

use gongsuan_types::OrderId;
use gongsuan_types::order::SelfMatch;

use super::engine::{Book, WAITING, accepted, market_limit};
use super::slab::{NIL, ONCE, Slot};
use super::snapshot::Waiting;
use super::store::{flags_of, policy_of, rare_of};
use super::{Cleared, Event, Kind, Lots, Mode, NewOrder, Owner, Pricing, Refused, Sink, Tick, Why};

/// A fill that waits for its price.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    bid: u64,
    ask: u64,
    quantity: u32,
    ask_left: u32,
    /// What it would cost by [`Pricing::Quoted`].
    price: Tick,
}

/// The prices of the last pair.
#[derive(Clone, Copy, Debug)]
struct Margin {
    ask: u32,
    bid: u32,
}

impl Book {
    /// Batch mode: takes an order that waits for [`Book::clear`]. Among orders at one price that came in one block, the smaller `tie` is
    /// first. Make it of a hash that no sender can choose, such as H(block ‖ order).
    ///
    /// # Errors
    /// [`Refused`]; the book is unchanged.
    ///
    /// # Panics
    /// If more than 2³¹ orders wait.
    pub fn queue<S: Sink>(
        &mut self,
        id: OrderId,
        order: &NewOrder,
        tie: u64,
        sink: &mut S,
    ) -> Result<(), Refused> {
        if self.mode == Mode::Continuous {
            return Err(Refused::WrongMode);
        }
        order.check(self.mode, self.store.now)?;
        self.use_number(id)?;
        let place = self.waiting_place();
        self.waiting.push(Waiting { tie, id, order: *order, withdrawn: false });
        self.store.ids.set(id.0, place | WAITING);
        accepted(id, order, limit(order), sink);
        Ok(())
    }

    fn waiting_place(&self) -> u32 {
        let place = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        assert!(place < WAITING, "fewer than 2³¹ orders in a block");
        place
    }

    /// Withdraws an order that waits.
    pub(super) fn withdraw<S: Sink>(
        &mut self,
        id: OrderId,
        owner: Owner,
        place: u32,
        sink: &mut S,
    ) -> Result<(), Refused> {
        let waiting = &mut self.waiting[place as usize];
        if waiting.order.owner != owner {
            return Err(Refused::NotYours(id));
        }
        waiting.withdrawn = true;
        self.store.ids.remove(id.0);
        sink.event(Event::Cancelled { id, quantity: waiting.order.quantity, why: Why::Owner });
        Ok(())
    }

    /// Batch mode: puts the waiting orders into the book and matches both sides. Ends with [`Event::Cleared`].
    ///
    /// # Errors
    /// [`Refused::WrongMode`] in continuous mode.
    pub fn clear<S: Sink>(&mut self, sink: &mut S) -> Result<Cleared, Refused> {
        let Mode::Batch(pricing) = self.mode else { return Err(Refused::WrongMode) };
        let mut fresh: Vec<(u64, u32)> = (0..)
            .zip(&self.waiting)
            .filter(|(_, waiting)| !waiting.withdrawn)
            .map(|(place, waiting)| (waiting.tie, place))
            .collect();
        fresh.sort_unstable();
        for (_, place) in &fresh {
            self.admit(*place, sink);
        }
        let cleared = self.uncross(pricing, sink);
        for (_, place) in fresh {
            let id = self.waiting[place as usize].id;
            let at = self.store.ids.get(id.0);
            if at == NIL {
                continue;
            }
            let slot = *self.store.slab.get(at);
            if slot.flags & ONCE != 0 {
                self.remove(at, Why::Immediate, sink);
            } else {
                let (price, quantity) = (Tick(slot.price), Lots(slot.quantity));
                sink.event(Event::Rested { id, price, quantity });
            }
        }
        self.waiting.clear();
        self.block_first = self.next_id;
        sink.event(Event::Cleared { price: cleared.price, volume: cleared.volume });
        Ok(cleared)
    }

    #[inline]
    fn admit<S: Sink>(&mut self, place: u32, sink: &mut S) {
        let Waiting { id, order, .. } = &self.waiting[place as usize];
        let (id, quantity) = (*id, order.quantity);
        if order.expires_at.is_some_and(|at| at <= self.store.now) {
            self.store.ids.remove(id.0);
            sink.event(Event::Cancelled { id, quantity, why: Why::Expired });
            return;
        }
        let slot = Slot {
            id: id.0,
            quantity: quantity.0,
            owner: order.owner.0,
            prev: NIL,
            next: NIL,
            price: limit(order),
            flags: flags_of(order),
        };
        let rare = rare_of(order);
        self.rest(slot, rare);
    }

    /// Fills the best bid with the best ask until the sides no longer meet.
    fn uncross<S: Sink>(&mut self, pricing: Pricing, sink: &mut S) -> Cleared {
        let mut cleared = Cleared::default();
        let mut margin = None;
        let mut pairs = std::mem::take(&mut self.scratch);
        pairs.clear();
        while let (Some(bid_price), Some(ask_price)) = (self.bids.best(), self.asks.best()) {
            if bid_price < ask_price {
                break;
            }
            let bid_at = self.bids.level_mut(bid_price).head;
            let ask_at = self.asks.level_mut(ask_price).head;
            let (bid, ask) = (*self.store.slab.get(bid_at), *self.store.slab.get(ask_at));
            if self.drop_unfit((bid_at, &bid), (ask_at, &ask), sink) {
                continue;
            }
            let quantity = bid.quantity.min(ask.quantity);
            let ask_left = ask.quantity - quantity;
            margin = Some(Margin { ask: ask_price, bid: bid_price });
            self.reduce(bid_at, &bid, quantity);
            self.reduce(ask_at, &ask, quantity);
            let price = self.quoted(&bid, &ask);
            pairs.push(Pair { bid: bid.id, ask: ask.id, quantity, ask_left, price });
        }
        if let (Pricing::Uniform, Some(margin)) = (pricing, margin) {
            let price = self.uniform(margin);
            pairs.iter_mut().for_each(|pair| pair.price = price);
        }
        for pair in &pairs {
            self.fill(pair, &mut cleared, sink);
        }
        self.scratch = pairs;
        cleared
    }

    /// Drops one of two orders that must not meet: past its time, of one owner, or both without a limit before any price is known.
    fn drop_unfit<S: Sink>(
        &mut self,
        (bid_at, bid): (u32, &Slot),
        (ask_at, ask): (u32, &Slot),
        sink: &mut S,
    ) -> bool {
        if self.store.is_expired(bid) {
            self.remove(bid_at, Why::Expired, sink);
            return true;
        }
        if self.store.is_expired(ask) {
            self.remove(ask_at, Why::Expired, sink);
            return true;
        }
        if bid.owner == ask.owner {
            let (newer, older) =
                if bid.id > ask.id { ((bid_at, bid), ask_at) } else { ((ask_at, ask), bid_at) };
            let dropped = match policy_of(newer.1.flags) {
                SelfMatch::CancelResting => older,
                SelfMatch::Skip | SelfMatch::CancelIncoming => newer.0,
            };
            self.remove(dropped, Why::SelfMatch, sink);
            return true;
        }
        if bid.price == u32::MAX && ask.price == 0 && self.store.stats.last.is_none() {
            self.remove(bid_at, Why::Immediate, sink);
            self.remove(ask_at, Why::Immediate, sink);
            return true;
        }
        false
    }

    #[inline]
    fn reduce(&mut self, at: u32, slot: &Slot, quantity: u32) {
        if quantity == slot.quantity {
            self.take_out(at);
            return;
        }
        self.store.slab.get_mut(at).quantity -= quantity;
        let level = if slot.flags & super::slab::BID != 0 {
            self.bids.level_mut(slot.price)
        } else {
            self.asks.level_mut(slot.price)
        };
        level.quantity -= u64::from(quantity);
    }

    fn fill<S: Sink>(&mut self, pair: &Pair, cleared: &mut Cleared, sink: &mut S) {
        let price = pair.price;
        self.store.stats.count(price.0, pair.quantity);
        cleared.price = Some(price);
        cleared.volume += u64::from(pair.quantity);
        cleared.fills += 1;
        sink.event(Event::Filled {
            taker: OrderId(pair.bid),
            maker: OrderId(pair.ask),
            price,
            quantity: Lots(pair.quantity),
            maker_left: Lots(pair.ask_left),
        });
    }

    /// The price of the order that was there before this block, or the ask's.
    #[inline]
    fn quoted(&self, bid: &Slot, ask: &Slot) -> Tick {
        let known = self.store.stats.last.unwrap_or(Tick(1));
        let bid_rested = bid.id < self.block_first && ask.id >= self.block_first;
        match (bid.price, ask.price) {
            (u32::MAX, 0) => known,
            (price, 0) => Tick(price),
            (u32::MAX, price) => Tick(price),
            (bid, ask) => Tick(if bid_rested { bid } else { ask }),
        }
    }

    /// Every price from the last ask filled to the last bid filled trades the most. Strictly between the best orders left nothing is left
    /// over; at the best bid left and down to the next one below it, what lies there is; and so with asks.
    fn uniform(&self, margin: Margin) -> Tick {
        let (low, high) = (margin.ask, margin.bid);
        let (bid_left, ask_left) = (self.bids.best(), self.asks.best());
        let above = bid_left.map_or(low, |bid| low.max(bid + 1));
        let below = ask_left.map_or(high, |ask| high.min(ask - 1));
        if above <= below {
            return middle(above, below);
        }
        let bid = bid_left.filter(|bid| *bid >= low).map(|bid| {
            let next = self.bids.worse(bid).map_or(low, |next| low.max(next + 1));
            (self.bids.level(bid).map_or(0, |level| level.quantity), next, bid)
        });
        let ask = ask_left.filter(|ask| *ask <= high).map(|ask| {
            let next = self.asks.worse(ask).map_or(high, |next| high.min(next - 1));
            (self.asks.level(ask).map_or(0, |level| level.quantity), ask, next)
        });
        match (bid, ask) {
            (Some(bid), Some(ask)) => match bid.0.cmp(&ask.0) {
                Ordering::Less => middle(bid.1, bid.2),
                Ordering::Equal => middle(bid.1, ask.2),
                Ordering::Greater => middle(ask.1, ask.2),
            },
            (Some(one), None) | (None, Some(one)) => middle(one.1, one.2),
            (None, None) => middle(low, high),
        }
    }
}

fn middle(low: u32, high: u32) -> Tick {
    debug_assert!(low <= high, "a price suits everybody");
    Tick(low + (high - low) / 2)
}

fn limit(order: &NewOrder) -> u32 {
    match order.kind {
        Kind::Limit(price) => price.0,
        Kind::Market | Kind::MarketLimit => market_limit(order.side),
    }
}
