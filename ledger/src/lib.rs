//! The ledger: transactions, accounts, identities, blocks and what is stored of them.
//!
//! ```text
//! bytes ─decode→ Signed ─verify→ Verified ─→ Mempool ─select→ payload ─(consensus)→ OrderedBlock
//! OrderedBlock ─apply_block→ State, Header, receipts, events ─→ BlockLog (one fdatasync), now and then a checkpoint
//! ```
//!
//! [`apply_block`] is the one place where a transaction gets its meaning. It is deterministic: the same blocks give the same headers on
//! every machine, and [`replay`] checks that they do. The market decides what money does ([`gongsuan_market::Settlement`]); this crate is the
//! only one that moves it. Every token is in an account, in a hold, or the treasury's: [`invariants::check`].
//!
//! # Not here
//! Sockets, clocks, consensus. What consensus says of a block is stored as opaque bytes.

pub mod accounts;
mod chain;
mod check;
mod checkpoint;
mod court;
#[cfg(feature = "faults")]
pub mod faults;
pub mod genesis;
pub mod header;
pub mod history;
pub mod identity;
pub mod index;
pub mod invariants;
pub mod light;
pub mod lock;
pub mod log;
pub mod mempool;
pub mod proof;
mod replay;
pub mod snapshot;
mod state;
pub mod store;
mod supervision;
mod transition;
pub mod tree;
pub mod tx;

pub use accounts::StateKey;
pub use chain::{
    Arrived, BLOCK_VERSION, Chain, ChainError, FOLDER_VERSION, KeptSnapshot, Options, Retention,
    Rooms, Sealed, StoredBlock, replay,
};
pub use check::{Unverified, bad_signature, check_body, check_body_hinted, verify_signatures};
pub use genesis::Genesis;
pub use header::{Body, Event, Header, TxReceipt, TxStatus};
pub use history::{History, HistoryProof, HistoryTree, NodeFile};
pub use identity::Role;
pub use index::{Location, Subject};
pub use light::LightClient;
pub use mempool::Mempool;
pub use proof::Proof;
pub use replay::{Divergence, Replay};
pub use state::{State, Supply};
pub use transition::{Applied, GAP, OrderedBlock, apply_block, fee_due, fee_min};
pub use tx::{Op, SignedTransaction, Transaction};
