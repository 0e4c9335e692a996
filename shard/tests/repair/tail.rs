//! A host that was away for long takes over the tails of its peers' logs, in their order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use shard::reply::Reply;
use shard::wire::{PeerMessage, RepairAsked, RepairSaid};
use shard::{Burden, RepairRate};

use super::{copied, keys, level, set, settled};
use crate::keyspace::cluster::{Cluster, MS, REPAIR_ANSWER};

/// Hosts that ask for tails when they lack so many records.
fn cluster(hosts: u8, seed: u64, least: u64) -> Cluster {
    let mut cluster = Cluster::with(hosts, seed, |config| config.repair_tail_records = least);
    cluster.repair = true;
    cluster
}

fn by_tail(cluster: &Cluster, host: usize) -> u64 {
    cluster.hosts[host].shard.metrics().tail_records
}

/// What peers said of their tails from now on: how many answers, bytes of their logs and records, of each.
type Told = Rc<RefCell<BTreeMap<usize, (u64, u64, u64)>>>;

fn listen(cluster: &mut Cluster) -> Told {
    let told = Told::default();
    let heard = Rc::clone(&told);
    cluster.loss = Box::new(move |from, _, bytes| {
        if let Ok((_, PeerMessage::RepairAnswer(answer))) = PeerMessage::decode(bytes) {
            if let RepairSaid::Tail { read, records, .. } = answer.said {
                let mut heard = heard.borrow_mut();
                let sum = heard.entry(from).or_default();
                *sum = (sum.0 + 1, sum.1 + u64::from(read), sum.2 + records.len() as u64);
            }
        }
        false
    });
    told
}

#[test]
fn what_a_host_missed_comes_in_the_order_of_the_logs_and_once() {
    for (hosts, seed) in [(3, 1), (5, 2)] {
        let mut cluster = cluster(hosts, seed, 1_000);
        let names = keys("k", 5_000);
        set(&mut cluster, 0, &names[..2_000], b"old");
        // They compare themselves meanwhile: what is level is no part of a tail.
        cluster.pass(4_000);
        cluster.cut_off(2);
        for host in [0, 1] {
            let names = names[1_900..].iter().enumerate().filter(|(at, _)| at % 2 == host);
            let names: Vec<_> = names.map(|(_, name)| name.clone()).collect();
            set(&mut cluster, host, &names, b"new");
        }
        assert_eq!(cluster.ask(1, &[b"DEL", &names[250]]), Reply::Int(1));
        let reads =
            |cluster: &Cluster| cluster.hosts.iter().map(|h| h.shard.metrics().disk_reads).sum::<u64>();
        let (before, settles) = (reads(&cluster), settled(&cluster));
        cluster.heal();
        let told = listen(&mut cluster);
        level(&mut cluster, 5_000);
        assert_eq!(copied(&cluster)[2], 3_101, "each record that it lacked, once");
        let tail = by_tail(&cluster, 2);
        assert!(tail > 2_500, "{hosts} hosts: {tail} by tails, {:?}", told.borrow());
        assert!(reads(&cluster) - before < 600, "records are not read one by one");
        assert_eq!(settled(&cluster), settles);
        let told = told.borrow();
        let sent: u64 = told.values().map(|(_, _, records)| records).sum();
        assert!(sent < tail + 600, "nobody sends what another one sends: {told:?}");
        for host in [0, 1] {
            let (answers, read, records) = told[&host];
            let frames = 400 * 4_000;
            assert!(answers < 40 && read < frames && records > 1_000, "{told:?}");
        }
        // The others lack nothing, and ask for nothing.
        assert!((0..usize::from(hosts)).all(|host| host == 2 || by_tail(&cluster, host) == 0));
        cluster.cut_off(0);
        assert_eq!(cluster.ask(2, &[b"GET", &names[4_999]]), Reply::Bulk(b"new".to_vec()));
        assert_eq!(cluster.ask(2, &[b"GET", &names[250]]), Reply::Nil);
    }
}

