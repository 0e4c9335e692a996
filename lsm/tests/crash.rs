//! The power fails before each operation of a short story in turn; and each operation fails in turn.

use std::collections::BTreeMap;

use lsm::{ApplyError, Batch};
use reactor::sim::Fault;

use crate::world::{options, World};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// What is applied, batch by batch: rows that are overwritten, deleted one by one and by range.
fn batches() -> Vec<(Batch, Map)> {
    let mut map = Map::new();
    let mut batches = Vec::new();
    for round in 0..260_u64 {
        let mut batch = Batch::new();
        for number in 0..6 {
            let key = format!("{:03}", (round * 7 + number * 31) % 300).into_bytes();
            let value = vec![round as u8; 200];
            batch.put(&key, &value);
            map.insert(key, value);
        }
        if round % 5 == 0 {
            let key = format!("{:03}", round % 300).into_bytes();
            batch.delete(&key);
            map.remove(&key);
        }
        if round % 50 == 49 {
            let (first, end) =
                (format!("{round:03}").into_bytes(), format!("{:03}", round + 20).into_bytes());
            batch.delete_range(&first, &end);
            map.retain(|key, _| *key < first || *key >= end);
        }
        batches.push((batch, map.clone()));
    }
    batches
}

/// Plays the story until the engine fails or `until` operations were begun. What was flushed, in batches, and the world.
fn play(mut world: World, until: u64, batches: &[(Batch, Map)]) -> (usize, World) {
    let mut versions = Vec::new();
    'story: for (batch, _) in batches {
        loop {
            match world.lsm.apply(batch) {
                Ok(version) => break versions.push(version),
                Err(ApplyError::Stalled) => {}
                Err(_) => break 'story,
            }
            if world.disk.counters().submitted >= until || !world.turn() {
                break 'story;
            }
        }
        if world.disk.counters().submitted >= until || world.failed.is_some() {
            break;
        }
        world.turn();
    }
    let flushed = world.flushed;
    (versions.iter().filter(|version| **version <= flushed).count(), world)
}

/// The tree is what it was after some batch, not before the last one that was flushed.
fn check(mut world: World, flushed: usize, batches: &[(Batch, Map)], story: &str) -> usize {
    world.settle();
    assert!(world.ready.is_some() && world.failed.is_none(), "{story}: {:?}", world.failed);
    let found: Map = world.all().into_iter().collect();
    let empty = Map::new();
    let map = |at: usize| at.checked_sub(1).map_or(&empty, |at| &batches[at].1);
    let at = (flushed..=batches.len()).find(|at| *map(*at) == found);
    at.unwrap_or_else(|| panic!("{story}: no batch from {flushed} on left what is there"))
}

#[test]
fn the_power_may_fail_before_any_operation() {
    let batches = batches();
    let (_, world) = play(World::new(1, options()), u64::MAX, &batches);
    let all = world.disk.counters().submitted;
    assert!(all > 150, "{all} operations");
    let mut ahead = 0;
    for until in 1..all {
        let mut world = World::opened(reactor::sim::SimDisk::new(until), options());
        while world.ready.is_none() && world.disk.counters().submitted < until && world.turn() {}
        let (flushed, world) = play(world, until, &batches);
        let found = check(world.restarted(true), flushed, &batches, &format!("power failure before {until}"));
        ahead += usize::from(found > flushed);
    }
    assert!(ahead > 0, "at times more was durable than was told");
}

#[test]
fn any_operation_may_fail() {
    let batches = batches();
    let (_, world) = play(World::new(1, options()), u64::MAX, &batches);
    let all = world.disk.counters().submitted;
    for (nth, fault) in
        (0..all).flat_map(|nth| [(nth, Fault::Io), (nth, Fault::Full), (nth, Fault::ShortWrite)])
    {
        let mut disk = reactor::sim::SimDisk::new(nth);
        disk.fail_nth(nth, fault);
        let mut world = World::opened(disk, options());
        while world.ready.is_none() && world.failed.is_none() && world.turn() {}
        let (flushed, world) = play(world, u64::MAX, &batches);
        check(world.restarted(nth % 2 == 0), flushed, &batches, &format!("{fault:?} of {nth}"));
    }
}
