//! What is applied: there at once, and after a crash as far as it was flushed.

use lsm::{Batch, Pressure, Version};
use reactor::rng::Rng;
use shard::tree::Standing;

use super::{put, serves_records, Map, Rows};
use crate::keyspace::cluster::Cluster;

#[test]
fn a_core_that_keeps_no_rows_has_no_files_of_a_tree_and_rests() {
    let mut cluster = Cluster::new(3, 1);
    for round in 0..3 {
        serves_records(&mut cluster, 0, b"one");
        cluster.pass(2_000);
        for host in 0..3 {
            cluster.settle_tree(host);
            let tree = cluster.tree(host);
            let is_fresh = matches!(tree.standing(), Standing::Open(recovered) if recovered.fresh);
            assert!(is_fresh, "start {round}: {:?}", tree.standing());
            assert!(!tree.background_wanted() && tree.background_deadline().is_none());
            assert_eq!((tree.pressure(), tree.stats().memtable_bytes), (Pressure::None, 0));
            assert_eq!(cluster.tree_files(host), [""; 0]);
        }
        cluster.restart_all();
    }
}

#[test]
fn rows_and_records_are_kept_side_by_side() {
    let mut cluster = Cluster::new(3, 2);
    let mut rng = Rng::new(2);
    let mut rows = Map::new();
    for number in 0..400_u32 {
        // In no order, and of bytes that are not compressed.
        let key = (number * 37 % 400).to_be_bytes();
        let value: Vec<u8> = (0..300).map(|_| rng.below(256) as u8).collect();
        assert_eq!(cluster.apply(0, &put(&key, &value)), Some(Version(u64::from(number) + 1)));
        rows.insert(key.to_vec(), value);
        if number % 100 == 0 {
            serves_records(&mut cluster, 0, &key);
        }
    }
    cluster.flush_tree(0);
    let stats = cluster.tree(0).stats();
    assert!(stats.counters.flushes > 3 && stats.counters.compactions > 0, "{stats:?}");
    cluster.restart_all();
    cluster.settle_tree(0);
    for key in [0_u32, 7, 199, 399].map(u32::to_be_bytes) {
        assert_eq!(cluster.row(0, &key), Ok(rows.get(&key[..]).cloned()));
    }
    assert_eq!(cluster.row(0, b"absent"), Ok(None));
    assert_eq!(cluster.rows(0), Ok(rows));
    assert_eq!(cluster.tree_files(1), [""; 0], "each core has its own");
    serves_records(&mut cluster, 1, b"after");
}

/// A twin: whatever is applied, however the machine ends, the tree is what it was after some batch, not before what was flushed last.
#[test]
fn after_a_crash_the_tree_stands_after_some_batch() {
    for seed in 0..12 {
        let (mut cluster, mut rng) = (Cluster::new(1, seed), Rng::new(seed));
        let mut kept = Map::new();
        let mut ahead = 0;
        for life in 0..4 {
            cluster.settle_tree(0);
            let mut histories = vec![(cluster.tree_version(0), kept.clone())];
            let mut flushed = histories[0].0;
            for _ in 0..rng.below(150) {
                let (batch, map) = change(&mut rng, &histories[histories.len() - 1].1);
                let version = cluster.apply(0, &batch).expect("the tree is open");
                histories.push((version, map));
                if rng.below(20) == 0 {
                    cluster.ask(0, &[b"SET", b"key", b"value"]);
                }
                if rng.below(60) == 0 {
                    cluster.flush_tree(0);
                    flushed = version;
                }
            }
            if rng.coin() {
                cluster.pass(rng.below(20));
            }
            cluster.restart_after(0, |_| ());
            cluster.settle_tree(0);
            let recovered = cluster.tree_version(0);
            assert!(recovered >= flushed, "seed {seed}, life {life}: {recovered:?}, told {flushed:?}");
            // What is of no table is swept at the start, which is one change more.
            let is_near = |at: Version| (at.0..=at.0 + 1).contains(&recovered.0);
            let mut ends: Vec<(Version, Map)> =
                histories.into_iter().filter(|(at, _)| is_near(*at)).collect();
            let rows = cluster.rows(0).expect("they are read");
            let end = ends.iter().position(|(_, map)| *map == rows);
            let (at, want) = ends.swap_remove(end.expect("a batch ends there"));
            ahead += usize::from(at > flushed);
            kept = want;
        }
        assert!(seed > 0 || ahead > 0, "at times more is there than was waited for");
    }
}

/// A batch of puts, deletions and deletions of ranges, and what is there behind it.
fn change(rng: &mut Rng, before: &Map) -> (Batch, Map) {
    let (mut batch, mut map) = (Batch::new(), before.clone());
    for _ in 0..=rng.below(8) {
        let key = vec![rng.below(200) as u8, rng.below(3) as u8];
        match rng.below(12) {
            0 => {
                let end = vec![key[0] + 1 + rng.below(6) as u8];
                batch.delete_range(&key, &end);
                map.retain(|row, _| *row < key || *row >= end);
            }
            1 | 2 => {
                batch.delete(&key);
                map.remove(&key);
            }
            _ => {
                let value = vec![rng.below(256) as u8; rng.below(400) as usize];
                batch.put(&key, &value);
                map.insert(key, value);
            }
        }
    }
    (batch, map)
}
