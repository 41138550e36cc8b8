//! The engines that run metered modules, behind one seam.
//!
//! An engine gets a module with the meter's rules inside and a host; it adds nothing of its own to the meaning. So an
//! engine is replaceable, and two engines check each other.

#[cfg(feature = "cache")]
pub mod cache;
#[cfg(feature = "jit")]
mod cranelift;
mod guest;
mod wasmi;

use std::sync::Arc;

use gongsuan_types::Hash;
use gongsuan_types::receipt::Trap;
use serde::{Deserialize, Serialize};

use crate::meter::Metered;
use crate::wasi::files::Tree;
use crate::wasi::{Host, Stop};
use crate::{ModuleError, RunError};

/// Which engine runs a module.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// The interpreter: small, always there, the referee's.
    Wasmi,
    /// The compiler (wasmtime's Cranelift), where this build has it: the provider's. 4 to 15 times faster.
    Cranelift,
}

impl std::fmt::Display for EngineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wasmi => "wasmi",
            Self::Cranelift => "cranelift",
        })
    }
}

impl std::str::FromStr for EngineKind {
    type Err = RunError;
    fn from_str(text: &str) -> Result<Self, RunError> {
        match text {
            "wasmi" => Ok(Self::Wasmi),
            "cranelift" => Ok(Self::Cranelift),
            other => Err(RunError::UnknownEngine { got: other.to_owned() }),
        }
    }
}

/// The fastest engine of this build.
#[must_use]
pub const fn default_engine() -> EngineKind {
    if cfg!(feature = "jit") { EngineKind::Cranelift } else { EngineKind::Wasmi }
}

/// Something that can prepare metered modules.
pub trait Engine: Send + Sync {
    /// Which one.
    fn kind(&self) -> EngineKind;
    /// Translates a module once, to be run many times.
    ///
    /// # Errors
    /// [`RunError::Compile`] if the engine has a limit that the meter does not know of.
    fn prepare(&self, metered: &Metered) -> Result<Box<dyn Prepared>, RunError>;
}

/// A module translated for one engine. Every run gets a fresh instance.
pub trait Prepared: Send + Sync {
    /// Runs the module once, from instantiation to its end, on the calling thread.
    ///
    /// # Errors
    /// [`RunError::Engine`] if the machine, not the program, was at fault.
    fn execute(&self, start: Start) -> Result<Finish, RunError>;
}

/// What a run begins with.
#[derive(Debug)]
pub struct Start {
    /// The world as the program sees it.
    pub host: Host,
    /// Fuel to burn, at most.
    pub fuel: u64,
    /// Pages of memory, at most.
    pub memory_pages: u32,
}

/// What a run ends with.
#[derive(Debug)]
pub struct Finish {
    /// The host, with what was written.
    pub host: Host,
    /// How it ended.
    pub ending: Ending,
    /// Fuel burnt; never more than given.
    pub fuel: u64,
}

/// How a run ended, in the words of the receipt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// `_start` returned.
    Returned,
    /// `proc_exit`.
    Exited(u32),
    /// A trap.
    Trapped(Trap),
    /// Out of fuel.
    OutOfFuel,
}

/// What the engines report, before the meter's own marks are read.
#[derive(Debug)]
enum Raw {
    Returned,
    Stopped(Stop),
    Trapped(Trap),
}

/// Joins what the engine says with what the module says about itself. The same for every engine.
fn judge(fuel: u64, raw: &Raw, gauge: guest::Gauge) -> (Ending, u64) {
    let limit = i128::from(fuel);
    let exact = limit - i128::from(gauge.reserve) - i128::from(gauge.lease);
    // A trap in the middle of a stretch does not say how far the lease was used: all of it counts as burnt.
    let rounded_up = limit - i128::from(gauge.reserve);
    let (ending, used) = match raw {
        Raw::Trapped(Trap::DivisionByZero) if gauge.out_of_fuel() => (Ending::OutOfFuel, limit),
        Raw::Trapped(Trap::Unreachable) if gauge.out_of_stack() => {
            (Ending::Trapped(Trap::StackOverflow), exact)
        }
        Raw::Trapped(trap) => (Ending::Trapped(*trap), rounded_up),
        Raw::Stopped(Stop::OutOfFuel) => (Ending::OutOfFuel, limit),
        Raw::Stopped(stop) => (Ending::from(*stop), exact),
        Raw::Returned => (Ending::Returned, exact),
    };
    if used > limit {
        return (Ending::OutOfFuel, fuel);
    }
    (ending, u64::try_from(used.max(0)).expect("between zero and the limit"))
}

/// A module ready to run: metered and translated, or refused. Cheap to clone, shared between threads.
#[derive(Clone)]
pub struct Program {
    kind: EngineKind,
    module: Hash,
    state: Result<Ready, ModuleError>,
}

