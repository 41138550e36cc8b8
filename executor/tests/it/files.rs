//! The folder that a program can read, and what becomes of attempts to leave or change it.

use gongsuan_executor::wasi::{Files, FilesError};
use gongsuan_executor::{Metered, ModuleError};
use gongsuan_types::Refusal;
use gongsuan_types::receipt::Status;

use crate::support::{job, run_with, wasm};

/// Addresses in the programs' memory: where results are put, and where the data of a test begins.
const DATA: usize = 1024;

/// A program with everything that concerns files; `$put` writes the number at 0 and so many bytes from 512.
fn program(data: &str, body: &str) -> Vec<u8> {
    let function = |name: &str, params: &str| {
        format!(
            "(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} (param {params}) (result i32)))"
        )
    };
    let imports: String = [
        ("fd_write", "i32 i32 i32 i32"),
        ("fd_read", "i32 i32 i32 i32"),
        ("fd_pread", "i32 i32 i32 i64 i32"),
        ("fd_close", "i32"),
        ("fd_seek", "i32 i64 i32 i32"),
        ("fd_tell", "i32 i32"),
        ("fd_fdstat_get", "i32 i32"),
        ("fd_filestat_get", "i32 i32"),
        ("fd_prestat_get", "i32 i32"),
        ("fd_prestat_dir_name", "i32 i32 i32"),
        ("fd_readdir", "i32 i32 i32 i64 i32"),
        ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32"),
        ("path_filestat_get", "i32 i32 i32 i32 i32"),
        ("path_readlink", "i32 i32 i32 i32 i32 i32"),
        ("path_create_directory", "i32 i32 i32"),
        ("path_unlink_file", "i32 i32 i32"),
        ("path_symlink", "i32 i32 i32 i32 i32"),
        ("path_rename", "i32 i32 i32 i32 i32 i32"),
    ]
    .map(|(name, params)| function(name, params))
    .concat();
    wasm(&format!(
        "(module {imports} (memory (export \"memory\") 1) (data (i32.const {DATA}) \"{data}\")
           (func $write (param $from i32) (param $bytes i32)
             (i32.store (i32.const 16) (local.get $from)) (i32.store (i32.const 20) (local.get $bytes))
             (drop (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24))))
           (func $say (param $number i32)
             (i32.store (i32.const 0) (local.get $number)) (call $write (i32.const 0) (i32.const 4)))
           (func $open (param $at i32) (param $bytes i32) (param $flags i32) (param $rights i64) (result i32)
             (call $path_open (i32.const 3) (i32.const 0) (local.get $at) (local.get $bytes) (local.get $flags)
               (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 8)))
           ;; Reads at most `bytes` from a descriptor and writes them.
           (func $copy (param $fd i32) (param $bytes i32)
             (i32.store (i32.const 16) (i32.const 4096)) (i32.store (i32.const 20) (local.get $bytes))
             (call $say (call $fd_read (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 28)))
             (call $write (i32.const 4096) (i32.load (i32.const 28))))
           (func (export \"_start\") {body}))"
    ))
}

fn tree() -> Files {
    let mut files = Files::default();
    for (path, content) in [("a.txt", "alpha"), ("d/b.txt", "0123456789"), ("d/e/c", "deep")] {
        files.insert(path, content.into()).unwrap();
    }
    files
}

/// The numbers and bytes that a program writes, with the tree attached.
fn output(data: &str, body: &str) -> Vec<u8> {
    let module = tree().attach(&program(data, body));
    let done = run_with(&module, &job(&module, b"the input"), 0, b"the input");
    assert_eq!(done.receipt.status, Status::Ok, "{body}");
    done.output
}

fn numbers(output: &[u8]) -> Vec<u32> {
    output.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number)).collect()
}

/// What opening a path with flags and rights answers.
fn opening(path: &str, flags: u32, rights: u64) -> u32 {
    let body = format!(
        "(call $say (call $open (i32.const {DATA}) (i32.const {}) (i32.const {flags}) (i64.const {rights})))",
        path.len()
    );
    let data: String = path.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    numbers(&output(&data, &body))[0]
}

#[test]
fn files_are_opened_read_and_sought() {
    let body = format!(
        "(call $say (call $open (i32.const {DATA}) (i32.const 7) (i32.const 0) (i64.const 2)))
         (call $say (i32.load (i32.const 8)))
         (call $copy (i32.const 4) (i32.const 4))
         (call $say (call $fd_seek (i32.const 4) (i64.const -3) (i32.const 2) (i32.const 32)))
         (call $copy (i32.const 4) (i32.const 100))
         (call $copy (i32.const 4) (i32.const 100))
         (call $say (call $fd_tell (i32.const 4) (i32.const 32))) (call $say (i32.load (i32.const 32)))
         (i32.store (i32.const 16) (i32.const 4096)) (i32.store (i32.const 20) (i32.const 2))
         (call $say (call $fd_pread (i32.const 4) (i32.const 16) (i32.const 1) (i64.const 5) (i32.const 28)))
         (call $write (i32.const 4096) (i32.load (i32.const 28)))
         (call $say (call $fd_filestat_get (i32.const 4) (i32.const 128))) (call $say (i32.load (i32.const 160)))
         (call $say (call $fd_close (i32.const 4))) (call $say (call $fd_close (i32.const 4)))"
    );
    let mut expected = Vec::new();
    let mut say = |number: u32, text: &str| {
        expected.extend(number.to_le_bytes());
        expected.extend(text.as_bytes());
    };
    say(0, "");
    say(4, "");
    say(0, "0123");
    say(0, "");
    say(0, "789");
    say(0, "");
    say(0, "");
    say(10, "");
    say(0, "56");
    say(0, "");
    say(10, "");
    say(0, "");
    say(8, "");
    assert_eq!(output("d/b.txt", &body), expected);
}

