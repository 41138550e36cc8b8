//! The shell of Gongsuan: sockets, threads, files, clocks and the command line. Nothing here decides what a transaction means
//! or which block is next; the other crates do.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the shell shows a few variants of the engines' enums and has nothing to say about the others"
)]

pub mod api;
pub mod audit;
pub mod capacity;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod demo;
pub mod envelope;
pub mod keystore;
pub mod lease;
pub mod net;
pub mod node;
pub mod provider;
pub mod renter;
pub mod replica;
pub mod watcher;
pub mod wire;
