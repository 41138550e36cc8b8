//! Programs that know nothing of jobs: written for an operating system, built by the compiler of the day, run unchanged.
//!
//! The compilers are optional: `scripts/setup` installs the one for C, `scripts/setup --programs` the others and a Python, into
//! `target/programs` (or where `GONGSUAN_PROGRAMS` says). Where one is absent, its test says so and does nothing, unless `PROGRAMS_REQUIRED`
//! is set, as in CI.

#![expect(clippy::print_stderr, reason = "what is skipped is said")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gongsuan_executor::SegmentOutput;
use gongsuan_executor::wasi::Files;
use gongsuan_types::Fuel;
use gongsuan_types::job::SEGMENT_FUEL_MAX;
use gongsuan_types::receipt::Status;

use crate::support::{job, run_with};

const TEXT: &str =
    "The quick brown fox jumps over the lazy dog. The dog sleeps; the fox, being quick, is gone.\n";

/// A folder of this test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gongsuan-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn absent(what: &str, installs: &str) {
    assert!(std::env::var_os("PROGRAMS_REQUIRED").is_none(), "{what} is required and absent");
    eprintln!("SKIPPED: {what} is absent ({installs} installs it)");
}

/// Where `scripts/setup --programs` puts things.
fn installed(path: &str) -> PathBuf {
    let folder = std::env::var_os("GONGSUAN_PROGRAMS").map(PathBuf::from);
    let target = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/programs");
    let folder = folder.unwrap_or_else(target);
    folder.canonicalize().unwrap_or(folder).join(path)
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}

/// Whether a compiler did its work; says why not.
fn compiles(command: &mut Command) -> bool {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(done) if done.status.success() => true,
        Ok(done) => {
            eprintln!("{name}: {}", String::from_utf8_lossy(&done.stderr));
            false
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            false
        }
    }
}

/// Runs a module on every engine with plenty of everything.
fn run(module: &[u8], input: &str) -> SegmentOutput {
    let mut spec = job(module, input.as_bytes());
    spec.limits.fuel = SEGMENT_FUEL_MAX;
    spec.limits.memory_pages = 1024;
    spec.limits.output_bytes = 1 << 16;
    run_with(module, &spec, 0, input.as_bytes())
}

/// Runs a module and its native twin on the same input, and requires that both print the same and end alike.
fn same_as_native(wasm: &Path, native: &Path, inputs: &[String]) -> Vec<SegmentOutput> {
    let module = std::fs::read(wasm).unwrap();
    let same = |text: &String| {
        let ours = run(&module, text);
        let mut child = Command::new(native)
            .args(["one", "two"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let theirs = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ours.output), String::from_utf8_lossy(&theirs.stdout));
        let code = theirs.status.code().unwrap().unsigned_abs();
        let expected = if code == 0 { Status::Ok } else { Status::Exit(code) };
        assert_eq!(ours.receipt.status, expected);
        ours
    };
    inputs.iter().map(same).collect()
}

#[test]
fn a_program_in_c_prints_what_it_prints_natively() {
    let folder = Folder::new("words");
    let (native, wasm) = (folder.0.join("words"), folder.0.join("words.wasm"));
    let clang = |out: &Path| {
        let mut command = Command::new("clang-14");
        command.args(["-O2", "-ffp-contract=off", "-o"]).arg(out).arg(source("words.c")).arg("-lm");
        command
    };
    let target = ["--target=wasm32-wasi", "-fuse-ld=/usr/bin/wasm-ld-14"];
    if !compiles(clang(&wasm).args(target)) {
        return absent("clang-14 with wasi-libc", "scripts/setup");
    }
    assert!(compiles(&mut clang(&native)));
    for done in same_as_native(&wasm, &native, &[TEXT.repeat(50), String::new()]) {
        assert_eq!(done.log, b"no file\n");
    }
}

/// Debian's compiler as unpacked by `scripts/setup --programs`, or the one in use if it has the target.
fn rustc_for_wasi() -> Option<Command> {
    let root = installed("rust/usr");
    if root.join("bin/rustc").exists() {
        let mut command = Command::new(root.join("bin/rustc"));
        command.env("LD_LIBRARY_PATH", root.join("lib/x86_64-linux-gnu"));
        command.arg("--sysroot").arg(root);
        command.args(["--target", "wasm32-wasi", "-C", "linker=wasm-ld-14"]);
        return Some(command);
    }
    let target = ["--target", "wasm32-wasip1"];
    let printed =
        Command::new("rustc").args(target).args(["--print", "target-libdir"]).output().ok()?;
    let libraries = PathBuf::from(String::from_utf8(printed.stdout).ok()?.trim());
    libraries.exists().then(|| {
        let mut command = Command::new("rustc");
        command.args(target);
        command
    })
}

#[test]
fn a_program_in_rust_prints_what_it_prints_natively() {
    let Some(mut compiler) = rustc_for_wasi() else {
        return absent("a Rust for WASI", "scripts/setup --programs");
    };
    let folder = Folder::new("tally");
    let (native, wasm) = (folder.0.join("tally"), folder.0.join("tally.wasm"));
    let build = |command: &mut Command, out: &Path| {
        compiles(command.args(["-O", "--edition", "2021", "-o"]).arg(out).arg(source("tally.rs")))
    };
    assert!(build(&mut compiler, &wasm));
    assert!(build(&mut Command::new("rustc"), &native));
    let numbers: String = (0..500).map(|n| format!("{n} {}\n", n * n)).collect();
    same_as_native(&wasm, &native, &[TEXT.repeat(20), numbers, String::new()]);
}

