//! Fine weather: commits, idleness, and the loss of one validator.

use crate::world::World;

#[test]
fn four_validators_order_everything_in_one_term() {
    let mut world = World::new(4, 1);
    for _ in 0..20 {
        world.submit();
        world.run_for(5);
    }
    assert!(world.run_until(200, World::all_done).is_some());
    assert!((0..4).all(|at| world.term(at) == 1));
}

#[test]
fn any_number_of_validators_works() {
    for n in [1, 2, 3, 5, 7] {
        let mut world = World::new(n, n as u64);
        for _ in 0..5 {
            world.submit();
            world.run_for(20);
        }
        assert!(world.run_until(300, World::all_done).is_some(), "n = {n}");
    }
}

#[test]
fn without_work_there_are_heartbeats_and_nothing_else() {
    let mut world = World::new(4, 2);
    world.submit();
    assert!(world.run_until(500, World::all_done).is_some());
    world.run_for(1_000);
    let (height, messages) = (world.monitor.height(), world.messages);
    world.run_for(10_000);
    assert_eq!(world.monitor.height(), height);
    // Four validators tell three others where they stand, twice a second.
    assert!(world.messages - messages <= 12 * 21, "{} messages", world.messages - messages);
    assert_eq!(world.term(0), 1);
}

#[test]
fn a_dead_follower_changes_nothing() {
    let mut world = World::new(4, 3);
    world.submit();
    assert!(world.run_until(500, World::all_done).is_some());
    let leader = world.leader(0);
    let follower = (leader + 1) % 4;
    world.crash(follower);
    for _ in 0..20 {
        world.submit();
        let others = |world: &World| (0..4).all(|at| at == follower || world.is_done(at));
        assert!(world.run_until(40, others).is_some(), "no slower than with four");
    }
    assert_eq!(world.term(leader), 1);
}

#[test]
fn a_dead_leader_is_replaced_after_one_timeout() {
    for idle_before in [0, 3_000] {
        let mut world = World::new(4, 4);
        world.submit();
        assert!(world.run_until(500, World::all_done).is_some());
        let leader = world.leader(0);
        world.crash(leader);
        world.run_for(idle_before);
        world.submit();
        let others = |world: &World| (0..4).all(|at| at == leader || world.is_done(at));
        let gap = world.run_until(600, others).expect("one timeout of 500 ms and a few hops");
        for _ in 0..10 {
            world.submit();
            assert!(world.run_until(40, others).is_some(), "full speed after the gap of {gap} ms");
        }
    }
}

#[test]
fn a_dead_leader_is_replaced_even_when_there_is_no_work() {
    let mut world = World::new(4, 5);
    world.run_for(100);
    let leader = world.leader(0);
    world.crash(leader);
    world.run_for(4_000);
    let living = (leader + 1) % 4;
    assert_ne!(world.leader(living), leader);
    let messages = world.messages;
    world.run_for(10_000);
    assert!(world.messages - messages <= 12 * 21, "quiet again under the new leader");
}

#[test]
fn two_dead_of_four_stop_the_chain_and_one_that_returns_starts_it() {
    let mut world = World::new(4, 6);
    world.run_for(100);
    world.crash(2);
    world.crash(3);
    world.submit();
    world.run_for(20_000);
    assert_eq!(world.monitor.height(), 0);
    world.start(3);
    let some = |world: &World| world.is_done(0) && world.is_done(1) && world.is_done(3);
    assert!(world.run_until(20_000, some).is_some());
}
