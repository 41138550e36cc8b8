//! `sim`: simulates validator networks, many or one. See `gongsuan_tests::sim`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command shows its findings")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use gongsuan_tests::chain::{Company, Counts, measure};
use gongsuan_tests::sim::{CHAIN_PROFILES, Outcome, PROFILES, Profile, Run, run};

/// Simulates networks of validators: the real core, codec, signatures and vote log on an imagined clock, network and disk.
/// A seed decides everything. Exit code 0: no invariant was broken; 7: one was; 2: wrong usage.
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[derive(Parser, Debug)]
#[command(
    name = "sim",
    version,
    after_help = "\
Examples:
  sim --seeds 0..10000                 worlds of every profile, on all cores
  sim --seed 42 --trace                one world, a line for each event
  sim --faults                         planted faults and what catches them (built with --features faults)
  sim --chain --seeds 0..2000          the same with the real ledger, market and deals, and people who use and cheat them
  sim --money 0..400                   what cheating earns, over so many worlds without a network"
)]
struct Args {
    /// The validators order a chain with people on it, instead of numbers.
    #[arg(long)]
    chain: bool,
    /// What each kind of person earns, over the worlds of these seeds. Exit code 7 if a cheat earns anything.
    #[arg(long, value_name = "A..B", value_parser = range)]
    money: Option<Range<u64>>,
    /// Many worlds: from the first seed up to, and without, the last.
    #[arg(long, value_name = "A..B", value_parser = range, conflicts_with = "seed")]
    seeds: Option<Range<u64>>,
    /// One world.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// What goes wrong, in place of the seed's own.
    #[arg(long, value_parser = profile)]
    profile: Option<Profile>,
    /// Threads for many worlds; all cores if not given.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// A line for each event, and a glyph for each node: L leads, . follows, t has left the term, x is down, o learns,
    /// b and B lie.
    #[arg(long)]
    trace: bool,
    /// The sum as JSON.
    #[arg(long)]
    json: bool,
    /// Lists the profiles.
    #[arg(long)]
    profiles: bool,
    /// Plants every fault in turn and hunts for it; with --chain those in the ledger only.
    #[arg(long)]
    faults: bool,
    /// Plants one fault.
    #[arg(long, value_name = "NAME")]
    fault: Option<String>,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse().map_err(|_| format!("not a number: {text}"));
    let (from, to) = text.split_once("..").ok_or("a range is written A..B")?;
    Ok(number(from)?..number(to)?)
}

fn profile(name: &str) -> Result<Profile, String> {
    let all = || PROFILES.map(Profile::name).join(", ");
    Profile::named(name).ok_or_else(|| format!("no such profile; there are {}", all()))
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic in a world is a finding, reported with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(seeds) = args.money {
        return money(seeds);
    }
    if args.profiles {
        let all = if args.chain { &CHAIN_PROFILES[..] } else { &PROFILES[..] };
        for profile in all {
            println!("{}", profile.name());
        }
        return ExitCode::SUCCESS;
    }
    if args.faults {
        return faults(args.seeds.unwrap_or(0..200), args.chain);
    }
    match (args.seed, args.seeds.clone()) {
        (Some(seed), _) => one(seed, &args),
        (None, seeds) => many(seeds.unwrap_or(0..220), &args),
    }
}

fn told(counts: &Counts) -> String {
    let Counts { blocks, txs, refused, deals, settled, failed, cases, judged, .. } = counts;
    let Counts { rematched, intervals, leases, certified, exposed, .. } = counts;
    format!(
        "{blocks} blocks, {txs} transactions and {refused} refused, {deals} deals: {settled} settled, {failed} failed, {rematched} taken over; \
         {cases} cases, {judged} decided; {leases} leases ended well, {intervals} intervals paid; {certified} certificates, {exposed} exposed"
    )
}

