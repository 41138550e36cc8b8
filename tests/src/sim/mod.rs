//! A simulator of whole validator networks: the real consensus core, the real codec and signatures, the real vote log, and
//! an imagined clock, network, disk and set of liars. One number decides everything.
//!
//! | file | what it holds |
//! |---|---|
//! | `plan` | the profiles: what goes wrong, and when |
//! | `world` | time and the plan's doings; `driver`: what the driver of a node does; `network`: what is between nodes |
//! | `node` | one node: core, vote log on a disk that loses, tears and reorders what was not synced, clocks |
//! | `app` | what is ordered, snapshots |
//! | `mischief` | what liars send |
//! | `judge` | the invariants, by name |
//! | `trace` | what happened, as a hash and as lines |
//! | `planted` | faults in the core that must be caught, and by which invariant (feature `faults`) |
//!
//! ```text
//! cargo run --release -p gongsuan-tests --bin sim -- --seeds 0..10000
//! cargo run --release -p gongsuan-tests --bin sim -- --seed 42 --trace
//! ```

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a liar, the judge and the world each look at a few kinds of message and let the others be"
)]

mod app;
pub(crate) mod dice;
mod judge;
mod mischief;
mod node;
mod plan;
#[cfg(feature = "faults")]
pub mod planted;
mod trace;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use gongsuan_types::Hash;

use crate::chain::Counts;

pub use self::judge::{
    AGREEMENT, ASSERTION, BOUNDED, CERT, DURABILITY, EVIDENCE_COMPLETE, EVIDENCE_SOUND,
    EXACTLY_ONCE, Invariant, LIVENESS, NO_EQUIVOCATION, VALIDITY, Violation, WELL_FORMED,
};
pub use self::plan::{CHAIN_PROFILES, PROFILES, Profile};
use self::world::World;

/// What to simulate.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// The bad times; `None` takes the seed's own.
    pub profile: Option<Profile>,
    /// Whether readable lines are wanted.
    pub trace: bool,
    /// Whether the validators order a chain ([`crate::chain`]) instead of numbers.
    pub chain: bool,
    /// The fault planted in every honest node.
    #[cfg(feature = "faults")]
    pub fault: Option<gongsuan_consensus::faults::Fault>,
    /// The fault planted in every ledger.
    #[cfg(feature = "faults")]
    pub ledger_fault: Option<gongsuan_ledger::faults::Fault>,
}

impl Run {
    /// A seed with its own profile, no lines.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self {
            seed,
            profile: None,
            trace: false,
            chain: false,
            #[cfg(feature = "faults")]
            fault: None,
            #[cfg(feature = "faults")]
            ledger_fault: None,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The profile.
    pub profile: Profile,
    /// What was broken, if anything was.
    pub violation: Option<Violation>,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
    /// Events.
    pub events: u64,
    /// The height that was reached.
    pub height: u64,
    /// The epoch that was reached.
    pub epoch: u64,
    /// Equal for equal runs.
    pub hash: Hash,
    /// Readable lines, if they were wanted.
    pub lines: Vec<String>,
    /// What happened on the chain, if there was one.
    pub chain: Counts,
}

/// Simulates one world.
#[must_use]
pub fn run(run: Run) -> Outcome {
    let own = if run.chain { Profile::of_chain(run.seed) } else { Profile::of(run.seed) };
    let profile = run.profile.unwrap_or(own);
    let setting = profile.setting(run.seed);
    let setting = world::Setting { chain: run.chain, ..setting };
    #[cfg(feature = "faults")]
    let setting = world::Setting { fault: run.fault, ..setting };
    #[cfg(feature = "faults")]
    gongsuan_ledger::faults::plant(run.ledger_fault);
    let mut world = World::new(run.seed, setting, run.trace);
    let lived = catch_unwind(AssertUnwindSafe(|| plan::live(&mut world, profile, run.seed)));
    if let Err(panic) = lived {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        let final_twice = text.contains("are final") || text.contains("chains are final");
        world.judge.blame(if final_twice { AGREEMENT } else { ASSERTION }, text);
    }
    Outcome {
        profile,
        violation: world.judge.found.clone(),
        simulated_ms: world.now,
        events: world.trace.events,
        height: world.judge.height(),
        epoch: world.epoch(),
        hash: world.trace.hash(),
        lines: std::mem::take(&mut world.trace.lines),
        chain: world.counts(),
    }
}
