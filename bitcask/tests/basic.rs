//! What each call does, on a healthy disk.

use bitcask::{AppendError, Fingerprint, Kind, Lsn, Read};

use crate::world::{options, slot, stamp, World};

#[test]
fn a_fresh_directory_becomes_ready() {
    let world = World::new(1, options());
    assert!(world.ready.expect("it is ready").fresh);
    assert_eq!(world.failed, None);
    let names: Vec<String> = world.disk.list().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 5, "the identity, the log's segment, three ready ones: {names:?}");
}

#[test]
fn a_record_is_visible_when_durable_and_not_before() {
    let mut world = World::new(1, options());
    let lsn = world.put(b"key", 5, b"body");
    assert_eq!(lsn, Lsn(1));
    assert_eq!(world.bitcask.info(slot(b"key"), b"key").entry, None);
    assert_eq!(world.bitcask.read(&mut world.disk, slot(b"key"), b"key"), Read::Absent);
    world.settle();
    assert_eq!(world.persisted, lsn);
    let entry = world.bitcask.info(slot(b"key"), b"key").entry.unwrap();
    assert_eq!((entry.stamp, entry.kind, entry.marked), (stamp(5), Kind::Value, false));
    assert_eq!(world.value(b"key").unwrap(), b"body");
    let mut world = world.reopen();
    assert_eq!(world.ready.unwrap().entries, 1);
    assert_eq!(world.ready.unwrap().round_max, 5);
    assert_eq!(world.value(b"key").unwrap(), b"body");
    assert_eq!(world.bitcask.read(&mut world.disk, slot(b"other"), b"other"), Read::Absent);
}

#[test]
fn the_greatest_stamp_wins_not_the_last_record() {
    let mut world = World::new(1, options());
    world.put(b"k", 5, b"five");
    world.put(b"k", 4, b"four");
    world.put(b"k", 5, b"five again");
    world.settle();
    assert_eq!(world.value(b"k").unwrap(), b"five");
    let mut world = world.reopen();
    assert_eq!(world.value(b"k").unwrap(), b"five");
    world.put(b"k", 3, b"three");
    world.settle();
    assert_eq!(world.value(b"k").unwrap(), b"five");
}

#[test]
fn records_of_one_turn_share_a_frame() {
    let mut world = World::new(1, options());
    world.background = false;
    for n in 0..50_u64 {
        world.put(&n.to_le_bytes(), 1, b"x");
    }
    world.settle();
    let counters = world.bitcask.stats().counters;
    assert_eq!((counters.frames, counters.records), (1, 50));
    world.put(b"a", 1, b"x");
    world.bitcask.flush(&mut world.disk);
    for n in 100..150_u64 {
        world.put(&n.to_le_bytes(), 1, b"x");
        world.bitcask.flush(&mut world.disk);
    }
    world.settle();
    assert_eq!(world.bitcask.stats().counters.frames, 3, "what comes while one is in flight forms the next");
}

#[test]
fn promises_count_while_they_stand_above_the_entry() {
    let mut world = World::new(1, options());
    let info = |world: &World| world.bitcask.info(slot(b"k"), b"k");
    world.append(b"k", 7, Kind::Promise, b"");
    world.settle();
    assert_eq!((info(&world).entry, info(&world).promised), (None, Some(stamp(7))));
    world.put(b"k", 6, b"below");
    world.append(b"k", 5, Kind::Promise, b"");
    world.settle();
    assert_eq!(info(&world).promised, Some(stamp(7)));
    let mut world = world.reopen();
    assert_eq!((info(&world).entry.unwrap().stamp, info(&world).promised), (stamp(6), Some(stamp(7))));
    world.put(b"k", 7, b"at");
    world.settle();
    assert_eq!(info(&world).promised, None);
    let world = world.reopen();
    assert_eq!((info(&world).entry.unwrap().stamp, info(&world).promised), (stamp(7), None));
}

#[test]
fn removing_takes_exactly_the_named_record() {
    let mut world = World::new(1, options());
    let remove = |world: &mut World, round| world.bitcask.remove(slot(b"k"), b"k", stamp(round));
    assert_eq!(remove(&mut world, 1), Err(AppendError::Changed));
    world.put(b"k", 1, b"value");
    world.append(b"k", 2, Kind::Tombstone, b"");
    world.append(b"k", 9, Kind::Promise, b"");
    world.settle();
    assert_eq!(world.read(b"k").unwrap().kind, Kind::Tombstone);
    assert_eq!(remove(&mut world, 1), Err(AppendError::Changed));
    remove(&mut world, 2).unwrap();
    world.settle();
    let gone = world.bitcask.info(slot(b"k"), b"k");
    assert_eq!((gone.entry, gone.promised), (None, None));
    let mut world = world.reopen();
    let gone = world.bitcask.info(slot(b"k"), b"k");
    assert_eq!((gone.entry, gone.promised), (None, None));
    world.put(b"k", 3, b"again");
    world.settle();
    let mut world = world.reopen();
    assert_eq!(world.value(b"k").unwrap(), b"again");
}

