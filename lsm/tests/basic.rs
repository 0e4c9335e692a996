//! What each call does, without trouble.

use lsm::{ApplyError, Batch, Pressure, Scan, Version};

use crate::world::{options, World};

fn key(number: u64) -> Vec<u8> {
    format!("key-{number:06}").into_bytes()
}

fn fill(world: &mut World, numbers: impl Iterator<Item = u64>, value: &str) {
    for number in numbers {
        world.put(&key(number), format!("{value} {number}").as_bytes());
    }
}

fn scan(first: &[u8], end: &[u8], reverse: bool, rows_max: usize) -> Scan {
    Scan { first: first.into(), end: Some(end.into()), reverse, rows_max, bytes_max: usize::MAX }
}

#[test]
fn what_is_put_is_there_at_once_and_after_a_restart() {
    let mut world = World::new(1, options());
    assert!(world.ready.is_some_and(|recovered| recovered.fresh));
    fill(&mut world, 0..3_000, "value");
    assert_eq!(world.get(&key(77)).as_deref(), Some(&b"value 77"[..]));
    assert_eq!(world.get(b"key"), None);
    world.flush();
    assert_eq!(world.flushed, world.lsm.version());
    let stats = world.lsm.stats();
    assert!(stats.counters.compactions + stats.counters.moves > 0 && stats.memtable_bytes == 0, "{stats:?}");
    let mut world = world.reopened();
    assert!(world.ready.is_some_and(|recovered| !recovered.fresh && recovered.tables > 1));
    for number in [0, 77, 2_999] {
        assert_eq!(world.get(&key(number)), Some(format!("value {number}").into_bytes()));
    }
    assert_eq!(world.all().len(), 3_000);
    assert_eq!(world.lsm.version(), world.flushed, "versions go on where they were");
}

#[test]
fn what_was_not_flushed_is_not_there_after_a_restart() {
    let mut world = World::new(2, options());
    let first = world.put(b"a", b"1");
    world.flush();
    world.put(b"a", b"2");
    world.put(b"b", b"2");
    let mut world = world.restarted(true);
    world.settle();
    assert_eq!(world.ready.map(|recovered| recovered.flushed_to), Some(first));
    assert_eq!((world.get(b"a"), world.get(b"b")), (Some(b"1".to_vec()), None));
}

#[test]
fn scans_go_both_ways_and_say_whether_there_is_more() {
    let mut world = World::new(3, options());
    fill(&mut world, (0..2_000).step_by(2), "old");
    world.flush();
    fill(&mut world, (1..2_000).step_by(2), "new");
    let numbers = |rows: &lsm::Rows| -> Vec<u64> {
        let number = |(key, _): (&[u8], &[u8])| String::from_utf8_lossy(&key[4..]).parse().unwrap();
        rows.iter().map(number).collect()
    };
    let rows = world.try_scan(scan(&key(500), &key(510), false, 100), None).unwrap();
    assert_eq!((numbers(&rows), rows.more), ((500..510).collect(), false));
    let rows = world.try_scan(scan(&key(500), &key(510), true, 4), None).unwrap();
    assert_eq!((numbers(&rows), rows.more), (vec![509, 508, 507, 506], true));
    let rows = world.try_scan(scan(&key(1_998), b"z", false, 2), None).unwrap();
    assert_eq!((numbers(&rows), rows.more), (vec![1_998, 1_999], false));
    let few = Scan { bytes_max: 30, ..scan(b"", b"z", false, 100) };
    let rows = world.try_scan(few, None).unwrap();
    assert_eq!((numbers(&rows), rows.more), (vec![0, 1], true), "bytes are a bound as well");
    let rows = world.try_scan(scan(&key(7), &key(7), true, 2), None).unwrap();
    assert!(rows.is_empty() && !rows.more);
}

#[test]
fn a_batch_happens_in_its_order() {
    let mut world = World::new(4, options());
    let mut batch = Batch::new();
    batch.put(b"a", b"1");
    batch.put(b"b", b"1");
    batch.delete_range(b"a", b"b");
    batch.put(b"a", b"2");
    batch.delete(b"b");
    batch.put(b"b", b"3");
    assert_eq!(world.apply(&batch), Version(6));
    assert_eq!((world.get(b"a"), world.get(b"b")), (Some(b"2".to_vec()), Some(b"3".to_vec())));
    world.delete_range(b"a", b"b");
    assert_eq!((world.get(b"a"), world.get(b"b")), (None, Some(b"3".to_vec())));
    world.flush();
    assert_eq!(world.all(), [(b"b".to_vec(), b"3".to_vec())]);
}

