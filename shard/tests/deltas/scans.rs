//! HSCAN, SSCAN and ZSCAN of large objects: page by page, beside changes and at several hosts.

use std::collections::BTreeSet;

use shard::reply::Reply;

use super::super::keyspace::cluster::Cluster;
use super::{all_large, cluster, line, some_changes};

/// The commands, and how many parts of a page an entry is.
const SCANS: [(&str, usize); 3] = [("HSCAN h", 2), ("SSCAN s", 1), ("ZSCAN z", 2)];

/// One page: the next cursor, and the names.
fn page(
    cluster: &mut Cluster,
    host: usize,
    (scan, parts): (&str, usize),
    cursor: &str,
) -> (String, Vec<Vec<u8>>) {
    let reply = line(cluster, host, &format!("{scan} {cursor} COUNT 20"));
    let Reply::Array(reply) = reply else { panic!("{scan}: {reply:?}") };
    let [Reply::Bulk(next), Reply::Array(entries)] = &reply[..] else { panic!("{scan}: {reply:?}") };
    let names = entries.iter().step_by(parts).map(|name| match name {
        Reply::Bulk(name) => name.clone(),
        other => panic!("{scan}: {other:?}"),
    });
    (String::from_utf8(next.clone()).expect("a number"), names.collect())
}

#[test]
fn what_is_there_all_the_time_is_found_whichever_hosts_are_asked() {
    let mut cluster = cluster(11, 1000);
    all_large(&mut cluster, 500);
    for scan in SCANS {
        for hosts in [&[0][..], &[2], &[0, 1, 2]] {
            let (mut found, mut cursor) = (BTreeSet::new(), "0".to_string());
            for turn in 0.. {
                let names;
                (cursor, names) = page(&mut cluster, hosts[turn % hosts.len()], scan, &cursor);
                found.extend(names);
                if cursor == "0" {
                    break;
                }
                if turn % 5 == 0 {
                    some_changes(&mut cluster, turn % 3, turn);
                }
            }
            // Changes take away what is in front of the sorted set.
            let wanted = if scan.0 == "ZSCAN z" { 250..500 } else { 0..500 };
            for entry in wanted {
                let name = format!("{entry:0100}").into_bytes();
                assert!(found.contains(&name), "{} at {hosts:?}: {entry} was not found", scan.0);
            }
        }
    }
}

/// The order that pages go by is part of what memory is counted for.
#[test]
fn a_scan_takes_memory_up_to_its_end() {
    let mut cluster = cluster(12, 1000);
    all_large(&mut cluster, 500);
    for scan in SCANS {
        let bytes = |cluster: &mut Cluster| {
            line(cluster, 0, "HLEN h");
            line(cluster, 0, "SCARD s");
            line(cluster, 0, "ZCARD z");
            cluster.hosts[0].shard.objects_bytes()
        };
        let before = bytes(&mut cluster);
        let (mut cursor, _) = page(&mut cluster, 0, scan, "0");
        assert!(bytes(&mut cluster) > before, "{}", scan.0);
        while cursor != "0" {
            (cursor, _) = page(&mut cluster, 0, scan, &cursor);
        }
        assert_eq!(bytes(&mut cluster), before, "{}", scan.0);
    }
}
