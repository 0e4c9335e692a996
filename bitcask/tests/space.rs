//! Merge, removals, records larger than a segment, and the full disk.

use bitcask::{AppendError, Kind, Options, Record};

use crate::world::{options, slot, stamp, World};

fn body(n: u64, round: u64) -> Vec<u8> {
    vec![(n * 31 + round) as u8; 1_000]
}

#[test]
fn merge_keeps_the_newest_the_promises_and_the_named_values() {
    let mut world = World::new(1, options());
    world.append(b"promised", 1_000_000, Kind::Promise, b"");
    world.append(b"deleted", 5, Kind::Tombstone, b"why");
    world.bitcask.append_meta(7, b"floor").unwrap();
    for round in 1..=60 {
        for n in 0..40_u64 {
            // A few keys are written once and must be carried along.
            if n >= 10 || round == 1 {
                world.put(&n.to_le_bytes(), round, &body(n, round));
            }
        }
        world.turn();
    }
    world.settle();
    let stats = world.bitcask.stats();
    assert!(stats.counters.merges >= 10, "{stats:?}");
    assert!(stats.segments <= 6, "the space of what is dead is used again: {stats:?}");
    let mut world = world.reopen();
    for n in 0..40_u64 {
        let round = if n >= 10 { 60 } else { 1 };
        assert_eq!(world.value(&n.to_le_bytes()).unwrap(), body(n, round), "key {n}");
        assert_eq!(
            world.bitcask.info(slot(&n.to_le_bytes()), &n.to_le_bytes()).entry.unwrap().stamp,
            stamp(round)
        );
    }
    assert_eq!(world.bitcask.info(slot(b"promised"), b"promised").promised, Some(stamp(1_000_000)));
    assert_eq!(world.read(b"deleted").unwrap().kind, Kind::Tombstone);
    assert_eq!(&*world.read(b"deleted").unwrap().body, b"why");
    assert_eq!(world.bitcask.meta(7), Some(&b"floor"[..]));
}

#[test]
fn a_segment_stays_while_it_is_read() {
    let mut world = World::new(1, Options { cache_bytes: 0, ..options() });
    world.background = false;
    for n in 0..200_u64 {
        world.put(&(n % 20).to_le_bytes(), n + 1, &body(n, n));
        world.settle();
    }
    let key = 3_u64.to_le_bytes();
    let merges = |world: &World| world.bitcask.stats().counters.merges;
    // A read that takes long: all else is done before it.
    world.disk.set_latency(reactor::sim::Latency {
        read: (10_000_000_000, 10_000_000_000),
        ..reactor::sim::Latency::none()
    });
    let bitcask::Read::Pending(ticket) = world.bitcask.read(&mut world.disk, slot(&key), &key) else {
        panic!()
    };
    world.disk.set_latency(reactor::sim::Latency::none());
    for n in 200..400_u64 {
        world.put(&(n % 20).to_le_bytes(), n + 1, &body(n, n));
    }
    world.background = true;
    let read_ends = world.disk.list().len();
    assert!(read_ends > 0);
    while world.disk.pending() > 1 || world.bitcask.background_wanted() {
        world.turn_until(world.now + 1_000_000);
    }
    let before = merges(&world);
    assert!(before > 0, "other segments go meanwhile");
    world.settle();
    let (answered, result) = world.reads.pop().unwrap();
    assert_eq!(answered, ticket);
    assert_eq!(*result.unwrap().unwrap().body, *body(183, 183));
    assert_eq!(world.failed, None);
}

#[test]
fn removed_keys_do_not_come_back_and_their_removals_go() {
    let mut world = World::new(1, options());
    let mut round = 0;
    let mut most = 0;
    // Keys that come and go, over one that stays.
    for n in 0..3_000_u64 {
        round += 1;
        let key = n.to_le_bytes();
        if n % 30 == 0 {
            world.put(b"stays", round, &[1; 2_000]);
        }
        world.put(&key, round, &body(n, 1)[..300]);
        world.settle();
        world.append(&key, round + 1, Kind::Tombstone, b"");
        world.settle();
        world.bitcask.remove(slot(&key), &key, stamp(round + 1)).unwrap();
        most = most.max(world.bitcask.stats().segments);
        if n % 500 == 499 {
            world.settle();
            world = world.crash();
            world.settle();
        }
    }
    world.settle();
    let stats = world.bitcask.stats();
    assert!(most <= 12, "removals are not kept for ever: {most} segments at one time, {stats:?}");
    let world = world.reopen();
    assert_eq!(world.ready.unwrap().entries, 1, "nothing came back");
}

