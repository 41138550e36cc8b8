//! Leased time for people: what a renter gets for a core-second, and how the two sides talk about it.
//!
//! The chain meters a lease and pays for it ([`gongsuan_types::lease`]); what happens on the cores is between the two parties. Here it is work in
//! WebAssembly: the renter's tasks run at once on lanes that nobody else uses, and what they give travels in letters that only the parties can read.
//!
//! ```text
//! renter ── token of an interval (where the renter is the witness) ─▶ provider ── Beat ─▶ chain
//! renter ── openings of task, module, input · "task T" ────────────▶ provider ── lanes of the lease
//! renter ◀─ openings of answer, outputs · "task T is done: A" ────── provider
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `terms` | [`Plan`]: a lease as its renter wants it, and the bid that follows |
//! | `tokens` | [`Tokens`]: what the renter hands over, interval by interval |
//! | `keeper` | [`Keeper`]: hands tokens over while it runs |
//! | `task` | [`Task`], [`Answer`]: what is run, and what came out |
//! | `desk` | [`Desk`]: the renter's side of tasks |
//!
//! The provider's side is `provider::lessor`. **Nothing of this is proved on the chain**: a lease pays for presence. An answer is signed by the
//! provider, so a wrong one can be shown to others, and the renter can run any part of it again itself.

mod desk;
mod keeper;
mod task;
mod terms;
mod tokens;

use gongsuan_types::order::{Class, Unit};

pub use desk::Desk;
pub use keeper::Keeper;
pub use task::{Answer, TASK_BYTES_MAX, Task};
pub use terms::{Plan, TOKEN_LETTERS_MAX};
pub use tokens::Tokens;

/// What is leased: core-seconds on which WebAssembly runs.
pub const CLASS: Class = Class { unit: Unit::CoreSecond, ..Class::WASM };
