//! Rules to break on purpose, so that a simulator can show that it notices. Only under the feature `faults`, which no
//! product is built with.

/// A planted fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Rule 2: a leader that restarted inside its term proposes in it again.
    ProposeAfterRestart,
    /// Rule 4: two PREPAREs at one height.
    PrepareTwice,
    /// Rule 4: PREPARE for a block that does not continue what was prepared, without a certificate.
    PrepareAnyBranch,
    /// Rule 4: the lease of an earlier life is ignored.
    IgnoreLease,
    /// Rule 4: a first block is prepared although something of the term was, in an earlier life.
    IgnoreLeaseForFirstBlock,
    /// Rule 4: a PREPARE leaves before its lease is durable.
    PrepareBeforeLease,
    /// Rule 4: PREPARE for blocks that the application refuses.
    PrepareUnchecked,
    /// Rule 4: PREPARE after the timeout of the term.
    PrepareAfterTimeout,
    /// Rule 4: PREPARE beyond the window.
    PrepareBeyondWindow,
    /// Rule 6: COMMIT after the timeout of the term.
    CommitAfterTimeout,
    /// Rule 6: a COMMIT leaves before the lock is durable.
    CommitBeforeLock,
    /// Rule 6: the lock is written without the block.
    LockWithoutBody,
    /// Rule 6: the lock is forgotten upon restart.
    ForgetLock,
    /// Rule 7: one COMMIT vote less than a quorum commits.
    SmallQuorum,
    /// Rule 7: a PREPARE certificate commits.
    CommitOnPrepare,
    /// Rule 7: the blocks of a jump are delivered newest first.
    CommitOutOfOrder,
    /// Rule 7: a block is delivered again when a later one commits.
    CommitTwice,
    /// Rule 8: nobody is ever suspected.
    NeverSuspect,
    /// Rule 9: a timeout leaves before it is durable.
    TimeoutBeforeDurable,
    /// Rule 9: a commit heals a term that was left.
    HealAfterTimeout,
    /// Rule 10: the proof that a term is over carries a lower certificate than its shares claim as highest.
    LowTimeoutCertificate,
    /// Rule 9: a timeout claims less than the lock.
    TimeoutBelowLock,
    /// Rule 11: a term is entered without a durable record.
    ForgetTerm,
    /// Rule 12: nothing is repeated.
    NeverRepeat,
    /// Rule 14: single blocks are never asked for.
    NeverFetchBlocks,
    /// Rule 15: ranges of final blocks are never asked for.
    NeverCatchUp,
    /// Votes are kept however far in the future their heights are.
    UnboundedBuffers,
    /// Snapshots: the first offer is believed, from whomever it comes.
    BelieveFirstOffer,
    /// Snapshots: installing one forgets timeout, lease and lock.
    InstallForgetsVotes,
    /// Membership: blocks are proposed and prepared after the last block of an epoch.
    ProposeAfterFinal,
    /// Membership: the new epoch begins before the last block is in the log.
    EnterEpochEarly,
    /// Evidence: every PREPARE on another branch of the term is called a switch, justified or not.
    AccuseAnyBranch,
    /// Evidence: nothing is ever reported.
    NeverAccuse,
    /// Rule 6: a COMMIT leaves with the PREPARE, without certificate or lock.
    VoteForBothKinds,
}
