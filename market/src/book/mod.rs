//! The standard book: price, then time. One class, no attributes, as fast as memory allows.
//!
//! It stands alone: no chain, no deals, no money. Quantities, prices and owners are small integers ([`Lots`], [`Tick`], [`Owner`]); order
//! numbers rise and are given by the book. Everything that happens comes out as an [`Event`], in order, into the caller's [`Sink`].
//!
//! ```
//! use gongsuan_market::book::{Book, Event, Lots, Mode, NewOrder, Owner, Tick};
//! use gongsuan_types::order::Side;
//!
//! let mut book = Book::new(Mode::Continuous);
//! let mut events = Vec::new();
//! book.submit(&NewOrder::limit(Side::Ask, Owner(1), Tick(100), Lots(5)), &mut events)?;
//! book.submit(&NewOrder::limit(Side::Bid, Owner(2), Tick(101), Lots(3)), &mut events)?;
//! assert!(events.iter().any(|event| matches!(
//!     event,
//!     Event::Filled { price: Tick(100), quantity: Lots(3), .. }
//! )));
//! assert_eq!(book.best(Side::Ask), Some(Tick(100)));
//! # Ok::<(), gongsuan_market::book::Refused>(())
//! ```
//!
//! # Rooms
//! ```text
//! ladder ── price levels in pages of 4,096, found by bitmaps ──┐
//! slab   ── orders in chunks that never move, 32 bytes each    ├─ store ── matching ── engine (Book)
//! ids    ── order number → place, a paged direct table         │              └ clearing (a block as a batch)
//! rare   ── expiry, smallest fill, counterparties ─────────────┘
//! naive  ── the same rules in obvious code: the oracle
//! ```
//!
//! # Rules
//! 1. A taker takes the best price first, at one price the oldest order first, at the resting order's price.
//! 2. A fill is as large as both sides allow. It is not made, and the resting order is passed over, when it is below the `fill_min` of a
//!    side that it does not complete. An all-or-none order that rests is filled whole by one taker or not at all.
//! 3. [`FillRule::FillOrKill`] and all-or-none takers look first, with rules 1, 2 and 4, and take only if everything is there.
//! 4. A taker that meets its own order follows its own [`SelfMatch`] policy.
//! 5. An order past its time is never filled: it is removed when it is met or swept, whichever comes first.
//! 6. A decrease at the same price keeps an order's place; any other change enters it anew under its old number.
//!
//! In batch mode orders wait until [`Book::clear`], and the order in which they came buys nothing. See [`Pricing`].
//!
//! # Not here
//! Attributes (see [`crate::Market`]), money, several books. Cancelling all orders of an owner looks at every resting order.

mod bits;
mod clearing;
mod engine;
mod event;
mod ids;
mod ladder;
mod matching;
pub mod naive;
mod order;
mod slab;
mod snapshot;
mod store;
mod view;

pub use engine::Book;
pub use event::{Event, Ignore, Sink, Why};
pub use gongsuan_types::OrderId;
pub use gongsuan_types::order::{FillRule, SelfMatch, Side};
pub use order::{Kind, Lots, Mode, NewOrder, Owner, Pricing, Refused, Resting, Tick};
pub use snapshot::{Snapshot, Waiting};
pub use view::{Cleared, Depth, Stats};
