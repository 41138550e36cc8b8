//! What the tests of several files share.

pub(crate) mod spec;

use proptest::prelude::ProptestConfig;

/// So many random cases, or as many as `PROPTEST_CASES` says.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { usual };
    ProptestConfig { cases, ..default }
}
