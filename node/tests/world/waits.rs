//! Clients that wait for a key, at real hosts: told from anywhere, forgotten when they go, let go when the host stops.

use std::time::{Duration, Instant};

use super::client::{request, Client, Value};
use super::host::{eventually, Cluster, Host};

fn begin(host: &Host, words: &[&str]) -> Client {
    let mut client = host.client();
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    client.send(&request(&words)).expect("sent");
    client
}

fn blocked(host: &Host) -> u64 {
    host.client().infos(&["blocked_clients"])[0]
}

fn popped(key: &str, element: &str) -> Value {
    Value::Array(vec![Value::bulk(key), Value::bulk(element)])
}

#[test]
fn who_waits_at_any_core_of_any_host_is_told_of_what_is_written_at_any_other() {
    let cluster = Cluster::start(3, 2, "");
    for number in 0..12 {
        let key = format!("queue-{number}");
        let (waits, writes) = (&cluster.hosts[number % 3], &cluster.hosts[number / 3 % 3]);
        let mut client = begin(waits, &["BLPOP", &key, "nothing", "0"]);
        eventually("it waits", || blocked(waits) == 1);
        assert_eq!(writes.client().call(&["RPUSH", &key, "x"]), Value::Int(1));
        assert_eq!(client.reply().expect("a reply"), popped(&key, "x"));
        eventually("nobody waits", || blocked(waits) == 0);
    }
}

#[test]
fn a_client_that_goes_away_waits_no_more_and_takes_nothing() {
    let cluster = Cluster::start(1, 2, "");
    let host = &cluster.hosts[0];
    let gone = begin(host, &["BLPOP", "q", "0"]);
    eventually("it waits", || blocked(host) == 1);
    let mut stays = begin(host, &["BLPOP", "q", "0"]);
    eventually("both wait", || blocked(host) == 2);
    drop(gone);
    eventually("it is forgotten", || blocked(host) == 1);
    assert_eq!(host.client().call(&["RPUSH", "q", "a", "b"]), Value::Int(2));
    assert_eq!(stays.reply().expect("a reply"), popped("q", "a"));
    assert_eq!(host.client().call(&["LRANGE", "q", "0", "-1"]), Value::Array(vec![Value::bulk("b")]));
}

#[test]
fn a_host_that_stops_lets_go_who_waits_at_once_and_again() {
    let mut cluster = Cluster::start(3, 1, "");
    let mut client = begin(&cluster.hosts[1], &["BLPOP", "q", "0"]);
    // The next one is read when the first is answered.
    client.send(&request(&[b"BLPOP", b"q", b"0"])).expect("sent");
    eventually("it waits", || blocked(&cluster.hosts[1]) == 1);
    let begun = Instant::now();
    assert_eq!(cluster.hosts[1].stop(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody is waited for");
    for _ in 0..2 {
        let Value::Error(text) = client.reply().expect("a reply") else { panic!("an error") };
        assert!(text.starts_with("UNBLOCKED this host is shutting down"), "{text}");
    }
}

#[test]
fn a_time_that_is_over_is_told() {
    let cluster = Cluster::start(3, 1, "");
    let host = &cluster.hosts[2];
    assert_eq!(host.client().call(&["BLPOP", "q", "0.01"]), Value::Nil);
    assert_eq!(host.client().call(&["RPUSH", "q", "x"]), Value::Int(1));
    assert_eq!(host.client().call(&["BLPOP", "q", "0.001"]), popped("q", "x"), "it has tried once at least");
    assert_eq!(host.client().call(&["BZPOPMIN", "z", "0.01"]), Value::Nil);
    assert_eq!(host.client().infos(&["blocked_clients"]), [0]);
}
