//! What drives the actors: the honest, and those who cheat, by name.

mod auditor;
mod challenger;
mod host;
mod judge;
mod prover;
mod provider;
mod renter;
mod tenant;

pub(crate) use auditor::{Auditor, Care, PLEDGE};
pub(crate) use challenger::{Aim, Challenger};
pub(crate) use host::{Host, Service};
pub(crate) use judge::{Judge, Law};
pub(crate) use prover::Prover;
pub(crate) use provider::{Conduct, Provider};
pub(crate) use renter::{Renter, Temper};
pub(crate) use tenant::{Purse, Tenant};
