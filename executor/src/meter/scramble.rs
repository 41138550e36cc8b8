//! Whether the bits of NaNs can be seen after all.
//!
//! Engines on one machine tend to make the same NaNs, so that comparing them shows little. Here the metered module is rewritten once more:
//! whatever arithmetic may give as a NaN becomes another NaN. If the meter has made every NaN canonical whose bits show, nothing changes.

use std::convert::Infallible;

use gongsuan_types::Hash;
use gongsuan_types::job::{JOB_VERSION, JobSpec, Limits, MapInput, Shape};
use gongsuan_types::receipt::Status;
use proptest::prelude::*;
use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{CodeSection, Function, Instruction as I, Module, ValType};
use wasmparser::{FunctionBody, Operator as O, Parser, Payload};

use super::{METER_VERSION, Metered};
use crate::engine::{EngineKind, Program, engine};
use crate::{SegmentOutput, run_segment};

const ODD_F32: u32 = 0xffe1_2345;
const ODD_F64: u64 = 0xfffd_0000_dead_beef;
const ODD_F32X4: i128 = i128::from_le_bytes([
    0x45, 0x23, 0xe1, 0xff, 0x45, 0x23, 0xe1, 0xff, 0x45, 0x23, 0xe1, 0xff, 0x45, 0x23, 0xe1, 0xff,
]);
const ODD_F64X2: i128 = i128::from_le_bytes([
    0xef, 0xbe, 0xad, 0xde, 0, 0, 0xfd, 0xff, 0xef, 0xbe, 0xad, 0xde, 0, 0, 0xfd, 0xff,
]);

/// Puts other NaNs in place of those that arithmetic gives.
struct Scrambler {
    /// Parameters of every function that has a body.
    params: Vec<u32>,
    body: usize,
}

impl Scrambler {
    fn new(module: &[u8]) -> Self {
        let mut types = Vec::new();
        let mut params = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload.unwrap();
            if let Payload::TypeSection(section) = payload {
                for ty in section.into_iter_err_on_gc_types() {
                    types.push(u32::try_from(ty.unwrap().params().len()).unwrap());
                }
            } else if let Payload::FunctionSection(section) = payload {
                params.extend(section.into_iter().map(|ty| types[ty.unwrap() as usize]));
            }
        }
        Self { params, body: 0 }
    }
}

/// The kind of scrambling after an operation: the local of a group of four, the NaN, the comparison, the choice.
fn odd(operator: &O<'_>) -> Option<(u32, I<'static>, I<'static>, I<'static>)> {
    let name = format!("{operator:?}");
    let name = name.split([' ', '(']).next()?;
    let arithmetic =
        ["Add", "Sub", "Mul", "Div", "Sqrt", "Min", "Max", "Ceil", "Floor", "Trunc", "Nearest"];
    let is =
        |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| arithmetic.contains(&rest));
    if is("F32x4") || name == "F32x4DemoteF64x2Zero" {
        Some((2, I::V128Const(ODD_F32X4), I::F32x4Eq, I::V128Bitselect))
    } else if is("F64x2") || name == "F64x2PromoteLowF32x4" {
        Some((2, I::V128Const(ODD_F64X2), I::F64x2Eq, I::V128Bitselect))
    } else if is("F32") || name == "F32DemoteF64" {
        Some((0, I::F32Const(f32::from_bits(ODD_F32).into()), I::F32Eq, I::Select))
    } else if is("F64") || name == "F64PromoteF32" {
        Some((1, I::F64Const(f64::from_bits(ODD_F64).into()), I::F64Eq, I::Select))
    } else {
        None
    }
}

impl Reencode for Scrambler {
    type Error = Infallible;

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), Error<Infallible>> {
        let mut first = self.params[self.body];
        self.body += 1;
        let mut locals = Vec::new();
        for group in body.get_locals_reader()? {
            let (many, ty) = group?;
            first += many;
            locals.push((many, self.val_type(ty)?));
        }
        locals.extend([(1, ValType::F32), (1, ValType::F64), (1, ValType::V128)]);
        let mut f = Function::new(locals);
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            f.instruction(&self.instruction(operator.clone())?);
            if let Some((local, nan, equal, choose)) = odd(&operator) {
                f.instruction(&I::LocalTee(first + local))
                    .instruction(&nan)
                    .instruction(&I::LocalGet(first + local))
                    .instruction(&I::LocalGet(first + local))
                    .instruction(&equal)
                    .instruction(&choose);
            }
        }
        code.function(&f);
        Ok(())
    }
}