#[test]
fn who_lacks_little_asks_for_no_tail() {
    let mut cluster = cluster(3, 3, 1_000);
    let told = listen(&mut cluster);
    cluster.cut_off(1);
    set(&mut cluster, 0, &keys("k", 900), b"v");
    cluster.heal();
    let asked = cluster.types.clone();
    level(&mut cluster, 5_000);
    assert!(told.borrow().is_empty() && asked != cluster.types);
    assert_eq!((copied(&cluster)[1], by_tail(&cluster, 1)), (900, 0));
}

/// Where no answer arrives, or peers begin anew in between, the rest goes the ordinary way.
#[test]
fn lost_answers_and_restarts_leave_the_rest_to_lists() {
    for seed in 0..4 {
        let mut cluster = cluster(3, 10 + seed, 1_000);
        cluster.cut_off(1);
        set(&mut cluster, 0, &keys("k", 6_000), b"v");
        cluster.heal();
        let mut chance = cluster.rng.fork();
        cluster.loss = Box::new(move |_, _, bytes| {
            let tail = |bytes| match PeerMessage::decode(bytes) {
                Ok((_, PeerMessage::RepairAnswer(answer))) => matches!(answer.said, RepairSaid::Tail { .. }),
                _ => false,
            };
            bytes[0] == REPAIR_ANSWER && tail(bytes) && (seed == 0 || chance.below(3) == 0)
        });
        if seed > 1 {
            while by_tail(&cluster, 1) == 0 {
                cluster.pass(1);
            }
            cluster.restart_after(0, |_| ());
        }
        level(&mut cluster, 20_000);
        assert!(copied(&cluster)[1] >= 6_000 - by_tail(&cluster, 1));
        assert_eq!(by_tail(&cluster, 1) == 0, seed == 0, "seed {seed}");
    }
}

/// Clients write on, and the peers' logs are merged, while tails are taken over.
#[test]
fn writes_and_merges_go_on_meanwhile() {
    let mut cluster = cluster(3, 5, 1_000);
    let names = keys("k", 4_000);
    set(&mut cluster, 0, &names, b"old");
    cluster.cut_off(2);
    set(&mut cluster, 1, &names, &[b'n'; 700]);
    cluster.heal();
    let merges = |cluster: &Cluster| cluster.hosts[1].shard.store_stats().counters.merges;
    let before = merges(&cluster);
    let mut round = 0_usize;
    while !cluster.is_level() {
        let some: Vec<_> = (0..50).map(|at| names[(round * 37 + at * 11) % names.len()].clone()).collect();
        set(&mut cluster, round % 2, &some, &[b'0' + (round % 10) as u8; 700]);
        round += 1;
        assert!(round < 3_000, "not level");
    }
    let (tail, merged) = (by_tail(&cluster, 2), merges(&cluster) - before);
    assert!(tail > 300 && merged > 0, "{tail} by tails, {merged} merges");
    level(&mut cluster, 20_000);
}

#[test]
fn a_learner_takes_tails_over_and_votes_by_comparisons() {
    let mut cluster = cluster(3, 6, 1_000);
    let names = keys("k", 3_000);
    set(&mut cluster, 0, &names, b"v");
    set(&mut cluster, 1, &names[1_500..], b"w");
    let told = listen(&mut cluster);
    cluster.tail_records = 1_000;
    cluster.lose_data(2, true);
    let until = cluster.now + 20_000 * MS;
    while cluster.hosts[2].shard.is_learner() {
        assert!(cluster.now < until, "{:?}", cluster.hosts[2].shard.repair_progress());
        cluster.pass(10);
    }
    level(&mut cluster, 5_000);
    cluster.cut_off(0);
    assert_eq!(cluster.ask(2, &[b"GET", &names[2_999]]), Reply::Bulk(b"w".to_vec()));
    // It lacks everything, and is asked for from the logs' beginnings on.
    assert!(told.borrow().values().map(|(_, _, records)| records).sum::<u64>() >= 2_500, "{told:?}");
    assert!(by_tail(&cluster, 2) > 2_500);
}

