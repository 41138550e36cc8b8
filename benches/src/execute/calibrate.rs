//! What operations take on this machine, beside their prices.
//!
//! Each class runs as a long loop of itself in four independent chains, about as real programs mix waiting and working. The loop and the
//! moving of values around it are measured alone and subtracted. The proposal is the price at which the class would earn as much a
//! nanosecond as [`REFERENCE`] fuel. The meter's table stays a judgement: it prices operations by what they take where it hurts a
//! provider most, in whole numbers, and equal where machines differ.

use gongsuan_executor::{Program, default_engine, run_segment};
use gongsuan_types::job::Limits;
use gongsuan_types::{Fuel, Hash};
use serde_json::json;

use super::jobs::looping;
use super::{process_nanos, rounded, text};
use crate::table::Report;

/// Fuel for a nanosecond, about what the kernels burn.
const REFERENCE: f64 = 3.0;
/// Times that the statement stands in the loop.
const COPIES: u32 = 32;

/// A class, and a statement of which `N` is the number of a chain. Locals: `$iN`, `$lN`, `$fN`, `$dN`, `$vN` (i32, i64, f32, f64, v128).
const CLASSES: &[(&str, &str)] = &[
    ("i32.add", "(local.set $iN (i32.add (local.get $iN) (local.get $i4)))"),
    ("i32.mul", "(local.set $iN (i32.mul (local.get $iN) (local.get $i4)))"),
    ("i64.mul", "(local.set $lN (i64.mul (local.get $lN) (local.get $l4)))"),
    ("i32.rotl", "(local.set $iN (i32.rotl (local.get $iN) (i32.const 7)))"),
    ("i32.shl by a variable", "(local.set $iN (i32.shl (local.get $iN) (local.get $i4)))"),
    (
        "i32.lt_u and select",
        "(local.set $iN (select (local.get $iN) (local.get $i4) (i32.lt_u (local.get $iN) (local.get $i4))))",
    ),
    ("i32.popcnt", "(local.set $iN (i32.popcnt (i32.add (local.get $iN) (local.get $i4))))"),
    (
        "i32.div_u",
        "(local.set $iN (i32.div_u (i32.or (local.get $iN) (i32.const 0x40000000)) (i32.or (local.get $i4) (i32.const 1))))",
    ),
    (
        "i64.rem_s",
        "(local.set $lN (i64.rem_s (i64.or (local.get $lN) (i64.const 0x4000000000)) (i64.or (local.get $l4) (i64.const 1))))",
    ),
    ("i32.load", "(local.set $iN (i32.load (i32.and (local.get $iN) (i32.const 0xfff))))"),
    ("i32.load8_u", "(local.set $iN (i32.load8_u (i32.and (local.get $iN) (i32.const 0xfff))))"),
    ("i32.store", "(i32.store (i32.and (local.get $iN) (i32.const 0xfff)) (local.get $iN))"),
    (
        "f64.load",
        "(local.set $dN (f64.add (local.get $dN) (f64.load (i32.and (local.get $iN) (i32.const 0xff8)))))",
    ),
    (
        "f64.store",
        "(f64.store (i32.and (local.get $iN) (i32.const 0xff8)) (f64.add (local.get $dN) (local.get $d4)))",
    ),
    ("f64.add", "(local.set $dN (f64.add (local.get $dN) (local.get $d4)))"),
    ("f64.mul", "(local.set $dN (f64.mul (local.get $dN) (local.get $d4)))"),
    ("f64.div", "(local.set $dN (f64.div (local.get $dN) (local.get $d4)))"),
    ("f32.div", "(local.set $fN (f32.div (local.get $fN) (local.get $f4)))"),
    ("f64.sqrt", "(local.set $dN (f64.sqrt (local.get $dN)))"),
    ("f32.sqrt", "(local.set $fN (f32.sqrt (local.get $fN)))"),
    ("f64.floor", "(local.set $dN (f64.floor (f64.add (local.get $dN) (local.get $d4))))"),
    ("f64.min", "(local.set $dN (f64.min (local.get $dN) (local.get $d4)))"),
    (
        "f64.convert_i32_u",
        "(local.set $dN (f64.add (local.get $dN) (f64.convert_i32_u (local.get $iN))))",
    ),
    (
        "i32.trunc_sat_f64_s",
        "(local.set $iN (i32.add (local.get $iN) (i32.trunc_sat_f64_s (local.get $dN))))",
    ),
    (
        "f64.lt and branch",
        "(if (f64.lt (local.get $dN) (local.get $d4)) (then (local.set $iN (i32.const 1))))",
    ),
    (
        "v128.load",
        "(local.set $vN (v128.xor (local.get $vN) (v128.load (i32.and (local.get $iN) (i32.const 0xff0)))))",
    ),
    ("v128.store", "(v128.store (i32.and (local.get $iN) (i32.const 0xff0)) (local.get $vN))"),
    ("i32x4.add", "(local.set $vN (i32x4.add (local.get $vN) (local.get $v4)))"),
    ("i32x4.mul", "(local.set $vN (i32x4.mul (local.get $vN) (local.get $v4)))"),
    ("i64x2.mul", "(local.set $vN (i64x2.mul (local.get $vN) (local.get $v4)))"),
    ("i32x4.dot_i16x8_s", "(local.set $vN (i32x4.dot_i16x8_s (local.get $vN) (local.get $v4)))"),
    ("i8x16.shl", "(local.set $vN (i8x16.shl (local.get $vN) (local.get $i4)))"),
    (
        "i8x16.shuffle",
        "(local.set $vN (i8x16.shuffle 3 2 1 0 7 6 5 4 11 10 9 8 31 14 13 12 (local.get $vN) (local.get $v4)))",
    ),
    ("i8x16.popcnt", "(local.set $vN (i8x16.popcnt (local.get $vN)))"),
    ("f64x2.add", "(local.set $wN (f64x2.add (local.get $wN) (local.get $w4)))"),
    (
        "f64x2.add, touched",
        "(local.set $wN (v128.xor (f64x2.add (local.get $wN) (local.get $w4)) (local.get $v4)))",
    ),
    ("f64x2.mul", "(local.set $wN (f64x2.mul (local.get $wN) (local.get $w4)))"),
    ("f64x2.div", "(local.set $wN (f64x2.div (local.get $wN) (local.get $w4)))"),
    ("f32x4.div", "(local.set $wN (f32x4.div (local.get $wN) (local.get $w4)))"),
    ("f64x2.sqrt", "(local.set $wN (f64x2.sqrt (local.get $wN)))"),
    ("f32x4.min", "(local.set $wN (f32x4.min (local.get $wN) (local.get $w4)))"),
    ("f64x2.floor", "(local.set $wN (f64x2.floor (f64x2.add (local.get $wN) (local.get $w4))))"),
    ("global.get, global.set", "(global.set $g (i32.add (global.get $g) (local.get $iN)))"),
    ("call", "(local.set $iN (call $next (local.get $iN)))"),
    ("call_indirect", "(local.set $iN (call_indirect (type $next) (local.get $iN) (i32.const 0)))"),
    (
        "br_table",
        "(block $x (block $y (br_table $x $y $x (i32.and (local.get $iN) (i32.const 3)))) (local.set $iN (i32.add (local.get $iN) (i32.const 1))))",
    ),
    (
        "if",
        "(if (i32.and (local.get $i4) (i32.const 1)) (then (local.set $iN (i32.add (local.get $iN) (i32.const 1)))))",
    ),
    ("memory.copy of 4096", "(memory.copy (i32.const 8192) (i32.const 0) (i32.const 4096))"),
    ("memory.fill of 4096", "(memory.fill (i32.const 8192) (local.get $iN) (i32.const 4096))"),
    ("memory.copy of 8", "(memory.copy (i32.const 8192) (i32.const 0) (i32.const 8))"),
    ("memory.size", "(local.set $iN (i32.add (local.get $iN) (memory.size)))"),
    ("memory.grow by 0", "(drop (memory.grow (i32.const 0)))"),
    ("table.grow by 0", "(drop (table.grow (ref.null func) (i32.const 0)))"),
];

