//! A core whose log is damaged puts it aside, and comes back as a learner by itself.

use reactor::sim::SimDisk;
use shard::reply::Reply;

use super::{keys, level, set};
use crate::keyspace::cluster::{Cluster, MS};

/// A byte of the first frame of the segment in use rots.
fn rot(disk: &mut SimDisk) {
    let names: Vec<String> = disk.list().into_iter().map(|(name, _)| name).collect();
    let frames = |name: &str| {
        let bytes = disk.bytes_of(name).expect("listed");
        bytes
            .starts_with(b"SYNF")
            .then(|| bytes.chunks(4096).filter(|block| block.starts_with(b"SYNF")).count())
    };
    let in_use = names.iter().filter(|name| name.starts_with("seg-")).find(|name| {
        frames(name).is_some_and(|frames| frames > 1) && !names.contains(&name.replace("seg-", "hint-"))
    });
    let in_use = in_use.expect("a segment without a hint").clone();
    assert!(disk.overwrite(&in_use, 100, &[0xff]));
}

fn come_back(cluster: &mut Cluster, host: usize) {
    let until = cluster.now + 10_000 * MS;
    while cluster.hosts[host].shard.is_learner() {
        assert!(cluster.now < until, "{:?}", cluster.hosts[host].shard.repair_progress());
        cluster.pass(10);
    }
}

#[test]
fn a_damaged_log_makes_a_learner_which_becomes_a_voter() {
    let mut cluster = Cluster::new(3, 1);
    cluster.repair = true;
    let names = keys("k", 300);
    set(&mut cluster, 0, &names, b"v");
    // What host 2 holds with host 1 alone is not forgotten.
    cluster.cut_off(0);
    assert_eq!(cluster.ask(1, &[b"SET", b"pair", b"acknowledged"]), Reply::OK);
    let before = cluster.hosts[2].shard.incarnation();
    cluster.restart_after(2, rot);
    let host = &cluster.hosts[2];
    assert!(host.shard.is_learner());
    assert!(host.shard.loss().expect("it tells").damage.is_some());
    assert!(host.disk.list().iter().any(|(name, _)| name.starts_with("lost-1-seg-")));
    come_back(&mut cluster, 2);
    assert!(cluster.hosts[2].shard.incarnation() > before + 1_000, "a range of its own");
    level(&mut cluster, 5_000);
    cluster.cut_off(1);
    assert_eq!(cluster.ask(0, &[b"GET", b"pair"]), Reply::Bulk(b"acknowledged".to_vec()));
    cluster.heal();
    cluster.restart_after(2, |_| ());
    let shard = &cluster.hosts[2].shard;
    assert!(!shard.is_learner(), "its log remembers");
    assert_eq!((shard.loss(), shard.losses()), (None, 1));
    level(&mut cluster, 5_000);
}

/// The log of one host after the other rots while clients write by all of them, and some die again on the way.
#[test]
fn nothing_acknowledged_is_lost_while_all_logs_rot_in_turn() {
    for seed in 0..3 {
        let mut cluster = Cluster::new(3, 400 + seed);
        cluster.repair = true;
        let mut counts = [0_i64; 20];
        let mut writes = 0;
        for round in 0..6 {
            let lost = round % 3;
            set(&mut cluster, lost, &keys("fill", 3), b"so that something follows what rots");
            cluster.restart_after(lost, rot);
            assert!(cluster.hosts[lost].shard.is_learner(), "seed {seed} round {round}");
            let until = writes + 200;
            while cluster.hosts[lost].shard.is_learner() || writes < until {
                if writes == until - 195 && round % 2 == 0 {
                    cluster.restart_after(lost, |_| ());
                }
                let (at, key) = (writes % 3, writes % counts.len());
                let name = format!("c{key}").into_bytes();
                if let Reply::Int(count) = cluster.ask(at, &[b"INCR", &name]) {
                    assert!(count > counts[key], "seed {seed}: {name:?} lost a write");
                    counts[key] = count;
                }
                writes += 1;
                assert!(writes < until + 20_000, "it comes back");
            }
        }
        level(&mut cluster, 10_000);
    }
}
