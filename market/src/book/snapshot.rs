//! A book as data. Two books with one history have equal snapshots, whatever their memory looks like; a restored book has the same future.

use gongsuan_types::order::Side;
use gongsuan_types::{OrderId, TimeMs};
use serde::{Deserialize, Serialize};

use super::engine::{Book, WAITING};
use super::slab::{BID, NIL, ONCE, POST, Slot, WHOLE};
use super::store::{Rare, policy_bits};
use super::{Mode, NewOrder, Refused, Resting, Stats};

/// A book as data.
///
/// ```
/// use gongsuan_market::prelude::*;
/// let book = Book::new(Mode::Continuous);
/// let snapshot: Snapshot = book.snapshot();
/// assert_eq!(Book::restore(&snapshot)?.snapshot(), snapshot);
/// # Ok::<(), Refused>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// When orders match.
    pub mode: Mode,
    /// The time that the book was told last.
    pub now: TimeMs,
    /// The next number.
    pub next_id: u64,
    /// What has traded.
    pub stats: Stats,
    /// Bids, then asks; best first, oldest first.
    pub orders: Vec<Resting>,
    /// Orders that wait for the end of the block, oldest first.
    pub waiting: Vec<Waiting>,
}

/// An order that waits for the end of the block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Waiting {
    /// Its rank among the block's orders.
    pub tie: u64,
    /// Its number.
    pub id: OrderId,
    /// What it says.
    pub order: NewOrder,
    /// Its owner has withdrawn it.
    pub withdrawn: bool,
}

impl Book {
    /// The book as data.
    ///
    /// ```
    /// use gongsuan_market::book::{Book, Ignore, Lots, Mode, NewOrder, Owner, Side, Tick};
    /// let mut book = Book::new(Mode::Continuous);
    /// book.submit(&NewOrder::limit(Side::Bid, Owner(1), Tick(9), Lots(2)), &mut Ignore)?;
    /// let copy = Book::restore(&book.snapshot())?;
    /// assert_eq!(copy.best(Side::Bid), Some(Tick(9)));
    /// # Ok::<(), gongsuan_market::book::Refused>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            mode: self.mode,
            now: self.store.now,
            next_id: self.next_id,
            stats: self.store.stats,
            orders: self.orders(Side::Bid).chain(self.orders(Side::Ask)).collect(),
            waiting: self.waiting.clone(),
        }
    }

    /// A book with this past.
    ///
    /// # Errors
    /// [`Refused::BadSnapshot`]: numbers are not below the next one or appear twice, or a quantity is 0.
    pub fn restore(snapshot: &Snapshot) -> Result<Self, Refused> {
        let mut book = Self::new(snapshot.mode);
        book.store.now = snapshot.now;
        book.store.stats = snapshot.stats;
        book.next_id = snapshot.next_id;
        for order in &snapshot.orders {
            book.may_add(order.id, order.quantity.0)?;
            let rare = Rare {
                fill_min: order.fill_min.0,
                counterparties_left: order.counterparties_left,
                expires_at: order.expires_at,
            };
            let has_rare = rare.fill_min > 0
                || rare.counterparties_left.is_some()
                || rare.expires_at.is_some();
            book.rest(slot(order), has_rare.then_some(rare));
        }
        for (place, waiting) in (0u32..).zip(&snapshot.waiting) {
            if !waiting.withdrawn {
                book.may_add(waiting.id, waiting.order.quantity.0)?;
                book.store.ids.set(waiting.id.0, place | WAITING);
            }
            book.waiting.push(*waiting);
        }
        Ok(book)
    }

    fn may_add(&self, id: OrderId, quantity: u32) -> Result<(), Refused> {
        if id.0 >= self.next_id {
            return Err(Refused::BadSnapshot("an order's number is not below the next one"));
        }
        if self.store.ids.get(id.0) != NIL {
            return Err(Refused::BadSnapshot("an order is there twice"));
        }
        if quantity == 0 {
            return Err(Refused::BadSnapshot("an order has no quantity"));
        }
        Ok(())
    }
}

fn slot(order: &Resting) -> Slot {
    let mut flags = policy_bits(order.self_match);
    for (bit, set) in
        [(BID, order.side == Side::Bid), (POST, order.post_only), (WHOLE, order.all_or_none)]
    {
        if set {
            flags |= bit;
        }
    }
    debug_assert_eq!(flags & ONCE, 0, "orders that only take never rest");
    Slot {
        id: order.id.0,
        quantity: order.quantity.0,
        owner: order.owner.0,
        prev: NIL,
        next: NIL,
        price: order.price.0,
        flags,
    }
}
