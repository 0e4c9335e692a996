//! A host that lost its data has rows to take over, too, before it votes again.

use shard::reply::Reply;

use super::{seen, CHAT};
use crate::catalog::{define, rows, sql};
use crate::keyspace::cluster::{Cluster, MS};

/// The type of what is said of entries and rows, as in docs/formats/peer-message.md.
const GROUP: u8 = 37;
const LOST: usize = 2;

/// Rows that two hosts have chosen, one of which loses its data; the third was away. Nobody tells entries or rows yet. Of room b the copied head is all.
fn chosen_by_a_pair_then_lost(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(3, seed);
    cluster.repair = true;
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    for room in ["a", "b"] {
        assert_eq!(
            sql(&mut cluster, 0, &format!("INSERT INTO chat VALUES ('{room}', 0, 'x')")),
            Reply::Int(1)
        );
    }
    cluster.cut_off(0);
    for at in 1..6 {
        let text = format!("INSERT INTO chat VALUES ('a', {at}, 'x')");
        assert_eq!(sql(&mut cluster, 1 + at % 2, &text), Reply::Int(1));
    }
    cluster.heal();
    cluster.lose_data(LOST, true);
    say_nothing_of_rows(&mut cluster);
    cluster
}

fn say_nothing_of_rows(cluster: &mut Cluster) {
    cluster.loss = Box::new(|_, _, bytes| bytes[0] == GROUP);
}

fn come_back(cluster: &mut Cluster) {
    let from = cluster.now;
    while cluster.hosts[LOST].shard.is_learner() {
        let progress = cluster.hosts[LOST].shard.repair_progress();
        assert!(cluster.now < from + 20_000 * MS, "{progress:?}");
        cluster.pass(10);
    }
}

#[test]
fn a_learner_votes_when_it_has_the_rows() {
    for seed in 2700..2706 {
        let mut cluster = chosen_by_a_pair_then_lost(seed);
        cluster.pass(20_000);
        let progress = cluster.hosts[LOST].shard.repair_progress();
        assert!(progress.learner, "seed {seed}: its former life's rows may be nowhere else");
        assert_eq!((progress.slots_to_go, progress.entities_behind), (0, 1), "seed {seed}");
        // What it copied is in its log: it knows what it lacks after a restart, too.
        cluster.restart_unlinked(LOST, |_| {});
        cluster.all_up();
        cluster.pass(20_000);
        let progress = cluster.hosts[LOST].shard.repair_progress();
        assert!(progress.learner, "seed {seed}");
        assert_eq!(progress.entities_behind, 1, "seed {seed}");
        cluster.heal();
        come_back(&mut cluster);
        // What was in memory is lost.
        cluster.restart_after(LOST, |_| {});
        cluster.cut_off(1);
        let lines: Vec<[String; 2]> = (0..6).map(|at| [at.to_string(), "x".into()]).collect();
        let lines: Vec<[&str; 2]> = lines.iter().map(|[at, who]| [&at[..], &who[..]]).collect();
        let lines: Vec<&[&str]> = lines.iter().map(|line| &line[..]).collect();
        for host in [LOST, 0] {
            assert_eq!(
                seen(&mut cluster, host, "a"),
                rows(&["at", "who"], &lines),
                "seed {seed}, host {host}"
            );
            assert_eq!(seen(&mut cluster, host, "b"), rows(&["at", "who"], &[&["0", "x"]]), "seed {seed}");
        }
    }
}

/// Whoever has no tables pays nothing.
#[test]
fn a_learner_without_groups_waits_for_nothing() {
    let mut cluster = Cluster::new(3, 2710);
    cluster.repair = true;
    assert_eq!(cluster.ask(0, &[b"SET", b"k", b"v"]), Reply::OK);
    cluster.lose_data(LOST, true);
    say_nothing_of_rows(&mut cluster);
    come_back(&mut cluster);
    assert_eq!(cluster.hosts[LOST].shard.tree().stats().tables.iter().sum::<u64>(), 0);
}
