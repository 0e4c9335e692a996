//! Flushes of objects that are written as what changes in them: a chain of before is a tombstone, and nothing extends it.

use paxos::{Ballot, Message};
use shard::record::{Delta, Record};
use shard::reply::Reply;
use shard::requests::Changes;
use shard::slot::slot;
use shard::state::Type;
use shard::wire::{PeerMessage, Sender};
use shard::{Config, Held};

use super::{epochs, is_empty, uncertain};
use crate::deltas::{
    all_large, cluster, contents, count, line, metric, some_changes, ACCEPT_DELTA, NEED_BASE,
};
use crate::keyspace::cluster::Cluster;

/// Three hosts with a large object of each type that has a chain, decoded at host 0.
fn chained(seed: u64) -> Cluster {
    let mut cluster = cluster(seed, 1000);
    all_large(&mut cluster, 300);
    (0..5).for_each(|round| some_changes(&mut cluster, 0, round));
    cluster.pass(100);
    assert!(metric(&cluster, |m| m.deltas_written) > 100);
    cluster
}

fn flush(cluster: &mut Cluster, host: usize) {
    assert_eq!(line(cluster, host, "FLUSHALL"), Reply::OK);
    // The others hear of it.
    (0..3).for_each(|host| drop(line(cluster, host, "EXISTS h")));
    cluster.pass(50);
}

/// Whoever is asked, with what is kept decoded or without; and the first change after it is on nothing.
#[test]
fn chains_of_before_are_gone_and_new_ones_begin() {
    for (seed, restart) in [(1_500, false), (1_501, true)] {
        let mut cluster = chained(seed);
        flush(&mut cluster, 1);
        if restart {
            cluster.restart_all();
        }
        for host in 0..3 {
            is_empty(&mut cluster, host);
            for text in ["HLEN h", "LLEN l", "SCARD s", "ZCARD z"] {
                assert_eq!(line(&mut cluster, host, text), Reply::Int(0), "{text} at {host}");
            }
        }
        let before = metric(&cluster, |m| m.deltas_written);
        assert_eq!(line(&mut cluster, 0, "HSET h f new"), Reply::Int(1));
        assert_eq!(line(&mut cluster, 0, "RPUSH l new"), Reply::Int(1));
        assert_eq!(
            line(&mut cluster, 0, "HGETALL h"),
            Reply::Map(vec![("f", "new")].into_iter().map(pair).collect())
        );
        assert_eq!(metric(&cluster, |m| m.deltas_written), before, "what is written on nothing is whole");
        // Large ones again, in the newer epoch, with chains of it.
        all_large(&mut cluster, 300);
        (0..5).for_each(|round| some_changes(&mut cluster, 0, round));
        assert!(metric(&cluster, |m| m.deltas_written) > before + 100);
        let now = contents(&mut cluster);
        cluster.restart_all();
        assert_eq!(contents(&mut cluster), now);
        assert_eq!(epochs(&cluster), [1; 3]);
        (0..3).for_each(|host| assert_eq!(line(&mut cluster, host, "DBSIZE"), Reply::Int(4)));
    }
}

fn pair((field, value): (&str, &str)) -> (Reply, Reply) {
    (Reply::bulk(field), Reply::bulk(value))
}

fn said_by_host_0(cluster: &Cluster, flush: u32, message: Message<Held>) -> Vec<u8> {
    let incarnation = cluster.hosts[0].shard.incarnation();
    let mut bytes = Vec::new();
    let message = PeerMessage::Paxos { slot: slot(b"h"), key: b"h", message };
    message.encode(Sender { epoch: 1, incarnation, flush, catalog: 0 }, &mut bytes);
    assert_eq!(PeerMessage::decode(&bytes).map(|_| ()), Ok(()));
    bytes
}

/// A ballot of host 0 above all that are there.
fn above(cluster: &Cluster, host: usize) -> Ballot {
    let round = cluster.hosts[host].shard.inspect(b"h").accepted.round;
    Ballot::new(round + 1_000, 1 << 16, cluster.hosts[0].shard.incarnation())
}

