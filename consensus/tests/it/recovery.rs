//! Coming back: after a crash, after a long absence, after a power cut.

use crate::world::World;

#[test]
fn a_restarted_follower_catches_up_with_a_long_log() {
    let mut world = World::new(4, 11);
    world.run_for(100);
    let absent = (world.leader(0) + 2) % 4;
    world.crash(absent);
    for _ in 0..200 {
        world.submit();
        world.run_for(8);
    }
    assert!(world.monitor.height() > 60);
    world.start(absent);
    assert!(world.run_until(1_500, World::all_done).is_some(), "a few ranges and round trips");
}

#[test]
fn a_follower_catches_up_while_others_go_on() {
    let mut world = World::new(4, 12);
    world.run_for(100);
    let absent = (world.leader(0) + 2) % 4;
    world.crash(absent);
    for round in 0..400 {
        world.submit();
        world.run_for(8);
        if round == 200 {
            world.start(absent);
        }
    }
    let (here, there) = (world.nodes[absent].log.len(), world.monitor.height() as usize);
    assert!(here + 10 >= there, "at {here} of {there} under constant load");
}

#[test]
fn a_leader_that_restarts_at_once_gives_up_the_lead() {
    for seed in 0..20 {
        let mut world = World::new(4, seed);
        world.submit();
        assert!(world.run_until(500, World::all_done).is_some());
        let leader = world.leader(0);
        world.submit();
        world.run_for(1);
        world.crash(leader);
        world.start(leader);
        let done = world.run_until(100, World::all_done);
        assert!(done.is_some(), "seed {seed}: without waiting for a timeout");
        assert!(world.term(leader) > 1);
    }
}

#[test]
fn a_power_cut_at_any_moment_loses_nothing() {
    for seed in 0..40 {
        let mut world = World::new(4, 100 + seed);
        world.weather.disk_max = 1 + seed % 20;
        for _ in 0..4 {
            for _ in 0..6 {
                world.submit();
                let pause = world.dice.below(12);
                world.run_for(pause);
            }
            let before = world.monitor.height();
            (0..4).for_each(|at| world.crash(at));
            let kept = world.nodes.iter().map(|node| node.log.len()).max().unwrap();
            world.restart_all();
            assert!(world.run_until(30_000, World::all_done).is_some(), "seed {seed}");
            assert!(world.monitor.height() >= before, "seed {seed}: {kept} blocks were in logs");
        }
    }
}

#[test]
fn a_validator_cut_off_by_the_network_rejoins() {
    let mut world = World::new(4, 14);
    world.run_for(100);
    for other in 0..3 {
        world.cut.insert((3, other));
        world.cut.insert((other, 3));
    }
    for _ in 0..100 {
        world.submit();
        world.run_for(10);
    }
    world.run_for(10_000);
    world.cut.clear();
    world.submit();
    assert!(world.run_until(5_000, World::all_done).is_some());
}
