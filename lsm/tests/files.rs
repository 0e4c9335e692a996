//! What lies in the directory.

use lsm::Fault;

use crate::world::{options, World};

fn manifests(world: &World) -> Vec<String> {
    let names = world.disk.list().into_iter().map(|(name, _)| name);
    names.filter(|name| name.starts_with("lsm-manifest-")).collect()
}

#[test]
fn a_start_begins_a_new_manifest_and_removes_what_nobody_names() {
    let mut world = World::new(1, options());
    world.put(b"a", b"1");
    world.flush();
    assert_eq!(manifests(&world), ["lsm-manifest-0000000000000001"]);
    world.disk.put("lsm-00000000000000ff.table", &[1; 4_096]);
    world.disk.put("lsm-unfinished-0000000000000009", &[1; 4_096]);
    world.disk.put("seg-0000000000000001.log", &[1; 4_096]);
    let mut world = world.reopened();
    assert_eq!(manifests(&world), ["lsm-manifest-0000000000000002"]);
    assert_eq!(world.ready.map(|recovered| recovered.orphans), Some(2));
    let names: Vec<String> = world.disk.list().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"seg-0000000000000001.log".to_owned()), "what others have is left alone");
    assert_eq!(names.len(), 3, "{names:?}");
    // Numbers of files that were never named are not given out either.
    world.put(b"b", b"2");
    world.flush();
    assert!(world.disk.list().iter().any(|(name, _)| *name == "lsm-0000000000000100.table"));
}

#[test]
fn a_tree_that_holds_nothing_has_no_files() {
    let mut world = World::new(6, options());
    for _ in 0..3 {
        world.put(b"a", b"1");
        assert!(world.disk.list().is_empty(), "what is applied is in memory");
        world = world.reopened();
        assert_eq!((world.get(b"a"), world.ready.map(|recovered| recovered.fresh)), (None, Some(true)));
        world.flush();
        assert_eq!(world.disk.list(), [], "there was nothing to flush");
    }
    world.put(b"a", b"2");
    world.flush();
    assert_eq!((manifests(&world).len(), world.disk.list().len()), (1, 2));
    assert_eq!(world.reopened().get(b"a"), Some(b"2".to_vec()));
}

#[test]
fn a_manifest_that_has_grown_is_written_anew() {
    let mut world = World::new(2, options());
    for round in 0..40_u8 {
        world.put(&[round], &[round; 100]);
        world.flush();
    }
    assert_eq!(manifests(&world).len(), 1);
    assert!(*manifests(&world)[0] > *"lsm-manifest-0000000000000003");
    assert_eq!(world.reopened().all().len(), 40);
}

#[test]
fn a_damaged_manifest_stops_the_engine_and_a_torn_one_does_not() {
    for (at, is_damage) in [(4_096, true), (8_192, false)] {
        let mut world = World::new(3, options());
        world.put(b"a", b"1");
        world.flush();
        world.put(b"b", b"2");
        world.flush();
        let name = manifests(&world).remove(0);
        // The first frame says what was there at the start, the two behind it what was flushed since.
        assert!(world.disk.overwrite(&name, at + 20, &[0xff; 8]));
        let mut world = world.restarted(false);
        world.settle();
        match is_damage {
            true => {
                let found = matches!(&world.failed, Some(Fault::Damage { file, offset, .. }) if *file == name && *offset == at);
                assert!(found, "{:?}", world.failed);
            }
            false => {
                assert!(world.ready.is_some_and(|recovered| recovered.torn_bytes > 0));
                assert_eq!((world.get(b"a"), world.get(b"b")), (Some(b"1".to_vec()), None));
            }
        }
    }
}

#[test]
fn a_manifest_of_a_newer_version_is_refused_with_both_numbers() {
    let mut world = World::new(4, options());
    world.put(b"a", b"1");
    world.flush();
    let name = manifests(&world).remove(0);
    let mut bytes = world.disk.bytes_of(&name).unwrap();
    bytes[4..6].copy_from_slice(&9_u16.to_le_bytes());
    let payload = u32::from_le_bytes([bytes[32], bytes[33], bytes[34], bytes[35]]) as usize;
    bytes[36..40].fill(0);
    let crc = crc32c::crc32c(&bytes[..40 + payload]);
    bytes[36..40].copy_from_slice(&crc.to_le_bytes());
    world.disk.put(&name, &bytes);
    let mut world = world.restarted(false);
    world.settle();
    let fault = world.failed.clone().map(|fault| fault.to_string()).unwrap_or_default();
    let newest = reactor::frame::FRAME_VERSION_MAX;
    assert_eq!(fault, format!("{name} has version 9, this build reads up to version {newest}"));
}

#[test]
fn every_file_can_be_shown() {
    let mut world = World::new(5, options());
    for number in 0..400_u32 {
        world.put(&number.to_be_bytes(), &[7; 50]);
    }
    world.delete_range(&[0, 0, 0, 9], &[0, 0, 0, 20]);
    world.flush();
    let mut lines = Vec::new();
    for (name, _) in world.disk.list() {
        lines.extend(lsm::inspect(&world.disk.bytes_of(&name).unwrap()).unwrap());
    }
    let text = lines.join("\n");
    for word in [
        "data, LZ4",
        "section of",
        "range deletions: 1 fragments",
        "1 sections",
        "edit 1 of manifest",
        "+ level 0: table",
    ] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(!text.contains("damaged") && !text.contains("no sense"), "{text}");
    assert_eq!(lsm::inspect(b"something else"), None);
}
