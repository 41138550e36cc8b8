//! The command line as scripts see it, through the built binary.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on panics"
)]

use std::process::{Command, Output};

fn gongsuan(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gongsuan"))
        .args(args)
        .env_remove("GONGSUAN_NODE")
        .env_remove("GONGSUAN_KEY")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn wrong_usage_is_exit_2_and_names_what_was_wrong() {
    for (args, words) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["demo", "--seed", "x"], "--seed"),
        (&["account", "show", "gs1nonsense"], "bech32m"),
        (&["transfer", "gs1nonsense", "1"], "bech32m"),
        (&["market", "book", "giga-fuel/mips"], "giga-fuel/mips"),
        (&["cluster", "kill"], "ID"),
        (&["node", "run", "--home", "/nonexistent"], "node.toml"),
        (&["job", "check", "/nonexistent.toml"], "/nonexistent.toml"),
    ] {
        let out = gongsuan(args);
        assert_eq!(out.status.code(), Some(2), "{args:?}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains(words), "{args:?}: {}", text(&out.stderr));
        assert!(out.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn an_unreachable_node_is_exit_8_and_says_what_to_do() {
    let out = gongsuan(&["--node", "http://127.0.0.1:1", "audit", "supply"]);
    assert_eq!(out.status.code(), Some(8));
    assert!(text(&out.stderr).contains("cluster up"), "{}", text(&out.stderr));
    let out = gongsuan(&["--json", "--node", "http://127.0.0.1:1", "audit", "supply"]);
    let error: serde_json::Value = serde_json::from_slice(&out.stderr).unwrap();
    assert_eq!(
        (error["schema"].as_str(), error["exit"].as_u64()),
        (Some("gongsuan/error/v1"), Some(8))
    );
}

#[test]
fn every_command_has_help() {
    let commands = [
        "demo", "cluster", "node", "account", "transfer", "permit", "job", "provider", "market",
        "audit",
    ];
    for command in commands {
        let out = gongsuan(&[command, "--help"]);
        assert_eq!(out.status.code(), Some(0), "{command}");
        assert!(text(&out.stdout).contains("Usage"), "{command}");
    }
}

#[test]
fn a_job_file_is_checked_without_a_network() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("job.toml");
    std::fs::write(dir.path().join("program.wasm"), gongsuan_executor::guests::RAYTRACE).unwrap();
    std::fs::write(dir.path().join("input.bin"), b"1").unwrap();
    let template = text(&gongsuan(&["job", "init"]).stdout);
    std::fs::write(&file, &template).unwrap();
    let path = file.to_str().unwrap();
    let out = gongsuan(&["--json", "job", "check", path]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let checked: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((checked["segments"].as_u64(), checked["units"].as_u64()), (Some(8), Some(8)));
    for (from, to, words) in [
        ("segments = 8", "segments = 0", "segments"),
        ("fuel_max = 1_000_000_000", "fuel_max = 5_000_000_000", "limits.fuel"),
        ("vetted", "veted", "veted"),
        ("price_max = \"0.2\"", "price_max = \"-1\"", "price_max"),
        ("program.wasm", "other.wasm", "other.wasm"),
        ("program.wasm", "input.bin", "input.bin"),
    ] {
        std::fs::write(&file, template.replacen(from, to, 1)).unwrap();
        let out = gongsuan(&["job", "check", path]);
        assert_eq!(out.status.code(), Some(2), "{to}");
        assert!(text(&out.stderr).contains(words), "{to}: {}", text(&out.stderr));
    }
}

/// The whole deal with real processes, small: sixteen tiles of a tiny picture. Then the receipt: valid as written, and every change of
/// it is found.
#[test]
fn a_small_demo_holds_and_its_receipt_cannot_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    let demo = gongsuan(&["demo", "--json", "--out", out, "--tiles", "4", "--width", "64"]);
    assert_eq!(demo.status.code(), Some(0), "{}", text(&demo.stderr));
    let summary: serde_json::Value = serde_json::from_slice(&demo.stdout).unwrap();
    for field in ["supply_equal", "roots_equal", "replay_equal", "receipt_valid"] {
        assert_eq!(summary[field], true, "{field}");
    }
    assert_eq!(summary["segments"], 16);
    let path = dir.path().join("receipt.json");
    let receipt: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let check = |value: &serde_json::Value| {
        std::fs::write(&path, value.to_string()).unwrap();
        gongsuan(&["audit", "receipt", path.to_str().unwrap()]).status.code()
    };
    assert_eq!(check(&receipt), Some(0));
    let pointers = [
        "/schema",
        "/bid",
        "/genesis/validators/0/key",
        "/deals/0/record/id",
        "/deals/0/record/proof",
        "/deals/0/record/shows/record/terms/price",
        "/deals/1/record/shows/record/state/settled/paid",
        "/deals/0/receipts/0/fuel",
        "/deals/0/receipts/1/output",
    ];
    for pointer in pointers {
        let mut changed = receipt.clone();
        let value = changed.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        *value = match value.clone() {
            serde_json::Value::Number(number) => (number.as_u64().unwrap() + 1).into(),
            serde_json::Value::String(mut word) => {
                let last = if word.ends_with('0') { "1" } else { "0" };
                word.replace_range(word.len() - 1.., last);
                word.into()
            }
            other => panic!("{pointer} is {other}"),
        };
        let code = check(&changed);
        assert!(code == Some(7) || code == Some(2), "{pointer}: {code:?}");
    }
}
