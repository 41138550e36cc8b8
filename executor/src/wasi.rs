//! The world as a program sees it: WASI preview 1, cut down to what is the same everywhere.
//!
//! Standard input holds the segment's input, standard output becomes its output, standard error goes to the provider's
//! log. There are arguments and two environment variables (`GONGSUAN_SEGMENT`, `GONGSUAN_SEGMENTS`), a clock that is
//! driven by fuel (one nanosecond each), random bytes that follow from the job's seed, and `proc_exit`. No file, socket,
//! thread or poll: those functions exist, so that ordinary programs link, and answer `BADF` or `NOSYS`.
//!
//! Beside it there is the module `gongsuan` with one function: `matrix_check(rows, inner, columns, a, b, c)` answers 0 if the
//! matrix at `c` is the product of those at `a` and `b`, and 1 if not ([`crate::verify::freivalds`]). Checking is as
//! deterministic as computing, so it may stand in receipts.
//!
//! One implementation serves both engines: it sees the guest's memory as a slice and knows nothing of instances. Every
//! call has a price in fuel, so that host work is paid like guest work.

use gongsuan_types::job::JobSpec;
use gongsuan_types::{Hash, Hasher};

use crate::verify::freivalds::{self, Sizes};

/// The module of WASI preview 1.
pub const MODULE: &str = "wasi_snapshot_preview1";
/// The module of what is not WASI's.
pub const NATIVE_MODULE: &str = "gongsuan";
/// Standard error kept of one segment, in bytes.
pub const LOG_BYTES_MAX: usize = 64 << 10;
/// Parameters of a function, at most.
pub(crate) const PARAMS_MAX: usize = 9;
/// Buffers in one `fd_read` or `fd_write`, at most.
const IOVECS_MAX: u32 = 1024;
/// Fuel of one call, before what it moves.
const CALL_FUEL: u64 = 200;
/// Fuel of hashing a byte of a matrix, and of an entry's share of the products.
const MATRIX_BYTE_FUEL: u64 = 8;
/// The clock's start: 2025-01-01T00:00:00Z in nanoseconds since the Unix epoch.
const EPOCH_NS: u64 = 1_735_689_600_000_000_000;

/// Error numbers of preview 1.
mod errno {
    pub(super) const SUCCESS: i32 = 0;
    /// Not WASI's: the answer "no" of `matrix_check`.
    pub(super) const NOT_EQUAL: i32 = 1;
    pub(super) const BADF: i32 = 8;
    pub(super) const FAULT: i32 = 21;
    pub(super) const INVAL: i32 = 28;
    pub(super) const NOSYS: i32 = 52;
    pub(super) const SPIPE: i32 = 70;
}

/// A function that may be imported: its module and name, its parameters (`i` for i32, `I` for i64) and what stands behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Function {
    pub(crate) module: &'static str,
    pub(crate) name: &'static str,
    pub(crate) params: &'static str,
    call: Call,
}

impl Function {
    /// Whether it returns an error number; `proc_exit` returns nothing.
    pub(crate) fn returns(&self) -> bool {
        !matches!(self.call, Call::ProcExit)
    }

