//! A disk without space: nothing is lost, reads go on, and work goes on by itself once there is space.

use lsm::{ApplyError, Batch};

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
fn a_start_on_a_full_disk_waits_for_space() {
    let mut world = World::new(2, options());
    world.put(b"a", b"1");
    world.flush();
    world.disk.set_capacity(world.disk.used_bytes());
    let mut world = world.restarted(false);
    world.settle();
    assert_eq!((world.ready, world.failed.clone()), (None, None), "a manifest of its own has no room");
    assert!(world.full);
    world.disk.set_capacity(u64::MAX);
    world.settle_while_full();
    assert!(world.ready.is_some());
    assert_eq!(world.get(b"a"), Some(b"1".to_vec()));
}
