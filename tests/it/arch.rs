//! The dependency direction and the shape of the house, as tests.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Crate → the crates of the workspace that it may name.
const ALLOWED: &[(&str, &[&str])] = &[
    ("gongsuan-types", &[]),
    ("gongsuan-journal", &[]),
    ("gongsuan-market", &["gongsuan-types"]),
    ("gongsuan-consensus", &["gongsuan-types"]),
    ("gongsuan-executor", &["gongsuan-types", "gongsuan-executor-cache"]),
    ("gongsuan-executor-cache", &[]),
    ("gongsuan-ledger", &["gongsuan-types", "gongsuan-journal", "gongsuan-market"]),
    (
        "gongsuan",
        &[
            "gongsuan-types",
            "gongsuan-journal",
            "gongsuan-market",
            "gongsuan-consensus",
            "gongsuan-executor",
            "gongsuan-ledger",
        ],
    ),
];

/// Outside crate → the crates that may name it. Others must not, so that sockets, clocks and stores stay where they are.
const OWNED: &[(&str, &[&str])] = &[
    ("sled", &["gongsuan-ledger"]),
    ("crc32c", &["gongsuan-journal", "gongsuan-ledger"]),
    ("rayon", &["gongsuan-market", "gongsuan-ledger", "gongsuan-executor", "gongsuan"]),
    ("tokio", &["gongsuan"]),
    ("axum", &["gongsuan"]),
    ("snow", &["gongsuan"]),
    ("anyhow", &["gongsuan"]),
    ("wasmtime", &["gongsuan-executor", "gongsuan-executor-cache"]),
    ("wasmi", &["gongsuan-executor"]),
];

fn packages() -> Vec<serde_json::Value> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .output()
        .expect("cargo runs");
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).expect("metadata is JSON");
    json["packages"].as_array().expect("packages").clone()
}

fn normal_dependencies(package: &serde_json::Value) -> Vec<String> {
    package["dependencies"]
        .as_array()
        .expect("dependencies")
        .iter()
        .filter(|dep| dep["kind"].is_null())
        .map(|dep| dep["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn dependencies_point_down() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut seen = 0;
    for package in packages() {
        let name = package["name"].as_str().expect("a name").to_owned();
        let Some(may) = allowed.get(name.as_str()) else {
            assert!(
                ["gongsuan-tests", "gongsuan-benches"].contains(&name.as_str()),
                "{name} is new: say in this table what it may depend on"
            );
            continue;
        };
        seen += 1;
        for dep in normal_dependencies(&package) {
            if dep.starts_with("gongsuan") {
                assert!(may.contains(&dep.as_str()), "{name} must not depend on {dep}");
            }
            if let Some((_, owners)) = OWNED.iter().find(|(outside, _)| *outside == dep) {
                assert!(owners.contains(&name.as_str()), "{dep} belongs to {owners:?}, not {name}");
            }
        }
    }
    assert_eq!(seen, ALLOWED.len(), "a crate of the table is missing from the workspace");
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for package in packages() {
        let manifest = package["manifest_path"].as_str().expect("a path");
        let text = std::fs::read_to_string(manifest).expect("a manifest");
        let takes_them = text.contains("[lints]\nworkspace = true");
        assert!(takes_them || package["name"] == UNSAFE, "{manifest} has lints of its own");
    }
}

/// The one crate that may hold an unsafe call, so that all others can forbid it.
const UNSAFE: &str = "gongsuan-executor-cache";

#[test]
fn one_crate_has_one_unsafe_call() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../executor/cache");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("a manifest");
    assert!(
        manifest.contains("unsafe_code = \"deny\""),
        "unsafe is denied but where it is allowed"
    );
    let sources = std::fs::read_dir(root.join("src")).expect("a folder");
    let count: usize = sources
        .map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a source"))
        .map(|text| text.matches("unsafe {").count() + text.matches("unsafe fn").count())
        .sum();
    assert_eq!(count, 1);
}

#[test]
fn the_crates_that_replicas_must_agree_on_forbid_clocks_and_hash_maps() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for crate_dir in ["ledger/types", "ledger/journal", "ledger", "market", "consensus"] {
        let text =
            std::fs::read_to_string(root.join(crate_dir).join("clippy.toml")).expect("a file");
        for word in ["HashMap", "HashSet", "Instant", "SystemTime", "std::thread::spawn"] {
            assert!(text.contains(word), "{crate_dir}/clippy.toml does not forbid {word}");
        }
    }
}
