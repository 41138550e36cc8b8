//! What goes into the book, and why it may be refused.

use gongsuan_types::order::{FillRule, SelfMatch, Side};
use gongsuan_types::{OrderId, TimeMs};
use serde::{Deserialize, Serialize};

/// A price in the book's smallest steps. A limit is 1 to `u32::MAX - 1`; the two ends stand for orders without a limit.
///
/// ```
/// use gongsuan_market::prelude::*;
/// assert!(Tick(101) > Tick(100));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tick(pub u32);

/// A quantity in the book's smallest units.
///
/// ```
/// use gongsuan_market::prelude::*;
/// assert_eq!(Lots::default(), Lots(0));
/// ```
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Lots(pub u32);

/// Whose order it is: a number that the caller gives to an account or to a group of accounts.
///
/// ```
/// use gongsuan_market::prelude::*;
/// // One member of a group that must not trade with itself is as good as another.
/// let order = NewOrder::limit(Side::Ask, Owner(7), Tick(5), Lots(1));
/// assert_eq!(order.owner, Owner(7));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(pub u32);

/// How an order is priced.
///
/// ```
/// use gongsuan_market::prelude::*;
/// let mut book = Book::new(Mode::Continuous);
/// book.submit(&NewOrder::limit(Side::Ask, Owner(1), Tick(9), Lots(2)), &mut Ignore)?;
/// let best = NewOrder::limit(Side::Bid, Owner(2), Tick(1), Lots(5));
/// book.submit(&NewOrder { kind: Kind::MarketLimit, ..best }, &mut Ignore)?;
/// assert_eq!(book.best(Side::Bid), Some(Tick(9)), "what did not trade rests at the price it met");
/// # Ok::<(), Refused>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// At this price or better.
    Limit(Tick),
    /// At any price; what does not trade at once is cancelled.
    Market,
    /// At the best price of the other side when it comes (in a batch: before the block); the rest stays at that price. Cancelled if there
    /// is none.
    MarketLimit,
}

/// An order as it is submitted.
///
/// ```
/// use gongsuan_market::book::{FillRule, Lots, NewOrder, Owner, Side, Tick};
/// let plain = NewOrder::limit(Side::Bid, Owner(7), Tick(100), Lots(3));
/// let now_or_never = NewOrder { fill_rule: FillRule::ImmediateOrCancel, ..plain };
/// assert_eq!(now_or_never.quantity, Lots(3));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NewOrder {
    /// The side.
    pub side: Side,
    /// Whose.
    pub owner: Owner,
    /// How it is priced.
    pub kind: Kind,
    /// How much.
    pub quantity: Lots,
    /// What happens to the part that does not trade at once.
    pub fill_rule: FillRule,
    /// Meeting oneself.
    pub self_match: SelfMatch,
    /// Only rests: cancelled if it would take (in a batch: from the book as it was before the block).
    pub post_only: bool,
    /// The smallest fill, except one that completes the order. 0 and 1 ask for nothing.
    pub fill_min: Lots,
    /// With how many others it may trade; the rest is cancelled then. 0 sets no limit.
    pub counterparties_max: u32,
    /// Not filled from this time on.
    pub expires_at: Option<TimeMs>,
}

impl NewOrder {
    /// A plain limit order that rests, and cancels an own order that it meets.
    #[must_use]
    pub const fn limit(side: Side, owner: Owner, price: Tick, quantity: Lots) -> Self {
        Self {
            side,
            owner,
            kind: Kind::Limit(price),
            quantity,
            fill_rule: FillRule::Rest,
            self_match: SelfMatch::CancelResting,
            post_only: false,
            fill_min: Lots(0),
            counterparties_max: 0,
            expires_at: None,
        }
    }

    /// A plain market order.
    #[must_use]
    pub const fn market(side: Side, owner: Owner, quantity: Lots) -> Self {
        Self {
            kind: Kind::Market,
            fill_rule: FillRule::ImmediateOrCancel,
            ..Self::limit(side, owner, Tick(1), quantity)
        }
    }
}

