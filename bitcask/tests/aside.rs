//! A damaged log is put aside: whole, durably, at whatever step the process or the machine ends.

use bitcask::{Fault, Options};
use reactor::sim;

use crate::world::{options, World};

type Files = Vec<(String, Vec<u8>)>;

fn files(world: &World) -> Files {
    let bytes = |name: &str| world.disk.bytes_of(name).expect("listed");
    world.disk.list().into_iter().map(|(name, _)| (name.clone(), bytes(&name))).collect()
}

/// A byte of the first frame of the segment in use rots.
fn rot(world: &mut World) {
    let names: Vec<String> = world.disk.list().into_iter().map(|(name, _)| name).collect();
    let in_use = names.iter().filter(|name| name.starts_with("seg-")).find(|name| {
        let bytes = world.disk.bytes_of(name).expect("listed");
        bytes.starts_with(b"SYNF")
            && bytes[4096..].starts_with(b"SYNF")
            && !names.contains(&name.replace("seg-", "hint-"))
    });
    assert!(world.disk.overwrite(in_use.expect("a segment without a hint"), 100, &[0xff]));
}

/// A directory with sealed segments, hints and an active segment, in which one byte of a value rots; and its files, the rot in
/// them.
fn damaged(put_aside: bool) -> (World, Files) {
    let mut world = World::new(1, Options { put_aside, ..options() });
    for n in 0..90_u64 {
        world.put(&n.to_le_bytes(), 1 + n, &[n as u8; 3_000]);
        world.turn();
    }
    world.settle();
    rot(&mut world);
    let files = files(&world);
    (world, files)
}

/// All of the old files are there under their other names.
fn check_kept(world: &World, number: u32, old: &Files) {
    for (name, bytes) in old {
        // Segments that were ready and never written to are nothing to keep, but they are kept.
        let kept = world.disk.bytes_of(&format!("lost-{number}-{name}"));
        assert!(kept.as_ref() == Some(bytes), "{name} is kept");
    }
}

fn end_loss(world: &mut World) {
    world.bitcask.end_loss(&mut world.disk);
    world.settle();
    assert_eq!((world.bitcask.loss(), &world.failed), (None, &None));
}

#[test]
fn a_damaged_log_is_put_aside_and_an_empty_one_begun() {
    let (world, old) = damaged(true);
    let mut world = world.reopen();
    let recovered = world.ready.expect("it begins anew");
    assert_eq!((recovered.entries, recovered.fresh), (0, true));
    let loss = world.bitcask.loss().expect("it says so").clone();
    assert_eq!(loss.number, 1);
    assert!(loss.damage.unwrap().to_string().contains("is damaged at byte 0: the frame's checksum is"));
    check_kept(&world, 1, &old);
    // Whoever does not say that it is known has lost it again.
    world.put(b"new", 7, b"value");
    world.settle();
    let mut world = world.reopen();
    let loss = world.bitcask.loss().expect("still").clone();
    assert_eq!((loss.number, &loss.damage, world.value(b"new")), (1, &None, None));
    check_kept(&world, 1, &old);
    world.put(b"new", 8, b"value");
    world.settle();
    end_loss(&mut world);
    let mut world = world.reopen();
    assert_eq!((world.bitcask.loss(), world.ready.unwrap().losses), (None, 1));
    assert_eq!(world.value(b"new").unwrap(), b"value");
    check_kept(&world, 1, &old);
}

#[test]
fn a_second_loss_leaves_the_first_alone() {
    let (world, old) = damaged(true);
    let mut world = world.reopen();
    end_loss(&mut world);
    for n in 0..5_u64 {
        world.put(&n.to_le_bytes(), 1 + n, &[n as u8; 3_000]);
        world.settle();
    }
    rot(&mut world);
    let mut newer = files(&world);
    newer.retain(|(name, _)| !name.starts_with("lost-"));
    let world = world.reopen();
    assert_eq!(world.bitcask.loss().expect("lost again").number, 2);
    check_kept(&world, 1, &old);
    check_kept(&world, 2, &newer);
}

