//! The orders of a book with everything that is looked up by order: place, rare attributes, deadline, statistics.

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_types::order::{FillRule, SelfMatch, Side};
use gongsuan_types::{OrderId, TimeMs};

use super::ids::Ids;
use super::ladder::{Ladder, Level};
use super::slab::{BID, NIL, ONCE, POST, SELF_SHIFT, SPECIAL, Slab, Slot, WHOLE};
use super::{Event, Lots, NewOrder, Owner, Resting, Sink, Stats, Tick, Why};

/// What few orders have. Kept apart, so that the others stay small.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rare {
    pub(super) fill_min: u32,
    /// `None`: any number.
    pub(super) counterparties_left: Option<u32>,
    pub(super) expires_at: Option<TimeMs>,
}

#[derive(Debug)]
pub(super) struct Store {
    pub(super) slab: Slab,
    pub(super) ids: Ids,
    pub(super) rare: BTreeMap<u64, Rare>,
    pub(super) due: BTreeSet<(TimeMs, u64)>,
    pub(super) stats: Stats,
    pub(super) now: TimeMs,
}

pub(super) fn policy_bits(policy: SelfMatch) -> u32 {
    let number = match policy {
        SelfMatch::Skip => 0,
        SelfMatch::CancelResting => 1,
        SelfMatch::CancelIncoming => 2,
    };
    number << SELF_SHIFT
}

pub(super) fn policy_of(flags: u32) -> SelfMatch {
    match (flags >> SELF_SHIFT) & 3 {
        0 => SelfMatch::Skip,
        1 => SelfMatch::CancelResting,
        _ => SelfMatch::CancelIncoming,
    }
}

/// The flags that an order keeps while it rests. [`SPECIAL`] is set when it enters.
pub(super) fn flags_of(order: &NewOrder) -> u32 {
    let mut flags = policy_bits(order.self_match);
    if order.side == Side::Bid {
        flags |= BID;
    }
    if order.post_only {
        flags |= POST;
    }
    if order.fill_rule == FillRule::AllOrNone {
        flags |= WHOLE;
    }
    if order.only_takes() {
        flags |= ONCE;
    }
    flags
}

pub(super) fn rare_of(order: &NewOrder) -> Option<Rare> {
    let rare = Rare {
        fill_min: if order.fill_min.0 > 1 { order.fill_min.0 } else { 0 },
        counterparties_left: (order.counterparties_max > 0).then_some(order.counterparties_max),
        expires_at: order.expires_at,
    };
    rare.is_some().then_some(rare)
}

impl Rare {
    fn is_some(&self) -> bool {
        self.fill_min > 0 || self.counterparties_left.is_some() || self.expires_at.is_some()
    }
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            slab: Slab::new(),
            ids: Ids::new(),
            rare: BTreeMap::new(),
            due: BTreeSet::new(),
            stats: Stats::default(),
            now: TimeMs(0),
        }
    }

    pub(super) fn rare(&self, id: u64) -> Rare {
        let none = Rare { fill_min: 0, counterparties_left: None, expires_at: None };
        self.rare.get(&id).copied().unwrap_or(none)
    }

    /// Puts an order behind the others at its price.
    #[inline]
    pub(super) fn rest<const HIGH: bool>(
        &mut self,
        ladder: &mut Ladder<HIGH>,
        mut slot: Slot,
        rare: Option<Rare>,
    ) {
        if let Some(rare) = rare {
            slot.flags |= SPECIAL;
            self.rare.insert(slot.id, rare);
            if let Some(at) = rare.expires_at {
                self.due.insert((at, slot.id));
            }
        }
        if slot.flags & WHOLE != 0 {
            slot.flags |= SPECIAL;
        }
        let level = ladder.open(slot.price);
        level.quantity += u64::from(slot.quantity);
        let tail = level.tail;
        (slot.prev, slot.next) = (tail, NIL);
        let (id, at) = (slot.id, self.slab.insert(slot));
        level.tail = at;
        if tail == NIL {
            level.head = at;
        } else {
            self.slab.get_mut(tail).next = at;
        }
        self.ids.set(id, at);
    }

    /// Takes an order out of its queue. The caller closes the level if it is empty.
    ///
    /// Here and in matching, fields are read one by one: copying a slot some of whose fields were just written would wait for them.
    #[inline]
    pub(super) fn unlink(&mut self, level: &mut Level, at: u32) {
        let slot = self.slab.get(at);
        let (id, flags, quantity) = (slot.id, slot.flags, slot.quantity);
        let (prev, next) = (slot.prev, slot.next);
        level.quantity -= u64::from(quantity);
        if prev == NIL {
            level.head = next;
        } else {
            self.slab.get_mut(prev).next = next;
        }
        if next == NIL {
            level.tail = prev;
        } else {
            self.slab.get_mut(next).prev = prev;
        }
        self.ids.remove(id);
        self.slab.remove(at);
        if flags & SPECIAL != 0 {
            self.forget_rare(id);
        }
    }

    #[cold]
    fn forget_rare(&mut self, id: u64) {
        if let Some(Rare { expires_at: Some(at), .. }) = self.rare.remove(&id) {
            self.due.remove(&(at, id));
        }
    }

    /// Takes an order out of its queue and says why.
    pub(super) fn drop_at<S: Sink>(&mut self, level: &mut Level, at: u32, why: Why, sink: &mut S) {
        let slot = self.slab.get(at);
        let (id, quantity) = (OrderId(slot.id), Lots(slot.quantity));
        self.unlink(level, at);
        sink.event(Event::Cancelled { id, quantity, why });
    }

    pub(super) fn is_expired(&self, slot: &Slot) -> bool {
        slot.flags & SPECIAL != 0 && self.rare(slot.id).expires_at.is_some_and(|at| at <= self.now)
    }

    pub(super) fn view(&self, slot: &Slot) -> Resting {
        let rare = self.rare(slot.id);
        Resting {
            id: OrderId(slot.id),
            side: if slot.flags & BID != 0 { Side::Bid } else { Side::Ask },
            owner: Owner(slot.owner),
            price: Tick(slot.price),
            quantity: Lots(slot.quantity),
            self_match: policy_of(slot.flags),
            post_only: slot.flags & POST != 0,
            all_or_none: slot.flags & WHOLE != 0,
            fill_min: Lots(rare.fill_min),
            counterparties_left: rare.counterparties_left,
            expires_at: rare.expires_at,
        }
    }
}
