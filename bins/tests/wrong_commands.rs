//! Ten wrong command lines for every command, and more: each is refused with a code and words, none panics, none writes to standard output.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Command, Stdio};

/// A command, an argument list that is right as far as the command line can tell, and what else is wrong with it in its own way.
struct Row(&'static str, &'static [&'static str], &'static [&'static [&'static str]]);

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:1";
const ADDRESS: &str = "gs1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq8m9w6q";

const TABLE: &[Row] = &[
    Row(
        "demo",
        &["--seed", "x"],
        &[
            &["--seed", "-1"],
            &["--seed", ""],
            &["--tiles", "1"],
            &["--width", "9999999"],
            &["--out"],
        ],
    ),
    Row(
        "cluster up",
        &["4", "--dir", "/proc/nowhere"],
        &[&["0"], &["33"], &["-1"], &["four"], &["4.5"]],
    ),
    Row("cluster down", &["--dir", "/nonexistent"], &[&["--purge=maybe"], &["--dir"], &["all"]]),
    Row("cluster status", &["--dir", "/nonexistent"], &[&["--dir"], &["0"]]),
    Row(
        "cluster kill",
        &["0", "--dir", "/nonexistent"],
        &[&["-1"], &["v0"], &["99999999999999999999"], &[""]],
    ),
    Row(
        "cluster start",
        &["0", "--dir", "/nonexistent"],
        &[&["-1"], &["v0"], &["99999999999999999999"], &[""]],
    ),
    Row(
        "cluster partition",
        &["0", "1", "--dir", "/nonexistent"],
        &[&["0"], &["a", "b"], &["0", "1", "--heal"], &["0", "1", "--seconds", "0"]],
    ),
    Row(
        "cluster slow",
        &["--dir", "/nonexistent"],
        &[&["--delay-ms", "-1"], &["--loss-percent", "101"], &["fast"]],
    ),
    Row(
        "cluster wait",
        &["1", "--dir", "/nonexistent"],
        &[&["-1"], &["soon"], &["18446744073709551616"]],
    ),
    Row("cluster check", &["--dir", "/nonexistent"], &[&["--dir"], &["1"]]),
    Row(
        "node init",
        &["--home", "/proc/nowhere", "--name", "a"],
        &[
            &["--home", "/tmp"],
            &["--name", "a"],
            &["--home", "/proc/x", "--name", "a", "--api", "127.0.0.1:70000"],
            &["--home", "/proc/x", "--name", "a", "--peer", "b"],
            &["--home", "/proc/x", "--name", "a", "--retention", "pruned:-1"],
            &["--home", "/proc/x", "--name", "a", "--solo", "--genesis", "x"],
        ],
    ),
    Row(
        "node genesis",
        &["--name", "n", "--validator", "a=00", "--account", "x=1", "--issuer", ADDRESS],
        &[
            &["--name", "n"],
            &["--name", "n", "--validator", "a", "--account", "b", "--issuer", "c"],
        ],
    ),
    Row(
        "node run",
        &["--home", "/nonexistent"],
        &[
            &["--home"],
            &["--home", "/nonexistent", "--retention", "some"],
            &["--home", "/etc/passwd"],
        ],
    ),
    Row(
        "account new",
        &["/nonexistent/key.json", "--unsafe-password", "x"],
        &[
            &[],
            &["/nonexistent/key.json", "--unsafe-password", ""],
            &["/proc/version", "--unsafe-password", "x"],
        ],
    ),
    Row(
        "account import",
        &["/nonexistent/key.json", "--unsafe-password", "x"],
        &[&[], &["a", "b"]],
    ),
    Row("account export", &["/nonexistent/key.json"], &[&[], &["/etc/passwd"], &["/dev/null"]]),
    Row("account list", &["/nonexistent"], &[&["/etc/passwd"], &["a", "b"]]),
    Row("account show", &[ADDRESS], &[&["gs1"], &["bc1qqqqqq"], &["gs1nonsense"], &[""]]),
    Row("account key show", &[ADDRESS], &[&["gs1"], &["bc1qqqqqq"], &[ADDRESS, ADDRESS], &[""]]),
    Row("job deletions", &["4"], &[&["x"], &["-1"], &["4", "5"], &[""]]),
    Row("account payouts", &["--key", "/nonexistent"], &[&["now"], &["4"], &[""]]),
    Row(
        "account payout",
        &["4", "/nonexistent/file", "--key", "/nonexistent"],
        &[&["x", "f"], &["4"], &["-1", "f"]],
    ),
    Row("account key rotate", &["--key", "/nonexistent"], &[&["now"], &["--number", "1"], &[""]]),
    Row(
        "transfer",
        &[ADDRESS, "1"],
        &[
            &[ADDRESS],
            &[ADDRESS, "-1"],
            &[ADDRESS, "1e3"],
            &[ADDRESS, "NaN"],
            &[ADDRESS, "1.0000001"],
            &["gs1x", "1"],
        ],
    ),
    Row(
        "permit grant",
        &[ADDRESS, "provider"],
        &[
            &[ADDRESS, "king"],
            &[ADDRESS, "provider", "--days", "0"],
            &[ADDRESS, "provider", "--days", "367"],
            &["gs1x", "provider"],
        ],
    ),
    Row(
        "permit revoke",
        &[ADDRESS, "provider"],
        &[&[ADDRESS, "king"], &["gs1x", "provider"], &[ADDRESS]],
    ),
    Row("permit list", &[ADDRESS], &[&["gs1x"], &[]]),
    Row(
        "job init",
        &["--out", "x"],
        &[&["render"], &["--into"], &["--into", "/proc/nowhere"], &["--json=no"]],
    ),
    Row("job check", &["/nonexistent.toml"], &[&[], &["/"], &["/dev/null"], &["/proc/version"]]),
    Row("job quote", &["/nonexistent.toml"], &[&[], &["/"], &["/dev/null"], &["/proc/version"]]),
    Row(
        "job run",
        &["/nonexistent.toml"],
        &[&[], &["/"], &["/dev/null"], &["/nonexistent.toml", "--out"]],
    ),
    Row("job list", &[], &[&["4"], &["--closed"]]),
    Row("job status", &["4"], &[&["-4"], &["four"], &["18446744073709551616"], &[]]),
    Row("job stop", &["4"], &[&["-4"], &["four"], &["18446744073709551616"], &[]]),
    Row(
        "job rate",
        &["4", "5"],
        &[
            &["4"],
            &["4", "0"],
            &["4", "6"],
            &["4", "five"],
            &["4", "5", "--deal", "x"],
            &["-4", "5"],
        ],
    ),
    Row("job fetch", &["4"], &[&["-4"], &["four"], &["4", "--out"], &[]]),
    Row(
        "lease order",
        &["--cores", "1", "--seconds", "60", "--max-price", "0.1"],
        &[
            &["--cores", "0", "--seconds", "60", "--max-price", "0.1"],
            &["--cores", "1", "--seconds", "0", "--max-price", "0.1"],
            &["--cores", "1", "--seconds", "60", "--max-price", "-1"],
            &["--cores", "1", "--seconds", "60"],
            &["--cores", "1", "--seconds", "60", "--max-price", "0.1", "--witness", "me"],
            &["--cores", "1", "--seconds", "60", "--max-price", "0.1", "--interval", "3601"],
            &[
                "--cores",
                "1",
                "--seconds",
                "86400",
                "--max-price",
                "0.1",
                "--interval",
                "1",
                "--witness",
                "renter",
            ],
            &["--cores", "1", "--seconds", "60", "--max-price", "0.1", "--region", "64"],
        ],
    ),
    Row("lease keep", &["4"], &[&["-4"], &["four"], &["18446744073709551616"], &[]]),
    Row(
        "lease submit",
        &["4", "/nonexistent.toml"],
        &[
            &["4"],
            &["four", "/nonexistent.toml"],
            &["4", "/dev/null"],
            &["4", "/nonexistent.toml", "--check", "-1"],
        ],
    ),
    Row("lease list", &[], &[&["4"], &["--closed"]]),
    Row("lease status", &["4"], &[&["-4"], &["four"], &["18446744073709551616"], &[]]),
    Row("lease stop", &["4"], &[&["-4"], &["four"], &["18446744073709551616"], &[]]),
    Row(
        "provider join",
        &[],
        &[
            &["--price", "-1"],
            &["--price", "free"],
            &["--units", "-1"],
            &["--units", "many"],
            &["--region", "64"],
            &["--memory-mib", "4294967296"],
        ],
    ),
    Row(
        "provider run",
        &[],
        &[
            &["--workers", "-1"],
            &["--workers", "many"],
            &["--price", "0.0000001"],
            &["--region", "x"],
            &["--backend", "cloud"],
            &["--lease-cores", "-1"],
            &["--lease-cores", "65535"],
            &["--lease-price", "free"],
            &["--lease-seconds", "0"],
            &["--backend", "slurm", "--pilot-memory-mib", "-1"],
        ],
    ),
    Row(
        "run-job",
        &["--spool", "/nonexistent", "--key-file", "/nonexistent"],
        &[
            &[],
            &["--spool", "/nonexistent"],
            &["--spool", "/nonexistent", "--key-file", "/dev/null"],
            &["--spool", "/nonexistent", "--engine", "jvm"],
            &["--spool", "/nonexistent", "--orphan-seconds", "soon"],
        ],
    ),
    Row("provider status", &[], &[&["4"], &["--all"]]),
    Row("provider doctor", &["--config", "/nonexistent.toml"], &[&["now"], &["--fix"]]),
    Row(
        "market book",
        &["giga-fuel/wasm"],
        &[&["giga-fuel"], &["giga-fuel/mips"], &["giga-fuel/wasm/gpu70000"], &["/"], &[""]],
    ),
    Row("market orders", &[], &[&["4"], &["--all"]]),
    Row("market why", &["4"], &[&["-4"], &["four"], &[], &["4", "5"]]),
    Row(
        "audit replay",
        &["--data", "/nonexistent"],
        &[&["--genesis", "x"], &["--data"], &["--data", "/etc/passwd"]],
    ),
    Row(
        "audit supply",
        &["--data", "/nonexistent"],
        &[&["--genesis", "x"], &["--data"], &["--data", "/etc/passwd"]],
    ),
    Row(
        "audit trail",
        &["1", "--data", "/nonexistent"],
        &[&["-1"], &["deal"], &["gs1x"], &["job"], &["job", "x"], &["job", "1", "2"], &[]],
    ),
    Row(
        "audit watch",
        &["--key", "/nonexistent"],
        &[&["--segments", "0"], &["--segments", "65"], &["--segments"], &["1"]],
    ),
    Row(
        "audit receipt",
        &["/nonexistent.json"],
        &[&[], &["/dev/null"], &["/etc/passwd"], &["/nonexistent.json", "--chain", "00"]],
    ),
    Row(
        "audit prove",
        &["deal", "1", "--data", "/nonexistent"],
        &[&["deal"], &["town", "1"], &["deal", "x"], &["hold", "1"]],
    ),
    Row(
        "audit verify-proof",
        &["/nonexistent.json", "--genesis", "/nonexistent"],
        &[
            &["x"],
            &["/dev/null", "--genesis", "/dev/null"],
            &["x", "--genesis", "a", "--checkpoint", "b"],
        ],
    ),
    Row(
        "audit export",
        &["deals", "--data", "/nonexistent"],
        &[
            &["towns"],
            &["deals", "--every", "0"],
            &["deals", "--format", "xml"],
            &["deals", "--first", "-1"],
        ],
    ),
    Row(
        "config show",
        &["--config", "/nonexistent.toml"],
        &[&["node"], &["--config", "/"], &["--config", "/etc/passwd"]],
    ),
    Row(
        "config init",
        &["--config", "/nonexistent.toml"],
        &[&["here"], &["--write=maybe"], &["--config", "/proc/version", "--write"]],
    ),
    Row("openapi", &["--yaml"], &[&["v1"]]),
    Row("completions", &["tcsh"], &[&[], &["bash", "zsh"], &[""]]),
    Row("man", &["--dir", "/proc/nowhere"], &[&["--dir"], &["1"]]),
];

