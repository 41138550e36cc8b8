//! A block as a batch: its orders are ranked, both sides are paired ([`super::plan`]), and then the book is changed. The order in which
//! orders came buys nothing.

use gongsuan_types::OrderId;
use gongsuan_types::order::{FillRule, Side};

use super::engine::{Book, WAITING, accepted, market_limit};
use super::ladder::Ladder;
use super::plan::{FRESH, Gone, Line, Pair, Plan, Planner};
use super::price;
use super::slab::{BID, KILL, NIL, ONCE, SPECIAL, Slot};
use super::snapshot::Waiting;
use super::store::{flags_of, rare_of};
use super::{
    Cleared, Event, Kind, Lots, Mode, NewOrder, Owner, Pricing, Refused, Resting, Sink, Tick, Why,
};

/// Memory that every block uses again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Price, rank and place of the block's bids and asks.
    keys: [Vec<u128>; 2],
    bids: Vec<Slot>,
    asks: Vec<Slot>,
    plan: Plan,
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
        order.check(self.store.now)?;
        self.use_number(id)?;
        self.wait(Waiting { tie, id, order: *order, withdrawn: false });
        let limit = match order.kind {
            Kind::Limit(price) => price.0,
            Kind::Market | Kind::MarketLimit => market_limit(order.side),
        };
        accepted(id, order, limit, sink);
        Ok(())
    }

    fn wait(&mut self, waiting: Waiting) {
        let place = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        assert!(place < WAITING, "fewer than 2³¹ orders in a block");
        self.store.ids.set(waiting.id.0, place | WAITING);
        self.waiting.push(waiting);
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

    /// Changes an order that waits: it has no place yet that it could lose.
    pub(super) fn amend_waiting<S: Sink>(
        &mut self,
        place: u32,
        (quantity, price): (Lots, Tick),
        sink: &mut S,
    ) -> Result<(), Refused> {
        let waiting = &mut self.waiting[place as usize];
        let id = waiting.id;
        let order = NewOrder { quantity, kind: Kind::Limit(price), ..waiting.order };
        order.check(self.store.now)?;
        waiting.order = order;
        sink.event(Event::Amended { id, price, quantity, kept_place: true });
        Ok(())
    }

    /// An order that rested and was amended waits for the end of the block like a new one, ranked by its number.
    pub(super) fn wait_again(&mut self, order: &Resting) {
        let fill_rule = if order.all_or_none { FillRule::AllOrNone } else { FillRule::Rest };
        let order_again = NewOrder {
            side: order.side,
            owner: order.owner,
            kind: Kind::Limit(order.price),
            quantity: order.quantity,
            fill_rule,
            self_match: order.self_match,
            post_only: order.post_only,
            fill_min: order.fill_min,
            counterparties_max: order.counterparties_left.unwrap_or(0),
            expires_at: order.expires_at,
        };
        let (tie, id) = (order.id.0, order.id);
        self.wait(Waiting { tie, id, order: order_again, withdrawn: false });
    }

    /// Batch mode: puts the waiting orders into the book and matches both sides. Ends with [`Event::Cleared`].
    ///
    /// # Errors
    /// [`Refused::WrongMode`] in continuous mode.
    pub fn clear<S: Sink>(&mut self, sink: &mut S) -> Result<Cleared, Refused> {
        let Mode::Batch(pricing) = self.mode else { return Err(Refused::WrongMode) };
        let mut scratch = std::mem::take(&mut self.scratch);
        self.admit(&mut scratch, sink);
        let planner = Planner {
            store: &self.store,
            waiting: &self.waiting,
            bids: Line { ladder: &self.bids, fresh: &scratch.bids },
            asks: Line { ladder: &self.asks, fresh: &scratch.asks },
        };
        let margin = planner.run(&mut scratch.plan);
        let one = margin
            .filter(|_| pricing == Pricing::Uniform)
            .map(|margin| price::uniform(&margin, self.store.stats.last));
        let cleared = self.carry_out(&mut scratch, one, sink);
        for slot in &scratch.bids {
            settle(&mut self.store, &mut self.bids, slot, &self.waiting, sink);
        }
        for slot in &scratch.asks {
            settle(&mut self.store, &mut self.asks, slot, &self.waiting, sink);
        }
        self.scratch = scratch;
        self.waiting.clear();
        sink.event(Event::Cleared { price: cleared.price, volume: cleared.volume });
        Ok(cleared)
    }

    /// The block's orders of both sides by price and rank. Those that cannot take part end here.
    fn admit<S: Sink>(&mut self, scratch: &mut Scratch, sink: &mut S) {
        let (best_bid, best_ask) = (self.bids.best(), self.asks.best());
        let (mut newest, mut in_order) = (OrderId(0), true);
        let [bids, asks] = &mut scratch.keys;
        bids.clear();
        asks.clear();
        for (place, waiting) in (0u32..).zip(&self.waiting) {
            if waiting.withdrawn {
                continue;
            }
            in_order &= newest < waiting.id;
            newest = waiting.id;
            let is_bid = waiting.order.side == Side::Bid;
            let best = if is_bid { best_ask } else { best_bid };
            match limit_in_batch(&waiting.order, best, self.store.now) {
                Ok(limit) => {
                    let price = if is_bid { u32::MAX - limit } else { limit };
                    let rank = u128::from(waiting.tie) << 32 | u128::from(place);
                    let keys = if is_bid { &mut *bids } else { &mut *asks };
                    keys.push(u128::from(price) << 96 | rank);
                }
                Err(why) => {
                    let (id, quantity) = (waiting.id, waiting.order.quantity);
                    self.store.ids.remove(id.0);
                    sink.event(Event::Cancelled { id, quantity, why });
                }
            }
        }
        for (keys, slots, is_bid) in
            [(bids, &mut scratch.bids, true), (asks, &mut scratch.asks, false)]
        {
            if in_order {
                keys.sort_unstable();
            } else {
                // Amended orders came late under old numbers: of equal ranks, the smaller number is first.
                keys.sort_unstable_by_key(|key| (key >> 32, self.waiting[word(*key) as usize].id));
            }
            slots.clear();
            slots.extend(keys.iter().map(|key| {
                let (price, place) = (word(key >> 96), word(*key));
                let price = if is_bid { u32::MAX - price } else { price };
                slot_of(&self.waiting[place as usize], price, place)
            }));
        }
    }

    /// Changes the book as planned, and says so.
    fn carry_out<S: Sink>(
        &mut self,
        scratch: &mut Scratch,
        one: Option<Tick>,
        sink: &mut S,
    ) -> Cleared {
        let mut cleared = Cleared::default();
        let mut gone = scratch.plan.gone.iter().peekable();
        for (index, pair) in scratch.plan.pairs.iter().enumerate() {
            while let Some(next) = gone.next_if(|gone| gone.after == index) {
                self.end(next, &mut scratch.bids, &mut scratch.asks, sink);
            }
            let Pair { bid, ask, quantity } = *pair;
            let (bid_price, taker, _) = self.reduce(bid, &mut scratch.bids, quantity);
            let (ask_price, maker, maker_left) = self.reduce(ask, &mut scratch.asks, quantity);
            let price = one.unwrap_or_else(|| {
                let bid_rested = bid & FRESH == 0 && ask & FRESH != 0;
                self.quoted((bid_price, ask_price), bid_rested)
            });
            self.store.stats.count(price.0, quantity);
            cleared.price = Some(price);
            cleared.volume += u64::from(quantity);
            cleared.fills += 1;
            let (quantity, maker_left) = (Lots(quantity), Lots(maker_left));
            sink.event(Event::Filled { taker, maker, price, quantity, maker_left });
        }
        for last in gone {
            self.end(last, &mut scratch.bids, &mut scratch.asks, sink);
        }
        cleared
    }

    /// Takes a fill from an order. Answers its price, its number and what is left.
    #[inline]
    fn reduce(&mut self, place: u32, fresh: &mut [Slot], quantity: u32) -> (u32, OrderId, u32) {
        let slot = if place & FRESH != 0 {
            &mut fresh[(place & !FRESH) as usize]
        } else {
            self.store.slab.get_mut(place)
        };
        let (price, id, flags) = (slot.price, slot.id, slot.flags);
        let (left, link) = (slot.quantity - quantity, slot.prev);
        if place & FRESH != 0 {
            slot.quantity = left;
            if left == 0 {
                self.store.ids.remove(id);
            } else if flags & SPECIAL != 0 {
                // For the order's way into the book.
                self.count_counterparty(link);
            }
        } else if left == 0 {
            self.take_out(place);
        } else {
            slot.quantity = left;
            let level = if flags & BID != 0 {
                self.bids.level_mut(price)
            } else {
                self.asks.level_mut(price)
            };
            level.quantity -= u64::from(quantity);
            if flags & SPECIAL != 0
                && let Some(rare) = self.store.rare.get_mut(&id)
                && let Some(others) = &mut rare.counterparties_left
            {
                *others -= 1;
            }
        }
        (price, OrderId(id), left)
    }

    #[cold]
    fn count_counterparty(&mut self, waiting: u32) {
        let order = &mut self.waiting[waiting as usize].order;
        // One of 1 ends the order, which the plan has seen to; 0 sets no limit.
        order.counterparties_max = order.counterparties_max.saturating_sub(1);
    }

    /// Ends an order inside the block.
    fn end<S: Sink>(&mut self, gone: &Gone, bids: &mut [Slot], asks: &mut [Slot], sink: &mut S) {
        if gone.place & FRESH == 0 {
            self.remove(gone.place, gone.why, sink);
            return;
        }
        let fresh = if gone.is_bid { bids } else { asks };
        let slot = &mut fresh[(gone.place & !FRESH) as usize];
        let (id, quantity) = (OrderId(slot.id), Lots(std::mem::take(&mut slot.quantity)));
        self.store.ids.remove(id.0);
        sink.event(Event::Cancelled { id, quantity, why: gone.why });
    }

    /// The price of the order that rested before this block, or the ask's; of two orders without a limit, what traded last.
    #[inline]
    fn quoted(&self, prices: (u32, u32), bid_rested: bool) -> Tick {
        match prices {
            (u32::MAX, 0) => {
                self.store.stats.last.expect("the plan lets no pair without a price by")
            }
            (bid, 0) => Tick(bid),
            (u32::MAX, ask) => Tick(ask),
            (bid, ask) => Tick(if bid_rested { bid } else { ask }),
        }
    }
}

