//! The book's commands.

use gongsuan_types::order::{FillRule, Side};
use gongsuan_types::{OrderId, TimeMs};

use super::ladder::Ladder;
use super::matching::Taker;
use super::owners::Owners;
use super::slab::{BID, NIL, ONCE, POST, Slot, WHOLE};
use super::snapshot::Waiting;
use super::store::{Rare, Store, flags_of, policy_of, rare_of};
use super::{Event, Kind, Lots, Mode, NewOrder, Owner, Refused, Resting, Sink, Tick, Why};

/// In the table of numbers: the place is one in the list of orders that wait for the end of the block.
pub(super) const WAITING: u32 = 1 << 31;

/// A standard book. See the module's documentation.
///
/// ```
/// use gongsuan_market::prelude::*;
/// let mut book = Book::new(Mode::Continuous);
/// let mut events = Vec::new();
/// let id = book.submit(&NewOrder::limit(Side::Bid, Owner(1), Tick(9), Lots(2)), &mut events)?;
/// book.amend(id, Owner(1), (Lots(1), Tick(9)), &mut events)?;
/// assert_eq!(book.cancel_all(Owner(1), &mut events), 1);
/// assert!(book.is_empty());
/// # Ok::<(), Refused>(())
/// ```
#[derive(Debug)]
pub struct Book {
    pub(super) mode: Mode,
    pub(super) store: Store,
    pub(super) bids: Ladder<true>,
    pub(super) asks: Ladder<false>,
    pub(super) next_id: u64,
    pub(super) waiting: Vec<Waiting>,
    pub(super) owners: Owners,
    pub(super) scratch: super::clearing::Scratch,
}