#[test]
fn named_values_keep_the_last() {
    let mut world = World::new(1, options());
    world.bitcask.append_meta(1, b"first").unwrap();
    world.bitcask.append_meta(1, b"second").unwrap();
    world.bitcask.append_meta(2, b"").unwrap();
    assert_eq!(world.bitcask.meta(1), None);
    world.settle();
    assert_eq!(world.bitcask.meta(1), Some(&b"second"[..]));
    let mut world = world.reopen();
    assert_eq!((world.bitcask.meta(1), world.bitcask.meta(2)), (Some(&b"second"[..]), Some(&b""[..])));
    world.bitcask.append_meta(1, b"third").unwrap();
    world.settle();
    assert_eq!(world.reopen().bitcask.meta(1), Some(&b"third"[..]));
}

#[test]
fn marks_hold_for_one_stamp_and_one_life() {
    let mut world = World::new(1, options());
    let marked = |world: &World| world.bitcask.info(slot(b"k"), b"k").entry.unwrap().marked;
    world.put(b"k", 1, b"x");
    world.settle();
    world.bitcask.mark(slot(b"k"), b"k", stamp(2));
    assert!(!marked(&world));
    world.bitcask.mark(slot(b"k"), b"k", stamp(1));
    assert!(marked(&world));
    world.put(b"k", 2, b"y");
    world.settle();
    assert!(!marked(&world));
    world.bitcask.mark(slot(b"k"), b"k", stamp(2));
    assert!(!marked(&world.reopen()));
}

#[test]
fn slots_are_summed_and_walked_in_order() {
    let (mut one, mut other) = (World::new(1, options()), World::new(2, options()));
    let put = |world: &mut World, n: u64, round| {
        let key = n.to_le_bytes();
        let record =
            bitcask::Record { slot: 5, key: &key, stamp: stamp(round), kind: Kind::Value, body: b"x" };
        world.bitcask.append(record).unwrap();
    };
    for n in 0..300 {
        put(&mut one, n, 1);
        put(&mut other, 299 - n, 1 + n % 2);
        put(&mut other, 299 - n, 1);
    }
    one.settle();
    other.settle();
    assert_ne!(one.bitcask.slot_summary(5), other.bitcask.slot_summary(5));
    for n in (0..300).filter(|n| (299 - n) % 2 == 1) {
        put(&mut one, n, 2);
    }
    one.settle();
    assert_eq!(one.bitcask.slot_summary(5), other.bitcask.slot_summary(5));
    assert_eq!(one.bitcask.slot_summary(5).keys, 300);
    let mut walked = Vec::new();
    let mut from = Some(Fingerprint::MIN);
    while let Some(at) = from {
        let part = one.bitcask.slot_entries(5, at, 7);
        from = part.last().and_then(|(fp, _)| fp.next());
        walked.extend(part);
    }
    assert_eq!(walked.len(), 300);
    assert!(walked.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let found = match one.bitcask.read_fingerprint(&mut one.disk, 5, walked[0].0) {
        Read::Ready(found) => found,
        other => panic!("{other:?}"),
    };
    assert_eq!(one.bitcask.fingerprint(&found.key), walked[0].0);
    let one = one.reopen();
    assert_eq!(one.bitcask.slot_summary(5), other.bitcask.slot_summary(5));
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let mut world = World::new(1, bitcask::Options { keys_max: 1, ..options() });
    let mut append = |key: &[u8], round, body: &[u8]| {
        let record = bitcask::Record { slot: 0, key, stamp: stamp(round), kind: Kind::Value, body };
        let result = world.bitcask.append(record);
        world.settle();
        result
    };
    assert_eq!(append(&[0; (64 << 10) + 1], 1, b""), Err(AppendError::TooLarge));
    assert_eq!(append(b"k", 1, &vec![0; (24 << 20) + 1]), Err(AppendError::TooLarge));
    assert_eq!(append(b"k", 1 << 47, b""), Err(AppendError::Round));
    append(b"k", (1 << 47) - 1, b"").unwrap();
    assert_eq!(append(b"other", 1, b""), Err(AppendError::TooManyKeys));
    assert_eq!(world.bitcask.append_meta(0, &vec![0; 1 << 20]), Err(AppendError::TooLarge));
}