    /// The type in the words of error messages, such as `(i32, i32) -> i32`.
    pub(crate) fn type_text(&self) -> String {
        let words = self.params.chars().map(|c| if c == 'I' { "i64" } else { "i32" });
        let params = words.collect::<Vec<_>>().join(", ");
        if self.returns() { format!("({params}) -> i32") } else { format!("({params})") }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Call {
    ArgsGet,
    ArgsSizesGet,
    EnvironGet,
    EnvironSizesGet,
    ClockResGet,
    ClockTimeGet,
    FdRead,
    FdWrite,
    FdClose,
    FdSeek,
    FdFdstatGet,
    FdFilestatGet,
    ProcExit,
    RandomGet,
    SchedYield,
    MatrixCheck,
    /// A descriptor that does not exist: there are only three, and they cannot do this.
    NoDescriptor,
    /// A part of the world that does not exist.
    Absent,
}

const fn function(name: &'static str, params: &'static str, call: Call) -> Function {
    Function { module: MODULE, name, params, call }
}

/// The function of this name.
pub(crate) fn find(module: &str, name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.module == module && function.name == name)
}

/// Everything that may be imported.
pub(crate) const FUNCTIONS: &[Function] = &[
    function("args_get", "ii", Call::ArgsGet),
    function("args_sizes_get", "ii", Call::ArgsSizesGet),
    function("environ_get", "ii", Call::EnvironGet),
    function("environ_sizes_get", "ii", Call::EnvironSizesGet),
    function("clock_res_get", "ii", Call::ClockResGet),
    function("clock_time_get", "iIi", Call::ClockTimeGet),
    function("fd_read", "iiii", Call::FdRead),
    function("fd_write", "iiii", Call::FdWrite),
    function("fd_close", "i", Call::FdClose),
    function("fd_seek", "iIii", Call::FdSeek),
    function("fd_tell", "ii", Call::FdSeek),
    function("fd_fdstat_get", "ii", Call::FdFdstatGet),
    function("fd_filestat_get", "ii", Call::FdFilestatGet),
    function("proc_exit", "i", Call::ProcExit),
    function("random_get", "ii", Call::RandomGet),
    function("sched_yield", "", Call::SchedYield),
    function("fd_advise", "iIIi", Call::NoDescriptor),
    function("fd_allocate", "iII", Call::NoDescriptor),
    function("fd_datasync", "i", Call::NoDescriptor),
    function("fd_fdstat_set_flags", "ii", Call::NoDescriptor),
    function("fd_fdstat_set_rights", "iII", Call::NoDescriptor),
    function("fd_filestat_set_size", "iI", Call::NoDescriptor),
    function("fd_filestat_set_times", "iIIi", Call::NoDescriptor),
    function("fd_pread", "iiiIi", Call::NoDescriptor),
    function("fd_prestat_get", "ii", Call::NoDescriptor),
    function("fd_prestat_dir_name", "iii", Call::NoDescriptor),
    function("fd_pwrite", "iiiIi", Call::NoDescriptor),
    function("fd_readdir", "iiiIi", Call::NoDescriptor),
    function("fd_renumber", "ii", Call::NoDescriptor),
    function("fd_sync", "i", Call::NoDescriptor),
    function("path_create_directory", "iii", Call::NoDescriptor),
    function("path_filestat_get", "iiiii", Call::NoDescriptor),
    function("path_filestat_set_times", "iiiiIIi", Call::NoDescriptor),
    function("path_link", "iiiiiii", Call::NoDescriptor),
    function("path_open", "iiiiiIIii", Call::NoDescriptor),
    function("path_readlink", "iiiiii", Call::NoDescriptor),
    function("path_remove_directory", "iii", Call::NoDescriptor),
    function("path_rename", "iiiiii", Call::NoDescriptor),
    function("path_symlink", "iiiii", Call::NoDescriptor),
    function("path_unlink_file", "iii", Call::NoDescriptor),
    function("sock_accept", "iii", Call::NoDescriptor),
    function("sock_recv", "iiiiii", Call::NoDescriptor),
    function("sock_send", "iiiii", Call::NoDescriptor),
    function("sock_shutdown", "ii", Call::NoDescriptor),
    function("poll_oneoff", "iiii", Call::Absent),
    function("proc_raise", "i", Call::Absent),
    Function {
        module: NATIVE_MODULE,
        name: "matrix_check",
        params: "iiiiii",
        call: Call::MatrixCheck,
    },
];

/// Why a call does not return to the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// `proc_exit`.
    Exit(u32),
    /// The next byte would be beyond the job's output limit.
    OutputTooLong,
    /// The call costs more fuel than is left.
    OutOfFuel,
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "stopped by the host: {self:?}")
    }
}

