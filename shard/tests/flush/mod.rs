//! FLUSHALL: all keys of a slice are gone at one moment, on all hosts, for good.

mod deltas;
mod messages;
mod trouble;

use shard::reply::Reply;

use crate::abreast;
use crate::keyspace::cluster::Cluster;

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

fn uncertain(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with("UNCERTAIN"))
}

fn names(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("key{number}").into_bytes()).collect()
}

fn fill(cluster: &mut Cluster, host: usize, count: usize) {
    let names = names(count);
    let commands: Vec<Vec<&[u8]>> = names.iter().map(|key| vec![&b"SET"[..], key, b"value"]).collect();
    for chunk in commands.chunks(200) {
        cluster.ask_all(host, chunk).into_iter().for_each(|reply| assert_eq!(reply, Reply::OK));
    }
}

/// Nothing is there, however one asks.
fn is_empty(cluster: &mut Cluster, host: usize) {
    let nothing = Reply::Array(vec![]);
    assert_eq!(cluster.ask(host, &[b"DBSIZE"]), Reply::Int(0), "host {host}");
    assert_eq!(cluster.ask(host, &[b"KEYS", b"*"]), nothing);
    assert_eq!(cluster.ask(host, &[b"RANDOMKEY"]), Reply::Nil);
    assert_eq!(
        cluster.ask(host, &[b"SCAN", b"0", b"COUNT", b"100000"]),
        Reply::Array(vec![Reply::bulk("0"), nothing])
    );
    assert_eq!(cluster.ask(host, &[b"GET", b"key1"]), Reply::Nil);
    assert_eq!(cluster.ask(host, &[b"EXISTS", b"key2"]), Reply::Int(0));
    assert_eq!(cluster.ask(host, &[b"TTL", b"key3"]), Reply::Int(-2));
}

fn epochs(cluster: &Cluster) -> Vec<u32> {
    cluster.hosts.iter().map(|host| host.shard.flush_epoch()).collect()
}

#[test]
fn everything_is_gone_at_once_and_stays_gone() {
    for count in [1, 3, 5] {
        let mut cluster = Cluster::new(count, 900 + u64::from(count));
        fill(&mut cluster, 0, 300);
        let before = cluster.now;
        assert_eq!(cluster.ask(0, &[b"FLUSHALL"]), Reply::OK);
        let took = cluster.now - before;
        for host in 0..usize::from(count) {
            is_empty(&mut cluster, host);
        }
        assert_eq!(epochs(&cluster), vec![1; usize::from(count)]);
        // What comes later stays.
        assert_eq!(cluster.ask(0, &[b"SET", b"key1", b"new"]), Reply::OK);
        assert_eq!(cluster.ask(0, &[b"DBSIZE"]), Reply::Int(1));
        cluster.restart_all();
        for host in 0..usize::from(count) {
            assert_eq!(cluster.ask(host, &[b"GET", b"key1"]), bulk("new"));
            assert_eq!(cluster.ask(host, &[b"GET", b"key2"]), Reply::Nil);
            assert_eq!(cluster.ask(host, &[b"DBSIZE"]), Reply::Int(1));
        }
        // As many keys as one likes: it takes no longer.
        fill(&mut cluster, 0, 3_000);
        let before = cluster.now;
        assert_eq!(cluster.ask(0, &[b"FLUSHDB", b"ASYNC"]), Reply::OK);
        assert!(cluster.now - before < 2 * took + 1_000_000, "{} against {took}", cluster.now - before);
        is_empty(&mut cluster, 0);
    }
}

#[test]
fn many_flushes_at_once_are_few() {
    let mut cluster = Cluster::new(3, 911);
    let ids: Vec<u64> = (0..60).map(|nth| cluster.submit(nth % 3, &[b"FLUSHALL"], None, 20_000)).collect();
    ids.into_iter().for_each(|id| assert_eq!(cluster.wait(id), Reply::OK));
    assert!(epochs(&cluster).iter().all(|epoch| (1..=6).contains(epoch)), "{:?}", epochs(&cluster));
}

