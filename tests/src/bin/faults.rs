//! `faults`: kills the writers of a chain, and cuts the power of their disks. See `gongsuan_tests::faults`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command shows its findings")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use gongsuan_ledger::Retention;
use gongsuan_tests::enclose::{Network, enclose};
use gongsuan_tests::faults::{Plant, kill, power, writer};

/// Real faults under a real folder: what was acknowledged must be there, exactly once. Exit code 0: it was; 7: something was lost;
/// 2: wrong usage or not possible here.
#[derive(Parser, Debug)]
#[command(
    name = "faults",
    version,
    after_help = "\
Examples:
  faults kill --times 1000             kill -9 at random moments
  sudo faults power --times 100        power cuts; needs root to mount file systems
  faults kill --plant early-ack        a planted fault, which must be caught: exit code 7"
)]
struct Cli {
    #[command(subcommand)]
    command: Act,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// Kills writers at random moments.
    Kill(Run),
    /// Cuts the power of writers' disks. Where file systems cannot be mounted it says so and, unless `FAULTS_REQUIRED=1`, succeeds.
    Power(Run),
    /// Commits blocks until it is killed.
    #[command(hide = true)]
    Write {
        /// The chain's folder.
        dir: PathBuf,
        /// The list of acknowledgements.
        acks: PathBuf,
        #[arg(long)]
        retention: Retention,
        #[arg(long)]
        plant: Plant,
    },
}

#[derive(Args, Debug)]
struct Run {
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    times: u64,
    /// Decides the moments.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Puts a fault into the writer: nothing, early-ack, no-sync.
    #[arg(long, value_name = "FAULT", default_value_t = Plant::Nothing)]
    plant: Plant,
    /// Set when running in namespaces of its own.
    #[arg(long, hide = true)]
    inside: bool,
}

const LOST: u8 = 7;
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    match Cli::parse().command {
        Act::Kill(run) => kills(&run),
        Act::Power(run) if run.inside => cuts(&run),
        Act::Power(_) => skipped(&enclose(Network::Shared, "--inside")),
        Act::Write { dir, acks, retention, plant } => {
            let Err(error) = writer::write(&dir, &acks, retention, plant);
            eprintln!("the writer stops: {error}");
            ExitCode::from(UNUSABLE)
        }
    }
}

fn room() -> Option<tempfile::TempDir> {
    tempfile::tempdir().inspect_err(|error| eprintln!("no temporary folder: {error}")).ok()
}

fn kills(run: &Run) -> ExitCode {
    let Some(room) = room() else { return ExitCode::from(UNUSABLE) };
    match kill::run(room.path(), run.times, run.seed, run.plant) {
        Ok(sum) => {
            println!(
                "{} kills ({} before the first commit), {} blocks acknowledged, {} more were durable: 0 lost, 0 doubled",
                sum.kills, sum.while_opening, sum.acknowledged, sum.unacknowledged
            );
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("LOST: {reason}");
            ExitCode::from(LOST)
        }
    }
}

fn cuts(run: &Run) -> ExitCode {
    let Some(room) = room() else { return ExitCode::from(UNUSABLE) };
    match power::run(room.path(), run.times, run.seed, run.plant) {
        Ok(sum) => {
            println!(
                "{} power cuts after {} blocks acknowledged: 0 lost, 0 doubled",
                sum.cuts, sum.acknowledged
            );
            ExitCode::SUCCESS
        }
        Err(power::Stop::Impossible(reason)) => skipped(&reason),
        Err(power::Stop::Lost(reason)) => {
            eprintln!("LOST: {reason}");
            ExitCode::from(LOST)
        }
    }
}

fn skipped(reason: &str) -> ExitCode {
    eprintln!("SKIPPED: power cuts need root, mount and mkfs.ext4: {reason}");
    let required = std::env::var_os("FAULTS_REQUIRED").is_some_and(|value| value == "1");
    if required { ExitCode::from(UNUSABLE) } else { ExitCode::SUCCESS }
}
