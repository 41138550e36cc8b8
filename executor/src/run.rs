//! Running one segment, and running it again.

use std::sync::Arc;

use gongsuan_types::job::{JobSpec, MapInput, Shape};
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof, Status};
use gongsuan_types::{Fuel, Hash};

use crate::engine::{Ending, Ready, Start};
use crate::meter::METER_VERSION;
use crate::wasi::Host;
use crate::{ModuleError, Program, RunError};

/// What one segment gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentOutput {
    /// What is committed and paid for.
    pub receipt: Receipt,
    /// Standard output; its content address is in the receipt.
    pub output: Vec<u8>,
    /// Standard error, cut at [`crate::wasi::LOG_BYTES_MAX`]. For the provider's log, part of nothing.
    pub log: Vec<u8>,
}

/// Runs segment `segment` of a job on `input`, the whole of its standard input.
///
/// # Errors
/// [`RunError`]: the job is out of bounds, the module or the input is not the one that the job names, or this machine
/// failed. What the program does wrong is in the receipt.
pub fn run_segment(
    program: &Program,
    spec: &JobSpec,
    segment: u32,
    input: &[u8],
) -> Result<SegmentOutput, RunError> {
    let input_hash = check(program, spec, segment, input)?;
    let end = |fuel, status| Receipt {
        segment,
        input: input_hash,
        output: Hash::of_content(b""),
        output_bytes: 0,
        fuel: Fuel(fuel),
        status,
    };
    let silent = |receipt| SegmentOutput { receipt, output: Vec::new(), log: Vec::new() };
    let Ok(ready) = admitted(program, spec) else {
        return Ok(silent(end(0, Status::Refused)));
    };
    let start_fuel = ready.start_fuel;
    let Some(fuel) = spec.limits.fuel.0.checked_sub(start_fuel) else {
        return Ok(silent(end(spec.limits.fuel.0, Status::OutOfFuel)));
    };
    let host = Host::new(spec, segment, input, Arc::clone(&ready.files));
    let memory_pages = spec.limits.memory_pages;
    let finish = ready.prepared.execute(Start { host, fuel, memory_pages })?;
    let status = match finish.ending {
        Ending::Returned | Ending::Exited(0) => Status::Ok,
        Ending::Exited(code) => Status::Exit(code),
        Ending::Trapped(trap) => Status::Trap(trap),
        Ending::OutOfFuel => Status::OutOfFuel,
    };
    let (output, log) = finish.host.into_output();
    let receipt = Receipt {
        output: Hash::of_content(&output),
        output_bytes: u32::try_from(output.len()).unwrap_or(u32::MAX),
        ..end(start_fuel + finish.fuel, status)
    };
    Ok(SegmentOutput { receipt, output, log })
}

/// Runs a segment again, as an auditor or a referee: the same function, under the name of its purpose. Compare the
/// receipts; equal means that the provider told the truth.
///
/// # Errors
/// As [`run_segment`].
pub fn reexecute(
    program: &Program,
    spec: &JobSpec,
    segment: u32,
    input: &[u8],
) -> Result<Receipt, RunError> {
    run_segment(program, spec, segment, input).map(|output| output.receipt)
}

/// Why the job's module may not run under the job's limits, if it may not. Deterministic.
///
/// # Errors
/// The module's fault.
pub fn admit(program: &Program, spec: &JobSpec) -> Result<(), ModuleError> {
    admitted(program, spec).map(|_| ())
}

/// The commitment to a deal's receipts, with the proof for the one at `index`; `None` if there is no such receipt.
#[must_use]
pub fn prove(receipts: &[Receipt], index: usize) -> Option<(Commitment, ReceiptProof)> {
    Some((Commitment::new(receipts)?, ReceiptProof::new(receipts, index)?))
}

fn admitted<'a>(program: &'a Program, spec: &JobSpec) -> Result<&'a Ready, ModuleError> {
    if spec.meter != METER_VERSION {
        return Err(ModuleError::MeterVersion { limit: METER_VERSION, got: spec.meter });
    }
    let ready = program.ready()?;
    let (limit, got) = (spec.limits.memory_pages, ready.memory_minimum);
    if got > limit {
        return Err(ModuleError::MemoryMinimum { limit: limit.into(), got: got.into() });
    }
    Ok(ready)
}

/// Whether the segment may be asked for; the content address of its input.
fn check(program: &Program, spec: &JobSpec, segment: u32, input: &[u8]) -> Result<Hash, RunError> {
    spec.validate().map_err(|refusal| RunError::Job(Box::new(refusal)))?;
    let limit = spec.segment_count();
    if segment >= limit {
        return Err(RunError::NoSuchSegment { limit, got: segment });
    }
    if program.module_hash() != spec.module {
        return Err(RunError::WrongModule { expected: spec.module, got: program.module_hash() });
    }
    let Shape::Map { input: named, .. } = &spec.shape;
    let got = Hash::of_content(input);
    match *named {
        MapInput::Shared(expected) if got != expected => {
            Err(RunError::WrongInput { segment, expected, got })
        }
        MapInput::Shared(_) | MapInput::Each(_) => Ok(got),
    }
}

/// What a segment of a refused module gives.
pub(crate) fn refused(segment: u32, input: &[u8]) -> SegmentOutput {
    let receipt = Receipt {
        segment,
        input: Hash::of_content(input),
        output: Hash::of_content(b""),
        output_bytes: 0,
        fuel: Fuel(0),
        status: Status::Refused,
    };
    SegmentOutput { receipt, output: Vec::new(), log: Vec::new() }
}