/// Clients write more than a learner may take over: the tails it follows come to an end all the same, and it goes through its slots.
#[test]
fn a_learner_votes_again_although_more_is_written_than_it_takes_over() {
    let mut cluster = cluster(3, 9, 200);
    set(&mut cluster, 0, &keys("k", 400), b"v");
    cluster.tail_records = 200;
    cluster.lose_data(2, true);
    cluster.hosts[2]
        .shard
        .set_repair_rate(RepairRate { bytes_per_second: 1 << 30, records_per_second: 1_000 });
    let (from, mut round) = (cluster.now, 0);
    while cluster.hosts[2].shard.is_learner() {
        let progress = cluster.hosts[2].shard.repair_progress();
        assert!(cluster.now < from + 60_000 * MS, "{progress:?}, {} by tails", by_tail(&cluster, 2));
        // Two or three thousand new records a second, where at most a thousand are taken over.
        set(&mut cluster, round % 2, &keys(&format!("n{round}-"), 40), b"w");
        (round, _) = (round + 1, cluster.pass(20));
    }
    assert!(by_tail(&cluster, 2) > 200);
}

/// A log that has nothing for the asker costs it few questions.
#[test]
fn what_is_of_no_use_is_leapt_over() {
    let mut cluster = cluster(3, 7, 1_000);
    let large = vec![b'v'; 20_000];
    let names = keys("l", 1_000);
    names.chunks(50).for_each(|names| set(&mut cluster, 0, names, &large));
    cluster.cut_off(2);
    set(&mut cluster, 0, &keys("k", 3_000), b"new");
    cluster.heal();
    let told = listen(&mut cluster);
    // The peers begin anew: they know of no absence, and nothing to be chosen but what they find out.
    for host in [0, 1] {
        cluster.restart_after(host, |_| ());
    }
    level(&mut cluster, 20_000);
    assert!(copied(&cluster)[2] >= 3_000 && by_tail(&cluster, 2) == 0, "{:?}", told.borrow());
    assert!(told.borrow().values().all(|(answers, ..)| *answers < 10), "{told:?}");
}

/// Answers that come when nobody waits for them any more, or that lead nowhere, are not heeded.
#[test]
fn answers_of_before_and_such_as_lead_nowhere() {
    let mut cluster = cluster(3, 8, 0);
    let told = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&told);
    cluster.loss = Box::new(move |from, to, bytes| {
        match PeerMessage::decode(bytes) {
            Ok((_, PeerMessage::RepairAnswer(answer))) if to == 2 => {
                if let RepairSaid::Tail { .. } = answer.said {
                    kept.borrow_mut().push((from as u8, bytes.to_vec()));
                }
            }
            Ok((sender, PeerMessage::RepairAsk(ask))) if from == 2 => {
                if let RepairAsked::Tail { from: Some(place), .. } = ask.asked {
                    // An answer that goes on where the question began.
                    let said = RepairSaid::Tail { next: Some(place), read: 1, left: 0, records: vec![] };
                    let floor = paxos::Ballot::ZERO;
                    let answer = shard::wire::RepairAnswer {
                        id: ask.id,
                        burden: Burden::Idle,
                        floor,
                        round: 0,
                        settled_below: 0,
                        counted: shard::wire::Counted::default(),
                        said,
                    };
                    let mut bytes = Vec::new();
                    PeerMessage::RepairAnswer(answer).encode(sender, &mut bytes);
                    kept.borrow_mut().push((to as u8, bytes));
                }
            }
            _ => {}
        }
        from == 2 || to == 2
    });
    (0..2).for_each(|host| cluster.link(host, 2, false));
    set(&mut cluster, 0, &keys("k", 300), b"v");
    let keep = std::mem::replace(&mut cluster.loss, Box::new(|_, _, _| false));
    drop(keep);
    cluster.heal();
    level(&mut cluster, 5_000);
    let before = (cluster.sums(2), by_tail(&cluster, 2));
    for (from, bytes) in told.take() {
        cluster.with_turn(2, |shard, turn| shard.on_message(turn, from, &bytes));
    }
    cluster.pass(1_000);
    assert_eq!((cluster.sums(2), by_tail(&cluster, 2)), before);
}