#[test]
fn records_larger_than_a_segment_get_their_own() {
    let mut world = World::new(1, Options { cache_bytes: 0, ..options() });
    let large = |byte: u8| vec![byte; 20_000_000];
    world.put(b"before", 1, b"small");
    world.put(b"large", 1, &large(1));
    world.put(b"after", 1, b"small");
    world.settle();
    assert_eq!(world.persisted.0, 3);
    assert_eq!(world.value(b"large").unwrap(), large(1));
    let mut world = world.reopen();
    assert_eq!(world.value(b"large").unwrap(), large(1));
    assert_eq!(world.value(b"after").unwrap(), b"small");
    let used = world.disk.used_bytes();
    world.put(b"large", 2, &large(2));
    world.settle();
    assert!(world.disk.used_bytes() < used + 4_000_000, "the old one is gone");
    let mut world = world.crash();
    world.settle();
    assert_eq!(world.value(b"large").unwrap(), large(2));
    assert_eq!(world.value(b"before").unwrap(), b"small");
    world.append(b"large", 3, Kind::Tombstone, b"");
    world.settle();
    assert!(world.disk.used_bytes() < 2_000_000);
}

/// Writes new keys until no merge makes room any more; how many.
fn fill(world: &mut World) -> u64 {
    let mut written = 0_u64;
    while !world.full {
        while !world.full {
            let (key, body) = (written.to_le_bytes(), body(written, 1));
            let record =
                Record { slot: slot(&key), key: &key, stamp: stamp(1), kind: Kind::Value, body: &body };
            written += u64::from(world.bitcask.append(record).is_ok());
            for _ in 0..4 {
                world.turn();
            }
            assert!(written < 2_500, "it becomes full");
        }
        world.settle_while_full();
    }
    written
}

#[test]
fn a_full_disk_refuses_values_and_nothing_else() {
    let mut world = World::new(1, options());
    world.disk.set_capacity(2_000_000);
    let written = fill(&mut world);
    assert_eq!(world.failed, None);
    assert!(world.bitcask.is_full());
    let value = |kind, body| Record { slot: 0, key: b"new", stamp: stamp(1), kind, body };
    assert_eq!(world.bitcask.append(value(Kind::Value, b"x")), Err(AppendError::Full));
    assert_eq!(world.bitcask.append(value(Kind::Promise, b"")).map(|_| ()), Ok(()));
    for n in 0..written {
        assert_eq!(world.value(&n.to_le_bytes()).unwrap(), body(n, 1), "everything can be read");
    }
    // Deletes are taken, and free what the disk needs.
    for n in 0..written * 3 / 4 {
        world.append(&n.to_le_bytes(), 2, Kind::Tombstone, b"");
        if n % 10 == 0 {
            world.settle_while_full();
        }
    }
    world.settle_while_full();
    assert!(!world.full && !world.bitcask.is_full(), "{:?}", world.bitcask.stats());
    world.put(b"new", 3, b"x");
    world.settle();
    let mut world = world.reopen();
    assert_eq!(world.value(b"new").unwrap(), b"x");
    for n in written * 3 / 4..written {
        assert_eq!(world.value(&n.to_le_bytes()).unwrap(), body(n, 1), "nothing is lost");
    }
}

#[test]
fn space_that_comes_back_is_noticed() {
    let mut world = World::new(1, options());
    world.disk.set_capacity(1_000_000);
    fill(&mut world);
    assert!(world.bitcask.background_deadline().is_some());
    world.disk.set_capacity(u64::MAX);
    world.now += 2_000_000_000;
    world.bitcask.background(&mut world.disk, world.now, 1 << 20);
    world.settle();
    assert!(!world.full);
    world.put(b"k", 1, b"again");
    world.settle();
    assert_eq!(world.value(b"k").unwrap(), b"again");
}

#[test]
fn a_disk_without_any_space_is_said_at_once() {
    let mut disk = reactor::sim::SimDisk::new(1);
    disk.set_capacity(8192);
    let mut world = World::opened(disk, options());
    world.settle_while_full();
    assert!(world.ready.is_some() && world.full && world.failed.is_none());
    let record = Record { slot: 0, key: b"k", stamp: stamp(1), kind: Kind::Tombstone, body: b"" };
    assert_eq!(world.bitcask.append(record), Err(AppendError::ReserveUsed));
    assert_eq!(world.bitcask.append(Record { kind: Kind::Value, ..record }), Err(AppendError::Full));
}
