//! Corners that a second reader of the engine found: each was wrong once.

use std::collections::BTreeMap;

use lsm::{ApplyError, Batch, Codec, Fault, Get, LevelOptions, Options, ReadError, Scan};
use reactor::frame::{self, Filling, Header};
use reactor::rng::Rng;
use reactor::AlignedBuf;

use crate::world::{options, World};

fn key(number: u64) -> Vec<u8> {
    format!("{number:05}").into_bytes()
}

fn tables(world: &World) -> Vec<(String, u64)> {
    world.disk.list().into_iter().filter(|(name, _)| name.ends_with(".table")).collect()
}

fn feed(world: &mut World, id: lsm::IngestId, rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) {
    for (key, value) in rows {
        while !world.lsm.ingest_has_room(id) {
            assert!(world.turn());
        }
        assert!(world.lsm.ingest_row(id, &key, &value));
    }
}

fn mend(world: &mut World, key: &[u8], value_bytes: usize) -> lsm::Damage {
    let error = world.try_get(key, None).expect_err("it is damaged");
    let ReadError::Damaged(damage) = error else { panic!("{error}") };
    let id = world.lsm.ingest(&damage.first, &damage.end);
    let mut rng = Rng::new(9);
    let rows: Vec<_> = (0..1_500)
        .map(self::key)
        .filter(|key| **key >= *damage.first && **key < *damage.end)
        .map(|key| {
            let mut value = vec![0; value_bytes];
            rng.fill(&mut value);
            (key, value)
        })
        .collect();
    feed(world, id, rows.into_iter());
    world.lsm.ingest_end(id);
    world.settle();
    assert!(world.ingested.contains_key(&id));
    damage
}

