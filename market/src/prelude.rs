//! What most programs need: `use gongsuan_market::prelude::*`.
//!
//! ```
//! use gongsuan_market::prelude::*;
//!
//! let mut book = Book::new(Mode::Batch(Pricing::Uniform));
//! let mut events = Vec::new();
//! for (number, (side, owner, price)) in (1..).zip([(Side::Ask, 1, 98), (Side::Bid, 2, 104)]) {
//!     let order = NewOrder::limit(side, Owner(owner), Tick(price), Lots(5));
//!     book.queue(OrderId(number), &order, number, &mut events)?;
//! }
//! assert_eq!(book.clear(&mut events)?.price, Some(Tick(101)));
//! # Ok::<(), Refused>(())
//! ```

pub use crate::attributes::{AskIndex, AskKey, BidIndex, Step};
pub use crate::book::naive::NaiveBook;
pub use crate::book::{
    Book, Event as BookEvent, Ignore, Kind, Lots, Mode, NewOrder, Owner, Pricing, Refused, Resting,
    Sink, Snapshot, Tick, Why,
};
pub use crate::naive::NaiveMarket;
pub use crate::{
    Command, Event, Explanation, Market, MarketError, Moment, Order, OrderState, Outcome, Rules,
    Settlement,
};
pub use gongsuan_types::OrderId;
pub use gongsuan_types::order::{FillRule, SelfMatch, Side};
