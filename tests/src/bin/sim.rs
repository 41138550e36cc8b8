//! `sim`: simulates validator networks, many or one. See `gongsuan_tests::sim`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command shows its findings")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use gongsuan_tests::sim::{Outcome, PROFILES, Profile, Run, run};

const USAGE: &str = "usage: sim --seeds A..B [--profile P] [--threads N] [--json]
       sim --seed N [--profile P] [--fault F] [--trace]
       sim --profiles
       sim --faults [--seeds A..B]      (built with --features faults)

Simulates networks of validators: the real core, codec, signatures and vote log on an imagined clock, network and disk.
A seed decides everything. Exit code 0: no invariant was broken; 7: one was; 2: wrong usage.";

#[derive(Default)]
struct Args {
    seeds: Option<Range<u64>>,
    seed: Option<u64>,
    profile: Option<Profile>,
    threads: Option<usize>,
    trace: bool,
    json: bool,
    profiles: bool,
    faults: bool,
    fault: Option<String>,
}

fn parse(words: &[String]) -> Result<Args, String> {
    let mut args = Args::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: &String| text.parse().map_err(|_| format!("not a number: {text}"));
        match word.as_str() {
            "--trace" => args.trace = true,
            "--json" => args.json = true,
            "--profiles" => args.profiles = true,
            "--faults" => args.faults = true,
            "--fault" => args.fault = Some(value()?.clone()),
            "--seed" => args.seed = Some(number(value()?)?),
            "--threads" => args.threads = usize::try_from(number(value()?)?).ok(),
            "--profile" => {
                let name = value()?;
                let found = Profile::named(name);
                args.profile = Some(found.ok_or(format!("no profile {name}; see sim --profiles"))?);
            }
            "--seeds" => {
                let text = value()?;
                let (from, to) = text.split_once("..").ok_or(format!("not a range: {text}"))?;
                args.seeds = Some(number(&from.to_owned())?..number(&to.to_owned())?);
            }
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let args = match parse(&words) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // A panic in a world is a finding, reported with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    if args.profiles {
        for profile in PROFILES {
            println!("{}", profile.name());
        }
        return ExitCode::SUCCESS;
    }
    if args.faults {
        return faults(args.seeds.unwrap_or(0..400));
    }
    match (args.seed, args.seeds.clone()) {
        (Some(seed), None) => one(seed, &args),
        (None, Some(seeds)) => many(seeds, &args),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn one(seed: u64, args: &Args) -> ExitCode {
    let plain = Run { profile: args.profile, trace: args.trace, ..Run::of(seed) };
    let Some(wanted) = with_fault(plain, args.fault.as_deref()) else {
        eprintln!("no such fault, or not built with --features faults");
        return ExitCode::from(2);
    };
    let outcome = run(wanted);
    for line in &outcome.lines {
        println!("{line}");
    }
    println!(
        "seed {seed} ({}): height {}, epoch {}, {} events in {} simulated ms, trace {}",
        outcome.profile.name(),
        outcome.height,
        outcome.epoch,
        outcome.events,
        outcome.simulated_ms,
        outcome.hash
    );
    match outcome.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!("{} is broken: {}", violation.invariant, violation.detail);
            ExitCode::from(7)
        }
    }
}

#[cfg(feature = "faults")]
fn with_fault(plain: Run, name: Option<&str>) -> Option<Run> {
    let Some(name) = name else { return Some(plain) };
    let planted = gongsuan_tests::sim::planted::PLANTED;
    let found = planted.iter().find(|planted| format!("{:?}", planted.fault) == name)?;
    Some(Run { fault: Some(found.fault), ..plain })
}

#[cfg(not(feature = "faults"))]
fn with_fault(plain: Run, name: Option<&str>) -> Option<Run> {
    name.is_none().then_some(plain)
}

#[cfg(feature = "faults")]
fn faults(seeds: Range<u64>) -> ExitCode {
    use gongsuan_tests::sim::planted::{PLANTED, hunt};
    let mut missed = 0;
    for planted in PLANTED {
        let found = hunt(planted, seeds.clone());
        let name = format!("{:?}", planted.fault);
        match found {
            Some(caught) => println!(
                "{name:<26} {:<18} {:<14} seed {:<5} after {} worlds",
                caught.violation.invariant,
                caught.profile.name(),
                caught.seed,
                caught.worlds
            ),
            None => {
                missed += 1;
                println!("{name:<26} NOT CAUGHT (expected {:?})", planted.caught_by);
            }
        }
    }
    println!("{} of {} planted faults are caught", PLANTED.len() - missed, PLANTED.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::from(7) }
}

#[cfg(not(feature = "faults"))]
fn faults(_: Range<u64>) -> ExitCode {
    eprintln!(
        "planted faults need: cargo run --release -p gongsuan-tests --features faults --bin sim -- --faults"
    );
    ExitCode::from(2)
}

#[derive(Default)]
struct Sum {
    worlds: u64,
    simulated_ms: u64,
    events: u64,
    blocks: u64,
    epochs: u64,
    by_profile: BTreeMap<String, u64>,
    failed: Vec<(u64, Outcome)>,
}

fn many(seeds: Range<u64>, args: &Args) -> ExitCode {
    let started = Instant::now();
    let available = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = args.threads.unwrap_or(available).max(1);
    let (next, sum) = (AtomicU64::new(seeds.start), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = run(Run { profile: args.profile, ..Run::of(seed) });
                    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    sum.worlds += 1;
                    sum.simulated_ms += outcome.simulated_ms;
                    sum.events += outcome.events;
                    sum.blocks += outcome.height;
                    sum.epochs += outcome.epoch;
                    *sum.by_profile.entry(outcome.profile.name()).or_default() += 1;
                    if let Some(violation) = &outcome.violation {
                        let name = outcome.profile.name();
                        println!(
                            "FAIL {} seed {seed} ({name}): {}\n  replay: cargo run --release -p gongsuan-tests --bin sim -- --seed {seed} --profile {name} --trace",
                            violation.invariant, violation.detail
                        );
                        sum.failed.push((seed, outcome));
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let wall_ms = started.elapsed().as_millis().max(1);
    let per_second = u128::from(sum.worlds) * 10_000 / wall_ms;
    let hours = format!("{}.{:02}", sum.simulated_ms / 3_600_000, sum.simulated_ms / 36_000 % 100);
    if args.json {
        let names: Vec<String> =
            sum.by_profile.iter().map(|(name, count)| format!("\"{name}\":{count}")).collect();
        println!(
            "{{\"schema\":\"gongsuan/sim/v1\",\"seeds\":{},\"failed\":{},\"simulated_ms\":{},\"events\":{},\"blocks\":{},\"epochs\":{},\"wall_ms\":{wall_ms},\"threads\":{threads},\"profiles\":{{{}}}}}",
            sum.worlds,
            sum.failed.len(),
            sum.simulated_ms,
            sum.events,
            sum.blocks,
            sum.epochs,
            names.join(",")
        );
    } else {
        println!(
            "{} seeds over {} profiles, {} failed: {hours} simulated hours, {} events, {} blocks, {} epochs, in {}.{:03} s on {threads} threads ({}.{} seeds/s)",
            sum.worlds,
            sum.by_profile.len(),
            sum.failed.len(),
            sum.events,
            sum.blocks,
            sum.epochs,
            wall_ms / 1_000,
            wall_ms % 1_000,
            per_second / 10,
            per_second % 10
        );
    }
    if sum.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(7) }
}
