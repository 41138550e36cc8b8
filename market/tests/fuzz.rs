//! The fuzz target on its corpus, and on inputs of its own: `PROPTEST_CASES=100000 cargo test -p gongsuan-market --test fuzz --release`.

mod support;
#[path = "../../tests/src/fuzz/market.rs"]
#[expect(unreachable_pub, reason = "it is public where fuzzers call it")]
mod target;

use proptest::prelude::*;
use support::cases;

#[test]
fn the_corpus_runs() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpus/market");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let path = entry.expect("a readable folder").path();
        target::run(&std::fs::read(path).expect("a readable file"));
        count += 1;
    }
    assert!(count >= 8, "the corpus has {count} inputs");
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn random_bytes_run(data in prop::collection::vec(any::<u8>(), 0..600)) {
        target::run(&data);
    }
}
