//! A host that lost its log takes over what it held, and votes again.

use std::cell::RefCell;
use std::rc::Rc;

use shard::reply::Reply;
use shard::wire::{PeerMessage, RepairSaid};

use super::{keys, level, set, settled};
use crate::keyspace::cluster::{Cluster, ACCEPT, HELLO, MS, REPAIR_ANSWER};

/// The host comes back without its data, as a learner.
fn lose(cluster: &mut Cluster, host: usize) {
    cluster.lose_data(host, true);
    assert!(cluster.hosts[host].shard.is_learner());
}

fn come_back(cluster: &mut Cluster, host: usize, within_ms: u64) {
    let from = cluster.now;
    while cluster.hosts[host].shard.is_learner() {
        assert!(cluster.now < from + within_ms * MS, "{:?}", cluster.hosts[host].shard.repair_progress());
        cluster.pass(10);
    }
}

#[test]
fn a_learner_becomes_a_voter_and_another_host_may_go() {
    for (hosts, seed) in [(3, 1), (5, 2)] {
        let mut cluster = Cluster::new(hosts, seed);
        cluster.repair = true;
        let names = keys("k", 400);
        set(&mut cluster, 0, &names, b"v");
        assert_eq!(cluster.ask(0, &[b"DEL", &names[0]]), Reply::Int(1));
        let before = cluster.hosts[2].shard.incarnation();
        lose(&mut cluster, 2);
        come_back(&mut cluster, 2, 5_000);
        assert!(cluster.hosts[2].shard.incarnation() > before + 1_000, "a range of its own");
        level(&mut cluster, 5_000);
        assert!((0..2).all(|host| !cluster.hosts[host].shard.peer_is_learner(2)), "it has said so");
        cluster.cut_off(0);
        if hosts == 5 {
            cluster.loss = Box::new(|from, to, _| [from, to].iter().any(|host| [0, 1].contains(host)));
            (2..5).for_each(|host| cluster.link(host, 1, false));
        }
        assert_eq!(cluster.ask(2, &[b"GET", &names[399]]), Reply::Bulk(b"v".to_vec()));
        assert_eq!(cluster.ask(2, &[b"GET", &names[0]]), Reply::Nil);
        assert_eq!(cluster.ask(2, &[b"SET", &names[0], b"new"]), Reply::OK);
        cluster.heal();
        level(&mut cluster, 5_000);
    }
}

/// A voter is not taken for a learner for long where the word that it votes again was lost.
#[test]
fn who_did_not_hear_that_a_learner_votes_again_hears_it_later() {
    let mut cluster = Cluster::new(3, 31);
    cluster.repair = true;
    assert_eq!(cluster.ask(0, &[b"SET", b"k", b"v"]), Reply::OK);
    lose(&mut cluster, 2);
    cluster.loss = Box::new(|from, to, bytes| from == 2 && to == 1 && bytes[0] == HELLO);
    come_back(&mut cluster, 2, 5_000);
    cluster.pass(50);
    assert!(cluster.hosts[1].shard.peer_is_learner(2), "the word was lost");
    cluster.loss = Box::new(|from, to, _| from == 0 || to == 0);
    cluster.link(1, 0, false);
    cluster.link(2, 0, false);
    assert_eq!(cluster.ask(1, &[b"SET", b"k", b"new"]), Reply::OK);
    assert!(!cluster.hosts[1].shard.peer_is_learner(2));
}

/// The write that two hosts hold is not forgotten when one of them loses its data and comes back, and the other one goes.
#[test]
fn what_a_pair_chose_survives_the_loss_of_one() {
    for seed in 0..10 {
        let mut cluster = Cluster::new(3, 100 + seed);
        cluster.cut_off(0);
        assert_eq!(cluster.ask(1, &[b"SET", b"k", b"acknowledged"]), Reply::OK);
        cluster.heal();
        cluster.repair = true;
        lose(&mut cluster, 2);
        come_back(&mut cluster, 2, 5_000);
        cluster.cut_off(1);
        assert_eq!(cluster.ask(0, &[b"GET", b"k"]), Reply::Bulk(b"acknowledged".to_vec()), "seed {seed}");
    }
}

