//! Ends: in good order with everything answered, or at once with everything that was answered still there.

use super::client::{request, Client, Value};
use super::host::{eventually, Cluster};
use crate::host::process::{free_ports, port, Running};

/// Sends many writes and `end` behind them; how many were acknowledged before the connection ended.
fn acknowledged(client: &mut Client, writes: usize) -> usize {
    (0..writes).take_while(|_| matches!(client.reply(), Ok(value) if value == Value::ok())).count()
}

fn writes(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| request(&[b"SET", format!("key-{i}").as_bytes(), b"value"])).collect()
}

#[test]
fn sigterm_answers_what_was_asked_and_ends_with_0() {
    const WRITES: usize = 500;
    let mut cluster = Cluster::start(3, 1, "");
    let mut client = cluster.hosts[0].client();
    client.send(&writes(WRITES)).expect("sent");
    assert_eq!(client.reply().expect("a reply"), Value::ok(), "it is at work");
    cluster.hosts[0].signal("TERM");
    let done = 1 + acknowledged(&mut client, WRITES - 1);
    assert_eq!(done, WRITES, "what had arrived is answered");
    assert_eq!(cluster.hosts[0].await_exit(), Some(0), "{}", cluster.hosts[0].log());
    assert!(cluster.hosts[0].log().contains("\"message\":\"stopped\""), "{}", cluster.hosts[0].log());
    let mut other = cluster.hosts[1].client();
    for i in 0..done {
        assert_eq!(
            other.call(&["GET", &format!("key-{i}")]),
            Value::bulk("value"),
            "acknowledged before the end"
        );
    }
    cluster.start_all();
    let mut again = cluster.hosts[0].client();
    assert_eq!(again.call(&["GET", &format!("key-{}", done - 1)]), Value::bulk("value"));
}

#[test]
fn who_comes_while_a_host_drains_is_told_so() {
    let mut cluster = Cluster::start(1, 1, "enable_debug_command = \"local\"\n");
    let host = &mut cluster.hosts[0];
    let mut waits = host.client();
    // An answer that is due keeps the host from ending. Where the one is answered, the other is known.
    let both = [request(&[b"PING"]), request(&[b"DEBUG", b"SLEEP", b"6"])].concat();
    waits.send(&both).expect("sent");
    assert_eq!(waits.reply().expect("it is answered at once"), Value::Simple("PONG".to_owned()));
    host.signal("TERM");
    eventually("it drains", || host.log().contains("draining"));
    eventually("who comes is told", || {
        host.client().read_to_close() == b"-ERR this host is shutting down; use another one\r\n"
    });
    assert_eq!(waits.reply().expect("it is answered before the end"), Value::ok());
    assert_eq!(host.await_exit(), Some(0), "{}", host.log());
}

#[test]
fn shutdown_ends_all_hosts_with_0_and_what_was_acknowledged_is_there() {
    let mut cluster = Cluster::start(3, 1, "");
    assert_eq!(cluster.hosts[0].client().call(&["SET", "k", "v"]), Value::ok());
    for (place, words) in [(0, &["SHUTDOWN"][..]), (1, &["SHUTDOWN", "NOSAVE"]), (2, &["SHUTDOWN", "NOW"])] {
        let mut client = cluster.hosts[place].client();
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        client.send(&request(&words)).expect("sent");
        assert_eq!(client.read_to_close(), b"", "as in Redis: no answer, the connection ends");
        assert_eq!(cluster.hosts[place].await_exit(), Some(0), "{}", cluster.hosts[place].log());
    }
    cluster.start_all();
    assert_eq!(cluster.hosts[2].client().call(&["GET", "k"]), Value::bulk("v"));
}

#[test]
fn one_replica_that_is_killed_has_everything_when_it_comes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let flags = free_ports();
    let mut start = vec!["start", "--dev", "--dir", "data", "--cores", "2"];
    start.extend(flags.iter().map(String::as_str));
    let address = format!("127.0.0.1:{}", port(&flags, "plain-port"));
    let mut replica = Running::start(dir.path(), &start);
    replica.await_line("is ready");
    let mut client = Client::connect(&address);
    client.send(&writes(1000)).expect("sent");
    let done = acknowledged(&mut client, 500);
    assert_eq!(done, 500);
    replica.signal("KILL");
    assert_eq!(replica.finish().0, None, "no exit code: it was killed");

    let mut replica = Running::start(dir.path(), &start);
    replica.await_line("is ready");
    let mut client = Client::connect(&address);
    for i in 0..done {
        assert_eq!(client.call(&["GET", &format!("key-{i}")]), Value::bulk("value"));
    }
    eventually(
        "all keys are counted",
        || matches!(client.call(&["DBSIZE"]), Value::Int(keys) if (500..=1000).contains(&keys)),
    );
    replica.signal("TERM");
    assert_eq!(replica.finish().0, Some(0));
}
