//! Modules that mean harm, all in a table: each is stopped at its own limit, by name, alike on every engine; and none of them takes
//! the worker process down that runs them all.

use std::collections::BTreeMap;

use gongsuan_executor::jobs::{Lanes, Options, Scheduler, SchedulerConfig};
use gongsuan_executor::worker::PoolConfig;
use gongsuan_executor::{Event, Inputs, Job, Metered};
use gongsuan_types::job::SEGMENT_FUEL_MAX;
use gongsuan_types::receipt::{Status, Trap};
use gongsuan_types::{Fuel, Refusal};

use crate::support::{command, job, run_with, start, wasm};

/// What becomes of a module.
enum Fate {
    /// Its segments end so.
    Ends(Status),
    /// It may not run, with this code; its segments say so, too.
    Refused(&'static str),
}

use Fate::{Ends, Refused};

const TRAP: fn(Trap) -> Fate = |trap| Ends(Status::Trap(trap));

type Case = (&'static str, Vec<u8>, Fate);

fn body(text: &str) -> Vec<u8> {
    wasm(&start(text))
}

/// A module of these fields with an empty `_start`.
fn fields(text: &str) -> Vec<u8> {
    wasm(&format!("(module {text} (func (export \"_start\")))"))
}

fn nest(open: &str, inner: &str, depth: usize) -> String {
    [&open.repeat(depth), inner, &")".repeat(depth)].concat()
}

fn endless() -> Vec<Case> {
    let fuel = || Ends(Status::OutOfFuel);
    vec![
        ("an empty loop", body("(loop $l (br $l))"), fuel()),
        ("a loop of br_if", body("(loop $l (br_if $l (i32.const 1)))"), fuel()),
        ("a loop of br_table", body("(loop $l (br_table $l $l (i32.const 9)))"), fuel()),
        ("loops in loops", body(&nest("(loop ", "(br 7)", 8)), fuel()),
        ("a loop of calls", body("(loop $l (drop (call $five)) (br $l))"), fuel()),
        (
            "a loop of indirect calls",
            body("(loop $l (drop (call_indirect (type $number) (i32.const 0))) (br $l))"),
            fuel(),
        ),
        (
            "a loop of fills",
            body("(loop $l (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)) (br $l))"),
            fuel(),
        ),
        (
            "a loop of copies",
            body("(loop $l (memory.copy (i32.const 0) (i32.const 9) (i32.const 65527)) (br $l))"),
            fuel(),
        ),
        ("growing by nothing", body("(loop $l (drop (memory.grow (i32.const 0))) (br $l))"), fuel()),
        ("growing a table by nothing", body("(loop $l (drop (table.grow (ref.null func) (i32.const 0))) (br $l))"), fuel()),
        ("growing by more than there is", body("(loop $l (drop (memory.grow (i32.const -1))) (br $l))"), fuel()),
        (
            "growing a table by more than there is",
            body("(loop $l (drop (table.grow (ref.null func) (i32.const -1))) (br $l))"),
            fuel(),
        ),
        ("a loop of failing growth", body("(loop $l (drop (memory.grow (i32.const 9))) (br $l))"), fuel()),
        (
            "a loop of failing table growth",
            body("(loop $l (drop (table.grow (ref.null func) (i32.const 300000))) (br $l))"),
            fuel(),
        ),
        (
            "a loop of table fills",
            body(
                "(drop (table.grow (ref.null func) (i32.const 200000)))
                 (loop $l (table.fill (i32.const 0) (ref.null func) (i32.const 200000)) (br $l))",
            ),
            fuel(),
        ),
        (
            "a loop of host calls",
            body("(loop $l (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 0))) (br $l))"),
            fuel(),
        ),
        (
            "a loop of refused host calls",
            body("(loop $l (drop (call $fd_read (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0))) (br $l))"),
            fuel(),
        ),
        (
            "a loop of random bytes",
            body("(loop $l (drop (call $random_get (i32.const 0) (i32.const 65536))) (br $l))"),
            fuel(),
        ),
        (
            "a log without end",
            body(
                "(i32.store (i32.const 4) (i32.const 65000))
                 (loop $l (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))) (br $l))",
            ),
            fuel(),
        ),
        (
            "square roots without end",
            body("(local $f f64) (loop $l (local.set $f (f64.sqrt (f64.sqrt (local.get $f)))) (br $l))"),
            fuel(),
        ),
        (
            "vectors without end",
            body("(local $v v128) (loop $l (local.set $v (f64x2.div (local.get $v) (local.get $v))) (br $l))"),
            fuel(),
        ),
        (
            "a start function that does not end",
            wasm(&command("(func $s (loop $l (br $l))) (start $s) (func (export \"_start\"))")),
            fuel(),
        ),
        (
            "straight fills without a loop",
            body(&"(memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))".repeat(1400)),
            fuel(),
        ),
        (
            "a matrix larger than the world",
            wasm(
                "(module (import \"gongsuan\" \"matrix_check\" (func $c (param i32 i32 i32 i32 i32 i32) (result i32)))
                   (memory (export \"memory\") 1)
                   (func (export \"_start\") (drop (call $c (i32.const 32768) (i32.const 32768) (i32.const 32768)
                     (i32.const 0) (i32.const 0) (i32.const 0)))))",
            ),
            fuel(),
        ),
    ]
}

