//! Faults that can be planted in the ledger, so that the simulator can be shown to notice. Only with the feature `faults`, which no product is
//! built with.

use std::cell::Cell;

/// Each breaks one rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The treasury gets the fees of a block twice.
    FeesTwice,
    /// What is paid out of a hold is paid, and stays in the hold.
    PayFromNothing,
    /// What should go home out of a hold stays there.
    KeepRefunds,
    /// A fine is taken from the hold and given to nobody.
    BurnFines,
    /// Every fourth block is not matched.
    ForgetToMatch,
    /// Every fourth block's changes are not hashed into the root.
    StaleRoot,
    /// The header depends on how often this thread has executed a block.
    CountInHeader,
    /// What a transaction did before one of its operations was refused stays.
    KeepRefused,
    /// A validator's own verdicts cost it a fee.
    ChargeJudges,
    /// One in the market.
    Market(gongsuan_market::faults::Fault),
}

thread_local! {
    static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    static EXECUTED: Cell<u64> = const { Cell::new(0) };
}

/// Plants a fault in every ledger of this thread, or none.
pub fn plant(fault: Option<Fault>) {
    PLANTED.set(fault);
    gongsuan_market::faults::plant(match fault {
        Some(Fault::Market(fault)) => Some(fault),
        _ => None,
    });
    EXECUTED.set(0);
}

pub(crate) fn is(fault: Fault) -> bool {
    PLANTED.get() == Some(fault)
}

/// One more block was executed; how many there were.
pub(crate) fn count() -> u64 {
    EXECUTED.set(EXECUTED.get() + 1);
    EXECUTED.get()
}
