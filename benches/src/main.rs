//! `gongsuan-bench`: how fast the parts are on this machine, beside their peers. Data to stdout, progress to stderr.
#![expect(clippy::float_arithmetic, reason = "statistics for people; nothing here is agreed upon")]

mod compare;
mod consensus;
#[cfg(feature = "execute")]
mod execute;
mod html;
mod ledger;
mod machine;
mod matching;
mod measure;
mod report;
mod table;
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
    /// Signatures per second and core: by the batch and one by one.
    Verify(Format),
    /// Transfers per second through checking, executing, hashing and storing; the state root; a restart.
    Ledger(Format),
    /// Jobs: metered against native code and other fuel, instances, pieces, audits, products.
    #[cfg(feature = "execute")]
    Execute {
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        options: execute::Options,
    },
    /// What each class of operations takes on this machine, beside its price: the table behind the meter's.
    #[cfg(feature = "execute")]
    Calibrate(Format),
    /// What `execute` starts as a caged worker.
    #[cfg(feature = "execute")]
    #[command(hide = true)]
    ExecuteWorker,
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

/// How to measure, and how to show it.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Format {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Fewer repetitions, a smaller state.
    #[arg(long)]
    quick: bool,
}

impl Format {
    fn show(self, run: impl FnOnce(&mut table::Report, bool)) -> Result<(), String> {
        let mut report = table::Report::new();
        run(&mut report, self.quick);
        data(&if self.json { report.to_json() } else { report.to_table() });
        Ok(())
    }
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Match(options) => matching::run(&options),
        Command::Verify(format) => format.show(verify::run),
        Command::Ledger(format) => format.show(ledger::run),
        #[cfg(feature = "execute")]
        Command::Execute { format, options } => {
            format.show(|report, quick| execute::run(report, quick, &options))
        }
        #[cfg(feature = "execute")]
        Command::Calibrate(format) => format.show(execute::calibrate),
        #[cfg(feature = "execute")]
        Command::ExecuteWorker => return gongsuan_executor::worker::serve(),
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