/// Of five, 3 has the promises of 0 and 1 for its write and accepts it alone. 0 loses its log and comes back by what 1, 2 and 4 tell
/// it. What 2 then writes with 0 and 4 must lie above what 3 holds, or 3 undoes it when it is back.
#[test]
fn what_a_former_life_promised_binds_the_new_one() {
    for seed in 0..5 {
        let mut cluster = Cluster::new(5, 400 + seed);
        for host in 0..5 {
            cluster.hosts[host].shard.set_routes(vec![host as u8]);
        }
        let among =
            |hosts: &'static [usize], from: usize, to: usize| hosts.contains(&from) && hosts.contains(&to);
        cluster.loss = Box::new(move |from, to, bytes| bytes[0] == ACCEPT || !among(&[0, 1, 3], from, to));
        let write = cluster.submit(3, &[b"SET", b"k", b"unknown"], None, 30);
        assert!(matches!(cluster.wait(write), Reply::Error(text) if text.starts_with("UNCERTAIN")));
        cluster.cut_off(3);
        // What would tell 2 how far 3 had counted is lost, too.
        cluster.loss = Box::new(move |from, to, bytes| {
            let apart = from == 3 || to == 3 || from == 1 && to != 0 || from != 0 && to == 1;
            apart || from == 0 && bytes[0] == REPAIR_ANSWER
        });
        cluster.repair = true;
        lose(&mut cluster, 0);
        come_back(&mut cluster, 0, 10_000);
        cluster.loss = Box::new(move |from, to, _| !among(&[0, 2, 4], from, to));
        [1, 3].into_iter().for_each(|away| cluster.link(2, away, false));
        assert_eq!(cluster.ask(2, &[b"SET", b"k", b"acknowledged"]), Reply::OK, "seed {seed}");
        cluster.heal();
        for host in [3, 0, 1] {
            let shown = cluster.ask(host, &[b"GET", b"k"]);
            assert_eq!(shown, Reply::Bulk(b"acknowledged".to_vec()), "seed {seed}, host {host}");
        }
        level(&mut cluster, 20_000);
    }
}

#[test]
fn it_waits_for_all_others_of_three() {
    let mut cluster = Cluster::new(3, 3);
    cluster.repair = true;
    set(&mut cluster, 0, &keys("k", 50), b"v");
    cluster.cut_off(1);
    // One voter is away: what it alone holds with the one that lost its log cannot be known.
    cluster.loss = Box::new(|from, to, _| from == 1 || to == 1);
    lose(&mut cluster, 2);
    for host in [0, 2] {
        cluster.link(host, 1, false);
    }
    cluster.pass(20_000);
    assert!(cluster.hosts[2].shard.is_learner());
    cluster.heal();
    come_back(&mut cluster, 2, 10_000);
    level(&mut cluster, 5_000);
}

#[test]
fn undecided_records_are_settled_before_they_are_taken_over() {
    for seed in 0..6 {
        let mut cluster = Cluster::new(if seed % 2 == 0 { 3 } else { 5 }, 200 + seed);
        let hosts = cluster.hosts.len();
        let mut chance = cluster.rng.fork();
        cluster.loss = Box::new(move |_, _, bytes| bytes[0] == ACCEPT && chance.below(10) < 7);
        for round in 0..4 {
            for name in &keys(&format!("{}-", round % 2), 60) {
                cluster.submit(round % hosts, &[b"SET", name, b"v"], None, 30);
            }
            cluster.pass(20);
        }
        cluster.pass(1_000);
        cluster.heal();
        cluster.repair = true;
        lose(&mut cluster, 1);
        come_back(&mut cluster, 1, 30_000);
        assert!(settled(&cluster) > 0, "seed {seed}");
        level(&mut cluster, 20_000);
    }
}

