//! What drives the actors: the honest, and those who cheat, by name.

mod auditor;
mod provider;
mod renter;

pub(crate) use auditor::{Auditor, Care};
pub(crate) use provider::{Conduct, Provider};
pub(crate) use renter::{Renter, Temper};