fn scrambled(metered: &Metered) -> Metered {
    let mut out = Module::new();
    let mut scrambler = Scrambler::new(&metered.bytes);
    scrambler.parse_core_module(&mut out, Parser::new(0), &metered.bytes).unwrap();
    Metered { bytes: out.finish(), ..metered.clone() }
}

fn run(metered: &Metered) -> SegmentOutput {
    let program = Program::prepare(engine(EngineKind::Wasmi).unwrap().as_ref(), metered).unwrap();
    let spec = JobSpec {
        version: JOB_VERSION,
        module: metered.module_hash(),
        meter: METER_VERSION,
        args: Vec::new(),
        shape: Shape::Map { segments: 1, input: MapInput::Shared(Hash::of_content(b"")) },
        limits: Limits {
            fuel: gongsuan_types::Fuel(50_000_000),
            memory_pages: 1,
            output_bytes: 1024,
        },
        seed: Hash::ZERO,
    };
    run_segment(&program, &spec, 0, b"").unwrap()
}

/// Expressions of the three kinds that have NaNs. Locals `$f0 $f1` (f32), `$d0 $d1` (f64), `$v0 $v1 $v2` (v128), `$i` (i32).
#[derive(Clone, Copy)]
enum Kind {
    F32,
    F64,
    V128,
}

fn pick(list: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(list)
}

fn address() -> impl Strategy<Value = String> {
    (4u32..20).prop_map(|at| format!("(i32.const {})", at * 16))
}

fn leaf(kind: Kind) -> BoxedStrategy<String> {
    match kind {
        Kind::F32 => prop_oneof![
            pick(&["$f0", "$f1"]).prop_map(|local| format!("(local.get {local})")),
            pick(&["0", "1.5", "-3", "inf", "nan", "-nan:0x200001"])
                .prop_map(|number| format!("(f32.const {number})")),
            address().prop_map(|at| format!("(f32.load {at})")),
            Just("(global.get $gf)".to_owned()),
        ]
        .boxed(),
        Kind::F64 => prop_oneof![
            pick(&["$d0", "$d1"]).prop_map(|local| format!("(local.get {local})")),
            pick(&["0", "1.5", "-3", "inf", "nan", "nan:0x4000000000001"])
                .prop_map(|number| format!("(f64.const {number})")),
            address().prop_map(|at| format!("(f64.load {at})")),
            Just("(global.get $gd)".to_owned()),
        ]
        .boxed(),
        Kind::V128 => prop_oneof![
            3 => pick(&["$v0", "$v1", "$v2"]).prop_map(|local| format!("(local.get {local})")),
            2 => pick(&["f64x2 0 0", "f32x4 0 inf 1 -1", "i32x4 -1 0x7fc00001 7 -1", "f64x2 inf 2"])
                .prop_map(|lanes| format!("(v128.const {lanes})")),
            1 => address().prop_map(|at| format!("(v128.load {at})")),
            1 => Just("(global.get $gv)".to_owned()),
        ]
        .boxed(),
    }
}

