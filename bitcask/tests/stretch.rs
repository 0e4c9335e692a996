//! Stretches of the log: what is read in order is what the directory needs, wherever one begins.

use std::collections::{BTreeMap, BTreeSet};

use bitcask::limits::STRETCH_BYTES_MAX;
use bitcask::{Kind, LogEnd, LogPlace, Options, Record, Stretch, Stretched};
use reactor::rng::Rng;

use crate::world::{options, slot, stamp, World};

const LAST: LogPlace = LogPlace { segment: u32::MAX, block: u32::MAX };
const EVERYTHING: LogEnd = LogEnd { place: LAST, newest: u32::MAX };

fn key(n: u64) -> Vec<u8> {
    format!("key-{n}").into_bytes()
}

fn wholes(stretch: &Stretch) -> impl Iterator<Item = Record<'_>> {
    stretch.records().map(|stretched| match stretched {
        Stretched::Whole(record) => record,
        Stretched::Delta(..) => panic!("there are no deltas"),
    })
}

fn put_all(world: &mut World, keys: std::ops::Range<u64>, round: u64) {
    for n in keys {
        world.put(&key(n), round, &[1; 500]);
    }
}

fn mark(world: &mut World, n: u64) {
    if let Some(entry) = world.bitcask.info(slot(&key(n)), &key(n)).entry {
        world.bitcask.mark(slot(&key(n)), &key(n), entry.stamp);
    }
}

/// All stretches between two places, in reads of so many bytes: rounds and kinds by key, and how many bytes they stand for.
fn walk(
    world: &mut World,
    mut from: LogPlace,
    until: LogEnd,
    bytes: usize,
) -> (BTreeMap<Vec<u8>, (u64, Kind)>, u64) {
    let (mut found, mut read) = (BTreeMap::new(), 0);
    while let Some(stretch) = world.stretch(from, until, bytes) {
        assert!(stretch.next > from, "it goes on");
        (from, read) = (stretch.next, read + stretch.read);
        for record in wholes(&stretch) {
            assert_eq!(record.slot, slot(record.key));
            let before = found.insert(record.key.to_vec(), (record.stamp.round, record.kind));
            // A copy that merge made meanwhile may be met after its original.
            assert!(before.is_none_or(|(round, _)| round <= record.stamp.round));
        }
    }
    (found, read)
}

/// What the directory has of keys, marked.
fn marked(world: &World, keys: u64) -> BTreeMap<Vec<u8>, (u64, Kind)> {
    let entry = |n| world.bitcask.info(slot(&key(n)), &key(n)).entry.filter(|entry| entry.marked);
    (0..keys).filter_map(|n| Some((key(n), (entry(n)?.stamp.round, entry(n)?.kind)))).collect()
}

#[test]
fn what_is_marked_and_newest_comes_once_in_pieces_of_any_size() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let mut world = World::new(seed, options());
        for round in 1..=400 {
            for _ in 0..rng.below(8) {
                let n = rng.below(60);
                match rng.below(10) {
                    0 => world.append(&key(n), round, Kind::Tombstone, b""),
                    1 => world.append(&key(n), round, Kind::Promise, b""),
                    _ => world.put(&key(n), round, &vec![7; rng.below(900) as usize]),
                };
            }
            world.turn();
        }
        world.settle();
        (0..60).filter(|n| n % 3 > 0).for_each(|n| mark(&mut world, n));
        let wanted = marked(&world, 60);
        assert!(wanted.len() > 20 && world.bitcask.stats().counters.merges > 0);
        for bytes in [0, 1, 4096, 20_000, 1 << 20] {
            let (found, read) = walk(&mut world, LogPlace::default(), EVERYTHING, bytes);
            assert_eq!(found, wanted, "seed {seed}, {bytes} bytes");
            let written: u64 = world.bitcask.stats().segment_bytes;
            assert!(read <= written, "each block stands once: {read} of {written}");
        }
    }
}

#[test]
fn what_was_written_since_a_place_lies_behind_it() {
    for merges in [false, true] {
        what_was_written_since(merges);
    }
}

