//! Deltas: chains are read whole, end where they should, outlive merges, restarts and hints, and come back in whatever order their parts lie.

use bitcask::limits::{BASE_BYTES_MIN, CHAIN_READS_MAX, DELTAS_MAX, DELTA_PART, FOUND_DELTAS_MIN};
use bitcask::{
    AppendError, Cached, ChainSize, Fault, Found, Kind, LogEnd, LogPlace, Lsn, Options, Read, Record, Stamp,
    Stretched,
};
use reactor::frame::{self, Filling, Header};
use reactor::rng::Rng;
use reactor::sim::SimDisk;

use crate::world::{options, slot, stamp, World};

const KEY: &[u8] = b"key";

fn record<'a>(key: &'a [u8], round: u64, body: &'a [u8]) -> Record<'a> {
    Record { slot: slot(key), key, stamp: stamp(round), kind: Kind::Value, body }
}

/// A delta of the round, on the record of the round before.
fn extend(world: &mut World, key: &[u8], round: u64, body: &[u8]) -> Result<Lsn, AppendError> {
    world.bitcask.append_delta(record(key, round, body), stamp(round - 1))
}

fn size(world: &World, key: &[u8]) -> Option<ChainSize> {
    world.bitcask.chain(world.bitcask.key_ref(slot(key), key))
}

fn deltas(found: &Found) -> Vec<&[u8]> {
    found.deltas.iter().map(|delta| &**delta).collect()
}

/// A chain of a whole at round 1 and so many deltas, each of one byte: its number.
fn chained(world: &mut World, key: &[u8], whole: usize, count: u64) {
    world.put(key, 1, &vec![0; whole]);
    world.settle();
    for n in 1..=count {
        extend(world, key, 1 + n, &[n as u8]).expect("it is taken");
    }
    world.settle();
}

