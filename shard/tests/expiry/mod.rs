//! Keys whose time has come go, although nobody asks for them.

use shard::reply::Reply;

use crate::keyspace::cluster::{Cluster, MS};

/// Sets keys that end after so many milliseconds; 0: never.
fn set(cluster: &mut Cluster, prefix: &str, count: usize, ends_ms: u64) {
    let ends = ends_ms.to_string();
    for number in 0..count {
        let key = format!("{prefix}{number}");
        let mut command = vec![&b"SET"[..], key.as_bytes(), b"value"];
        if ends_ms > 0 {
            command.extend([&b"PX"[..], ends.as_bytes()]);
        }
        let host = number % cluster.hosts.len();
        assert_eq!(cluster.ask(host, &command), Reply::OK);
    }
}

/// Records, tombstones included, of each host.
fn records(cluster: &Cluster) -> Vec<u64> {
    cluster.hosts.iter().map(|host| host.shard.store_stats().entries).collect()
}

fn sum(cluster: &Cluster, of: impl Fn(&shard::metrics::Metrics) -> u64) -> u64 {
    cluster.hosts.iter().map(|host| of(host.shard.metrics())).sum()
}

/// Lets time pass until all hosts hold so many records.
fn until(cluster: &mut Cluster, wanted: u64, within_ms: u64) {
    let from = cluster.now;
    while records(cluster).iter().any(|count| *count != wanted) {
        assert!(cluster.now < from + within_ms * MS, "{:?} after {within_ms} ms", records(cluster));
        cluster.pass(50);
    }
}

fn spread(hosts: u8, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(hosts, seed);
    cluster.repair = true;
    cluster.spread();
    cluster
}

#[test]
fn what_has_ended_goes_on_all_hosts_and_nothing_else_does() {
    for (hosts, seed) in [(3, 1), (5, 2)] {
        let mut cluster = spread(hosts, seed);
        set(&mut cluster, "kept", 50, 0);
        set(&mut cluster, "long", 50, 3_600_000);
        set(&mut cluster, "short", 200, 2_000);
        let before = cluster.now;
        // The last ones are on their way to who was not needed for a majority.
        until(&mut cluster, 300, 500);
        // Tombstones first, and then nothing.
        until(&mut cluster, 100, 12_000);
        assert!(cluster.now > before + 1_000 * MS, "not before their time");
        assert_eq!(sum(&cluster, |metrics| metrics.expired_keys), 200, "each was ended once");
        assert_eq!(cluster.ask(0, &[b"DBSIZE"]), Reply::Int(100));
        assert_eq!(cluster.ask(1, &[b"EXISTS", b"long7"]), Reply::Int(1));
        // What stays costs nothing more: only slots of which something ends are read.
        let reads = sum(&cluster, |metrics| metrics.disk_reads);
        cluster.pass(60_000);
        assert_eq!(sum(&cluster, |metrics| metrics.disk_reads), reads);
        assert!(cluster.is_level());
    }
}

#[test]
fn one_host_alone_clears_up_too() {
    let mut cluster = Cluster::new(1, 3);
    set(&mut cluster, "short", 20, 100);
    cluster.pass(3_000);
    assert_eq!(sum(&cluster, |metrics| metrics.expired_keys), 20);
}

#[test]
fn ends_are_found_again_after_a_restart() {
    let mut cluster = spread(3, 4);
    set(&mut cluster, "kept", 20, 0);
    set(&mut cluster, "long", 20, 3_600_000);
    set(&mut cluster, "short", 100, 5_000);
    cluster.restart_all();
    cluster.pass(10_000);
    until(&mut cluster, 40, 12_000);
}

#[test]
fn a_key_that_lives_longer_by_then_stays() {
    let mut cluster = spread(3, 5);
    set(&mut cluster, "k", 30, 1_000);
    for number in 0..30 {
        let key = format!("k{number}");
        let command: [&[u8]; 3] = match number % 3 {
            0 => [b"PEXPIRE", key.as_bytes(), b"3600000"],
            1 => [b"PERSIST", key.as_bytes(), b""],
            _ => [b"SET", key.as_bytes(), b"other"],
        };
        let words = if number % 3 == 1 { &command[..2] } else { &command[..] };
        assert!(!cluster.ask(2, words).is_error());
    }
    cluster.pass(8_000);
    assert_eq!(records(&cluster), [30; 3]);
    assert_eq!(sum(&cluster, |metrics| metrics.expired_keys), 0);
}

#[test]
fn keys_of_a_host_that_is_away_are_ended_by_who_is_preferred_then() {
    let mut cluster = spread(3, 6);
    set(&mut cluster, "short", 60, 1_000);
    cluster.cut_off(0);
    cluster.pass(5_000);
    let ended = sum(&cluster, |metrics| metrics.expired_keys);
    assert!((20..60).contains(&ended), "{ended}: those of host 0 are left");
    for host in [1, 2] {
        cluster.hosts[host].shard.set_routes(vec![1, 2]);
    }
    cluster.pass(5_000);
    assert_eq!(sum(&cluster, |metrics| metrics.expired_keys), 60);
    cluster.heal();
    until(&mut cluster, 0, 20_000);
}

#[test]
fn without_a_majority_nothing_ends_and_then_it_does() {
    let mut cluster = spread(3, 7);
    set(&mut cluster, "short", 30, 1_000);
    cluster.loss = Box::new(|from, to, _| from != to);
    cluster.pass(15_000);
    assert_eq!((sum(&cluster, |metrics| metrics.expired_keys), records(&cluster)), (0, vec![30; 3]));
    cluster.heal();
    until(&mut cluster, 0, 30_000);
}
