//! What every operation leaves on the interpreter's native stack.
//!
//! It dispatches by tail calls where the build optimises. The compiler does not promise them: an operation that is called instead leaves a
//! frame until the run ends, and a long loop of it would end the process. So each operation runs many times here between two calls to the host,
//! which look how deep the native stack is.

use wasmi::{Caller, Engine, FuncType, Linker, Module, Store, Val};

use crate::support::{start, wasm};

const ROUNDS: u32 = 2_000;
/// What a growth may leave: as the engine's own bound says.
const GROWTH_BYTES_MAX: usize = 256;

/// Statements over locals `$i` (the round), `$i32`, `$i64`, `$f32`, `$f64` and `$v`.
fn operations() -> Vec<String> {
    let integers = |ty: &str| {
        let binary = "add sub mul and or xor shl shr_s shr_u rotl rotr div_u rem_u div_s rem_s";
        let compare = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u";
        let unary = "clz ctz popcnt extend8_s extend16_s";
        let two = binary
            .split(' ')
            .map(|op| format!("(local.set ${ty} ({ty}.{op} (local.get ${ty}) ({ty}.const 3)))"));
        let three = compare
            .split(' ')
            .map(|op| format!("(drop ({ty}.{op} (local.get ${ty}) ({ty}.const 7)))"));
        let one =
            unary.split(' ').map(|op| format!("(local.set ${ty} ({ty}.{op} (local.get ${ty})))"));
        two.chain(three)
            .chain(one)
            .chain([format!("(drop ({ty}.eqz (local.get ${ty})))")])
            .collect::<Vec<_>>()
    };
    let floats = |ty: &str| {
        let binary = "add sub mul div min max copysign";
        let compare = "eq ne lt gt le ge";
        let unary = "abs neg ceil floor trunc nearest sqrt";
        let two = binary
            .split(' ')
            .map(|op| format!("(local.set ${ty} ({ty}.{op} (local.get ${ty}) ({ty}.const 1.5)))"));
        let three = compare
            .split(' ')
            .map(|op| format!("(drop ({ty}.{op} (local.get ${ty}) ({ty}.const 7)))"));
        let one =
            unary.split(' ').map(|op| format!("(local.set ${ty} ({ty}.{op} (local.get ${ty})))"));
        two.chain(three).chain(one).collect::<Vec<_>>()
    };
    let mut list = Vec::new();
    for ty in ["i32", "i64"] {
        list.extend(integers(ty));
    }
    for ty in ["f32", "f64"] {
        list.extend(floats(ty));
    }
    for line in [
        "i64 i64.extend_i32_s i32",
        "i64 i64.extend_i32_u i32",
        "i32 i32.wrap_i64 i64",
        "f32 f32.convert_i32_s i32",
        "f32 f32.convert_i64_u i64",
        "f64 f64.convert_i32_u i32",
        "f64 f64.convert_i64_s i64",
        "f32 f32.demote_f64 f64",
        "f64 f64.promote_f32 f32",
        "i32 i32.trunc_sat_f32_s f32",
        "i64 i64.trunc_sat_f64_u f64",
        "i32 i32.reinterpret_f32 f32",
        "i64 i64.reinterpret_f64 f64",
        "f32 f32.reinterpret_i32 i32",
        "f64 f64.reinterpret_i64 i64",
        "v i8x16.splat i32",
        "v i64x2.splat i64",
        "v f32x4.splat f32",
        "v f64x2.splat f64",
        "v v128.not v",
        "v i8x16.popcnt v",
        "v i32x4.abs v",
        "v f32x4.sqrt v",
        "v f64x2.floor v",
        "v i32x4.trunc_sat_f32x4_s v",
        "v f32x4.convert_i32x4_u v",
        "v i16x8.extend_low_i8x16_s v",
        "v f32x4.demote_f64x2_zero v",
        "v f64x2.promote_low_f32x4 v",
        "i32 i8x16.bitmask v",
        "i32 v128.any_true v",
        "i32 i32x4.all_true v",
    ] {
        let mut words = line.split(' ');
        let (to, op, from) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        list.push(format!("(local.set ${to} ({op} (local.get ${from})))"));
    }
    for op in [
        "i8x16.add",
        "i16x8.mul",
        "i32x4.sub",
        "i64x2.mul",
        "f32x4.add",
        "f32x4.min",
        "f64x2.div",
        "f64x2.pmax",
        "v128.and",
        "i8x16.swizzle",
        "i8x16.narrow_i16x8_s",
        "i32x4.dot_i16x8_s",
        "i8x16.avgr_u",
        "i32x4.lt_s",
        "f32x4.ge",
        "i16x8.q15mulr_sat_s",
        "i64x2.extmul_high_i32x4_u",
        "i8x16.add_sat_s",
    ] {
        list.push(format!("(local.set $v ({op} (local.get $v) (local.get $v)))"));
    }
    for load in [
        "i32.load",
        "i32.load8_s",
        "i32.load16_u",
        "i64.load",
        "i64.load32_s",
        "i64.load8_u",
        "f32.load",
        "f64.load",
        "v128.load",
        "v128.load8_splat",
        "v128.load32x2_s",
        "v128.load64_zero",
    ] {
        list.push(format!("(drop ({load} (i32.and (local.get $i) (i32.const 1023))))"));
    }
    for (store, value) in [
        ("i32.store", "i32"),
        ("i32.store8", "i32"),
        ("i64.store", "i64"),
        ("i64.store32", "i64"),
        ("f32.store", "f32"),
        ("f64.store", "f64"),
        ("v128.store", "v"),
        ("v128.store64_lane 1", "v"),
    ] {
        let (name, lane) = store.split_once(' ').unwrap_or((store, ""));
        list.push(format!(
            "({name} {lane} (i32.and (local.get $i) (i32.const 1023)) (local.get ${value}))"
        ));
    }
    list.extend(
        [
            "(drop (memory.size))", "(drop (table.size))",
            "(drop (table.get (i32.const 0)))", "(table.set (i32.const 3) (ref.func $five))",
            "(drop (ref.is_null (table.get (i32.const 0))))",
            "(memory.copy (i32.const 8) (i32.const 0) (i32.const 9))", "(memory.fill (i32.const 8) (i32.const 1) (i32.const 9))",
            "(table.fill (i32.const 2) (ref.null func) (i32.const 1))", "(table.copy (i32.const 2) (i32.const 0) (i32.const 1))",
            "(drop (call $five))", "(drop (call_indirect (type $number) (i32.const 0)))",
            "(drop (select (local.get $i64) (i64.const 2) (i32.and (local.get $i) (i32.const 1))))",
            "(drop (select (local.get $v) (local.get $v) (local.get $i)))",
            "(if (i32.and (local.get $i) (i32.const 1)) (then (nop)) (else (local.set $i32 (i32.const 1))))",
            "(local.set $i32 (block $p (result i32) (drop (block $q (result i32)
               (br_table $p $q $p (local.get $i) (i32.and (local.get $i) (i32.const 3))))) (i32.const 3)))",
            "(block $p (block $q (br_table $p $q $p (i32.and (local.get $i) (i32.const 3)))))",
            "(drop (call $random_get (i32.const 0) (i32.const 1)))",
            "(local.set $v (f32x4.replace_lane 1 (local.get $v) (f32x4.extract_lane 2 (local.get $v))))",
            "(local.set $v (v128.bitselect (local.get $v) (local.get $v) (local.get $v)))",
            "(local.set $v (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 (local.get $v) (local.get $v)))",
            "(local.set $v (i32x4.shl (local.get $v) (local.get $i)))",
        ]
        .map(String::from),
    );
    list
}

