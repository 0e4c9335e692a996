//! Rows that come from elsewhere in their order, in place of a range.

use lsm::{Scan, Version};

use crate::world::{options, World};

fn key(number: u64) -> Vec<u8> {
    format!("{number:05}").into_bytes()
}

fn push(world: &mut World, id: lsm::IngestId, numbers: std::ops::Range<u64>, value: &[u8]) {
    for number in numbers {
        while !world.lsm.ingest_has_room(id) {
            assert!(world.turn(), "background work makes room");
        }
        assert!(world.lsm.ingest_row(id, &key(number), value));
    }
}

#[test]
fn a_range_is_replaced_at_once_and_as_a_whole() {
    let mut world = World::new(1, options());
    for number in 0..1_000 {
        world.put(&key(number), b"old");
    }
    let snapshot = world.lsm.snapshot().unwrap();
    let id = world.lsm.ingest(&key(200), &key(800));
    push(&mut world, id, 300..900 - 100, &[7; 100]);
    world.put(&key(100), b"beside");
    world.settle();
    assert_eq!(world.get(&key(250)), Some(b"old".to_vec()), "not before all rows are there");
    world.lsm.ingest_end(id);
    world.settle();
    let version = world.ingested[&id];
    assert!(version > Version(1_001));
    assert_eq!((world.get(&key(250)), world.get(&key(300))), (None, Some(vec![7; 100])));
    assert_eq!(world.get(&key(100)), Some(b"beside".to_vec()));
    assert_eq!(world.try_get(&key(250), Some(&snapshot)).unwrap(), Some(b"old".to_vec()));
    drop(snapshot);
    // It is durable, with all that was applied before.
    let mut world = world.restarted(true);
    world.settle();
    let rows = world.all();
    assert_eq!(rows.len(), 1_000 - 600 + 500);
    assert_eq!(rows.iter().filter(|(_, value)| value.len() == 100).count(), 500);
    assert!(world.lsm.version() >= version, "versions are not given twice");
    // What is put later is newer.
    world.put(&key(400), b"newer");
    world.flush();
    assert_eq!(world.get(&key(400)), Some(b"newer".to_vec()));
}

#[test]
fn into_an_empty_tree_rows_go_where_they_stay() {
    let mut world = World::new(2, options());
    let id = world.lsm.ingest(b"0", b"9");
    push(&mut world, id, 0..5_000, &[1; 60]);
    world.lsm.ingest_end(id);
    world.settle();
    let stats = world.lsm.stats();
    assert_eq!(stats.tables[..6], [0; 6], "nothing is above them");
    assert!(stats.tables[6] > 2);
    assert_eq!(stats.counters.compactions, 0, "nothing is rewritten");
    assert_eq!(world.all().len(), 5_000);
    let last =
        Scan { end: Some((*b"9").into()), reverse: true, rows_max: 1, bytes_max: 1, ..Scan::default() };
    assert_eq!(world.try_scan(last, None).unwrap().row(0).0, key(4_999));
}

#[test]
fn rows_out_of_order_or_out_of_the_range_are_refused() {
    let mut world = World::new(3, options());
    let id = world.lsm.ingest(b"b", b"d");
    assert!(world.lsm.ingest_row(id, b"b", b"1"));
    for (key, why) in [(b"b", "the same"), (b"a", "below the range"), (b"d", "the end")] {
        assert!(!world.lsm.ingest_row(id, key, b"2"), "{why}");
    }
    assert!(world.lsm.ingest_row(id, b"c", b"3"));
    world.lsm.ingest_end(id);
    assert!(!world.lsm.ingest_row(id, b"cc", b"4"), "it was ended");
    world.settle();
    assert_eq!(world.all(), [(b"b".to_vec(), b"1".to_vec()), (b"c".to_vec(), b"3".to_vec())]);
    assert!(!world.lsm.ingest_row(id, b"cc", b"4") && !world.lsm.ingest_has_room(id), "it is over");
}

#[test]
fn what_is_abandoned_or_cut_off_leaves_nothing() {
    let mut world = World::new(4, options());
    world.put(&key(5), b"old");
    world.flush();
    let id = world.lsm.ingest(&key(0), &key(900));
    push(&mut world, id, 0..800, &[1; 100]);
    world.settle();
    world.lsm.ingest_abandon(id);
    world.settle();
    assert_eq!(world.lost, [id]);
    assert_eq!(world.all(), [(key(5), b"old".to_vec())]);
    let id = world.lsm.ingest(&key(0), &key(900));
    push(&mut world, id, 0..800, &[1; 100]);
    world.settle();
    let mut world = world.reopened();
    assert!(world.ready.is_some_and(|recovered| recovered.orphans > 0));
    assert_eq!(world.all(), [(key(5), b"old".to_vec())]);
    let files = world.disk.list().into_iter().filter(|(name, _)| name.ends_with(".table")).count();
    assert_eq!(files as u64, world.lsm.stats().tables.iter().sum::<u64>());
}
