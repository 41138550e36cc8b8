//! The shell of Gongsuan: sockets, threads, files, clocks and the command line. Nothing here decides what a transaction means
//! or which block is next; the other crates do.

pub mod api;
pub mod audit;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod demo;
pub mod keystore;
pub mod net;
pub mod node;
pub mod provider;
pub mod renter;
