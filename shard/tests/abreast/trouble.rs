//! Others that write, restart, forget or are silent: reads stay right, and are confirmed again afterwards.

use shard::reply::Reply;
use shard::wire::{PeerMessage, RepairSaid};

use super::{
    assert_all, cluster, cluster_with, confirmed, get_abreast, keys_of, read, sent, takes_all_for_its_own,
    write, CONFIRM, CONFIRMED, MS, NAME, QUERY,
};
use crate::keyspace::cluster::Cluster;

#[test]
fn what_another_host_writes_is_noticed() {
    for seed in 0..10 {
        let mut cluster = cluster(3, 10 + seed);
        let keys = keys_of(&cluster, 0, 30);
        write(&mut cluster, 0, &keys, b"old");
        assert_all(&read(&mut cluster, 0, &keys), &Reply::bulk("old"));
        // Host 0 does not hear of it: the others are a majority.
        takes_all_for_its_own(&mut cluster, 1);
        cluster.loss = Box::new(|_, to, bytes| to == 0 && bytes[0] < 10);
        write(&mut cluster, 1, &keys[..10], b"new");
        assert_eq!(cluster.ask(1, &[b"DEL", &keys[10]]), Reply::Int(1));
        cluster.loss = Box::new(|_, _, _| false);
        let (before, told) = (confirmed(&cluster, 0), cluster.hosts[0].shard.metrics().votes_told);
        let replies = read(&mut cluster, 0, &keys);
        assert_all(&replies[..10], &Reply::bulk("new"));
        assert_eq!(replies[10], Reply::Nil);
        assert_all(&replies[11..], &Reply::bulk("old"));
        assert!(confirmed(&cluster, 0) - before >= 19, "seed {seed}: the others are confirmed");
        assert!(cluster.hosts[0].shard.metrics().votes_told - told >= 11, "seed {seed}");
        // Each is agreed on twice: the first read brings it, the second one from the own disk, because another host proposed it.
        cluster.pass(20);
        read(&mut cluster, 0, &keys);
        let before = confirmed(&cluster, 0);
        read(&mut cluster, 0, &keys);
        assert_eq!(confirmed(&cluster, 0) - before, 30, "seed {seed}");
    }
}

#[test]
fn more_than_is_remembered_begins_anew() {
    let mut cluster = cluster_with(3, 20, |config| config.counted_ring = 4);
    let keys = keys_of(&cluster, 0, 30);
    write(&mut cluster, 0, &keys, b"old");
    read(&mut cluster, 0, &keys);
    let before = confirmed(&cluster, 0);
    takes_all_for_its_own(&mut cluster, 1);
    write(&mut cluster, 1, &keys[1..], b"new");
    let replies = read(&mut cluster, 0, &keys);
    assert_eq!((confirmed(&cluster, 0) - before, &replies[0]), (0, &Reply::bulk("old")));
    assert_all(&replies[1..], &Reply::bulk("new"));
    assert!(cluster.hosts[0].shard.metrics().counts_lost > 0);
    cluster.hosts[1].shard.set_routes(vec![0, 1, 2]);
    get_abreast(&mut cluster);
    read(&mut cluster, 0, &keys);
    let before = confirmed(&cluster, 0);
    assert_all(&read(&mut cluster, 0, &keys)[1..], &Reply::bulk("new"));
    assert_eq!(confirmed(&cluster, 0) - before, 30);
}

#[test]
fn who_starts_anew_is_abreast_again_soon() {
    for restarted in [0, 1] {
        let mut cluster = cluster(3, 30);
        let keys = keys_of(&cluster, 0, 20);
        write(&mut cluster, 0, &keys, b"v");
        cluster.restart_after(restarted, |_| ());
        let from = cluster.now;
        get_abreast(&mut cluster);
        assert!(cluster.now - from < 2_500 * MS, "host {restarted}: {} ms", (cluster.now - from) / MS);
        // Who has started does not know yet what is chosen: the first read of each key is agreed.
        assert_all(&read(&mut cluster, 0, &keys), &Reply::bulk("v"));
        let before = confirmed(&cluster, 0);
        assert_all(&read(&mut cluster, 0, &keys), &Reply::bulk("v"));
        assert_eq!(confirmed(&cluster, 0) - before, 20, "host {restarted}");
    }
}

