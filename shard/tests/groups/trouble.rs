//! Groups while machines fail and messages are lost: each statement is done once, and all members come to the same rows.

use std::collections::BTreeMap;

use reactor::rng::Rng;
use shard::reply::Reply;

use super::{seen, CHAT};
use crate::catalog::{define, planned, rows};
use crate::keyspace::cluster::Cluster;

/// Rows that were written by clients who heard of it, or did not.
#[derive(Default)]
struct Written {
    done: BTreeMap<u64, String>,
    open: BTreeMap<u64, String>,
}

impl Written {
    /// What is seen has all that was answered, and nothing that nobody has written.
    fn check(&self, found: &Reply, context: &str) {
        let Reply::Array(lines) = found else { panic!("{context}: {found:?}") };
        let mut left = self.done.clone();
        for line in &lines[1..] {
            let Reply::Array(values) = line else { panic!("{context}: {line:?}") };
            let [Reply::Int(at), Reply::Bulk(who)] = &values[..] else { panic!("{context}: {values:?}") };
            let (at, who) = (*at as u64, String::from_utf8_lossy(who).into_owned());
            let known = left.remove(&at).or_else(|| self.open.get(&at).cloned());
            assert_eq!(known.as_deref(), Some(&*who), "{context}: row {at}");
        }
        assert!(left.is_empty(), "{context}: these rows are lost: {left:?}");
    }
}

fn insert(cluster: &mut Cluster, host: usize, at: u64, wait_ms: u64) -> u64 {
    let catalog = cluster.hosts[0].shard.catalog().clone();
    let text = format!("INSERT INTO chat VALUES ('a', {at}, 'w{at}')");
    let command = planned(&catalog, &text).expect("a plan");
    cluster.submit_command(host, command, None, wait_ms)
}

#[test]
fn rows_survive_lost_messages_and_machines() {
    for seed in 0..12 {
        let mut rng = Rng::new(seed);
        let mut cluster = Cluster::new(3, 2300 + seed);
        assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
        let (mut written, mut at) = (Written::default(), 0);
        for round in 0..12 {
            let mut losses = Rng::new(seed * 100 + round);
            let lossy = round % 3 == 1;
            cluster.loss = Box::new(move |_, _, _| lossy && losses.below(100) < 20);
            let mut asked = Vec::new();
            for _ in 0..10 {
                at += 1;
                let host = rng.below(3) as usize;
                asked.push((insert(&mut cluster, host, at, 3_000), at));
                cluster.pass(rng.below(3));
            }
            if round % 3 == 2 {
                // Those that it was asked are answered by nobody.
                let host = rng.below(3) as usize;
                cluster.restart_after(host, |_| {});
            }
            cluster.pass(4_000);
            for (id, at) in asked {
                let row = format!("w{at}");
                match cluster.reply(id) {
                    Some(Reply::Int(1)) => drop(written.done.insert(at, row)),
                    _ => drop(written.open.insert(at, row)),
                }
            }
            cluster.heal();
            let mut before = None;
            for host in 0..3 {
                let found = seen(&mut cluster, host, "a");
                written.check(&found, &format!("seed {seed}, round {round}, host {host}"));
                assert_eq!(*before.get_or_insert(found.clone()), found, "all see the same");
            }
        }
        assert!(written.done.len() > 60, "{} rows, {} unknown", written.done.len(), written.open.len());
    }
}

#[test]
fn an_undecided_head_is_finished_before_it_is_extended() {
    let mut cluster = Cluster::new(3, 2350);
    assert_eq!(define(&mut cluster, 0, CHAT), Reply::OK);
    let first = insert(&mut cluster, 0, 1, 5_000);
    assert_eq!(cluster.wait(first), Reply::Int(1));
    // Its Accepts are lost: the entry is in one log alone.
    cluster.loss = Box::new(|from, _, _| from == 0);
    let lost = insert(&mut cluster, 0, 2, 300);
    cluster.pass(20);
    cluster.loss = Box::new(|_, _, _| false);
    let other = insert(&mut cluster, 1, 3, 5_000);
    assert_eq!(cluster.wait(other), Reply::Int(1));
    cluster.pass(1_000);
    let is_open = !matches!(cluster.reply(lost), Some(Reply::Int(1)));
    for host in 0..3 {
        let found = seen(&mut cluster, host, "a");
        let without = rows(&["at", "who"], &[&["1", "w1"], &["3", "w3"]]);
        let with = rows(&["at", "who"], &[&["1", "w1"], &["2", "w2"], &["3", "w3"]]);
        assert!(found == with || is_open && found == without, "{found:?}");
    }
}
