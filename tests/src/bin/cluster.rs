//! `cluster`: real nodes under real faults, with money that is counted. See `gongsuan_tests::cluster`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command shows its findings")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use gongsuan_tests::cluster::{Fault, Network, Options, Plan, Stop, run};
use gongsuan_tests::enclose::{self, enclose};

/// Four validators as processes, transfers without a pause, and faults one after another. At the end: every acknowledged transfer is in the chain, exactly
/// once; no other amount has moved; all roots are equal; and commits never paused for longer than they may. Exit code 0: so it is; 7: it is not; 2: wrong
/// usage or not possible here. What needs root is skipped loudly without it; with `FAULTS_REQUIRED=1` that is exit code 2.
#[derive(Parser, Debug)]
#[command(
    name = "cluster",
    version,
    after_help = "\
Examples:
  cluster faults                                  every fault once
  cluster faults --only halves,one-way            some of them
  cluster faults --hosts                          faults of the links, with a network namespace for each validator
  cluster soak --minutes 10                       faults in turn until the time is over
  cluster faults --program target/dist/gongsuan   another build"
)]
struct Cli {
    /// The `gongsuan` to test; beside this program by default.
    #[arg(long, global = true)]
    program: Option<PathBuf>,
    /// Keep the network's folder. It is kept as well when something is wrong.
    #[arg(long, global = true)]
    keep: bool,
    /// The longest pause of commits that is right, in seconds: after a fault that leaves a quorum, and once any other is healed.
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    within: u64,
    /// Each validator on a host of its own, a network namespace, in place of loopback with a wire: packets are dropped. Needs root.
    #[arg(long, global = true)]
    hosts: bool,
    /// Set when running in namespaces of its own.
    #[arg(long, global = true, hide = true)]
    inside: bool,
    #[command(subcommand)]
    command: Act,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// Every fault once.
    Faults {
        /// Only these.
        #[arg(long, value_delimiter = ',')]
        only: Vec<Fault>,
    },
    /// Faults in turn for a long time.
    Soak {
        /// How long.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1440))]
        minutes: u64,
    },
}

const WRONG: u8 = 7;
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let beside = || std::env::current_exe().ok()?.parent().map(|dir| dir.join("gongsuan"));
    let Some(program) = cli.program.clone().or_else(beside).filter(|path| path.exists()) else {
        eprintln!(
            "there is no gongsuan beside this program: cargo build --release -p gongsuan, or --program FILE"
        );
        return ExitCode::from(UNUSABLE);
    };
    let own = if cli.hosts { enclose::Network::Own } else { enclose::Network::Shared };
    // Comes back only where there are no namespaces to be had.
    let shared = (!cli.inside).then(|| enclose(own, "--inside"));
    if let Some(reason) = shared.as_ref().filter(|_| cli.hosts) {
        return skipped("hosts", reason);
    }
    let options = Options { program, keep: cli.keep, shared, hosts: cli.hosts };
    let mut network = match Network::up(options) {
        Ok(network) => network,
        Err(Stop::Impossible(reason)) => return skipped("hosts", &reason),
        Err(Stop::Failed(error)) => {
            eprintln!("the network does not start: {error:#}");
            return ExitCode::from(UNUSABLE);
        }
    };
    try_out(&mut network, &cli)
}

fn try_out(network: &mut Network, cli: &Cli) -> ExitCode {
    let every = || if cli.hosts { Fault::cuts() } else { Fault::all() };
    let (faults, until) = match &cli.command {
        Act::Faults { only } if only.is_empty() => (every(), None),
        Act::Faults { only } => (only.clone(), None),
        Act::Soak { minutes } => (every(), Some(Duration::from_secs(60 * minutes))),
    };
    for fault in &faults {
        let Some(reason) = network.refuses(*fault) else { continue };
        let code = skipped(&fault.to_string(), &reason);
        if code != ExitCode::SUCCESS {
            return code;
        }
    }
    let plan = Plan { faults: &faults, until, within: Duration::from_secs(cli.within) };
    match run(network, plan, |line| println!("{line}")) {
        Ok(sum) => {
            println!("{sum}");
            if cli.keep {
                println!("the network's folder: {}", network.keep().display());
            }
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("WRONG: {reason:#}; the network's folder: {}", network.keep().display());
            ExitCode::from(WRONG)
        }
    }
}

fn skipped(what: &str, reason: &str) -> ExitCode {
    eprintln!("SKIPPED: {what}: {reason}");
    let required = std::env::var_os("FAULTS_REQUIRED").is_some_and(|value| value == "1");
    if required { ExitCode::from(UNUSABLE) } else { ExitCode::SUCCESS }
}