/// A new order that is left over rests or ends.
#[inline]
fn settle<const HIGH: bool, S: Sink>(
    store: &mut super::store::Store,
    ladder: &mut Ladder<HIGH>,
    slot: &Slot,
    waiting: &[Waiting],
    sink: &mut S,
) {
    if slot.quantity == 0 {
        return;
    }
    let (id, price, quantity) = (OrderId(slot.id), Tick(slot.price), Lots(slot.quantity));
    if slot.flags & (KILL | ONCE) != 0 {
        let why = if slot.flags & KILL != 0 { Why::NotWhole } else { Why::Immediate };
        store.ids.remove(id.0);
        sink.event(Event::Cancelled { id, quantity, why });
        return;
    }
    sink.event(Event::Rested { id, price, quantity });
    let rare =
        if slot.flags & SPECIAL != 0 { rare_of(&waiting[slot.prev as usize].order) } else { None };
    store.rest(ladder, *slot, rare);
}

/// The limit of a new order, or why it takes no part. `best`: of the other side before this block.
fn limit_in_batch(
    order: &NewOrder,
    best: Option<u32>,
    now: gongsuan_types::TimeMs,
) -> Result<u32, Why> {
    if order.expires_at.is_some_and(|at| at <= now) {
        return Err(Why::Expired);
    }
    match order.kind {
        Kind::Market => Ok(market_limit(order.side)),
        Kind::MarketLimit => best.ok_or(Why::Immediate),
        Kind::Limit(price) => {
            let crosses = best.is_some_and(|best| match order.side {
                Side::Bid => best <= price.0,
                Side::Ask => best >= price.0,
            });
            if order.post_only && crosses { Err(Why::WouldTake) } else { Ok(price.0) }
        }
    }
}

/// A new order on its way through the block. Its link leads to the waiting list.
fn slot_of(waiting: &Waiting, price: u32, place: u32) -> Slot {
    let order = &waiting.order;
    let mut flags = flags_of(order);
    if order.fill_rule == FillRule::FillOrKill {
        flags |= KILL;
    }
    if rare_of(order).is_some() {
        flags |= SPECIAL;
    }
    Slot {
        id: waiting.id.0,
        quantity: order.quantity.0,
        owner: order.owner.0,
        prev: place,
        next: NIL,
        price,
        flags,
    }
}

fn word(key: u128) -> u32 {
    u32::try_from(key & u128::from(u32::MAX)).unwrap_or(u32::MAX)
}
