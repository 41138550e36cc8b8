//! Percentiles, and what processes cost.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use gongsuan_types::{Hash, SecretKey};

/// Percentiles 50, 99 and 99.9 of sorted numbers; zeros if there are none.
pub(super) fn percentiles(sorted: &[u64]) -> [u64; 3] {
    [500, 990, 999].map(|per_mille: usize| {
        let index = (sorted.len() * per_mille / 1_000).min(sorted.len().saturating_sub(1));
        sorted.get(index).copied().unwrap_or(0)
    })
}

/// Nanoseconds of CPU time of a process so far, by the name of its threads.
pub(super) fn cpu_by_thread(process: u32) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    for task in tasks {
        if let Some((name, nanos)) = cpu_of(&task.path()) {
            *sum.entry(name).or_insert(0) += nanos;
        }
    }
    sum
}

fn cpu_of(task: &Path) -> Option<(String, u64)> {
    let name = std::fs::read_to_string(task.join("comm")).ok()?.trim().to_owned();
    let stat = std::fs::read_to_string(task.join("schedstat")).ok()?;
    let nanos = stat.split_whitespace().next()?.parse().ok()?;
    // Threads of one kind are counted together.
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').to_owned();
    Some((name, nanos))
}

/// Load average of the last minute.
pub(super) fn machine_load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

/// How many signatures one thread verifies per second at this moment: on a machine that others use too, figures mean
/// little without it.
pub(super) fn verifications_per_second() -> u64 {
    const COUNT: u128 = 1_000;
    let (key, digest) = (SecretKey::from_seed(b"speed"), Hash::of_content(b"speed"));
    let (public, signature) = (key.public_key(), key.sign(&digest));
    let started = Instant::now();
    let good = (0..COUNT).filter(|_| public.verify(&digest, &signature).is_ok()).count();
    let nanos = started.elapsed().as_nanos().max(1);
    u64::try_from(good as u128 * 1_000_000_000 / nanos).unwrap_or(0)
}
