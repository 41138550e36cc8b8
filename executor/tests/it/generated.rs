//! Random programs: engines must agree on every one, and a lower limit must cut the same run short.

use gongsuan_types::receipt::Status;
use proptest::prelude::*;

use crate::support::{command, job, run_with, wasm};

/// Statements over locals `$a` `$b` (i32), `$x` (i64), `$f` (f32), `$d` (f64), `$v` (v128); every one is valid anywhere.
fn statement(depth: u32) -> BoxedStrategy<String> {
    let simple = prop_oneof![
        any::<i32>().prop_map(|n| format!("(local.set $a (i32.const {n}))")),
        any::<i64>()
            .prop_map(|n| format!("(local.set $x (i64.xor (local.get $x) (i64.const {n})))")),
        any::<u32>().prop_map(|n| format!("(local.set $f (f32.reinterpret_i32 (i32.const {n})))")),
        any::<u64>().prop_map(|n| format!("(local.set $d (f64.reinterpret_i64 (i64.const {n})))")),
        binary(&["add", "sub", "mul", "div", "min", "max", "copysign"]).prop_map(|op| format!(
            "(local.set $f (f32.{op} (local.get $f) (f32.convert_i32_s (local.get $a))))"
        )),
        binary(&["add", "sub", "mul", "div", "min", "max", "copysign"]).prop_map(|op| format!(
            "(local.set $d (f64.{op} (local.get $d) (f64.promote_f32 (local.get $f))))"
        )),
        binary(&["sqrt", "neg", "abs", "floor", "nearest"])
            .prop_map(|op| format!("(local.set $d (f64.{op} (local.get $d)))")),
        binary(&["add", "sub", "mul", "div_s", "rem_u", "shl", "rotr"])
            .prop_map(|op| format!("(local.set $a (i32.{op} (local.get $a) (local.get $b)))")),
        binary(&[
            "i32x4.add",
            "f32x4.mul",
            "f32x4.div",
            "f64x2.sub",
            "f32x4.min",
            "f64x2.pmax",
            "i8x16.sub"
        ])
        .prop_map(|op| format!(
            "(local.set $v ({op} (local.get $v) (f32x4.splat (local.get $f))))"
        )),
        Just("(local.set $b (i32.trunc_f32_s (local.get $f)))".to_owned()),
        Just("(local.set $b (i32.trunc_sat_f64_s (local.get $d)))".to_owned()),
        Just("(local.set $a (i32.reinterpret_f32 (local.get $f)))".to_owned()),
        (0u32..70_000).prop_map(|at| format!("(f64.store (i32.const {at}) (local.get $d))")),
        (0u32..70_000).prop_map(|at| format!("(v128.store (i32.const {at}) (local.get $v))")),
        (0u32..70_000).prop_map(|at| format!("(local.set $f (f32.load (i32.const {at})))")),
        (0u32..70_000)
            .prop_map(|n| format!("(memory.copy (i32.const 4096) (i32.const 0) (i32.const {n}))")),
        Just("(local.set $b (memory.grow (i32.const 1)))".to_owned()),
        (0u32..5)
            .prop_map(|n| format!("(local.set $b (call_indirect (type $number) (i32.const {n})))")),
        Just("(local.set $b (call $again (local.get $a)))".to_owned()),
        Just("(call $put (i32.const 100) (i32.const 64))".to_owned()),
        Just("(drop (call $random_get (i32.const 100) (i32.const 8)))".to_owned()),
        Just("(drop (call $clock (i32.const 1) (i64.const 0) (i32.const 120)))".to_owned()),
        Just("(br_if $out (i32.eqz (local.get $a)))".to_owned()),
        Just("(if (i32.eqz (local.get $b)) (then return))".to_owned()),
    ];
    if depth == 0 {
        return simple.boxed();
    }
    let block =
        move || prop::collection::vec(statement(depth - 1), 0..5).prop_map(|list| list.join("\n"));
    prop_oneof![
        4 => simple,
        1 => block().prop_map(|body| format!("(block {body})")),
        1 => (block(), block()).prop_map(|(yes, no)| format!(
            "(if (i32.and (local.get $a) (i32.const 1)) (then {yes}) (else {no}))"
        )),
        1 => block().prop_map(|body| format!(
            "(loop $l {body} (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 50))))"
        )),
        1 => (block(), block()).prop_map(|(first, second)| format!(
            "(block $p (block $q (br_table $p $q $out (i32.and (local.get $a) (i32.const 3))) ) {first} ) {second}"
        )),
    ]
    .boxed()
}

fn binary(names: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(names)
}

fn program() -> impl Strategy<Value = String> {
    prop::collection::vec(statement(3), 1..12).prop_map(|list| {
        let locals = "(local $a i32) (local $b i32) (local $n i32) (local $x i64) (local $f f32) (local $d f64) (local $v v128)";
        command(&format!(
            "(func $again (param $a0 i32) (result i32)
               (if (result i32) (i32.gt_u (local.get $a0) (i32.const 40)) (then (i32.const 1))
                 (else (i32.add (i32.const 1) (call $again (i32.add (local.get $a0) (i32.const 1)))))))
             (func (export \"_start\") {locals} (block $out {})
               (i64.store (i32.const 100) (local.get $x)) (f64.store (i32.const 108) (local.get $d))
               (f32.store (i32.const 116) (local.get $f)) (v128.store (i32.const 120) (local.get $v))
               (i32.store (i32.const 136) (local.get $a)) (i32.store (i32.const 140) (local.get $b))
               (call $put (i32.const 100) (i32.const 48)))",
            list.join("\n")
        ))
    })
}

proptest! {
    #[test]
    fn engines_agree_and_a_lower_limit_is_reached_exactly(text in program(), permille in 0u64..1000) {
        let module = wasm(&text);
        let mut spec = job(&module, b"input");
        let whole = run_with(&module, &spec, 1, b"input");
        prop_assert!(whole.receipt.fuel <= spec.limits.fuel);
        // Repeating is the same.
        prop_assert_eq!(&run_with(&module, &spec, 1, b"input"), &whole);
        let exact = matches!(whole.receipt.status, Status::Ok | Status::Exit(_));
        if exact {
            // Exactly enough is enough, whatever was leased on the way.
            spec.limits.fuel = whole.receipt.fuel;
            prop_assert_eq!(&run_with(&module, &spec, 1, b"input").receipt, &whole.receipt);
            spec.limits.fuel.0 = whole.receipt.fuel.0 * permille / 1000;
            if spec.limits.fuel.0 > 0 && spec.limits.fuel < whole.receipt.fuel {
                let cut = run_with(&module, &spec, 1, b"input");
                prop_assert_eq!(cut.receipt.status, Status::OutOfFuel);
                prop_assert_eq!(cut.receipt.fuel, spec.limits.fuel);
                prop_assert!(whole.output.starts_with(&cut.output));
            }
        }
    }
}
