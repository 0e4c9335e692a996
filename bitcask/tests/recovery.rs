//! What recovery makes of torn tails, damage, hints, foreign and newer files.

use bitcask::{Fault, Kind};
use reactor::rng::Rng;
use reactor::sim::{self, Faults};

use crate::world::{options, slot, stamp, World};

/// Names of the segments that hold frames, oldest first.
fn segments(world: &World) -> Vec<String> {
    let names = world.disk.list().into_iter().map(|(name, _)| name).filter(|name| name.starts_with("seg-"));
    names.filter(|name| world.disk.bytes_of(name).is_some_and(|bytes| bytes.starts_with(b"SYNF"))).collect()
}

fn hints(world: &World) -> Vec<String> {
    world.disk.list().into_iter().map(|(name, _)| name).filter(|name| name.starts_with("hint-")).collect()
}

/// A directory with several sealed segments of live records and an active one.
fn filled(keys: u64) -> World {
    let mut world = World::new(1, options());
    for n in 0..keys {
        world.put(&n.to_le_bytes(), 1 + n, &[n as u8; 3_000]);
        world.turn();
    }
    world.settle();
    world
}

fn check(world: &mut World, keys: u64) {
    assert_eq!(world.failed, None);
    for n in 0..keys {
        assert_eq!(world.value(&n.to_le_bytes()).unwrap(), [n as u8; 3_000], "key {n}");
    }
}

#[test]
fn hints_spare_reading_the_segments() {
    let world = filled(100);
    let hints = hints(&world).len() as u64;
    assert!(hints >= 2);
    let mut world = world.reopen();
    let recovered = world.ready.unwrap();
    assert_eq!((recovered.entries, recovered.hints_used, recovered.hints_refused), (100, hints, 0));
    check(&mut world, 100);
}

#[test]
fn a_damaged_or_cut_hint_is_replaced_by_its_segment() {
    for cut in [false, true] {
        let mut world = filled(100);
        let (bad, count) = (hints(&world)[0].clone(), hints(&world).len() as u64);
        if cut {
            let bytes = world.disk.bytes_of(&bad).unwrap();
            world.disk.put(&bad, &bytes[..bytes.len() - 4096]);
        } else {
            world.disk.overwrite(&bad, 60, &[0xff]);
        }
        let mut world = world.reopen();
        let recovered = world.ready.unwrap();
        assert_eq!((recovered.hints_used, recovered.hints_refused), (count - 1, 1));
        check(&mut world, 100);
        assert_eq!(hints(&world).len() as u64, count, "it is written anew");
    }
}

/// Found by fuzzing: the hint's records were taken before it turned out that the segment is too short for the others.
#[test]
fn a_cut_segment_with_a_whole_hint_is_damage() {
    for blocks in [0, 1, 2, 9] {
        let mut world = filled(100);
        let segment = hints(&world)[0].replace("hint-", "seg-");
        let bytes = world.disk.bytes_of(&segment).unwrap();
        world.disk.put(&segment, &bytes[..blocks * 4096]);
        let world = world.reopen();
        let Some(Fault::Damage { file, message, .. }) = &world.failed else { panic!("{:?}", world.failed) };
        assert_eq!((file, world.ready), (&segment, None), "{blocks} blocks: {message}");
    }
}

#[test]
fn damage_in_the_middle_is_refused_with_the_place() {
    let mut world = filled(3);
    let active = segments(&world).pop().unwrap();
    world.disk.overwrite(&active, 100, &[0xff]);
    let world = world.reopen();
    assert!(world.ready.is_none());
    let fault = world.failed.unwrap();
    let Fault::Damage { file, offset, .. } = &fault else { panic!("{fault}") };
    assert_eq!((file, *offset), (&active, 0));
    let text = fault.to_string();
    assert!(text.contains("is damaged at byte 0: the frame's checksum is"), "{text}");
    assert!(text.ends_with("but a later frame follows at byte 4096"), "{text}");
}

