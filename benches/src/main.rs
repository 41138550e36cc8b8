//! `gongsuan-bench`: how fast the parts are on this machine, beside their peers. Data to stdout, progress to stderr.

mod compare;
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