/// The shallowest and the deepest place of the native stack from which the host was called.
struct Depth(usize, usize);

/// How much deeper the native stack was at one call to the host than at another while the module ran.
fn left_on_stack(module: &[u8]) -> usize {
    let engine = Engine::default();
    let module = Module::new(&engine, module).unwrap();
    let mut linker = Linker::<Depth>::new(&engine);
    for import in module.imports() {
        let ty: FuncType = import.ty().func().unwrap().clone();
        let look = |mut caller: Caller<'_, Depth>, _: &[Val], _: &mut [Val]| {
            let local = 0u8;
            let here = std::ptr::from_ref(&local).addr();
            let Depth(least, most) = caller.data_mut();
            (*least, *most) = ((*least).min(here), (*most).max(here));
            Ok(())
        };
        linker.func_new(import.module(), import.name(), ty, look).unwrap();
    }
    let mut store = Store::new(&engine, Depth(usize::MAX, 0));
    let instance = linker.instantiate_and_start(&mut store, &module).unwrap();
    instance.get_typed_func::<(), ()>(&store, "_start").unwrap().call(&mut store, ()).unwrap();
    let Depth(least, most) = *store.data();
    most - least
}

fn many(operation: &str) -> Vec<u8> {
    let look = "(drop (call $poll (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))";
    wasm(&start(&format!(
        "(local $i i32) (local $i32 i32) (local $i64 i64) (local $f32 f32) (local $f64 f64) (local $v v128) {look}
         (loop $l {operation}
           (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {ROUNDS})))) {look}"
    )))
}

#[test]
fn no_operation_leaves_anything_on_the_native_stack() {
    for operation in operations() {
        let left = left_on_stack(&many(&operation));
        assert!(left < ROUNDS as usize, "{left} bytes after {ROUNDS} times {operation}");
    }
}

#[test]
fn what_growing_leaves_on_the_native_stack_is_within_what_is_paid_for() {
    for operation in [
        "(drop (memory.grow (i32.const 0)))",
        "(drop (memory.grow (i32.const 65536)))",
        "(drop (memory.grow (i32.eqz (i32.rem_u (local.get $i) (i32.const 99)))))",
        "(drop (table.grow (ref.null func) (i32.const 0)))",
        "(drop (table.grow (ref.null func) (i32.const -1)))",
        "(drop (table.grow (ref.null func) (i32.const 1)))",
    ] {
        let left = left_on_stack(&many(operation));
        let limit = ROUNDS as usize * GROWTH_BYTES_MAX;
        assert!(left <= limit, "{left} bytes after {ROUNDS} times {operation}, limit {limit}");
    }
}
