//! Deterministic order books, matching and the life cycle of deals.

mod command;
mod settlement;

pub use command::Command;
pub use settlement::{HoldId, Reason, Settlement};
/// The façade.
#[derive(Debug)]
pub struct Market;
impl Market {
    /// x
    pub fn submit() {}
}
