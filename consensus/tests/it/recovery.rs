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

/// It follows at once, signs nothing that contradicts what it forgot, and votes once terms have passed that it cannot have been in.
#[test]
fn a_validator_that_lost_everything_votes_again_and_contradicts_nobody() {
    for seed in 0..8 {
        let mut world = World::new(4, 300 + seed);
        for _ in 0..8 {
            world.submit();
            let pause = world.dice.below(9);
            world.run_for(pause);
        }
        let wiped = seed as usize % 4;
        world.wipe(wiped);
        let lost_in = world.monitor.height();
        assert!(world.run_until(30_000, World::all_done).is_some(), "seed {seed}: it follows");
        assert_eq!(
            world.seat(wiped),
            None,
            "seed {seed}: it votes in a term that it may have known"
        );
        // Again, before it votes: what it has heard is forgotten too.
        world.crash(wiped);
        world.start(wiped);
        let mut rounds = 0;
        while world.seat(wiped).is_none() {
            rounds += 1;
            assert!(rounds < 8, "seed {seed}: it never votes again");
            // The lead is given up by a leader that restarts.
            let leader = world.leader((wiped + 1) % 4);
            if leader != wiped {
                world.crash(leader);
                world.start(leader);
            }
            world.submit();
            assert!(world.run_until(30_000, World::all_done).is_some(), "seed {seed}");
            world.run_for(1_000);
        }
        assert!(rounds > 1, "seed {seed}: one term is not enough");
        // Now it is needed.
        let other = (wiped + 1) % 4;
        world.crash(other);
        world.submit();
        let done = |world: &World| (0..4).all(|at| at == other || world.is_done(at));
        assert!(world.run_until(60_000, done).is_some(), "seed {seed}: without its vote no quorum");
        assert!(world.monitor.height() > lost_in);
        assert!(world.evidence.is_empty(), "seed {seed}: {:?}", world.evidence);
    }
}