fn expression(kind: Kind, depth: u32) -> BoxedStrategy<String> {
    if depth == 0 {
        return leaf(kind);
    }
    let of = move |kind| expression(kind, depth - 1);
    let chosen = |kind: Kind, ty: &'static str| {
        prop_oneof![
            (of(kind), of(kind))
                .prop_map(|(one, two)| format!("(select {one} {two} (local.get $i))")),
            (of(kind), of(kind)).prop_map(move |(one, two)| format!(
                "(if (result {ty}) (local.get $i) (then {one}) (else {two}))"
            )),
            (of(kind), of(kind)).prop_map(move |(one, two)| format!(
                "(block $b (result {ty}) (drop (br_if $b {one} (local.get $i))) {two})"
            )),
            of(kind).prop_map(move |one| format!("(call ${ty} {one})")),
        ]
    };
    match kind {
        Kind::F32 => prop_oneof![
            1 => leaf(kind),
            4 => (pick(&["add", "sub", "mul", "div", "min", "max", "copysign"]), of(kind), of(kind))
                .prop_map(|(op, one, two)| format!("(f32.{op} {one} {two})")),
            2 => (pick(&["sqrt", "neg", "abs", "ceil", "nearest"]), of(kind))
                .prop_map(|(op, one)| format!("(f32.{op} {one})")),
            1 => of(Kind::F64).prop_map(|one| format!("(f32.demote_f64 {one})")),
            2 => (0u32..4, of(Kind::V128)).prop_map(|(lane, one)| format!("(f32x4.extract_lane {lane} {one})")),
            1 => of(kind).prop_map(|one| format!("(f32.reinterpret_i32 (i32.reinterpret_f32 {one}))")),
            2 => chosen(kind, "f32"),
            1 => of(kind).prop_map(|one| format!("(local.tee $f1 {one})")),
        ]
        .boxed(),
        Kind::F64 => prop_oneof![
            1 => leaf(kind),
            4 => (pick(&["add", "sub", "mul", "div", "min", "max", "copysign"]), of(kind), of(kind))
                .prop_map(|(op, one, two)| format!("(f64.{op} {one} {two})")),
            2 => (pick(&["sqrt", "neg", "abs", "floor", "trunc"]), of(kind))
                .prop_map(|(op, one)| format!("(f64.{op} {one})")),
            1 => of(Kind::F32).prop_map(|one| format!("(f64.promote_f32 {one})")),
            2 => (0u32..2, of(Kind::V128)).prop_map(|(lane, one)| format!("(f64x2.extract_lane {lane} {one})")),
            1 => of(kind).prop_map(|one| format!("(f64.reinterpret_i64 (i64.reinterpret_f64 {one}))")),
            2 => chosen(kind, "f64"),
            1 => of(kind).prop_map(|one| format!("(local.tee $d1 {one})")),
        ]
        .boxed(),
        Kind::V128 => prop_oneof![
            1 => leaf(kind),
            5 => (pick(&["f32x4.add", "f32x4.div", "f32x4.max", "f64x2.sub", "f64x2.mul", "f64x2.min"]), of(kind), of(kind))
                .prop_map(|(op, one, two)| format!("({op} {one} {two})")),
            3 => (pick(&["f64x2.sqrt", "f64x2.neg", "f64x2.abs", "f32x4.sqrt", "f32x4.neg", "f32x4.floor", "f32x4.demote_f64x2_zero", "f64x2.promote_low_f32x4"]), of(kind))
                .prop_map(|(op, one)| format!("({op} {one})")),
            2 => (pick(&["i32x4.add", "v128.xor", "f32x4.pmin", "f64x2.pmax", "f64x2.lt", "f32x4.eq", "i8x16.swizzle"]), of(kind), of(kind))
                .prop_map(|(op, one, two)| format!("({op} {one} {two})")),
            1 => of(Kind::F32).prop_map(|one| format!("(f32x4.splat {one})")),
            1 => of(Kind::F64).prop_map(|one| format!("(f64x2.splat {one})")),
            1 => (of(kind), of(Kind::F32)).prop_map(|(one, two)| format!("(f32x4.replace_lane 2 {one} {two})")),
            1 => (of(kind), of(Kind::F64)).prop_map(|(one, two)| format!("(f64x2.replace_lane 1 {one} {two})")),
            1 => (of(kind), of(kind), of(kind)).prop_map(|(one, two, three)| format!("(v128.bitselect {one} {two} {three})")),
            2 => chosen(kind, "v128"),
            2 => (pick(&["$v0", "$v1"]), of(kind)).prop_map(|(local, one)| format!("(local.tee {local} {one})")),
        ]
        .boxed(),
    }
}

fn statement(depth: u32) -> BoxedStrategy<String> {
    let simple = prop_oneof![
        (pick(&["$f0", "$f1"]), expression(Kind::F32, 3))
            .prop_map(|(local, value)| format!("(local.set {local} {value})")),
        (pick(&["$d0", "$d1"]), expression(Kind::F64, 3))
            .prop_map(|(local, value)| format!("(local.set {local} {value})")),
        (pick(&["$v0", "$v1", "$v2"]), expression(Kind::V128, 3))
            .prop_map(|(local, value)| format!("(local.set {local} {value})")),
        (address(), expression(Kind::F32, 2))
            .prop_map(|(at, value)| format!("(f32.store {at} {value})")),
        (address(), expression(Kind::F64, 2))
            .prop_map(|(at, value)| format!("(f64.store {at} {value})")),
        (address(), expression(Kind::V128, 2))
            .prop_map(|(at, value)| format!("(v128.store {at} {value})")),
        (address(), expression(Kind::V128, 2))
            .prop_map(|(at, value)| format!("(v128.store32_lane 2 {at} {value})")),
        expression(Kind::V128, 2)
            .prop_map(|value| format!("(local.set $i (i8x16.bitmask {value}))")),
        expression(Kind::F64, 2)
            .prop_map(|value| format!("(local.set $i (i32.trunc_sat_f64_s {value}))")),
        expression(Kind::V128, 2).prop_map(|value| format!("(global.set $gv {value})")),
        expression(Kind::F32, 2).prop_map(|value| format!("(global.set $gf {value})")),
        Just("(br_if $out (i32.gt_s (local.get $i) (i32.const 1000)))".to_owned()),
    ];
    if depth == 0 {
        return simple.boxed();
    }
    let block =
        move || prop::collection::vec(statement(depth - 1), 0..4).prop_map(|list| list.concat());
    prop_oneof![
        5 => simple,
        1 => (block(), block()).prop_map(|(yes, no)| format!("(if (local.get $i) (then {yes}) (else {no}))")),
        2 => block().prop_map(|body| format!(
            "(loop $l {body} (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 12))))"
        )),
    ]
    .boxed()
}

