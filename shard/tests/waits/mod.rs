//! Clients that wait for a key to hold something: who is told, when, and by which host, whatever dies or is lost.

mod messages;

use shard::limits::{WAITS_MAX, WAIT_LOOK_NS, WAIT_TRY_NS};
use shard::reply::Reply;
use shard::WaitId;

use crate::keyspace::cluster::{Cluster, MS, WAIT};

/// A host and the number of a wait there.
type Who = (usize, WaitId);

/// A cluster whose host 0 is preferred for everything, in all eyes.
fn cluster(hosts: u8, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(hosts, seed);
    prefer(&mut cluster, 0);
    cluster.pass(5);
    cluster
}

fn prefer(cluster: &mut Cluster, host: usize) {
    cluster.hosts.iter_mut().for_each(|other| other.shard.set_routes(vec![host as u8]));
}

fn wait(cluster: &mut Cluster, host: usize) -> Who {
    let id = cluster.with_turn(host, |shard, turn| shard.wait(turn, b"q")).expect("it may wait");
    (host, id)
}

/// Who was told since this was asked last, in order, after some milliseconds.
fn told(cluster: &mut Cluster, ms: u64) -> Vec<Who> {
    let until = cluster.now + ms * MS;
    cluster.run_while_below(until);
    cluster.woken.drain(..).map(|(_, host, id)| (host, id)).collect()
}

fn missed(cluster: &mut Cluster, (host, id): Who) {
    cluster.with_turn(host, |shard, turn| shard.missed(turn, id));
}

fn end(cluster: &mut Cluster, (host, id): Who, took: bool) {
    cluster.with_turn(host, |shard, turn| shard.end_wait(turn, id, took));
}

/// Who is told tries: takes something, or waits on.
fn try_all(cluster: &mut Cluster, ms: u64) -> Vec<Who> {
    let mut served = Vec::new();
    for who in told(cluster, ms) {
        match cluster.ask(who.0, &[b"LPOP", b"q"]) {
            Reply::Nil => missed(cluster, who),
            Reply::Bulk(_) => {
                end(cluster, who, true);
                served.push(who);
            }
            other => panic!("{other:?}"),
        }
    }
    served
}

/// Three who wait, one at each host, and know that there is nothing.
fn three(cluster: &mut Cluster) -> [Who; 3] {
    let three = [1, 2, 0].map(|host| {
        let who = wait(cluster, host);
        try_all(cluster, 5);
        who
    });
    assert_eq!(cluster.hosts[0].shard.waits(), (1, 3), "host 0 keeps all");
    three
}

#[test]
fn who_waits_is_told_where_it_is_in_the_order_in_which_it_came() {
    let mut cluster = cluster(3, 1);
    let three = three(&mut cluster);
    assert_eq!(told(&mut cluster, 400), []);
    for (writer, who) in [2, 0, 1].into_iter().zip(three) {
        assert_eq!(cluster.ask(writer, &[b"RPUSH", b"q", b"x"]), Reply::Int(1));
        assert_eq!(try_all(&mut cluster, 5), [who]);
    }
    assert_eq!(cluster.hosts[0].shard.waits(), (0, 0));
    assert_eq!(cluster.hosts[1].shard.waits(), (0, 0));
}

#[test]
fn as_many_are_told_as_there_is_something_for() {
    let mut cluster = cluster(3, 2);
    let [first, second, _] = three(&mut cluster);
    assert_eq!(cluster.ask(1, &[b"RPUSH", b"q", b"a", b"b"]), Reply::Int(2));
    let mut both = told(&mut cluster, 5);
    both.sort_unstable();
    assert_eq!(both, [first, second]);
}

#[test]
fn a_sorted_set_is_waited_for_as_well() {
    let mut cluster = cluster(3, 3);
    let [first, ..] = three(&mut cluster);
    assert_eq!(cluster.ask(2, &[b"ZADD", b"q", b"1", b"m"]), Reply::Int(1));
    assert_eq!(told(&mut cluster, 5), [first]);
}

#[test]
fn what_nobody_waits_for_tells_nobody() {
    let mut cluster = cluster(3, 4);
    three(&mut cluster);
    assert_eq!(cluster.ask(1, &[b"SET", b"q", b"text"]), Reply::OK);
    assert_eq!(cluster.ask(1, &[b"DEL", b"q"]), Reply::Int(1));
    assert_eq!(cluster.ask(1, &[b"RPUSH", b"other", b"x"]), Reply::Int(1));
    assert_eq!(told(&mut cluster, 50), []);
}

#[test]
fn a_key_that_holds_something_already_is_tried_at_once() {
    let mut cluster = cluster(3, 5);
    assert_eq!(cluster.ask(0, &[b"RPUSH", b"q", b"a"]), Reply::Int(1));
    let who = wait(&mut cluster, 2);
    assert_eq!(try_all(&mut cluster, 5), [who]);
}

#[test]
fn who_gives_up_leaves_it_to_the_next() {
    let mut cluster = cluster(3, 6);
    let [first, second, _] = three(&mut cluster);
    assert_eq!(cluster.ask(0, &[b"RPUSH", b"q", b"a"]), Reply::Int(1));
    assert_eq!(told(&mut cluster, 5), [first]);
    end(&mut cluster, first, false);
    assert_eq!(try_all(&mut cluster, 5), [second]);
}

