//! A damaged folder is repaired or refused, and never answers wrongly or panics.
//!
//! A small folder with every kind of file in it is written once. Then one file at a time is bent, shortened or removed, the folder is opened, and what it
//! answers is compared with the truth. Opening may be refused, with a reason. The one thing that may be forgotten is the end of the newest segment
//! of the log, if it is cut off exactly there and nothing else in the folder knows better: see "Torn or damaged" in `docs/formats.md`.
//!
//! `DAMAGE=40 cargo test --release -p gongsuan-ledger --test damage` tries so many places of each file; a few by default.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![expect(clippy::print_stderr, reason = "how much was repaired is worth knowing")]

mod common;

use std::path::{Path, PathBuf};

use common::world::World;
use gongsuan_ledger::{Chain, Options, Retention};
use gongsuan_types::Hash;

const BLOCKS: u64 = 61;

#[derive(Clone, Copy, Debug)]
enum Damage {
    Bit(u64),
    Cut(u64),
    Zeros(u64),
    Gone,
}

fn files(dir: &Path, prefix: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir.join(prefix)).unwrap() {
        let entry = entry.unwrap();
        let name = prefix.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            files(dir, &name, found);
        } else {
            found.push(name);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let mut all = Vec::new();
    files(from, Path::new(""), &mut all);
    for name in all {
        std::fs::create_dir_all(to.join(&name).parent().unwrap()).unwrap();
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

fn apply(path: &Path, damage: Damage) {
    let mut content = std::fs::read(path).unwrap();
    let at = |offset: u64| usize::try_from(offset).unwrap();
    match damage {
        Damage::Bit(offset) => content[at(offset)] ^= 1 << (offset % 8),
        Damage::Cut(size) => content.truncate(at(size)),
        Damage::Zeros(offset) => {
            let end = content.len().min(at(offset) + 512);
            content[at(offset)..end].fill(0);
        }
        Damage::Gone => return std::fs::remove_file(path).unwrap(),
    }
    std::fs::write(path, content).unwrap();
}

/// Places in a file: its ends, and others here and there.
fn places(name: &Path, size: u64, count: u64) -> Vec<u64> {
    let draw = |n: u64| {
        let seed = format!("{} {n}", name.display());
        let bytes = Hash::of_content(seed.as_bytes()).0;
        u64::from_le_bytes(*bytes.first_chunk().unwrap()) % size
    };
    [0, 9.min(size - 1), size - 1].into_iter().chain((3..count).map(draw)).collect()
}

/// How many places of each file to try.
fn asked() -> Option<u64> {
    std::env::var_os("DAMAGE")?.to_str()?.parse().ok()
}

fn damages(name: &Path, size: u64) -> Vec<Damage> {
    let count = asked().unwrap_or(3);
    if size == 0 {
        return vec![Damage::Gone];
    }
    let bits = places(name, size, count).into_iter().map(Damage::Bit);
    let cuts = places(name, size, count / 2 + 2).into_iter().map(Damage::Cut);
    let zeros = places(name, size, count / 2 + 1).into_iter().map(Damage::Zeros);
    bits.chain(cuts).chain(zeros).chain([Damage::Gone]).collect()
}

fn try_all(retention: Retention) {
    let options = Options {
        retention: Some(retention),
        checkpoint_blocks: 8,
        segment_bytes: 9_000,
        tail_txs: 12,
        snapshot_blocks: 0,
    };
    let world = World::new(BLOCKS);
    let (dir, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut chain = Chain::open_with(dir.path(), &world.genesis, options).unwrap();
    world.fill(&mut chain, BLOCKS);
    drop(chain);
    let mut names = Vec::new();
    files(dir.path(), Path::new(""), &mut names);
    names.sort();
    let newest = names.iter().rfind(|name| name.starts_with("blocks")).unwrap();
    let (mut repaired, mut refused, mut forgotten, mut tried) = (0, 0, 0, 0);
    for name in &names {
        let size = std::fs::metadata(dir.path().join(name)).unwrap().len();
        // By default every file gets one or two of them, another kind each.
        let (skip, step) = if asked().is_some() { (0, 1) } else { (tried % 5, 5) };
        tried += 1;
        for (n, damage) in (0..).zip(damages(name, size).into_iter().skip(skip).step_by(step)) {
            let context = format!("{retention}, {damage:?} of {}", name.display());
            let home =
                work.path().join(format!("{}-{n}", name.display().to_string().replace('/', "-")));
            copy(dir.path(), &home);
            apply(&home.join(name), damage);
            match Chain::open_with(&home, &world.genesis, Options { retention: None, ..options }) {
                Err(error) => {
                    assert!(error.to_string().len() > 20, "{context}: {error}");
                    refused += 1;
                }
                Ok(mut chain) => {
                    let head = world.check(&chain, &context);
                    if head < BLOCKS {
                        assert!(
                            name == newest && matches!(damage, Damage::Cut(_) | Damage::Zeros(_)),
                            "{context}: {head} of {BLOCKS} blocks are there"
                        );
                        forgotten += 1;
                    } else {
                        repaired += 1;
                    }
                    world.fill(&mut chain, BLOCKS);
                    drop(chain);
                    let chain = Chain::open(&home, &world.genesis).unwrap();
                    assert_eq!(world.check(&chain, &format!("{context}, again")), BLOCKS);
                }
            }
            std::fs::remove_dir_all(&home).unwrap();
        }
    }
    eprintln!(
        "{retention}: {repaired} repaired, {refused} refused, {forgotten} forgot an end that was cut off"
    );
    assert!(repaired > 5);
    assert!(refused > 5);
}

#[test]
fn a_damaged_archive_is_repaired_or_refused_and_never_wrong() {
    try_all(Retention::Archive);
}

#[test]
fn a_damaged_pruned_folder_is_repaired_or_refused_and_never_wrong() {
    try_all(Retention::Pruned { blocks: 20 });
}
