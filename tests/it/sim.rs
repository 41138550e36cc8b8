//! A bounded share of the simulator. `sim --seeds 0..10000` lives through many more.

use gongsuan_tests::sim::{PROFILES, Run, run};

fn live(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let outcome = run(Run::of(seed));
        assert!(
            outcome.violation.is_none(),
            "sim --seed {seed} --trace ({}): {:?}",
            outcome.profile.name(),
            outcome.violation
        );
    }
}

#[test]
fn every_profile_keeps_every_invariant_first_half() {
    live(0..PROFILES.len() as u64 / 2);
}

#[test]
fn every_profile_keeps_every_invariant_second_half() {
    live(PROFILES.len() as u64 / 2..PROFILES.len() as u64);
}

#[test]
fn one_seed_is_one_history_and_its_lines_change_nothing() {
    for seed in [0, 9, 18] {
        let silent = run(Run::of(seed));
        let told = run(Run { trace: true, ..Run::of(seed) });
        assert_eq!((silent.events, silent.hash), (told.events, told.hash), "seed {seed}");
        assert!(silent.lines.is_empty());
        assert!(told.lines.len() as u64 > told.height);
        assert_eq!(silent.hash, run(Run::of(seed)).hash, "seed {seed}");
        assert_ne!(silent.hash, run(Run::of(seed + 22)).hash);
    }
}

#[test]
fn validators_change_and_snapshots_are_installed_in_these_worlds() {
    let epochs: u64 = [18, 40, 62].map(|seed| run(Run::of(seed)).epoch).iter().sum();
    assert!(epochs > 10, "{epochs} epochs");
    let told = run(Run { trace: true, ..Run::of(17) });
    assert!(told.lines.iter().any(|line| line.contains("install") && line.contains("true")));
}

#[test]
fn two_processes_live_through_the_same_history() {
    let sim = || {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_sim"))
            .args(["--seed", "10", "--trace"])
            .output()
            .expect("sim runs");
        assert!(output.status.success());
        output.stdout
    };
    let (first, second) = (sim(), sim());
    assert!(first.len() > 10_000, "a line for each event");
    assert!(first == second, "the histories differ");
}
