//! Every decoder on its corpus and on some mutants of it. More of them: the binary `fuzz`.

use gongsuan_tests::fuzz::{Runner, read_corpus, targets};

/// Mutants of each target, unless `FUZZ_MUTANTS` says otherwise.
const MUTANTS: u64 = 300;

/// The peak of memory is of the whole process, so the targets run one after another.
#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

fn peak(call: &mut dyn FnMut()) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    call();
    MEMORY.peak_usage().saturating_sub(before)
}

#[test]
fn every_decoder_keeps_its_promises() {
    let asked = std::env::var("FUZZ_MUTANTS").ok().and_then(|count| count.parse().ok());
    for target in targets() {
        let corpus = read_corpus(&target).unwrap_or_default();
        assert!(
            !corpus.is_empty(),
            "{target:?} has no seeds: run the binary `fuzz` with --write-corpus"
        );
        // What is made once is not an input's.
        let _made = (target.judge)(&corpus[0]);
        let mut runner = Runner::new(target, corpus, 1).measured(&peak);
        let result = runner.corpus();
        let accepted = runner.report().accepted;
        // The keys off the curve and the strangers' handshakes are good inputs, too.
        assert!(
            accepted > 0 || target.name == "link-handshake",
            "{target:?} accepts none of its seeds"
        );
        let result = result.and_then(|()| runner.mutants(asked.unwrap_or(MUTANTS)));
        if let Err(failure) = result {
            let bytes: String = failure.input.iter().map(|byte| format!("{byte:02x}")).collect();
            panic!("{}: {}\ninput: {bytes}", failure.target, failure.message);
        }
    }
}

/// The package for cargo-fuzz names every target.
#[test]
fn the_package_for_libfuzzer_has_every_target() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/Cargo.toml");
    let manifest: toml::Table =
        toml::from_str(&std::fs::read_to_string(path).expect("fuzz/Cargo.toml")).expect("TOML");
    let mut listed: Vec<&str> = manifest["bin"]
        .as_array()
        .expect("binaries")
        .iter()
        .filter_map(|bin| bin["name"].as_str())
        .collect();
    let mut here: Vec<&str> = targets().iter().map(|target| target.name).collect();
    listed.sort_unstable();
    here.sort_unstable();
    assert_eq!(listed, here);
}
