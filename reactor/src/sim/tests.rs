//! The simulated disk does what a disk may do, and no more.

use super::*;
use crate::AlignedBuf;

/// Submits and waits.
fn run(disk: &mut SimDisk, op: Op) -> Result<Outcome, DiskError> {
    let id = disk.submit(op);
    loop {
        let due = disk.next_event().expect("the operation is under way");
        for completion in disk.poll_completions(due) {
            if completion.id == id {
                return completion.result;
            }
        }
    }
}

fn open(disk: &mut SimDisk, name: &str, create: bool) -> FileId {
    match run(disk, Op::Open { name: name.to_owned(), create }) {
        Ok(Outcome::Opened { file, .. }) => file,
        other => panic!("open {name}: {other:?}"),
    }
}

fn write(disk: &mut SimDisk, file: FileId, byte: u8, sync: bool) -> Result<Outcome, DiskError> {
    let buf = AlignedBuf::from_padded(&[byte; 2 * BLOCK_BYTES]);
    run(disk, Op::Write { file, offset: 0, buf, sync })
}

#[test]
fn synced_bytes_survive_and_others_may_not() {
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let mut disk = SimDisk::new(seed);
        let file = open(&mut disk, "a", true);
        write(&mut disk, file, 1, true).unwrap();
        run(&mut disk, Op::SyncDir).unwrap();
        write(&mut disk, file, 2, false).unwrap();
        disk.crash();
        let bytes = disk.bytes_of("a").expect("the name is durable");
        assert!(bytes.iter().all(|&byte| byte == 1 || byte == 2));
        match bytes.iter().filter(|&&byte| byte == 2).count() {
            0 => lost += 1,
            8192 => kept += 1,
            _ => torn += 1,
        }
    }
    assert!(kept > 0 && lost > 0 && torn > 0, "kept {kept}, lost {lost}, torn {torn}");
}

#[test]
fn a_seed_repeats_a_run() {
    let trace = |seed| {
        let mut disk = SimDisk::new(seed);
        disk.set_faults(Faults { write_error_per_million: 300_000, ..Faults::default() });
        let file = open(&mut disk, "a", true);
        let results: Vec<bool> = (0..20).map(|n| write(&mut disk, file, n, n % 3 == 0).is_ok()).collect();
        disk.crash();
        (results, disk.bytes_of("a"), disk.next_event())
    };
    assert_eq!(trace(3), trace(3));
    assert_ne!(trace(3), trace(4));
}

#[test]
fn names_are_durable_only_after_a_directory_sync() {
    let (mut old, mut new) = (0, 0);
    for seed in 0..50 {
        let mut disk = SimDisk::new(seed);
        open(&mut disk, "a", true);
        run(&mut disk, Op::SyncDir).unwrap();
        run(&mut disk, Op::Rename { from: "a".into(), to: "b".into() }).unwrap();
        disk.crash();
        let names: Vec<String> = disk.list().into_iter().map(|(name, _)| name).collect();
        match names.as_slice() {
            [name] if name == "a" => old += 1,
            [name] if name == "b" => new += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(old > 0 && new > 0);
}

#[test]
fn space_ends_at_the_capacity_and_comes_back() {
    let mut disk = SimDisk::new(1);
    disk.set_capacity(8192);
    let file = open(&mut disk, "a", true);
    run(&mut disk, Op::Preallocate { file, bytes: 8192 }).unwrap();
    let other = open(&mut disk, "b", true);
    let error = run(&mut disk, Op::Preallocate { file: other, bytes: 4096 }).unwrap_err();
    assert_eq!(error.kind, DiskErrorKind::Full);
    assert_eq!(write(&mut disk, other, 1, true).unwrap_err().kind, DiskErrorKind::Full);
    write(&mut disk, file, 1, true).unwrap();
    run(&mut disk, Op::Remove { name: "a".into() }).unwrap();
    run(&mut disk, Op::SyncDir).unwrap();
    assert_eq!(disk.used_bytes(), 8192, "an open handle keeps the space");
    run(&mut disk, Op::Close { file }).unwrap();
    assert_eq!(disk.used_bytes(), 0);
}

#[test]
fn a_failed_sync_is_not_mended_by_the_next() {
    for seed in 0..20 {
        let mut disk = SimDisk::new(seed);
        let file = open(&mut disk, "a", true);
        write(&mut disk, file, 1, true).unwrap();
        run(&mut disk, Op::SyncDir).unwrap();
        write(&mut disk, file, 2, false).unwrap();
        disk.fail_nth(0, Fault::Io);
        run(&mut disk, Op::Sync { file }).unwrap_err();
        run(&mut disk, Op::Sync { file }).unwrap();
        assert_eq!(disk.bytes_of("a").unwrap()[0], 2, "still readable");
        disk.crash();
        assert_eq!(disk.bytes_of("a").unwrap(), vec![1; 8192]);
    }
}

#[test]
fn faults_hit_what_they_are_aimed_at() {
    let mut disk = SimDisk::new(1);
    let file = open(&mut disk, "a", true);
    disk.fail_nth(1, Fault::ShortWrite);
    write(&mut disk, file, 1, true).unwrap();
    let error = write(&mut disk, file, 2, true).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (DiskErrorKind::Io, "write: injected ShortWrite"));
    let bytes = disk.bytes_of("a").unwrap();
    assert_eq!((bytes[0], bytes[4096]), (2, 1));
    let error = run(&mut disk, Op::Open { name: "b".into(), create: false }).unwrap_err();
    assert_eq!(error.kind, DiskErrorKind::NotFound);
    assert_eq!(disk.counters().faults, 1);
}

#[test]
fn silent_faults_change_bytes() {
    let mut disk = SimDisk::new(5);
    let file = open(&mut disk, "a", true);
    disk.set_faults(Faults { write_rot_per_million: 1_000_000, ..Faults::default() });
    write(&mut disk, file, 0, true).unwrap();
    let ones: u32 = disk.bytes_of("a").unwrap().iter().map(|byte| byte.count_ones()).sum();
    assert_eq!(ones, 1);
    disk.set_faults(Faults { misdirected_per_million: 1_000_000, ..Faults::default() });
    run(&mut disk, Op::Preallocate { file, bytes: 1 << 20 }).unwrap();
    let buf = AlignedBuf::from_padded(&[9; BLOCK_BYTES]);
    run(&mut disk, Op::Write { file, offset: 0, buf, sync: true }).unwrap();
    let bytes = disk.bytes_of("a").unwrap();
    assert_eq!(bytes.iter().filter(|&&byte| byte == 9).count(), BLOCK_BYTES);
    assert_ne!(bytes[0], 9, "the block went elsewhere under this seed");
}
