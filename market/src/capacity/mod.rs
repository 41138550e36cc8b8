//! Certificates of capacity: what a provider has shown that its machine can do.
//!
//! ```text
//! ProveCapacity ─→ asked ─the next block's hash is the seed→ probe, a deal with the chain itself ─settled→ certified
//!                                                              │ late, wrong                         ↑ │ drawn again, at random
//!                                                              ↓                                     │ ↓
//!                                                     stake fined, certificate and listings gone   probe
//! ```
//!
//! A *probe* is a deal like any other, whose job the chain makes up itself ([`gongsuan_types::capacity`]): one lane for each core, from a seed that
//! nobody knew before the block in which the probe begins. So it runs on the same machine ([`crate::Step`]): the provider commits the lanes'
//! receipts within [`CapacityRules::answer_within`], lanes are drawn, auditors execute them again and are paid for it, anybody may challenge, the
//! validators judge, and who lied loses its stake. Nobody pays for the work of a probe; its audits are paid out of what the provider set aside.
//!
//! A certificate holds until a probe fails, its owner gives it up, or what it set aside is used up by audits. Each block draws who is probed
//! again; so a machine that was borrowed for one probe is not enough. Where [`CapacityRules::required`] is set, all live asks of an account
//! together can list no more cores and memory than its certificate shows, and they go when it goes.

mod certificate;
mod probe;
mod rules;

pub use certificate::{Certificate, Lapse, Probe, Shown};
pub use rules::CapacityRules;