/// What a module that may run is run with.
#[derive(Clone)]
pub(crate) struct Ready {
    /// The module for its engine.
    pub(crate) prepared: Arc<dyn Prepared>,
    /// Pages of memory that it starts with.
    pub(crate) memory_minimum: u32,
    /// Fuel of a fresh instance.
    pub(crate) start_fuel: u64,
    /// The files that it carries.
    pub(crate) files: Arc<Tree>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("engine", &self.kind)
            .field("module", &self.module)
            .field("refusal", &self.refusal())
            .finish_non_exhaustive()
    }
}

impl Program {
    /// Meters and translates a module as its renter wrote it. A module that may not run gives a program whose
    /// segments are all refused: see [`Program::refusal`].
    ///
    /// # Errors
    /// [`RunError::EngineAbsent`], [`RunError::Compile`].
    pub fn load(kind: EngineKind, module: &[u8]) -> Result<Self, RunError> {
        let engine = engine(kind)?;
        match Metered::new(module) {
            Ok(metered) => Self::prepare(engine.as_ref(), &metered),
            Err(refusal) => Ok(Self::refused(kind, Hash::of_content(module), refusal)),
        }
    }

    /// Translates a metered module for an engine.
    ///
    /// # Errors
    /// [`RunError::Compile`].
    pub fn prepare(engine: &dyn Engine, metered: &Metered) -> Result<Self, RunError> {
        let ready = Ready {
            prepared: Arc::from(engine.prepare(metered)?),
            memory_minimum: metered.memory_minimum(),
            start_fuel: metered.start_fuel(),
            files: Arc::clone(metered.files()),
        };
        Ok(Self::of(engine.kind(), metered.module_hash(), ready))
    }

    fn of(kind: EngineKind, module: Hash, ready: Ready) -> Self {
        Self { kind, module, state: Ok(ready) }
    }

    fn refused(kind: EngineKind, module: Hash, refusal: ModuleError) -> Self {
        Self { kind, module, state: Err(refusal) }
    }

    /// The engine.
    #[must_use]
    pub fn kind(&self) -> EngineKind {
        self.kind
    }

    /// The content address of the module as its renter wrote it.
    #[must_use]
    pub fn module_hash(&self) -> Hash {
        self.module
    }

    /// Why the module may not run, if it may not.
    #[must_use]
    pub fn refusal(&self) -> Option<&ModuleError> {
        self.state.as_ref().err()
    }

    pub(crate) fn ready(&self) -> Result<&Ready, ModuleError> {
        self.state.as_ref().map_err(Clone::clone)
    }
}

/// An engine of this build.
///
/// # Errors
/// [`RunError::EngineAbsent`] for Cranelift in a build without the feature `jit`.
pub fn engine(kind: EngineKind) -> Result<Box<dyn Engine>, RunError> {
    match kind {
        EngineKind::Wasmi => Ok(Box::new(wasmi::Wasmi::new())),
        #[cfg(feature = "jit")]
        EngineKind::Cranelift => Ok(Box::new(cranelift::Cranelift::shared()?)),
        #[cfg(not(feature = "jit"))]
        EngineKind::Cranelift => Err(RunError::EngineAbsent { engine: kind }),
    }
}

/// Says that this process runs one segment at a time, before its engine is first used.
pub(crate) fn expect_one_thread() {
    #[cfg(feature = "jit")]
    cranelift::expect_one_thread();
}

/// Native stack of a thread that runs compiled modules: far above what [`crate::meter::STACK_SLOTS_MAX`] can come to.
pub(crate) const STACK_BYTES: usize = 48 << 20;

/// Runs a segment where there is stack enough.
fn on_enough_stack(
    body: impl FnOnce() -> Result<Finish, RunError> + Send,
    engine: EngineKind,
) -> Result<Finish, RunError> {
    with_big_stack(body).unwrap_or_else(|error| {
        Err(RunError::Engine { engine, reason: format!("no thread: {error}") })
    })
}

thread_local! {
    static BIG_STACK: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Says that the calling thread was started with [`STACK_BYTES`].
pub(crate) fn mark_big_stack() {
    BIG_STACK.set(true);
}

/// Runs `body` on this thread, which was started with [`STACK_BYTES`].
pub(crate) fn on_big_stack<T>(body: impl FnOnce() -> T) -> T {
    mark_big_stack();
    body()
}

/// Runs `body` where the native stack is enough for any segment: here if so, else on a thread of its own. [`crate::run_segment`] does it by
/// itself; whoever runs many segments saves a thread for each of them by calling this around all.
///
/// # Errors
/// There is no thread to be had.
pub fn with_big_stack<T: Send>(body: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    if BIG_STACK.get() {
        return Ok(body());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let handle = thread.spawn_scoped(scope, || on_big_stack(body))?;
        Ok(handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