fn deep() -> Vec<Case> {
    let overflow = || TRAP(Trap::StackOverflow);
    let wide = |ty: &str| {
        let locals = format!("{ty} ").repeat(9000);
        format!("(func $w (local {locals}) (call $w)) (func (export \"_start\") (call $w))")
    };
    vec![
        ("plain recursion", wasm("(module (func $f (export \"_start\") (call $f)))"), overflow()),
        (
            "mutual recursion",
            wasm("(module (func $f (export \"_start\") (call $g)) (func $g (call $f)))"),
            overflow(),
        ),
        (
            "recursion through a table",
            wasm(
                "(module (type $t (func)) (table 1 funcref) (elem (i32.const 0) $f)
                 (func $f (export \"_start\") (call_indirect (type $t) (i32.const 0))))",
            ),
            overflow(),
        ),
        ("frames of nine thousand integers", wasm(&command(&wide("i64"))), overflow()),
        ("frames of nine thousand vectors", wasm(&command(&wide("v128"))), overflow()),
        (
            "frames of many parameters",
            wasm(&format!(
                "(module (func $f (param {}) {} (call $f)) (func (export \"_start\") {} (call $f)))",
                "f64 ".repeat(128),
                (0..128).map(|at| format!("(local.get {at})")).collect::<String>(),
                "(f64.const 1)".repeat(128),
            )),
            overflow(),
        ),
        (
            "recursion from the start function",
            wasm(&command("(func $s (call $s)) (start $s) (func (export \"_start\"))")),
            overflow(),
        ),
        (
            "operands a thousand deep in every frame",
            wasm(&format!(
                "(module (func $f (result i64) {} (call $f) {}) (func (export \"_start\") (drop (call $f))))",
                "(i64.const 1)".repeat(1000),
                "i64.add ".repeat(1000)
            )),
            overflow(),
        ),
    ]
}

/// A program with what concerns files, and a path at the beginning of its memory.
fn files(start: &str, path: &str) -> Vec<u8> {
    let import = |name: &str, local: &str, params: &str| {
        format!(
            "(import \"wasi_snapshot_preview1\" \"{name}\" (func ${local} (param {params}) (result i32)))"
        )
    };
    let imports = [
        import("path_open", "open", "i32 i32 i32 i32 i32 i64 i64 i32 i32"),
        import("fd_readdir", "list", "i32 i32 i32 i64 i32"),
        import("fd_seek", "seek", "i32 i64 i32 i32"),
    ];
    wasm(&format!(
        "(module {} (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
           (memory (export \"memory\") 1) (data (i32.const 0) \"{path}\") {start})",
        imports.concat()
    ))
}

/// A program that ends with what opening a path answers.
fn opening(path: &str, rights: u64, flags: u32) -> Vec<u8> {
    let at = format!("(i32.const 0) (i32.const {})", path.len());
    files(&opening_text(&at, rights, flags), path)
}

fn opening_at(at: &str, rights: u64, flags: u32) -> Vec<u8> {
    files(&opening_text(at, rights, flags), "")
}

fn opening_text(at: &str, rights: u64, flags: u32) -> String {
    format!(
        "(func (export \"_start\") (call $exit (call $open (i32.const 3) (i32.const 0) {at} (i32.const {flags})
           (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 64))))"
    )
}

/// An empty program that carries these bytes as its files.
fn with_files(data: &[u8]) -> Vec<u8> {
    let mut module = fields("");
    let name = b"gongsuan:files";
    module.extend([
        0,
        u8::try_from(1 + name.len() + data.len()).unwrap(),
        u8::try_from(name.len()).unwrap(),
    ]);
    module.extend(name);
    module.extend(data);
    module
}

fn reaching() -> Vec<Case> {
    let beyond = || TRAP(Trap::MemoryOutOfBounds);
    let exit = |code| Ends(Status::Exit(code));
    let errno = |call: &str| body(&format!("(call $proc_exit {call})"));
    vec![
        ("a store beyond memory", body("(i64.store (i32.const 65529) (i64.const 1))"), beyond()),
        ("a store at the end of the address space", body("(i32.store offset=0xffffffff (i32.const -1) (i32.const 1))"), beyond()),
        ("a vector load across the end", body("(drop (v128.load (i32.const 65521)))"), beyond()),
        ("a fill that wraps", body("(memory.fill (i32.const -8) (i32.const 1) (i32.const 16))"), beyond()),
        ("a copy from beyond", body("(memory.copy (i32.const 0) (i32.const 65535) (i32.const 2))"), beyond()),
        ("a table entry beyond", body("(call_indirect (type $nothing) (i32.const -1))"), TRAP(Trap::TableOutOfBounds)),
        ("a function of another type", body("(call_indirect (type $nothing) (i32.const 0))"), TRAP(Trap::SignatureMismatch)),
        ("a null function", body("(call_indirect (type $nothing) (i32.const 3))"), TRAP(Trap::NullEntry)),
        ("output beyond the limit", body("(loop $l (call $put (i32.const 0) (i32.const 300)) (br $l))"), TRAP(Trap::OutputTooLong)),
        ("output in one piece beyond the limit", body("(call $put (i32.const 0) (i32.const 65536))"), TRAP(Trap::OutputTooLong)),
        ("writing to a file that is not there", errno("(call $fd_write (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 8))"), exit(8)),
        ("reading standard output", errno("(call $fd_read (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))"), exit(8)),
        ("buffers beyond memory", errno("(call $fd_write (i32.const 1) (i32.const 65532) (i32.const 1) (i32.const 8))"), exit(21)),
        ("two to the thirty-two buffers", errno("(call $fd_write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 8))"), exit(28)),
        ("a result pointer beyond memory", errno("(call $fd_read (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 65534))"), exit(21)),
        ("waiting for something", errno("(call $poll (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))"), exit(52)),
        ("opening the password file", opening("../../../etc/passwd", 2, 0), exit(76)),
        ("opening the password file by its whole path", opening("/etc/passwd", 2, 0), exit(76)),
        ("climbing out of a folder that is not there", opening("a/../../etc/passwd", 2, 0), exit(44)),
        ("climbing out through a file", opening("input/../../etc/passwd", 2, 0), exit(54)),
        ("writing to the input", opening("input", 64, 0), exit(69)),
        ("emptying the input", opening("input", 2, 8), exit(69)),
        ("making a file", opening("loot", 2, 1), exit(69)),
        ("a path from beyond memory", opening_at("(i32.const 65530) (i32.const 100)", 2, 0), exit(21)),
        ("a path of four gigabytes", opening_at("(i32.const 0) (i32.const -1)", 2, 0), exit(37)),
        (
            "opening files for ever",
            files("(func (export \"_start\") (loop $l (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 5)
                (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64))) (br $l)))", "input"),
            Ends(Status::OutOfFuel),
        ),
        (
            "listing from the end of all numbers",
            files("(func (export \"_start\") (call $exit (call $list (i32.const 3) (i32.const 0) (i32.const 65536) (i64.const -1) (i32.const 64))))", ""),
            Ends(Status::Ok),
        ),
        (
            "seeking below the beginning",
            files("(func (export \"_start\") (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 5)
                (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64)))
                (call $exit (call $seek (i32.const 4) (i64.const 0x8000000000000000) (i32.const 2) (i32.const 64))))", "input"),
            exit(28),
        ),
        (
            "sending through a socket",
            wasm(
                "(module (import \"wasi_snapshot_preview1\" \"sock_send\"
                     (func $send (param i32 i32 i32 i32 i32) (result i32)))
                   (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
                   (memory (export \"memory\") 1)
                   (func (export \"_start\") (call $exit (call $send (i32.const 1) (i32.const 0) (i32.const 1)
                     (i32.const 0) (i32.const 64)))))",
            ),
            exit(8),
        ),
        ("a memory that grows to its limit and beyond", body("(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))"), Ends(Status::Ok)),
        ("a NaN as an integer", body("(drop (i32.trunc_f64_s (f64.const nan:0x4000000000001)))"), TRAP(Trap::InvalidConversion)),
        (
            "a secret in the bits of a NaN",
            body(
                "(i64.store (i32.const 0) (i64.reinterpret_f64 (f64.add (f64.const 1)
                   (f64.reinterpret_i64 (i64.const 0xfff4dead0000beef)))))
                 (call $proc_exit (i32.wrap_i64 (i64.rotl (i64.load (i32.const 0)) (i64.const 16))))",
            ),
            // 0x7ff8 in the upper sixteen bits and nothing else.
            exit(0x7ff8),
        ),
    ]
}