impl Book {
    /// An empty book.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            store: Store::new(),
            bids: Ladder::new(),
            asks: Ladder::new(),
            next_id: 1,
            waiting: Vec::new(),
            owners: Owners::default(),
            scratch: super::clearing::Scratch::default(),
        }
    }

    /// When its orders match.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The time that it was told last.
    #[must_use]
    pub fn now(&self) -> TimeMs {
        self.store.now
    }

    /// Takes an order and gives it the next number. In batch mode it waits for [`Book::clear`], ranked by its number.
    ///
    /// # Errors
    /// [`Refused`]; the book is unchanged.
    #[inline]
    pub fn submit<S: Sink>(&mut self, order: &NewOrder, sink: &mut S) -> Result<OrderId, Refused> {
        let id = OrderId(self.next_id);
        self.submit_as(id, order, sink)?;
        Ok(id)
    }

    /// Takes an order under a number of the caller's, which must be above all before it.
    ///
    /// # Errors
    /// [`Refused`]; the book is unchanged.
    #[inline]
    pub fn submit_as<S: Sink>(
        &mut self,
        id: OrderId,
        order: &NewOrder,
        sink: &mut S,
    ) -> Result<(), Refused> {
        if self.mode != Mode::Continuous {
            return self.queue(id, order, id.0, sink);
        }
        order.check(self.store.now)?;
        self.use_number(id)?;
        let limit = self.limit(order);
        accepted(id, order, limit.unwrap_or(0), sink);
        let Some(limit) = limit else {
            let (quantity, why) = (order.quantity, Why::Immediate);
            sink.event(Event::Cancelled { id, quantity, why });
            return Ok(());
        };
        let slot = Slot {
            id: id.0,
            quantity: order.quantity.0,
            owner: order.owner.0,
            prev: NIL,
            next: NIL,
            price: limit,
            flags: flags_of(order),
        };
        self.enter(slot, rare_of(order), order.fill_rule, sink);
        Ok(())
    }

    pub(super) fn use_number(&mut self, id: OrderId) -> Result<(), Refused> {
        if id.0 < self.next_id || id.0 == u64::MAX {
            return Err(Refused::NumberUsed(id));
        }
        self.next_id = id.0 + 1;
        Ok(())
    }

    /// The limit as a number on the scale. `None`: a market-limit order that meets an empty side.
    fn limit(&self, order: &NewOrder) -> Option<u32> {
        match order.kind {
            Kind::Limit(price) => Some(price.0),
            Kind::Market => Some(market_limit(order.side)),
            Kind::MarketLimit => match order.side {
                Side::Bid => self.asks.best(),
                Side::Ask => self.bids.best(),
            },
        }
    }

    /// An order comes to the book: a new one, or one that was amended.
    #[inline]
    fn enter<S: Sink>(&mut self, slot: Slot, rare: Option<Rare>, rule: FillRule, sink: &mut S) {
        let store = &mut self.store;
        if slot.flags & BID != 0 {
            cross(store, &mut self.bids, &mut self.asks, (slot, rare, rule), sink);
        } else {
            cross(store, &mut self.asks, &mut self.bids, (slot, rare, rule), sink);
        }
    }

    /// Withdraws an order.
    ///
    /// # Errors
    /// [`Refused::NoOrder`] or [`Refused::NotYours`]; the book is unchanged.
    #[inline]
    pub fn cancel<S: Sink>(
        &mut self,
        id: OrderId,
        owner: Owner,
        sink: &mut S,
    ) -> Result<(), Refused> {
        let at = self.store.ids.get(id.0);
        if at == NIL {
            return Err(Refused::NoOrder(id));
        }
        if at & WAITING != 0 {
            return self.withdraw(id, owner, at & !WAITING, sink);
        }
        let slot = self.store.slab.get(at);
        if slot.owner != owner.0 {
            return Err(Refused::NotYours(id));
        }
        let quantity = Lots(slot.quantity);
        self.take_out(at);
        sink.event(Event::Cancelled { id, quantity, why: Why::Owner });
        Ok(())
    }

    /// Withdraws every order of an owner, oldest first. Answers how many. Takes time with the owner's orders, and with the orders that came
    /// since the last such call, of whomever.
    pub fn cancel_all<S: Sink>(&mut self, owner: Owner, sink: &mut S) -> usize {
        let mut owners = std::mem::take(&mut self.owners);
        owners.catch_up(&self.store.ids, self.next_id, |at| self.owner_at(at));
        let ids = owners.take(owner);
        self.owners = owners;
        // An order that is gone since is refused.
        ids.into_iter().filter(|id| self.cancel(OrderId(*id), owner, sink).is_ok()).count()
    }

    fn owner_at(&self, at: u32) -> Owner {
        if at & WAITING != 0 {
            return self.waiting[(at & !WAITING) as usize].order.owner;
        }
        Owner(self.store.slab.get(at).owner)
    }

    /// Changes what is open of an order, and its price. A decrease at the same price keeps its place; in batch mode an order that loses it
    /// waits for the end of the block like a new one, ranked by its number.
    ///
    /// # Errors
    /// [`Refused`]; the book is unchanged.
    pub fn amend<S: Sink>(
        &mut self,
        id: OrderId,
        owner: Owner,
        change: (Lots, Tick),
        sink: &mut S,
    ) -> Result<(), Refused> {
        let (quantity, price) = change;
        let at = self.store.ids.get(id.0);
        if at == NIL {
            return Err(Refused::NoOrder(id));
        }
        let there = self.owner_at(at);
        if there != owner {
            return Err(Refused::NotYours(id));
        }
        if quantity.0 == 0 {
            return Err(Refused::NoQuantity);
        }
        if matches!(price, Tick(0 | u32::MAX)) {
            return Err(Refused::NoPrice);
        }
        if at & WAITING != 0 {
            return self.amend_waiting(at & !WAITING, change, sink);
        }
        let slot = *self.store.slab.get(at);
        if self.store.is_expired(&slot) {
            return Err(Refused::PastItsTime);
        }
        let kept_place = price.0 == slot.price && quantity.0 <= slot.quantity;
        sink.event(Event::Amended { id, price, quantity, kept_place });
        if kept_place {
            let level = if slot.flags & BID != 0 {
                self.bids.level_mut(slot.price)
            } else {
                self.asks.level_mut(slot.price)
            };
            level.quantity -= u64::from(slot.quantity - quantity.0);
            self.store.slab.get_mut(at).quantity = quantity.0;
            return Ok(());
        }
        let rare = self.store.rare.get(&id.0).copied();
        let view = Resting { quantity, price, ..self.store.view(&slot) };
        self.take_out(at);
        let slot = Slot { quantity: quantity.0, price: price.0, ..slot };
        if self.mode == Mode::Continuous {
            let whole = slot.flags & WHOLE != 0;
            let rule = if whole { FillRule::AllOrNone } else { FillRule::Rest };
            self.enter(slot, rare, rule, sink);
        } else {
            self.wait_again(&view);
        }
        Ok(())
    }

    #[inline]
    pub(super) fn rest(&mut self, slot: Slot, rare: Option<Rare>) {
        if slot.flags & BID != 0 {
            self.store.rest(&mut self.bids, slot, rare);
        } else {
            self.store.rest(&mut self.asks, slot, rare);
        }
    }

    /// Tells the time and removes up to `limit` orders whose time is over, by time and number. Answers how many it removed. The rest
    /// cannot trade; the next call goes on with them.
    pub fn advance<S: Sink>(&mut self, now: TimeMs, limit: usize, sink: &mut S) -> usize {
        self.store.now = self.store.now.max(now);
        for swept in 0..limit {
            match self.store.due.first().copied() {
                Some((at, id)) if at <= self.store.now => {
                    let place = self.store.ids.get(id);
                    self.remove(place, Why::Expired, sink);
                }
                _ => return swept,
            }
        }
        limit
    }

    /// Where an order rests.
    pub(super) fn place(&self, id: OrderId) -> Option<u32> {
        let at = self.store.ids.get(id.0);
        (at & WAITING == 0).then_some(at)
    }

    #[inline]
    pub(super) fn remove<S: Sink>(&mut self, at: u32, why: Why, sink: &mut S) {
        let slot = self.store.slab.get(at);
        let (id, quantity) = (OrderId(slot.id), Lots(slot.quantity));
        self.take_out(at);
        sink.event(Event::Cancelled { id, quantity, why });
    }

    #[inline]
    pub(super) fn take_out(&mut self, at: u32) {
        let slot = self.store.slab.get(at);
        let (price, flags) = (slot.price, slot.flags);
        if flags & BID != 0 {
            take_out(&mut self.store, &mut self.bids, at, price);
        } else {
            take_out(&mut self.store, &mut self.asks, at, price);
        }
    }
}

