//! The life of a deal.
//!
//! | file | what it holds |
//! |---|---|
//! | `record` | what is known of a deal: [`Deal`] |
//! | `terms` | what was agreed: [`Terms`], [`Kind`] |
//! | `state` | where it is in its life: [`DealState`], [`Case`] |
//! | `steps` | the table of transitions, [`Step`], and the one function that changes a deal's state |
//! | `machine` | what its parties can do |
//! | `court` | cases: who may bring what before the validators, and what follows from their verdict |
//! | `deadlines` | what time does |
//! | `lease` | heartbeats, and how a lease ends |
//! | `rematch` | finding the next provider |
//! | `money` | who is paid, fined and given back what |
//! | `pledge` | what stands behind the word of auditors |
//! | `draw` | which segments and auditors are drawn |
//!
//! Results are committed in batches. One batch at a time is checked, while the provider works on the next: what it has not been paid for is one
//! batch and what it did since, and its whole deposit stands behind that one batch. Time that results spend in a window does not count as
//! time to run.

mod court;
mod deadlines;
mod draw;
mod lease;
mod machine;
mod money;
mod pledge;
mod record;
mod rematch;
mod state;
mod steps;
mod terms;

pub use pledge::{Pledge, audit_seal};
pub use record::{Batch, COMMENT_BYTES_MAX, Deal, Rating, Sample, Stop, seal};
pub use state::{Cancellation, Case, DealState, Failure, Question, Vote};
pub use steps::{Stage, Step, Transition};
pub use terms::{Kind, Terms};

pub(crate) use machine::Report;
