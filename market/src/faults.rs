//! Faults that can be planted in the market, so that the simulator can be shown to notice. Only with the feature `faults`, which no product is
//! built with.

use std::cell::Cell;

/// Each breaks one rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// A heartbeat is paid whatever token it carries.
    TrustTokens,
    /// A heartbeat is paid before its time.
    BeatEarly,
    /// An interval is paid that nobody has shown anything for.
    PayGap,
    /// Asks are taken that no certificate covers.
    ListUncovered,
    /// A certificate stands although its probe has failed.
    KeepFailed,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::TrustTokens, Self::BeatEarly, Self::PayGap, Self::ListUncovered, Self::KeepFailed];
}

thread_local! {
    static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Plants a fault in every market of this thread, or none.
pub fn plant(fault: Option<Fault>) {
    PLANTED.set(fault);
}

pub(crate) fn is(fault: Fault) -> bool {
    PLANTED.get() == Some(fault)
}
