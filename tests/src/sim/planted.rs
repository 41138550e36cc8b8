//! Planted faults: each breaks one rule of the core, and each must be caught by an invariant named for it.

use std::ops::Range;

use gongsuan_consensus::faults::Fault;

use super::{
    AGREEMENT, ASSERTION, BOUNDED, CERT, DURABILITY, EVIDENCE_COMPLETE, EVIDENCE_SOUND,
    EXACTLY_ONCE, Invariant, LIVENESS, NO_EQUIVOCATION, Profile, Run, VALIDITY, Violation,
    WELL_FORMED, run,
};

/// A fault, the invariants that may catch it, and the profiles in which it shows.
#[derive(Debug, Clone, Copy)]
pub struct Planted {
    /// The fault.
    pub fault: Fault,
    /// The invariants named for it.
    pub caught_by: &'static [Invariant],
    /// Where to look.
    pub profiles: &'static [Profile],
}

/// How a fault was caught.
#[derive(Debug, Clone)]
pub struct Caught {
    /// The seed.
    pub seed: u64,
    /// The profile.
    pub profile: Profile,
    /// Worlds simulated until then.
    pub worlds: u64,
    /// What was broken.
    pub violation: Violation,
}

/// Simulates worlds with the fault in them until one of its invariants breaks.
#[must_use]
pub fn hunt(planted: &Planted, seeds: Range<u64>) -> Option<Caught> {
    let mut worlds = 0;
    for seed in seeds {
        for profile in planted.profiles {
            worlds += 1;
            let wanted =
                Run { profile: Some(*profile), fault: Some(planted.fault), ..Run::of(seed) };
            if let Some(violation) = run(wanted).violation
                && planted.caught_by.contains(&violation.invariant)
            {
                return Some(Caught { seed, profile: *profile, worlds, violation });
            }
        }
    }
    None
}

const fn planted(
    fault: Fault,
    caught_by: &'static [Invariant],
    profiles: &'static [Profile],
) -> Planted {
    Planted { fault, caught_by, profiles }
}

/// A fault in the ledger, and the invariants that may catch it in worlds with a chain.
#[derive(Debug, Clone, Copy)]
pub struct PlantedInLedger {
    /// The fault.
    pub fault: gongsuan_ledger::faults::Fault,
    /// The invariants named for it.
    pub caught_by: &'static [Invariant],
}

/// All faults planted in the ledger.
pub const PLANTED_IN_LEDGER: &[PlantedInLedger] = &{
    use crate::chain::{BOOK, CERTIFICATE, CONSERVATION, ESCROW, HONEST, LEASE, ROOT};
    use gongsuan_ledger::faults::Fault;
    use gongsuan_market::faults::Fault as InMarket;
    [
        PlantedInLedger { fault: Fault::FeesTwice, caught_by: &[CONSERVATION] },
        PlantedInLedger { fault: Fault::PayFromNothing, caught_by: &[ESCROW] },
        PlantedInLedger { fault: Fault::KeepRefunds, caught_by: &[ESCROW] },
        PlantedInLedger { fault: Fault::BurnFines, caught_by: &[CONSERVATION] },
        PlantedInLedger { fault: Fault::ForgetToMatch, caught_by: &[BOOK] },
        PlantedInLedger { fault: Fault::StaleRoot, caught_by: &[ROOT] },
        PlantedInLedger { fault: Fault::CountInHeader, caught_by: &[ROOT] },
        PlantedInLedger { fault: Fault::KeepRefused, caught_by: &[CONSERVATION, ESCROW, BOOK] },
        PlantedInLedger { fault: Fault::ChargeJudges, caught_by: &[HONEST] },
        PlantedInLedger { fault: Fault::Market(InMarket::TrustTokens), caught_by: &[LEASE] },
        PlantedInLedger { fault: Fault::Market(InMarket::BeatEarly), caught_by: &[LEASE] },
        PlantedInLedger { fault: Fault::Market(InMarket::PayGap), caught_by: &[LEASE] },
        PlantedInLedger {
            fault: Fault::Market(InMarket::ListUncovered),
            caught_by: &[CERTIFICATE],
        },
        PlantedInLedger { fault: Fault::Market(InMarket::KeepFailed), caught_by: &[CERTIFICATE] },
    ]
};

/// Simulates worlds with a chain and the fault in every ledger until one of its invariants breaks.
#[must_use]
pub fn hunt_in_ledger(planted: &PlantedInLedger, seeds: Range<u64>) -> Option<Caught> {
    let mut worlds = 0;
    // Each world has another profile and other people than the one before.
    for seed in seeds {
        worlds += 1;
        let wanted = Run { chain: true, ledger_fault: Some(planted.fault), ..Run::of(seed) };
        let outcome = run(wanted);
        if let Some(violation) = outcome.violation
            && planted.caught_by.contains(&violation.invariant)
        {
            return Some(Caught { seed, profile: outcome.profile, worlds, violation });
        }
    }
    None
}

