//! A provider that makes its results up: noticed, judged, slashed, and the renter has what it paid for. Then the whole story, proved.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn gongsuan(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gongsuan")).args(args).output().unwrap()
}

fn amount(value: &Value) -> u128 {
    value.as_str().map_or_else(|| value.as_u64().map(u128::from), |text| text.parse().ok()).unwrap()
}

#[test]
fn a_cheat_is_caught_slashed_and_the_renter_is_made_whole() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    let demo = gongsuan(&[
        "demo", "--cheat", "--json", "--keep", "--out", out, "--tiles", "2", "--width", "64",
    ]);
    assert_eq!(demo.status.code(), Some(0), "{}", String::from_utf8_lossy(&demo.stderr));
    let summary: Value = serde_json::from_slice(&demo.stdout).unwrap();
    for field in [
        "caught",
        "renter_made_whole",
        "supply_equal",
        "roots_equal",
        "replay_equal",
        "receipt_valid",
    ] {
        assert_eq!(summary[field], true, "{field}: {summary}");
    }
    assert_eq!(summary["faked"], 4);
    let slashed = summary["slashed"].as_array().unwrap();
    assert!(!slashed.is_empty());
    for one in slashed {
        assert_eq!(one["address"], summary["cheat"], "nobody else is punished");
        assert_eq!(one["reason"], "fraud");
    }
    // Its whole deposit: once the price of the four segments at 4 Gf and 0.09 each.
    let taken: u128 = slashed.iter().map(|one| amount(&one["amount"])).sum();
    assert_eq!(taken, 4 * 4 * 90_000);
    assert_eq!(amount(&summary["compensation"]) * 5, taken, "a fifth of it is the renter's");
    assert!(Path::new(summary["picture"].as_str().unwrap()).exists());
    let folder = Path::new(summary["folder"].as_str().unwrap());
    the_story_is_whole_and_proved(folder, &summary, dir.path());
    std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
}

fn the_story_is_whole_and_proved(folder: &Path, summary: &Value, dir: &Path) {
    let (data, job) = (folder.to_str().unwrap(), summary["order"].to_string());
    let told = gongsuan(&["--json", "audit", "trail", "job", &job, "--data", data]);
    assert_eq!(told.status.code(), Some(0), "{}", String::from_utf8_lossy(&told.stderr));
    let story: Value = serde_json::from_slice(&told.stdout).unwrap();
    let lines = story["events"].as_array().unwrap();
    let said = |part: &str| lines.iter().any(|line| line["what"].as_str().unwrap().contains(part));
    for part in [
        "bid",
        "placed by",
        "meets ask",
        "receipts committed",
        "drawn",
        "case",
        "finds: segment",
        "decided",
        "SLASHED",
        "taken over",
        "got the same",
        "settled",
    ] {
        assert!(said(part), "nothing is said of `{part}`");
    }
    let verdicts = lines.iter().filter(|line| line["verdicts"].is_array()).count();
    assert!(verdicts >= 3, "three validators of four judge, {verdicts} did");
    // Every line names its proof, and each of them holds for somebody who has the genesis alone.
    let genesis = folder.join("genesis.json");
    let mut files = std::collections::BTreeSet::new();
    for line in lines {
        let name = line["proof"].as_str().unwrap();
        assert!(story["proofs"][name].is_object(), "{name}");
        assert!(line["height"].as_u64().unwrap() > 0);
        files.insert(name);
    }
    let file = dir.join("proof.json");
    let name = files.iter().find(|name| name.starts_with("receipt:")).unwrap();
    std::fs::write(&file, story["proofs"][name].to_string()).unwrap();
    let (file, genesis) = (file.to_str().unwrap(), genesis.to_str().unwrap());
    let checked = gongsuan(&["audit", "verify-proof", file, "--genesis", genesis]);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
    let nobody = gongsuan(&["audit", "trail", "job", "77", "--data", data]);
    assert_eq!(nobody.status.code(), Some(3));
}
