//! A taker walks the other side. The rules' numbers are those of the module's documentation.

use gongsuan_types::OrderId;
use gongsuan_types::order::SelfMatch;

use super::ladder::{Ladder, Level};
use super::slab::{NIL, SPECIAL, Slot, WHOLE};
use super::store::Store;
use super::{Event, Lots, Sink, Tick, Why};

/// An order on its way through the other side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taker {
    pub(super) id: u64,
    pub(super) owner: u32,
    pub(super) limit: u32,
    pub(super) left: u32,
    pub(super) fill_min: u32,
    pub(super) counterparties_left: u32,
    pub(super) self_match: SelfMatch,
    /// It met its owner and is to be cancelled.
    pub(super) stopped: bool,
}

/// What becomes of a resting order that a taker meets.
enum Verdict {
    Fill(u32),
    Pass,
    Drop(Why),
    Stop,
}

impl Taker {
    #[inline]
    fn is_done(&self) -> bool {
        self.left == 0 || self.stopped || self.counterparties_left == 0
    }

    /// Nothing forbids the two to meet.
    #[inline]
    fn is_plain(&self, maker: &Slot) -> bool {
        (maker.owner != self.owner) & (maker.flags & SPECIAL == 0) & (self.fill_min <= 1)
    }

    /// Rules 2, 4 and 5. Reads only.
    #[inline]
    fn judge(&self, store: &Store, maker: &Slot) -> Verdict {
        let quantity = self.left.min(maker.quantity);
        if self.is_plain(maker) {
            return Verdict::Fill(quantity);
        }
        self.judge_closely(store, maker, quantity)
    }

    #[cold]
    fn judge_closely(&self, store: &Store, maker: &Slot, quantity: u32) -> Verdict {
        let rare = store.rare(maker.id);
        if rare.expires_at.is_some_and(|at| at <= store.now) {
            return Verdict::Drop(Why::Expired);
        }
        if maker.owner == self.owner {
            return match self.self_match {
                SelfMatch::Skip => Verdict::Pass,
                SelfMatch::CancelResting => Verdict::Drop(Why::SelfMatch),
                SelfMatch::CancelIncoming => Verdict::Stop,
            };
        }
        let least = if maker.flags & WHOLE != 0 { maker.quantity } else { rare.fill_min };
        let too_small_for_maker = quantity < least && quantity != maker.quantity;
        let too_small_for_taker = quantity < self.fill_min && quantity != self.left;
        if too_small_for_maker || too_small_for_taker {
            return Verdict::Pass;
        }
        Verdict::Fill(quantity)
    }

    /// Whether all of it is there (rule 3). Reads only.
    pub(super) fn is_covered<const HIGH: bool>(
        mut self,
        store: &Store,
        makers: &Ladder<HIGH>,
    ) -> bool {
        let reached = |price: &u32| Ladder::<HIGH>::reaches(*price, self.limit);
        for price in makers.prices().take_while(reached) {
            let mut at = makers.level(price).map_or(NIL, |level| level.head);
            while at != NIL && !self.is_done() {
                let maker = store.slab.get(at);
                match self.judge(store, maker) {
                    Verdict::Fill(quantity) => {
                        self.left -= quantity;
                        self.counterparties_left -= 1;
                    }
                    Verdict::Stop => self.stopped = true,
                    Verdict::Pass | Verdict::Drop(_) => {}
                }
                at = maker.next;
            }
            if self.is_done() {
                break;
            }
        }
        self.left == 0
    }

    /// Takes what it may (rule 1).
    #[inline]
    pub(super) fn take<const HIGH: bool, S: Sink>(
        &mut self,
        store: &mut Store,
        makers: &mut Ladder<HIGH>,
        sink: &mut S,
    ) {
        let mut next = makers.best();
        while let Some(price) = next {
            if self.is_done() || !Ladder::<HIGH>::reaches(price, self.limit) {
                break;
            }
            let level = makers.level_mut(price);
            self.take_level(store, level, price, sink);
            let emptied = level.head == NIL;
            let was_best = makers.best() == Some(price);
            if emptied {
                makers.close(price);
            }
            next = if emptied && was_best { makers.best() } else { makers.worse(price) };
        }
    }

    #[inline]
    fn take_level<S: Sink>(
        &mut self,
        store: &mut Store,
        level: &mut Level,
        price: u32,
        sink: &mut S,
    ) {
        let mut at = level.head;
        while at != NIL && !self.is_done() {
            let maker = store.slab.get(at);
            let next = maker.next;
            match self.judge(store, maker) {
                Verdict::Fill(quantity) => self.fill(store, level, (at, price), quantity, sink),
                Verdict::Pass => {}
                Verdict::Drop(why) => store.drop_at(level, at, why, sink),
                Verdict::Stop => self.stopped = true,
            }
            at = next;
        }
        debug_assert!(level.head != NIL || level.quantity == 0, "an empty level at {price}");
    }

    #[inline]
    fn fill<S: Sink>(
        &mut self,
        store: &mut Store,
        level: &mut Level,
        (at, price): (u32, u32),
        quantity: u32,
        sink: &mut S,
    ) {
        let maker = store.slab.get(at);
        let (id, flags) = (maker.id, maker.flags);
        let maker_left = maker.quantity - quantity;
        self.left -= quantity;
        self.counterparties_left -= 1;
        store.stats.count(price, quantity);
        sink.event(Event::Filled {
            taker: OrderId(self.id),
            maker: OrderId(id),
            price: Tick(price),
            quantity: Lots(quantity),
            maker_left: Lots(maker_left),
        });
        if maker_left == 0 {
            store.unlink(level, at);
            return;
        }
        store.slab.get_mut(at).quantity = maker_left;
        level.quantity -= u64::from(quantity);
        if flags & SPECIAL != 0 {
            self.count_counterparty(store, level, (at, id), sink);
        }
    }

    #[cold]
    fn count_counterparty<S: Sink>(
        &mut self,
        store: &mut Store,
        level: &mut Level,
        (at, id): (u32, u64),
        sink: &mut S,
    ) {
        let Some(rare) = store.rare.get_mut(&id) else { return };
        let Some(left) = &mut rare.counterparties_left else { return };
        *left -= 1;
        if *left == 0 {
            store.drop_at(level, at, Why::Counterparties, sink);
        }
    }
}
