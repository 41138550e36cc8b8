//! Rechecking, matrix products, capacity.

use gongsuan_executor::guests::CAPACITY;
use gongsuan_executor::verify::capacity::{self, Challenge};
use gongsuan_executor::verify::{Difference, Opening, Verdict, draw, recheck};
use gongsuan_executor::{
    Backend, Cancel, InProcess, Inputs, Job, Program, default_engine, run_segment,
};
use gongsuan_types::receipt::{Commitment, Receipt, ReceiptProof, Status};
use gongsuan_types::{Fuel, Hash};

use crate::support::{engines, job, run_with, start, wasm};

/// A commitment to `receipts`, opened at `index`.
fn open(receipts: &[Receipt], index: usize) -> Opening {
    Opening {
        commitment: Commitment::new(receipts).unwrap(),
        receipt: receipts[index],
        proof: ReceiptProof::new(receipts, index).unwrap(),
    }
}

#[test]
fn every_lie_in_a_receipt_is_found_and_named_on_either_engine() {
    let module = wasm(&start(
        "(drop (call $random_get (i32.const 100) (i32.const 8))) (call $put (i32.const 100) (i32.const 8))",
    ));
    let spec = job(&module, b"input");
    let run = |program: &Program, segment| {
        run_segment(program, &spec, segment, b"input").unwrap().receipt
    };
    for engine in engines() {
        let program = Program::load(engine, &module).unwrap();
        let receipts: Vec<Receipt> = (0..4).map(|segment| run(&program, segment)).collect();
        let verdict = |opening| recheck(&program, &spec, b"input", &opening).unwrap();
        assert_eq!(verdict(open(&receipts, 2)), Verdict::True);
        for (lie, differs) in [
            (Receipt { input: Hash::ZERO, ..receipts[2] }, Difference::Input),
            (Receipt { status: Status::Exit(1), ..receipts[2] }, Difference::Status),
            (Receipt { output: receipts[1].output, ..receipts[2] }, Difference::Output),
            (Receipt { output_bytes: 9, ..receipts[2] }, Difference::Output),
            (Receipt { fuel: Fuel(receipts[2].fuel.0 + 1), ..receipts[2] }, Difference::Fuel),
        ] {
            let mut told = receipts.clone();
            told[2] = lie;
            let found = receipts[2];
            assert_eq!(verdict(open(&told, 2)), Verdict::False { found, differs });
        }
        let mut elsewhere = open(&receipts, 2);
        elsewhere.receipt = receipts[1];
        assert_eq!(verdict(elsewhere), Verdict::NotCommitted);
    }
}

#[test]
fn draws_are_distinct_below_the_limit_and_follow_the_seed() {
    let (one, other) = (Hash::of_content(b"1"), Hash::of_content(b"2"));
    for (limit, count) in [(1000, 20), (10, 9), (7, 7), (3, 100)] {
        let mut drawn = draw(&one, limit, count);
        assert_eq!(drawn, draw(&one, limit, count));
        assert!(drawn.iter().all(|pick| *pick < limit));
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), count.min(limit) as usize);
    }
    assert_ne!(draw(&one, 1000, 20), draw(&other, 1000, 20));
}

#[test]
fn programs_check_products_through_the_host_and_pay_for_it() {
    // A = (1 2; 3 4), B = (5 6; 7 -8), C = A·B.
    let a = "\\01\\00\\02\\00\\03\\00\\04\\00";
    let b = "\\05\\00\\06\\00\\07\\00\\f8\\ff";
    let c: String = [19i64, -10, 43, -14]
        .iter()
        .flat_map(|entry| entry.to_le_bytes())
        .map(|byte| format!("\\{byte:02x}"))
        .collect();
    let module = |args: &str, spoil: &str| {
        wasm(&format!(
            r#"(module
              (import "gongsuan" "matrix_check" (func $check (param i32 i32 i32 i32 i32 i32) (result i32)))
              (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
              (memory (export "memory") 1)
              (data (i32.const 16) "{a}") (data (i32.const 32) "{b}") (data (i32.const 64) "{c}")
              (func (export "_start") {spoil} (call $exit (call $check {args}))))"#
        ))
    };
    let constants = |list: [i64; 6]| list.map(|n| format!("(i32.const {n})")).concat();
    let right = constants([2, 2, 2, 16, 32, 64]);
    for (args, spoil, status) in [
        (right.clone(), "", Status::Ok),
        (right.clone(), "(i64.store8 (i32.const 71) (i64.const 1))", Status::Exit(1)),
        (right, "(i32.store16 (i32.const 16) (i32.const 2))", Status::Exit(1)),
        (constants([2, 2, 2, 16, 32, 65_505]), "", Status::Exit(21)),
        (constants([0, 2, 2, 16, 32, 64]), "", Status::Exit(28)),
        (constants([2, 40_000, 2, 16, 32, 64]), "", Status::Exit(28)),
        (constants([32_768, 32_768, 32_768, 0, 0, 0]), "", Status::OutOfFuel),
    ] {
        let module = module(&args, spoil);
        let receipt = run_with(&module, &job(&module, b""), 0, b"").receipt;
        assert_eq!(receipt.status, status, "{args} {spoil}");
    }
}

#[test]
fn lanes_of_a_challenge_differ_and_anybody_can_check_a_drawn_one() {
    let seed = Hash::of_content(b"a later block");
    let challenge = Challenge { seed, lanes: 3, mebibytes: 2, steps: 20_000 };
    assert!(challenge.fits());
    let input = challenge.to_input();
    let job = Job {
        module: CAPACITY.into(),
        spec: capacity::job(&challenge),
        segments: vec![0, 1, 2],
        inputs: Inputs::Shared(input.clone().into()),
    };
    let backend = InProcess { engine: default_engine(), threads: 2 };
    let receipts = backend.run(&job, &Cancel::new(), &mut |_| {}).unwrap();
    assert!(receipts.iter().all(|receipt| receipt.status == Status::Ok), "{receipts:?}");
    assert_ne!(receipts[0].output, receipts[1].output);
    // The limit fits closely: a lane that did a tenth more would not be admitted.
    assert!(job.spec.limits.fuel.0 * 10 < receipts[0].fuel.0 * 14, "{receipts:?}");
    let drawn = draw(&Hash::of_content(b"an even later block"), challenge.lanes, 1)[0];
    for engine in engines() {
        let program = Program::load(engine, CAPACITY).unwrap();
        let opening = open(&receipts, drawn as usize);
        assert_eq!(recheck(&program, &job.spec, &input, &opening), Ok(Verdict::True));
    }
    assert_eq!(challenge.shown(Fuel(6_000_000), 2_000), 3_000_000);
    assert!(!Challenge { mebibytes: 1001, ..challenge }.fits());
    assert!(!Challenge { steps: u32::MAX, ..challenge }.fits());
}
