//! `cluster`: real nodes under real faults, with money that is counted. See `gongsuan_tests::cluster`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command shows its findings")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use gongsuan_tests::cluster::{Fault, Network, run};

/// Four validators as processes, transfers without a pause, and faults one after another. At the end: every acknowledged transfer is in the chain, exactly
/// once; no other amount has moved; all roots are equal. Exit code 0: so it is; 7: it is not; 2: wrong usage or not possible here.
#[derive(Parser, Debug)]
#[command(
    name = "cluster",
    version,
    after_help = "\
Examples:
  cluster faults                                  every fault once
  cluster faults --only partition,one-way         some of them
  cluster soak --minutes 10                       faults in turn until the time is over
  cluster faults --program target/dist/gongsuan   another build"
)]
struct Cli {
    /// The `gongsuan` to test; beside this program by default.
    #[arg(long, global = true)]
    program: Option<PathBuf>,
    /// Keep the network's folder, and say where it is.
    #[arg(long, global = true)]
    keep: bool,
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
    let program = cli.program.or_else(beside).filter(|path| path.exists());
    let Some(program) = program else {
        eprintln!(
            "there is no gongsuan beside this program: cargo build --release -p gongsuan, or --program FILE"
        );
        return ExitCode::from(UNUSABLE);
    };
    let (faults, until) = match cli.command {
        Act::Faults { only } if only.is_empty() => (Fault::ALL.to_vec(), None),
        Act::Faults { only } => (only, None),
        Act::Soak { minutes } => (Fault::ALL.to_vec(), Some(Duration::from_secs(60 * minutes))),
    };
    let network = match Network::up(program, cli.keep) {
        Ok(network) => network,
        Err(error) => {
            eprintln!("the network does not start: {error:#}");
            return ExitCode::from(UNUSABLE);
        }
    };
    match run(&network, &faults, until, |line| println!("{line}")) {
        Ok(sum) => {
            println!("{sum}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("WRONG: {reason:#}");
            ExitCode::from(WRONG)
        }
    }
}
