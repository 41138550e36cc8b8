//! `gongsuan-bench`: how fast the parts are on this machine. Prints JSON with `--json`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark shows its figures")]
#![expect(clippy::float_arithmetic, reason = "statistics for people; nothing here is agreed upon")]

mod consensus;

use std::process::ExitCode;
use std::time::Instant;

use gongsuan_types::{Hash, SecretKey};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    match args.first().map(String::as_str) {
        Some("verify") => verify(rest.iter().any(|arg| arg == "--json")),
        Some("consensus") => consensus::main(rest),
        // What `consensus` starts for each replica.
        Some("consensus-replica") => consensus::replica(rest.first().map_or("", String::as_str)),
        _ => {
            eprintln!("usage: gongsuan-bench verify|consensus [--json] [--help]");
            ExitCode::from(2)
        }
    }
}

fn verify(json: bool) -> ExitCode {
    let count: u32 = 2_000;
    let key = SecretKey::from_seed(b"bench");
    let digests: Vec<Hash> = (0..count).map(|n| Hash::of_content(&n.to_le_bytes())).collect();
    let signatures: Vec<_> = digests.iter().map(|digest| key.sign(digest)).collect();
    let public = key.public_key();
    let started = Instant::now();
    let good = digests.iter().zip(&signatures).filter(|(d, s)| public.verify(d, s).is_ok()).count();
    let nanos = started.elapsed().as_nanos().max(1);
    let per_second = u128::from(count) * 1_000_000_000 / nanos;
    if json {
        println!(
            "{{\"schema\":\"gongsuan/bench/v1\",\"seed\":0,\"rows\":[{{\"name\":\"k256\",\"batch\":1,\"per_second\":{per_second},\"verified\":{good}}}]}}"
        );
    } else {
        println!("k256 single verification: {per_second} per second ({good} of {count} good)");
    }
    ExitCode::SUCCESS
}
