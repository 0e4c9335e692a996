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
    // Silence is noticed by the missing heartbeat; with traffic by what is not acknowledged, on one link,
    // then on the other.
    for (busy, avoided_ms) in [(false, 451), (true, 302)] {
        let mut world = trio(7);
        world.partition.extend([(1, 2), (2, 3)]);
        let start = world.now;
        for _ in 0..2 {
            if busy {
                assert!(world.push(1, 2, 100));
                world.turn(1);
            }
            world.run(51 * MILLISECOND);
        }
        until(&mut world, 451 * MILLISECOND, |world| !world.hosts[&1].net.healthy(2));
        assert!(world.now - start <= avoided_ms * MILLISECOND, "avoided after {} ns", world.now - start);
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
fn links_that_ended_unheard_make_room_for_new_ones() {
    let mut world = trio(4);
    for _ in 0..6 {
        world.lose_all_silently(2);
        world.run(20 * MILLISECOND);
        assert!(world.all_up(), "the new links serve");
        assert!(world.hosts[&1].net.link_count(2) <= 4, "there are not more than two above the pool");
        assert!(world.push(1, 2, 10));
        world.turn(1);
    }
    assert!(world.hosts[&1].net.metrics().evicted > 0);
    world.run(1000 * MILLISECOND);
    assert_eq!(world.hosts[&1].net.link_count(2), 2, "those that nobody answers have ended");
    assert!(world.push(1, 2, 20));
    world.turn(1);
    world.run(MILLISECOND);
    assert!(world.hosts[&2].delivered.iter().any(|(_, message)| message.len() == 28));
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

#[test]
fn a_stuck_link_is_relieved_by_the_second() {
    let mut world = trio(12);
    world.weather.lose = 1_000_000;
    assert!(world.push(1, 2, 10));
    world.turn(1);
    world.weather.lose = 0;
    world.run(60 * MILLISECOND);
    assert!(world.hosts[&2].delivered.is_empty(), "the packet was lost");
    assert!(world.push(1, 2, 20));
    world.turn(1);
    world.run(MILLISECOND);
    let lengths: Vec<usize> = world.hosts[&2].delivered.iter().map(|(_, message)| message.len()).collect();
    assert_eq!(lengths, [28], "the second message went another way");
    assert!(world.hosts[&1].net.healthy(2), "one loss is no illness");
    world.run(150 * MILLISECOND);
    assert_eq!(world.hosts[&2].delivered.len(), 2);
    assert_eq!(world.hosts[&1].net.metrics().links_lost, 0);
}

#[test]
fn a_link_that_is_deaf_in_one_direction_is_given_up_by_both() {
    for idle in [false, true] {
        let mut world = trio(13);
        world.mute.insert((1, 2));
        if !idle {
            assert!(world.push(1, 2, 10));
            world.turn(1);
        }
        world.run(810 * MILLISECOND);
        assert!(!world.hosts[&1].up.contains(&2) && !world.hosts[&2].up.contains(&1));
        assert!(world.hosts[&3].up.len() == 2, "the third is not concerned");
        world.run(2000 * MILLISECOND);
        assert!(!world.hosts[&1].up.contains(&2), "nor does it come back half");
        world.mute.clear();
        until(&mut world, 1200 * MILLISECOND, World::all_up);
    }
}

#[test]
fn a_host_that_was_stopped_itself_looks_before_it_judges() {
    let mut world = trio(15);
    assert!(world.push(1, 2, 10));
    world.turn(1);
    let net = &mut world.hosts.get_mut(&1).unwrap().net;
    let mut now = world.now + 5000 * MILLISECOND;
    net.end_turn(now);
    assert!(net.healthy(2) && net.link_count(2) == 2, "nothing was looked at yet");
    let woken_at = now;
    while let Some(deadline) = net.deadline().filter(|deadline| *deadline < woken_at + 800 * MILLISECOND) {
        now = deadline;
        net.end_turn(now);
        // What was silent for less than a heartbeat before it was stopped has the rest of the hang time-out
        // left.
        assert!(now > woken_at + 600 * MILLISECOND || net.link_count(2) == 2);
        std::iter::from_fn(|| net.poll()).for_each(drop);
    }
    net.end_turn(woken_at + 800 * MILLISECOND);
    assert_eq!(net.link_count(2), 0, "but from then on it judges");
}

/// The ring tells of small sends only when something else wakes the core.
#[test]
fn a_busy_link_is_looked_at_again_when_a_heartbeat_is_due() {
    let mut world = World::new(14, Weather::fair());
    for host in 1..=2 {
        let mut config = config(host, 2);
        config.tuning.links_per_peer = 1;
        world.start(config);
        world.run(MILLISECOND);
    }
    world.run(20 * MILLISECOND);
    let net = &mut world.hosts.get_mut(&1).unwrap().net;
    assert!(net.healthy(2) && net.link_count(2) == 1);
    assert!(net.push(2, b"x"));
    net.end_turn(world.now);
    assert_eq!(net.deadline(), Some(world.now + 200 * MILLISECOND));
}
