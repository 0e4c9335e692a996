//! A peer that is up but answers late: what is forwarded to it must not hold up the clients of other hosts.

use shard::reply::Reply;

use crate::keyspace::cluster::{Cluster, MS};

/// The message type of a forwarded command, as in docs/formats/peer-message.md.
const FORWARD: u8 = 16;

/// Three hosts that prefer host 1 for every key; what host 0 forwards to it is lost.
fn with_slow_peer(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(3, seed);
    (0..3).for_each(|host| cluster.hosts[host].shard.set_routes(vec![1]));
    cluster.pass(50);
    assert_eq!(cluster.ask(0, &[b"SET", b"k", b"before"]), Reply::OK);
    assert!(cluster.hosts[0].shard.metrics().forwarded > 0, "it prefers the other one");
    cluster.loss = Box::new(|from, to, bytes| (from, to) == (0, 1) && bytes[0] == FORWARD);
    cluster
}

/// Asks once every 10 ms; how many of the answers took longer than 100 ms.
fn late_answers(cluster: &mut Cluster, count: usize) -> usize {
    let mut late = 0;
    for number in 0..count {
        let at = cluster.now;
        let value = number.to_string();
        assert_eq!(cluster.ask(0, &[b"SET", b"k", value.as_bytes()]), Reply::OK);
        late += usize::from(cluster.now - at > 100 * MS);
        cluster.pass(10);
    }
    late
}

#[test]
fn few_commands_wait_for_a_slow_peer() {
    let mut cluster = with_slow_peer(1);
    let late = late_answers(&mut cluster, 2_000);
    assert!((1..=8).contains(&late), "{late} of 2,000 waited: the first, and a probe now and then");
}

/// Always late, and never so late that a command lapses.
#[test]
fn few_commands_wait_for_a_peer_that_is_slower_than_others() {
    let mut cluster = Cluster::new(3, 3);
    (0..3).for_each(|host| cluster.hosts[host].shard.set_routes(vec![0, 1, 2]));
    cluster.pass(50);
    cluster.slow = Some((1, 60 * MS));
    let mut late = 0;
    for number in 0..2_000_u32 {
        let (at, key) = (cluster.now, format!("k{number}"));
        assert_eq!(cluster.ask(0, &[b"SET", key.as_bytes(), b"v"]), Reply::OK);
        late += usize::from(cluster.now - at > 50 * MS);
        cluster.pass(10);
    }
    assert!((3..=12).contains(&late), "{late} of 2,000 waited: the first few, and a probe now and then");
}

#[test]
fn a_peer_that_answers_again_is_preferred_again() {
    let mut cluster = with_slow_peer(2);
    late_answers(&mut cluster, 100);
    cluster.loss = Box::new(|_, _, _| false);
    let before = cluster.hosts[0].shard.metrics().forwarded;
    late_answers(&mut cluster, 500);
    let forwarded = cluster.hosts[0].shard.metrics().forwarded - before;
    assert!(forwarded > 100, "{forwarded} of 500 were forwarded");
}