impl std::error::Error for Stop {}

/// What one instance sees and has written.
#[derive(Debug)]
pub struct Host {
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
    output_max: usize,
    log: Vec<u8>,
    args: Vec<Vec<u8>>,
    environ: Vec<Vec<u8>>,
    random: Random,
}

/// Fuel around a call: what is left before it, how much the segment has used so far, and what the call adds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    pub(crate) left: u64,
    pub(crate) used: u64,
    pub(crate) spent: u64,
}

impl Meter {
    fn spend(&mut self, fuel: u64) -> Result<(), Stop> {
        self.spent = self.spent.saturating_add(fuel);
        if self.spent > self.left { Err(Stop::OutOfFuel) } else { Ok(()) }
    }
}

impl Host {
    /// The world of one segment.
    #[must_use]
    pub fn new(spec: &JobSpec, segment: u32, input: &[u8]) -> Self {
        let mut args = vec![b"job".to_vec()];
        args.extend(spec.args.iter().map(|arg| arg.clone().into_bytes()));
        let environ = vec![
            format!("GONGSUAN_SEGMENT={segment}").into_bytes(),
            format!("GONGSUAN_SEGMENTS={}", spec.segment_count()).into_bytes(),
        ];
        Self {
            input: input.to_vec(),
            read: 0,
            output: Vec::new(),
            output_max: spec.limits.output_bytes as usize,
            log: Vec::new(),
            args,
            environ,
            random: Random { seed: spec.segment_seed(segment), block: 0, ready: Vec::new() },
        }
    }

    /// Standard output and standard error.
    #[must_use]
    pub fn into_output(self) -> (Vec<u8>, Vec<u8>) {
        (self.output, self.log)
    }

    /// Serves one call: the error number for the guest, or why the guest does not go on. `args` are the parameters,
    /// 32-bit ones zero-extended. The fuel spent is in `meter`, also when the guest is stopped.
    pub(crate) fn call(
        &mut self,
        function: &Function,
        args: &[u64],
        memory: &mut [u8],
        meter: &mut Meter,
    ) -> Result<i32, Stop> {
        meter.spend(CALL_FUEL)?;
        match self.dispatch(function, args, memory, meter) {
            Ok(()) => Ok(errno::SUCCESS),
            Err(Refused::Errno(number)) => Ok(number),
            Err(Refused::Stop(stop)) => Err(stop),
        }
    }

