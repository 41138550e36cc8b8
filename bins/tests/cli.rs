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

/// Flags before variables before the file before defaults, and each says where it comes from.
#[test]
fn settings_come_from_the_first_place_that_has_them() {
    let home = tempfile::tempdir().unwrap();
    let show = |args: &[&str], variables: &[(&str, &str)]| {
        let out = Command::new(env!("CARGO_BIN_EXE_gongsuan"))
            .args(["config", "show", "--json"])
            .args(args)
            .current_dir(home.path())
            .env("HOME", home.path())
            .env_remove("GONGSUAN_NODE")
            .env_remove("GONGSUAN_KEY")
            .env_remove("XDG_CONFIG_HOME")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        let value: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        move |name: &str| {
            let all = value["settings"].as_array().unwrap();
            let one = all.iter().find(|one| one["name"] == name).unwrap();
            (one["value"].as_str().unwrap().to_owned(), one["origin"].as_str().unwrap().to_owned())
        }
    };
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(show(&[], &[])("node"), pair("http://127.0.0.1:8080", "default"));
    let folder = home.path().join(".config/gongsuan");
    let written = Command::new(env!("CARGO_BIN_EXE_gongsuan"))
        .args(["config", "init", "--write"])
        .env("HOME", home.path())
        .env_remove("XDG_CONFIG_HOME")
        .status();
    assert!(written.unwrap().success());
    let file = folder.join("config.toml");
    let path = file.to_str().unwrap();
    let template = std::fs::read_to_string(&file).unwrap();
    assert_eq!(show(&[], &[])("node").1, "default", "the template changes nothing");
    let settings = "node = [\"http://127.0.0.1:1\"]\nkey = \"k\"\nretention = \"light\"\n";
    std::fs::write(&file, format!("{template}{settings}")).unwrap();
    let of_file = show(&[], &[]);
    assert_eq!(of_file("node"), pair("http://127.0.0.1:1", path));
    assert_eq!(of_file("key"), pair("k", path));
    assert_eq!(of_file("retention"), pair("light", path));
    let variables = [("GONGSUAN_NODE", "http://127.0.0.1:2"), ("GONGSUAN_RETENTION", "pruned:9")];
    let of_variables = show(&[], &variables);
    assert_eq!(of_variables("node"), pair("http://127.0.0.1:2", "GONGSUAN_NODE"));
    assert_eq!(of_variables("retention"), pair("pruned:9", "GONGSUAN_RETENTION"));
    assert_eq!(of_variables("key"), pair("k", path));
    let of_flags = show(&["--node", "http://127.0.0.1:3", "--key", "f"], &variables);
    assert_eq!(of_flags("node"), pair("http://127.0.0.1:3", "flag"));
    assert_eq!(of_flags("key"), pair("f", "flag"));
    let other = home.path().join("other.toml");
    std::fs::write(&other, "retention = \"archive\"").unwrap();
    let other = other.to_str().unwrap();
    assert_eq!(show(&["--config", other], &[])("retention"), pair("archive", other));
}

#[test]
fn a_new_node_has_a_secret_key_and_keeps_what_its_file_says() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("solo");
    let path = home.to_str().unwrap();
    let init = [
        "node",
        "init",
        "--home",
        path,
        "--name",
        "solo",
        "--solo",
        "--p2p",
        "127.0.0.1:0",
        "--api",
        "127.0.0.1:0",
        "--retention",
        "light",
    ];
    let out = gongsuan(&init);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(text(&out.stdout).starts_with("solo="), "{}", text(&out.stdout));
    for key in ["validator.key", "account.key"] {
        let mode = std::fs::metadata(home.join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let again = gongsuan(&init);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("already"), "{}", text(&again.stderr));
    let node = gongsuan::node::Node::start(&home).unwrap();
    let client = gongsuan::client::Client::new([format!("http://{}", node.api)]);
    let key = gongsuan::node::config::load_key(&home.join("account.key")).unwrap();
    let op = gongsuan_ledger::Op::Transfer {
        to: gongsuan_types::Address::TREASURY,
        amount: gongsuan_types::Amount::new(1),
    };
    client.execute(&key, &[op]).unwrap();
    node.stop();
    let genesis = gongsuan::node::config::load_genesis(&home.join("genesis.json")).unwrap();
    // The replica lets go of the folder when its last thread has ended.
    let chain = loop {
        match gongsuan_ledger::Chain::open(&home, &genesis) {
            Ok(chain) => break chain,
            Err(error) if error.to_string().contains("in use") => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(chain.retention(), gongsuan_ledger::Retention::Light);
    assert!(chain.state().height().0 > 0);
    // A genesis that is put together by hand names the same validator, or the folder refuses it.
    let public = key.public_key().to_string();
    let (validator, account) = (format!("other={public}"), format!("{}=5", key.address()));
    let owner = key.address().to_string();
    let made = gongsuan(&[
        "node",
        "genesis",
        "--name",
        "n",
        "--validator",
        &validator,
        "--account",
        &account,
        "--issuer",
        &owner,
    ]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let file = dir.path().join("genesis.json");
    std::fs::write(&file, &made.stdout).unwrap();
    let other = dir.path().join("other");
    let refused = gongsuan(&[
        "node",
        "init",
        "--home",
        other.to_str().unwrap(),
        "--name",
        "other",
        "--genesis",
        file.to_str().unwrap(),
    ]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("no validator `other`"), "{}", text(&refused.stderr));
}

/// Which machines may do a job is said in its file, and in terms that the file's checks name.
#[test]
fn a_job_can_ask_for_regions_that_exist() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("picture");
    let made = gongsuan(&["job", "init", "--into", into.to_str().unwrap()]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let file = into.join("job.toml");
    let template = std::fs::read_to_string(&file).unwrap();
    let check = |regions: &str| {
        std::fs::write(&file, format!("{template}regions = {regions}\n")).unwrap();
        let out = gongsuan(&["job", "check", file.to_str().unwrap()]);
        (out.status.code(), text(&out.stderr))
    };
    assert_eq!(check("[0, 63]").0, Some(0));
    for (bad, words) in
        [("[64]", "64 is no region"), ("[]", "no machine would fit"), ("[-1]", "regions")]
    {
        let (code, said) = check(bad);
        assert_eq!(code, Some(2), "{bad}");
        assert!(said.contains(words), "{bad}: {said}");
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