/// In whatever epoch it is itself: its base is a tombstone. The answer is NeedBase, and nothing changes.
#[test]
fn a_delta_on_a_base_of_before_is_not_taken() {
    for (flushes, epoch, taken) in [(0, 0, true), (1, 0, false), (1, 1, false), (2, 1, false)] {
        let mut cluster = chained(1_510);
        (0..flushes).for_each(|_| flush(&mut cluster, 0));
        let base = cluster.hosts[1].shard.inspect(b"h").accepted;
        let ballot = above(&cluster, 1);
        let delta = Delta {
            base,
            version: 1 << 40,
            epoch,
            kind: Type::Hash,
            expires_at_ms: 0,
            applied: Default::default(),
            requests: Default::default(),
            digest: 7,
            entries: 300,
            changes: b"\x01\x01f\x01v".to_vec(),
        };
        let mut bytes = Vec::new();
        assert!(delta.encode(&mut bytes));
        let message = Message::Accept { ballot, base: Ballot::ZERO, entry: Held::Delta(bytes.into()) };
        let bytes = said_by_host_0(&cluster, flushes, message);
        assert_eq!(bytes[0], ACCEPT_DELTA);
        let before = count(&cluster, NEED_BASE);
        cluster.with_turn(1, |shard, turn| {
            shard.on_message(turn, 0, &bytes);
            shard.end_turn(turn);
        });
        cluster.pass(20);
        let accepted = cluster.hosts[1].shard.inspect(b"h").accepted;
        assert_eq!(
            accepted,
            if taken { ballot } else { base },
            "{flushes} flushes, a delta of epoch {epoch}"
        );
        assert_eq!(count(&cluster, NEED_BASE) - before, u64::from(!taken));
    }
}

/// What an envelope says of a newer epoch is taken on first, as with any message; a delta of a newer epoch than its envelope is refused.
#[test]
fn an_envelope_with_a_delta_is_an_envelope() {
    for (sender, entry, refused) in [(3, 0, 0), (3, 3, 0), (3, 4, 1)] {
        let mut cluster = chained(1_520);
        let base = cluster.hosts[1].shard.inspect(b"h").accepted;
        let ballot = above(&cluster, 1);
        let record = Record { version: 1 << 40, epoch: entry, value: Some(hash()), ..Record::default() };
        let mut bytes = Vec::new();
        assert!(Delta::new(base, &record, Vec::new(), Changes::default())
            .expect("it is an object")
            .encode(&mut bytes));
        let message = Message::Accept { ballot, base: Ballot::ZERO, entry: Held::Delta(bytes.into()) };
        let bytes = said_by_host_0(&cluster, sender, message);
        let before = cluster.hosts[1].shard.metrics().messages_refused;
        cluster.with_turn(1, |shard, turn| {
            shard.on_message(turn, 0, &bytes);
            assert_eq!(shard.flush_epoch(), 0, "it is not durable yet");
            shard.end_turn(turn);
        });
        cluster.pass(20);
        assert_eq!(cluster.hosts[1].shard.flush_epoch(), 3);
        assert_eq!(cluster.hosts[1].shard.inspect(b"h").accepted, base);
        assert_eq!(cluster.hosts[1].shard.metrics().messages_refused - before, refused);
    }
}

fn hash() -> shard::state::Value {
    let mut hash = shard::object::Hash::default();
    hash.set(b"f", b"v");
    shard::state::Value::Hash(hash)
}

/// A restamp of a chain's end of an older epoch keeps what it is, an entry of that epoch, and is written whole: it is no base.
#[test]
fn a_restamp_of_a_chain_of_before_is_written_whole() {
    for flushes in [0, 1] {
        let mut cluster = chained(1_530);
        (0..flushes).for_each(|_| flush(&mut cluster, 0));
        let own = |cluster: &Cluster| cluster.hosts[1].shard.metrics().deltas_written;
        let (of, written) = (cluster.hosts[1].shard.inspect(b"h").accepted, own(&cluster));
        let ballot = above(&cluster, 1);
        let bytes = said_by_host_0(&cluster, flushes, Message::Restamp { ballot, of });
        cluster.with_turn(1, |shard, turn| {
            shard.on_message(turn, 0, &bytes);
            shard.end_turn(turn);
        });
        cluster.pass(50);
        assert_eq!(cluster.hosts[1].shard.inspect(b"h").accepted, ballot);
        assert_eq!(own(&cluster) - written, u64::from(flushes == 0), "{flushes} flushes");
        for _ in 0..2 {
            let entries = line(&mut cluster, 1, "HLEN h");
            assert_eq!(entries == Reply::Int(0), flushes > 0, "{entries:?}");
            cluster.restart_all();
        }
    }
}

