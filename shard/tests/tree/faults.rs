//! A tree that does not open, fails or is damaged, and a disk that is full: records are served all the while.

use lsm::ApplyError;
use reactor::sim::Fault;
use shard::tree::Standing;

use super::{put, serves_records, Rows};
use crate::keyspace::cluster::Cluster;

/// A host whose tree has some tables.
fn filled(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(3, seed);
    for number in 0..200_u32 {
        cluster.apply(0, &put(&number.to_be_bytes(), &[number as u8; 300]));
    }
    cluster.flush_tree(0);
    serves_records(&mut cluster, 0, b"before");
    cluster
}

#[test]
fn a_tree_that_does_not_open_is_closed_and_the_core_goes_on() {
    let mut cluster = filled(1);
    let manifest = cluster.tree_files(0).into_iter().find(|name| name.contains("manifest")).unwrap();
    cluster.restart_after(0, |disk| assert!(disk.overwrite(&manifest, 20, &[0xff; 8])));
    cluster.settle_tree(0);
    let fault = cluster.tree(0).fault().map(ToString::to_string).unwrap_or_default();
    assert!(fault.starts_with(&format!("{manifest} is damaged at byte 0: ")), "{fault}");
    assert_eq!(cluster.row(0, b"key"), Err("closed".to_owned()));
    assert_eq!(cluster.apply(0, &put(b"key", b"value")), None);
    let files = cluster.tree_files(0);
    for round in [&b"one"[..], b"two"] {
        serves_records(&mut cluster, 0, round);
        assert!(cluster.hosts[0].shard.fault().is_none(), "the core has not failed");
        assert!(!cluster.tree(0).background_wanted() && cluster.tree(0).background_deadline().is_none());
        cluster.restart_after(0, |_| ());
        cluster.settle_tree(0);
        assert!(cluster.tree(0).fault().is_some(), "it does not mend itself");
    }
    assert_eq!(cluster.tree_files(0), files, "nothing of it is removed");
}

#[test]
fn a_tree_whose_write_fails_is_closed_until_the_next_start() {
    let mut cluster = filled(2);
    let rows = cluster.rows(0).unwrap();
    let mut version = cluster.tree_version(0);
    cluster.hosts[0].disk.fail_nth(3, Fault::Io);
    for number in 1_000..1_100_u32 {
        match cluster.apply(0, &put(&number.to_be_bytes(), &[1; 300])) {
            Some(applied) => version = applied,
            None => break,
        }
        cluster.pass(1);
    }
    assert!(matches!(cluster.tree(0).standing(), Standing::Closed(lsm::Fault::Io { .. })));
    assert_eq!(cluster.rows(0), Err("closed".to_owned()));
    serves_records(&mut cluster, 0, b"after");
    cluster.restart_after(0, |_| ());
    cluster.settle_tree(0);
    assert!(cluster.tree_version(0) < version, "what was not flushed comes from the log of who applied it");
    assert_eq!(cluster.rows(0), Ok(rows));
    serves_records(&mut cluster, 0, b"again");
}

#[test]
fn a_damaged_table_fails_its_reads_and_nothing_else() {
    let mut cluster = filled(3);
    let table = cluster.tree_files(0).into_iter().find(|name| name.ends_with(".table")).unwrap();
    cluster.restart_after(0, |disk| assert!(disk.overwrite(&table, 10, &[0xff; 8])));
    cluster.settle_tree(0);
    let error = cluster.rows(0).unwrap_err();
    assert!(error.starts_with(&format!("{table} is damaged at byte 0: ")), "{error}");
    let damage = cluster.tree(0).damage().expect("it is kept for the operator");
    assert_eq!((&damage.file, damage.offset), (&table, 0));
    assert_eq!(cluster.tree(0).stats().damaged_tables, 1);
    assert!(cluster.tree(0).fault().is_none());
    cluster.apply(0, &put(b"key", b"value"));
    assert_eq!(cluster.row(0, b"key"), Ok(Some(b"value".to_vec())));
    serves_records(&mut cluster, 0, b"after");
}

#[test]
fn a_full_disk_holds_up_the_tree_and_is_tried_again() {
    let mut cluster = filled(4);
    let room = cluster.hosts[0].disk.used_bytes() + (64 << 10);
    cluster.hosts[0].disk.set_capacity(room);
    let mut batches = 0_u32;
    while !cluster.tree(0).is_full() {
        batches += 1;
        cluster.with_turn(0, |shard, _| {
            let rows = shard.tree_mut().rows().expect("a full disk is no failure");
            let applied = rows.apply(&put(&(5_000 + batches).to_be_bytes(), &[5; 300]));
            assert!(matches!(applied, Ok(_) | Err(ApplyError::Stalled | ApplyError::Full)));
        });
        cluster.pass(1);
        assert!(batches < 10_000, "the disk becomes full");
    }
    cluster.pass(3_000);
    assert!(cluster.tree(0).is_full() && cluster.tree(0).fault().is_none());
    assert_eq!(cluster.row(0, &7_u32.to_be_bytes()), Ok(Some(vec![7; 300])), "reads go on");
    let deadline = cluster.tree(0).background_deadline().expect("it is tried again");
    assert!(deadline > cluster.now && deadline <= cluster.now + 1_000_000_000);
    cluster.hosts[0].disk.set_capacity(u64::MAX);
    cluster.run_while(|cluster| cluster.tree(0).is_full());
    cluster.flush_tree(0);
    assert_eq!(cluster.tree(0).background_deadline(), None);
    serves_records(&mut cluster, 0, b"after");
}

#[test]
fn a_log_that_is_put_aside_leaves_the_tree_where_it_is() {
    let mut cluster = filled(5);
    cluster.repair = true;
    let rows = cluster.rows(0).unwrap();
    let log = |disk: &reactor::sim::SimDisk| {
        let names = disk.list().into_iter().map(|(name, _)| name);
        names.filter(|name| name.starts_with("seg-")).collect::<Vec<_>>()
    };
    cluster.restart_after(0, |disk| {
        let segment = log(disk).into_iter().next().expect("there is a segment");
        assert!(disk.overwrite(&segment, 100, &[0xff; 64]));
    });
    assert!(cluster.hosts[0].shard.loss().is_some(), "the log was damaged");
    cluster.settle_tree(0);
    assert_eq!(cluster.rows(0), Ok(rows));
    let aside = cluster.hosts[0].disk.list().into_iter().filter(|(name, _)| name.starts_with("lost-1-"));
    assert!(aside.clone().count() > 0 && !aside.into_iter().any(|(name, _)| name.contains("lsm")));
}
