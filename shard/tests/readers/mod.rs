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

#[test]
fn a_moment_of_one_does_not_bring_the_silent_one_back_to_the_front() {
    for silent in [1, 2] {
        let good = 3 - silent;
        let mut cluster = written(9);
        let lost = move |to: usize, bytes: &[u8]| to == silent && bytes.first() == Some(&QUERY);
        cluster.loss = Box::new(move |_, to, bytes| lost(to, bytes));
        for _ in 0..2 {
            read(&mut cluster, "2");
        }
        let mut first = true;
        cluster.loss = Box::new(move |_, to, bytes| {
            let moment = to == good && bytes.first() == Some(&QUERY) && std::mem::take(&mut first);
            moment || lost(to, bytes)
        });
        let (took, asked) = read(&mut cluster, "2");
        assert!(took < 10 * MS && asked == 3, "host {silent}: {took} ns, {asked} questions");
        let (took, asked) = read(&mut cluster, "2");
        assert!(took < MS && asked == 1, "host {silent}: {took} ns, {asked} questions");
    }
}

#[test]
fn of_five_any_two_may_be_silent() {
    for silent in [[1, 2], [1, 3], [1, 4], [2, 3], [2, 4], [3, 4]] {
        let mut cluster = Cluster::new(5, 11);
        for value in [b"1", b"2"] {
            assert_eq!(cluster.ask(0, &[b"SET", b"k", value]), Reply::OK);
        }
        cluster.loss = Box::new(move |_, to, bytes| silent.contains(&to) && bytes.first() == Some(&QUERY));
        for _ in 0..4 {
            let (took, asked) = read(&mut cluster, "2");
            assert!(took < 20 * MS && asked <= 6, "hosts {silent:?}: {took} ns, {asked} questions");
        }
        for _ in 0..4 {
            let (took, asked) = read(&mut cluster, "2");
            assert!(took < MS && asked == 2, "hosts {silent:?}: {took} ns, {asked} questions");
        }
    }
}

#[test]
fn a_turn_that_comes_late_asks_nobody_twice() {
    let mut cluster = written(12);
    let asked = |cluster: &Cluster| cluster.types.get(&QUERY).copied().unwrap_or_default();
    cluster.loss = Box::new(|_, _, bytes| bytes.first() == Some(&QUERY));
    let (before, read) = (asked(&cluster), cluster.submit(0, &[b"GET", b"k"], None, 1_000));
    assert_eq!(asked(&cluster) - before, 1);
    cluster.now += 60 * MS;
    cluster.with_turn(0, |shard, turn| shard.end_turn(turn));
    assert_eq!(asked(&cluster) - before, 3, "the one that was asked, once more, and the other");
    cluster.heal();
    assert_eq!(cluster.wait(read), Reply::bulk("2"));
}

#[test]
fn who_is_slow_and_never_late_is_found_out() {
    let mut cluster = written(13);
    cluster.slow = Some((1, MS));
    let (took, asked) = read(&mut cluster, "2");
    assert!((MS..3 * MS).contains(&took) && asked == 1, "{took} ns, {asked} questions");
    let reads: Vec<_> = (0..256).map(|_| read(&mut cluster, "2")).collect();
    let races = reads.iter().filter(|(_, asked)| *asked == 2).count();
    assert_eq!(races, 4, "one of 64 asks both");
    let first = reads.iter().position(|(_, asked)| *asked == 2).expect("a race");
    let slow = reads[first..].iter().filter(|(took, _)| *took >= MS).count();
    assert_eq!(slow, 0, "the quick one is asked after the first race");
}