/// A header that fails its check says nothing: were its sequence believed, one bit of it would make all that follows
/// look like something older, and the whole segment like one that was never used.
#[test]
fn no_bit_of_the_first_header_hides_what_follows() {
    for bit in 0..40 * 8 {
        let mut world = filled(3);
        let active = segments(&world).pop().unwrap();
        let byte = world.disk.bytes_of(&active).unwrap()[bit / 8];
        world.disk.overwrite(&active, bit as u64 / 8, &[byte ^ 1 << (bit % 8)]);
        let world = world.reopen();
        let Some(Fault::Damage { file, offset, .. }) = world.failed else {
            panic!("bit {bit}: {:?} {:?}", world.failed, world.ready);
        };
        assert_eq!((file, offset), (active, 0), "bit {bit}");
    }
}

/// A frame that was written over the first one of its segment is whole, and no other follows it in sequence.
#[test]
fn a_frame_in_the_place_of_the_first_is_damage() {
    for from in [1, 4, 5] {
        let mut world = filled(5);
        let active = segments(&world).pop().unwrap();
        let bytes = world.disk.bytes_of(&active).unwrap();
        let starts: Vec<usize> =
            (0..bytes.len()).step_by(4096).filter(|&at| bytes[at..].starts_with(b"SYNF")).collect();
        let astray = bytes[starts[from.min(starts.len() - 1)]..][..4096].to_vec();
        world.disk.overwrite(&active, 0, &astray);
        let world = world.reopen();
        assert!(matches!(world.failed, Some(Fault::Damage { .. })), "frame {from}: {:?}", world.ready);
    }
}

#[test]
fn a_torn_tail_is_dropped_and_written_over() {
    let mut world = filled(3);
    let active = segments(&world).pop().unwrap();
    let bytes = world.disk.bytes_of(&active).unwrap();
    let last = (0..bytes.len()).step_by(4096).rfind(|&at| bytes[at..].starts_with(b"SYNF")).unwrap();
    world.disk.overwrite(&active, last as u64 + 1000, &[0xff]);
    let mut world = world.reopen();
    let recovered = world.ready.unwrap();
    assert_eq!((recovered.entries, recovered.torn_bytes), (2, 4096));
    world.put(b"new", 9, b"body");
    world.settle();
    let bytes = world.disk.bytes_of(&active).unwrap();
    assert!(bytes[last + 40 + 32..].starts_with(b"newbody"), "the log goes on where it was torn");
    let mut world = world.reopen();
    assert_eq!(world.value(b"new").unwrap(), b"body");
}

#[test]
fn damage_in_a_sealed_segment_is_refused_without_its_hint() {
    let mut world = filled(100);
    let sealed = segments(&world)[0].clone();
    world.disk.overwrite(&sealed, 4096 * 3 + 200, &[0xff]);
    let hint = sealed.replace("seg-", "hint-");
    world.disk.overwrite(&hint, 60, &[0xff]);
    let world = world.reopen();
    let Some(Fault::Damage { file, offset, .. }) = world.failed else { panic!("{:?}", world.failed) };
    assert_eq!((file, offset), (sealed, 4096 * 3));
}

#[test]
fn damage_under_a_hint_is_found_by_the_read() {
    let mut world = filled(100);
    let sealed = segments(&world)[0].clone();
    let bytes = world.disk.bytes_of(&sealed).unwrap();
    let key = 5_u64.to_le_bytes();
    let at = bytes.windows(16).position(|w| w[..8] == key && w[8..] == [5; 8]).unwrap();
    world.disk.overwrite(&sealed, at as u64 + 500, &[0xee]);
    let mut world = world.reopen();
    assert_eq!(world.failed, None);
    assert_eq!(world.value(&6_u64.to_le_bytes()).unwrap(), [6; 3_000]);
    let bitcask::Read::Pending(ticket) = world.bitcask.read(&mut world.disk, slot(&key), &key) else {
        panic!("it is not cached");
    };
    world.settle();
    let (answered, result) = world.reads.pop().unwrap();
    assert_eq!(answered, ticket);
    assert!(result.unwrap_err().message.contains("a record's checksum is"));
    let Some(Fault::Damage { file, offset, .. }) = &world.failed else { panic!("{:?}", world.failed) };
    assert_eq!((file, *offset), (&sealed, at as u64 - 32));
    let record = bitcask::Record { slot: 0, key: b"k", stamp: stamp(1), kind: Kind::Value, body: b"" };
    assert_eq!(world.bitcask.append(record), Err(bitcask::AppendError::Failed));
}