#[test]
fn when_the_keeper_is_gone_another_one_keeps_them_soon() {
    let mut cluster = cluster(3, 7);
    let [first, second, third] = three(&mut cluster);
    cluster.cut_off(third.0);
    prefer(&mut cluster, 1);
    try_all(&mut cluster, 100);
    assert_eq!(cluster.hosts[1].shard.waits(), (1, 2), "within a tenth of a second");
    assert_eq!(cluster.ask(2, &[b"RPUSH", b"q", b"a", b"b"]), Reply::Int(2));
    let mut served = try_all(&mut cluster, 5);
    served.sort_unstable();
    assert_eq!(served, [first, second]);
}

#[test]
fn waits_follow_the_preferred_host() {
    let mut cluster = cluster(3, 8);
    three(&mut cluster);
    prefer(&mut cluster, 2);
    try_all(&mut cluster, 50);
    assert_eq!(cluster.hosts[2].shard.waits(), (1, 3));
    assert_eq!(cluster.hosts[0].shard.waits(), (1, 0));
    // One that is down is preferred for nothing, wherever that is not known yet.
    cluster.cut_off(2);
    try_all(&mut cluster, 50);
    assert_eq!((cluster.hosts[0].shard.waits(), cluster.hosts[1].shard.waits()), ((1, 1), (1, 1)));
    assert_eq!(cluster.ask(0, &[b"RPUSH", b"q", b"a"]), Reply::Int(1));
    assert_eq!(try_all(&mut cluster, 5).len(), 1);
}

#[test]
fn a_host_that_restarts_is_told_again_and_forgotten_meanwhile() {
    let mut cluster = cluster(3, 9);
    let [_, second, _] = three(&mut cluster);
    cluster.restart_after(1, |_| {});
    prefer(&mut cluster, 0);
    assert_eq!(cluster.hosts[0].shard.waits(), (1, 2), "who waited there is gone");
    cluster.restart_after(0, |_| {});
    prefer(&mut cluster, 0);
    try_all(&mut cluster, 100);
    assert_eq!(cluster.hosts[0].shard.waits(), (0, 1));
    assert_eq!(cluster.ask(1, &[b"RPUSH", b"q", b"a"]), Reply::Int(1));
    assert_eq!(try_all(&mut cluster, 5), [second]);
}

#[test]
fn words_that_are_lost_are_said_again() {
    let mut cluster = cluster(3, 10);
    cluster.loss = Box::new(|_, _, bytes| bytes[0] == WAIT);
    let who = wait(&mut cluster, 1);
    assert_eq!(told(&mut cluster, 20), []);
    cluster.heal();
    assert_eq!(try_all(&mut cluster, 100), []);
    assert_eq!(cluster.hosts[0].shard.waits(), (0, 1));
    // The word that there is something is lost: who was told and did not come is told again.
    cluster.loss = Box::new(|from, _, bytes| from == 0 && bytes[0] == WAIT);
    assert_eq!(cluster.ask(1, &[b"RPUSH", b"q", b"a"]), Reply::Int(1));
    assert_eq!(told(&mut cluster, 20), []);
    cluster.heal();
    assert_eq!(try_all(&mut cluster, (WAIT_TRY_NS + 2 * WAIT_LOOK_NS) / MS), [who]);
}

#[test]
fn a_record_that_passes_the_keeper_by_is_found_by_looking() {
    let mut cluster = cluster(3, 11);
    let [first, ..] = three(&mut cluster);
    // Host 0 hears nothing of the write, which the two others make, each of which takes itself for preferred.
    cluster.loss = Box::new(|from, to, bytes| bytes[0] != WAIT && (to == 0 || from == 0));
    cluster.hosts[1].shard.set_routes(vec![0]);
    let id = cluster.submit(2, &[b"RPUSH", b"q", b"a"], None, 20_000);
    assert_eq!(cluster.wait(id), Reply::Int(1));
    cluster.loss = Box::new(|_, _, _| false);
    let mut served = Vec::new();
    for _ in 0..4 {
        served.extend(try_all(&mut cluster, 1_000));
    }
    assert_eq!(served, [first]);
}

#[test]
fn who_waits_costs_little_while_nothing_happens() {
    let mut cluster = cluster(3, 12);
    three(&mut cluster);
    cluster.types.clear();
    for _ in 0..60 {
        try_all(&mut cluster, 1_000);
    }
    let said = cluster.types.get(&WAIT).copied().unwrap_or_default();
    assert!(said < 60, "{said} words of two waits in a minute");
}

#[test]
fn a_core_has_a_bound_of_waits_and_a_failed_one_tells_all() {
    let mut cluster = cluster(1, 13);
    let all: Vec<Who> = (0..WAITS_MAX).map(|_| wait(&mut cluster, 0)).collect();
    let refused = cluster.with_turn(0, |shard, turn| shard.wait(turn, b"q"));
    assert!(matches!(refused, Err(Reply::Error(text)) if text.starts_with("ERR busy")));
    cluster.woken.clear();
    cluster.hosts[0].disk.set_faults(reactor::sim::Faults {
        write_error_per_million: 1_000_000,
        ..reactor::sim::Faults::default()
    });
    cluster.submit(0, &[b"SET", b"k", b"v"], None, 1_000);
    cluster.pass(50);
    assert!(cluster.hosts[0].shard.fault().is_some());
    assert_eq!((cluster.woken.len(), cluster.hosts[0].shard.waits()), (all.len(), (0, 0)));
}
