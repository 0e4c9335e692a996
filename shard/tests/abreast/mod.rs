//! Reads that are confirmed many at a time: what they cost, and that they are right whatever others write, lose or leave unsaid.

mod messages;
mod trouble;

use shard::reply::Reply;
use shard::Config;

use crate::keyspace::cluster::{Cluster, CONFIRM, CONFIRMED, MS, NAME};

/// The type of a Query, as in docs/formats/peer-message.md.
const QUERY: u8 = 8;

/// A cluster in which each host is preferred for a part of the slots, and abreast with the others.
pub fn cluster(hosts: u8, seed: u64) -> Cluster {
    cluster_with(hosts, seed, |_| {})
}

fn cluster_with(hosts: u8, seed: u64, change: impl Fn(&mut Config)) -> Cluster {
    let mut cluster = Cluster::with(hosts, seed, change);
    cluster.repair = true;
    cluster.spread();
    get_abreast(&mut cluster);
    cluster
}

/// Has a host believe that it is preferred for everything.
pub fn takes_all_for_its_own(cluster: &mut Cluster, host: usize) {
    cluster.hosts[host].shard.set_routes(vec![host as u8]);
}

/// Waits until all are abreast with all.
pub fn get_abreast(cluster: &mut Cluster) {
    let from = cluster.now;
    while !is_abreast(cluster) {
        assert!(cluster.now < from + 20_000 * MS, "not abreast");
        cluster.pass(5);
    }
}

fn is_abreast(cluster: &Cluster) -> bool {
    let hosts = cluster.hosts.len();
    let first = |host: usize| (host * 16_384).div_ceil(hosts) as u32;
    (0..hosts).all(|host| {
        let (shard, own) = (&cluster.hosts[host].shard, first(host + 1) - first(host));
        (0..hosts).filter(|peer| *peer != host).all(|peer| shard.slots_abreast(peer as u8) >= own)
    })
}

/// Keys that a host is preferred for.
pub fn keys_of(cluster: &Cluster, host: usize, count: usize) -> Vec<Vec<u8>> {
    let hosts = cluster.hosts.len();
    let names = (0..).map(|number: u32| format!("k{number}").into_bytes());
    let of = |key: &Vec<u8>| usize::from(shard::slot::slot(key)) * hosts / 16_384 == host;
    names.filter(of).take(count).collect()
}

pub fn write(cluster: &mut Cluster, host: usize, keys: &[Vec<u8>], value: &[u8]) {
    let commands: Vec<Vec<&[u8]>> = keys.iter().map(|key| vec![&b"SET"[..], key, value]).collect();
    assert!(cluster.ask_all(host, &commands).iter().all(|reply| *reply == Reply::OK));
}

/// Reads at a host, all in one turn.
pub fn read(cluster: &mut Cluster, host: usize, keys: &[Vec<u8>]) -> Vec<Reply> {
    let commands: Vec<Vec<&[u8]>> = keys.iter().map(|key| vec![&b"GET"[..], key]).collect();
    cluster.ask_all(host, &commands)
}

pub fn assert_all(replies: &[Reply], want: &Reply) {
    assert!(replies.iter().all(|reply| reply == want), "{replies:?}");
}

pub fn sent(cluster: &Cluster, kind: u8) -> u64 {
    cluster.types.get(&kind).copied().unwrap_or_default()
}

fn confirmed(cluster: &Cluster, host: usize) -> u64 {
    cluster.hosts[host].shard.metrics().confirmed_commands
}

#[test]
fn one_question_serves_all_reads_of_a_turn() {
    for hosts in [3, 5] {
        let mut cluster = cluster(hosts, 1);
        let keys = keys_of(&cluster, 1, 40);
        write(&mut cluster, 1, &keys[..30], b"v");
        cluster.types.clear();
        let replies = read(&mut cluster, 1, &keys);
        assert_all(&replies[..30], &Reply::bulk("v"));
        assert_all(&replies[30..], &Reply::Nil);
        let others = u64::from(hosts / 2);
        assert_eq!((sent(&cluster, CONFIRM), sent(&cluster, CONFIRMED)), (others, others), "{hosts} hosts");
        assert_eq!(sent(&cluster, QUERY), 0, "{:?}", cluster.types);
        assert_eq!((confirmed(&cluster, 1), cluster.hosts[1].shard.metrics().confirmed_absent), (40, 10));
        assert_eq!(cluster.hosts[1].shard.under_way(), (0, 0));
        // All reads of one key are served by it, and any command that only reads.
        let key = &keys[0][..];
        let commands = [vec![&b"STRLEN"[..], key], vec![b"GETV", key], vec![b"TTL", key], vec![b"GET", key]];
        let replies = cluster.ask_all(1, &commands);
        assert_eq!(
            (&replies[0], &replies[2], &replies[3]),
            (&Reply::Int(1), &Reply::Int(-1), &Reply::bulk("v"))
        );
        assert_eq!((sent(&cluster, CONFIRM), sent(&cluster, QUERY)), (2 * others, 0));
    }
}

