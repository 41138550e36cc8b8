//! A bounded share of the chain's simulation. `sim --chain --seeds 0..1000` and `sim --money 0..200` live through many more.

use gongsuan_tests::chain::{COMPANIES, Company, Persona, measure, play};
use gongsuan_tests::sim::{Run, run};

#[test]
fn people_on_a_faulty_network_keep_every_invariant() {
    // Chaos, a calm day, crashes at any byte and a censoring leader; the first eighteen worlds are honest, the next have a lazy provider.
    for seed in [0, 1, 6, 13, 19, 24] {
        let outcome = run(Run { chain: true, ..Run::of(seed) });
        let name = outcome.profile.name();
        assert!(
            outcome.violation.is_none(),
            "sim --chain --seed {seed} --trace ({name}): {:?}",
            outcome.violation
        );
        assert!(outcome.chain.settled > 0, "seed {seed} ({name}): {:?}", outcome.chain);
    }
}

#[test]
fn one_seed_is_one_history_of_people_too() {
    let again = || run(Run { chain: true, ..Run::of(2) });
    let (first, second) = (again(), again());
    assert_eq!((first.hash, first.chain), (second.hash, second.chain));
    assert_ne!(first.hash, run(Run { chain: true, ..Run::of(20) }).hash);
}

#[test]
fn cheating_loses_and_keeping_to_the_protocol_does_not() {
    for company in COMPANIES {
        let (sums, counts) = measure(0..3, company)
            .unwrap_or_else(|(seed, violation)| panic!("{company:?}, seed {seed}: {violation:?}"));
        let cheats: Vec<&Persona> = company.others.iter().filter(|one| !one.is_honest()).collect();
        let together: i128 =
            cheats.iter().filter_map(|one| sums.get(one)).map(|sum| sum.profit).sum();
        assert!(cheats.is_empty() || together < 0, "{company:?} earn {together}: {sums:?}");
        let provider = sums[&Persona::HonestProvider];
        assert!(provider.profit > 0, "{company:?}: honest providers earn {}", provider.profit);
        assert!(counts.settled > 0, "{company:?}: {counts:?}");
    }
}

#[test]
fn a_case_is_decided_although_a_judge_lies() {
    let others = &[Persona::LazyProvider, Persona::LyingJudge];
    let played = play(1, Company { others, certified: false });
    assert_eq!(played.violation, None);
    assert!(played.counts.judged > 0, "{:?}", played.counts);
    assert_eq!(played.counts.judged, played.counts.cases, "{:?}", played.counts);
}
