//! Examples for every `--help`. A test reads them as the command line would.

use clap::Command;

/// A command and what people do with it.
const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "demo",
        &["demo", "demo --seed 7 --out pictures", "demo --serve", "demo --cheat", "demo --json"],
    ),
    ("cluster up", &["cluster up", "cluster up 7 --dir /tmp/net", "cluster up --wire"]),
    ("cluster down", &["cluster down", "cluster down --purge"]),
    ("cluster status", &["cluster status", "cluster status --json"]),
    ("cluster kill", &["cluster kill 2"]),
    ("cluster start", &["cluster start 2"]),
    (
        "cluster partition",
        &[
            "cluster partition 0,1 2,3",
            "cluster partition 0 1,2,3 --one-way --seconds 10",
            "cluster partition --heal",
        ],
    ),
    (
        "cluster slow",
        &["cluster slow --delay-ms 50 --jitter-ms 20 --loss-percent 5", "cluster slow"],
    ),
    ("cluster wait", &["cluster wait 100"]),
    ("cluster check", &["cluster check"]),
    (
        "node init",
        &["node init --home alice --name alice", "node init --home solo --name solo --solo"],
    ),
    (
        "node genesis",
        &[
            "node genesis --name testnet --validator alice=PUBLIC_KEY --account ADDRESS=1000000 --issuer ADDRESS",
        ],
    ),
    ("node run", &["node run --home solo", "node run --home solo --retention pruned:100000"]),
    ("account new", &["account new renter.json"]),
    ("account import", &["account import renter.json < secret.hex"]),
    ("account export", &["account export renter.json"]),
    ("account list", &["account list keys"]),
    ("account key show", &["account key show", "account key show ADDRESS"]),
    ("account key rotate", &["account key rotate --key renter.json"]),
    ("account payouts", &["account payouts --key provider.json"]),
    ("account payout", &["account payout 4 payout-4.json --key provider.json"]),
    ("account show", &["account show", "account show ADDRESS"]),
    ("transfer", &["transfer ADDRESS 12.5 --key .cluster/faucet.key"]),
    ("permit grant", &["permit grant ADDRESS provider --days 365 --key .cluster/faucet.key"]),
    ("permit revoke", &["permit revoke ADDRESS provider --key .cluster/faucet.key"]),
    ("permit list", &["permit list ADDRESS"]),
    (
        "job init",
        &[
            "job init > job.toml",
            "job init --into picture",
            "job init --into words --example words",
        ],
    ),
    ("job check", &["job check job.toml"]),
    ("job quote", &["job quote job.toml"]),
    (
        "job run",
        &[
            "job run job.toml --key renter.json",
            "job run job.toml --out results --json",
            "job run job.toml --resume",
        ],
    ),
    ("job list", &["job list --key renter.json", "job list --open"]),
    ("job status", &["job status 4"]),
    ("job stop", &["job stop 4 --key renter.json"]),
    ("job deletions", &["job deletions 4"]),
    ("job rate", &["job rate 4 5 --key renter.json", "job rate 4 2 --deal 7 --comment late"]),
    ("job fetch", &["job fetch 4 --out results"]),
    (
        "lease order",
        &[
            "lease order --cores 2 --seconds 600 --max-price 0.05 --key renter.json",
            "lease order --cores 1 --seconds 3600 --max-price 0.05 --witness renter --interval 30",
        ],
    ),
    ("lease keep", &["lease keep 4 --key renter.json"]),
    (
        "lease submit",
        &[
            "lease submit 4 job.toml --key renter.json",
            "lease submit 4 job.toml --check 3 --out tiles",
        ],
    ),
    ("lease list", &["lease list --key renter.json", "lease list --open"]),
    ("lease status", &["lease status 4", "lease status 4 --json"]),
    ("lease stop", &["lease stop 4 --key renter.json"]),
    ("provider join", &["provider join --price 0.11 --units 512 --key provider.json"]),
    (
        "provider run",
        &[
            "provider run --price 0.11 --workers 2 --key provider.json",
            "provider run --region 3",
            "provider run --payout fresh",
            "provider run --lease-cores 2 --lease-price 0.05 --lease-seconds 1800",
            "provider run --backend slurm --spool /shared/gongsuan --workers 64 --slurm=--partition=idle",
        ],
    ),
    ("provider status", &["provider status --key provider.json"]),
    ("provider doctor", &["provider doctor --key provider.json", "provider doctor --json"]),
    ("run-job", &["run-job --spool /shared/gongsuan --key-file spool.key"]),
    ("market book", &["market book", "market book core-second/x86_64/gpu7"]),
    ("market orders", &["market orders"]),
    ("market why", &["market why 4"]),
    (
        "audit replay",
        &[
            "audit replay --node http://127.0.0.1:8080,http://127.0.0.1:8081",
            "audit replay --data copy-of-a-node",
        ],
    ),
    ("audit supply", &["audit supply", "audit supply --data copy-of-a-node"]),
    ("audit trail", &["audit trail job 4", "audit trail 1", "audit trail ADDRESS"]),
    ("audit watch", &["audit watch --key watcher.key", "audit watch --segments 4"]),
    ("audit receipt", &["audit receipt out/receipt.json"]),
    ("audit prove", &["audit prove deal 1 --out deal.json", "audit prove supply total"]),
    ("audit verify-proof", &["audit verify-proof deal.json --genesis genesis.json"]),
    (
        "audit export",
        &["audit export deals --out deals.csv", "audit export blocks --first 10 --last 20"],
    ),
    ("config show", &["config show", "config show --json"]),
    ("config init", &["config init", "config init --write"]),
    ("openapi", &["openapi > openapi.json"]),
    ("completions", &["completions bash > gongsuan.bash"]),
    ("man", &["man > gongsuan.1", "man --dir man1"]),
];

/// Adds the examples to the help of every command.
pub(super) fn add(command: Command) -> Command {
    under(command, "")
}

fn under(command: Command, path: &str) -> Command {
    let names: Vec<String> =
        command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = names.into_iter().fold(command, |command, name| {
        let path = format!("{path} {name}").trim_start().to_owned();
        command.mut_subcommand(name, |sub| under(sub, &path))
    });
    match EXAMPLES.iter().find(|(known, _)| *known == path) {
        Some((_, lines)) => {
            let lines: Vec<String> =
                lines.iter().map(|line| format!("  gongsuan {line}")).collect();
            command.after_help(format!("Examples:\n{}", lines.join("\n")))
        }
        None => command,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_has_examples_that_the_command_line_accepts() {
        let mut known: Vec<&str> = EXAMPLES.iter().map(|(path, _)| *path).collect();
        let mut all = crate::cli::commands();
        known.sort_unstable();
        all.sort_unstable();
        assert_eq!(known, all);
        let address = gongsuan_types::SecretKey::from_seed(b"example").address().to_string();
        let key = gongsuan_types::SecretKey::from_seed(b"example").public_key().to_string();
        for (path, lines) in EXAMPLES {
            for line in *lines {
                assert!(line.starts_with(path), "{line}");
                let words = line.split([' ']).take_while(|word| !["<", ">"].contains(word));
                let words =
                    words.map(|word| word.replace("ADDRESS", &address).replace("PUBLIC_KEY", &key));
                let parsed = Cli::try_parse_from(["gongsuan".to_owned()].into_iter().chain(words));
                assert!(
                    parsed.is_ok(),
                    "{line}: {}",
                    parsed.err().map(|e| e.to_string()).unwrap_or_default()
                );
            }
        }
    }
}
