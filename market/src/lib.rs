//! Deterministic order books for compute, and the life of the deals that they open.
//!
//! The market knows orders and deals. It knows no balance, clock, network or disk: it answers every command and every block with
//! [`Event`]s and [`Settlement`]s, and whoever keeps the accounts carries those out.
//!
//! # A block is a batch
//! The order of transactions inside a block buys nothing. [`Market::submit`] records new orders and withdraws cancelled ones; [`Market::end_block`] then
//! 1. withdraws expired orders,
//! 2. inserts the block's new asks (ties are broken by `H(block ‖ order)`, which no sender can choose),
//! 3. matches all open bids, class by class, ranked by limit price, then height of arrival, then `H(block ‖ order)`. Classes are searched
//!    on several threads; nothing of that can be seen in the result.
//!
//! A bid takes the cheapest suitable asks by (price, reputation, age), at the asks' prices, in fills that are multiples of its lot. Each
//! fill opens one deal over the next segments of the job, and takes the capacity from the ask in the same step.
//!
//! # Work
//! A search visits at most [`Rules::visits_max`] nodes in one block, and goes on in the next ([`Event::Deferred`]). [`Rules::visits_free`]
//! of them cost nothing; the bid pays for the others out of what it set aside when it was placed ([`Event::Searched`]), and is cancelled
//! when that is used up. The count does not depend on the machine: the index has one shape for one set of asks.
//!
//! # A deal
//! ```text
//! Matched ─acknowledge→ Running ─commit→ Committed ─beacon, secret→ Drawn ─window over→ Settled, or Running with the next batch
//!    │ ack_by              │ done_by, heartbeat                      │ challenge, demand
//!    └──→ Rematch ←────────┴───────── wrong, withheld ───────────────┴→ Disputed, Demanded ─right, shown→ Drawn
//!            └─the next provider→ Matched; nobody in time→ Failed
//! ```
//! [`Step`] is the table of all transitions, shown in `docs/deals.md`. Every state that waits has a deadline in block time, swept by
//! [`Market::begin_block`]: any transaction of anybody fires it. Silence accepts: a sample not audited in time passes, a secret not revealed in
//! time is left out of the draw. Questions that only execution answers go to the validators as a [`Case`], and [`Market::judge`] counts what
//! they found.
//!
//! # Three doors
//! - [`Market`]: asks, bids, deals; what the chain runs.
//! - [`attributes`]: the index with which it finds the cheapest ask that suits a bid, and the bids that suit a new ask. Stands alone.
//! - [`book`]: the standard book, price then time, for things that are all alike. Stands alone; no chain needed.
//!
//! [`prelude`] has what most programs need of all three. Each has its naive double in obvious code ([`naive`], [`book::naive`]; for the index, a scan in its test), and random commands show
//! that both do the same. [`Market::explain`] says why an order did not match and what would make it match.
//!
//! # Not here
//! Balances, signatures, identity (an ask's `VETTED` bit comes in with the [`gongsuan_types::order::Party`]), and running jobs.

mod anomaly;
pub mod attributes;
pub mod book;
mod capacity;
mod command;
mod deal;
mod error;
mod event;
mod explain;
#[cfg(feature = "faults")]
pub mod faults;
mod market;
mod matching;
pub mod naive;
mod order;
pub mod prelude;
mod reputation;
mod rules;
mod search;
mod settlement;
mod table;
mod view;

pub use anomaly::{Anomaly, Oddness, anomalies};
pub use capacity::{CapacityRules, Certificate, Lapse, Probe, Shown};
pub use command::Command;
pub use deal::{
    Batch, COMMENT_BYTES_MAX, Cancellation, Case, Deal, DealState, Failure, Kind, Pledge, Question,
    Rating, Sample, Stage, Step, Stop, Terms, Transition, Vote, audit_seal, seal,
};
pub use error::MarketError;
pub use event::{Event, Outcome};
pub use explain::{BookView, Explanation, Level, Miss, Nearest};
pub use market::{Market, Moment};
pub use order::{Order, OrderState, Terms as OrderTerms};
pub use reputation::{ReputationRules, Standing};
pub use rules::Rules;
pub use settlement::{HoldId, Reason, Settlement};
pub use table::RecordId;
