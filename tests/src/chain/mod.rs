//! The chain as a whole under simulation: the real ledger, market and deals, people who use them, and a second opinion on every
//! block. Runs over the simulator of validators ([`crate::sim`]), or over a single sequencer where only money is the question.
//!
//! | file | what it holds |
//! |---|---|
//! | `cast` | who lives in a world, and with what |
//! | `actor` | somebody with a key who looks at the chain and hands in transactions |
//! | `minds` | what drives them: the honest, and those who cheat, by name |
//! | `work` | a hash stands for running a segment; what is served off the chain |
//! | `town` | everybody, and the chain as they see it |
//! | `books` | the invariants, by name; `leases` and `certificates`: those two |
//! | `machine` | the ledger of one node: executes blocks, continues from a checkpoint after a crash |
//! | `direct` | worlds without a network |
//!
//! ```text
//! cargo run --release -p gongsuan-tests --bin sim -- --chain --seeds 0..2000
//! cargo run --release -p gongsuan-tests --bin sim -- --money 0..400
//! ```

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a person looks at a few states of a deal, and the books at a few events, and let the others be"
)]

mod actor;
mod books;
mod cast;
mod certificates;
mod direct;
mod leases;
mod machine;
mod minds;
mod town;
mod work;

pub use self::books::{BOOK, CERTIFICATE, CONSERVATION, ENDING, ESCROW, HONEST, LEASE, ROOT};
pub use self::cast::{COMPANIES, Company, Persona};
pub(crate) use self::cast::{Cast, Pace};
pub use self::direct::{Played, Sum, measure, play};
pub(crate) use self::machine::{Machine, ordered};
pub(crate) use self::town::Town;
pub use self::town::{Counts, Fate};
