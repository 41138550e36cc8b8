//! Modules that mean harm, and what becomes of them.

use gongsuan_executor::{Metered, ModuleError, Program, RunError, run_segment};
use gongsuan_types::receipt::{Status, Trap};
use gongsuan_types::{Fuel, Hash, Refusal};

use crate::support::{command, engines, job, run, run_with, start, wasm};

/// The refusal's code and field, and what was got.
fn refusal(module: &[u8]) -> (String, String, String) {
    let refusal = Refusal::from(Metered::new(module).unwrap_err());
    (refusal.code.to_string(), refusal.field.to_string(), refusal.got)
}

#[test]
fn what_may_not_run_is_refused_by_name() {
    let main = "(func (export \"_start\"))";
    let import = |item: &str| wasm(&format!("(module (import {item}) {main})"));
    let module = |body: &str| wasm(&format!("(module {body} {main})"));
    let many = |item: &str, count: usize| module(&item.repeat(count));
    for (bytes, code, got) in [
        (b"hello, world".to_vec(), "not-wasm", "68656c6c6f2c2077"),
        (Vec::new(), "not-wasm", ""),
        (b"\0asm\x02\0\0\0".to_vec(), "not-wasm", "0061736d02000000"),
        (vec![0; (32 << 20) + 1], "module-too-large", "33554433"),
        (import("\"env\" \"system\" (func)"), "forbidden-import", "env.system"),
        (
            import("\"wasi_snapshot_preview1\" \"fd_steal\" (func)"),
            "forbidden-import",
            "wasi_snapshot_preview1.fd_steal",
        ),
        (
            import("\"wasi_snapshot_preview1\" \"fd_write\" (memory 1)"),
            "forbidden-import",
            "wasi_snapshot_preview1.fd_write",
        ),
        (
            import("\"wasi_snapshot_preview1\" \"fd_write\" (func (param i64))"),
            "import-type",
            "(i64)",
        ),
        (wasm("(module)"), "bad-export", "nothing"),
        (wasm("(module (func (export \"_start\") (param i32)))"), "bad-export", "(i32)"),
        (wasm("(module (memory (export \"_start\") 1))"), "bad-export", "Memory"),
        (module("(func (export \"gongsuan:lease\"))"), "bad-export", "gongsuan:lease"),
        (module("(memory 1 1 shared)"), "invalid-module", "threads"),
        (module("(memory i64 1)"), "invalid-module", "memory64"),
        (module("(memory 1) (memory 1)"), "too-many", "2"),
        (module("(tag)"), "invalid-module", "exceptions"),
        (module("(type (struct))"), "invalid-module", "function types"),
        (module("(table 1 externref)"), "invalid-module", "gc types"),
        (
            module("(func (result v128) (i32x4.relaxed_trunc_f32x4_s (v128.const i32x4 0 0 0 0)))"),
            "invalid-module",
            "relaxed SIMD",
        ),
        (module("(func $f (return_call $f))"), "invalid-module", "tail calls"),
        (module("(func (drop (i32.add (i32.const 1))))"), "invalid-module", "type mismatch"),
        (many("(table 1 funcref)", 17), "too-many", "17"),
        (module("(table 300000 funcref)"), "too-many", "300000"),
        (many("(global i32 (i32.const 0))", 10_001), "too-many", "10001"),
        (module(&format!("(func (local {}))", "i64 ".repeat(10_001))), "too-many", "10001"),
        (
            module("(memory 1) (data (i32.const 65530) \"1234567\")"),
            "segment-out-of-bounds",
            "65537",
        ),
        (
            module("(table 1 funcref) (func $f) (elem (i32.const 1) $f)"),
            "segment-out-of-bounds",
            "2",
        ),
    ] {
        let (found, field, words) = refusal(&bytes);
        assert_eq!(found, code, "{words}");
        assert!(words.contains(got), "{code}: expected {got}, got {words}");
        assert!(field.starts_with("module"), "{field}");
    }
}

#[test]
fn a_refused_module_still_has_a_receipt_that_anybody_can_repeat() {
    let module = b"not a module".to_vec();
    let spec = job(&module, b"input");
    let output = run_with(&module, &spec, 3, b"input");
    assert_eq!(output.receipt.status, Status::Refused);
    assert_eq!((output.receipt.fuel, output.receipt.output_bytes), (Fuel(0), 0));
    assert_eq!(output.receipt.output, Hash::of_content(b""));
}

#[test]
fn locals_counted_in_one_number_are_not_allocated() {
    // (local i64 x 4294967295), which text cannot say.
    let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0".to_vec();
    bytes.extend(b"\x07\x0a\x01\x06_start\0\0");
    bytes.extend(b"\x0a\x0a\x01\x08\x01\xff\xff\xff\xff\x0f\x7e\x0b");
    assert_eq!(refusal(&bytes).0, "too-many");
}

