//! Whichever target this binary is named after: the targets themselves are plain functions in `gongsuan_tests::fuzz`.

#![no_main]

use std::sync::OnceLock;

use gongsuan_tests::fuzz::{Target, target};

static TARGET: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| target(env!("CARGO_BIN_NAME")).expect("a target of this name"));
    (target.judge)(bytes);
});