    fn dispatch(
        &mut self,
        function: &Function,
        args: &[u64],
        memory: &mut [u8],
        meter: &mut Meter,
    ) -> Result<(), Refused> {
        // Every 64-bit parameter that is looked at is a number the guest may choose freely: only pointers are 32-bit.
        let arg = |index: usize| low(args.get(index).copied().unwrap_or(0));
        match function.call {
            Call::ArgsGet => put_strings(memory, &self.args, arg(0), arg(1)),
            Call::ArgsSizesGet => put_sizes(memory, &self.args, arg(0), arg(1)),
            Call::EnvironGet => put_strings(memory, &self.environ, arg(0), arg(1)),
            Call::EnvironSizesGet => put_sizes(memory, &self.environ, arg(0), arg(1)),
            Call::ClockResGet => put(memory, arg(1), &1u64.to_le_bytes()),
            Call::ClockTimeGet => {
                // Realtime counts from the epoch, the others from the start of the segment.
                let base = if arg(0) == 0 { EPOCH_NS } else { 0 };
                put(memory, arg(2), &base.saturating_add(meter.used).to_le_bytes())
            }
            Call::FdRead if arg(0) == 0 => self.read(memory, arg(1), arg(2), arg(3), meter),
            Call::FdWrite if arg(0) == 1 || arg(0) == 2 => {
                self.write(arg(0) == 1, memory, (arg(1), arg(2)), arg(3), meter)
            }
            Call::FdClose if arg(0) <= 2 => Ok(()),
            Call::FdSeek if arg(0) <= 2 => Err(Refused::Errno(errno::SPIPE)),
            Call::FdFdstatGet if arg(0) <= 2 => {
                // Type unknown (not a terminal, so that libraries buffer), no flags, the right to read or write.
                let mut stat = [0; 24];
                stat[8] = if arg(0) == 0 { 2 } else { 64 };
                put(memory, arg(1), &stat)
            }
            Call::FdFilestatGet if arg(0) <= 2 => put(memory, arg(1), &[0; 64]),
            Call::ProcExit => Err(Refused::Stop(Stop::Exit(arg(0)))),
            Call::RandomGet => {
                let bytes = arg(1);
                meter.spend(u64::from(bytes) * 4)?;
                self.random.fill(range_mut(memory, arg(0), bytes)?);
                Ok(())
            }
            Call::SchedYield => Ok(()),
            Call::MatrixCheck => {
                let sizes = Sizes { rows: arg(0), inner: arg(1), columns: arg(2) };
                check_product(memory, sizes, [arg(3), arg(4), arg(5)], meter)
            }
            Call::Absent => Err(Refused::Errno(errno::NOSYS)),
            Call::FdRead
            | Call::FdWrite
            | Call::FdClose
            | Call::FdSeek
            | Call::FdFdstatGet
            | Call::FdFilestatGet
            | Call::NoDescriptor => Err(Refused::Errno(errno::BADF)),
        }
    }

    fn read(
        &mut self,
        memory: &mut [u8],
        iovecs: u32,
        count: u32,
        result: u32,
        meter: &mut Meter,
    ) -> Result<(), Refused> {
        let mut total: u32 = 0;
        for (pointer, length) in buffers(memory, iovecs, count)? {
            let left = self.input.len() - self.read;
            let bytes = (length as usize).min(left);
            meter.spend(bytes as u64)?;
            let length = u32::try_from(bytes).expect("at most a 32-bit length");
            let from = &self.input[self.read..self.read + bytes];
            range_mut(memory, pointer, length)?.copy_from_slice(from);
            self.read += bytes;
            total = total.checked_add(length).ok_or(Refused::Errno(errno::INVAL))?;
        }
        put(memory, result, &total.to_le_bytes())
    }

    fn write(
        &mut self,
        is_output: bool,
        memory: &mut [u8],
        (iovecs, count): (u32, u32),
        result: u32,
        meter: &mut Meter,
    ) -> Result<(), Refused> {
        let mut total: u32 = 0;
        for (pointer, length) in buffers(memory, iovecs, count)? {
            let bytes = range(memory, pointer, length)?;
            meter.spend(u64::from(length))?;
            if is_output {
                let room = self.output_max - self.output.len();
                self.output.extend_from_slice(&bytes[..bytes.len().min(room)]);
                if bytes.len() > room {
                    return Err(Refused::Stop(Stop::OutputTooLong));
                }
            } else {
                // The log is nobody's output: what does not fit is gone.
                let room = LOG_BYTES_MAX - self.log.len();
                self.log.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            total = total.checked_add(length).ok_or(Refused::Errno(errno::INVAL))?;
        }
        put(memory, result, &total.to_le_bytes())
    }
}

enum Refused {
    Errno(i32),
    Stop(Stop),
}

impl From<Stop> for Refused {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// The low half of a parameter; 32-bit ones have nothing above it.
fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).expect("masked")
}

fn span(memory: &[u8], pointer: u32, length: u32) -> Result<std::ops::Range<usize>, Refused> {
    let start = pointer as usize;
    let end = start.checked_add(length as usize).filter(|end| *end <= memory.len());
    end.map(|end| start..end).ok_or(Refused::Errno(errno::FAULT))
}

