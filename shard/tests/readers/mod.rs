//! Whom agreed reads ask: a majority, and the others where that does not do.

use shard::reply::Reply;

use crate::keyspace::cluster::{Cluster, MS};

/// The type of a Query, as in docs/formats/peer-message.md.
const QUERY: u8 = 8;

/// A cluster in which host 0 has written a key.
fn written(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(3, seed);
    for value in [b"1", b"2"] {
        assert_eq!(cluster.ask(0, &[b"SET", b"k", value]), Reply::OK);
    }
    cluster
}

/// Reads the key at host 0; how long that took, and how many questions were asked.
fn read(cluster: &mut Cluster, want: &str) -> (u64, u64) {
    let count = |cluster: &Cluster| cluster.types.get(&QUERY).copied().unwrap_or_default();
    let (at, before) = (cluster.now, count(cluster));
    assert_eq!(cluster.ask(0, &[b"GET", b"k"]), Reply::bulk(want));
    (cluster.now - at, count(cluster) - before)
}

#[test]
fn a_read_asks_one_of_two() {
    for seed in 0..10 {
        let mut cluster = written(seed);
        let (took, asked) = read(&mut cluster, "2");
        assert_eq!(asked, 1, "seed {seed}");
        assert!(took < MS, "seed {seed}: {took} ns");
    }
}

#[test]
fn who_does_not_answer_is_asked_last_from_then_on() {
    for silent in [1, 2] {
        let mut cluster = written(7);
        cluster.loss = Box::new(move |_, to, bytes| to == silent && bytes.first() == Some(&QUERY));
        for _ in 0..2 {
            let (took, asked) = read(&mut cluster, "2");
            assert!(took < 10 * MS && asked <= 3, "host {silent}: {took} ns, {asked} questions");
        }
        let (took, asked) = read(&mut cluster, "2");
        assert!(took < MS && asked == 1, "host {silent}: {took} ns, {asked} questions");
    }
}

#[test]
fn who_knows_less_than_the_reader_needs_is_not_all_that_is_asked() {
    let mut cluster = Cluster::new(3, 3);
    // Host 1 misses what hosts 0 and 2 decide.
    cluster.cut_off(1);
    assert_eq!(cluster.ask(2, &[b"SET", b"k", b"new"]), Reply::OK);
    cluster.heal();
    let (took, asked) = read(&mut cluster, "new");
    assert!(asked >= 2, "one answer of a host without the record proves nothing");
    assert!(took < 10 * MS, "{took} ns");
}