/// Wrong in the same ways for all.
fn common(right: &[OsString]) -> Vec<Vec<OsString>> {
    let with = |more: &[&str]| {
        right.iter().cloned().chain(more.iter().map(OsString::from)).collect::<Vec<_>>()
    };
    let not_text = OsString::from_vec(vec![0xff, 0xfe, b'/']);
    let mut all = vec![
        right.to_vec(),
        with(&["--frobnicate"]),
        with(&["--node"]),
        with(&["--key"]),
        with(&["one", "two", "three", "four"]),
        with(&["--frobnicate="]),
        with(&["-Z"]),
    ];
    for flag in ["--frob", "--nod"] {
        all.push(with(&[flag, &"9".repeat(5_000)]));
    }
    let mut bad = right.to_vec();
    bad.extend([OsString::from("--frobnicate"), not_text]);
    all.push(bad);
    all
}

#[test]
fn wrong_command_lines_are_refused_in_words() {
    let mut known: Vec<&str> = TABLE.iter().map(|row| row.0).collect();
    known.sort_unstable();
    let mut all = gongsuan::cli::commands();
    all.sort();
    assert_eq!(known, all, "every command has its row");
    let home = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    for Row(path, right, own) in TABLE {
        let words: Vec<OsString> = path.split(' ').map(OsString::from).collect();
        let base: Vec<OsString> =
            words.iter().cloned().chain(right.iter().map(OsString::from)).collect();
        let mut lines = common(&base);
        lines
            .extend(own.iter().map(|more| {
                words.iter().cloned().chain(more.iter().map(OsString::from)).collect()
            }));
        assert!(lines.len() >= 10, "{path}: {}", lines.len());
        for line in lines {
            let out = Command::new(env!("CARGO_BIN_EXE_gongsuan"))
                .args(&line)
                .current_dir(home.path())
                .env("HOME", home.path())
                .env("GONGSUAN_NODE", NOBODY)
                .env_remove("GONGSUAN_KEY")
                .env_remove("XDG_CONFIG_HOME")
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&out.stderr);
            let code = out.status.code();
            let is_refused = code.is_some_and(|code| (1..=8).contains(&code));
            if !is_refused
                || said.trim().is_empty()
                || said.contains("panicked")
                || !out.stdout.is_empty()
            {
                let shown: Vec<String> = line
                    .iter()
                    .map(|word| word.to_string_lossy().chars().take(40).collect())
                    .collect();
                failures.push(format!(
                    "{shown:?}: {code:?}, {} bytes of output: {}",
                    out.stdout.len(),
                    said.chars().take(300).collect::<String>()
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "something was left behind");
}
