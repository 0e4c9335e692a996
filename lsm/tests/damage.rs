//! Bytes that are not what was written: what is damaged fails, nothing else does, and what comes from elsewhere mends it.

use lsm::{Fault, ReadError};
use reactor::rng::Rng;

use crate::world::{options, World};

fn key(number: u64) -> Vec<u8> {
    format!("{number:05}").into_bytes()
}

/// A tree of some tables, nothing of it in memory.
fn filled(seed: u64) -> World {
    let mut world = World::new(seed, options());
    let mut rng = Rng::new(seed);
    for number in 0..1_500 {
        let mut value = vec![0; 40];
        rng.fill(&mut value);
        world.put(&key(number), &value);
    }
    world.flush();
    world.reopened()
}

fn tables(world: &World) -> Vec<(String, u64)> {
    world.disk.list().into_iter().filter(|(name, _)| name.ends_with(".table")).collect()
}

#[test]
fn a_damaged_block_fails_the_reads_of_its_keys_and_no_others() {
    let mut world = filled(1);
    let (name, _) = tables(&world).remove(2);
    assert!(world.disk.overwrite(&name, 4_096, &[0x55; 64]));
    let results: Vec<_> = (0..1_500).map(|number| world.try_get(&key(number), None)).collect();
    let failed = results.iter().filter(|result| result.is_err()).count();
    assert!((1..300).contains(&failed), "{failed} reads failed");
    assert!(results.iter().flatten().all(Option::is_some), "none says that there is nothing");
    assert_eq!(world.damaged.len(), 1, "it is told once");
    let damage = world.damaged[0].clone();
    assert_eq!(damage.file, name);
    assert_eq!(world.lsm.stats().damaged_tables, 1);

    // The rows of its range come from elsewhere: it goes without being read.
    let id = world.lsm.ingest(&damage.first, &damage.end);
    let mut put = 0;
    for number in (0..1_500).map(key).filter(|key| **key >= *damage.first && **key < *damage.end) {
        assert!(world.lsm.ingest_row(id, &number, b"mended"));
        put += 1;
    }
    world.lsm.ingest_end(id);
    world.settle();
    assert!(world.ingested.contains_key(&id));
    assert_eq!(world.lsm.stats().damaged_tables, 0);
    assert!(!tables(&world).iter().any(|(other, _)| *other == name));
    let rows = world.all();
    assert_eq!(rows.len(), 1_500);
    assert_eq!(rows.iter().filter(|(_, value)| value == b"mended").count(), put);
}

#[test]
fn a_compaction_that_meets_damage_leaves_the_tree_as_it_was() {
    let mut world = filled(2);
    let before = tables(&world);
    for (name, _) in &before {
        assert!(world.disk.overwrite(name, 4_096, &[0x55; 64]));
    }
    for number in (0..1_500).cycle().take(9_000) {
        world.put(&key(number), &[7; 60]);
    }
    world.flush();
    assert!(
        !world.damaged.is_empty() && world.failed.is_none(),
        "{:?} {:?}",
        world.failed,
        world.lsm.stats()
    );
    assert_eq!(world.get(&key(700)), Some(vec![7; 60]), "what is newer is read without it");
    world.delete_range(b"0", b"9");
    world.flush();
    world.put(&key(3), b"last");
    world.flush();
    assert_eq!(world.all(), [(key(3), b"last".to_vec())]);
    assert_eq!(world.lsm.stats().damaged_tables, 0, "what is hidden as a whole is dropped unread");
}

#[test]
fn every_flipped_bit_of_a_table_is_seen_or_does_not_matter() {
    let mut rng = Rng::new(3);
    let good = filled(3);
    let expected: Vec<(Vec<u8>, Vec<u8>)> = filled(3).all();
    let names = tables(&good);
    let (mut seen, mut refused) = (0, 0);
    for round in 0..120 {
        let mut world = World::opened(good.disk.after_kill(round), options());
        let (name, bytes) = &names[rng.below(names.len() as u64) as usize];
        // Every other time in what the table says of itself.
        let at = if round % 2 == 0 { rng.below(*bytes) } else { bytes - 1 - rng.below(300) };
        let byte = world.disk.bytes_of(name).unwrap()[at as usize];
        assert!(world.disk.overwrite(name, at, &[byte ^ 1 << rng.below(8)]));
        world.settle();
        match &world.failed {
            Some(Fault::Damage { file, .. }) => {
                assert_eq!(file, name);
                refused += 1;
                continue;
            }
            Some(fault) => panic!("{fault}"),
            None => {}
        }
        for (key, value) in &expected {
            match world.try_get(key, None) {
                Ok(found) => assert_eq!(found.as_ref(), Some(value)),
                Err(ReadError::Damaged(damage)) => {
                    assert_eq!(&damage.file, name);
                    seen += 1;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(seen > 20 && refused > 0, "{seen} seen, {refused} refused");
}

#[test]
fn a_table_that_is_missing_or_cut_off_is_damage() {
    for cut in [false, true] {
        let world = filled(4);
        let (name, _) = tables(&world).remove(0);
        let mut disk = world.disk.after_kill(1);
        let bytes = disk.bytes_of(&name).unwrap();
        match cut {
            true => disk.put(&name, &bytes[..bytes.len() - 4_096]),
            false => disk.put(&name, &[]),
        }
        let mut world = World::opened(disk, options());
        world.settle();
        assert!(
            matches!(&world.failed, Some(Fault::Damage { file, .. }) if *file == name),
            "{:?}",
            world.failed
        );
    }
}

#[test]
fn a_read_that_the_disk_refuses_is_no_damage() {
    let mut world = filled(5);
    world.disk.fail_nth(0, reactor::sim::Fault::Io);
    assert!(matches!(world.try_get(&key(9), None), Err(ReadError::Io { .. })));
    assert!(world.try_get(&key(9), None).is_ok_and(|value| value.is_some()));
    assert!(world.damaged.is_empty());
}

#[test]
fn a_manifest_that_was_emptied_is_damage() {
    let world = filled(6);
    let mut disk = world.disk.after_kill(1);
    let (name, _) = disk.list().into_iter().rfind(|(name, _)| name.contains("manifest")).unwrap();
    disk.put(&name, &[]);
    let mut world = World::opened(disk, options());
    world.settle();
    assert!(matches!(&world.failed, Some(Fault::Damage { file, .. }) if *file == name), "{:?}", world.failed);
}
