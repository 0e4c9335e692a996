//! The links under weather: whatever the network does, what is delivered was pushed, in order, and damage is
//! never missed.

use reactor::clock::MILLISECOND;

use crate::world::{config, Weather, World};

struct Outcome {
    delivered: usize,
    bad_frames: u64,
    cut_links: u64,
}

fn storm(seed: u64, weather: Weather, messages: usize) -> Outcome {
    let mut world = World::new(seed, weather);
    (1..=3).for_each(|host| world.start(config(host, 3)));
    for _ in 0..messages {
        let from = world.rng.between(1, 3) as u32;
        let to = from % 3 + 1;
        let bytes = match world.rng.below(20) {
            0 => world.rng.below(200_000) as usize,
            1 => world.rng.below(3_000_000) as usize,
            _ => world.rng.below(300) as usize,
        };
        world.push(from, to, bytes);
        if world.rng.coin() {
            world.turn(from);
        }
        if world.rng.chance(20_000) {
            let victim = world.rng.between(1, 3) as u32;
            world.kill(victim);
            world.start(config(victim, 3));
        }
        let pause = world.rng.below(2 * MILLISECOND);
        world.run(pause);
    }
    world.weather = Weather::fair();
    world.run(3000 * MILLISECOND);
    assert_eq!(world.damaged_open(), 0, "seed {seed}: every damaged connection was closed");
    assert!(world.all_up(), "seed {seed}: all is well after the storm");
    for (id, host) in &world.hosts {
        for peer in (1..=3).filter(|peer| peer != id) {
            assert_eq!(host.net.outbox_bytes(peer), 0, "seed {seed}: nothing waits for ever");
        }
    }
    let sum = |count: fn(&netbatch::Metrics) -> u64| {
        world.hosts.values().map(|host| count(host.net.metrics())).sum()
    };
    Outcome {
        delivered: world.hosts.values().map(|host| host.delivered.len()).sum(),
        bad_frames: sum(|metrics| metrics.bad_frames),
        cut_links: sum(|metrics| metrics.links_lost),
    }
}

#[test]
fn fair_weather_loses_nothing() {
    let mut world = World::new(5, Weather::fair());
    (1..=2).for_each(|host| world.start(config(host, 2)));
    world.run(20 * MILLISECOND);
    for bytes in [0, 1, 1000, 1 << 20, (1 << 20) - 52, (1 << 20) - 53, 5_000_000, (24 << 20) - 8] {
        assert!(world.push(1, 2, bytes));
        assert!(world.push(1, 2, 3), "behind it");
        world.turn(1);
        world.run(20 * MILLISECOND);
    }
    assert_eq!(world.hosts[&2].delivered.len(), 16);
    assert_eq!(world.hosts[&2].net.metrics().messages_in, 16);
    world.run(200 * MILLISECOND);
    assert!(world.hosts[&2].net.partial_bytes() <= 2 * netbatch::limits::PARTIAL_KEPT_BYTES);
}

#[test]
fn pieces_cuts_and_blocks() {
    let (mut delivered, mut cut_links) = (0, 0);
    for seed in 0..20 {
        let weather =
            Weather { piece_bytes_max: 5000, cut: 200, block: 20_000, lose: 20_000, ..Weather::fair() };
        let outcome = storm(seed, weather, 150);
        delivered += outcome.delivered;
        cut_links += outcome.cut_links;
    }
    assert!(delivered > 1000, "most arrives: {delivered}");
    assert!(cut_links > 50, "the network did cut: {cut_links}");
}

#[test]
fn damage_is_never_delivered_and_always_closes() {
    let (mut delivered, mut bad_frames) = (0, 0);
    for seed in 100..130 {
        let weather = Weather { piece_bytes_max: 20_000, damage: 10_000, ..Weather::fair() };
        let outcome = storm(seed, weather, 150);
        delivered += outcome.delivered;
        bad_frames += outcome.bad_frames;
    }
    assert!(delivered > 1000, "much arrives: {delivered}");
    assert!(bad_frames > 50, "frames were damaged: {bad_frames}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let weather = Weather {
            piece_bytes_max: 5000,
            cut: 2000,
            damage: 2000,
            block: 20_000,
            lose: 20_000,
            ..Weather::fair()
        };
        let mut world = World::new(seed, weather);
        (1..=2).for_each(|host| world.start(config(host, 2)));
        for bytes in 0..100 {
            world.push(1, 2, bytes * 50);
            world.turn(1);
            world.run(MILLISECOND);
        }
        world.trace
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
