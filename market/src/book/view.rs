//! What may be read of a book.

use gongsuan_types::OrderId;
use gongsuan_types::order::Side;
use serde::{Deserialize, Serialize};

use super::engine::Book;
use super::ladder::Ladder;
use super::slab::{BID, NIL};
use super::{Resting, Tick};

/// All orders at one price.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Depth {
    /// The price.
    pub price: Tick,
    /// What is open there. Orders past their time count until they are swept.
    pub quantity: u64,
    /// How many orders.
    pub orders: u32,
}

/// What has traded since the book was new.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Fills.
    pub fills: u64,
    /// The sum of their quantities.
    pub volume: u64,
    /// The sum of price × quantity.
    pub value: u128,
    /// The price of the first fill.
    pub first: Option<Tick>,
    /// The price of the last fill.
    pub last: Option<Tick>,
    /// The lowest price of a fill.
    pub low: Option<Tick>,
    /// The highest price of a fill.
    pub high: Option<Tick>,
}

impl Stats {
    #[inline]
    pub(crate) fn count(&mut self, price: u32, quantity: u32) {
        let price = Tick(price);
        self.fills += 1;
        self.volume += u64::from(quantity);
        self.value += u128::from(u64::from(price.0) * u64::from(quantity));
        self.last = Some(price);
        match (self.low, self.high) {
            (Some(low), Some(high)) => {
                if price < low {
                    self.low = Some(price);
                }
                if price > high {
                    self.high = Some(price);
                }
            }
            _ => (self.first, self.low, self.high) = (Some(price), Some(price), Some(price)),
        }
    }

    /// The mean price of what has traded, rounded down.
    #[must_use]
    pub fn mean(&self) -> Option<Tick> {
        let mean = self.value.checked_div(u128::from(self.volume))?;
        u32::try_from(mean).ok().map(Tick)
    }
}

/// What clearing a batch did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Cleared {
    /// The one price, or the last one. `None` without fills.
    pub price: Option<Tick>,
    /// How much traded.
    pub volume: u64,
    /// In how many fills.
    pub fills: u64,
}

impl Book {
    /// The best price of a side.
    #[must_use]
    pub fn best(&self, side: Side) -> Option<Tick> {
        let best = match side {
            Side::Bid => self.bids.best(),
            Side::Ask => self.asks.best(),
        };
        best.map(Tick)
    }

    /// The best `levels` prices of a side, best first. Takes time with the orders at them.
    #[must_use]
    pub fn depth(&self, side: Side, levels: usize) -> Vec<Depth> {
        match side {
            Side::Bid => self.depth_of(&self.bids, levels),
            Side::Ask => self.depth_of(&self.asks, levels),
        }
    }

    fn depth_of<const HIGH: bool>(&self, ladder: &Ladder<HIGH>, levels: usize) -> Vec<Depth> {
        let depth = |price| {
            let quantity = ladder.level(price).map_or(0, |level| level.quantity);
            let orders = self.places(ladder, price).map(|_| 1).sum();
            Depth { price: Tick(price), quantity, orders }
        };
        ladder.prices().take(levels).map(depth).collect()
    }

    /// The places at one price, oldest first.
    pub(super) fn places<const HIGH: bool>(
        &self,
        ladder: &Ladder<HIGH>,
        price: u32,
    ) -> impl Iterator<Item = u32> + use<'_, HIGH> {
        let head = ladder.level(price).map_or(NIL, |level| level.head);
        let there = |at: u32| (at != NIL).then_some(at);
        std::iter::successors(there(head), move |at| there(self.store.slab.get(*at).next))
    }

    /// The open orders of a side in the order in which they are taken.
    pub fn orders(&self, side: Side) -> impl Iterator<Item = Resting> + '_ {
        let (bids, asks) = match side {
            Side::Bid => (Some(&self.bids), None),
            Side::Ask => (None, Some(&self.asks)),
        };
        let bids = bids.into_iter().flat_map(move |ladder| {
            ladder.prices().flat_map(move |price| self.places(ladder, price))
        });
        let asks = asks.into_iter().flat_map(move |ladder| {
            ladder.prices().flat_map(move |price| self.places(ladder, price))
        });
        bids.chain(asks).map(|at| self.store.view(self.store.slab.get(at)))
    }

    /// An order that rests in the book.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<Resting> {
        self.place(id).map(|at| self.store.view(self.store.slab.get(at)))
    }

    /// How many orders rest in the book.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.slab.len() as usize
    }

    /// Whether no order rests in the book.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many prices of a side have orders.
    #[must_use]
    pub fn levels(&self, side: Side) -> usize {
        match side {
            Side::Bid => self.bids.prices().count(),
            Side::Ask => self.asks.prices().count(),
        }
    }

    /// What has traded.
    #[must_use]
    pub fn stats(&self) -> &super::Stats {
        &self.store.stats
    }

    /// The memory of chunks, pages and tables, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.store.slab.bytes() + self.store.ids.bytes() + self.bids.bytes() + self.asks.bytes()
    }

    /// Checks every structure against the others. For tests: looks at everything.
    ///
    /// # Panics
    /// If they disagree.
    pub fn check(&self) {
        let bids = self.check_side(&self.bids, true);
        let asks = self.check_side(&self.asks, false);
        assert_eq!(bids + asks, self.len(), "every order is in one queue");
        let resting = self.store.ids.iter().filter(|(_, at)| !is_waiting(*at)).count();
        assert_eq!(resting, self.len(), "every order has one number");
        let due = self.store.rare.values().filter(|rare| rare.expires_at.is_some()).count();
        assert_eq!(due, self.store.due.len(), "every deadline is known");
    }

    fn check_side<const HIGH: bool>(&self, ladder: &Ladder<HIGH>, bids: bool) -> usize {
        let (mut orders, mut before) = (0, None);
        for price in ladder.prices() {
            assert!(ladder.is_marked(price));
            assert!(
                before
                    .is_none_or(|before| before != price && Ladder::<HIGH>::reaches(before, price))
            );
            before = Some(price);
            let level = ladder.level(price).expect("a marked level has orders");
            let (mut sum, mut prev) = (0, NIL);
            for at in self.places(ladder, price) {
                let slot = self.store.slab.get(at);
                assert_eq!((slot.prev, slot.price), (prev, price));
                assert_eq!(slot.flags & BID != 0, bids);
                assert_eq!(self.store.ids.get(slot.id), at);
                assert!(slot.quantity > 0);
                sum += u64::from(slot.quantity);
                prev = at;
                orders += 1;
            }
            assert_eq!((level.tail, level.quantity), (prev, sum));
        }
        orders
    }
}

pub(super) fn is_waiting(at: u32) -> bool {
    at & super::engine::WAITING != 0
}