#[test]
fn a_lost_segment_of_the_log_is_noticed() {
    // The active one is wiped: its predecessor names it.
    let mut world = filled(100);
    let names = segments(&world);
    let wiped = names.last().unwrap();
    let bytes = world.disk.bytes_of(wiped).unwrap();
    let sealed = &names[names.len() - 2];
    // Removing the newest file altogether.
    let mut without = World::new(1, options());
    without.disk = reactor::sim::SimDisk::new(1);
    for (name, _) in world.disk.list().into_iter().filter(|(name, _)| name != wiped) {
        without.disk.put(&name, &world.disk.bytes_of(&name).unwrap());
    }
    let fault = without.reopen().failed.expect("the end of the log is gone");
    let text = fault.to_string();
    assert!(text.contains(sealed) && text.contains("is missing, in which the log goes on"), "{text}");
    // A sealed one in the middle is wiped, and its hint is lost.
    let middle = &names[1];
    world.disk.put(middle, &vec![0; bytes.len()]);
    world.disk.overwrite(&middle.replace("seg-", "hint-"), 60, &[0xff]);
    let fault = world.reopen().failed.expect("a part of the log is gone");
    assert!(fault.to_string().contains("its frames are gone"), "{fault}");
}

#[test]
fn a_segment_that_was_cut_is_refused() {
    let mut world = filled(3);
    let active = segments(&world).pop().unwrap();
    let bytes = world.disk.bytes_of(&active).unwrap();
    world.disk.put(&active, &bytes[..3 * 4096]);
    let fault = world.reopen().failed.expect("it is refused").to_string();
    assert_eq!(fault, format!("{active} is damaged at byte 12288: the file was 4096 bytes longer, at least"));
}

#[test]
fn newer_files_are_refused_with_both_versions() {
    let newer = |bytes: &mut Vec<u8>| {
        // A whole frame of version 3: the envelope is the same in every version.
        bytes[4..6].copy_from_slice(&3_u16.to_le_bytes());
        let payload = u32::from_le_bytes([bytes[32], bytes[33], bytes[34], bytes[35]]) as usize;
        bytes[36..40].fill(0);
        let crc = crc32c::crc32c(&bytes[..40 + payload]);
        bytes[36..40].copy_from_slice(&crc.to_le_bytes());
    };
    for prefix in ["bitcask.id", "seg-", "hint-"] {
        let mut world = filled(100);
        let names = world.disk.list().into_iter().map(|(name, _)| name);
        let mut names = names.filter(|name| name.starts_with(prefix));
        let name = if prefix == "seg-" { segments(&world).pop() } else { names.next() }.unwrap();
        let mut bytes = world.disk.bytes_of(&name).unwrap();
        newer(&mut bytes);
        world.disk.overwrite(&name, 0, &bytes);
        let fault = world.reopen().failed.expect("it is refused").to_string();
        assert_eq!(fault, format!("{name} has version 3, this build reads up to version 2"));
    }
}

#[test]
fn another_cores_directory_is_refused() {
    let world = filled(3);
    let World { mut disk, options, .. } = world;
    disk.kill();
    let mut world = World::opened(disk, bitcask::Options { core: 4, ..options });
    world.settle();
    let fault = world.failed.expect("it is refused").to_string();
    assert_eq!(fault, "bitcask.id says that the directory belongs to core 3, but this is core 4");
}

#[test]
fn segments_without_their_identity_are_refused() {
    let world = filled(3);
    let mut other = World::new(1, options());
    other.disk = reactor::sim::SimDisk::new(1);
    for name in segments(&world) {
        other.disk.put(&name, &world.disk.bytes_of(&name).unwrap());
    }
    let fault = other.reopen().failed.expect("it is refused").to_string();
    assert!(fault.starts_with("bitcask.id is damaged at byte 0: it is missing, but seg-"), "{fault}");
}

