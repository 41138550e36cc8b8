//! Whose fault it was: the renter's module ([`ModuleError`]), or the caller's and the machine's ([`RunError`]).
//!
//! A module that is at fault is not an error of running: its segments end with
//! [`Status::Refused`](gongsuan_types::receipt::Status::Refused), the same everywhere and provable. A
//! [`RunError`] proves nothing about the job; another machine may do better.

use gongsuan_types::{Hash, Refusal};
use serde::{Deserialize, Serialize};

use crate::EngineKind;
use crate::jobs::SubmitError;

/// Why a module is refused. Depends on the module's bytes and the job's limits alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// More bytes than [`crate::meter::MODULE_BYTES_MAX`].
    #[error("the module is {got} bytes, the limit is {limit}")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
        /// The module's length.
        got: u64,
    },
    /// Not a WebAssembly module at all.
    #[error("the file does not begin as a WebAssembly module: {got}")]
    BadMagic {
        /// The first bytes in hexadecimal.
        got: String,
    },
    /// WebAssembly that does not decode or validate, or uses a feature that jobs may not use.
    #[error("the module is not valid here, at byte {offset}: {reason}")]
    Invalid {
        /// Where.
        offset: u64,
        /// The validator's words; they name the feature if one is missing.
        reason: String,
    },
    /// More of something than the meter admits.
    #[error("the module has {got} {what}, the limit is {limit}")]
    TooMany {
        /// What is counted.
        what: String,
        /// The limit.
        limit: u64,
        /// The count.
        got: u64,
    },
    /// An import that is not a function of WASI preview 1.
    #[error("the module imports {module}.{name}, which is not offered")]
    ForbiddenImport {
        /// The module it wants it from.
        module: String,
        /// The name.
        name: String,
    },
    /// An import of WASI preview 1 with another type.
    #[error("the module imports {name} as {got}, which is {limit}")]
    ImportType {
        /// The name.
        name: String,
        /// The type it has.
        limit: String,
        /// The type the module expects.
        got: String,
    },
    /// No function `_start` without parameters and results.
    #[error("the module has no usable export {name}: expected {limit}, got {got}")]
    Export {
        /// The export's name.
        name: String,
        /// What was expected.
        limit: String,
        /// What was found.
        got: String,
    },
    /// A data or element segment outside the initial memory or table.
    #[error("{what} ends at {got}, beyond {limit}")]
    SegmentOutOfBounds {
        /// Which segment.
        what: String,
        /// The size of the memory in bytes or of the table in entries.
        limit: u64,
        /// Where the segment ends.
        got: u64,
    },
    /// The section of files is not one.
    #[error("the module's files cannot be read: {reason}")]
    Files {
        /// Why, in words.
        reason: String,
    },
    /// The module wants more memory at its start than the job allows.
    #[error("the module starts with {got} pages of memory, the job allows {limit}")]
    MemoryMinimum {
        /// The job's limit in pages.
        limit: u64,
        /// The module's minimum in pages.
        got: u64,
    },
    /// The job names a version of the cost table that this program does not have.
    #[error("the job is metered by version {got}, this program has version {limit}")]
    MeterVersion {
        /// The version here.
        limit: u16,
        /// The version wanted.
        got: u16,
    },
}

impl From<crate::wasi::FilesError> for ModuleError {
    fn from(error: crate::wasi::FilesError) -> Self {
        Self::Files { reason: error.to_string() }
    }
}

impl From<ModuleError> for Refusal {
    fn from(error: ModuleError) -> Self {
        use ModuleError as E;
        let message = error.to_string();
        match error {
            E::TooLarge { limit, got } => {
                Self::new("module-too-large", "module", limit, got, message)
            }
            E::BadMagic { got } => {
                Self::new("not-wasm", "module", "0061736d01000000", got, message)
            }
            E::Invalid { offset, reason } => {
                let limit = "valid WebAssembly of the admitted features";
                let got = format!("at byte {offset}: {reason}");
                Self::new("invalid-module", "module", limit, got, message)
            }
            E::TooMany { limit, got, .. } => Self::new("too-many", "module", limit, got, message),
            E::ForbiddenImport { module, name } => {
                let got = format!("{module}.{name}");
                Self::new("forbidden-import", "module.imports", crate::wasi::MODULE, got, message)
            }
            E::ImportType { limit, got, .. } => {
                Self::new("import-type", "module.imports", limit, got, message)
            }
            E::Export { limit, got, .. } => {
                Self::new("bad-export", "module.exports", limit, got, message)
            }
            E::SegmentOutOfBounds { limit, got, .. } => {
                Self::new("segment-out-of-bounds", "module.segments", limit, got, message)
            }
            E::Files { reason } => {
                let limit = "files in the order of their paths, as Files::attach writes them";
                Self::new("bad-files", "module.files", limit, reason, message)
            }
            E::MemoryMinimum { limit, got } => {
                Self::new("memory-minimum", "limits.memory_pages", limit, got, message)
            }
            E::MeterVersion { limit, got } => {
                Self::new("meter-version", "meter", limit, got, message)
            }
        }
    }
}

