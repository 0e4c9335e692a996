//! What reads rows by other ways than a statement on a partition: all partitions, and rows as hashes.

use shard::reply::Reply;

use super::{seen, CHAT};
use crate::catalog::hashes::{hash, read};
use crate::catalog::scans::{partitions, scan};
use crate::catalog::{bulk, define, rows, sql};
use crate::keyspace::cluster::Cluster;
use crate::tree::Rows;

#[test]
fn all_partitions_are_read() {
    let mut cluster = Cluster::new(3, 2400);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    for room in 0..15 {
        let text = format!("INSERT INTO chat VALUES ('r{room}', 1, 'x'), ('r{room}', 2, 'y')");
        assert_eq!(sql(&mut cluster, room % 3, &text), Reply::Int(2));
    }
    let want = rows(&["count", "max", "min"], &[&["30", "y", "1"]]);
    for host in 0..3 {
        assert_eq!(partitions(&mut cluster, host, "chat", 4, 0).len(), 15);
        let text = "SELECT count(*), max(who), min(at) FROM chat ALLOW SCAN";
        assert_eq!(scan(&mut cluster, host, text), want);
    }
    cluster.restart_all();
    let text = "SELECT count(*), max(who), min(at) FROM chat ALLOW SCAN";
    assert_eq!(scan(&mut cluster, 2, text), want);
}

#[test]
fn rows_are_read_as_hashes() {
    let mut cluster = Cluster::new(3, 2410);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    let create = "CREATE TABLE one (k TEXT PRIMARY KEY, v INT) WITH (layout = 'large')";
    assert_eq!(define(&mut cluster, 0, create), Reply::OK);
    assert_eq!(sql(&mut cluster, 0, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    assert_eq!(sql(&mut cluster, 1, "INSERT INTO one VALUES ('a', 7)"), Reply::Int(1));
    for host in 0..3 {
        let whole = hash(&[("at", "1"), ("room", "a"), ("who", "x")]);
        assert_eq!(read(&mut cluster, host, &["HGETALL", "{chat:a}:1"]), (whole, 2));
        assert_eq!(read(&mut cluster, host, &["HGET", "{chat:a}:1", "who"]), (bulk("x"), 2));
        assert_eq!(read(&mut cluster, host, &["HGET", "{chat:a}:2", "who"]), (Reply::Nil, 2));
        // A row whose key is its partition's alone: one read.
        assert_eq!(read(&mut cluster, host, &["HGET", "{one:a}", "v"]), (bulk("7"), 1));
        assert_eq!(read(&mut cluster, host, &["HGET", "{one:b}", "v"]), (Reply::Nil, 1));
    }
    // A hash of a client's own under the name of a row wins.
    assert_eq!(cluster.ask(0, &[b"HSET", b"{chat:a}:1", b"who", b"mine"]), Reply::Int(1));
    assert_eq!(read(&mut cluster, 2, &["HGET", "{chat:a}:1", "who"]), (bulk("mine"), 1));
}

#[test]
fn a_step_over_several_keys_leaves_rows_alone() {
    for (seed, layout) in [(2420, "large"), (2421, "small")] {
        let mut cluster = Cluster::new(3, seed);
        assert_eq!(define(&mut cluster, 0, &CHAT.replace("large", layout)), Reply::OK);
        assert_eq!(sql(&mut cluster, 0, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
        // The partition's key is claimed, found to have rows, and let go.
        let refused = cluster.ask(1, &[b"MSETNX", b"{chat:a}", b"v", b"{chat:a}z", b"v"]);
        assert!(matches!(&refused, Reply::Error(text) if text.starts_with("WRONGTYPE")), "{refused:?}");
        for host in 0..3 {
            let found = sql(&mut cluster, host, "SELECT at, who FROM chat WHERE room = 'a'");
            assert_eq!(found, rows(&["at", "who"], &[&["1", "x"]]));
        }
    }
}

#[test]
fn what_is_read_from_disk_is_read_once() {
    let mut cluster = Cluster::new(3, 2430);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(sql(&mut cluster, 0, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    (0..3).for_each(|host| assert!(matches!(seen(&mut cluster, host, "a"), Reply::Array(_))));
    (0..3).for_each(|host| cluster.flush_tree(host));
    // Trees that keep nothing of what they read.
    cluster.tree_cache_bytes = 0;
    cluster.restart_all();
    for host in 0..3 {
        cluster.settle_tree(host);
        assert_eq!(seen(&mut cluster, host, "a"), rows(&["at", "who"], &[&["1", "x"]]));
        let paused = cluster.hosts[host].shard.metrics().runs_paused;
        assert!((1..5).contains(&paused), "for the name of the entry and for the row: {paused}");
    }
}

#[test]
fn rows_that_cannot_be_read_are_said_to_be_so() {
    let mut cluster = Cluster::new(3, 2440);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    assert_eq!(sql(&mut cluster, 0, "INSERT INTO chat VALUES ('a', 1, 'x')"), Reply::Int(1));
    cluster.flush_tree(0);
    cluster.tree_cache_bytes = 0;
    cluster.restart_after(0, |disk| {
        let table = disk.list().into_iter().find(|(name, _)| name.ends_with(".table"));
        let (name, _) = table.expect("the rows are in a table");
        let byte = disk.bytes_of(&name).expect("the table is there")[20];
        assert!(disk.overwrite(&name, 20, &[byte ^ 1]));
    });
    cluster.settle_tree(0);
    let refused = seen(&mut cluster, 0, "a");
    assert!(matches!(&refused, Reply::Error(text) if text.contains("another host")), "{refused:?}");
    let paused = cluster.hosts[0].shard.metrics().runs_paused;
    assert!(paused < 5, "it is tried once: {paused}");
    (1..3).for_each(|host| assert_eq!(seen(&mut cluster, host, "a"), rows(&["at", "who"], &[&["1", "x"]])));
}
