//! The cache of compiled modules: what it gives back is what was compiled, and what is not its own is compiled again and replaced.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gongsuan_executor::engine::cache::{CacheError, Cached, Discarded, ModuleCache, Origin};
use gongsuan_executor::pool::InProcessCached;
use gongsuan_executor::wasi::Files;
use gongsuan_executor::{Backend, Cancel, EngineKind, Event, Inputs, Job, Program, run_segment};
use gongsuan_types::Hash;

use crate::support::{job, start, wasm};

fn module() -> Vec<u8> {
    let mut files = Files::default();
    files.insert("a", b"carried".to_vec()).unwrap();
    files.attach(&wasm(&start(
        "(i32.store (i32.const 100) (i32.const 7)) (call $put (i32.const 100) (i32.const 4))",
    )))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut entries: Vec<_> =
        all.filter(|path| path.extension().is_some_and(|e| e == "cwasm")).collect();
    entries.sort();
    entries
}

fn open(folder: &Path) -> ModuleCache {
    ModuleCache::open(folder, 1 << 24).unwrap()
}

/// Requires that a program does what the interpreter says that its module does.
fn check(program: &Program, module: &[u8]) {
    let spec = job(module, b"in");
    let expected =
        run_segment(&Program::load(EngineKind::Wasmi, module).unwrap(), &spec, 0, b"in").unwrap();
    assert_eq!(run_segment(program, &spec, 0, b"in").unwrap(), expected);
}

#[test]
fn what_was_compiled_once_is_loaded_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let module = module();
    let first = open(folder.path()).load(&module).unwrap();
    assert!(matches!(first, Cached { origin: Origin::Compiled, unkept: None, .. }), "{first:?}");
    check(&first.program, &module);
    // Another run of the program: the folder alone is left.
    let cache = open(folder.path());
    let again = cache.load(&module).unwrap();
    assert!(matches!(again.origin, Origin::Loaded), "{again:?}");
    check(&again.program, &module);
    check(&cache.get(Hash::of_content(&module)).unwrap().unwrap(), &module);
    assert!(cache.get(Hash::of_content(b"another")).unwrap().is_none());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("key")), 0o600);
    assert_eq!(mode(&entries(folder.path())[0]), 0o600);
}

#[test]
fn an_entry_broken_in_any_field_is_compiled_again_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let module = module();
    let cache = open(folder.path());
    cache.load(&module).unwrap();
    let entry = entries(folder.path()).remove(0);
    let good = fs::read(&entry).unwrap();
    // A byte of each field: magic, nonce, tag, module, meter, engine, length of the note, note, code, its end.
    let fields = [0, 16, 40, 56, 88, 90, 122, 126, good.len() / 2, good.len() - 1];
    let flipped = fields.map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    });
    let cut = [0, 15, 16, 39, 55, 56, 100, good.len() - 1].map(|length| good[..length].to_vec());
    let longer = [&good[..], &[0]].concat();
    for broken in flipped.into_iter().chain(cut).chain([longer]) {
        fs::write(&entry, &broken).unwrap();
        assert!(cache.get(Hash::of_content(&module)).unwrap().is_none());
        let done = cache.load(&module).unwrap();
        let Origin::Recompiled(why) = &done.origin else { panic!("{:?}", done.origin) };
        assert!(matches!(why, Discarded::NotAnEntry | Discarded::NotAuthentic), "{why}");
        check(&done.program, &module);
        assert!(matches!(cache.load(&module).unwrap().origin, Origin::Loaded), "it was replaced");
    }
}

#[test]
fn an_entry_of_another_module_or_another_folder_is_not_loaded() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (module, another) = (module(), wasm(&start("(call $put (i32.const 0) (i32.const 1))")));
    let (cache, elsewhere) = (open(one.path()), open(other.path()));
    cache.load(&module).unwrap();
    let entry = entries(one.path()).remove(0);
    cache.load(&another).unwrap();
    let renamed = entries(one.path()).into_iter().find(|path| *path != entry).unwrap();
    fs::copy(&renamed, &entry).unwrap();
    let done = cache.load(&module).unwrap();
    assert!(matches!(done.origin, Origin::Recompiled(Discarded::Foreign)), "{:?}", done.origin);
    check(&done.program, &module);
    // Made by the same code with another key.
    elsewhere.load(&module).unwrap();
    fs::copy(&entries(other.path())[0], &entry).unwrap();
    let done = cache.load(&module).unwrap();
    assert!(
        matches!(done.origin, Origin::Recompiled(Discarded::NotAuthentic)),
        "{:?}",
        done.origin
    );
}

#[test]
fn a_key_that_others_may_know_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let key = folder.path().join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = ModuleCache::open(folder.path(), 1);
    assert!(matches!(refused, Err(CacheError::KeyExposed { mode: 0o640, .. })), "{refused:?}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, b"short").unwrap();
    let refused = ModuleCache::open(folder.path(), 1);
    assert!(matches!(refused, Err(CacheError::KeyBroken { got: 5, .. })), "{refused:?}");
}

#[test]
fn the_bound_holds_and_those_unused_longest_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let module = |n: u32| wasm(&start(&format!("(i32.store (i32.const 0) (i32.const {n}))")));
    let cache = open(folder.path());
    cache.load(&module(0)).unwrap();
    let bytes = fs::metadata(&entries(folder.path())[0]).unwrap().len();
    // Room for three and a half.
    let cache = ModuleCache::open(folder.path(), bytes * 7 / 2).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(1_000);
    for n in 0..3 {
        cache.load(&module(n)).unwrap();
        for (age, path) in (0..).zip(entries(folder.path())) {
            let file = fs::File::open(path).unwrap();
            file.set_modified(long_ago + Duration::from_secs(age)).unwrap();
        }
    }
    // Used just now, so that it is the last to go.
    assert!(matches!(cache.load(&module(0)).unwrap().origin, Origin::Loaded));
    cache.load(&module(3)).unwrap();
    assert_eq!(entries(folder.path()).len(), 3);
    for n in [0, 3] {
        assert!(cache.get(Hash::of_content(&module(n))).unwrap().is_some(), "{n}");
    }
    let tiny = ModuleCache::open(folder.path(), 100).unwrap();
    let done = tiny.load(&module(9)).unwrap();
    assert!(matches!(done.unkept, Some(CacheError::TooLarge { limit: 100, .. })), "{done:?}");
    check(&done.program, &module(9));
}

#[test]
fn a_module_that_may_not_run_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let done = open(folder.path()).load(b"not a module").unwrap();
    assert!(done.program.refusal().is_some());
    assert_eq!(entries(folder.path()).len(), 0);
}

#[test]
fn a_job_tells_what_became_of_its_entry() {
    let folder = tempfile::tempdir().unwrap();
    let module = module();
    let backend = InProcessCached { cache: Arc::new(open(folder.path())), threads: 1 };
    let job = Job {
        spec: job(&module, b"in"),
        module: module.into(),
        segments: vec![0, 1],
        inputs: Inputs::Shared(b"in".as_slice().into()),
    };
    let run = || {
        let mut told = Vec::new();
        let receipts = backend.run(&job, &Cancel::new(), &mut |event| {
            if let Event::Cache { reason } = event {
                told.push(reason);
            }
        });
        assert_eq!(receipts.unwrap().len(), 2);
        told
    };
    assert_eq!(run(), [""; 0]);
    assert_eq!(run(), [""; 0]);
    fs::write(&entries(folder.path())[0], b"rubbish").unwrap();
    let told = run();
    assert!(told.len() == 1 && told[0].contains("not an entry"), "{told:?}");
}