/// Names, and answers of comparisons, that are lost are made up for with the next comparison.
#[test]
fn a_name_that_is_lost_is_said_again() {
    let mut cluster = Cluster::new(3, 40);
    cluster.repair = true;
    let mut chance = cluster.rng.fork();
    cluster.loss = Box::new(move |_, _, bytes| bytes[0] >= 24 && chance.below(3) == 0);
    cluster.spread();
    cluster.pass(20_000);
    cluster.loss = Box::new(|_, _, _| false);
    get_abreast(&mut cluster);
    assert!(sent(&cluster, NAME) > 6);
    let keys = keys_of(&cluster, 0, 5);
    assert_all(&read(&mut cluster, 0, &keys), &Reply::Nil);
    assert_eq!(confirmed(&cluster, 0), 5);
}

#[test]
fn who_does_not_answer_is_asked_last_from_then_on() {
    for silent in [1, 2] {
        let mut cluster = cluster(3, 50);
        let keys = keys_of(&cluster, 0, 5);
        write(&mut cluster, 0, &keys, b"v");
        cluster.loss = Box::new(move |_, to, bytes| to == silent && bytes[0] == CONFIRM);
        for _ in 0..2 {
            let from = cluster.now;
            assert_all(&read(&mut cluster, 0, &keys), &Reply::bulk("v"));
            assert!(cluster.now - from < 10 * MS, "host {silent}: {} ns", cluster.now - from);
        }
        cluster.types.clear();
        let from = cluster.now;
        assert_all(&read(&mut cluster, 0, &keys), &Reply::bulk("v"));
        assert!(cluster.now - from < MS && sent(&cluster, CONFIRM) == 1, "host {silent}");
        assert_eq!((confirmed(&cluster, 0), sent(&cluster, QUERY)), (15, 0));
    }
}

#[test]
fn what_nobody_confirms_is_agreed() {
    for hosts in [3, 5] {
        let mut cluster = cluster(hosts, 60);
        let keys = keys_of(&cluster, 0, 5);
        write(&mut cluster, 0, &keys, b"v");
        cluster.loss = Box::new(|_, _, bytes| bytes[0] == CONFIRMED);
        let from = cluster.now;
        assert_all(&read(&mut cluster, 0, &keys), &Reply::bulk("v"));
        assert!(cluster.now - from < 100 * MS, "{} ns", cluster.now - from);
        assert_eq!((confirmed(&cluster, 0), cluster.hosts[0].shard.metrics().unconfirmed_commands), (0, 5));
        // A client that does not wait so long gets its answer in its time.
        cluster.loss = Box::new(|_, to, _| to > 0);
        let (from, id) = (cluster.now, cluster.submit(0, &[b"GET", &keys[0]], None, 20));
        assert!(cluster.wait(id).is_error());
        assert!(cluster.now - from <= 21 * MS, "{} ns", cluster.now - from);
    }
}

/// A slice that lost its log comes back, and a host that heard nothing of it: no answer of before counts.
#[test]
fn a_lost_log_is_taken_over_before_anybody_confirms() {
    let mut cluster = cluster(3, 70);
    let keys = keys_of(&cluster, 0, 30);
    write(&mut cluster, 0, &keys, b"v");
    cluster.lose_data(1, true);
    for _ in 0..20 {
        assert_all(&read(&mut cluster, 0, &keys), &Reply::bulk("v"));
        write(&mut cluster, 0, &keys[..5], b"v");
        cluster.pass(100);
    }
    cluster.run_while(|cluster| cluster.hosts[1].shard.is_learner());
    (0..3).for_each(|host| cluster.hosts[host].shard.set_learner(1, false));
    get_abreast(&mut cluster);
    let before = confirmed(&cluster, 0);
    for round in 0..2 {
        assert_all(&read(&mut cluster, 0, &keys), &Reply::bulk("v"));
        assert!(round == 0 || confirmed(&cluster, 0) - before >= 30);
    }
}