#[test]
fn a_value_that_looks_like_a_frame_is_no_frame() {
    // Blocks of the log itself, as a value: were they taken for later frames, a torn tail would be called damage.
    let mut world = filled(3);
    let active = segments(&world).pop().unwrap();
    let image = world.disk.bytes_of(&active).unwrap()[..8192].to_vec();
    // The user cannot know the lower half of the segment's id, nor the one of the segment written to next.
    let mut forged = vec![0; 4096 - 40 - 32 - 1];
    for mut block in image.chunks(4096).map(<[u8]>::to_vec) {
        block[16..20].fill(0x55);
        block[24] = 99;
        forged.extend(block);
    }
    world.put(b"k", 9, &forged);
    world.settle();
    let bytes = world.disk.bytes_of(&active).unwrap();
    let starts: Vec<usize> =
        (0..bytes.len()).step_by(4096).filter(|&at| bytes[at..].starts_with(b"SYNF")).collect();
    assert_eq!(starts.len(), 6, "three frames, one more, and two within it");
    world.disk.overwrite(&active, starts[3] as u64 + 50, &[0xff]);
    let world = world.reopen();
    assert_eq!((world.failed, world.ready.unwrap().entries), (None, 3));
}

/// A write fails, and then the sync of the recovery: the bytes can be read, but no later sync makes them durable. What a
/// recovery shows all the same must outlast the power's failure, with and without a frame behind it.
#[test]
fn what_recovery_shows_is_durable_although_a_sync_failed_before() {
    let broken = Faults { sync_error_per_million: 500_000, ..Faults::default() };
    let (mut failures, mut syncs) = (0, 0);
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let mut world = World::new(seed, options());
        let fail_at = 1 + rng.below(400);
        world.disk.fail_nth(fail_at, sim::Fault::Io);
        let mut round = 0;
        while world.failed.is_none() && round < 500 {
            round += 1;
            let key = rng.below(40).to_le_bytes();
            let taken = world.try_append(&key, round, Kind::Value, &[round as u8; 3_000]);
            assert_eq!(taken.is_err(), world.failed.is_some(), "{taken:?}");
            world.turn();
        }
        failures += u64::from(world.failed.is_some());
        for _ in 0..3 {
            world = world.restarted();
            world.disk.set_faults(broken);
            world.settle();
            syncs += u64::from(world.failed.is_some());
        }
        world = world.restarted();
        world.disk.set_faults(Faults::default());
        while world.ready.is_none() {
            assert!(world.turn(), "seed {seed}: {:?}", world.failed);
        }
        if rng.coin() {
            world.put(b"behind", 1_000, b"it");
            world.settle();
        }
        let shown = |world: &World| -> Vec<_> {
            (0..40_u64).map(|n| world.bitcask.info(slot(&n.to_le_bytes()), &n.to_le_bytes())).collect()
        };
        let before = shown(&world);
        let mut world = world.crash();
        world.settle();
        assert_eq!(world.failed, None, "seed {seed}");
        for (n, (after, before)) in shown(&world).into_iter().zip(before).enumerate() {
            assert_eq!(after.entry.map(|e| e.stamp), before.entry.map(|e| e.stamp), "seed {seed}, key {n}");
        }
        for n in 0..40_u64 {
            world.value(&n.to_le_bytes());
        }
    }
    assert!(failures > 200 && syncs > 400, "{failures} writes and {syncs} syncs failed");
}

/// Files with random bytes anywhere: refused or read, never a panic.
#[test]
fn random_bytes_never_panic() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut world = filled(60);
        let files = world.disk.list();
        for _ in 0..1 + rng.below(3) {
            let (name, len) = &files[rng.below(files.len() as u64) as usize];
            let mut bytes = vec![0; 1 + rng.below(40) as usize];
            rng.fill(&mut bytes);
            let near = if rng.coin() { 4096.min(*len) } else { *len };
            world.disk.overwrite(name, rng.below(near - 40), &bytes);
        }
        let mut world = world.reopen();
        for n in 0..60_u64 {
            let key = n.to_le_bytes();
            if world.failed.is_none() && world.ready.is_some() {
                world.bitcask.read(&mut world.disk, slot(&key), &key);
                world.settle();
            }
        }
        for (name, _) in world.disk.list() {
            bitcask::inspect(&world.disk.bytes_of(&name).unwrap());
        }
    }
}