fn bombs() -> Vec<Case> {
    let ok = || Ends(Status::Ok);
    let chain = |count: usize| {
        format!(
            "(local $x i64) {} (drop (local.get $x))",
            "(local.set $x (i64.add (i64.rotl (local.get $x) (i64.const 7)) (i64.const 3)))"
                .repeat(count)
        )
    };
    let targets =
        |count: usize| format!("(block $b (br_table {} (i32.const 5)))", "$b ".repeat(count));
    vec![
        ("a very long body", body(&chain(20_000)), ok()),
        ("a body above its limit", body(&chain(120_000)), Refused("too-many")),
        ("blocks eight thousand deep", body(&nest("(block ", "", 8_000)), ok()),
        ("loops five hundred deep", body(&nest("(loop ", "", 500)), ok()),
        (
            "loops that would take minutes to compile",
            body(&"(loop)".repeat(20_000)),
            Refused("too-many"),
        ),
        (
            "branches that would take minutes to compile",
            body(&"(if (i32.const 1) (then))".repeat(60_000)),
            Refused("too-many"),
        ),
        (
            "fills that would take minutes to compile",
            body(&"(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))".repeat(20_000)),
            Refused("too-many"),
        ),
        ("a jump table at its limit", body(&targets(60_000)), ok()),
        ("a jump table above its limit", body(&targets(65_538)), Refused("too-many")),
        (
            "thousands of functions",
            fields(
                &"(func (param i64) (result i64) (i64.mul (local.get 0) (local.get 0)))"
                    .repeat(8_000),
            ),
            ok(),
        ),
        ("too many functions", fields(&"(func)".repeat(50_001)), Refused("too-many")),
        (
            "too many types",
            fields(
                &(0..10_001)
                    .map(|n| format!("(type (func (param {})))", "i32 ".repeat(n % 100)))
                    .collect::<String>(),
            ),
            Refused("too-many"),
        ),
        (
            "too many parameters",
            fields(&format!("(func (param {}))", "i32 ".repeat(129))),
            Refused("too-many"),
        ),
        (
            "too many results",
            fields(&format!("(type (func (result {})))", "i32 ".repeat(129))),
            Refused("too-many"),
        ),
        (
            "too many locals",
            fields(&format!("(func (local {}))", "v128 ".repeat(10_001))),
            Refused("too-many"),
        ),
        (
            "too many globals",
            fields(&"(global (mut i64) (i64.const 0))".repeat(10_001)),
            Refused("too-many"),
        ),
        (
            "too many exports",
            fields(&format!(
                "(func $f) {}",
                (0..10_001).map(|n| format!("(export \"{n}\" (func $f))")).collect::<String>()
            )),
            Refused("too-many"),
        ),
        (
            "too much data in pieces",
            fields(&format!("(memory 1) {}", "(data (i32.const 0) \"x\")".repeat(100_001))),
            Refused("too-many"),
        ),
        ("a table too large", fields("(table 262145 funcref)"), Refused("too-many")),
        ("tables too many", fields(&"(table 262144 funcref)".repeat(17)), Refused("too-many")),
        ("all the tables there may be", fields(&"(table 262144 funcref)".repeat(16)), ok()),
        ("more memory than the job has", fields("(memory 16384)"), Refused("memory-minimum")),
        ("all the memory there is", fields("(memory 65536)"), Refused("too-many")),
        (
            "an import of the host's own",
            fields("(import \"env\" \"memory\" (memory 1))"),
            Refused("forbidden-import"),
        ),
        (
            "an import of another system",
            fields("(import \"wasi_unstable\" \"fd_write\" (func))"),
            Refused("forbidden-import"),
        ),
        (
            "a native import of another type",
            fields("(import \"gongsuan\" \"matrix_check\" (func))"),
            Refused("import-type"),
        ),
        (
            "the meter's own export",
            fields("(global (export \"gongsuan:reserve\") (mut i64) (i64.const 0))"),
            Refused("bad-export"),
        ),
        ("a shared memory", fields("(memory 1 1 shared)"), Refused("invalid-module")),
        ("a memory of 64-bit addresses", fields("(memory i64 1)"), Refused("invalid-module")),
        ("an exception", fields("(tag)"), Refused("invalid-module")),
        (
            "a reference to the host's things",
            fields("(table 1 externref)"),
            Refused("invalid-module"),
        ),
        ("files that end in the middle", with_files(b"\x05\0\0\0a"), Refused("bad-files")),
        ("a file above the root", with_files(b"\x04\0\0\0../a\0\0\0\0"), Refused("bad-files")),
        (
            "a file in place of the input",
            with_files(b"\x05\0\0\0input\0\0\0\0"),
            Refused("bad-files"),
        ),
        ("a component", b"\0asm\x0d\0\x01\0".to_vec(), Refused("not-wasm")),
        ("text", b"(module (func (export \"_start\")))".to_vec(), Refused("not-wasm")),
        ("nothing", Vec::new(), Refused("not-wasm")),
    ]
}

