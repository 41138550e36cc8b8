//! The world as a program sees it: WASI preview 1, cut down to what is the same everywhere.
//!
//! Standard input holds the segment's input, standard output becomes its output, standard error goes to the provider's
//! log. There are arguments and two environment variables (`GONGSUAN_SEGMENT`, `GONGSUAN_SEGMENTS`), a clock that is
//! driven by fuel (one nanosecond each), random bytes that follow from the job's seed, and `proc_exit`; and a folder that can be read: the
//! module's own [`files`] and the input as `/input`. No socket, thread, poll or file to write: those functions exist, so that ordinary programs
//! link, and answer `ROFS`, `BADF` or `NOSYS`.
//!
//! Beside it there is the module `gongsuan` with one function: `matrix_check(rows, inner, columns, a, b, c)` answers 0 if the
//! matrix at `c` is the product of those at `a` and `b`, and 1 if not ([`crate::verify::freivalds`]). Checking is as
//! deterministic as computing, so it may stand in receipts.
//!
//! One implementation serves both engines: it sees the guest's memory as a slice and knows nothing of instances. Every
//! call has a price in fuel, so that host work is paid like guest work.

mod descriptors;
mod errno;
pub mod files;
mod functions;
mod memory;
mod random;

use std::sync::Arc;

use gongsuan_types::job::JobSpec;

pub use files::{Files, FilesError};
pub(crate) use functions::{Function, find};