fn write_until_stalled(world: &mut World) -> Option<u64> {
    let mut rng = Rng::new(4);
    for round in 0..20_000_u64 {
        let mut batch = Batch::new();
        let mut value = vec![0; 100];
        rng.fill(&mut value);
        batch.put(&self::key(rng.below(1_500)), &value);
        loop {
            match world.lsm.apply(&batch) {
                Ok(_) => break,
                Err(ApplyError::Stalled) => {
                    if !world.turn() {
                        return Some(round);
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    None
}

fn reseal(world: &mut World, name: &str, offset: u64, change: impl FnOnce(&mut [u8])) {
    let id =
        u64::from_str_radix(&name["lsm-".len()..name.len() - ".table".len()], 16).expect("a table's file");
    let mut bytes = world.disk.bytes_of(name).expect("a table's file");
    let at = offset as usize;
    let stored = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().expect("a table's file")) as usize;
    let block = &mut bytes[at..at + 16 + stored];
    change(&mut block[16..]);
    let mut place = Vec::new();
    place.extend_from_slice(&id.to_le_bytes());
    place.extend_from_slice(&offset.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&place), &block[4..]);
    block[..4].copy_from_slice(&crc.to_le_bytes());
    world.disk.put(name, &bytes);
}

fn forge(world: &mut World, next_id: u64, flushed: u64) {
    world.put(b"first", b"edit");
    world.flush();
    let (name, _) =
        world.disk.list().into_iter().find(|(name, _)| name.contains("manifest")).expect("a manifest");
    let bytes = world.disk.bytes_of(&name).expect("a manifest");
    let (header, _) = frame::decode(&bytes).expect("a manifest");
    let mut payload = Vec::new();
    for mut number in [next_id, flushed, 0, 0] {
        while number >= 0x80 {
            payload.push(number as u8 | 0x80);
            number >>= 7;
        }
        payload.push(number as u8);
    }
    let mut filling = Filling::new(AlignedBuf::default());
    filling.extend(payload.len()).copy_from_slice(&payload);
    let (_, buf) = filling.seal(Header { ..header });
    let mut file = buf.as_slice().to_vec();
    file.resize(32 << 10, 0);
    world.disk.put(&name, &file);
}

#[test]
fn a_snapshot_that_is_taken_while_rows_are_taken_in_sees_one_thing() {
    let mut world = World::new(1, options());
    world.put(b"a", b"old");
    world.flush();
    let id = world.lsm.ingest(b"a", b"b");
    feed(&mut world, id, [(b"a".to_vec(), b"new".to_vec())].into_iter());
    world.lsm.ingest_end(id);
    let mut before = Vec::new();
    while world.ingested.is_empty() {
        before.push(world.lsm.snapshot().unwrap());
        assert!(world.turn());
    }
    assert!(before.len() > 2);
    before.pop();
    for snapshot in before {
        assert_eq!(world.try_get(b"a", Some(&snapshot)).unwrap().as_deref(), Some(&b"old"[..]));
    }
    let after = world.lsm.snapshot().unwrap();
    assert_eq!(world.try_get(b"a", Some(&after)).unwrap().as_deref(), Some(&b"new"[..]));
}

#[test]
fn an_ingestion_waits_for_what_is_in_memory_and_not_for_another_one() {
    let mut world = World::new(1, options());
    world.put(b"x", b"1");
    let a = world.lsm.ingest(b"a", b"b");
    let b = world.lsm.ingest(b"m", b"n");
    world.lsm.ingest_end(a);
    while world.lsm.stats().sealed_memtables == 0 && world.lsm.stats().counters.flushes == 0 {
        assert!(world.turn());
    }
    let y = world.put(b"y", b"2");
    while world.lsm.version() == y {
        assert!(world.turn());
    }
    world.lsm.ingest_end(b);
    world.settle();
    world.lsm.flush();
    world.settle();
    assert!(world.ingested.contains_key(&a));
    assert!(world.ingested.contains_key(&b), "the second one ends");
}

#[test]
fn a_damaged_table_of_the_first_level_goes_when_it_is_mended() {
    let mut world = World::new(3, options());
    for number in 0..100 {
        world.put(&key(number), &[7; 20]);
    }
    world.flush();
    let mut world = world.reopened();
    assert_eq!(world.lsm.stats().tables[0], 1);
    let (name, _) = tables(&world).remove(0);
    assert!(world.disk.overwrite(&name, 20, &[0x55; 64]));
    mend(&mut world, &key(1), 20);
    let stalled = write_until_stalled(&mut world);
    world.lsm.flush();
    assert_eq!(world.lsm.stats().damaged_tables, 0);
    assert_eq!(stalled, None);
}

#[test]
fn a_damaged_table_goes_when_two_tables_mend_it() {
    let mut world = World::new(4, options());
    let mut rng = Rng::new(1);
    for number in 0..1_500 {
        let mut value = vec![0; 40];
        rng.fill(&mut value);
        world.put(&key(number), &value);
    }
    world.flush();
    let mut world = world.reopened();
    let (name, _) = tables(&world).remove(1);
    assert!(world.disk.overwrite(&name, 20, &[0x55; 64]));
    let bad = (0..1_500).map(key).find(|key| world.try_get(key, None).is_err()).unwrap();
    mend(&mut world, &bad, 120);
    let stalled = write_until_stalled(&mut world);
    assert_eq!(world.lsm.stats().damaged_tables, 0);
    assert_eq!(stalled, None);
}

#[test]
fn a_damaged_table_below_others_goes_when_two_tables_mend_it() {
    let mut world = World::new(
        4,
        Options { levels: LevelOptions { base_bytes: 1 << 20, ..options().levels }, ..options() },
    );
    let mut rng = Rng::new(1);
    for number in 0..1_500 {
        let mut value = vec![0; 40];
        rng.fill(&mut value);
        world.put(&key(number), &value);
    }
    world.flush();
    while world.lsm.stats().tables[0] > 0 {
        world.put(&key(1), &[1; 40]);
        world.put(&key(1_499), &[1; 40]);
        world.flush();
    }
    world.put(&key(0), &[1; 40]);
    world.put(&key(1_499), &[1; 40]);
    world.flush();
    let mut world = world.reopened();
    let (name, _) = tables(&world).remove(1);
    assert!(world.disk.overwrite(&name, 20, &[0x55; 64]));
    let bad = (0..1_500).map(key).find(|key| world.try_get(key, None).is_err()).unwrap();
    mend(&mut world, &bad, 120);
    let stalled = write_until_stalled(&mut world);
    assert_eq!(stalled, None);
}

#[test]
fn a_manifest_may_say_more_than_it_has_bytes() {
    let mut world = World::new(1, Options { manifest_bytes: 4_194_304, ..options() });
    let id = world.lsm.ingest(b"a", b"z");
    let rows = (0..80_u8).map(|number| {
        let mut key = vec![b'k'; 60_000];
        key[0] = b'b';
        key[1] = number;
        (key, vec![1; 10])
    });
    for (key, value) in rows {
        while !world.lsm.ingest_has_room(id) {
            world.turn();
        }
        assert!(world.lsm.ingest_row(id, &key, &value));
    }
    world.lsm.ingest_end(id);
    for _ in 0..3_000 {
        world.turn();
        world.lsm.background(&mut world.disk, world.now, 1 << 20);
    }
    assert!(world.ingested.contains_key(&id));
}

#[test]
fn a_manifest_that_grew_beyond_its_file_goes_on() {
    let mut world = World::new(1, options());
    let mut number = 0_u64;
    let mut turns = 0;
    while turns < 20_000 && number < 3_000 {
        let mut key = format!("{number:06}").into_bytes();
        key.resize(2_000, b'x');
        let mut batch = Batch::new();
        batch.put(&key, &[number as u8; 2_000]);
        match world.lsm.apply(&batch) {
            Ok(_) => number += 1,
            Err(ApplyError::Stalled) => {}
            Err(error) => panic!("{error}"),
        }
        world.turn();
        world.lsm.background(&mut world.disk, world.now, 1 << 20);
        turns += 1;
    }
    assert_eq!(number, 3_000);
}

#[test]
fn a_key_that_is_too_long_is_not_ingested() {
    let mut world = World::new(1, options());
    let id = world.lsm.ingest(b"a", b"z");
    let long = vec![b'k'; 70_000];
    let taken = world.lsm.ingest_row(id, &long, b"1");
    world.lsm.ingest_row(id, b"l", b"2");
    world.lsm.ingest_end(id);
    world.settle();
    assert!(world.ingested.contains_key(&id));
    let found = world.try_get(&long, None);
    assert!(!taken || found.is_ok());
}

#[test]
fn space_again_is_told_after_an_ingestion_that_was_lost() {
    let mut world = World::new(1, options());
    world.put(b"a", b"1");
    world.flush();
    world.disk.set_capacity(world.disk.used_bytes() + 4_096);
    let id = world.lsm.ingest(b"a", b"z");
    feed(
        &mut world,
        id,
        (0..400).map(|number| (format!("b{number:05}").into_bytes(), vec![number as u8; 500])),
    );
    world.lsm.ingest_end(id);
    world.settle();
    assert_eq!((world.full, &world.lost[..]), (true, &[id][..]));
    world.disk.set_capacity(u64::MAX);
    for _ in 0..100 {
        world.settle_while_full();
    }
    assert!(!world.full, "there is space again");
}

#[test]
fn space_again_is_told_after_a_start_on_a_full_disk() {
    let mut world = World::new(2, options());
    world.put(b"a", b"1");
    world.flush();
    world.disk.set_capacity(world.disk.used_bytes());
    let mut world = world.restarted(false);
    world.settle();
    assert!(world.full);
    world.disk.set_capacity(u64::MAX);
    for _ in 0..100 {
        world.settle_while_full();
    }
    assert!(world.ready.is_some());
    assert!(!world.full, "there is space again");
}

#[test]
fn a_block_that_is_not_sorted_is_damage() {
    let plain = Options { codec: Codec::None, last_codec: Codec::None, ..options() };
    let mut world = World::new(1, plain);
    world.put(b"k1", b"1");
    world.put(b"k5", b"5");
    world.flush();
    let (name, _) = tables(&world).remove(0);
    reseal(&mut world, &name, 0, |raw| {
        let at = raw.iter().position(|byte| *byte == b'5').unwrap();
        raw[at] = b'0';
    });
    let mut world = world.reopened();
    for _ in 0..6 {
        world.put(b"k0", b"x");
        world.put(b"k9", b"x");
        world.flush();
    }
    assert!(world.damaged.iter().any(|damage| damage.message.contains("order")), "{:?}", world.damaged);
}

#[test]
fn a_manifest_at_the_end_of_versions_is_damage() {
    let mut world = World::new(1, options());
    forge(&mut world, 1, u64::MAX);
    let mut world = world.restarted(false);
    world.settle();
    assert!(matches!(world.failed, Some(Fault::Damage { .. })), "{:?}", world.failed);
}

#[test]
fn a_manifest_beyond_all_versions_is_damage() {
    let mut world = World::new(1, options());
    forge(&mut world, 1, 1 << 63);
    let mut world = world.restarted(false);
    world.settle();
    assert!(matches!(world.failed, Some(Fault::Damage { .. })), "{:?}", world.failed);
}

#[test]
fn a_manifest_at_the_end_of_numbers_is_damage() {
    let mut world = World::new(1, options());
    forge(&mut world, u64::MAX, 1);
    let mut world = world.restarted(false);
    world.settle();
    assert!(matches!(world.failed, Some(Fault::Damage { .. })), "{:?}", world.failed);
}

#[test]
fn a_file_of_the_last_number_is_nobodys() {
    let mut world = World::new(1, options());
    world.disk.put("lsm-ffffffffffffffff.table", &[0; 4_096]);
    let mut world = world.restarted(false);
    world.settle();
    assert!(world.ready.is_some(), "{:?}", world.failed);
}

#[test]
fn before_it_is_ready_nothing_is_read_or_ingested() {
    let mut world = World::new(1, options());
    world.put(b"m", b"old");
    world.flush();
    let mut world = world.restarted(false);
    let get = world.lsm.get(&mut world.disk, b"m", None);
    let id = world.lsm.ingest(b"a", b"b");
    world.lsm.ingest_row(id, b"a", b"1");
    world.lsm.ingest_end(id);
    world.settle();
    let mut world = world.restarted(false);
    world.settle();
    assert_eq!(world.get(b"m"), Some(b"old".to_vec()));
    assert_ne!(get, Get::Ready(None));
}

#[test]
fn a_new_manifest_waits_until_the_last_try_is_gone() {
    let mut world = World::new(2, options());
    world.put(b"a", b"1");
    world.flush();
    world.disk.set_capacity(world.disk.used_bytes());
    let mut world = world.restarted(false);
    while !world.full {
        assert!(world.turn());
    }
    world.disk.set_capacity(u64::MAX);
    world.now += 5_000_000_000;
    world.lsm.background(&mut world.disk, world.now, 1);
    world.settle();
    assert_eq!(world.failed, None);
}

#[test]
fn rows_that_compress_well_become_many_tables() {
    let mut world = World::new(
        2,
        Options {
            block_bytes: 16 << 10,
            table_bytes: 16 << 10,
            memtable_bytes: 64 << 10,
            codec: Codec::None,
            last_codec: Codec::Zstd,
            ..options()
        },
    );
    // Something that keeps what is ingested out of the last level.
    world.put(b"a", b"1");
    world.put(b"z", b"1");
    world.flush();
    let mut rng = Rng::new(7);
    let id = world.lsm.ingest(b"A", b"B");
    // The last level becomes so large that others are used above it.
    feed(
        &mut world,
        id,
        (0..3_000).map(|number| {
            let mut value = vec![0; 100];
            rng.fill(&mut value);
            (format!("A{number:08}").into_bytes(), value)
        }),
    );
    world.lsm.ingest_end(id);
    world.settle();
    let id = world.lsm.ingest(b"a", b"y");
    feed(&mut world, id, (0..8_000).map(|number| (format!("b{number:08}").into_bytes(), vec![7; 4_000])));
    world.lsm.ingest_end(id);
    world.settle();
    for round in 0..8_u8 {
        world.put(b"a", &[round]);
        world.put(b"b00004000x", &[round]);
        world.put(b"z", &[round]);
        world.flush();
    }
}

#[test]
fn what_a_snapshot_kept_goes_after_it() {
    let mut world = World::new(2, options());
    for number in 0..1_500 {
        world.put(&key(number), &[1; 40]);
    }
    world.flush();
    while world.lsm.stats().tables[0] > 0 {
        world.put(&key(1), &[1; 40]);
        world.flush();
    }
    let snapshot = world.lsm.snapshot();
    world.delete_range(b"0", b"9");
    world.flush();
    drop(snapshot);
    world.settle_while_full();
    let after = world.lsm.stats();
    assert!(after.counters.drops > 0);
}

#[test]
fn a_read_after_the_end_is_refused() {
    let mut world = World::new(1, options());
    for number in 0..1_500 {
        world.put(&key(number), &[1; 40]);
    }
    world.flush();
    let mut world = world.reopened();
    world.disk.fail_nth(0, reactor::sim::Fault::Io);
    world.put(b"a", b"1");
    world.lsm.flush();
    while world.failed.is_none() {
        assert!(world.turn());
    }
    let Get::Pending(ticket) = world.lsm.get(&mut world.disk, &key(7), None) else { panic!("it is refused") };
    world.work();
    assert_eq!(world.got.remove(&ticket), Some(Err(ReadError::Failed)));
}

#[test]
fn a_compaction_whose_read_is_refused_is_tried_again() {
    for nth in 0..400 {
        let mut world = World::new(5, options());
        for number in 0..1_500 {
            world.put(&key(number), &[number as u8; 40]);
        }
        world.flush();
        world.disk.fail_nth(nth, reactor::sim::Fault::Io);
        for round in 0..6_u8 {
            if world.failed.is_none() {
                world.put(&key(1), &[round; 40]);
                world.put(&key(1_499), &[round; 40]);
                world.flush();
            }
        }
        if world.failed.is_none() && !world.damaged.is_empty() {
            panic!("the disk refused one read, and the table counts as damaged");
        }
    }
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// An ingestion: its range, its rows, those that are still to be given, and whether it was ended.
type Running = (lsm::IngestId, u64, u64, Map, Vec<(Vec<u8>, Vec<u8>)>, bool);

/// Takes note of the ingestions that have come to their end, in the order of their versions.
fn note(world: &mut World, running: &mut Vec<Running>, map: &mut Map) {
    let mut over: Vec<_> =
        running.iter().filter_map(|(id, ..)| Some((*world.ingested.get(id)?, *id))).collect();
    over.sort_unstable();
    for (_, id) in over {
        let at = running.iter().position(|(other, ..)| *other == id).expect("it is running");
        let (_, first, end, rows, ..) = running.remove(at);
        map.retain(|k, _| *k < key(first) || *k >= key(end));
        map.extend(rows);
    }
}

#[test]
fn overlapping_ingestions_and_moves() {
    let (mut moves, mut ingested, mut drops, mut snaps) = (0, 0, 0, 0);
    for seed in 0..15_u64 {
        let mut rng = Rng::new(seed);
        let levels = LevelOptions {
            first_tables: 1 + rng.below(3) as usize,
            base_bytes: 4 << 10 << rng.below(4),
            factor: 2 + rng.below(3),
        };
        let mut world = World::new(
            seed,
            Options {
                levels,
                table_bytes: 4 << 10,
                memtable_bytes: 4 << 10,
                manifest_bytes: 64 << 10,
                ..options()
            },
        );
        world.budget = 1 << rng.between(8, 14);
        let mut map = Map::new();
        let mut running: Vec<Running> = Vec::new();
        let mut snapshots: Vec<(lsm::Snapshot, Map)> = Vec::new();
        for step in 0..1_200_u64 {
            // Reads may have brought one to its end.
            note(&mut world, &mut running, &mut map);
            let center = if rng.below(3) == 0 { rng.below(3_000) } else { step * 2 + rng.below(20) };
            match rng.below(20) {
                0..9 => {
                    let mut batch = Batch::new();
                    let mut changes: Vec<(u64, Option<Vec<u8>>, u64)> = Vec::new();
                    for _ in 0..1 + rng.below(6) {
                        let number = center + rng.below(10);
                        match rng.below(12) {
                            0 => changes.push((number, None, number + 1 + rng.below(300))),
                            1 => changes.push((number, None, number)),
                            _ => changes.push((
                                number,
                                Some(vec![rng.next_u64() as u8; rng.below(200) as usize]),
                                number,
                            )),
                        }
                    }
                    let hits = |from: u64, to: u64| {
                        running.iter().any(|(_, first, end, ..)| from < *end && *first <= to)
                    };
                    if changes.iter().any(|(number, _, end)| hits(*number, *end)) {
                        continue;
                    }
                    for (number, value, end) in &changes {
                        match value {
                            Some(value) => batch.put(&key(*number), value),
                            None if end > number => batch.delete_range(&key(*number), &key(*end)),
                            None => batch.delete(&key(*number)),
                        }
                    }
                    if world.lsm.apply(&batch).is_ok() {
                        for (number, value, end) in changes {
                            match value {
                                Some(value) => drop(map.insert(key(number), value)),
                                None if end > number => map.retain(|k, _| *k < key(number) || *k >= key(end)),
                                None => drop(map.remove(&key(number))),
                            }
                        }
                    }
                }
                9 if running.len() < 3 => {
                    let first = center;
                    let end = first + 1 + rng.below(400);
                    let mut rows = Map::new();
                    for _ in 0..rng.below(120) {
                        rows.insert(
                            key(first + rng.below(end - first)),
                            vec![rng.next_u64() as u8; rng.below(200) as usize],
                        );
                    }
                    let id = world.lsm.ingest(&key(first), &key(end));
                    let left = rows.iter().rev().map(|(k, v)| (k.clone(), v.clone())).collect();
                    running.push((id, first, end, rows, left, false));
                }
                10..13 => {
                    let Some(at) = (!running.is_empty()).then(|| rng.below(running.len() as u64) as usize)
                    else {
                        continue;
                    };
                    let (id, _, _, _, left, is_ended) = &mut running[at];
                    for _ in 0..50 {
                        if !world.lsm.ingest_has_room(*id) {
                            break;
                        }
                        let Some((k, v)) = left.pop() else { break };
                        assert!(world.lsm.ingest_row(*id, &k, &v));
                    }
                    if left.is_empty() && !*is_ended {
                        *is_ended = true;
                        world.lsm.ingest_end(*id);
                    }
                }
                13 => world.lsm.flush(),
                14 => {
                    snapshots.push((world.lsm.snapshot().unwrap(), map.clone()));
                    snaps += 1;
                    if snapshots.len() > 2 {
                        snapshots.remove(rng.below(3) as usize);
                    }
                }
                _ => {
                    for _ in 0..rng.below(8) {
                        world.turn();
                    }
                }
            }
            note(&mut world, &mut running, &mut map);
            assert!(world.failed.is_none(), "{:?}", world.failed);
            if step % 40 == 0 {
                // Reads may bring an ingestion to its end: what is there is compared where none is on its way.
                if running.iter().all(|(.., is_ended)| !is_ended) {
                    assert!(world.all().into_iter().collect::<Map>() == map, "seed {seed} step {step}");
                    for (k, v) in map.iter().take(30) {
                        assert_eq!(world.get(k).as_ref(), Some(v), "seed {seed}");
                    }
                    let gone = key(rng.below(3_000));
                    assert_eq!(world.get(&gone), map.get(&gone).cloned(), "seed {seed}");
                }
                for (snapshot, map) in &snapshots {
                    let scan = Scan {
                        rows_max: usize::MAX,
                        bytes_max: usize::MAX,
                        reverse: seed % 2 == 0,
                        ..Scan::default()
                    };
                    let rows = world.try_scan(scan, Some(snapshot)).unwrap();
                    assert!(
                        rows.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect::<Map>() == *map,
                        "seed {seed} step {step} snapshot"
                    );
                    let number = key(rng.below(3_000));
                    assert_eq!(
                        world.try_get(&number, Some(snapshot)).unwrap(),
                        map.get(&number).cloned(),
                        "seed {seed} snapshot get"
                    );
                }
            }
        }
        ingested += world.ingested.len() as u64;
        let counters = world.lsm.stats().counters;
        moves += counters.moves;
        drops += counters.drops;
    }
    assert!(
        [moves, drops, ingested, snaps].iter().all(|count| *count > 10),
        "{moves} {drops} {ingested} {snaps}"
    );
}
