//! Bad weather, crashes and partitions, then a fine day: agreement always, progress in the end.

use crate::world::{FINE, Weather, World};

fn live_through(seed: u64) {
    let n = if seed % 8 == 7 { 7 } else { 4 };
    let mut world = World::new(n, seed);
    world.rotate = seed.is_multiple_of(3);
    let f = (n - 1) / 3;
    for _ in 0..10 + seed % 10 {
        world.weather = Weather {
            loss_percent: [0, 5, 30][world.dice.below(3) as usize],
            repeat_percent: 10,
            delay_max: [3, 30, 400][world.dice.below(3) as usize],
            disk_max: [2, 10, 200][world.dice.below(3) as usize],
        };
        match world.dice.below(6) {
            0 => {
                let side = world.dice.below(1 << n);
                for (a, b) in pairs(n) {
                    if (side >> a) & 1 != (side >> b) & 1 {
                        world.cut.insert((a, b));
                    }
                }
            }
            1 => {
                for (a, b) in pairs(n) {
                    if world.dice.percent(25) {
                        world.cut.insert((a, b));
                    }
                }
            }
            2 | 3 => world.cut.clear(),
            _ => {}
        }
        // Sometimes more than f are down: then nothing moves, and nothing may break.
        let down_max = if world.dice.percent(20) { n } else { f };
        for at in 0..n {
            let down = (0..n).filter(|other| !world.is_up(*other)).count();
            if world.is_up(at) && down < down_max && world.dice.percent(40) {
                world.crash(at);
            } else if !world.is_up(at) && world.dice.percent(60) {
                world.start(at);
            }
        }
        for _ in 0..4 {
            world.submit();
            let pause = world.dice.below(60);
            world.run_for(pause);
        }
        let pause = world.dice.below(1_500);
        world.run_for(pause);
    }
    world.weather = FINE;
    world.cut.clear();
    world.restart_all();
    world.submit();
    let healed = world.run_until(60_000, World::all_done);
    let terms: Vec<_> =
        (0..n).map(|at| world.nodes[at].core.as_ref().unwrap().progress()).collect();
    assert!(healed.is_some(), "seed {seed}: no progress on a fine day: {terms:#?}");
    assert!(world.evidence.is_empty());
}

fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |a| (0..n).filter(move |b| *b != a).map(move |b| (a, b)))
}

/// The worlds of one part; `CONSENSUS_SEEDS` says how many, if not 40.
#[expect(clippy::disallowed_methods, reason = "how long to test is no part of the protocol")]
fn seeds(part: u64) -> impl Iterator<Item = u64> {
    let count = std::env::var("CONSENSUS_SEEDS").map_or(40, |text| text.parse().unwrap());
    (0..count).map(move |seed| seed * 4 + part)
}

#[test]
fn chaos_ends_in_agreement_and_progress_first_quarter() {
    seeds(0).for_each(live_through);
}

#[test]
fn chaos_ends_in_agreement_and_progress_second_quarter() {
    seeds(1).for_each(live_through);
}

#[test]
fn chaos_ends_in_agreement_and_progress_third_quarter() {
    seeds(2).for_each(live_through);
}

#[test]
fn chaos_ends_in_agreement_and_progress_fourth_quarter() {
    seeds(3).for_each(live_through);
}