/// The process or the machine ends after each number of turns: what is there afterwards is no part of the old log, and does not pass for
/// one that never held anything.
#[test]
fn it_may_end_at_any_step() {
    for power in [false, true] {
        let mut steps = 0;
        loop {
            let (world, old) = damaged(true);
            let mut world = world.restarted();
            for _ in 0..steps {
                world.turn();
            }
            let done = world.ready.is_some();
            let mut world = if power { world.crash() } else { world.restarted() };
            world.settle();
            assert_eq!(world.failed, None, "{steps} steps");
            assert_eq!(world.ready.expect("it begins anew").entries, 0, "{steps} steps");
            assert_eq!(world.bitcask.loss().expect("it is known").number, 1, "{steps} steps");
            check_kept(&world, 1, &old);
            if done {
                break;
            }
            steps += 1;
        }
        assert!(steps > 20, "{steps}");
    }
}

/// The same for the removal of the mark: it is there, and the log is lost again, or it is gone for good, and the log stays.
#[test]
fn the_mark_goes_at_once() {
    for power in [false, true] {
        for steps in 0..6 {
            let (world, _) = damaged(true);
            let mut world = world.reopen();
            world.put(b"role", 1, b"learner");
            world.settle();
            world.bitcask.end_loss(&mut world.disk);
            for _ in 0..steps {
                world.turn();
            }
            let ended = world.bitcask.loss().is_none();
            let mut world = if power { world.crash() } else { world.restarted() };
            world.settle();
            let role = world.value(b"role");
            assert_eq!(role.is_none(), world.bitcask.loss().is_some(), "{steps} steps");
            assert!(!ended || role.is_some(), "what is said to be gone is gone for good");
        }
    }
}

#[test]
fn without_space_or_with_a_failing_disk_nothing_is_touched() {
    let (mut world, old) = damaged(true);
    world.disk.set_capacity(world.disk.used_bytes() + (256 << 10));
    let mut world = world.reopen();
    let fault = world.failed.clone().expect("it stops").to_string();
    assert!(
        fault.contains("is damaged at byte 0") && fault.ends_with("the disk has no space to begin anew"),
        "{fault}"
    );
    assert_eq!(files(&world), old);
    // There is space again.
    world.disk.set_capacity(u64::MAX);
    let world = world.reopen();
    assert_eq!(world.bitcask.loss().expect("put aside").number, 1);
    check_kept(&world, 1, &old);

    let mut failures = 0;
    for n in 0..500 {
        let (world, old) = damaged(true);
        let World { mut disk, options, .. } = world;
        disk.kill();
        disk.fail_nth(n, sim::Fault::Io);
        let mut world = World::opened(disk, options);
        world.settle();
        if world.failed.is_none() {
            break;
        }
        assert!(matches!(world.failed, Some(Fault::Io { .. })), "{:?}", world.failed);
        failures += 1;
        let world = world.reopen();
        assert!(world.bitcask.loss().is_some(), "operation {n}");
        check_kept(&world, 1, &old);
    }
    assert!(failures > 20, "{failures}");
}

#[test]
fn who_has_nobody_to_take_over_from_keeps_its_log() {
    let (world, old) = damaged(false);
    let world = world.reopen();
    assert!(matches!(world.failed, Some(Fault::Damage { .. })), "{:?}", world.failed);
    assert_eq!(files(&world), old);
}

#[test]
fn another_cores_directory_and_a_newer_one_are_left_alone() {
    let (world, old) = damaged(true);
    let World { mut disk, options, .. } = world;
    disk.kill();
    let mut world = World::opened(disk, Options { core: 4, ..options });
    world.settle();
    assert!(matches!(world.failed, Some(Fault::Foreign { .. })), "{:?}", world.failed);
    assert_eq!(files(&world), old);
}

/// A hint that is of no use stays until nothing is wrong: that it was there proves that the segment had its seal.
#[test]
fn a_cut_segment_is_damage_at_the_second_start_too() {
    let (mut world, _) = damaged(false);
    let hints = world.disk.list().into_iter().map(|(name, _)| name).filter(|name| name.starts_with("hint-"));
    let hint = hints.into_iter().next().unwrap();
    let segment = hint.replace("hint-", "seg-");
    let bytes = world.disk.bytes_of(&segment).unwrap();
    world.disk.put(&segment, &bytes[..8192]);
    world.disk.overwrite(&hint, 60, &[0xff]);
    for _ in 0..3 {
        world = world.reopen();
        assert!(matches!(world.failed, Some(Fault::Damage { .. })), "{:?}", world.failed);
        assert!(world.disk.bytes_of(&hint).is_some());
    }
}