/// A tombstone that all members agreed to drop leaves nothing to be needed.
#[test]
fn what_was_dropped_is_needed_no_more() {
    let mut cluster = cluster(3, 80);
    let mut keys = keys_of(&cluster, 0, 11);
    write(&mut cluster, 0, &keys, b"v");
    let other = keys.split_off(10);
    // Another host deletes them; host 0 votes for that, and is told of it with the next Confirm.
    takes_all_for_its_own(&mut cluster, 1);
    for key in &keys {
        assert_eq!(cluster.ask(1, &[b"DEL", key]), Reply::Int(1));
    }
    assert_all(&read(&mut cluster, 0, &other), &Reply::bulk("v"));
    assert_eq!(cluster.hosts[0].shard.metrics().votes_told, 10);
    assert_all(&read(&mut cluster, 0, &keys), &Reply::Nil);
    let from = cluster.now;
    while cluster.hosts.iter().any(|host| host.shard.metrics().tombstones_dropped < 10) {
        assert!(cluster.now < from + 60_000 * MS, "tombstones stay");
        cluster.pass(100);
    }
    cluster.hosts[1].shard.set_routes(vec![0, 1, 2]);
    get_abreast(&mut cluster);
    let before = cluster.hosts[0].shard.metrics().confirmed_absent;
    assert_all(&read(&mut cluster, 0, &keys), &Reply::Nil);
    assert_eq!(cluster.hosts[0].shard.metrics().confirmed_absent - before, 10);
}

/// Whether a message brings copies of records.
fn brings_copies(bytes: &[u8]) -> bool {
    match PeerMessage::decode(bytes) {
        Ok((_, PeerMessage::RepairAnswer(answer))) => {
            matches!(answer.said, RepairSaid::Copies { .. } | RepairSaid::Tail { .. })
        }
        _ => false,
    }
}

/// A slot that is never the same, because what this host lacks does not reach it, is abreast by lists; what it lacks is agreed.
#[test]
fn slots_that_differ_are_abreast_by_lists() {
    let mut cluster = Cluster::new(3, 90);
    let tag = (0..).map(|n| format!("{{{n}}}")).find(|tag| shard::slot::slot(tag.as_bytes()) < 5_000);
    let tag = tag.expect("a tag of a slot of host 0");
    let names = |kind: &str, count: usize| -> Vec<Vec<u8>> {
        (0..count).map(|number| format!("{tag}{kind}{number}").into_bytes()).collect()
    };
    let (both, lacked) = (names("both", 1_000), names("lacked", 20));
    both.chunks(500).for_each(|keys| write(&mut cluster, 0, keys, b"old"));
    cluster.loss = Box::new(|_, to, bytes| to == 0 && bytes[0] < 10);
    write(&mut cluster, 1, &lacked, b"new");
    write(&mut cluster, 1, &both[..20], b"new");
    cluster.loss = Box::new(|_, to, bytes| to == 0 && brings_copies(bytes));
    cluster.repair = true;
    cluster.spread();
    get_abreast(&mut cluster);
    assert_ne!(cluster.sums(0), cluster.sums(1));
    // The first reads bring them from the disk, and show a small cache that they are wanted.
    (0..4).for_each(|_| drop(read(&mut cluster, 0, &both[980..])));
    let before = confirmed(&cluster, 0);
    assert_all(&read(&mut cluster, 0, &both[980..]), &Reply::bulk("old"));
    assert_eq!(confirmed(&cluster, 0) - before, 20);
    assert_all(&read(&mut cluster, 0, &lacked), &Reply::bulk("new"));
    assert_all(&read(&mut cluster, 0, &both[..20]), &Reply::bulk("new"));
    assert_eq!(confirmed(&cluster, 0) - before, 20);
}
