//! Replicas that came to differ become equal by themselves.

mod damage;
mod dropping;
pub mod messages;
mod rejoin;
mod tail;

use shard::reply::Reply;

use crate::keyspace::cluster::{Cluster, ACCEPT, HELLO, MS, REPAIR_ANSWER, REPAIR_ASK};

/// Keys of one kind.
fn keys(prefix: &str, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("{prefix}{number}").into_bytes()).collect()
}

fn set(cluster: &mut Cluster, host: usize, keys: &[Vec<u8>], value: &[u8]) {
    let commands: Vec<Vec<&[u8]>> = keys.iter().map(|key| vec![&b"SET"[..], key, value]).collect();
    for chunk in commands.chunks(200) {
        for reply in cluster.ask_all(host, chunk) {
            assert_eq!(reply, Reply::OK);
        }
    }
}

/// Lets the hosts become equal; how long that took, in milliseconds.
fn level(cluster: &mut Cluster, within_ms: u64) -> u64 {
    let from = cluster.now;
    while !cluster.is_level() {
        assert!(cluster.now < from + within_ms * MS, "not level after {within_ms} ms");
        cluster.pass(5);
    }
    let took = (cluster.now - from) / MS;
    // What is equal stays so, and is known to be.
    cluster.pass(3_000);
    assert!(cluster.is_level());
    let knows = |host: &crate::keyspace::cluster::Host| host.shard.repair_progress().level;
    assert!(cluster.hosts.iter().all(knows), "all know that they are level");
    took
}

fn copied(cluster: &Cluster) -> Vec<u64> {
    cluster.hosts.iter().map(|host| host.shard.repair_progress().copied).collect()
}

fn settled(cluster: &Cluster) -> u64 {
    cluster.hosts.iter().map(|host| host.shard.repair_progress().settled).sum()
}

fn cluster(hosts: u8, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(hosts, seed);
    cluster.repair = true;
    cluster
}

#[test]
fn a_host_that_was_away_catches_up_by_copies_alone() {
    for (hosts, seed) in [(3, 1), (5, 2)] {
        let mut cluster = cluster(hosts, seed);
        let names = keys("k", 900);
        set(&mut cluster, 0, &names[..300], b"old");
        cluster.cut_off(2);
        set(&mut cluster, 0, &names[200..], b"new");
        assert_eq!(cluster.ask(1, &[b"DEL", &names[250]]), Reply::Int(1));
        cluster.heal();
        cluster.pass(2);
        let before = (cluster.hosts[0].shard.store_stats().counters.records, settled(&cluster));
        level(&mut cluster, 2_000);
        let copied = copied(&cluster);
        assert_eq!(copied[2], 700, "each record that it lacked, once: {copied:?}");
        assert_eq!(copied.iter().sum::<u64>(), 700, "{copied:?}");
        let host = &cluster.hosts[0].shard;
        // Meanwhile the tombstone went: a floor and a removal.
        assert_eq!(host.metrics().tombstones_dropped, 1);
        let after = (host.store_stats().counters.records - 2, settled(&cluster));
        assert_eq!(before, after, "the others write nothing for it");
        // It can stand in for another one.
        cluster.cut_off(0);
        assert_eq!(cluster.ask(2, &[b"GET", &names[899]]), Reply::Bulk(b"new".to_vec()));
        assert_eq!(cluster.ask(2, &[b"GET", &names[250]]), Reply::Nil);
    }
}

#[test]
fn large_values_come_in_several_answers_and_none_is_too_long() {
    let mut cluster = cluster(3, 3);
    cluster.cut_off(1);
    let names = keys("{one-slot}", 40);
    names.chunks(4).for_each(|names| set(&mut cluster, 0, names, &vec![b'v'; 90_000]));
    cluster.heal();
    level(&mut cluster, 3_000);
    assert_eq!(copied(&cluster)[1], 40);
    assert!(cluster.longest < 1 << 20, "{}", cluster.longest);
}

#[test]
fn pages_of_one_large_slot() {
    let mut cluster = cluster(3, 4);
    let names = keys("{one-slot}", 9_000);
    set(&mut cluster, 0, &names[..1_000], b"old");
    cluster.cut_off(1);
    set(&mut cluster, 0, &names[500..], b"new");
    cluster.heal();
    level(&mut cluster, 5_000);
    assert_eq!(copied(&cluster)[1], 8_500);
}