/// Why a segment could not be run here: a wrong call, or trouble of this machine. Says nothing about the job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The engine is not part of this build.
    #[error("the engine {engine} is not part of this build")]
    EngineAbsent {
        /// The engine asked for.
        engine: EngineKind,
    },
    /// No engine has this name.
    #[error("there is no engine {got}: wasmi and cranelift are known")]
    UnknownEngine {
        /// The name.
        got: String,
    },
    /// The engine cannot take a module that the meter admitted.
    #[error("{engine} does not compile the metered module: {reason}")]
    Compile {
        /// The engine.
        engine: EngineKind,
        /// Its words.
        reason: String,
    },
    /// The engine failed while running: out of memory, native stack, a defect.
    #[error("{engine} failed: {reason}")]
    Engine {
        /// The engine.
        engine: EngineKind,
        /// Its words.
        reason: String,
    },
    /// The job itself is out of bounds; the chain would not have accepted it.
    #[error("the job is out of bounds: {0}")]
    Job(Box<Refusal>),
    /// The module is not the one that the job names.
    #[error("the module hashes to {got}, the job names {expected}")]
    WrongModule {
        /// The hash in the job.
        expected: Hash,
        /// The hash of the module.
        got: Hash,
    },
    /// The input is not the one that the job names.
    #[error("the input of segment {segment} hashes to {got}, the job names {expected}")]
    WrongInput {
        /// The segment.
        segment: u32,
        /// The hash in the job.
        expected: Hash,
        /// The hash of the input.
        got: Hash,
    },
    /// No input was given for the segment.
    #[error("segment {segment} has no input")]
    MissingInput {
        /// The segment.
        segment: u32,
    },
    /// The job has fewer segments.
    #[error("segment {got} does not exist, the job has {limit}")]
    NoSuchSegment {
        /// Segments in the job.
        limit: u32,
        /// The number asked for.
        got: u32,
    },
}

impl RunError {
    /// Whether another worker or machine may do better; otherwise the call is at fault and stays so.
    #[must_use]
    pub fn is_machines(&self) -> bool {
        match self {
            Self::Compile { .. } | Self::Engine { .. } => true,
            Self::EngineAbsent { .. }
            | Self::UnknownEngine { .. }
            | Self::Job(_)
            | Self::WrongModule { .. }
            | Self::WrongInput { .. }
            | Self::MissingInput { .. }
            | Self::NoSuchSegment { .. } => false,
        }
    }
}

/// How a worker process, or the pilot that it belongs to, failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerFailure {
    /// It could not be started.
    #[error("{command} does not start: {reason}")]
    Spawn {
        /// The command.
        command: String,
        /// The system's words.
        reason: String,
    },
    /// It ended in the middle.
    #[error("the worker ended ({status})")]
    Died {
        /// Its exit status or signal.
        status: String,
    },
    /// The kernel ended it because the memory of its group was used up.
    #[error("the worker ended ({status}): the memory of its group was used up")]
    OutOfMemory {
        /// Its exit status or signal.
        status: String,
    },
    /// The machine that it ran on is gone, or the way to it.
    #[error("the work was lost: {reason}")]
    Lost {
        /// What is known.
        reason: String,
    },
    /// It did not answer in time.
    #[error("the worker did not answer within {limit_ms} ms")]
    Hung {
        /// The deadline in milliseconds.
        limit_ms: u64,
    },
    /// It answered with something else than an answer.
    #[error("the worker answered with garbage: {reason}")]
    Garbage {
        /// What was wrong.
        reason: String,
    },
    /// It runs without protections that the caller requires.
    #[error("the worker lacks protections that are required: {missing}")]
    Unprotected {
        /// Which, in words.
        missing: String,
    },
    /// It reports an error of its own.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Why a pool gave up on a job.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// [`crate::Cancel::cancel`] was called.
    #[error("cancelled with {done} of {total} segments done")]
    Cancelled {
        /// Segments finished.
        done: usize,
        /// Segments asked for.
        total: usize,
    },
    /// The job cannot be run as asked.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A segment failed on two fresh workers.
    #[error("segment {segment} failed {attempts} times; the last time: {last}")]
    Worker {
        /// The segment.
        segment: u32,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        last: WorkerFailure,
    },
    /// The scheduler did not take the job.
    #[error(transparent)]
    Submit(SubmitError),
    /// The job's log cannot be written: what was told before is in it.
    #[error("the job's log cannot be written: {reason}")]
    Log {
        /// Why.
        reason: String,
    },
    /// No thread for the pool.
    #[error("no thread for the pool: {reason}")]
    Thread {
        /// The system's words.
        reason: String,
    },
}

impl From<SubmitError> for PoolError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Job(error) => Self::Run(error),
            SubmitError::Thread { reason } => Self::Thread { reason },
            SubmitError::Busy { .. } | SubmitError::Memory { .. } => Self::Submit(error),
        }
    }
}