#[test]
fn the_only_host_asks_nobody_and_waits_for_nothing() {
    let mut cluster = cluster(1, 1);
    let keys = keys_of(&cluster, 0, 40);
    write(&mut cluster, 0, &keys[..30], b"v");
    let before = cluster.now;
    let replies = read(&mut cluster, 0, &keys);
    assert_all(&replies[..30], &Reply::bulk("v"));
    assert_all(&replies[30..], &Reply::Nil);
    assert!(cluster.now < before + MS / 100, "it waited for {} ns", cluster.now - before);
    assert_eq!(confirmed(&cluster, 0), 40);
}

#[test]
fn forwarded_reads_are_confirmed_where_they_go() {
    let mut cluster = cluster(3, 2);
    let keys = keys_of(&cluster, 2, 20);
    write(&mut cluster, 0, &keys, b"v");
    assert_all(&read(&mut cluster, 0, &keys), &Reply::bulk("v"));
    assert_eq!((confirmed(&cluster, 2), confirmed(&cluster, 0), sent(&cluster, QUERY)), (20, 0, 0));
}

#[test]
fn hosts_at_rest_say_nothing_of_it() {
    let mut cluster = cluster(3, 3);
    let keys = keys_of(&cluster, 0, 50);
    write(&mut cluster, 0, &keys, b"v");
    cluster.pass(5_000);
    cluster.types.clear();
    cluster.pass(30_000);
    assert_eq!([NAME, CONFIRM, CONFIRMED, QUERY].map(|kind| sent(&cluster, kind)), [0; 4]);
    assert_all(&read(&mut cluster, 0, &keys), &Reply::bulk("v"));
    assert_eq!((sent(&cluster, CONFIRM), sent(&cluster, QUERY)), (1, 0));
}

/// What one client asks of a key takes effect in the order in which it was asked, confirmed or not.
#[test]
fn reads_and_writes_of_a_key_keep_their_order() {
    let mut cluster = cluster(3, 4);
    let keys = keys_of(&cluster, 0, 2);
    write(&mut cluster, 0, &keys, b"old");
    let (key, other) = (&keys[0][..], &keys[1][..]);
    let commands = [
        vec![&b"GET"[..], key],
        vec![b"GET", other],
        vec![b"SET", key, b"new"],
        vec![b"GET", key],
        vec![b"APPEND", key, b"er"],
        vec![b"GET", key],
        vec![b"GET", other],
    ];
    let replies = cluster.ask_all(0, &commands);
    let values = [0, 1, 3, 5, 6].map(|index: usize| replies[index].clone());
    assert_eq!(values, ["old", "old", "new", "newer", "old"].map(Reply::bulk));
    assert_eq!(confirmed(&cluster, 0), 2, "those of the other key");
    // A read that is out, with its answer on the way, too.
    let first = cluster.submit(0, &[b"GET", key], None, 1_000);
    cluster.with_turn(0, |shard, turn| shard.end_turn(turn));
    let second = cluster.submit(0, &[b"SET", key, b"last"], None, 1_000);
    let third = cluster.submit(0, &[b"GET", key], None, 1_000);
    let replies = [first, second, third].map(|id| cluster.wait(id));
    assert_eq!(replies, [Reply::bulk("newer"), Reply::OK, Reply::bulk("last")]);
}

#[test]
fn a_value_past_its_time_is_gone_for_good() {
    let mut cluster = cluster(3, 5);
    let key = &keys_of(&cluster, 0, 1)[0];
    assert_eq!(cluster.ask(0, &[b"SET", key, b"v", b"PX", b"500"]), Reply::OK);
    assert_eq!(cluster.ask(0, &[b"GET", key]), Reply::bulk("v"));
    assert_eq!(confirmed(&cluster, 0), 1);
    cluster.pass(600);
    assert_eq!(cluster.ask(0, &[b"GET", key]), Reply::Nil);
    assert_eq!((confirmed(&cluster, 0), cluster.hosts[0].shard.metrics().expired_keys), (1, 1));
}
