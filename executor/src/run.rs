//! Running one segment, and running it again.

use gongsuan_types::job::{JobSpec, MapInput, Shape};
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof, Status};
use gongsuan_types::{Fuel, Hash};

use crate::engine::{Ending, Start};
use crate::meter::{METER_VERSION, PAGE_FUEL};
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
    check(program, spec, segment, input)?;
    let Ok((prepared, pages)) = admitted(program, spec) else {
        return Ok(refused(segment, input));
    };
    let start_fuel = u64::from(pages) * PAGE_FUEL;
    let Some(fuel) = spec.limits.fuel.0.checked_sub(start_fuel) else {
        return Ok(finish(
            segment,
            input,
            Vec::new(),
            Vec::new(),
            spec.limits.fuel.0,
            Status::OutOfFuel,
        ));
    };
    let host = Host::new(spec, segment, input);
    let memory_pages = spec.limits.memory_pages;
    let end = prepared.execute(Start { host, fuel, memory_pages })?;
    let status = match end.ending {
        Ending::Returned | Ending::Exited(0) => Status::Ok,
        Ending::Exited(code) => Status::Exit(code),
        Ending::Trapped(trap) => Status::Trap(trap),
        Ending::OutOfFuel => Status::OutOfFuel,
    };
    let (output, log) = end.host.into_output();
    Ok(finish(segment, input, output, log, start_fuel + end.fuel, status))
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

fn admitted<'a>(
    program: &'a Program,
    spec: &JobSpec,
) -> Result<(&'a dyn crate::engine::Prepared, u32), ModuleError> {
    if spec.meter != METER_VERSION {
        return Err(ModuleError::MeterVersion { limit: METER_VERSION, got: spec.meter });
    }
    let (prepared, pages) = program.ready()?;
    let limit = spec.limits.memory_pages;
    if pages > limit {
        return Err(ModuleError::MemoryMinimum { limit: limit.into(), got: pages.into() });
    }
    Ok((prepared, pages))
}

fn check(program: &Program, spec: &JobSpec, segment: u32, input: &[u8]) -> Result<(), RunError> {
    spec.validate().map_err(|refusal| RunError::Job(Box::new(refusal)))?;
    let limit = spec.segment_count();
    if segment >= limit {
        return Err(RunError::NoSuchSegment { limit, got: segment });
    }
    if program.module_hash() != spec.module {
        return Err(RunError::WrongModule { expected: spec.module, got: program.module_hash() });
    }
    let Shape::Map { input: named, .. } = &spec.shape;
    if let MapInput::Shared(expected) = *named {
        let got = Hash::of_content(input);
        if got != expected {
            return Err(RunError::WrongInput { segment, expected, got });
        }
    }
    Ok(())
}

/// What a segment of a refused module gives.
pub(crate) fn refused(segment: u32, input: &[u8]) -> SegmentOutput {
    finish(segment, input, Vec::new(), Vec::new(), 0, Status::Refused)
}

fn finish(
    segment: u32,
    input: &[u8],
    output: Vec<u8>,
    log: Vec<u8>,
    fuel: u64,
    status: Status,
) -> SegmentOutput {
    let receipt = Receipt {
        segment,
        input: Hash::of_content(input),
        output: Hash::of_content(&output),
        output_bytes: u32::try_from(output.len()).expect("bounded by the job's limit"),
        fuel: Fuel(fuel),
        status,
    };
    SegmentOutput { receipt, output, log }
}