fn zig(arguments: &[&str]) -> Option<Command> {
    let zig = installed("zig/ziglang/zig");
    zig.exists().then(|| {
        let mut command = Command::new(zig);
        // It builds its C library once, and keeps it.
        let cache = installed("zig/cache");
        command.env("ZIG_GLOBAL_CACHE_DIR", &cache).env("ZIG_LOCAL_CACHE_DIR", cache);
        command.args(arguments);
        command
    })
}

#[test]
fn a_program_in_zig_prints_what_it_prints_natively() {
    let folder = Folder::new("collatz");
    let (native, wasm) = (folder.0.join("collatz"), folder.0.join("collatz.wasm"));
    let build = |target: &str, out: &Path| {
        let mut command = zig(&["build-exe", "-lc", "-O", "ReleaseFast", "-fstrip", "-target"])?;
        command.arg(target).arg(format!("-femit-bin={}", out.display()));
        Some(compiles(command.arg(source("collatz.zig"))))
    };
    let Some(built) = build("wasm32-wasi", &wasm) else {
        return absent("Zig", "scripts/setup --programs");
    };
    assert!(built);
    assert_eq!(build("native", &native), Some(true));
    same_as_native(&wasm, &native, &["10 1000\n27\n".to_owned(), "30000".to_owned()]);
}

#[test]
fn a_program_in_c_built_by_zig_prints_what_it_prints_natively() {
    let folder = Folder::new("words-zig");
    let (native, wasm) = (folder.0.join("words"), folder.0.join("words.wasm"));
    let build = |more: &[&str], out: &Path| {
        let mut command = zig(&["cc", "-O2", "-ffp-contract=off", "-o"])?;
        Some(compiles(command.arg(out).arg(source("words.c")).arg("-lm").args(more)))
    };
    let Some(built) = build(&["--target=wasm32-wasi"], &wasm) else {
        return absent("Zig", "scripts/setup --programs");
    };
    assert!(built);
    assert_eq!(build(&[], &native), Some(true));
    same_as_native(&wasm, &native, &[TEXT.repeat(50), String::new()]);
}

#[test]
fn a_program_in_assemblyscript_finds_the_primes() {
    let root = installed("assemblyscript");
    if !root.join("node_modules/.bin/asc").exists() {
        return absent("AssemblyScript", "scripts/setup --programs");
    }
    let folder = Folder::new("primes");
    let wasm = folder.0.join("primes.wasm");
    // The compiler reads what is below its folder only.
    let name = format!("primes-{}.ts", std::process::id());
    std::fs::copy(source("primes.ts"), root.join(&name)).unwrap();
    let built = compiles(
        Command::new(root.join("node_modules/.bin/asc"))
            .current_dir(&root)
            .args([&name, "--config", "node_modules/@assemblyscript/wasi-shim/asconfig.json"])
            .args(["-O", "-o"])
            .arg(&wasm),
    );
    let _ = std::fs::remove_file(root.join(&name));
    assert!(built);
    let done = run(&std::fs::read(&wasm).unwrap(), "50\n");
    assert_eq!(done.receipt.status, Status::Ok, "{}", String::from_utf8_lossy(&done.log));
    let primes = [2_u32, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47];
    let words = primes.map(|prime| prime.to_string()).join(" ");
    let sum: f64 = primes.iter().map(|prime| f64::from(*prime).sqrt()).sum();
    assert_eq!(String::from_utf8_lossy(&done.output), format!("{words}\nsum of roots {sum}\n"));
}

#[test]
fn a_python_runs_a_script_over_its_input_and_the_files_it_carries() {
    let Ok(python) = std::fs::read(installed("python/python.wasm")) else {
        return absent("a CPython for WASI", "scripts/setup --programs");
    };
    let mut files = Files::default();
    files.insert("data/report.py", std::fs::read(source("report.py")).unwrap()).unwrap();
    files.insert("data/table.json", br#"{"two": 2, "nine": 9}"#.to_vec()).unwrap();
    let module = files.attach(&python);
    let mut spec = job(&module, TEXT.as_bytes());
    spec.args = vec!["-I".to_owned(), "/data/report.py".to_owned()];
    spec.limits.fuel = Fuel(SEGMENT_FUEL_MAX.0);
    spec.limits.memory_pages = 4096;
    spec.limits.output_bytes = 1 << 16;
    let done = run_with(&module, &spec, 1, TEXT.as_bytes());
    let log = String::from_utf8_lossy(&done.log);
    let expected = "segment 1 of 4
python 3.11 files ['data', 'input']
words 18 [('The', 2), ('the', 2)]
digest DIGEST
table {'two': 1.414214, 'nine': 3.0}
dice [3, 3, 3] year 2025
writing OSError 69
escaping PermissionError
";
    let digest = gongsuan_types::Hash::of_content(TEXT.as_bytes()).to_string();
    let expected = expected.replace("DIGEST", &digest[..16]);
    assert_eq!(String::from_utf8_lossy(&done.output), expected, "{log}");
    assert_eq!(done.receipt.status, Status::Ok, "{log}");
}