/// What each kind of person earns, company by company.
fn money(seeds: Range<u64>) -> ExitCode {
    let mut sound = true;
    println!(
        "{:<22} {:>6} {:>16} {:>16} {:>16}",
        "", "people", "mean gain", "mean profit", "worst gain"
    );
    for company in gongsuan_tests::chain::COMPANIES {
        match measure(seeds.clone(), company) {
            Err((seed, violation)) => {
                println!("FAIL {} seed {seed}: {}", violation.invariant, violation.detail);
                sound = false;
            }
            Ok((sums, counts)) => {
                println!("-- {}: {}", names(company), told(&counts));
                let mut together = 0;
                for (persona, sum) in sums {
                    let name = persona.name();
                    let (gain, profit) = (sum.gain / sum.count, sum.profit / sum.count);
                    if !persona.is_honest() {
                        together += sum.profit;
                    }
                    println!(
                        "{name:<22} {:>6} {gain:>16} {profit:>16} {:>16}",
                        sum.count, sum.worst
                    );
                }
                let cheats = company.others.iter().any(|persona| !persona.is_honest());
                if cheats && together >= 0 {
                    println!("FAIL cheating pays: {together} together");
                    sound = false;
                }
            }
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::from(7) }
}

fn names(company: Company) -> String {
    let names: Vec<&str> = company.others.iter().map(|persona| persona.name()).collect();
    let names = if names.is_empty() { "everybody honest".into() } else { names.join(", ") };
    if company.certified { format!("{names}, certificates required") } else { names }
}

fn one(seed: u64, args: &Args) -> ExitCode {
    let plain =
        Run { profile: args.profile, trace: args.trace, chain: args.chain, ..Run::of(seed) };
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
    if args.chain {
        println!("on the chain: {}", told(&outcome.chain));
    }
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
fn faults(seeds: Range<u64>, chain_only: bool) -> ExitCode {
    use gongsuan_tests::sim::planted::{PLANTED, PLANTED_IN_LEDGER, hunt, hunt_in_ledger};
    let mut missed = 0;
    let in_core = PLANTED.iter().filter(|_| !chain_only).map(|planted| {
        (format!("{:?}", planted.fault), planted.caught_by, hunt(planted, seeds.clone()))
    });
    let in_ledger = PLANTED_IN_LEDGER.iter().map(|planted| {
        (format!("{:?}", planted.fault), planted.caught_by, hunt_in_ledger(planted, seeds.clone()))
    });
    for (name, caught_by, found) in in_core.chain(in_ledger) {
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
                println!("{name:<26} NOT CAUGHT (expected {caught_by:?})");
            }
        }
    }
    let all = if chain_only { 0 } else { PLANTED.len() } + PLANTED_IN_LEDGER.len();
    println!("{} of {all} planted faults are caught", all - missed);
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::from(7) }
}

#[cfg(not(feature = "faults"))]
fn faults(_: Range<u64>, _: bool) -> ExitCode {
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
    chain: Counts,
    by_profile: BTreeMap<String, u64>,
    failed: Vec<(u64, Outcome)>,
}

/// Runs a worker whose engines compute on its own thread: the others have worlds of their own, and handing over costs more than small worlds' hashes.
fn alone(work: impl FnOnce() + Send) {
    match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    }
}

fn many(seeds: Range<u64>, args: &Args) -> ExitCode {
    let started = Instant::now();
    let available = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = args.threads.unwrap_or(available).max(1);
    let (next, sum) = (AtomicU64::new(seeds.start), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| alone(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let wanted = Run { profile: args.profile, chain: args.chain, ..Run::of(seed) };
                    let outcome = run(wanted);
                    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    sum.worlds += 1;
                    sum.simulated_ms += outcome.simulated_ms;
                    sum.events += outcome.events;
                    sum.blocks += outcome.height;
                    sum.epochs += outcome.epoch;
                    sum.chain.add(&outcome.chain);
                    *sum.by_profile.entry(outcome.profile.name()).or_default() += 1;
                    if let Some(violation) = &outcome.violation {
                        let name = outcome.profile.name();
                        let chain = if args.chain { " --chain" } else { "" };
                        println!(
                            "FAIL {} seed {seed} ({name}): {}\n  replay: cargo run --release -p gongsuan-tests --bin sim --{chain} --seed {seed} --profile {name} --trace",
                            violation.invariant, violation.detail
                        );
                        sum.failed.push((seed, outcome));
                    }
                }
            }));
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
        if args.chain {
            println!("on the chain: {}", told(&sum.chain));
        }
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
