//! Ballots that are promised for whole ranges of slots: what they cost, and that they are right whatever others write, lose or leave unsaid.

use paxos::{Ballot, Message};
use shard::metrics::Metrics;
use shard::reply::Reply;
use shard::wire::{Counted, PeerMessage, RangePrepare, Sender};

use crate::abreast::{assert_all, cluster, get_abreast, keys_of, read, sent, takes_all_for_its_own, write};
use crate::keyspace::cluster::{Cluster, MS, PREPARE, RANGE_PREPARE, RANGE_PROMISE, RANGE_REFUSED};

/// A cluster in which each host is preferred for a part of the slots, and has a ballot for them.
fn granted(hosts: u8, seed: u64) -> Cluster {
    let mut cluster = cluster(hosts, seed);
    cluster.pass(50);
    cluster
}

fn metrics(cluster: &Cluster, host: usize) -> Metrics {
    *cluster.hosts[host].shard.metrics()
}

#[test]
fn the_first_write_of_a_key_takes_one_round_trip() {
    for hosts in [3, 5] {
        let mut cluster = granted(hosts, 1);
        let keys = keys_of(&cluster, 1, 40);
        cluster.types.clear();
        write(&mut cluster, 1, &keys, b"v");
        let now = metrics(&cluster, 1);
        assert_eq!(
            (now.granted_proposals, now.granted_absent, now.fast_proposals),
            (40, 40, 0),
            "{hosts} hosts"
        );
        write(&mut cluster, 1, &keys, b"w");
        let now = metrics(&cluster, 1);
        assert_eq!((now.granted_proposals, now.fast_proposals, now.classic_proposals), (40, 40, 0));
        assert_eq!(sent(&cluster, PREPARE), 0, "{:?}", cluster.types);
        assert_all(&read(&mut cluster, 0, &keys), &Reply::bulk("w"));
    }
}

#[test]
fn after_a_restart_it_does_so_again() {
    for restarted in [0, 1] {
        let mut cluster = granted(3, 10);
        let keys = keys_of(&cluster, 0, 30);
        write(&mut cluster, 0, &keys[..20], b"v");
        cluster.restart_after(restarted, |_| ());
        get_abreast(&mut cluster);
        cluster.pass(50);
        cluster.types.clear();
        let before = metrics(&cluster, 0);
        write(&mut cluster, 0, &keys, b"w");
        let now = metrics(&cluster, 0);
        // Who is still there goes on by itself.
        let granted = if restarted == 0 { 30 } else { 10 };
        assert_eq!(now.granted_proposals - before.granted_proposals, granted, "host {restarted} restarted");
        assert_eq!(sent(&cluster, PREPARE), 0, "{:?}", cluster.types);
        assert_all(&read(&mut cluster, 2, &keys), &Reply::bulk("w"));
    }
}

#[test]
fn hosts_at_rest_say_nothing_of_it() {
    let mut cluster = granted(3, 20);
    cluster.pass(5_000);
    cluster.types.clear();
    cluster.pass(30_000);
    assert_eq!([RANGE_PREPARE, RANGE_PROMISE, RANGE_REFUSED].map(|kind| sent(&cluster, kind)), [0; 3]);
    assert!((0..3).all(|host| metrics(&cluster, host).range_ballots == 1));
}

#[test]
fn a_question_that_is_lost_is_asked_again() {
    let mut cluster = Cluster::new(3, 30);
    cluster.repair = true;
    cluster.spread();
    cluster.loss = Box::new(|_, _, bytes| bytes[0] == RANGE_PREPARE || bytes[0] == RANGE_PROMISE);
    get_abreast(&mut cluster);
    let keys = keys_of(&cluster, 0, 20);
    write(&mut cluster, 0, &keys[..10], b"v");
    assert_eq!(metrics(&cluster, 0).granted_proposals, 0);
    cluster.loss = Box::new(|_, _, _| false);
    cluster.pass(10_000);
    write(&mut cluster, 0, &keys, b"w");
    let now = metrics(&cluster, 0);
    assert_eq!((now.granted_proposals, now.fast_proposals), (10, 10));
}

/// Two hosts that both take themselves for preferred: whoever writes gets through, and what was written is there.
#[test]
fn hosts_that_outbid_each_other_get_through() {
    for seed in 0..5 {
        let mut cluster = granted(3, 40 + seed);
        let keys = keys_of(&cluster, 0, 210);
        takes_all_for_its_own(&mut cluster, 1);
        for round in 0..40 {
            let value = [b'a' + round as u8 % 26];
            // Some that the other one has written, and some of which there is nothing.
            let keys = &keys[5 * round..5 * round + 10];
            write(&mut cluster, round % 2, keys, &value);
            assert_all(&read(&mut cluster, 2, keys), &Reply::bulk(&value[..]));
            cluster.pass(100);
        }
        let taken = metrics(&cluster, 0).range_ballots + metrics(&cluster, 1).range_ballots;
        let seconds = cluster.now / (1_000 * MS);
        assert!(taken <= 2 * (seconds + 2), "seed {seed}: {taken} ballots in {seconds} s");
        assert!(metrics(&cluster, 0).granted_proposals + metrics(&cluster, 1).granted_proposals > 40);
    }
}

