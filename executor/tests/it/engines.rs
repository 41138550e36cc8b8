//! The same program gives the same receipt and output on every engine of the build.
//!
//! Without the feature `jit` there is one engine and these tests pin its answers; with it they compare the two.

use gongsuan_executor::meter::{LEASE_FUEL, PAGE_FUEL};
use gongsuan_types::receipt::{Status, Trap};

use crate::support::{command, ending, run, start};

#[test]
fn every_trap_has_its_name() {
    for (body, trap) in [
        ("unreachable", Trap::Unreachable),
        ("(drop (i32.load (i32.const 65536)))", Trap::MemoryOutOfBounds),
        ("(i64.store (i32.const -1) (i64.const 0))", Trap::MemoryOutOfBounds),
        ("(memory.fill (i32.const 65530) (i32.const 1) (i32.const 7))", Trap::MemoryOutOfBounds),
        ("(drop (call_indirect (type $number) (i32.const 4)))", Trap::TableOutOfBounds),
        ("(drop (table.get (i32.const -1)))", Trap::TableOutOfBounds),
        ("(drop (call_indirect (type $number) (i32.const 1)))", Trap::NullEntry),
        ("(call_indirect (type $nothing) (i32.const 0))", Trap::SignatureMismatch),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", Trap::DivisionByZero),
        ("(drop (i64.rem_s (i64.const 1) (i64.const 0)))", Trap::DivisionByZero),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", Trap::IntegerOverflow),
        ("(drop (i32.trunc_f32_s (f32.const 1e20)))", Trap::IntegerOverflow),
        ("(drop (i64.trunc_f64_u (f64.const -1)))", Trap::IntegerOverflow),
        ("(drop (i32.trunc_f64_s (f64.const nan)))", Trap::InvalidConversion),
    ] {
        let (status, fuel) = ending(&start(body));
        assert_eq!(status, Status::Trap(trap), "{body}");
        // What was leased counts as burnt. So short a program leases at a call or a bulk operation only.
        let leased = body.contains("call") || body.contains("memory.fill");
        let least = PAGE_FUEL + u64::from(leased) * u64::try_from(LEASE_FUEL).unwrap();
        assert!((least..least + 100).contains(&fuel), "{body}: {fuel}");
    }
}

#[test]
fn a_trap_after_a_long_loop_has_burnt_the_loop() {
    let body = "(local $i i32) (loop $l
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 2000000))))
      unreachable";
    let (status, fuel) = ending(&start(body));
    assert_eq!(status, Status::Trap(Trap::Unreachable));
    assert!((10_000_000..=12_000_000).contains(&fuel), "{fuel}");
}

#[test]
fn an_endless_loop_ends_out_of_fuel_with_all_of_it_burnt() {
    for body in [
        "(loop $l (br $l))",
        "(local $i i32) (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l))",
        "(block $b (loop $l (br_table $l $l (i32.const 0))))",
        "(loop $l (drop (call $five)) (br $l))",
        "(loop $l (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)) (br $l))",
        "(loop $l (drop (call $fd_write (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 8))) (br $l))",
    ] {
        assert_eq!(ending(&start(body)), (Status::OutOfFuel, 100_000_000), "{body}");
    }
}

