//! What happened.

use gongsuan_types::OrderId;
use gongsuan_types::order::Side;
use serde::{Deserialize, Serialize};

use super::{Lots, Owner, Tick};

/// One thing that happened. 32 bytes.
///
/// ```
/// use gongsuan_market::prelude::*;
/// let mut events: Vec<BookEvent> = Vec::new();
/// let order = NewOrder::limit(Side::Bid, Owner(1), Tick(9), Lots(2));
/// Book::new(Mode::Continuous).submit(&order, &mut events)?;
/// assert!(matches!(events[..], [BookEvent::Accepted { .. }, BookEvent::Rested { .. }]));
/// # Ok::<(), Refused>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// An order was taken in.
    Accepted {
        /// Its number.
        id: OrderId,
        /// The side.
        side: Side,
        /// Whose.
        owner: Owner,
        /// Its limit (an end of the scale for an order without one).
        price: Tick,
        /// How much.
        quantity: Lots,
    },
    /// Two orders traded.
    Filled {
        /// The order that came (in a batch: the bid).
        taker: OrderId,
        /// The order that rested (in a batch: the ask).
        maker: OrderId,
        /// At this price.
        price: Tick,
        /// How much.
        quantity: Lots,
        /// What is still open of the maker.
        maker_left: Lots,
    },
    /// What is left of an order entered the book.
    Rested {
        /// Its number.
        id: OrderId,
        /// Its price.
        price: Tick,
        /// What is open.
        quantity: Lots,
    },
    /// What is left of an order is gone.
    Cancelled {
        /// Its number.
        id: OrderId,
        /// What was open.
        quantity: Lots,
        /// Why.
        why: Why,
    },
    /// An order was changed by its owner.
    Amended {
        /// Its number.
        id: OrderId,
        /// Its price now.
        price: Tick,
        /// What is open now.
        quantity: Lots,
        /// Whether it kept its place.
        kept_place: bool,
    },
    /// A batch was cleared.
    Cleared {
        /// The one price of all its fills, or of the last one if each has its own. `None` without fills.
        price: Option<Tick>,
        /// How much traded.
        volume: u64,
    },
}

const _: () = assert!(size_of::<Event>() <= 32, "events are copied in the hot path");

/// Why an order is gone.
///
/// ```
/// use gongsuan_market::prelude::*;
/// let mut events = Vec::new();
/// let order = NewOrder::market(Side::Bid, Owner(1), Lots(2));
/// Book::new(Mode::Continuous).submit(&order, &mut events)?;
/// assert!(matches!(events[1], BookEvent::Cancelled { why: Why::Immediate, .. }));
/// # Ok::<(), Refused>(())
/// ```
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Its owner wanted it.
    Owner,
    /// Its time is over.
    Expired,
    /// It met an order of its owner.
    SelfMatch,
    /// It only takes, and there was no more to take.
    Immediate,
    /// All of it at once was not there.
    NotWhole,
    /// It only rests, and would have taken.
    WouldTake,
    /// It traded with as many others as it may.
    Counterparties,
    /// It could not pay for more searching. Only in the attribute market ([`crate::Rules::search_budget_micro`]).
    SearchBudget,
    /// What it held no longer covered it, after a fine. Only in the attribute market.
    Deposit,
    /// Its owner's certificate of capacity is gone, or shows less than it lists. Only in the attribute market.
    Uncertified,
    /// Its owner's attestation was revoked, or its account frozen. Only in the attribute market.
    Barred,
}

impl Why {
    /// The reason in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Owner => "its owner withdrew it",
            Self::Expired => "its time was over",
            Self::SelfMatch => "it met an order of its own account, and a policy ends it then",
            Self::Immediate => "it only takes what is there, and there was no more",
            Self::NotWhole => "it takes all or nothing, and all of it was not there",
            Self::WouldTake => "it only rests, and would have taken",
            Self::Counterparties => "it is in as many deals as it may be",
            Self::SearchBudget => "its search budget was used up",
            Self::Deposit => "after a fine, what it held no longer covered it",
            Self::Uncertified => "its owner's certificate of capacity no longer covers it",
            Self::Barred => "its owner's attestation was revoked, or its account frozen",
        }
    }
}

/// Where events go.
///
/// ```
/// use gongsuan_market::prelude::*;
/// /// Counts fills and keeps nothing.
/// struct Fills(u32);
/// impl Sink for Fills {
///     fn event(&mut self, event: BookEvent) {
///         self.0 += u32::from(matches!(event, BookEvent::Filled { .. }));
///     }
/// }
/// let (mut book, mut fills) = (Book::new(Mode::Continuous), Fills(0));
/// book.submit(&NewOrder::limit(Side::Ask, Owner(1), Tick(9), Lots(2)), &mut fills)?;
/// book.submit(&NewOrder::market(Side::Bid, Owner(2), Lots(2)), &mut fills)?;
/// assert_eq!(fills.0, 1);
/// # Ok::<(), Refused>(())
/// ```
pub trait Sink {
    /// Takes one event.
    fn event(&mut self, event: Event);
}

impl Sink for Vec<Event> {
    #[inline]
    fn event(&mut self, event: Event) {
        self.push(event);
    }
}

/// A sink for whoever wants no events.
///
/// ```
/// use gongsuan_market::prelude::*;
/// let order = NewOrder::limit(Side::Bid, Owner(1), Tick(9), Lots(2));
/// assert!(Book::new(Mode::Continuous).submit(&order, &mut Ignore).is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Ignore;

impl Sink for Ignore {
    #[inline]
    fn event(&mut self, _: Event) {}
}
