//! What serving a running module takes, the same for every engine: its imports, its limits, the names of its traps.
//!
//! The engines' interfaces differ in types, not in kind. Everything that decides is here; what remains with an engine is
//! the translation of its own types.

use gongsuan_types::receipt::Trap;

use super::{Ending, Finish, Raw, Start, judge};
use crate::meter::{FAULT_FUEL, FAULT_STACK, PAGE_BYTES, TABLE_ENTRIES_MAX};
use crate::wasi::{Function, Host, Meter, Stop};

/// What a store carries. `H` are the engine's handles of the meter's globals and the memory, known once the instance stands.
pub(super) struct State<H> {
    pub(super) host: Host,
    pub(super) handles: Option<H>,
    fuel: u64,
    memory_bytes: usize,
}

impl<H> State<H> {
    pub(super) fn new(start: Start) -> Self {
        Self {
            host: start.host,
            handles: None,
            fuel: start.fuel,
            memory_bytes: start.memory_pages as usize * PAGE_BYTES,
        }
    }

    /// The segment's fuel as the reserve global holds it.
    pub(super) fn reserve(&self) -> i64 {
        i64::try_from(self.fuel).unwrap_or(i64::MAX)
    }

    /// Whether the memory may become this long.
    pub(super) fn admits_memory(&self, bytes: usize, maximum: Option<usize>) -> bool {
        bytes <= self.memory_bytes && maximum.is_none_or(|maximum| bytes <= maximum)
    }

    /// The receipt's view of a run that is over.
    pub(super) fn finish(self, raw: &Raw, gauge: Gauge) -> Finish {
        let (ending, fuel) = judge(self.fuel, raw, gauge);
        Finish { host: self.host, ending, fuel }
    }
}

/// Whether a table may become this long.
pub(super) fn admits_table(entries: usize, maximum: Option<usize>) -> bool {
    entries <= TABLE_ENTRIES_MAX && maximum.is_none_or(|maximum| entries <= maximum)
}

/// A running module as a host call sees it.
pub(super) trait Guest {
    type Handles;
    /// The store's data.
    fn state(&mut self) -> &mut State<Self::Handles>;
    /// The module's memory, empty if it has none, beside the store's data.
    fn memory(&mut self) -> (&mut [u8], &mut State<Self::Handles>);
    /// The meter's globals: reserve and lease.
    fn fuel(&mut self) -> (i64, i64);
    /// Writes the lease back.
    fn set_lease(&mut self, lease: i64);
}

/// Serves one import. The only path from a guest to its host.
pub(super) fn serve(
    guest: &mut impl Guest,
    function: &Function,
    args: &[u64],
) -> Result<i32, Stop> {
    let (reserve, lease) = guest.fuel();
    let left = u64::try_from(reserve.saturating_add(lease)).unwrap_or(0);
    let used = guest.state().fuel.saturating_sub(left);
    let mut meter = Meter { left, used, spent: 0 };
    let (memory, state) = guest.memory();
    let answer = state.host.call(function, args, memory, &mut meter);
    let spent = i64::try_from(meter.spent).unwrap_or(i64::MAX);
    guest.set_lease(lease.saturating_sub(spent));
    answer
}

/// The meter's globals after a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauge {
    pub(super) reserve: i64,
    pub(super) lease: i64,
    pub(super) fault: i64,
}

impl Gauge {
    pub(super) fn out_of_fuel(self) -> bool {
        self.fault == i64::from(FAULT_FUEL)
    }

    pub(super) fn out_of_stack(self) -> bool {
        self.fault == i64::from(FAULT_STACK)
    }
}

/// The receipt's name of an engine's trap. Both engines name theirs as the specification does; what is not listed is an
/// engine's own limit, which the meter should have come before.
macro_rules! trap_of {
    ($code:ty, $trap:expr) => {{
        use $code as Code;
        match $trap {
            Code::UnreachableCodeReached => Some(Trap::Unreachable),
            Code::MemoryOutOfBounds => Some(Trap::MemoryOutOfBounds),
            Code::TableOutOfBounds => Some(Trap::TableOutOfBounds),
            Code::IndirectCallToNull => Some(Trap::NullEntry),
            Code::IntegerDivisionByZero => Some(Trap::DivisionByZero),
            Code::IntegerOverflow => Some(Trap::IntegerOverflow),
            Code::BadConversionToInteger => Some(Trap::InvalidConversion),
            Code::BadSignature => Some(Trap::SignatureMismatch),
            _ => None,
        }
    }};
}

pub(super) fn wasmi_trap(code: wasmi::TrapCode) -> Option<Trap> {
    trap_of!(wasmi::TrapCode, code)
}

#[cfg(feature = "jit")]
pub(super) fn cranelift_trap(code: wasmtime::Trap) -> Option<Trap> {
    trap_of!(wasmtime::Trap, code)
}

/// Parameters as the host wants them: 32-bit ones zero-extended.
pub(super) fn widen(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

/// `Ending` in the words that a stopped host call used.
impl From<Stop> for Ending {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Exit(code) => Self::Exited(code),
            Stop::OutputTooLong => Self::Trapped(Trap::OutputTooLong),
            Stop::OutOfFuel => Self::OutOfFuel,
        }
    }
}