use crate::verify::freivalds::{self, Sizes};
use descriptors::{Descriptors, Open, Opening, stat};
use files::Tree;
use functions::Call;
use memory::{buffers, low, put, put_sizes, put_strings, range, range_mut};
use random::Random;

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
    files: Arc<Tree>,
    descriptors: Descriptors,
    output: Vec<u8>,
    log: Vec<u8>,
    spec: JobSpec,
    segment: u32,
    /// Made when it is first asked for.
    random: Option<Random>,
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
    pub(crate) fn new(spec: &JobSpec, segment: u32, input: &[u8], files: Arc<Tree>) -> Self {
        Self {
            input: input.to_vec(),
            files,
            descriptors: Descriptors::default(),
            output: Vec::new(),
            log: Vec::new(),
            spec: spec.clone(),
            segment,
            random: None,
        }
    }

    fn args(&self) -> Vec<Vec<u8>> {
        let own = self.spec.args.iter().map(|arg| arg.clone().into_bytes());
        std::iter::once(b"job".to_vec()).chain(own).collect()
    }

    fn environ(&self) -> Vec<Vec<u8>> {
        vec![
            format!("GONGSUAN_SEGMENT={}", self.segment).into_bytes(),
            format!("GONGSUAN_SEGMENTS={}", self.spec.segment_count()).into_bytes(),
        ]
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
        let wide = |index: usize| args.get(index).copied().unwrap_or(0);
        let arg = |index: usize| low(wide(index));
        match function.call {
            Call::ArgsGet => put_strings(memory, &self.args(), arg(0), arg(1)),
            Call::ArgsSizesGet => put_sizes(memory, &self.args(), arg(0), arg(1)),
            Call::EnvironGet => put_strings(memory, &self.environ(), arg(0), arg(1)),
            Call::EnvironSizesGet => put_sizes(memory, &self.environ(), arg(0), arg(1)),
            Call::ClockResGet => put(memory, arg(1), &1u64.to_le_bytes()),
            Call::ClockTimeGet => {
                // Realtime counts from the epoch, the others from the start of the segment.
                let base = if arg(0) == 0 { EPOCH_NS } else { 0 };
                put(memory, arg(2), &base.saturating_add(meter.used).to_le_bytes())
            }
            Call::FdAdvise => self.descriptors.get(arg(0)).map(drop),
            Call::FdClose => self.descriptors.close(arg(0)),
            Call::FdFdstatGet => self.descriptors.describe(arg(0), &self.files, memory, arg(1)),
            Call::FdFilestatGet => {
                let stat = self.stat(arg(0))?;
                put(memory, arg(1), &stat)
            }
            Call::FdPread => {
                let at = Some(wide(3));
                self.read(memory, (arg(0), at), (arg(1), arg(2)), arg(4), meter)
            }
            Call::FdPrestatGet => {
                let name = self.descriptors.given(arg(0))?;
                let length = u8::try_from(name.len()).expect("a short name");
                put(memory, arg(1), &[0, 0, 0, 0, length, 0, 0, 0])
            }
            Call::FdPrestatDirName => {
                let name = self.descriptors.given(arg(0))?;
                if (arg(2) as usize) < name.len() {
                    return Err(Refused::Errno(errno::NAMETOOLONG));
                }
                put(memory, arg(1), name)
            }
            Call::FdRead => self.read(memory, (arg(0), None), (arg(1), arg(2)), arg(3), meter),
            Call::FdReaddir => {
                let (from, room) = ((arg(0), wide(3)), (arg(1), arg(2)));
                let used = self.descriptors.list(from, &self.files, memory, room, meter)?;
                put(memory, arg(4), &used.to_le_bytes())
            }
            Call::FdSeek => {
                let place = self.seek(arg(0), wide(1).cast_signed(), arg(2))?;
                put(memory, arg(3), &place.to_le_bytes())
            }
            Call::FdTell => {
                let place = self.seek(arg(0), 0, 1)?;
                put(memory, arg(1), &place.to_le_bytes())
            }
            Call::FdWrite => self.write(memory, arg(0), (arg(1), arg(2)), arg(3), meter),
            Call::PathFilestatGet => {
                let path = (arg(2), arg(3));
                let node = self.descriptors.find(arg(0), path, &self.files, memory, meter)?;
                put(memory, arg(4), &stat(node, &self.files, self.length(node).unwrap_or(0)))
            }
            Call::PathOpen => {
                let opening = Opening {
                    folder: arg(0),
                    path: (arg(2), arg(3)),
                    flags: arg(4),
                    rights: wide(5),
                };
                // A descriptor that the guest would not learn of is not opened.
                range(memory, arg(8), 4)?;
                let number = self.descriptors.open(opening, &self.files, memory, meter)?;
                put(memory, arg(8), &number.to_le_bytes())
            }
            Call::PathReadlink => {
                let path = (arg(1), arg(2));
                self.descriptors.find(arg(0), path, &self.files, memory, meter)?;
                // It is there, and no link.
                Err(Refused::Errno(errno::INVAL))
            }
            Call::Changes => self.descriptors.change(arg(0), &self.files),
            Call::ProcExit => Err(Refused::Stop(Stop::Exit(arg(0)))),
            Call::RandomGet => {
                let bytes = arg(1);
                meter.spend(u64::from(bytes) * 4)?;
                let seed = || Random::new(self.spec.segment_seed(self.segment));
                self.random.get_or_insert_with(seed).fill(range_mut(memory, arg(0), bytes)?);
                Ok(())
            }
            Call::SchedYield => Ok(()),
            Call::MatrixCheck => {
                let sizes = Sizes { rows: arg(0), inner: arg(1), columns: arg(2) };
                check_product(memory, sizes, [arg(3), arg(4), arg(5)], meter)
            }
            Call::Absent => Err(Refused::Errno(errno::NOSYS)),
            Call::NoDescriptor => Err(Refused::Errno(errno::BADF)),
        }
    }

    /// The length of a file in bytes.
    fn length(&self, node: files::Node) -> Option<u64> {
        self.files.content(node, &self.input).map(|content| content.len() as u64)
    }

    fn stat(&mut self, number: u32) -> Result<[u8; 64], Refused> {
        Ok(match self.descriptors.get(number)? {
            Open::At(node) => stat(node, &self.files, self.length(node).unwrap_or(0)),
            Open::Input | Open::Output | Open::Log => [0; 64],
        })
    }

    fn seek(&mut self, number: u32, delta: i64, whence: u32) -> Result<u64, Refused> {
        let length = match self.descriptors.get(number)? {
            Open::At(node) => self.length(node),
            Open::Input | Open::Output | Open::Log => None,
        };
        self.descriptors.seek(number, delta, whence, length)
    }

    /// Reads into buffers, from where the descriptor stands or from a place `at`, which does not move it.
    fn read(
        &mut self,
        memory: &mut [u8],
        (number, at): (u32, Option<u64>),
        (iovecs, count): (u32, u32),
        result: u32,
        meter: &mut Meter,
    ) -> Result<(), Refused> {
        let content = match (self.descriptors.get(number)?, at) {
            (Open::Input, None) => &self.input,
            (Open::Input, Some(_)) => return Err(Refused::Errno(errno::SPIPE)),
            (Open::Output | Open::Log, _) => return Err(Refused::Errno(errno::BADF)),
            (Open::At(node), _) => {
                self.files.content(node, &self.input).ok_or(Refused::Errno(errno::ISDIR))?
            }
        };
        let mut own;
        let offset = match at {
            Some(place) => {
                own = place;
                &mut own
            }
            None => self.descriptors.offset(number)?,
        };
        let mut total: u32 = 0;
        for (pointer, length) in buffers(memory, iovecs, count)? {
            let from = usize::try_from(*offset).unwrap_or(usize::MAX).min(content.len());
            let bytes = (length as usize).min(content.len() - from);
            meter.spend(bytes as u64)?;
            let length = u32::try_from(bytes).expect("at most a 32-bit length");
            range_mut(memory, pointer, length)?.copy_from_slice(&content[from..from + bytes]);
            *offset += bytes as u64;
            total = total.checked_add(length).ok_or(Refused::Errno(errno::INVAL))?;
        }
        put(memory, result, &total.to_le_bytes())
    }

    fn write(
        &mut self,
        memory: &mut [u8],
        number: u32,
        (iovecs, count): (u32, u32),
        result: u32,
        meter: &mut Meter,
    ) -> Result<(), Refused> {
        let is_output = match self.descriptors.get(number)? {
            Open::Output => true,
            Open::Log => false,
            Open::Input | Open::At(_) => return Err(Refused::Errno(errno::BADF)),
        };
        let mut total: u32 = 0;
        for (pointer, length) in buffers(memory, iovecs, count)? {
            let bytes = range(memory, pointer, length)?;
            meter.spend(u64::from(length))?;
            if is_output {
                let room = self.spec.limits.output_bytes as usize - self.output.len();
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

/// Why a call is not answered with success.
enum Refused {
    Errno(i32),
    Stop(Stop),
}

impl From<Stop> for Refused {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
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