/// A proposer that has not heard of the flush proposes deltas on what is gone: it learns of it, and nothing of before comes back.
#[test]
fn who_has_not_heard_brings_nothing_back() {
    let mut cluster = chained(1_540);
    cluster.cut_off(0);
    assert_eq!(line(&mut cluster, 1, "FLUSHALL"), Reply::OK);
    assert_eq!(epochs(&cluster), [0, 1, 1]);
    cluster.heal();
    let deltas = count(&cluster, ACCEPT_DELTA);
    // It proposes on what it has, and finds that in its own record when it has heard.
    assert!(uncertain(&line(&mut cluster, 0, "HSET h f0 before")));
    assert!(count(&cluster, ACCEPT_DELTA) > deltas);
    (0..3).for_each(|host| assert_eq!(line(&mut cluster, host, "HLEN h"), Reply::Int(0)));
    assert_eq!(line(&mut cluster, 0, "HSET h f0 after"), Reply::Int(1));
    for host in 0..3 {
        assert_eq!(line(&mut cluster, host, "HLEN h"), Reply::Int(1));
        assert_eq!(line(&mut cluster, host, "DBSIZE"), Reply::Int(1));
    }
    assert_eq!(epochs(&cluster), [1; 3]);
}

/// Chains of before are dropped as tombstones are, all their parts.
#[test]
fn the_space_of_chains_comes_back() {
    let mut cluster = chained(1_550);
    flush(&mut cluster, 0);
    assert_eq!(line(&mut cluster, 1, "SET k new"), Reply::OK);
    cluster.pass(10);
    let stats = |cluster: &Cluster| -> Vec<(u64, u64, u64)> {
        let stats = cluster.hosts.iter().map(|host| host.shard.store_stats());
        stats.map(|stats| (stats.entries, stats.chains, stats.deltas)).collect()
    };
    assert!(stats(&cluster)
        .iter()
        .all(|(entries, chains, deltas)| *entries == 5 && *chains == 4 && *deltas > 20));
    cluster.repair = true;
    let from = cluster.now;
    while stats(&cluster) != [(1, 0, 0); 3] {
        assert!(cluster.now - from < 60_000_000_000, "{:?} after a minute", stats(&cluster));
        cluster.pass(100);
    }
    assert_eq!(line(&mut cluster, 2, "GET k"), Reply::Bulk(b"new".to_vec()));
}

/// While flushed objects give way, those that clients ask for stay decoded.
#[test]
fn what_gives_way_drives_nothing_out() {
    let mut cluster = Cluster::with(3, 1_560, |config: &mut Config| {
        (config.delta_object_bytes_min, config.objects_bytes) = (1_000, 100_000);
    });
    cluster.repair = true;
    let fill = |cluster: &mut Cluster, key: &str| {
        let fields: Vec<String> = (0..100).map(|n| format!("f{n} a-value-of-some-length-{n}")).collect();
        assert_eq!(line(cluster, 0, &format!("HSET {key} {}", fields.join(" "))), Reply::Int(100));
        (0..3).for_each(|n| assert_eq!(line(cluster, 0, &format!("HSET {key} f{n} new")), Reply::Int(0)));
    };
    (0..30).for_each(|n| fill(&mut cluster, &format!("old{n}")));
    cluster.cut_off(2);
    assert_eq!(line(&mut cluster, 0, "FLUSHALL"), Reply::OK);
    fill(&mut cluster, "hot");
    assert_eq!(line(&mut cluster, 0, "HLEN hot"), Reply::Int(100));
    let emptied = |cluster: &Cluster| metric(cluster, |m| m.flush_emptied);
    let from = cluster.now;
    while emptied(&cluster) < 30 {
        assert!(cluster.now - from < 60_000_000_000, "{} after a minute", emptied(&cluster));
        cluster.pass(100);
    }
    cluster.pass(1_000);
    let chains = |cluster: &Cluster| cluster.hosts[0].shard.metrics().chain_reads;
    let before = chains(&cluster);
    assert_eq!(line(&mut cluster, 0, "HSET hot f1 newer"), Reply::Int(0));
    assert_eq!(chains(&cluster), before, "it is decoded still");
}
