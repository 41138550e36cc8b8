//! Every choice of everybody, over a bounded world, driven through the market itself.
//!
//! A state is a whole [`gongsuan_market::Market`] with its money. From each, every party tries every command that it could send, validators
//! find what they may find, and time jumps to the next deadline; what the market refuses must change nothing. States that differ only in what
//! time it is are one. In all of them tokens are conserved and holds are what orders and deals say; from all of them silence alone ends the deal;
//! at every end nothing is left in a hold, and whoever followed the protocol, with everybody else silent or hostile, has no less than at the start
//! (the renter: no less than what it did not spend on accepted work and audits).
//!
//! Larger bounds: `MODEL=large cargo test --release -p gongsuan-market --test model`.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test picks what it needs and panics when it cannot go on"
)]

mod orders;
#[path = "../support/spec.rs"]
mod spec;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use gongsuan_market::{Stage, Step};
use gongsuan_types::job::{Check, Predicate};
use gongsuan_types::{Fuel, Hash};
use world::{Bounds, Honest, What, World};

/// What a search found.
#[derive(Default)]
struct Found {
    states: usize,
    edges: usize,
    ends: BTreeMap<Stage, usize>,
    steps: BTreeSet<Step>,
}

fn search(bounds: Bounds) -> Found {
    let mut found = Found::default();
    let mut known: BTreeMap<Hash, usize> = BTreeMap::new();
    // Where silence leads from each state; itself, where the deal is over.
    let mut silence: Vec<usize> = Vec::new();
    let first = World::new(bounds);
    known.insert(first.key(), 0);
    silence.push(0);
    let mut todo = vec![(0, first)];
    while let Some((at, world)) = todo.pop() {
        if world.is_over() {
            for deal in world.deals() {
                *found.ends.entry(Stage::of(&deal.state)).or_default() += 1;
            }
            world.settle_up();
            continue;
        }
        let mut meet = |mut next: World, found: &mut Found| {
            next.end();
            found.edges += 1;
            found.steps.extend(std::mem::take(&mut next.steps));
            let count = known.len();
            let number = *known.entry(next.key()).or_insert(count);
            if number == count {
                silence.push(number);
                todo.push((number, next));
            }
            number
        };
        // A block at once, with one move.
        let mut block = world.clone();
        block.begin(0);
        let mut scratch = block.clone();
        for choice in world.moves() {
            if scratch.make(&choice) {
                meet(scratch, &mut found);
                scratch = block.clone();
            }
        }
        assert!(scratch.market == block.market, "what is refused changes nothing");
        if world.market.wants_block() {
            meet(block, &mut found);
        }
        // Time goes on, unless the honest party would have done something first.
        let after = world.wait().expect("a deal that is not over waits for something");
        if world.is_owed() {
            silence[at] = usize::MAX;
        } else {
            let mut later = world.clone();
            later.begin(after);
            silence[at] = meet(later, &mut found);
        }
    }
    found.states = known.len();
    for start in 0..silence.len() {
        let (mut at, mut waits) = (start, 0);
        while at != usize::MAX && silence[at] != at {
            at = silence[at];
            waits += 1;
            assert!(waits <= 64, "silence does not end the deal from state {start}");
        }
    }
    found
}

/// A lease of two intervals, and a probe of one lane.
fn other_bounds(what: What) -> Bounds {
    let is_large = std::env::var_os("MODEL").is_some_and(|size| size == "large");
    let is_probe = what == What::Probe;
    Bounds {
        what,
        check: Check::Lottery,
        segments: if is_probe { 1 } else { 2 + u32::from(is_large) },
        batches: 1,
        attempts: if is_probe { 1 } else { 3 },
        heartbeat: false,
        seals: is_probe,
        claims: u8::from(is_probe) * (1 + u8::from(is_large)),
        honest: Honest::Nobody,
    }
}

fn bounds(check: Check) -> Bounds {
    let is_large = std::env::var_os("MODEL").is_some_and(|size| size == "large");
    // Three attempts where there are two providers: then nobody is left.
    let (segments, batches, attempts, claims) = match (check, is_large) {
        (Check::Lottery, false) => (2, 2, 1, 1),
        (Check::Lottery, true) => (2, 2, 2, 1),
        (Check::Quorum { .. }, false) => (1, 1, 1, 0),
        (Check::Quorum { .. }, true) => (1, 1, 1, 1),
        (Check::Own | Check::Predicate(_), false) => (1, 1, 3, 1),
        (Check::Own | Check::Predicate(_), true) => (1, 1, 3, 2),
    };
    let heartbeat = is_large || check == Check::Own;
    let seals = matches!(check, Check::Predicate(_));
    let honest = Honest::Nobody;
    let what = What::Job;
    Bounds { what, check, segments, batches, attempts, heartbeat, seals, claims, honest }
}

#[test]
#[expect(clippy::print_stdout, reason = "the counts are what the search is run for")]
fn no_choice_of_anybody_loses_money_or_sticks_a_deal_and_the_honest_never_lose() {
    let mut steps = BTreeSet::new();
    let (mut states, mut edges) = (0, 0);
    let predicate = Check::Predicate(Predicate { module: Hash::ZERO, fuel: Fuel(1_000) });
    let jobs = [Check::Lottery, Check::Own, Check::Quorum { copies: 2 }, predicate].map(bounds);
    let others = [What::LeaseByRenter, What::LeaseByChain, What::Probe].map(other_bounds);
    for bounds in jobs.into_iter().chain(others) {
        for honest in
            [Honest::Nobody, Honest::Provider, Honest::Renter, Honest::Auditor, Honest::Challenger]
        {
            let found = search(Bounds { honest, ..bounds });
            println!(
                "{:?} {:?}, honest {honest:?}: {} states, {} edges, {} steps, ends {:?}",
                bounds.what,
                bounds.check,
                found.states,
                found.edges,
                found.steps.len(),
                found.ends
            );
            states += found.states;
            edges += found.edges;
            steps.extend(found.steps);
        }
    }
    println!("{states} states, {edges} edges, {} of {} steps", steps.len(), Step::ALL.len());
    let missing: Vec<_> = Step::ALL.iter().filter(|step| !steps.contains(step)).collect();
    // Two cases at once make the world too large; `deals.rs` has them.
    assert_eq!(missing, [&Step::Crowded], "no path takes them");
}