/// All planted faults.
pub const PLANTED: &[Planted] = &[
    planted(Fault::ProposeAfterRestart, &[NO_EQUIVOCATION], &[Profile::Crashes]),
    planted(
        Fault::PrepareTwice,
        &[NO_EQUIVOCATION, AGREEMENT],
        &[Profile::Equivocator, Profile::Twins],
    ),
    planted(
        Fault::PrepareAnyBranch,
        &[AGREEMENT, EVIDENCE_SOUND],
        &[Profile::Twins, Profile::Equivocator],
    ),
    planted(Fault::IgnoreLease, &[NO_EQUIVOCATION], &[Profile::Equivocator]),
    planted(Fault::IgnoreLeaseForFirstBlock, &[NO_EQUIVOCATION], &[Profile::Equivocator]),
    planted(Fault::PrepareBeforeLease, &[DURABILITY], &[Profile::Crashes]),
    planted(
        Fault::PrepareUnchecked,
        &[VALIDITY, EXACTLY_ONCE],
        &[Profile::Twins, Profile::Equivocator],
    ),
    planted(Fault::PrepareAfterTimeout, &[NO_EQUIVOCATION], &[Profile::Chaos]),
    planted(Fault::PrepareBeyondWindow, &[BOUNDED], &[Profile::Flood]),
    planted(Fault::CommitAfterTimeout, &[NO_EQUIVOCATION, EVIDENCE_SOUND], &[Profile::Chaos]),
    planted(Fault::CommitBeforeLock, &[DURABILITY], &[Profile::Crashes]),
    planted(Fault::LockWithoutBody, &[DURABILITY], &[Profile::Crashes]),
    planted(
        Fault::ForgetLock,
        &[DURABILITY, AGREEMENT, EVIDENCE_SOUND],
        &[Profile::Crashes, Profile::PowerCuts],
    ),
    planted(Fault::SmallQuorum, &[CERT, AGREEMENT], &[Profile::Calm, Profile::Partitions]),
    planted(Fault::CommitOnPrepare, &[CERT, AGREEMENT], &[Profile::Calm]),
    planted(Fault::CommitOutOfOrder, &[EXACTLY_ONCE], &[Profile::Loss]),
    planted(Fault::CommitTwice, &[EXACTLY_ONCE], &[Profile::Loss]),
    planted(Fault::NeverSuspect, &[LIVENESS], &[Profile::Crashes, Profile::Censor]),
    planted(Fault::TimeoutBeforeDurable, &[DURABILITY], &[Profile::Chaos]),
    planted(Fault::HealAfterTimeout, &[NO_EQUIVOCATION], &[Profile::Delay, Profile::Chaos]),
    planted(Fault::LowTimeoutCertificate, &[WELL_FORMED], &[Profile::Chaos]),
    planted(Fault::TimeoutBelowLock, &[DURABILITY, EVIDENCE_SOUND], &[Profile::Chaos]),
    planted(Fault::ForgetTerm, &[DURABILITY], &[Profile::Chaos]),
    planted(Fault::NeverRepeat, &[LIVENESS], &[Profile::Loss, Profile::Partitions, Profile::Chaos]),
    planted(
        Fault::NeverFetchBlocks,
        &[LIVENESS],
        &[Profile::Loss, Profile::Chaos, Profile::Partitions],
    ),
    planted(Fault::NeverCatchUp, &[LIVENESS], &[Profile::Snapshots, Profile::Partitions]),
    planted(Fault::UnboundedBuffers, &[BOUNDED], &[Profile::Flood]),
    planted(Fault::BelieveFirstOffer, &[VALIDITY], &[Profile::LyingSync]),
    planted(
        Fault::InstallForgetsVotes,
        &[NO_EQUIVOCATION, DURABILITY, EVIDENCE_SOUND, ASSERTION],
        &[Profile::Snapshots],
    ),
    planted(
        Fault::ProposeAfterFinal,
        &[AGREEMENT, CERT, LIVENESS, ASSERTION],
        &[Profile::Reconfig],
    ),
    planted(Fault::EnterEpochEarly, &[DURABILITY], &[Profile::Reconfig]),
    planted(Fault::AccuseAnyBranch, &[EVIDENCE_SOUND], &[Profile::Twins, Profile::Equivocator]),
    planted(Fault::NeverAccuse, &[EVIDENCE_COMPLETE], &[Profile::DoubleVoter]),
    planted(Fault::VoteForBothKinds, &[DURABILITY], &[Profile::Calm]),
];
