//! The core in a network of the imagination: one seed decides delays, losses, crashes and disks.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]
#![expect(clippy::wildcard_enum_match_arm, reason = "what a test does not look at is all alike")]
#![expect(clippy::cast_possible_truncation, reason = "small numbers of an imagined world")]

mod chaos;
mod monitor;
mod objects;
mod quiet;
mod recovery;
mod rules;
mod twins;
mod world;
