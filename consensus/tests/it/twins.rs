//! A validator that runs twice with one key: the simplest liar, and a thorough one.

use gongsuan_consensus::Seat;

use crate::world::{FINE, Weather, World};

fn live_with_a_twin(seed: u64) -> usize {
    // Nodes 0 to 3, and node 4 with the key of seat 1, the first leader.
    let mut world = World::with_seats(4, &[0, 1, 2, 3, 1], seed);
    world.monitor.liars = vec![Seat(1)];
    for _ in 0..8 {
        world.weather = Weather {
            loss_percent: [0, 10][world.dice.below(2) as usize],
            repeat_percent: 5,
            delay_max: [3, 60][world.dice.below(2) as usize],
            disk_max: 5,
        };
        world.cut.clear();
        for honest in [0, 2, 3] {
            // Each honest validator hears one of the twins, or both.
            let deaf = [None, Some(1), Some(4)][world.dice.below(3) as usize];
            if let Some(twin) = deaf {
                world.cut.insert((twin, honest));
                world.cut.insert((honest, twin));
            }
            if world.dice.percent(15) {
                world.crash(honest);
                world.start(honest);
            }
        }
        for _ in 0..3 {
            world.submit();
            let pause = world.dice.below(80);
            world.run_for(pause);
        }
        let pause = world.dice.below(1_500);
        world.run_for(pause);
    }
    world.weather = FINE;
    world.cut.clear();
    world.crash(4);
    world.submit();
    let done = |world: &World| [0, 2, 3].iter().all(|at| world.is_done(*at));
    assert!(world.run_until(60_000, done).is_some(), "seed {seed}: no progress on a fine day");
    world.evidence.len()
}

#[test]
fn a_twin_forks_nobody_and_is_named_more_often_than_not() {
    let named = (0..60).filter(|seed| live_with_a_twin(*seed) > 0).count();
    assert!(named > 20, "evidence in {named} of 60 worlds");
}