#[test]
fn reads_that_are_confirmed_show_nothing_of_before() {
    let mut cluster = abreast::cluster(3, 912);
    let keys = abreast::keys_of(&cluster, 0, 50);
    abreast::write(&mut cluster, 0, &keys, b"value");
    cluster.pass(50);
    let confirmed = |cluster: &Cluster| cluster.hosts[0].shard.metrics().confirmed_commands;
    abreast::assert_all(&abreast::read(&mut cluster, 0, &keys), &bulk("value"));
    let before = confirmed(&cluster);
    assert!(before > 25, "{before} of 50 reads are confirmed");
    // By another host: this one has the records at hand, and known chosen.
    assert_eq!(cluster.ask(1, &[b"FLUSHALL"]), Reply::OK);
    abreast::assert_all(&abreast::read(&mut cluster, 0, &keys), &Reply::Nil);
    assert!(confirmed(&cluster) > before + 25, "{} of 50", confirmed(&cluster) - before);
}

#[test]
fn objects_and_ends_and_counters_begin_anew() {
    let mut cluster = Cluster::new(3, 913);
    let before: [&[&[u8]]; 5] = [
        &[b"RPUSH", b"list", b"a", b"b"],
        &[b"HSET", b"hash", b"f", b"v"],
        &[b"INCRBY", b"counter", b"7"],
        &[b"SET", b"ends", b"v", b"EX", b"100"],
        &[b"SADD", b"set", b"m"],
    ];
    before.iter().for_each(|command| assert!(!cluster.ask(0, command).is_error()));
    assert_eq!(cluster.ask(1, &[b"FLUSHALL"]), Reply::OK);
    assert_eq!(cluster.ask(2, &[b"RPUSH", b"list", b"c"]), Reply::Int(1));
    assert_eq!(cluster.ask(0, &[b"HLEN", b"hash"]), Reply::Int(0));
    assert_eq!(cluster.ask(0, &[b"INCR", b"counter"]), Reply::Int(1));
    assert_eq!(cluster.ask(1, &[b"SET", b"ends", b"w", b"KEEPTTL"]), Reply::OK);
    assert_eq!(cluster.ask(2, &[b"TTL", b"ends"]), Reply::Int(-1));
    assert_eq!(cluster.ask(2, &[b"TYPE", b"set"]), Reply::Simple("none".into()));
    assert_eq!(cluster.ask(0, &[b"DBSIZE"]), Reply::Int(3));
}

/// Who watched a key that was emptied is told, whatever was written there since; who watched one that was not there is not.
#[test]
fn versions_tell_of_a_flush() {
    let mut cluster = Cluster::new(3, 914);
    let version = |cluster: &mut Cluster, key: &[u8]| match cluster.ask(0, &[b"OBJECT", b"VERSION", key]) {
        Reply::Int(version) => version,
        other => panic!("a version, not {other:?}"),
    };
    cluster.ask(0, &[b"SET", b"there", b"v"]);
    cluster.ask(0, &[b"SET", b"gone", b"v"]);
    cluster.ask(0, &[b"GETDEL", b"gone"]);
    let (there, gone) = (version(&mut cluster, b"there"), version(&mut cluster, b"gone"));
    assert_eq!(cluster.ask(1, &[b"FLUSHALL"]), Reply::OK);
    assert_ne!(version(&mut cluster, b"there"), there);
    assert_eq!(version(&mut cluster, b"gone"), gone, "there was nothing to be emptied");
    cluster.ask(0, &[b"SET", b"there", b"v"]);
    assert!(version(&mut cluster, b"there") > there);
}

/// Tombstones of what was flushed are dropped like those of what was deleted.
#[test]
fn the_space_comes_back() {
    let mut cluster = Cluster::new(3, 915);
    cluster.repair = true;
    fill(&mut cluster, 0, 400);
    assert_eq!(cluster.ask(0, &[b"FLUSHALL"]), Reply::OK);
    cluster.ask(1, &[b"SET", b"key1", b"new"]);
    let records = |cluster: &Cluster| -> Vec<u64> {
        cluster.hosts.iter().map(|host| host.shard.store_stats().entries).collect()
    };
    let from = cluster.now;
    while records(&cluster) != [1; 3] {
        assert!(cluster.now - from < 60_000_000_000, "{:?} after a minute", records(&cluster));
        cluster.pass(100);
    }
    for host in 0..3 {
        assert_eq!(cluster.ask(host, &[b"GET", b"key1"]), bulk("new"));
        assert_eq!(cluster.ask(host, &[b"GET", b"key2"]), Reply::Nil);
    }
}