/// Clients write all the time, by all hosts, while one after the other loses its log and comes back.
#[test]
fn nothing_acknowledged_is_lost_while_all_lose_their_logs_in_turn() {
    for seed in 0..3 {
        let mut cluster = Cluster::new(3, 300 + seed);
        cluster.repair = true;
        let mut counts = [0_i64; 20];
        for round in 0..6 {
            let lost = round % 3;
            lose(&mut cluster, lost);
            let mut writes = 0;
            while cluster.hosts[lost].shard.is_learner() || writes < 200 {
                let (at, key) = (writes % 3, writes % counts.len());
                let name = format!("c{key}").into_bytes();
                match cluster.ask(at, &[b"INCR", &name]) {
                    Reply::Int(count) => {
                        counts[key] += 1;
                        assert!(count >= counts[key], "seed {seed}: {name:?} lost a write");
                        counts[key] = count;
                    }
                    Reply::Error(_) => {}
                    other => panic!("{other:?}"),
                }
                writes += 1;
                assert!(writes < 20_000, "it comes back");
            }
        }
        level(&mut cluster, 10_000);
        for (key, count) in counts.iter().enumerate() {
            let name = format!("c{key}").into_bytes();
            let Reply::Bulk(bytes) = cluster.ask(key % 3, &[b"GET", &name]) else { panic!("a count") };
            let shown: i64 = std::str::from_utf8(&bytes).expect("digits").parse().expect("a number");
            assert!(shown >= *count, "seed {seed}: {name:?}");
        }
    }
}

#[test]
fn a_restart_in_between_begins_anew_with_what_is_there() {
    let mut cluster = Cluster::with(3, 5, |config| config.repair.records_per_second = 2_000);
    cluster.repair = true;
    set(&mut cluster, 0, &keys("k", 2_000), b"v");
    lose(&mut cluster, 2);
    while cluster.hosts[2].shard.repair_progress().copied < 300 {
        cluster.pass(10);
    }
    assert!(cluster.hosts[2].shard.is_learner());
    cluster.restart_all();
    assert!(cluster.hosts[2].shard.is_learner(), "its log says so, whatever the configuration says");
    come_back(&mut cluster, 2, 20_000);
    assert!(cluster.hosts[2].shard.repair_progress().copied < 1_800);
    cluster.restart_all();
    assert!(!cluster.hosts[2].shard.is_learner());
    level(&mut cluster, 5_000);
}

/// What voters told a former life of a learner says nothing of the epochs since: it would take one that was used before.
#[test]
fn answers_to_a_former_life_are_not_heeded() {
    let mut cluster = Cluster::new(3, 6);
    cluster.repair = true;
    let told = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&told);
    cluster.loss = Box::new(move |from, to, bytes| {
        if let Ok((_, PeerMessage::RepairAnswer(answer))) = PeerMessage::decode(bytes) {
            if to == 2 && answer.said == RepairSaid::Epoch {
                kept.borrow_mut().push((from as u8, bytes.to_vec()));
            }
        }
        false
    });
    lose(&mut cluster, 2);
    come_back(&mut cluster, 2, 5_000);
    assert!(told.borrow().len() >= 2);

    cluster.loss = Box::new(|from, to, _| from == 2 || to == 2);
    lose(&mut cluster, 2);
    cluster.pass(1_000);
    let before = cluster.hosts[2].shard.epoch();
    for (from, bytes) in told.take() {
        cluster.with_turn(2, |shard, turn| shard.on_message(turn, from, &bytes));
    }
    cluster.pass(1_000);
    assert_eq!(cluster.hosts[2].shard.epoch(), before);
    cluster.heal();
    come_back(&mut cluster, 2, 5_000);
    level(&mut cluster, 5_000);
}
