//! The shell of Gongsuan: sockets, threads, files, clocks and the command line. Nothing here decides what a transaction means
//! or which block is next; the other crates do.

pub mod api;
pub mod net;
pub mod node;