fn module(statement: &str, rounds: u32) -> Result<Vec<u8>, String> {
    let body: String =
        (0..COPIES).map(|copy| statement.replace('N', &(copy % 4).to_string())).collect();
    let locals: String = (0..5)
        .map(|n| format!("(local $i{n} i32) (local $l{n} i64) (local $f{n} f32) (local $d{n} f64) (local $v{n} v128) (local $w{n} v128) "))
        .collect();
    // From memory, so that the compiler knows none of them.
    let begin: String = (0..5)
        .map(|n| {
            let at = 4096 + n * 64;
            format!(
                "(local.set $i{n} (i32.load (i32.const {at}))) (local.set $l{n} (i64.load (i32.const {at})))
                 (local.set $v{n} (v128.load (i32.const {at}))) (local.set $f{n} (f32.load (i32.const {})))
                 (local.set $d{n} (f64.load (i32.const {}))) (local.set $w{n} (f64x2.add (v128.load (i32.const {})) (v128.const f64x2 0 0)))",
                at + 16,
                at + 24,
                at + 32
            )
        })
        .collect();
    let data: String = (0..5_u8)
        .map(|n| {
            let mut bytes = vec![n * 7 + 3, 0x35, 0, 0, n, 0, 0, 0, 9, 8, 7, n, 1, 2, 3, 4];
            bytes.extend((1.0 + f32::from(n) / 9.0).to_le_bytes());
            bytes.extend([0; 4]);
            for number in [0.25, 1.5, 1.25] {
                bytes.extend((number + f64::from(n) / 7.0).to_le_bytes());
            }
            let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
            format!("(data (i32.const {}) \"{escaped}\") ", 4096 + u32::from(n) * 64)
        })
        .collect();
    // Everything is used at the end, so that nothing can be left out.
    let end: String = (0..5)
        .map(|n| {
            format!(
                "(i32.store (i32.const {at}) (local.get $i{n})) (i64.store (i32.const {at}) (local.get $l{n})) (f32.store (i32.const {at}) (local.get $f{n}))
                 (f64.store (i32.const {at}) (local.get $d{n})) (v128.store (i32.const {at}) (local.get $v{n})) (v128.store (i32.const {at}) (local.get $w{n}))",
                at = n * 16
            )
        })
        .collect();
    wat::parse_str(format!(
        "(module (memory 1) {data} (table 1 funcref) (elem (i32.const 0) $next) (global $g (mut i32) (i32.const 0))
           (type $next (func (param i32) (result i32)))
           (func $next (param i32) (result i32) (i32.xor (local.get 0) (i32.const 5)))
           (func (export \"_start\") (local $n i32) {locals} {begin}
             (loop $l {body}
               (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {rounds}))))
             {end}))"
    ))
    .map_err(text)
}

