//! What drives the actors: the honest, and those who cheat, by name.

mod auditor;
mod challenger;
mod judge;
mod provider;
mod renter;

pub(crate) use auditor::{Auditor, Care, PLEDGE};
pub(crate) use challenger::{Aim, Challenger};
pub(crate) use judge::{Judge, Law};
pub(crate) use provider::{Conduct, Provider};
pub(crate) use renter::{Renter, Temper};
