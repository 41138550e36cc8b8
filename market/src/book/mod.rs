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
//! ids    ── order number → place, a paged direct table         │              └ clearing ── plan, price (a block as a batch)
//! rare   ── expiry, smallest fill, counterparties ─────────────┘
//! ahead  ── reading what the next commands will touch
//! owners ── the orders of one owner, brought up to date when somebody asks
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
//! # Batch mode
//! Orders wait until [`Book::clear`], and the order in which they came buys nothing. See [`Pricing`] for what a fill costs.
//! 1. Post-only orders that reach the best price of the other side end, and market-limit orders take it as their limit. Both mean the
//!    book as it was before the block: orders of one block do not come one after the other.
//! 2. Both sides are paired from the top: better price first, at one price what rests before what is new, new orders by their rank.
//! 3. Nobody passes over a better order of the other side, because two fills might then have no price in common. (Bids at 10 and 6, asks
//!    at 5 and 9: if the first bid could pass over the first ask, the fills would be at 9 to 10 and at 5 to 6.) So an order *leaves* the
//!    block, keeping its fills, where rule 2 or 4 above would pass over: it is too small a fill for its `fill_min`, or it is the newer of
//!    two orders of one owner and its policy is to skip. The other policies are those of the newer order too.
//! 4. All-or-none and fill-or-kill orders are filled whole inside the block, by however many. One that is not *sits the block out*: the
//!    block is paired as if it were not there. After [`UNDONE_MAX`] of them in one block, all of them sit it out; so the work of a block is
//!    bounded.
//! 5. What is left of the block's orders then rests, or ends by its own rule.
//!
//! # Not here
//! Attributes (see [`crate::Market`]), money, several books.

mod ahead;
mod bits;
mod clearing;
mod engine;
mod event;
mod ids;
mod ladder;
mod matching;
pub mod naive;
mod order;
mod owners;
mod plan;
mod price;
mod slab;
mod snapshot;
mod store;
mod view;

/// So many orders that want everything may be undone in one batch.
pub const UNDONE_MAX: usize = 64;

pub use ahead::Upcoming;
pub use engine::Book;
pub use event::{Event, Ignore, Sink, Why};
pub use gongsuan_types::OrderId;
pub use gongsuan_types::order::{FillRule, SelfMatch, Side};
pub use order::{Kind, Lots, Mode, NewOrder, Owner, Pricing, Refused, Resting, Tick};
pub use snapshot::{Snapshot, Waiting};
pub use view::{Cleared, Depth, Stats};