fn what_was_written_since(merges: bool) {
    let mut world = World::new(1, options());
    world.background = merges;
    put_all(&mut world, 0..300, 1);
    world.settle();
    let from = world.bitcask.log_end().place;
    put_all(&mut world, 200..500, 2);
    world.settle();
    let until = LogEnd { newest: u32::MAX, ..world.bitcask.log_end() };
    put_all(&mut world, 450..600, 3);
    world.settle();
    (0..600).for_each(|n| mark(&mut world, n));
    let names = |numbers: std::ops::Range<u64>| numbers.map(key).collect::<BTreeSet<_>>();
    let keys = |found: BTreeMap<Vec<u8>, (u64, Kind)>| found.into_keys().collect::<BTreeSet<_>>();
    // What has a newer record behind the end is left out.
    assert_eq!(keys(walk(&mut world, from, until, 8_192).0), names(200..450));
    assert_eq!(keys(walk(&mut world, from, EVERYTHING, 8_192).0), names(200..600));
    if !merges {
        let end = world.bitcask.log_end().place;
        assert_eq!(walk(&mut world, end, EVERYTHING, 8_192).0, BTreeMap::new());
        assert_eq!(
            walk(&mut world, until.place, LogEnd { place: from, newest: u32::MAX }, 8_192).0,
            BTreeMap::new()
        );
    }
    assert_eq!(world.bitcask.stats().counters.merges > 0, merges);
    // Marks are forgotten by a restart.
    let mut world = world.reopen();
    assert_eq!(walk(&mut world, LogPlace::default(), EVERYTHING, 8_192).0, BTreeMap::new());
    (0..600).for_each(|n| mark(&mut world, n));
    assert_eq!(keys(walk(&mut world, LogPlace::default(), EVERYTHING, 8_192).0), names(0..600));
}

/// Segments go and are used again between two reads: all that is not written anew meanwhile is met, here or where merge took it.
#[test]
fn merge_goes_on_meanwhile() {
    let mut world = World::new(1, options());
    let mut rng = Rng::new(1);
    put_all(&mut world, 0..100, 1);
    put_all(&mut world, 100..200, 1);
    world.settle();
    (0..100).for_each(|n| mark(&mut world, n));
    let (mut from, mut found) = (LogPlace::default(), BTreeMap::new());
    let mut round = 2;
    while let Some(stretch) = world.stretch(from, EVERYTHING, 4_096) {
        from = stretch.next;
        found.extend(wholes(&stretch).map(|record| (record.key.to_vec(), record.stamp)));
        if round < 60 {
            for _ in 0..30 {
                world.put(&key(100 + rng.below(100)), round, &[2; 900]);
            }
            round += 1;
            world.settle();
        }
    }
    assert!(world.bitcask.stats().counters.merges > 3);
    assert_eq!(found, (0..100).map(|n| (key(n), stamp(1))).collect());
}

/// Merge waits for those that read the segment, then removes it in several steps: nobody may begin to read it meanwhile.
#[test]
fn no_stretch_begins_in_a_segment_that_goes() {
    let mut world = World::new(6, options());
    let mut rng = Rng::new(6);
    for round in 1..200 {
        for _ in 0..8 {
            world.put(&key(rng.below(100)), round, &[2; 900]);
        }
        for _ in 0..20 {
            let between = (LogPlace::default(), EVERYTHING);
            let begun = world.bitcask.read_stretch(&mut world.disk, between, 4_096);
            assert!(begun.is_some() || round == 1, "there are always records");
            world.turn();
        }
    }
    world.settle();
    assert!(
        world.bitcask.stats().counters.merges > 3 && world.stretches.iter().all(|(_, result)| result.is_ok())
    );
}

/// Whoever follows a log that is written and merged all the time, up to where it ended when he began, comes to an end.
#[test]
fn an_end_is_one() {
    let mut world = World::new(7, options());
    let mut rng = Rng::new(7);
    for n in 0..200 {
        world.put(&key(n), 1, &[1; 500]);
        world.settle();
    }
    let until = world.bitcask.log_end();
    let (mut from, mut round) = (LogPlace::default(), 1);
    while let Some(stretch) = world.stretch(from, until, 4_096) {
        (from, round) = (stretch.next, round + 1);
        assert!(round < 1_000, "there is no end");
        for _ in 0..40 {
            world.put(&key(rng.below(200)), round, &[2; 900]);
        }
        world.settle();
    }
    let (merges, newest) = (world.bitcask.stats().counters.merges, world.bitcask.log_end().newest);
    assert!(
        merges > 3 && newest > until.newest + 1,
        "{merges} merges, {} segments, {round} stretches",
        newest - until.newest
    );
}

/// What is written next is found by who had come to the end.
#[test]
fn who_comes_to_the_end_goes_on_with_the_next_frame() {
    let mut world = World::new(8, options());
    let mut from = LogPlace::default();
    for n in 0..40 {
        world.put(&key(n), 1, &[2; 900]);
        world.settle();
        mark(&mut world, n);
        let stretch = world.stretch(from, EVERYTHING, 64 << 10).expect("there is one more");
        assert_eq!(wholes(&stretch).map(|record| record.key.to_vec()).collect::<Vec<_>>(), [key(n)]);
        from = stretch.next;
    }
}