#[test]
fn the_input_is_a_file_too() {
    let body = format!(
        "(call $say (call $open (i32.const {DATA}) (i32.const 5) (i32.const 0) (i64.const 2)))
         (call $copy (i32.const 4) (i32.const 100)) (call $copy (i32.const 0) (i32.const 3))"
    );
    assert_eq!(output("input", &body), [&[0; 8][..], b"the input", &[0; 4], b"the"].concat());
}

#[test]
fn folders_are_listed_in_the_order_of_names() {
    // The root, as much as fits in 4 KiB; then again from the third entry, with room for one and a half.
    let body = "(call $say (call $fd_readdir (i32.const 3) (i32.const 4096) (i32.const 4096) (i64.const 0) (i32.const 32)))
         (call $write (i32.const 4096) (i32.load (i32.const 32)))";
    let output_bytes = output("", body);
    let mut names = Vec::new();
    let mut rest = &output_bytes[4..];
    while let Some(head) = rest.first_chunk::<24>() {
        let length = usize::from(head[16]);
        names.push((String::from_utf8_lossy(&rest[24..24 + length]).into_owned(), head[20]));
        rest = &rest[24 + length..];
    }
    let expected = [(".", 3), ("..", 3), ("a.txt", 4), ("d", 3), ("input", 4)];
    assert_eq!(names, expected.map(|(name, kind)| (name.to_owned(), kind)));
    let body = "(call $say (call $fd_readdir (i32.const 3) (i32.const 4096) (i32.const 40) (i64.const 2) (i32.const 32)))
         (call $say (i32.load (i32.const 32))) (call $write (i32.const 4120) (i32.const 5))
         (call $say (call $fd_readdir (i32.const 3) (i32.const 4096) (i32.const 40) (i64.const -1) (i32.const 32)))
         (call $say (i32.load (i32.const 32)))";
    let cut = output("", body);
    assert_eq!((numbers(&cut[..8]), &cut[8..13]), (vec![0, 40], &b"a.txt"[..]));
    assert_eq!(numbers(&cut[13..]), [0, 0]);
}

#[test]
fn the_root_is_given_by_name_and_described() {
    let body = "(call $say (call $fd_prestat_get (i32.const 3) (i32.const 64))) (call $say (i32.load (i32.const 68)))
         (call $say (call $fd_prestat_dir_name (i32.const 3) (i32.const 64) (i32.const 1))) (call $write (i32.const 64) (i32.const 1))
         (call $say (call $fd_prestat_get (i32.const 4) (i32.const 64)))
         (call $say (call $fd_prestat_dir_name (i32.const 3) (i32.const 64) (i32.const 0)))
         (call $say (call $fd_fdstat_get (i32.const 3) (i32.const 64))) (call $say (i32.load8_u (i32.const 64)))
         (call $say (call $path_filestat_get (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 5) (i32.const 128)))
         (call $say (i32.load8_u (i32.const 144)))
         (call $say (call $path_readlink (i32.const 3) (i32.const 1024) (i32.const 5) (i32.const 128) (i32.const 9) (i32.const 32)))";
    let output = output("d/e/c", body);
    assert_eq!((numbers(&output[..12]), output[12]), (vec![0, 1, 0], b'/'));
    assert_eq!(numbers(&output[13..]), [8, 37, 0, 3, 0, 4, 28]);
}

const NOTCAPABLE: u32 = 76;
const NOENT: u32 = 44;
const NOTDIR: u32 = 54;
const ROFS: u32 = 69;