#[test]
fn a_snapshot_sees_what_was_there_when_it_was_taken() {
    let mut world = World::new(5, options());
    fill(&mut world, 0..1_000, "old");
    let snapshot = world.lsm.snapshot().unwrap();
    fill(&mut world, 0..1_000, "new");
    world.delete_range(&key(100), &key(200));
    for _ in 0..3 {
        world.flush();
        fill(&mut world, 0..50, "newest");
    }
    world.flush();
    assert_eq!(world.try_get(&key(150), Some(&snapshot)).unwrap(), Some(b"old 150".to_vec()));
    assert_eq!(world.get(&key(150)), None);
    let rows = world.try_scan(scan(b"", b"z", true, usize::MAX), Some(&snapshot)).unwrap();
    assert_eq!(rows.len(), 1_000);
    assert!(rows.iter().all(|(_, value)| value.starts_with(b"old")));
    let bytes = |world: &World| world.lsm.stats().table_bytes.iter().sum::<u64>();
    let with = bytes(&world);
    drop(snapshot);
    fill(&mut world, (0..1_000).chain(0..1_000), "last");
    world.flush();
    assert!(bytes(&world) < with, "what nobody sees any more goes: {} of {with}", bytes(&world));
}

#[test]
fn deletions_leave_nothing_behind() {
    let mut world = World::new(6, options());
    fill(&mut world, 0..2_000, "value");
    (0..2_000).for_each(|number| {
        let mut batch = Batch::new();
        batch.delete(&key(number));
        world.apply(&batch);
    });
    world.delete_range(b"a", b"z");
    world.flush();
    // What is put beside it makes the last deletions go down.
    for round in 0..12 {
        fill(&mut world, (0..300).map(|number| number * 3), &format!("round {round}"));
        world.flush();
    }
    world.delete_range(b"a", b"z");
    for round in 0..4 {
        world.put(b"zz", &[round]);
        world.flush();
    }
    assert_eq!(world.all().len(), 1);
    let bytes: u64 = world.lsm.stats().table_bytes.iter().sum();
    assert!(bytes < 16 << 10, "{bytes} bytes are left");
}

#[test]
fn what_is_too_large_is_refused_as_a_whole() {
    let mut world = World::new(7, options());
    let mut batch = Batch::new();
    batch.put(b"a", b"1");
    batch.put(&vec![0; lsm::limits::KEY_BYTES_MAX + 1], b"1");
    assert_eq!(world.lsm.apply(&batch), Err(ApplyError::TooLarge));
    assert_eq!(world.get(b"a"), None);
    let mut batch = Batch::new();
    batch.put(&vec![7; lsm::limits::KEY_BYTES_MAX], &vec![1; 1 << 20]);
    world.apply(&batch);
    world.flush();
    assert_eq!(world.get(&vec![7; lsm::limits::KEY_BYTES_MAX]).map(|value| value.len()), Some(1 << 20));
}

#[test]
fn who_writes_faster_than_the_disk_is_slowed_down_and_then_stopped() {
    let mut world = World::new(8, options());
    let mut batch = Batch::new();
    batch.put(b"key", &[0; 1_000]);
    let mut met = [0, 0, 0];
    // No background work is done at all.
    let error = loop {
        match world.lsm.pressure() {
            Pressure::None => met[0] += 1,
            Pressure::Slow { bytes_per_second } => {
                assert!(bytes_per_second > 0);
                met[1] += 1;
            }
            Pressure::Stop => met[2] += 1,
        }
        if let Err(error) = world.lsm.apply(&batch) {
            break error;
        }
    };
    assert_eq!(error, ApplyError::Stalled);
    assert!(met[0] > 10 && met[1] > 10, "{met:?}");
    world.settle();
    assert_eq!(world.lsm.pressure(), Pressure::None);
    assert!(world.lsm.apply(&batch).is_ok());
}