fn cases() -> Vec<Case> {
    [endless(), deep(), reaching(), bombs()].into_iter().flatten().collect()
}

#[test]
fn every_hostile_module_is_stopped_at_its_own_limit_and_no_worker_falls() {
    let cases = cases();
    assert!(cases.len() >= 50, "{}", cases.len());
    let config = PoolConfig {
        workers: 1,
        ..PoolConfig::new(env!("CARGO_BIN_EXE_gongsuan-executor-worker"), [""; 0])
    };
    let scheduler = Scheduler::start(SchedulerConfig::new(Lanes::Processes(config))).unwrap();
    let mut pids = BTreeMap::new();
    for (name, module, fate) in cases {
        let mut spec = job(&module, b"");
        // Growing is stopped by its price alone: with all the fuel that a segment may have, it must still end in peace.
        spec.limits.fuel =
            if name.starts_with("growing ") { SEGMENT_FUEL_MAX } else { Fuel(20_000_000) };
        let status = match fate {
            Ends(status) => status,
            Refused(code) => {
                if let Err(error) = Metered::new(&module) {
                    assert_eq!(Refusal::from(error).code, code, "{name}");
                } else {
                    assert_eq!(code, "memory-minimum", "{name}");
                }
                Status::Refused
            }
        };
        let here = run_with(&module, &spec, 0, b"").receipt;
        assert_eq!(here.status, status, "{name}");
        let job = Job {
            module: module.into(),
            spec,
            segments: vec![0],
            inputs: Inputs::Shared(b"".as_slice().into()),
        };
        let handle = scheduler.submit(job, Options::default()).unwrap();
        let caged = handle.wait(&mut |event| {
            if let Event::Worker { pid, .. } = event {
                pids.insert(pid, name);
            }
        });
        assert_eq!(caged, Ok(vec![here]), "{name}");
    }
    assert_eq!(pids.len(), 1, "a worker fell: {pids:?}");
}