fn program() -> impl Strategy<Value = String> {
    prop::collection::vec(statement(2), 1..8).prop_map(|list| {
        format!(
            "(module
               (import \"wasi_snapshot_preview1\" \"fd_write\" (func $fd_write (param i32 i32 i32 i32) (result i32)))
               (memory (export \"memory\") 1)
               (data (i32.const 64) \"\\01\\00\\80\\7f\\01\\00\\00\\00\\00\\00\\f0\\ff\\00\\00\\80\\3f\")
               (global $gf (mut f32) (f32.const 1)) (global $gd (mut f64) (f64.const nan)) (global $gv (mut v128) (v128.const i64x2 0 0))
               (func $f32 (param f32) (result f32) (f32.mul (local.get 0) (f32.const 0.5)))
               (func $f64 (param f64) (result f64) (f64.store (i32.const 320) (local.get 0)) (f64.sqrt (local.get 0)))
               (func $v128 (param v128) (result v128)
                 (if (result v128) (v128.any_true (local.get 0)) (then (f64x2.sub (local.get 0) (local.get 0)))
                   (else (local.get 0))))
               (func $work (local $f0 f32) (local $f1 f32) (local $d0 f64) (local $d1 f64)
                 (local $v0 v128) (local $v1 v128) (local $v2 v128) (local $i i32) (local $n i32)
                 (block $out {})
                 (f32.store (i32.const 336) (local.get $f0)) (f32.store (i32.const 340) (local.get $f1))
                 (f64.store (i32.const 344) (local.get $d0)) (f64.store (i32.const 352) (local.get $d1))
                 (v128.store (i32.const 360) (local.get $v0)) (v128.store (i32.const 376) (local.get $v1))
                 (v128.store (i32.const 392) (local.get $v2)) (i32.store (i32.const 408) (local.get $i))
                 (f32.store (i32.const 412) (global.get $gf)) (v128.store (i32.const 416) (global.get $gv)))
               (func (export \"_start\") (call $work)
                 (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 368))
                 (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))",
            list.concat()
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("GONGSUAN_NAN_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(200)
    ))]
    #[test]
    fn other_nans_change_nothing_that_can_be_seen(text in program()) {
        let metered = Metered::new(&wat::parse_str(text).unwrap()).unwrap();
        let plain = run(&metered);
        prop_assert_eq!(plain.receipt.status, Status::Ok);
        prop_assert_eq!(run(&scrambled(&metered)), plain);
    }
}

#[test]
fn scrambling_shows_where_nothing_is_canonical() {
    // The meter's own work undone: without it the scrambler must be seen.
    let text = "(module
        (import \"wasi_snapshot_preview1\" \"fd_write\" (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (memory (export \"memory\") 1)
        (func (export \"_start\") (f64.store (i32.const 64) (f64.div (f64.const 0) (f64.const 0)))
          (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 8))
          (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))";
    let module = wat::parse_str(text).unwrap();
    let metered = Metered::new(&module).unwrap();
    assert_eq!(run(&scrambled(&metered)).output, 0x7ff8_0000_0000_0000_u64.to_le_bytes());
    let mut facts = super::inspect::inspect(&module).unwrap();
    facts.bodies.iter_mut().for_each(|body| body.touches.clear());
    let careless = Metered { bytes: super::rewrite::rewrite(&module, &facts).unwrap(), ..metered };
    assert_eq!(run(&scrambled(&careless)).output, ODD_F64.to_le_bytes());
}