/// Lost messages leave records on one, two or three hosts, and undecided ones; nobody reads them.
#[test]
fn what_lost_messages_left_undecided_is_settled() {
    for seed in 0..6 {
        let mut cluster = Cluster::new(if seed % 2 == 0 { 3 } else { 5 }, 100 + seed);
        let hosts = cluster.hosts.len();
        let mut chance = cluster.rng.fork();
        cluster.loss = Box::new(move |_, _, bytes| bytes[0] == ACCEPT && chance.below(10) < 7);
        for round in 0..6 {
            let names = keys(&format!("{}-", round % 3), 60);
            for name in &names {
                cluster.submit(round % hosts, &[b"SET", name, b"v"], None, 30);
            }
            cluster.pass(20);
        }
        cluster.pass(1_000);
        assert!(!cluster.is_level(), "seed {seed}: nothing to mend");
        cluster.repair = true;
        cluster.heal();
        level(&mut cluster, 20_000);
        assert!(settled(&cluster) > 0, "seed {seed}");
        let all: Vec<Reply> = (0..hosts).map(|host| cluster.ask(host, &[b"DBSIZE"])).collect();
        assert!(all.iter().all(|count| *count == all[0]), "seed {seed}: {all:?}");
    }
}

/// After all have restarted nobody knows any more what is chosen; lists of a majority show it.
#[test]
fn lists_prove_what_marks_have_forgotten() {
    let mut cluster = cluster(3, 5);
    cluster.cut_off(2);
    set(&mut cluster, 0, &keys("k", 300), b"v");
    cluster.restart_all();
    let before = settled(&cluster);
    level(&mut cluster, 2_000);
    assert_eq!((copied(&cluster)[2], settled(&cluster)), (300, before));
    // With one of the two that have them away, each is settled instead.
    cluster.cut_off(2);
    set(&mut cluster, 0, &keys("l", 100), b"v");
    cluster.restart_all();
    cluster.cut_off(1);
    cluster.link(0, 2, true);
    cluster.link(2, 0, true);
    cluster.loss = Box::new(|from, to, _| from == 1 || to == 1);
    let from = cluster.now;
    while cluster.sums(0) != cluster.sums(2) {
        assert!(cluster.now < from + 20_000 * MS, "not level");
        cluster.pass(50);
    }
    assert!(settled(&cluster) >= 100);
    cluster.heal();
    level(&mut cluster, 20_000);
}

#[test]
fn lost_messages_of_repair_are_made_up_for() {
    let mut cluster = cluster(3, 6);
    cluster.cut_off(1);
    set(&mut cluster, 0, &keys("k", 200), b"v");
    cluster.heal();
    let mut chance = cluster.rng.fork();
    cluster.loss = Box::new(move |_, _, bytes| bytes[0] >= 24 && chance.below(5) == 0);
    level_under_loss(&mut cluster);
    cluster.heal();
    level(&mut cluster, 20_000);
}

fn level_under_loss(cluster: &mut Cluster) {
    let from = cluster.now;
    while !cluster.is_level() {
        assert!(cluster.now < from + 60_000 * MS, "not level");
        cluster.pass(50);
    }
}

/// Clients are served, and what they write meanwhile is not lost on the way.
#[test]
fn it_goes_on_under_load_and_more_slowly() {
    let mut times = Vec::new();
    for busy in [false, true] {
        let mut cluster = Cluster::with(3, 7, |config| config.repair.records_per_second = 10_000);
        cluster.repair = true;
        cluster.cut_off(1);
        set(&mut cluster, 0, &keys("k", 3_000), b"v");
        cluster.heal();
        let from = cluster.now;
        let mut written = 0;
        while copied(&cluster)[1] < 3_000 {
            assert!(cluster.now < from + 30_000 * MS, "not level");
            if busy {
                for _ in 0..5 {
                    let key = format!("w{}", written % 100).into_bytes();
                    assert_eq!(cluster.ask(1, &[b"SET", &key, b"v"]), Reply::OK);
                    written += 1;
                }
            }
            cluster.pass(2);
        }
        times.push((cluster.now - from) / MS);
        level(&mut cluster, 20_000);
    }
    // 300 ms at that rate, and up to as many before it begins, by chance.
    assert!(times[0] < 600 && times[1] > 3 * times[0], "in virtual milliseconds: {times:?}");
}

#[test]
fn hosts_that_are_level_say_little() {
    let mut cluster = cluster(3, 8);
    set(&mut cluster, 0, &keys("k", 300), b"v");
    cluster.pass(3_000);
    cluster.types.clear();
    cluster.pass(60_000);
    let sent: u64 = cluster.types.values().sum();
    // Two peers: a word what the host is, and four ranges with an answer each, about once a second and host.
    assert!(sent <= 3 * 18 * 70, "{:?}", cluster.types);
    let known = [HELLO, REPAIR_ASK, REPAIR_ANSWER];
    assert!(cluster.types.keys().all(|kind| known.contains(kind)), "{:?}", cluster.types);
}