fn check(world: &mut World, key: &[u8], whole: usize, count: u64) {
    let found = world.read(key).expect("it is there");
    assert_eq!((found.stamp, &*found.body, found.base), (stamp(1 + count), &vec![0; whole][..], None));
    let expected: Vec<Vec<u8>> = (1..=count).map(|n| vec![n as u8]).collect();
    assert_eq!(deltas(&found), expected.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

#[test]
fn a_chain_is_read_oldest_first_from_disk_and_from_memory() {
    for cache_bytes in [0, 1 << 20] {
        let mut world = World::new(1, Options { cache_bytes, ..options() });
        // More parts than are read at a time.
        let count = 3 * CHAIN_READS_MAX as u64 + 5;
        chained(&mut world, KEY, 60_000, count);
        let entry = world.bitcask.info(slot(KEY), KEY).entry.unwrap();
        assert!(entry.delta && entry.stamp == stamp(1 + count));
        let delta_bytes = 56;
        assert_eq!(u64::from(entry.bytes), delta_bytes);
        let all = ChainSize { deltas: count as u32, bytes: count * delta_bytes, whole: 60_040 };
        assert_eq!(size(&world, KEY), Some(all));
        check(&mut world, KEY, 60_000, count);
        let reads = |world: &World| world.bitcask.stats().counters;
        let (first, reference) = (reads(&world), world.bitcask.key_ref(slot(KEY), KEY));
        assert_eq!((first.chain_reads, first.delta_reads), (1, count));
        // From now on the cache has the whole chain, as long as nothing extends it.
        check(&mut world, KEY, 60_000, count);
        let cached = world.bitcask.cached_as(reference, KEY);
        assert_eq!(
            matches!(&cached, Cached::Here(_, found) if found.deltas.len() as u64 == count),
            cache_bytes > 0
        );
        assert_eq!(reads(&world).disk_reads == first.disk_reads, cache_bytes > 0);
        // The newest by itself, from memory or not.
        let found = match world.bitcask.read_newest(&mut world.disk, reference, KEY) {
            Read::Ready(found) => found,
            Read::Pending(_) => {
                world.settle();
                world.reads.pop().unwrap().1.unwrap().unwrap()
            }
            Read::Absent => panic!("it is there"),
        };
        assert_eq!((&*found.body, found.base), (&[count as u8][..], Some(stamp(count))));
        extend(&mut world, KEY, 2 + count, &[(count + 1) as u8]).unwrap();
        world.settle();
        assert_eq!(world.bitcask.cached_as(reference, KEY), Cached::Elsewhere);
        // Read by itself, the newest does not pass for the whole.
        world.bitcask.read_newest(&mut world.disk, reference, KEY);
        world.settle();
        check(&mut world, KEY, 60_000, count + 1);
        let mut world = world.reopen();
        check(&mut world, KEY, 60_000, count + 1);
        assert_eq!(world.bitcask.read(&mut world.disk, slot(b"other"), b"other"), Read::Absent);
    }
}

#[test]
fn no_more_reads_are_under_way_than_its_bound() {
    let mut world = World::new(1, Options { cache_bytes: 0, ..options() });
    chained(&mut world, KEY, 60_000, 200);
    world.background = false;
    let before = world.disk.pending();
    let Read::Pending(_) = world.bitcask.read(&mut world.disk, slot(KEY), KEY) else { panic!() };
    assert_eq!(world.disk.pending() - before, CHAIN_READS_MAX);
    while world.disk.pending() > 0 {
        world.turn();
        assert!(world.disk.pending() <= CHAIN_READS_MAX);
    }
    assert_eq!(world.reads.pop().unwrap().1.unwrap().unwrap().deltas.len(), 200);
}

#[test]
fn what_a_delta_may_extend() {
    let mut world = World::new(1, options());
    let takes = |world: &World, base: u64, bytes: usize| {
        world.bitcask.takes_delta(slot(KEY), KEY, stamp(base), &vec![0; bytes])
    };
    assert!(!takes(&world, 1, 1));
    assert_eq!(extend(&mut world, KEY, 2, b"x"), Err(AppendError::Changed));
    world.put(KEY, 1, &[0; 965]);
    assert!(takes(&world, 1, 949) && !takes(&world, 1, 950));
    world.settle();
    // 1000 bytes with its header: as many are left, of which a header, a base and a key take 51.
    assert!(takes(&world, 1, 949) && !takes(&world, 1, 950) && !takes(&world, 2, 1));
    assert_eq!(extend(&mut world, KEY, 3, b"x"), Err(AppendError::Changed));
    assert_eq!(world.bitcask.append_delta(record(KEY, 2, &[1; 950]), stamp(1)), Err(AppendError::Chain));
    extend(&mut world, KEY, 2, &[1; 100]).unwrap();
    assert!(!takes(&world, 1, 1) && takes(&world, 2, 797) && !takes(&world, 2, 798));
    extend(&mut world, KEY, 3, &[1; 797]).unwrap();
    assert!(!takes(&world, 3, 0));
    // A removal of what is extended has lost.
    assert_eq!(world.bitcask.remove(slot(KEY), KEY, stamp(1)), Err(AppendError::Changed));
    world.settle();
    assert_eq!(size(&world, KEY), Some(ChainSize { deltas: 2, bytes: 1000, whole: 1000 }));
    assert!(!takes(&world, 3, 0));
    let reference = world.bitcask.key_ref(slot(KEY), KEY);
    let admits = |world: &World, base, bytes| {
        world.bitcask.admits_delta_as(reference, 3, Kind::Value, stamp(base), &vec![0; bytes])
    };
    assert_eq!(
        (admits(&world, 3, 0), admits(&world, 2, 0)),
        (Err(AppendError::Chain), Err(AppendError::Changed))
    );
    // A whole that is under way behind deltas ends them.
    world.put(KEY, 4, &[0; 965]);
    world.settle();
    assert_eq!((size(&world, KEY), admits(&world, 4, 9)), (None, Ok(())));
    extend(&mut world, KEY, 5, b"x").unwrap();
    world.put(KEY, 6, &[0; 965]);
    assert!(!takes(&world, 5, 1) && takes(&world, 6, 1));
    world.settle();
    assert!(takes(&world, 6, 1));
    // What is too short is never extended.
    world.put(b"short", 1, &[0; BASE_BYTES_MIN - 64]);
    world.settle();
    assert!(!world.bitcask.takes_delta(slot(b"short"), b"short", stamp(1), &[0]));
    world.append(KEY, 7, Kind::Tombstone, &[0; 900]);
    assert!(!takes(&world, 6, 1) && !takes(&world, 7, 1));
    world.settle();
    assert!(!takes(&world, 7, 1));
    assert_eq!(extend(&mut world, KEY, 8, b"x"), Err(AppendError::Changed));
    assert_eq!(world.bitcask.stats().live_bytes, 1424);
}

#[test]
fn a_chain_has_its_longest() {
    let mut world = World::new(1, Options { segment_bytes: 4 << 20, ..options() });
    let whole = DELTAS_MAX as usize * 64 * DELTA_PART as usize;
    chained(&mut world, KEY, whole, u64::from(DELTAS_MAX));
    let next = u64::from(DELTAS_MAX) + 2;
    assert_eq!(extend(&mut world, KEY, next, b"x"), Err(AppendError::Chain));
    let ram = world.bitcask.directory_bytes();
    let mut world = world.reopen();
    check(&mut world, KEY, whole, u64::from(DELTAS_MAX));
    let stats = world.bitcask.stats();
    assert_eq!((stats.chains, stats.deltas), (1, u64::from(DELTAS_MAX)));
    world.put(KEY, next, b"whole");
    world.settle();
    let stats = world.bitcask.stats();
    assert_eq!((stats.chains, stats.deltas, stats.live_bytes), (0, 0, 40));
    let freed = ram - world.bitcask.directory_bytes();
    assert!(freed >= 8 * u64::from(DELTAS_MAX) && freed < 20 * u64::from(DELTAS_MAX), "{freed}");
}

/// Parts lie in many segments, most of what lies beside them dies, merge moves them one by one; restarts with hints and without.
#[test]
fn chains_outlive_merges_and_restarts() {
    let mut world = World::new(1, options());
    let keys: Vec<Vec<u8>> = (0..20_u64).map(|n| format!("key-{n}").into_bytes()).collect();
    for key in &keys {
        world.put(key, 1, &[0; 4_000]);
    }
    world.settle();
    let mut rng = Rng::new(1);
    for n in 1..=15_u64 {
        for key in &keys {
            extend(&mut world, key, 1 + n, &[n as u8]).unwrap();
            for _ in 0..3 {
                world.put(
                    format!("noise-{}", rng.below(20)).as_bytes(),
                    n * 100 + rng.below(100),
                    &[7; 3_000],
                );
            }
            world.settle();
        }
    }
    let stats = world.bitcask.stats();
    assert!(stats.counters.merges > 20 && stats.segments < 12, "{stats:?}");
    for restart in 0..3 {
        for key in &keys {
            check(&mut world, key, 4_000, 15);
        }
        let live = world.bitcask.stats().live_bytes;
        if restart == 1 {
            for (name, _) in world.disk.list().into_iter().filter(|(name, _)| name.starts_with("hint-")) {
                assert!(world.disk.overwrite(&name, 60, &[0xff]));
            }
        }
        world = world.reopen();
        assert_eq!(world.failed, None);
        assert_eq!(world.bitcask.stats().live_bytes, live);
        let recovered = world.ready.unwrap();
        assert_eq!(recovered.hints_refused > 0, restart == 1);
    }
    // Removed, they leave nothing behind.
    for key in &keys {
        world.bitcask.remove(slot(key), key, stamp(16)).unwrap();
    }
    for n in 0..20_u64 {
        world.append(format!("noise-{n}").as_bytes(), 9_999, Kind::Tombstone, b"");
    }
    world.settle();
    let stats = world.bitcask.stats();
    assert_eq!((stats.chains, stats.deltas, stats.live_bytes), (0, 0, 20 * 40));
    let world = world.reopen();
    assert_eq!((world.ready.unwrap().entries, world.bitcask.stats().chains), (20, 0));
}

/// What merge copies while the key gets a new whole, or goes, does not come back.
#[test]
fn a_copy_that_comes_too_late_is_dead() {
    for remove in [false, true] {
        let mut met = 0;
        for turns in 0..60 {
            let mut world = World::new(3, options());
            world.background = false;
            chained(&mut world, KEY, 20_000, 9);
            for n in 0..40_u64 {
                world.put(b"noise", n + 1, &[n as u8; 3_000]);
                world.settle();
            }
            world.background = true;
            for _ in 0..turns {
                world.turn();
            }
            let before = world.bitcask.stats().counters.merge_written_bytes;
            match remove {
                true => drop(world.bitcask.remove(slot(KEY), KEY, stamp(10)).unwrap()),
                false => drop(world.put(KEY, 11, b"whole")),
            }
            world.settle();
            met += u64::from(before > 0);
            let live = world.bitcask.stats().live_bytes;
            assert_eq!(live, 3_040 + 40 * u64::from(!remove), "{turns} turns");
            let mut world = world.crash();
            world.settle();
            assert_eq!(world.failed, None, "{turns} turns");
            assert_eq!(world.value(KEY), (!remove).then(|| b"whole".to_vec()), "{turns} turns");
        }
        assert!(met > 10, "{met}");
    }
}

#[test]
fn a_read_that_is_under_way_is_answered_with_what_there_was() {
    let mut world = World::new(1, Options { cache_bytes: 0, ..options() });
    chained(&mut world, KEY, 60_000, 100);
    let Read::Pending(ticket) = world.bitcask.read(&mut world.disk, slot(KEY), KEY) else { panic!() };
    world.put(KEY, 200, b"whole");
    for n in 0..200_u64 {
        world.put(b"noise", n + 1, &[n as u8; 3_000]);
        if n % 20 == 0 {
            world.turn();
        }
    }
    world.settle();
    let (answered, result) = world.reads.pop().unwrap();
    let found = result.unwrap().unwrap();
    assert_eq!((answered, found.stamp, found.deltas.len()), (ticket, stamp(101), 100));
    assert!(world.bitcask.stats().counters.merges > 0);
    assert_eq!(world.value(KEY).unwrap(), b"whole");
}

#[test]
fn damage_in_a_chain_is_told_once_and_ends_the_slice() {
    let mut world = World::new(1, Options { cache_bytes: 0, ..options() });
    world.background = false;
    chained(&mut world, KEY, 60_000, 150);
    let names: Vec<String> = world.disk.list().into_iter().map(|(name, _)| name).collect();
    let name = names
        .iter()
        .find(|name| world.disk.bytes_of(name).unwrap().windows(4).any(|bytes| bytes == *b"keyM"));
    let at = world.disk.bytes_of(name.unwrap()).unwrap().windows(4).position(|bytes| bytes == *b"keyM");
    world.disk.overwrite(name.unwrap(), at.unwrap() as u64 + 3, b"X");
    let Read::Pending(ticket) = world.bitcask.read(&mut world.disk, slot(KEY), KEY) else { panic!() };
    world.settle();
    assert!(matches!(&world.failed, Some(Fault::Damage { .. })), "{:?}", world.failed);
    assert_eq!(world.reads.len(), 1);
    assert!(
        world.reads[0].0 == ticket
            && world.reads[0].1.as_ref().is_err_and(|e| e.message.contains("checksum"))
    );
}

#[test]
fn a_stretch_says_what_is_a_delta() {
    let mut world = World::new(1, options());
    chained(&mut world, KEY, 4_000, 3);
    world.put(b"other", 9, b"whole");
    world.settle();
    for (key, round) in [(KEY, 4), (&b"other"[..], 9)] {
        world.bitcask.mark(slot(key), key, stamp(round));
    }
    let last = LogPlace { segment: u32::MAX, block: u32::MAX };
    let until = LogEnd { place: last, newest: u32::MAX };
    let stretch = world.stretch(LogPlace::default(), until, 1 << 20).unwrap();
    let seen: Vec<_> = stretch.records().collect();
    let [Stretched::Delta(delta, base), Stretched::Whole(whole)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((delta.key, delta.body, delta.stamp, *base), (KEY, &[3][..], stamp(4), stamp(3)));
    assert_eq!((whole.key, whole.body), (&b"other"[..], &b"whole"[..]));
}

/// A record's bytes, by the format's page.
fn bytes_of(key: &[u8], kind: u8, round: u64, base: Option<u64>, body: &[u8]) -> Vec<u8> {
    let put = |out: &mut Vec<u8>, round: u64| {
        out.extend(round.to_le_bytes());
        out.extend([1, 0, 0, 0, 1, 0, 0, 0]);
    };
    let mut out = vec![0, 0, 0, 0, kind, u8::from(base.is_some())];
    out.extend(slot(key).to_le_bytes());
    put(&mut out, round);
    out.extend((key.len() as u32).to_le_bytes());
    out.extend((body.len() as u32).to_le_bytes());
    if let Some(base) = base {
        put(&mut out, base);
    }
    out.extend([key, body].concat());
    let crc = crc32c::crc32c(&out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

/// An engine on a log that holds these records, in this order, in as many frames.
fn on_log(records: &[Vec<u8>]) -> World {
    let mut world = World::new(1, options());
    let file =
        world.disk.list().into_iter().map(|(name, _)| name).find(|name| name.starts_with("seg-")).unwrap();
    let id = u64::from_str_radix(&file[4..20], 16).unwrap();
    let (mut offset, mut previous_crc) = (0, 0);
    for (sequence, record) in (0..).zip(records) {
        let mut filling = Filling::default();
        filling.extend(record.len()).copy_from_slice(record);
        filling.need_version(2);
        let (header, buf) = filling.seal(Header {
            version: 0,
            flags: 0,
            core: 3,
            previous_crc,
            segment: id,
            sequence,
            payload_bytes: 0,
            crc: 0,
        });
        previous_crc = header.crc;
        world.disk.overwrite(&file, offset, buf.as_slice());
        offset += buf.len() as u64;
    }
    world.reopen()
}

/// Round and number of deltas, if the key is there; or what is wrong.
type Outcome = Result<Option<(u64, usize)>, String>;

const VALUE: u8 = 1;
const TOMBSTONE: u8 = 2;
const REMOVAL: u8 = 5;

/// Whatever the order, and however often each part is there.
#[test]
fn recovery_puts_parts_together_in_any_order() {
    let body = [9; 1_000];
    let mut parts = vec![bytes_of(KEY, VALUE, 1, None, &body)];
    parts.extend((2..=6).map(|round| bytes_of(KEY, VALUE, round, Some(round - 1), &[round as u8])));
    // Of an older chain, which the whole ended; and of another key.
    parts.extend([bytes_of(b"old", VALUE, 6, Some(5), b"dead"), bytes_of(b"old", VALUE, 7, None, b"whole")]);
    for seed in 0..50 {
        let mut rng = Rng::new(seed);
        let mut log = parts.clone();
        log.extend((0..rng.below(6)).map(|_| parts[rng.below(8) as usize].clone()));
        for at in (1..log.len()).rev() {
            log.swap(at, rng.below(at as u64 + 1) as usize);
        }
        let mut world = on_log(&log);
        assert_eq!(world.failed, None, "seed {seed}");
        let found = world.read(KEY).unwrap();
        assert_eq!((found.stamp, &*found.body), (stamp(6), &body[..]));
        assert_eq!(deltas(&found), [[2], [3], [4], [5], [6]]);
        assert_eq!(world.value(b"old").unwrap(), b"whole");
        let stats = world.bitcask.stats();
        assert_eq!((stats.chains, stats.deltas, stats.live_bytes), (1, 5, 1_040 + 5 * 56 + 40));
    }
}

#[test]
fn a_chain_without_its_end_is_damage_and_nothing_else_is() {
    let removal = |round: u64| bytes_of(KEY, REMOVAL, round, None, &[0; 24]);
    let whole = |round: u64| bytes_of(KEY, VALUE, round, None, &[9; 1_000]);
    let delta = |round: u64, base: u64| bytes_of(KEY, VALUE, round, Some(base), b"x");
    let gone = "what it extends is gone, the record of round ";
    let table: &[(&str, Vec<Vec<u8>>, Outcome)] = &[
        ("whole", vec![whole(1), delta(2, 1)], Ok(Some((2, 1)))),
        ("no base", vec![delta(2, 1)], Err(format!("{gone}1"))),
        ("an older whole", vec![whole(1), delta(3, 2)], Err(format!("{gone}2"))),
        ("a part is missing", vec![whole(1), delta(2, 1), delta(4, 3)], Err(format!("{gone}3"))),
        (
            "the base of another key",
            vec![bytes_of(b"other", VALUE, 1, None, b"x"), delta(2, 1)],
            Err(format!("{gone}1")),
        ),
        ("ended by a whole", vec![delta(2, 1), whole(3)], Ok(Some((3, 0)))),
        ("in two forms", vec![whole(2), delta(2, 1)], Ok(Some((2, 0)))),
        ("a part in two forms", vec![whole(1), delta(2, 1), delta(3, 2), whole(2)], Ok(Some((3, 1)))),
        ("two on one base", vec![whole(1), delta(2, 1), delta(3, 1)], Ok(Some((3, 1)))),
        ("removed", vec![whole(1), delta(2, 1), removal(2)], Ok(None)),
        ("removed, the whole is gone", vec![delta(2, 1), removal(2)], Ok(None)),
        ("begun anew", vec![removal(2), delta(4, 3), whole(3), delta(2, 1)], Ok(Some((4, 1)))),
        ("on what was removed", vec![whole(1), removal(1), delta(2, 1)], Err(format!("{gone}1"))),
        (
            "on a tombstone",
            vec![bytes_of(KEY, TOMBSTONE, 1, None, b""), delta(2, 1)],
            Err("it extends a record without a value".to_owned()),
        ),
        (
            "on itself",
            vec![whole(1), delta(2, 2)],
            Err("a record of round 2 that extends one of round 2".to_owned()),
        ),
        (
            "on a newer one",
            vec![whole(3), delta(2, 3)],
            Err("a record of round 2 that extends one of round 3".to_owned()),
        ),
        ("the base of no record", vec![whole(1), delta(2, 0)], Err(format!("{gone}0"))),
    ];
    for (name, log, expected) in table {
        let world = on_log(log);
        let mut backwards = log.clone();
        backwards.reverse();
        for mut world in [world, on_log(&backwards)] {
            match (expected, world.failed.take()) {
                (Ok(None), None) => assert_eq!(world.read(KEY), None, "{name}"),
                (Ok(Some((round, count))), None) => {
                    let found = world.read(KEY).unwrap();
                    assert_eq!((found.stamp, found.deltas.len()), (stamp(*round), *count), "{name}");
                }
                (Err(message), Some(Fault::Damage { file, message: told, .. })) => {
                    assert!(file.starts_with("seg-") && told.starts_with(message), "{name}: {told}");
                }
                (expected, fault) => panic!("{name}: {expected:?}, {fault:?}"),
            }
        }
    }
}

/// More deltas than recovery gathers before it looks which of them are needed.
#[test]
fn many_deltas_are_sifted_on_the_way() {
    const EACH: u64 = 4_000;
    let keys = 2 * FOUND_DELTAS_MIN as u64 / EACH + 2;
    let mut world = World::new(1, Options { segment_bytes: 16 << 20, ..options() });
    world.disk.set_latency(reactor::sim::Latency::none());
    let key = |n: u64| n.to_le_bytes();
    for n in 0..keys {
        chained(&mut world, &key(n), 1 << 20, EACH);
    }
    // Half of the chains have ended, and their parts still lie there.
    world.background = false;
    for n in (0..keys).step_by(2) {
        world.put(&key(n), EACH + 2, b"whole");
    }
    world.settle();
    let before = world.bitcask.stats();
    let mut world = world.reopen();
    let after = world.bitcask.stats();
    assert_eq!(
        (after.chains, after.deltas, after.live_bytes),
        (keys / 2, keys / 2 * EACH, before.live_bytes)
    );
    check(&mut world, &key(1), 1 << 20, EACH);
    assert_eq!(world.value(&key(0)).unwrap(), b"whole");
}

/// Who has somewhere to take over from puts a log with such a chain aside.
#[test]
fn a_chain_without_its_end_is_a_loss() {
    let World { mut disk, options, .. } = on_log(&[bytes_of(KEY, VALUE, 2, Some(1), b"x")]);
    disk.kill();
    let mut world = World::opened(disk, Options { put_aside: true, ..options });
    world.settle();
    let loss = world.bitcask.loss().expect("it is put aside");
    assert!(loss.damage.as_ref().unwrap().to_string().contains("what it extends is gone"));
}

/// An older build refuses a log with deltas by its version, and reads all others.
#[test]
fn only_frames_with_deltas_have_the_newer_version() {
    let mut world = World::new(1, options());
    world.put(KEY, 1, &[0; 60_000]);
    world.put(b"noise", 1, &[0; 60_000]);
    world.settle();
    let versions = |disk: &SimDisk| -> Vec<(String, u16)> {
        let frames = disk.list().into_iter().flat_map(|(name, _)| {
            let bytes = disk.bytes_of(&name).unwrap();
            let heads = bytes.chunks(4096).filter_map(|block| frame::peek(block).ok());
            heads.map(|header| (name[..4].to_owned(), header.version)).collect::<Vec<_>>()
        });
        frames.collect()
    };
    assert!(versions(&world.disk).iter().all(|(_, version)| *version == 1));
    for n in 2..30 {
        extend(&mut world, KEY, n, &[0; 200]).unwrap();
        world.put(&n.to_le_bytes(), n, &[0; 30_000]);
        world.settle();
    }
    let versions = versions(&world.disk);
    for kind in ["seg-", "hint"] {
        for version in [1, 2] {
            assert!(versions.contains(&(kind.to_owned(), version)), "{versions:?}");
        }
    }
}

#[test]
#[should_panic(expected = "a delta is newer than what it extends")]
fn a_delta_below_its_base_is_a_bug() {
    let mut world = World::new(1, options());
    world.put(KEY, 5, &[0; 1_000]);
    world.settle();
    let _ = world.bitcask.append_delta(record(KEY, 5, b"x"), Stamp { round: 5, ..stamp(5) });
}

/// The owner has appended something newer, which is so short that the engine does not know of it before it is durable.
#[test]
#[should_panic(expected = "a delta extends the newest record of its key")]
fn a_delta_on_what_is_not_the_newest_is_a_bug() {
    let mut world = World::new(1, options());
    world.put(KEY, 5, &[0; 1_000]);
    world.settle();
    world.put(KEY, 6, &[0; 10]);
    let _ = world.bitcask.append_delta(record(KEY, 7, b"x"), stamp(5));
    world.settle();
}
