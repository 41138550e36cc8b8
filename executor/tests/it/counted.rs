//! Loops that pay for many rounds at once: they do and burn what they would round by round.
//!
//! Each loop runs twice: as it is, and with an empty block in its body, which costs nothing and keeps the meter from seeing that it counts.

use gongsuan_executor::{Metered, Program, run_segment};
use gongsuan_types::Fuel;
use gongsuan_types::receipt::Status;

use crate::support::{engines, job, start, wasm};

/// How the loop's last test is written; `STEP` and `BOUND` are numbers.
const TESTS: &[(&str, &str)] = &[
    (
        "the new value, a constant",
        "(br_if $l (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const STEP))) (i32.const BOUND)))",
    ),
    (
        "the new value, a local",
        "(br_if $l (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const STEP))) (local.get $b)))",
    ),
    (
        "a local, the new value",
        "(br_if $l (i32.ne (local.get $b) (local.tee $i (i32.add (local.get $i) (i32.const STEP)))))",
    ),
    (
        "set before, then read",
        "(local.set $i (i32.add (local.get $i) (i32.const STEP))) (drop (i32.load (i32.const 0)))
       (br_if $l (i32.ne (local.get $i) (local.get $b)))",
    ),
    (
        "set before, then read last",
        "(local.set $i (i32.add (local.get $i) (i32.const STEP))) (br_if $l (i32.ne (local.get $b) (local.get $i)))",
    ),
];
/// The same against zero.
const ZERO_TESTS: &[(&str, &str)] = &[
    ("the new value itself", "(br_if $l (local.tee $i (i32.add (local.get $i) (i32.const STEP))))"),
    (
        "set before, then itself",
        "(local.set $i (i32.add (local.get $i) (i32.const STEP))) (br_if $l (local.get $i))",
    ),
];

/// A loop from `from` that counts its rounds, adds up its counter and writes both.
fn text(test: &str, body: &str, from: i32, bound: i32, step: i32) -> String {
    let test = test.replace("STEP", &step.to_string()).replace("BOUND", &bound.to_string());
    start(&format!(
        "(local $i i32) (local $b i32) (local $n i32) (local $sum i64)
         (local.set $i (i32.const {from})) (local.set $b (i32.const {bound}))
         (loop $l
           (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_s (local.get $i))))
           {body} {test})
         (i32.store (i32.const 100) (local.get $n)) (i64.store (i32.const 104) (local.get $sum)) (i32.store (i32.const 112) (local.get $i))
         (call $put (i32.const 100) (i32.const 16))"
    ))
}

/// Runs a loop as it is and in disguise on every engine, with this fuel, and requires that all agree. Whether it was seen to count.
fn check(
    name: &str,
    test: &str,
    body: &str,
    (from, bound, step): (i32, i32, i32),
    fuel: u64,
) -> (bool, Status) {
    let plain = wasm(&text(test, body, from, bound, step));
    let disguised = wasm(&text(test, &format!("(block) {body}"), from, bound, step));
    let mut outputs = Vec::new();
    for module in [&plain, &disguised] {
        let mut spec = job(module, b"");
        spec.limits.fuel = Fuel(fuel);
        for kind in engines() {
            let program = Program::load(kind, module).unwrap();
            let done = run_segment(&program, &spec, 0, b"").unwrap();
            outputs.push((done.receipt.status, done.receipt.fuel, done.output));
        }
    }
    for other in &outputs[1..] {
        assert_eq!(*other, outputs[0], "{name}: from {from} to {bound} by {step}");
    }
    let length = |module: &[u8]| Metered::new(module).unwrap().bytes().len();
    (length(&plain) > length(&disguised), outputs[0].0)
}

#[test]
fn a_loop_that_counts_burns_what_it_would_round_by_round() {
    let ranges = [
        (0, 1, 1),
        (0, 1000, 1),
        (0, 1000, 8),
        (0, 999, 3),
        (1000, 0, -1),
        (1000, -1000, -40),
        (-20, 20, 5),
        (i32::MAX - 5, i32::MIN + 5, 1),
        // Several portions.
        (0, 100_000, 1),
        (7, 7 + 3 * 60_000, 3),
        // Once around.
        (0, 0, 1 << 16),
        (5, 5, -(1 << 18)),
        // A rest: only after many times around, if at all.
        (0, 1001, 1 << 20),
        (0, 1, 1 << 30),
        (3, 1000, -7),
    ];
    let mut endings = Vec::new();
    for range in ranges {
        for (name, test) in TESTS {
            let (counts, status) = check(name, test, "", range, 2_000_000);
            assert!(counts, "{name}: not seen to count");
            endings.push(status);
        }
        let (from, bound, step) = range;
        for (name, test) in ZERO_TESTS {
            let (counts, _) = check(name, test, "", (from.wrapping_sub(bound), 0, step), 2_000_000);
            assert!(counts, "{name}: not seen to count");
        }
    }
    assert!(endings.contains(&Status::Ok) && endings.contains(&Status::OutOfFuel));
}

#[test]
fn fuel_ends_a_loop_that_counts_at_the_same_limit() {
    let range = (0, 50_000, 1);
    let module = wasm(&text(TESTS[0].1, "", range.0, range.1, range.2));
    let program = Program::load(engines()[0], &module).unwrap();
    let need = run_segment(&program, &job(&module, b""), 0, b"").unwrap().receipt.fuel.0;
    for (fuel, status) in
        [(need, Status::Ok), (need - 1, Status::OutOfFuel), (need / 2, Status::OutOfFuel)]
    {
        assert_eq!(check("limit", TESTS[0].1, "", range, fuel), (true, status), "{fuel}");
    }
}

#[test]
fn loops_that_only_look_as_if_they_counted_are_left_alone() {
    let (_, test) = TESTS[1];
    for (name, body) in [
        ("the bound moves", "(local.set $b (i32.sub (local.get $b) (i32.const 1)))"),
        ("the counter moves twice", "(local.set $i (i32.add (local.get $i) (i32.const 1)))"),
        ("a call", "(drop (call $five))"),
        ("a length is paid", "(memory.fill (i32.const 0) (i32.const 0) (i32.const 9))"),
        ("a way out", "(block $out (br_if $out (i32.const 1)))"),
    ] {
        let (counts, status) = check(name, test, body, (0, 1000, 1), 2_000_000);
        assert!(!counts, "{name}");
        assert_eq!(status, Status::Ok, "{name}");
    }
    let multiplied = "(br_if $l (i32.ne (local.tee $i (i32.mul (local.get $i) (i32.const 3))) (i32.const 2187)))";
    assert_eq!(check("no addition", multiplied, "", (1, 0, 0), 2_000_000), (false, Status::Ok));
    let shifted = "(br_if $l (i32.ne (local.tee $i (i32.add (local.get $n) (i32.const 3))) (i32.const 2187)))";
    assert_eq!(check("another local", shifted, "", (1, 0, 0), 2_000_000), (false, Status::Ok));
}

#[test]
fn a_trap_in_a_portion_is_a_trap() {
    let body = "(i32.store (i32.mul (local.get $i) (i32.const 64)) (local.get $n))";
    let module = wasm(&text(TESTS[0].1, body, 0, 1 << 30, 1));
    let mut receipts = Vec::new();
    for kind in engines() {
        let program = Program::load(kind, &module).unwrap();
        receipts.push(run_segment(&program, &job(&module, b""), 0, b"").unwrap().receipt);
    }
    let trap = Status::Trap(gongsuan_types::receipt::Trap::MemoryOutOfBounds);
    assert!(receipts.iter().all(|receipt| receipt.status == trap && *receipt == receipts[0]));
}
