//! Programs that know nothing of jobs: written for an operating system, built by the compiler of the day, run unchanged.
//!
//! The compilers are optional: where one is absent, its test says so and does nothing, unless `PROGRAMS_REQUIRED` is set, as in CI.

#![expect(clippy::print_stderr, reason = "what is skipped is said")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use std::io::Write;

use gongsuan_types::Fuel;
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

fn absent(what: &str) {
    assert!(std::env::var_os("PROGRAMS_REQUIRED").is_none(), "{what} is required and absent");
    eprintln!("SKIPPED: {what} is absent (scripts/setup installs it)");
}

/// Whether a compiler made something of its arguments; says why not.
fn compiles(compiler: &str, arguments: &[&str], out: &Path, source: &Path) -> bool {
    let done =
        Command::new(compiler).args(arguments).arg("-o").arg(out).arg(source).arg("-lm").output();
    match done {
        Ok(done) if done.status.success() => true,
        Ok(done) => {
            eprintln!("{compiler}: {}", String::from_utf8_lossy(&done.stderr));
            false
        }
        Err(error) => {
            eprintln!("{compiler}: {error}");
            false
        }
    }
}

#[test]
fn a_program_in_c_prints_what_it_prints_natively() {
    let folder = Folder::new("words");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/words.c");
    let (native, wasm) = (folder.0.join("words"), folder.0.join("words.wasm"));
    let target =
        ["--target=wasm32-wasi", "-O2", "-ffp-contract=off", "-fuse-ld=/usr/bin/wasm-ld-14"];
    if !compiles("clang-14", &target, &wasm, &source) {
        return absent("clang-14 with wasi-libc");
    }
    assert!(compiles("clang-14", &["-O2", "-ffp-contract=off"], &native, &source));
    let module = std::fs::read(&wasm).unwrap();
    for text in [TEXT.repeat(50), String::new()] {
        let mut spec = job(&module, text.as_bytes());
        spec.limits.fuel = Fuel(400_000_000);
        spec.limits.memory_pages = 64;
        let ours = run_with(&module, &spec, 0, text.as_bytes());
        let mut child = Command::new(&native)
            .args(["one", "two"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let theirs = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ours.output), String::from_utf8_lossy(&theirs.stdout));
        assert_eq!(ours.log, b"no file\n");
        let code = theirs.status.code().unwrap().unsigned_abs();
        let expected = if code == 0 { Status::Ok } else { Status::Exit(code) };
        assert_eq!(ours.receipt.status, expected);
    }
}
