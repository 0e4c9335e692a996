//! Pops of several keys as one step: in transactions, and as numbered requests, on three hosts.

use shard::command::{table, Command, Limits, Numbered, Pop, Queue};
use shard::reply::Reply;

use super::keyspace::cluster::Cluster;

fn in_one_step(text: &str) -> Command {
    let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
    let row = table::resolve(&args).expect(text);
    Pop::parse_row(row, &args, &Limits::default()).and_then(Pop::in_one_step).expect(text)
}

fn line(cluster: &mut Cluster, host: usize, text: &str) -> Reply {
    let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
    cluster.ask(host, &args)
}

fn bulks(texts: &[&str]) -> Reply {
    Reply::Array(texts.iter().map(Reply::bulk).collect())
}

/// Whatever its keys hold by then, and whichever host it is sent to.
#[test]
fn a_numbered_pop_that_comes_again_takes_nothing_more() {
    let mut cluster = Cluster::new(3, 1);
    line(&mut cluster, 0, "RPUSH {k}b 1 2 3 4 5");
    line(&mut cluster, 0, "ZADD {k}z 1 a 2 b");
    let numbered = |cluster: &mut Cluster, host: usize, seq: u64, text: &str| {
        let request = Numbered { client: b"shop"[..].into(), seq };
        cluster.ask_command(host, in_one_step(text).numbered(&request).expect("a write"))
    };
    let pops = ["LMPOP 2 {k}a {k}b LEFT COUNT 2", "ZMPOP 1 {k}z MIN", "LMPOP 2 {k}c {k}d RIGHT"];
    let mut first = Vec::new();
    for (seq, text) in (1..).zip(pops) {
        first.push(numbered(&mut cluster, 0, seq, text));
    }
    assert_eq!(first[0], Reply::Array(vec![Reply::bulk("{k}b"), bulks(&["1", "2"])]));
    assert_eq!(first[2], Reply::NilArray);
    for text in ["RPUSH {k}a 0", "ZADD {k}z 0 c", "RPUSH {k}d 9"] {
        line(&mut cluster, 1, text);
    }
    for host in 0..3 {
        for (seq, text) in (1..).zip(pops) {
            let again = numbered(&mut cluster, host, seq, text);
            assert_eq!(again, first[seq as usize - 1], "{text} at {host}");
        }
    }
    assert_eq!(line(&mut cluster, 2, "LRANGE {k}a 0 -1"), bulks(&["0"]));
    assert_eq!(line(&mut cluster, 2, "LRANGE {k}b 0 -1"), bulks(&["3", "4", "5"]));
    assert_eq!(line(&mut cluster, 2, "ZRANGE {k}z 0 -1"), bulks(&["c", "b"]));
    assert_eq!(line(&mut cluster, 2, "LLEN {k}d"), Reply::Int(1));
    // Another number is another pop: of the first key that holds something now.
    let next = numbered(&mut cluster, 1, 9, pops[0]);
    assert_eq!(next, Reply::Array(vec![Reply::bulk("{k}a"), bulks(&["0"])]));
}

#[test]
fn pops_of_a_transaction_see_what_is_before_them_and_take_it_once() {
    let mut cluster = Cluster::new(3, 2);
    line(&mut cluster, 0, "RPUSH {k}a 1 2");
    for host in 0..3 {
        let mut queue = Queue::default();
        for text in
            ["BLPOP {k}a {k}b 0", "BLMOVE {k}b {k}a LEFT RIGHT 0", "BRPOP {k}b {k}a 5", "BLPOP {k}c 0"]
        {
            assert!(queue.push(in_one_step(text)), "{text}");
        }
        let reply = cluster.ask_command(host, queue.exec(&[]).expect("keys of one slot"));
        let took = |element: &str| bulks(&["{k}a", element]);
        let want = match host {
            0 => vec![took("1"), Reply::Nil, took("2"), Reply::NilArray],
            _ => vec![Reply::NilArray, Reply::Nil, Reply::NilArray, Reply::NilArray],
        };
        assert_eq!(reply, Reply::Array(want), "at {host}");
    }
    assert_eq!(line(&mut cluster, 1, "EXISTS {k}a"), Reply::Int(0));
}
