//! Runs the fuzz targets for a while: `cargo run --release -p gongsuan-tests --bin fuzz -- --seconds 60 [target]`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it reports to whoever started it")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use gongsuan_tests::fuzz::{Runner, folder, read_corpus, target, targets, write_corpus};
use gongsuan_types::Hash;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[derive(Debug, Parser)]
#[command(
    about = "Judges mutants of the committed corpora until time is up; the first broken promise ends it with code 1"
)]
struct Args {
    /// Seconds for each target.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// What the mutations depend on; the same seed makes the same ones.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to write an input that breaks a promise.
    #[arg(long, default_value = "target/fuzz")]
    save: PathBuf,
    /// Judge this file only.
    #[arg(long, requires = "names")]
    file: Option<PathBuf>,
    /// Write the committed corpora anew and end.
    #[arg(long)]
    write_corpus: bool,
    /// Targets; all of them if none is named.
    names: Vec<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// The peak of memory while something runs, above what was there before.
fn peak(call: &mut dyn FnMut()) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    call();
    MEMORY.peak_usage().saturating_sub(before)
}

fn run(args: &Args) -> Result<bool, Box<dyn std::error::Error>> {
    if args.write_corpus {
        println!("{} bytes of seeds in {}", write_corpus()?, folder().display());
        return Ok(true);
    }
    let chosen = args
        .names
        .iter()
        .map(|name| target(name).ok_or_else(|| format!("no target is called {name}")))
        .collect::<Result<Vec<_>, _>>()?;
    let chosen = if chosen.is_empty() { targets() } else { chosen };
    // A broken promise is reported below, once.
    std::panic::set_hook(Box::new(|_| {}));
    let mut whole = true;
    println!(
        "{:<20} {:>10} {:>10} {:>9} {:>8}",
        "target", "inputs", "accepted", "a second", "KiB max"
    );
    for target in chosen {
        let started = Instant::now();
        let corpus = match &args.file {
            Some(file) => vec![std::fs::read(file)?],
            None => read_corpus(&target)?,
        };
        // What is made once is not an input's.
        let _made = (target.judge)(&corpus[0]);
        let mut runner = Runner::new(target, corpus, args.seed).measured(&peak);
        let mut result = runner.corpus();
        let seconds = if args.file.is_some() { 0 } else { args.seconds };
        while result.is_ok() && started.elapsed() < Duration::from_secs(seconds) {
            result = runner.mutants(64);
        }
        let report = runner.report();
        let rate = u128::from(report.inputs) * 1_000 / started.elapsed().as_millis().max(1);
        let (name, kib) = (target.name, report.memory_max >> 10);
        println!("{name:<20} {:>10} {:>10} {rate:>9} {kib:>8}", report.inputs, report.accepted);
        if let Err(failure) = result {
            whole = false;
            std::fs::create_dir_all(&args.save)?;
            let path =
                args.save.join(format!("{name}-{}", Hash::of_content(&failure.input).short()));
            std::fs::write(&path, &failure.input)?;
            let path = path.display();
            eprintln!(
                "FAIL {name}: {}\n  again: cargo run -p gongsuan-tests --bin fuzz -- {name} --file {path}",
                failure.message
            );
        }
    }
    Ok(whole)
}
