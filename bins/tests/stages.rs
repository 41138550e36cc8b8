//! Everything that a job file can order, on a network of real processes: maps over files, reductions, iterations, each way to check, and going on after
//! an interruption.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "common/town.rs"]
mod town;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gongsuan_executor::guests::LIFE;
use gongsuan_executor::{EngineKind, METER_VERSION, Program, run_segment};
use gongsuan_market::{DealState, Rules};
use gongsuan_types::job::{Check, JOB_VERSION, JobSpec, Limits, MapInput, Shape};
use gongsuan_types::order::Side;
use gongsuan_types::{DurationMs, Fuel, Hash, OrderId};
use town::{Town, address, json};

/// An example's folder, its job file changed.
fn example(town: &Town, name: &str, folder: &str, changes: &[(&str, &str)]) -> PathBuf {
    let dir = town.path(folder);
    let made =
        town.run("renter", &["job", "init", "--into", dir.to_str().unwrap(), "--example", name]);
    assert_eq!(made.status.code(), Some(0));
    let path = dir.join("job.toml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    let usual = [
        ("vetted = true", "vetted = false"),
        ("fuel_max = 1_000_000_000", "fuel_max = 50_000_000"),
    ];
    for (from, to) in usual.iter().chain(changes) {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    std::fs::write(&path, text).unwrap();
    path
}

fn run(town: &Town, file: &Path, more: &[&str], code: i32) -> (serde_json::Value, PathBuf) {
    let out = file.with_file_name("out");
    let args = ["job", "run", file.to_str().unwrap(), "--json", "--out", out.to_str().unwrap()];
    (json(&town.run("renter", &[&args, more].concat()), code), out)
}

/// The words of all texts, counted without the program that is tested.
fn count(texts: &Path) -> String {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for text in std::fs::read_dir(texts).unwrap() {
        let text = std::fs::read_to_string(text.unwrap().path()).unwrap().to_lowercase();
        for word in text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
    }
    counts.iter().map(|(word, count)| format!("{word} {count}\n")).collect()
}

/// A board so many generations later, in one go, in this process.
fn generations(board: &[u8], generations: u32) -> Vec<u8> {
    let program = Program::load(EngineKind::Wasmi, LIFE).unwrap();
    let spec = JobSpec {
        version: JOB_VERSION,
        module: Hash::of_content(LIFE),
        meter: METER_VERSION,
        args: vec![generations.to_string()],
        shape: Shape::Map { segments: 1, input: MapInput::Shared(Hash::of_content(board)) },
        limits: Limits { fuel: Fuel(4_000_000_000), memory_pages: 256, output_bytes: 1 << 20 },
        seed: Hash::ZERO,
    };
    run_segment(&program, &spec, 0, board).unwrap().output
}

fn bids(town: &Town) -> Vec<OrderId> {
    let page = gongsuan::client::Page {
        account: Some(address("renter")),
        side: Some(Side::Bid),
        ..gongsuan::client::Page::default()
    };
    town.client.orders(&page).unwrap().orders.iter().map(|order| order.id).collect()
}

fn checks(town: &Town, bid: u64) -> Vec<(Check, bool)> {
    let deals = gongsuan::renter::deals_of(&town.client, OrderId(bid)).unwrap();
    let of = |deal: &gongsuan_market::Deal| {
        (deal.terms.check, matches!(deal.state, DealState::Settled { .. }))
    };
    deals.iter().map(of).collect()
}

#[test]
fn a_job_file_orders_stages_and_every_way_to_check_them() {
    let rules = Rules { challenge_window: DurationMs(300), ..Rules::default() };
    let mut town = Town::new(rules);
    town.settle(&["renter", "p1", "p2"], &["p1", "p2"]);
    town.provider("p1", &["--price", "0.10"]);
    town.provider("p2", &["--price", "0.11"]);

    // A map over files, and the counts added up in groups of two: 4, 2, 1 segments.
    let words = example(&town, "words", "words", &[]);
    let expected = count(&words.with_file_name("texts"));
    let (result, out) = run(&town, &words, &[], 0);
    let widths: Vec<u64> = result["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| stage["segments"].as_u64().unwrap())
        .collect();
    assert_eq!((widths, &result["verified"]), (vec![4, 2, 1], &true.into()), "{result}");
    assert_eq!(std::fs::read_to_string(out.join("result")).unwrap(), expected);
    for stage in 0..3 {
        let receipt = out.join(format!("stage-{stage}/receipt.json"));
        let audited = town.run("renter", &["audit", "receipt", receipt.to_str().unwrap()]);
        assert_eq!(audited.status.code(), Some(0), "each stage is proved by itself");
    }

    // Going on with what is there costs nothing and brings the same.
    let before = bids(&town);
    std::fs::remove_dir_all(&out).unwrap();
    run(&town, &words, &["--resume"], 0);
    assert_eq!(std::fs::read_to_string(out.join("result")).unwrap(), expected);
    assert_eq!(bids(&town), before, "nothing was ordered again");

    // Steps of an iteration, the first of them interrupted as soon as it is ordered.
    let life = example(&town, "life", "life", &[("# audit = \"lottery\"", "audit = \"own\"")]);
    let board = std::fs::read(life.with_file_name("board.txt")).unwrap();
    let out = life.with_file_name("out");
    let args = ["job", "run", life.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let mut interrupted = town.command("renter", &args).spawn().unwrap();
    town.wait("the first step's bid", |_| Ok((bids(&town).len() > before.len()).then_some(())));
    interrupted.kill().unwrap();
    interrupted.wait().unwrap();
    let there = bids(&town).len() - before.len();
    let (result, _) = run(&town, &life, &["--resume"], 0);
    assert_eq!(result["stages"].as_array().unwrap().len(), 4);
    assert_eq!(std::fs::read(out.join("result")).unwrap(), generations(&board, 40));
    let all = bids(&town).len() - before.len();
    assert_eq!(all, 4, "{there} of 4 steps were ordered before the interruption, and none twice");

    // Two providers do the same work.
    let copies = example(
        &town,
        "words",
        "copies",
        &[
            ("# copies = 3", "copies = 2"),
            ("[reduce]", "# [reduce]"),
            ("arity = 2", ""),
            ("args = [\"merge\"]", ""),
        ],
    );
    let (result, _) = run(&town, &copies, &[], 0);
    assert_eq!(result["segments"], 4);
    let found = checks(&town, result["bid"].as_u64().unwrap());
    assert_eq!(found, vec![(Check::Quorum { copies: 2 }, true); 2]);

    // A program accepts, and the deal is settled at once; another one refuses, and nothing is paid.
    let one_stage = [("[reduce]", "# [reduce]"), ("arity = 2", ""), ("args = [\"merge\"]", "")];
    let accepts = [&one_stage[..], &[("# predicate = ", "predicate = ")]].concat();
    let accepted = example(&town, "words", "accepted", &accepts);
    let (result, _) = run(&town, &accepted, &[], 0);
    let found = checks(&town, result["bid"].as_u64().unwrap());
    assert!(matches!(found[..], [(Check::Predicate(_), true)]), "{found:?}");
    let refuses = [
        &one_stage[..],
        &[(
            "# predicate = \"accept.wasm\"",
            "predicate = \"program.wasm\"\npredicate_fuel_max = 1000",
        )],
    ]
    .concat();
    let refused = example(&town, "words", "refused", &refuses);
    let (failure, _) = run(&town, &refused, &[], 6);
    assert!(failure["message"].as_str().unwrap().contains("refused an output"), "{failure}");

    // An output that is no input ends the row, by name.
    let unfinished = example(
        &town,
        "words",
        "unfinished",
        &[("# args = [\"merge\"]", "")].map(|_| ("args = []", "args = [\"merge\"]")),
    );
    let (failure, _) = run(&town, &unfinished, &[], 6);
    assert!(
        failure["message"].as_str().unwrap().contains("of stage 0 ended with Exit(2)"),
        "{failure}"
    );
}
