//! How soon peers find each other, lose each other and find each other again.

use reactor::clock::{Nanos, MILLISECOND};

use crate::world::{config, Weather, World};

fn trio(seed: u64) -> World {
    let mut world = World::new(seed, Weather::fair());
    (1..=3).for_each(|host| world.start(config(host, 3)));
    world.run(60 * MILLISECOND);
    assert!(world.all_up(), "all hosts have found each other");
    world
}

/// Lets time pass until the condition holds, and says how long that took.
fn until(world: &mut World, bound: Nanos, holds: impl Fn(&World) -> bool) -> Nanos {
    let start = world.now;
    while !holds(world) {
        assert!(world.now - start < bound, "it takes no longer than {bound} ns");
        world.run(MILLISECOND / 10);
    }
    world.now - start
}

#[test]
fn a_killed_host_is_down_at_once_and_up_within_20_ms_of_its_return() {
    for seed in 0..50 {
        let mut world = trio(seed);
        world.kill(2);
        world.run(MILLISECOND);
        for host in [1, 3] {
            assert!(!world.hosts[&host].up.contains(&2) && !world.hosts[&host].net.healthy(2));
        }
        let away = world.rng.below(3000) * MILLISECOND;
        world.run(away);
        world.start(config(2, 3));
        until(&mut world, 20 * MILLISECOND, World::all_up);
    }
}

#[test]
fn a_host_that_cannot_call_is_called() {
    for seed in 0..20 {
        let mut world = trio(seed);
        world.kill(2);
        world.run(500 * MILLISECOND);
        let mut silent = config(2, 3);
        silent.tuning.backoff_max = 60_000 * MILLISECOND;
        silent.peers.iter_mut().for_each(|(_, addr)| addr.set_port(1));
        world.start(silent);
        until(&mut world, 120 * MILLISECOND, World::all_up);
    }
}

#[test]
fn a_stopped_host_is_avoided_soon_and_given_up_later() {
    for busy in [false, true] {
        let mut world = trio(7);
        world.partition.extend([(1, 2), (2, 3)]);
        if busy {
            assert!(world.push(1, 2, 100));
            world.turn(1);
        }
        until(&mut world, 351 * MILLISECOND, |world| !world.hosts[&1].net.healthy(2));
        assert!(world.hosts[&1].up.contains(&2), "not given up yet");
        until(&mut world, 801 * MILLISECOND, |world| !world.hosts[&1].up.contains(&2));
        world.run(3000 * MILLISECOND);
        world.partition.clear();
        until(&mut world, 700 * MILLISECOND, World::all_up);
    }
}

#[test]
fn a_pool_has_the_size_that_was_asked_for_and_is_completed_after_a_cut() {
    let mut world = trio(3);
    for (a, b) in [(1, 2), (1, 3), (2, 3)] {
        assert_eq!((world.hosts[&a].net.link_count(b), world.hosts[&b].net.link_count(a)), (2, 2));
    }
    world.cut_one(1);
    world.run(50 * MILLISECOND);
    assert!(world.hosts[&1].up.len() == 2, "the second link holds the peer up");
    assert_eq!(world.hosts[&1].net.metrics().reconnects, 0);
    assert!([2, 3].iter().all(|peer| world.hosts[&1].net.link_count(*peer) == 2));
}

#[test]
fn a_restart_that_nobody_saw_is_noticed_at_the_handshake() {
    let mut world = trio(9);
    // The host loses power: nobody is told. It is back before anybody has missed it.
    world.partition.extend([(1, 2), (2, 3)]);
    world.kill(2);
    world.run(10 * MILLISECOND);
    world.partition.clear();
    assert!(world.hosts[&1].up.contains(&2), "nobody has noticed");
    world.start(config(2, 3));
    world.run(20 * MILLISECOND);
    assert!(world.all_up());
    assert_eq!(world.hosts[&1].net.metrics().reconnects, 1, "down and up again");
    assert!(world.push(1, 2, 10));
    world.turn(1);
    world.run(MILLISECOND);
    assert_eq!(world.hosts[&2].delivered.len(), 1, "no message goes into a link of the former start");
}

#[test]
fn a_busy_link_is_relieved_by_the_second() {
    let mut world = trio(11);
    world.weather.block = 1_000_000;
    assert!(world.push(1, 2, 10));
    world.turn(1);
    world.weather.block = 0;
    assert!(world.push(1, 2, 20));
    world.turn(1);
    world.run(MILLISECOND);
    let lengths: Vec<usize> = world.hosts[&2].delivered.iter().map(|(_, message)| message.len()).collect();
    assert_eq!(lengths, [28], "the second message did not wait for the first");
    world.run(110 * MILLISECOND);
    assert_eq!(world.hosts[&2].delivered.len(), 2);
}
