//! The runtime of one replica: it gives the consensus core its clock, disk, links and threads. What is ordered is the
//! business of an [`Application`].
//!
//! ```text
//!  links ──▶ receive threads ──▶ votes ─┐                    ┌─▶ vote log thread: one write, one sync for all that waits
//!            (heavy messages:  ▶ blocks ┼─▶ replica thread ──┼─▶ send threads: one for each peer, one write for all that waits
//!             decode, verify)  ▶ bulk  ─┤   (core, appli-    └─▶ archive thread: committed blocks, one sync for all that wait
//!  front door ──────────────▶ events ───┘    cation, timers)          │
//!  disk threads: "durable up to" ◀───────────────────────────────────┘
//! ```
//!
//! - The replica thread owns the core and the application, and never waits for a disk or a socket.
//! - A message that depends on a record is held until the record is durable.
//! - Every queue is bounded, what peers' applications say for each peer by itself. Votes go first; what is bulk is dropped when there is no room, and
//!   counted. What is not consensus gets five milliseconds at a time.
//! - Votes are verified on the replica thread once they can complete a quorum that the core wants: the others cost nothing.
//! - Nothing polls: an idle replica wakes for its timers.

mod application;
mod archive;
mod ballots;
mod clock;
mod counters;
mod disk;
mod inbox;
mod pace;
mod peers;
mod roster;
mod runtime;
mod turn;
mod verify;
pub mod wal;

pub use application::{Answer, Application, Context, Gate, Verdict, Work};
pub use archive::{Archive, ArchiveError, Store};
pub use clock::{CLOCK_VARIABLE, Clock, wall};
pub use counters::{Counters, Totals};
pub use inbox::{Front, FrontError};
pub use pace::Pace;
pub use peers::Peers;
pub use roster::{FOLLOWERS_MAX, Roster};
pub use runtime::{Replica, Setup};

/// What is in memory may be ahead of what is on disk: nothing may be promised any more.
pub(crate) fn die(error: &dyn std::error::Error) -> ! {
    tracing::error!(%error, "the disk failed; the process ends");
    std::process::abort();
}