/// An order in the book.
///
/// ```
/// use gongsuan_market::prelude::*;
/// let mut book = Book::new(Mode::Continuous);
/// let id = book.submit(&NewOrder::limit(Side::Ask, Owner(1), Tick(9), Lots(2)), &mut Ignore)?;
/// let resting: Resting = book.order(id).expect("it rests");
/// assert_eq!((resting.price, resting.quantity), (Tick(9), Lots(2)));
/// # Ok::<(), Refused>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Resting {
    /// Its number.
    pub id: OrderId,
    /// The side.
    pub side: Side,
    /// Whose.
    pub owner: Owner,
    /// Its price.
    pub price: Tick,
    /// What is open.
    pub quantity: Lots,
    /// What it does when it meets its owner's order after an amendment.
    pub self_match: SelfMatch,
    /// Whether it must not take after an amendment.
    pub post_only: bool,
    /// Whether only the whole of it is filled.
    pub all_or_none: bool,
    /// The smallest fill.
    pub fill_min: Lots,
    /// With how many others it may still trade.
    pub counterparties_left: Option<u32>,
    /// Not filled from this time on.
    pub expires_at: Option<TimeMs>,
}

/// When orders match.
///
/// ```
/// use gongsuan_market::prelude::*;
/// assert!(Book::new(Mode::Continuous).clear(&mut Ignore).is_err());
/// assert!(Book::new(Mode::Batch(Pricing::Quoted)).clear(&mut Ignore).is_ok());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Each as it comes.
    Continuous,
    /// All of a block together, at [`crate::book::Book::clear`].
    Batch(Pricing),
}

/// What a fill costs in batch mode.
///
/// ```
/// use gongsuan_market::prelude::*;
/// let price = |pricing| {
///     let mut book = Book::new(Mode::Batch(pricing));
///     book.submit(&NewOrder::limit(Side::Ask, Owner(1), Tick(10), Lots(1)), &mut Ignore)?;
///     book.submit(&NewOrder::limit(Side::Bid, Owner(2), Tick(14), Lots(1)), &mut Ignore)?;
///     Ok::<_, Refused>(book.clear(&mut Ignore)?.price)
/// };
/// assert_eq!(price(Pricing::Quoted)?, Some(Tick(10)));
/// assert_eq!(price(Pricing::Uniform)?, Some(Tick(12)));
/// # Ok::<(), Refused>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pricing {
    /// What the order asks that rested before this block; the ask's price if both are new.
    Quoted,
    /// One price for all fills: most volume, then least left over at that price, then the middle, rounded down. If one side of the last
    /// fill has no limit, the best of these prices for it; if neither has, the one nearest to what traded last.
    Uniform,
}

/// Why a command was refused. The book is unchanged.
///
/// ```
/// use gongsuan_market::prelude::*;
/// let nothing = NewOrder::limit(Side::Bid, Owner(1), Tick(5), Lots(0));
/// let refused = Book::new(Mode::Continuous).submit(&nothing, &mut Ignore).unwrap_err();
/// assert_eq!(refused.to_string(), "the quantity must be at least 1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// A quantity of 0.
    #[error("the quantity must be at least 1")]
    NoQuantity,
    /// A price at one of the ends.
    #[error("the price must be 1 to 4294967294")]
    NoPrice,
    /// The time is over already.
    #[error("the order is past its time")]
    PastItsTime,
    /// `post_only` with a rule or kind that must take.
    #[error("an order that only rests cannot be one that only takes")]
    OnlyRests,
    /// There is no such order, or it is closed.
    #[error("there is no open order {0}")]
    NoOrder(OrderId),
    /// It belongs to somebody else.
    #[error("order {0} belongs to another owner")]
    NotYours(OrderId),
    /// Numbers rise.
    #[error("order number {0} is not above all before it")]
    NumberUsed(OrderId),
    /// The command belongs to the other mode.
    #[error("the book is in another mode")]
    WrongMode,
    /// A snapshot that no book made.
    #[error("the snapshot is not one of a book: {0}")]
    BadSnapshot(&'static str),
}

impl NewOrder {
    /// Whether a book takes this order at `now`.
    pub(crate) fn check(&self, now: TimeMs) -> Result<(), Refused> {
        if self.quantity.0 == 0 {
            return Err(Refused::NoQuantity);
        }
        if let Kind::Limit(Tick(0 | u32::MAX)) = self.kind {
            return Err(Refused::NoPrice);
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            return Err(Refused::PastItsTime);
        }
        if self.post_only
            && (matches!(self.fill_rule, FillRule::ImmediateOrCancel | FillRule::FillOrKill)
                || !matches!(self.kind, Kind::Limit(_)))
        {
            return Err(Refused::OnlyRests);
        }
        Ok(())
    }

    /// Whether nothing of it may stay in the book.
    pub(crate) fn only_takes(&self) -> bool {
        self.kind == Kind::Market
            || matches!(self.fill_rule, FillRule::ImmediateOrCancel | FillRule::FillOrKill)
    }
}