#[test]
fn no_path_leaves_the_root() {
    for (path, answer) in [
        ("..", NOTCAPABLE),
        ("../a.txt", NOTCAPABLE),
        ("d/../../a.txt", NOTCAPABLE),
        ("d/e/../../..", NOTCAPABLE),
        ("./../d", NOTCAPABLE),
        ("/", NOTCAPABLE),
        ("/a.txt", NOTCAPABLE),
        ("/etc/passwd", NOTCAPABLE),
        ("//a.txt", NOTCAPABLE),
        ("", NOENT),
        ("d/..\\..\\a.txt", NOENT),
        ("d\0/b.txt", NOENT),
        ("..d", NOENT),
        ("...", NOENT),
        ("a.txt -> /etc/passwd", NOENT),
        ("a.txt/", NOTDIR),
        ("a.txt/..", NOTDIR),
        ("a.txt/.", NOTDIR),
        ("input/..", NOTDIR),
        // These stay inside.
        ("d/../a.txt", 0),
        ("./d//e/./c", 0),
        ("d/e/", 0),
        (".", 0),
    ] {
        assert_eq!(opening(path, 0, 2), answer, "{path:?}");
    }
    assert_eq!(opening(&"d/../".repeat(1000), 0, 2), 37, "too long a path");
    // Below a folder that was opened, its own parent is outside.
    let body = format!(
        "(call $say (call $open (i32.const {DATA}) (i32.const 1) (i32.const 2) (i64.const 0)))
         (call $say (call $path_open (i32.const 4) (i32.const 0) (i32.const 1026) (i32.const 8) (i32.const 0) (i64.const 2) (i64.const 0)
           (i32.const 0) (i32.const 8)))"
    );
    assert_eq!(numbers(&output("d ../a.txt", &body)), [0, NOTCAPABLE]);
}

#[test]
fn nothing_is_written_made_or_removed() {
    for (path, flags, rights, answer) in [
        ("a.txt", 0, 64, ROFS),
        ("a.txt", 8, 2, ROFS),
        ("new", 1, 2, ROFS),
        ("a.txt", 1 | 4, 2, 20),
        ("d", 0, 64, 31),
        ("a.txt", 2, 2, NOTDIR),
        ("new", 0, 2, NOENT),
    ] {
        assert_eq!(opening(path, flags, rights), answer, "{path} {flags} {rights}");
    }
    let body = "(call $say (call $path_create_directory (i32.const 3) (i32.const 1024) (i32.const 5)))
         (call $say (call $path_unlink_file (i32.const 3) (i32.const 1024) (i32.const 5)))
         (call $say (call $path_rename (i32.const 3) (i32.const 1024) (i32.const 5) (i32.const 3) (i32.const 1024) (i32.const 5)))
         (call $say (call $path_symlink (i32.const 1024) (i32.const 5) (i32.const 3) (i32.const 1024) (i32.const 5)))
         (call $say (call $fd_write (i32.const 3) (i32.const 16) (i32.const 0) (i32.const 24)))";
    // A link would name its folder in another place; there is none to make either way.
    assert_eq!(numbers(&output("a.txt", body)), [ROFS, ROFS, ROFS, 8, 8]);
}

#[test]
fn descriptors_are_bounded_and_their_numbers_come_back() {
    let body = format!(
        "(local $n i32) (local $answer i32)
         (loop $l
           (local.set $answer (call $open (i32.const {DATA}) (i32.const 5) (i32.const 0) (i64.const 2)))
           (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (br_if $l (i32.eqz (local.get $answer))))
         (call $say (local.get $n)) (call $say (local.get $answer))
         (drop (call $fd_close (i32.const 7)))
         (call $say (call $open (i32.const {DATA}) (i32.const 5) (i32.const 0) (i64.const 2))) (call $say (i32.load (i32.const 8)))"
    );
    assert_eq!(numbers(&output("a.txt", &body)), [253, 33, 0, 7]);
}

#[test]
fn a_descriptor_that_could_not_be_told_is_not_opened() {
    let body = format!(
        "(call $say (call $path_open (i32.const 3) (i32.const 0) (i32.const {DATA}) (i32.const 5) (i32.const 0) (i64.const 2) (i64.const 0)
           (i32.const 0) (i32.const 65533)))
         (call $say (call $fd_close (i32.const 4)))"
    );
    assert_eq!(numbers(&output("a.txt", &body)), [21, 8]);
}

#[test]
fn a_broken_section_refuses_the_module_by_name() {
    let module = wasm("(module (func (export \"_start\")))");
    let with = |data: &[u8]| {
        let mut bytes = module.clone();
        bytes.push(0);
        let name = b"gongsuan:files";
        bytes.push(u8::try_from(1 + name.len() + data.len()).unwrap());
        bytes.push(u8::try_from(name.len()).unwrap());
        bytes.extend(name);
        bytes.extend(data);
        bytes
    };
    assert!(Metered::new(&with(b"")).is_ok());
    for data in [&b"\x01"[..], b"\x01\0\0\0/\0\0\0\0", b"\x02\0\0\0..\0\0\0\0", b"\xff\xff\xff\xff"]
    {
        let error = Metered::new(&with(data)).unwrap_err();
        assert!(matches!(error, ModuleError::Files { .. }), "{data:?}: {error}");
        assert_eq!(Refusal::from(error).field, "module.files");
    }
    let twice = tree().attach(&tree().attach(&module));
    assert!(matches!(Metered::new(&twice), Err(ModuleError::TooMany { .. })));
    let mut files = tree();
    let taken = files.insert("d", Vec::new());
    assert_eq!(taken, Err(FilesError::Taken { path: "d".to_owned() }));
}