fn range(memory: &[u8], pointer: u32, length: u32) -> Result<&[u8], Refused> {
    Ok(&memory[span(memory, pointer, length)?])
}

fn range_mut(memory: &mut [u8], pointer: u32, length: u32) -> Result<&mut [u8], Refused> {
    let span = span(memory, pointer, length)?;
    Ok(&mut memory[span])
}

fn put(memory: &mut [u8], pointer: u32, bytes: &[u8]) -> Result<(), Refused> {
    let length = u32::try_from(bytes.len()).map_err(|_| Refused::Errno(errno::INVAL))?;
    range_mut(memory, pointer, length)?.copy_from_slice(bytes);
    Ok(())
}

/// Pointer and length of each buffer of a scatter list, read before any is used.
fn buffers(memory: &[u8], iovecs: u32, count: u32) -> Result<Vec<(u32, u32)>, Refused> {
    if count > IOVECS_MAX {
        return Err(Refused::Errno(errno::INVAL));
    }
    let bytes = range(memory, iovecs, count * 8)?;
    let (pairs, _) = bytes.as_chunks::<8>();
    let pair = |&[a, b, c, d, e, f, g, h]: &[u8; 8]| {
        (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
    };
    Ok(pairs.iter().map(pair).collect())
}

fn check_product(
    memory: &[u8],
    sizes: Sizes,
    pointers: [u32; 3],
    meter: &mut Meter,
) -> Result<(), Refused> {
    let bytes = sizes.bytes().ok_or(Refused::Errno(errno::INVAL))?;
    let [a_bytes, b_bytes, c_bytes] = bytes.map(|bytes| bytes as u64);
    meter.spend((a_bytes + b_bytes + c_bytes) * MATRIX_BYTE_FUEL)?;
    let matrix = |at: usize| {
        let length = u32::try_from(bytes[at]).map_err(|_| Refused::Errno(errno::FAULT))?;
        range(memory, pointers[at], length)
    };
    if freivalds::check(sizes, matrix(0)?, matrix(1)?, matrix(2)?) {
        Ok(())
    } else {
        Err(Refused::Errno(errno::NOT_EQUAL))
    }
}

fn put_sizes(memory: &mut [u8], list: &[Vec<u8>], count: u32, bytes: u32) -> Result<(), Refused> {
    let total: usize = list.iter().map(|item| item.len() + 1).sum();
    let number = |n: usize| u32::try_from(n).expect("arguments are bounded").to_le_bytes();
    put(memory, count, &number(list.len()))?;
    put(memory, bytes, &number(total))
}

fn put_strings(
    memory: &mut [u8],
    list: &[Vec<u8>],
    mut pointers: u32,
    mut bytes: u32,
) -> Result<(), Refused> {
    for item in list {
        put(memory, pointers, &bytes.to_le_bytes())?;
        put(memory, bytes, &[item.as_slice(), &[0]].concat())?;
        let length = u32::try_from(item.len() + 1).expect("arguments are bounded");
        // In bounds so far, so neither sum can overflow by more than the memory's end.
        pointers = pointers.checked_add(4).ok_or(Refused::Errno(errno::FAULT))?;
        bytes = bytes.checked_add(length).ok_or(Refused::Errno(errno::FAULT))?;
    }
    Ok(())
}

/// Random bytes that follow from a seed: SHA-256 in counter mode.
#[derive(Debug)]
struct Random {
    seed: Hash,
    block: u64,
    ready: Vec<u8>,
}

impl Random {
    fn fill(&mut self, to: &mut [u8]) {
        for byte in to {
            if self.ready.is_empty() {
                let mut hasher = Hasher::new("gongsuan/random/v1");
                hasher.update(&self.seed.0).update(&self.block.to_le_bytes());
                self.ready = hasher.finish().0.to_vec();
                self.ready.reverse();
                self.block += 1;
            }
            *byte = self.ready.pop().expect("just filled");
        }
    }
}
