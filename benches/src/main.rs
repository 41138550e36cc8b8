//! `gongsuan-bench`: how fast the parts are on this machine, beside their peers. Data to stdout, progress to stderr.
#![expect(clippy::float_arithmetic, reason = "statistics for people; nothing here is agreed upon")]

mod compare;
mod consensus;
mod html;
mod machine;
mod matching;
mod report;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// How fast the parts are on this machine, beside their peers.
#[derive(Parser, Debug)]
#[command(name = "gongsuan-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Order books under a stream of orders.
    Match(matching::Options),
    /// Signatures.
    Verify(verify::Options),
    /// Replicas as processes of their own, ordering opaque payloads. See `consensus --help`.
    #[command(disable_help_flag = true)]
    Consensus {
        /// What follows.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// What `consensus` starts for each replica.
    #[command(hide = true)]
    ConsensusReplica {
        /// The replica's part, as JSON.
        start: String,
    },
    /// Two reports side by side.
    Compare(compare::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Match(options) => matching::run(&options),
        Command::Verify(options) => {
            verify::run(&options);
            Ok(())
        }
        Command::Consensus { args } => return consensus::main(&args),
        Command::ConsensusReplica { start } => return consensus::replica(&start),
        Command::Compare(options) => compare::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// For people: to stderr.
#[expect(clippy::print_stderr, reason = "a benchmark tells how far it is")]
fn note(text: &str) {
    eprintln!("{text}");
}

/// For programs: to stdout. Whoever closes it early has read enough.
fn data(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