#[test]
fn every_prefix_and_every_flipped_byte_of_a_module_is_answered() {
    let module = wasm(&start("(call $put (i32.const 0) (i32.const 4))"));
    for length in 0..module.len() {
        // Without its last section, the names, the module is whole; the code ends before that.
        assert!(length > 400 || Metered::new(&module[..length]).is_err(), "{length}");
    }
    for index in 0..module.len() {
        let mut broken = module.clone();
        broken[index] ^= 0x41;
        // Either answer will do; what is admitted must run to some end.
        let spec = job(&broken, b"");
        let _ = run_with(&broken, &spec, 0, b"");
    }
}

#[test]
fn memory_wanted_at_the_start_beyond_the_job_is_refused() {
    let module = wasm("(module (memory (export \"memory\") 5) (func (export \"_start\")))");
    let spec = job(&module, b"");
    assert_eq!(run_with(&module, &spec, 0, b"").receipt.status, Status::Refused);
    let program = Program::load(engines()[0], &module).unwrap();
    assert_eq!(
        gongsuan_executor::run::admit(&program, &spec),
        Err(ModuleError::MemoryMinimum { limit: 4, got: 5 })
    );
}

#[test]
fn a_memory_bomb_gets_its_limit_and_no_more() {
    let output = run(&start(
        "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
         (i32.store (i32.const 100) (memory.size)) (call $put (i32.const 100) (i32.const 4))",
    ));
    assert_eq!((output.receipt.status, output.output), (Status::Ok, vec![4, 0, 0, 0]));
}

#[test]
fn a_flood_is_cut_at_the_limit() {
    let output = run(&start("(loop $l (call $put (i32.const 0) (i32.const 300)) (br $l))"));
    assert_eq!(output.receipt.status, Status::Trap(Trap::OutputTooLong));
    assert_eq!(output.output.len(), 1000);
}

#[test]
fn a_flooded_log_is_cut_and_the_program_goes_on() {
    let output = run(&start(
        "(local $i i32) (i32.store (i32.const 4) (i32.const 60000))
         (loop $l (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
           (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 9))))",
    ));
    assert_eq!((output.receipt.status, output.log.len()), (Status::Ok, 64 << 10));
}

#[test]
fn exit_codes_are_kept() {
    assert_eq!(
        run(&start("(call $proc_exit (i32.const 0)) unreachable")).receipt.status,
        Status::Ok
    );
    assert_eq!(run(&start("(call $proc_exit (i32.const 3))")).receipt.status, Status::Exit(3));
    assert_eq!(
        run(&start("(call $proc_exit (i32.const -1))")).receipt.status,
        Status::Exit(u32::MAX)
    );
}

#[test]
fn host_calls_without_a_memory_answer_fault() {
    let module = wasm(
        "(module (import \"wasi_snapshot_preview1\" \"random_get\" (func $r (param i32 i32) (result i32)))
           (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $x (param i32)))
           (func (export \"_start\") (call $x (call $r (i32.const 0) (i32.const 1)))))",
    );
    assert_eq!(run_with(&module, &job(&module, b""), 0, b"").receipt.status, Status::Exit(21));
}

#[test]
fn random_bytes_by_the_gigabyte_run_out_of_fuel_before_anything_is_written() {
    let output = run(&start("(drop (call $random_get (i32.const 0) (i32.const 0x7fffffff)))"));
    assert_eq!((output.receipt.status, output.receipt.fuel.0), (Status::OutOfFuel, 100_000_000));
}

#[test]
fn wrong_calls_are_the_callers_errors() {
    let module = wasm(&command("(func (export \"_start\"))"));
    let program = Program::load(engines()[0], &module).unwrap();
    let spec = job(&module, b"input");
    let run = |spec, segment, input: &[u8]| run_segment(&program, spec, segment, input).map(|_| ());
    assert_eq!(run(&spec, 4, b"input"), Err(RunError::NoSuchSegment { limit: 4, got: 4 }));
    assert!(matches!(run(&spec, 0, b"other"), Err(RunError::WrongInput { segment: 0, .. })));
    let other = job(b"another module", b"input");
    assert!(matches!(run(&other, 0, b"input"), Err(RunError::WrongModule { .. })));
    let mut huge = spec.clone();
    huge.limits.memory_pages = u32::MAX;
    assert!(matches!(run(&huge, 0, b"input"), Err(RunError::Job(_))));
    let mut future = spec;
    future.meter = 9;
    assert_eq!(
        run_segment(&program, &future, 0, b"input").unwrap().receipt.status,
        Status::Refused
    );
}
