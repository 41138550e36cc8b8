//! `gongsuan-bench verify`: signatures.

use std::time::Instant;

use clap::Args;
use gongsuan_types::{Hash, SecretKey};

/// Options of `verify`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `verify`.
pub(crate) fn run(options: &Options) {
    let count: u32 = 2_000;
    let key = SecretKey::from_seed(b"bench");
    let digests: Vec<Hash> = (0..count).map(|n| Hash::of_content(&n.to_le_bytes())).collect();
    let signatures: Vec<_> = digests.iter().map(|digest| key.sign(digest)).collect();
    let public = key.public_key();
    let started = Instant::now();
    let good = digests.iter().zip(&signatures).filter(|(d, s)| public.verify(d, s).is_ok()).count();
    let nanos = started.elapsed().as_nanos().max(1);
    let per_second = u128::from(count) * 1_000_000_000 / nanos;
    if options.json {
        let per_second = u64::try_from(per_second).unwrap_or(u64::MAX);
        let report = serde_json::json!({
            "schema": "gongsuan/bench/v1", "seed": 0,
            "rows": [{ "name": "k256", "batch": 1, "per_second": per_second, "verified": good }],
        });
        crate::data(&report.to_string());
    } else {
        crate::data(&format!(
            "k256 single verification: {per_second} per second ({good} of {count} good)"
        ));
    }
}
