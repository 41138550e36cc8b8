//! Arbitrary valid modules (wasm-smith): the meter takes or refuses each by name, engines agree on it, and metering changes nothing of what it
//! computes.
//!
//! A few by default; `GONGSUAN_SMITH=100000` for as many, `GONGSUAN_SMITH_SEED` to begin elsewhere. A failure names the seed of its module.

use std::collections::BTreeMap;

use arbitrary::Unstructured;
use gongsuan_executor::{Metered, ModuleError};
use gongsuan_types::Fuel;
use gongsuan_types::receipt::Status;
use wasm_smith::Config;
use wasmi::{Engine, Linker, Module, Store, Val};

use crate::support::{job, run_with, wasm};

const MODULES: u64 = 150;
const FUEL: u64 = 1_000_000;
/// Random bytes for a module, at most.
const BYTES_MAX: u64 = 6_000;

/// A generator of 64-bit numbers (`SplitMix64`), so that a seed means the same module everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What jobs may use, and a little of what they may not.
fn config(numbers: &mut Numbers) -> Config {
    let exports = "(module (func (export \"_start\")) (memory (export \"memory\") 1 3)
        (global (export \"a\") (mut i32) (i32.const 0)) (global (export \"b\") (mut i64) (i64.const 0))
        (global (export \"c\") (mut f32) (f32.const 0)) (global (export \"d\") (mut f64) (f64.const 0)))";
    let imports = "(module
        (import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32 i32 i32 i32) (result i32)))
        (import \"wasi_snapshot_preview1\" \"random_get\" (func (param i32 i32) (result i32)))
        (import \"wasi_snapshot_preview1\" \"clock_time_get\" (func (param i32 i64 i32) (result i32))))";
    let rare = |numbers: &mut Numbers| numbers.next().is_multiple_of(32);
    Config {
        exports: Some(wasm(exports)),
        available_imports: Some(wasm(imports)),
        canonicalize_nans: true,
        max_imports: if numbers.next().is_multiple_of(2) { 0 } else { 4 },
        // Beside the one that is exported.
        max_memories: 0,
        max_memory32_bytes: 4 << 16,
        max_table_elements: 1000,
        max_tables: 4,
        max_instructions: 400,
        max_funcs: 12,
        gc_enabled: false,
        exceptions_enabled: false,
        memory64_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        compact_imports_enabled: false,
        // Brings references to the host's things, which are not admitted.
        reference_types_enabled: rare(numbers),
        relaxed_simd_enabled: rare(numbers),
        tail_call_enabled: rare(numbers),
        extended_const_enabled: rare(numbers),
        ..Config::default()
    }
}

fn generate(seed: u64) -> Option<Vec<u8>> {
    let mut numbers = Numbers(seed);
    let config = config(&mut numbers);
    let length = 500 + numbers.next() % BYTES_MAX;
    let bytes: Vec<u8> = (0..length).map(|_| numbers.next().to_le_bytes()[0]).collect();
    let module = wasm_smith::Module::new(config, &mut Unstructured::new(&bytes)).ok()?;
    Some(module.to_bytes())
}

/// What a module leaves when the interpreter runs it as it is, with imports that do nothing; `None` if it does not end well.
fn left_behind(module: &[u8], reserve: Option<i64>) -> Option<(Vec<u8>, Vec<String>)> {
    let mut config = wasmi::Config::default();
    config.consume_fuel(true);
    let engine = Engine::new(&config);
    let module = Module::new(&engine, module).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    for import in module.imports() {
        let ty = import.ty().func().unwrap().clone();
        let nothing = |_: wasmi::Caller<'_, ()>, _: &[Val], results: &mut [Val]| {
            results.iter_mut().for_each(|result| *result = Val::I32(0));
            Ok(())
        };
        // A module may import the same function twice.
        let _ = linker.func_new(import.module(), import.name(), ty, nothing);
    }
    let mut store = Store::new(&engine, ());
    store.set_fuel(FUEL * 20).unwrap();
    let instance = linker.instantiate_and_start(&mut store, &module).ok()?;
    if let Some(reserve) = reserve {
        let global = instance.get_global(&store, "gongsuan:reserve").unwrap();
        global.set(&mut store, Val::I64(reserve)).unwrap();
    }
    for name in ["gongsuan:start", "_start"] {
        if let Ok(function) = instance.get_typed_func::<(), ()>(&store, name) {
            function.call(&mut store, ()).ok()?;
        }
    }
    let memory = instance.get_memory(&store, "memory").unwrap().data(&store).to_vec();
    let globals = ["a", "b", "c", "d"].map(|name| {
        let value = instance.get_global(&store, name).unwrap().get(&store);
        if let Val::F32(value) = value {
            format!("{:x}", value.to_bits())
        } else if let Val::F64(value) = value {
            format!("{:x}", value.to_bits())
        } else {
            format!("{value:?}")
        }
    });
    Some((memory, globals.to_vec()))
}

#[test]
fn arbitrary_modules_are_taken_or_refused_and_mean_the_same_when_metered() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = number("GONGSUAN_SMITH_SEED").unwrap_or(0);
    let mut endings: BTreeMap<String, u32> = BTreeMap::new();
    let mut count = |what: String| *endings.entry(what).or_default() += 1;
    for seed in first..first + number("GONGSUAN_SMITH").unwrap_or(MODULES) {
        let Some(module) = generate(seed) else {
            count("not generated".to_owned());
            continue;
        };
        let metered = match Metered::new(&module) {
            Ok(metered) => metered,
            Err(
                refusal @ (ModuleError::Invalid { .. } | ModuleError::SegmentOutOfBounds { .. }),
            ) => {
                let words = format!("refused: {refusal}");
                count(words.chars().filter(|letter| !letter.is_ascii_digit()).collect());
                continue;
            }
            Err(other) => panic!("seed {seed}: {other}"),
        };
        let mut spec = job(&module, b"");
        spec.limits.fuel = Fuel(FUEL);
        let receipt = run_with(&module, &spec, 0, b"").receipt;
        let words = format!("{:?}", receipt.status);
        count(words);
        if receipt.status == Status::Ok {
            let before = left_behind(&module, None);
            let after = left_behind(metered.bytes(), Some(FUEL.cast_signed()));
            if let (Some(before), Some(after)) = (before, after) {
                assert_eq!(before, after, "seed {seed}: metering changed what is computed");
                count("compared with the unmetered module".to_owned());
            }
        }
    }
    println!("{endings:#?}");
    // Silence is not success.
    for ending in ["Ok", "OutOfFuel", "compared with the unmetered module"] {
        assert!(endings.get(ending).is_some_and(|times| *times > 0), "{ending}: {endings:#?}");
    }
}