#[test]
fn a_start_function_is_metered_too() {
    let text = command("(func $loop (loop $l (br $l))) (start $loop) (func (export \"_start\"))");
    assert_eq!(ending(&text), (Status::OutOfFuel, 100_000_000));
    let text = command(
        "(func $hello (call $put (i32.const 8) (i32.const 3))) (start $hello)
         (func (export \"_start\") (call $put (i32.const 8) (i32.const 4)))",
    );
    assert_eq!(run(&text).output.len(), 7);
}

#[test]
fn straight_bulk_operations_without_a_loop_cannot_run_for_free() {
    let body = "(memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))".repeat(700);
    let module = crate::support::wasm(&start(&body));
    let mut spec = crate::support::job(&module, b"");
    spec.limits.fuel.0 = 10_000_000;
    let receipt = crate::support::run_with(&module, &spec, 0, b"").receipt;
    assert_eq!((receipt.status, receipt.fuel.0), (Status::OutOfFuel, 10_000_000));
}

#[test]
fn recursion_ends_at_the_same_depth_everywhere() {
    let text = command(
        "(global $depth (mut i32) (i32.const 0))
         (func $down (param i64 i64) (result i64)
           (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
           (i32.store (i32.const 100) (global.get $depth))
           (if (i32.eq (i32.rem_u (global.get $depth) (i32.const 1000)) (i32.const 0))
             (then (call $put (i32.const 100) (i32.const 4))))
           (i64.add (local.get 0) (call $down (local.get 1) (local.get 0))))
         (func (export \"_start\") (drop (call $down (i64.const 1) (i64.const 2))))",
    );
    let output = run(&text);
    assert_eq!(output.receipt.status, Status::Trap(Trap::StackOverflow));
    assert_eq!(output.output.len() % 4, 0);
    let last = output.output.last_chunk::<4>().unwrap();
    assert!(u32::from_le_bytes(*last) >= 5000, "{}", u32::from_le_bytes(*last));
}

#[test]
fn mutual_and_indirect_recursion_end_as_stack_overflow() {
    let text = command(
        "(elem (i32.const 2) $a) (func $a (call $b))
         (func $b (call_indirect (type $nothing) (i32.const 2)))
         (func (export \"_start\") (call $a))",
    );
    assert_eq!(ending(&text).0, Status::Trap(Trap::StackOverflow));
}

#[test]
fn a_frame_of_thousands_of_vectors_overflows_before_the_native_stack_does() {
    let locals = "v128 ".repeat(5000);
    let uses: String = (0..5000)
        .map(|i| format!("(local.set {i} (v128.load (i32.const {})))", i % 60_000))
        .collect();
    let sums: String =
        (0..5000).map(|i| format!("(v128.store (i32.const 0) (local.get {i}))")).collect();
    let text = command(&format!(
        "(func $wide (local {locals}) {uses} (call $wide) {sums}) (func (export \"_start\") (call $wide))"
    ));
    assert_eq!(ending(&text).0, Status::Trap(Trap::StackOverflow));
}

#[test]
fn growth_is_granted_up_to_the_jobs_limit_and_refused_beyond() {
    let body = "(i32.store (i32.const 100) (memory.grow (i32.const 3)))
      (i32.store (i32.const 104) (memory.grow (i32.const 1)))
      (i32.store (i32.const 108) (memory.grow (i32.const -1)))
      (i32.store (i32.const 112) (memory.size))
      (call $put (i32.const 100) (i32.const 16))";
    let output = run(&start(body));
    let numbers: Vec<u32> =
        output.output.as_chunks::<4>().0.iter().map(|n| u32::from_le_bytes(*n)).collect();
    assert_eq!(numbers, [1, u32::MAX, u32::MAX, 4]);
    assert_eq!(output.receipt.status, Status::Ok);
    // One page at the start, three granted, one asked for in vain; four billion cost nothing. Asking itself has a price, three times.
    let asking = 3 * 25_000;
    assert!(output.receipt.fuel.0 > 5 * PAGE_FUEL + asking);
    assert!(output.receipt.fuel.0 < 6 * PAGE_FUEL + asking);
}

#[test]
fn table_growth_is_bounded() {
    let body = "(i32.store (i32.const 100) (table.grow (ref.null func) (i32.const 1000)))
      (i32.store (i32.const 104) (table.grow (ref.null func) (i32.const 300000)))
      (call $put (i32.const 100) (i32.const 8))";
    assert_eq!(run(&start(body)).output, [4, 0, 0, 0, 255, 255, 255, 255]);
}

#[test]
fn nan_bits_are_canonical_wherever_they_can_be_seen() {
    let nan32 = "(f32.div (f32.const 0) (f32.const 0))";
    let odd32 = "(f32.add (f32.reinterpret_i32 (i32.const 0xffa12345)) (f32.const 1))";
    let odd64 =
        "(f64.mul (f64.const 2) (f64.neg (f64.reinterpret_i64 (i64.const 0x7ff4dead00000001))))";
    for (see, expected) in [
        (format!("(f32.store (i32.const 100) {nan32})"), &[0, 0, 0xc0, 0x7f][..]),
        (format!("(f32.store (i32.const 100) {odd32})"), &[0, 0, 0xc0, 0x7f]),
        (format!("(f32.store (i32.const 100) (f32.neg {nan32}))"), &[0, 0, 0xc0, 0x7f]),
        (format!("(i32.store (i32.const 100) (i32.reinterpret_f32 {odd32}))"), &[0, 0, 0xc0, 0x7f]),
        (format!("(f32.store (i32.const 100) (f32.copysign (f32.const 2) {odd32}))"), &[0, 0, 0, 0x40]),
        (format!("(f64.store (i32.const 100) {odd64})"), &[0, 0, 0, 0, 0, 0, 0xf8, 0x7f]),
        (format!("(f64.store (i32.const 100) (f64.promote_f32 {odd32}))"), &[0, 0, 0, 0, 0, 0, 0xf8, 0x7f]),
        (
            format!("(v128.store (i32.const 100) (f32x4.splat {nan32}))"),
            &[0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f],
        ),
        (
            "(v128.store (i32.const 100) (f64x2.add (f64x2.splat (f64.const inf)) (f64x2.splat (f64.const -inf))))".to_owned(),
            &[0, 0, 0, 0, 0, 0, 0xf8, 0x7f],
        ),
        (
            "(v128.store (i32.const 100) (f32x4.sqrt (f32x4.splat (f32.const -1))))".to_owned(),
            &[0, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0x7f],
        ),
        // What was put in as bits comes out as bits.
        (
            "(i32.store (i32.const 96) (i32.const 0xffa12345))
             (f32.store (i32.const 100) (f32.load (i32.const 96)))".to_owned(),
            &[0x45, 0x23, 0xa1, 0xff],
        ),
    ] {
        let body = format!("{see} (call $put (i32.const 100) (i32.const {}))", expected.len());
        assert_eq!(run(&start(&body)).output, expected, "{see}");
    }
}

#[test]
fn host_calls_answer_alike() {
    let body = "
      (i32.store (i32.const 0) (i32.const 200)) (i32.store (i32.const 4) (i32.const 100))
      (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 300)))
      (i32.store (i32.const 304) (call $random_get (i32.const 308) (i32.const 8)))
      (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 316)))
      (drop (call $environ_get (i32.const 324) (i32.const 340)))
      (drop (call $args_get (i32.const 400) (i32.const 420)))
      (i32.store (i32.const 500) (call $poll (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
      (i32.store (i32.const 504) (call $fd_write (i32.const 7) (i32.const 0) (i32.const 1) (i32.const 8)))
      (i32.store (i32.const 508) (call $fd_read (i32.const 0) (i32.const 65535) (i32.const 1) (i32.const 8)))
      (i32.store (i32.const 512) (call $random_get (i32.const -4) (i32.const 8)))
      (call $put (i32.const 200) (i32.const 400))";
    let output = run(&start(body)).output;
    let number = |at: usize| u32::from_le_bytes(*output[at - 200..].first_chunk().unwrap());
    assert_eq!(&output[..5], b"input");
    assert_eq!(number(300), 5);
    assert_eq!(number(304), 0);
    let text = String::from_utf8_lossy(&output[140..]);
    assert!(text.contains("GONGSUAN_SEGMENT=0\0GONGSUAN_SEGMENTS=4\0"), "{text}");
    assert!(text.contains("job\0one\0two\0"), "{text}");
    assert_eq!([number(500), number(504), number(508), number(512)], [52, 8, 21, 21]);
}

#[test]
fn the_fuel_of_a_fixed_module_is_pinned() {
    let body = "(local $i i32) (local $sum f64) (loop $l
      (local.set $sum (f64.add (local.get $sum) (f64.sqrt (f64.convert_i32_u (local.get $i)))))
      (f64.store (i32.const 100) (local.get $sum))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
      (call $put (i32.const 100) (i32.const 8))";
    let output = run(&start(body));
    let sum = f64::from_le_bytes(*output.output.first_chunk().unwrap());
    assert!((sum - 21065.833).abs() < 0.001, "{sum}");
    // Changing this number means a new METER_VERSION: receipts of the old one must stay true.
    assert_eq!(output.receipt.fuel.0, 39_612);
}

#[test]
fn the_same_module_burns_the_same_whatever_the_limit() {
    let text = start("(local $i i32) (loop $l
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3000000))))");
    let module = crate::support::wasm(&text);
    let mut spec = crate::support::job(&module, b"");
    let need = crate::support::run_with(&module, &spec, 0, b"").receipt.fuel;
    for (limit, status) in [(need.0, Status::Ok), (need.0 - 1, Status::OutOfFuel)] {
        spec.limits.fuel.0 = limit;
        let receipt = crate::support::run_with(&module, &spec, 0, b"").receipt;
        assert_eq!((receipt.status, receipt.fuel.0), (status, limit));
    }
}
