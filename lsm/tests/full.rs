//! A disk without space: nothing is lost, reads go on, and work goes on by itself once there is space.

use lsm::{ApplyError, Batch, Version};

use crate::world::{options, World};

#[test]
fn a_full_disk_is_told_and_holds_up_writes_until_there_is_space() {
    let mut world = World::new(1, options());
    let mut batch = Batch::new();
    (0..40_u8).for_each(|number| batch.put(&[number], &[number; 900]));
    world.apply(&batch);
    world.flush();
    world.disk.set_capacity(world.disk.used_bytes() + (8 << 10));
    let mut applied = 0_u8;
    let error = loop {
        batch.clear();
        batch.put(&[100, applied], &[applied; 1_000]);
        match world.lsm.apply(&batch) {
            Ok(_) => applied += 1,
            Err(ApplyError::Stalled) => assert!(world.turn(), "it is stalled for want of space only"),
            Err(error) => break error,
        }
        world.turn();
    };
    assert_eq!((error, world.full, world.failed.clone()), (ApplyError::Full, true, None));
    assert!(applied > 10, "memory takes some: {applied}");
    world.settle_while_full();
    for number in 0..40_u8 {
        assert_eq!(world.get(&[number]), Some(vec![number; 900]), "what is there can be read");
    }
    assert_eq!(world.get(&[100, applied - 1]), Some(vec![applied - 1; 1_000]));
    world.disk.set_capacity(u64::MAX);
    world.settle_while_full();
    assert!(!world.full);
    world.flush();
    let mut world = world.reopened();
    for number in 0..applied {
        assert_eq!(world.get(&[100, number]), Some(vec![number; 1_000]));
    }
    let named = world.lsm.stats().tables.iter().sum::<u64>();
    let files = world.disk.list().into_iter().filter(|(name, _)| name.ends_with(".table")).count() as u64;
    assert_eq!(files, named, "what was given up left no files");
}

#[test]
fn a_start_on_a_full_disk_reads_and_waits_for_space() {
    let mut world = World::new(2, options());
    world.put(b"a", b"1");
    world.flush();
    world.disk.set_capacity(world.disk.used_bytes());
    let mut world = world.restarted(false);
    world.settle();
    assert!(world.ready.is_some() && world.full, "a manifest of its own has no room: {:?}", world.failed);
    assert_eq!(world.get(b"a"), Some(b"1".to_vec()), "what is there can be read");
    world.put(b"b", b"2");
    world.settle_while_full();
    assert_eq!((world.flushed, world.full), (Version(1), true), "what comes stays in memory");
    world.disk.set_capacity(u64::MAX);
    world.flush();
    world.settle_while_full();
    assert_eq!((world.flushed, world.full), (Version(2), false));
    let mut world = world.reopened();
    assert_eq!((world.get(b"a"), world.get(b"b")), (Some(b"1".to_vec()), Some(b"2".to_vec())));
}