#[inline]
fn take_out<const HIGH: bool>(store: &mut Store, ladder: &mut Ladder<HIGH>, at: u32, price: u32) {
    let level = ladder.level_mut(price);
    store.unlink(level, at);
    if level.head == NIL {
        ladder.close(price);
    }
}

/// The end of the scale that every price of the other side reaches.
pub(super) fn market_limit(side: Side) -> u32 {
    match side {
        Side::Bid => u32::MAX,
        Side::Ask => 0,
    }
}

#[inline]
pub(super) fn accepted<S: Sink>(id: OrderId, order: &NewOrder, limit: u32, sink: &mut S) {
    sink.event(Event::Accepted {
        id,
        side: order.side,
        owner: order.owner,
        price: Tick(limit),
        quantity: order.quantity,
    });
}

/// An order crosses to the other side, takes what it may, and rests or ends.
#[inline]
fn cross<const OWN: bool, const OTHER: bool, S: Sink>(
    store: &mut Store,
    own: &mut Ladder<OWN>,
    others: &mut Ladder<OTHER>,
    (mut slot, mut rare, rule): (Slot, Option<Rare>, FillRule),
    sink: &mut S,
) {
    let id = OrderId(slot.id);
    let meets = others.best().is_some_and(|best| Ladder::<OTHER>::reaches(best, slot.price));
    let mut why = None;
    if meets {
        // The slot itself is not lent out, so that it stays in registers on the way to its place.
        let met = if slot.flags & POST != 0 {
            Met { left: slot.quantity, others_left: u32::MAX, why: Some(Why::WouldTake) }
        } else {
            meet(store, others, (slot, rare, rule), sink)
        };
        slot.quantity = met.left;
        why = met.why;
        if let Some(left) = rare.as_mut().and_then(|rare| rare.counterparties_left.as_mut()) {
            *left = met.others_left.min(*left);
        }
    }
    if slot.quantity == 0 {
        return;
    }
    let whole = rule == FillRule::FillOrKill;
    let once = slot.flags & ONCE != 0;
    let quantity = Lots(slot.quantity);
    if why.is_none() && (whole || once) {
        why = Some(if whole { Why::NotWhole } else { Why::Immediate });
    }
    if let Some(why) = why {
        sink.event(Event::Cancelled { id, quantity, why });
        return;
    }
    sink.event(Event::Rested { id, price: Tick(slot.price), quantity });
    store.rest(own, slot, rare);
}

/// What is left of an order that met the other side.
struct Met {
    left: u32,
    others_left: u32,
    /// Why the rest must not stay, if so.
    why: Option<Why>,
}

/// Takes what the order may take.
fn meet<const OTHER: bool, S: Sink>(
    store: &mut Store,
    others: &mut Ladder<OTHER>,
    (slot, rare, rule): (Slot, Option<Rare>, FillRule),
    sink: &mut S,
) -> Met {
    let limited = rare.and_then(|rare| rare.counterparties_left);
    let mut taker = Taker {
        id: slot.id,
        owner: slot.owner,
        limit: slot.price,
        left: slot.quantity,
        fill_min: rare.map_or(0, |rare| rare.fill_min),
        counterparties_left: limited.unwrap_or(u32::MAX),
        self_match: policy_of(slot.flags),
        stopped: false,
    };
    let all = matches!(rule, FillRule::FillOrKill | FillRule::AllOrNone);
    if all && !taker.is_covered(store, others) {
        return Met { left: slot.quantity, others_left: u32::MAX, why: None };
    }
    taker.take(store, others, sink);
    let why = if taker.stopped {
        Some(Why::SelfMatch)
    } else if taker.counterparties_left == 0 {
        Some(Why::Counterparties)
    } else {
        None
    };
    Met { left: taker.left, others_left: taker.counterparties_left, why }
}
