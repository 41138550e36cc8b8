//! Reading ahead. In a book larger than the processor's caches, a command waits for memory three or four times, one wait after another.
//! The waits of different commands need not follow each other.

use gongsuan_types::OrderId;
use gongsuan_types::order::Side;

use super::engine::WAITING;
use super::slab::{BID, NIL};
use super::{Book, Tick};

/// What a command to come will touch, for [`Book::read_ahead`].
///
/// ```
/// use gongsuan_market::book::{OrderId, Side, Tick, Upcoming};
/// let block = [Upcoming::Order(Side::Bid, Tick(100)), Upcoming::Change(OrderId(7))];
/// assert_eq!(block.len(), 2);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Upcoming {
    /// An order that may come to rest at this price.
    Order(Side, Tick),
    /// A cancel or an amendment of this order.
    Change(OrderId),
}

/// So many at a time: enough for every wait that a core can have open.
const GROUP: usize = 32;

/// What is known of one of a group after a round of reads.
#[derive(Clone, Copy)]
struct Place {
    at: u32,
    changes: bool,
}

const NOWHERE: Place = Place { at: NIL, changes: false };

impl Book {
    /// Reads what the next commands will touch, so that it lies in the processor's caches when they come. Changes nothing, and is never wrong: at worst it is
    /// of no use. With a million resting orders, groups of 32 make a stream of commands almost twice as fast; in a book that fits
    /// the caches anyway, they cost an eighth (`docs/benchmarks-market.md`).
    ///
    /// ```
    /// use gongsuan_market::book::{Book, Lots, Mode, NewOrder, Owner, Side, Tick, Upcoming};
    ///
    /// let mut book = Book::new(Mode::Continuous);
    /// let mut events = Vec::new();
    /// let block = [NewOrder::limit(Side::Bid, Owner(1), Tick(9), Lots(2)); 20];
    /// for group in block.chunks(32) {
    ///     book.read_ahead(group.iter().map(|order| Upcoming::Order(order.side, Tick(9))));
    ///     for order in group {
    ///         book.submit(order, &mut events)?;
    ///     }
    /// }
    /// assert_eq!(book.len(), 20);
    /// # Ok::<(), gongsuan_market::book::Refused>(())
    /// ```
    pub fn read_ahead(&self, upcoming: impl IntoIterator<Item = Upcoming>) {
        let mut upcoming = upcoming.into_iter().peekable();
        while upcoming.peek().is_some() {
            let mut group = [NOWHERE; GROUP];
            for (place, next) in group.iter_mut().zip(upcoming.by_ref().take(GROUP)) {
                *place = match next {
                    Upcoming::Order(side, price) => {
                        Place { at: self.last_at(side, price), changes: false }
                    }
                    Upcoming::Change(id) => Place { at: self.store.ids.get(id.0), changes: true },
                };
            }
            self.read_places(&group);
        }
    }

    /// The youngest order at a price, which gets a successor when another one rests.
    fn last_at(&self, side: Side, price: Tick) -> u32 {
        let level = match side {
            Side::Bid => self.bids.level(price.0),
            Side::Ask => self.asks.level(price.0),
        };
        level.map_or(NIL, |level| level.tail)
    }

    fn read_places(&self, group: &[Place; GROUP]) {
        let mut neighbours = [(NIL, NIL); GROUP];
        let mut levels = [None; GROUP];
        // What is read must go somewhere, or it would not be read.
        let mut sum = 0u32;
        for (index, Place { at, changes }) in group.iter().enumerate() {
            if at & WAITING != 0 {
                // Nowhere, or among the orders that wait, which lie together.
                continue;
            }
            let slot = self.store.slab.get(*at);
            if *changes {
                neighbours[index] = (slot.prev, slot.next);
                levels[index] = Some((slot.flags & BID != 0, slot.price));
            } else {
                sum ^= slot.next;
            }
        }
        for ((prev, next), level) in neighbours.into_iter().zip(levels) {
            for at in [prev, next] {
                if at != NIL {
                    sum ^= self.store.slab.get(at).flags;
                }
            }
            if let Some((is_bid, price)) = level {
                let side = if is_bid { Side::Bid } else { Side::Ask };
                sum ^= self.last_at(side, Tick(price));
            }
        }
        std::hint::black_box(sum);
    }
}