/// A host that was behind: what it lacks is not covered until it has it, and the rest is.
#[test]
fn who_lacks_a_record_asks_for_it_first() {
    let mut cluster = granted(3, 50);
    let keys = keys_of(&cluster, 0, 20);
    write(&mut cluster, 0, &keys, b"old");
    takes_all_for_its_own(&mut cluster, 1);
    cluster.loss = Box::new(|_, to, bytes| to == 0 && bytes[0] < 10);
    write(&mut cluster, 1, &keys[..10], b"new");
    cluster.loss = Box::new(|_, _, _| false);
    for key in &keys {
        assert!(matches!(cluster.ask(0, &[b"APPEND", key, b"er"]), Reply::Int(_)));
    }
    assert_all(&read(&mut cluster, 2, &keys[..10]), &Reply::bulk("newer"));
    assert_all(&read(&mut cluster, 2, &keys[10..]), &Reply::bulk("older"));
}

/// Where tombstones were dropped the floor has passed the ballot: keys of which nothing is left need another one.
#[test]
fn a_ballot_that_the_floor_has_passed_is_renewed() {
    let mut cluster = granted(3, 60);
    let keys = keys_of(&cluster, 0, 20);
    write(&mut cluster, 0, &keys, b"v");
    for key in &keys {
        assert_eq!(cluster.ask(0, &[b"DEL", key]), Reply::Int(1));
    }
    let from = cluster.now;
    while cluster.hosts.iter().any(|host| host.shard.metrics().tombstones_dropped < 20) {
        assert!(cluster.now < from + 60_000 * MS, "tombstones stay");
        cluster.pass(100);
    }
    let (before, taken) = (metrics(&cluster, 0).granted_absent, metrics(&cluster, 0).range_ballots);
    write(&mut cluster, 0, &keys[..1], b"again");
    assert_eq!(metrics(&cluster, 0).granted_absent - before, 0);
    cluster.pass(50);
    write(&mut cluster, 0, &keys[1..], b"again");
    let now = metrics(&cluster, 0);
    assert_eq!((now.granted_absent - before, now.range_ballots - taken), (19, 1));
    assert_all(&read(&mut cluster, 1, &keys), &Reply::bulk("again"));
}

/// A Restamp that waits for the record of its key to be read is judged when that is there: a range promise that was given meanwhile binds it.
#[test]
fn what_waits_for_the_disk_is_bound_by_what_is_promised_meanwhile() {
    let mut cluster = granted(3, 80);
    let key = keys_of(&cluster, 0, 1).remove(0);
    write(&mut cluster, 0, std::slice::from_ref(&key), b"v");
    let slot = shard::slot::slot(&key);
    // A restart leaves nothing in memory.
    cluster.restart_after(2, |_| ());
    cluster.pass(50);
    let of = cluster.hosts[2].shard.inspect(&key).accepted;
    let sender = Sender { epoch: 1, incarnation: cluster.hosts[1].shard.incarnation(), flush: 0, catalog: 0 };
    let node = shard::config::node_of(2, 0);
    let [restamped, promised] = [100, 200].map(|round| Ballot::new(round, node, sender.incarnation));
    let place = Counted { subscription: 0, count: 0 };
    let incarnation = cluster.hosts[2].shard.incarnation();
    let messages = [
        PeerMessage::Paxos { slot, key: &key, message: Message::Restamp { ballot: restamped, of } },
        PeerMessage::RangePrepare(RangePrepare {
            ballot: promised,
            place,
            incarnation,
            slots: vec![(0, 16_383)],
        }),
    ];
    for message in messages {
        let mut bytes = Vec::new();
        message.encode(sender, &mut bytes);
        cluster.with_turn(2, |shard, turn| shard.on_message(turn, 1, &bytes));
    }
    let reads = metrics(&cluster, 2).disk_reads;
    cluster.pass(5);
    let host = &cluster.hosts[2].shard;
    assert_eq!(
        (host.range_promise(slot), reads),
        (promised, 1),
        "the record was read, and the promise is durable"
    );
    assert_eq!(host.inspect(&key).accepted, of, "and nothing below it was accepted since");
}

/// A slice that lost its log comes back: what was promised before binds nobody, and nothing that rests on it goes on.
#[test]
fn a_lost_log_takes_the_ballots_with_it() {
    let mut cluster = granted(3, 70);
    let keys = keys_of(&cluster, 0, 30);
    write(&mut cluster, 0, &keys[..15], b"v");
    cluster.lose_data(1, true);
    for _ in 0..20 {
        write(&mut cluster, 0, &keys[..5], b"v");
        cluster.pass(100);
    }
    cluster.run_while(|cluster| cluster.hosts[1].shard.is_learner());
    (0..3).for_each(|host| cluster.hosts[host].shard.set_learner(1, false));
    get_abreast(&mut cluster);
    cluster.pass(50);
    let before = metrics(&cluster, 0).granted_proposals;
    write(&mut cluster, 0, &keys, b"w");
    assert!(metrics(&cluster, 0).granted_proposals - before >= 25);
    assert_all(&read(&mut cluster, 1, &keys), &Reply::bulk("w"));
}