/// CPU nanoseconds and fuel of a module, at best.
#[expect(clippy::cast_precision_loss, reason = "statistics")]
fn measure(module: &[u8], runs: u32) -> Result<(f64, f64), String> {
    let program = Program::load(default_engine(), module).map_err(text)?;
    let mut spec = looping(1, 1)?.spec;
    spec.module = Hash::of_content(module);
    spec.limits = Limits { fuel: Fuel(4_000_000_000), memory_pages: 4, output_bytes: 0 };
    let (mut best, mut fuel) = (f64::MAX, 0.0);
    for _ in 0..runs {
        let from = process_nanos();
        let receipt = run_segment(&program, &spec, 0, b"").map_err(text)?.receipt;
        best = best.min(process_nanos() - from);
        if receipt.status != gongsuan_types::receipt::Status::Ok {
            return Err(format!("ended with {:?}", receipt.status));
        }
        fuel = receipt.fuel.0 as f64;
    }
    Ok((best, fuel))
}

pub(crate) fn run(report: &mut Report, quick: bool) {
    for (class, statement) in CLASSES {
        if let Err(error) = class_row(report, class, statement, quick) {
            report.note(&format!("FAILED: {class}: {error}"));
        }
    }
    report.note(&format!(
        "ns and fuel are of one statement, loop excluded; proposal: the price at {REFERENCE} fuel a nanosecond; CPU time, best of several runs"
    ));
}

fn class_row(report: &mut Report, class: &str, statement: &str, quick: bool) -> Result<(), String> {
    let bulk = class.contains("4096") || class.contains("grow");
    let rounds = if class.contains("grow") {
        1_000
    } else if bulk {
        20_000
    } else {
        300_000
    };
    let runs = if quick { 2 } else { 5 };
    let done = f64::from(rounds) * f64::from(COPIES);
    let (loop_ns, loop_fuel) = measure(&module("", rounds)?, runs)?;
    let (ns, fuel) = measure(&module(statement, rounds)?, runs)?;
    let (ns, fuel) = ((ns - loop_ns) / done, (fuel - loop_fuel) / done);
    report.row(json!({
        "name": "operation",
        "class": class,
        "ns": rounded(ns, 2),
        "fuel": rounded(fuel, 1),
        "fuel_per_ns": rounded(fuel / ns, 2),
        "proposal": rounded(ns * REFERENCE, 1),
    }));
    Ok(())
}