#[test]
fn any_place_is_one() {
    let mut world = World::new(2, options());
    for n in 0..400 {
        world.put(&key(n), 1, &vec![3; if n % 40 == 0 { 30_000 } else { 300 }]);
        if n % 7 == 0 {
            world.turn();
        }
    }
    world.settle();
    let stretch = world.stretch(LogPlace::default(), EVERYTHING, usize::MAX).unwrap();
    assert!(
        stretch.records().count() == 0 && stretch.unmarked[&stamp(1).node] > 50,
        "{:?}",
        stretch.unmarked
    );
    (0..400).for_each(|n| mark(&mut world, n));
    let stretch = world.stretch(LogPlace::default(), EVERYTHING, usize::MAX).unwrap();
    assert!(stretch.records().count() > 50 && stretch.unmarked.is_empty());
    let all = marked(&world, 400);
    let mut rng = Rng::new(3);
    for _ in 0..500 {
        let place = LogPlace { segment: rng.below(9) as u32, block: rng.below(50) as u32 };
        let odd = LogPlace { segment: rng.next_u64() as u32, block: rng.next_u64() as u32 };
        for from in [place, odd] {
            let (found, _) = walk(&mut world, from, EVERYTHING, rng.below(100_000) as usize);
            assert!(found.iter().all(|(key, what)| all.get(key) == Some(what)));
        }
        let odd = LogEnd { place: odd, newest: rng.next_u64() as u32 };
        assert!(world.stretch(place, odd, usize::MAX).is_none_or(|stretch| stretch.next > place));
    }
}

#[test]
fn long_frames_are_stepped_over_and_only_they() {
    let segment_bytes = 8 << 20;
    let mut world = World::new(3, Options { segment_bytes, ..options() });
    let long = STRETCH_BYTES_MAX + 1;
    for (n, bytes) in [100, long, 100, 300_000, 3_000_000, 100].into_iter().enumerate() {
        world.put(&key(n as u64), 1, &vec![n as u8; bytes]);
        world.settle();
    }
    (0..6).for_each(|n| mark(&mut world, n));
    let read = |world: &World| world.bitcask.stats().counters.stretch_bytes;
    let before = read(&world);
    let (found, stood) = walk(&mut world, LogPlace::default(), EVERYTHING, 64 << 10);
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [key(0), key(2), key(3), key(5)]);
    let read = read(&world) - before;
    assert!(read < 1 << 20, "what is stepped over is not read: {read}");
    assert!(stood > 3 << 20, "and stands for itself: {stood}");
}

/// Nobody who reads in order is to stop a slice that serves; whoever reads the record itself does.
#[test]
fn a_damaged_frame_is_stepped_over() {
    let mut world = World::new(4, Options { cache_bytes: 0, ..options() });
    for n in 0..50 {
        world.put(&key(n), 1, &[9; 3_000]);
        world.settle();
    }
    (0..50).for_each(|n| mark(&mut world, n));
    let names: Vec<String> = world.disk.list().into_iter().map(|(name, _)| name).collect();
    let name = names.iter().find(|name| {
        let bytes = world.disk.bytes_of(name).unwrap();
        name.starts_with("seg-") && bytes.windows(5).any(|bytes| bytes == b"key-0")
    });
    let name = name.unwrap().clone();
    // One frame's body and another one's header.
    assert!(
        world.disk.overwrite(&name, 5 * 4096 + 700, &[0xff])
            && world.disk.overwrite(&name, 9 * 4096 + 17, &[0xff])
    );
    let (found, _) = walk(&mut world, LogPlace::default(), EVERYTHING, 30_000);
    assert_eq!((found.len(), world.failed.is_none()), (48, true));
}

#[test]
fn a_read_that_fails_is_the_end_of_the_slice() {
    let mut world = World::new(5, options());
    world.background = false;
    world.put(&key(1), 1, b"body");
    world.settle();
    let until = world.bitcask.log_end();
    world.disk.fail_nth(0, reactor::sim::Fault::Io);
    let ticket = world.bitcask.read_stretch(&mut world.disk, (LogPlace::default(), until), 4_096).unwrap();
    world.settle();
    let (told, result) = world.stretches.pop().unwrap();
    assert!(told == ticket && result.is_err() && world.failed.is_some());
    assert_eq!(world.bitcask.read_stretch(&mut world.disk, (LogPlace::default(), until), 4_096), None);
}
