//! A core that stands still, and a process that does: who is sent away, and who is not.

use super::client::{Client, Value};
use super::host::{eventually, Cluster};

/// Whether some host's map leads clients to host 1.
fn shows_the_first(client: &mut Client) -> bool {
    match client.call(&["CLUSTER", "NODES"]) {
        Value::Bulk(text) => {
            let text = String::from_utf8_lossy(&text);
            let mut lines = text.lines();
            lines.any(|line| line.contains(" 127.0.0.1:") && !line.contains("fail"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_clients_of_a_core_that_stands_still_are_sent_to_others() {
    let cluster = Cluster::start(3, 1, "enable_debug_command = \"local\"\nstall_ms = 300\n");
    let host = &cluster.hosts[0];
    let mut other = cluster.hosts[1].client();
    eventually("the map shows all", || shows_the_first(&mut other));
    let mut idle = host.client();
    assert_eq!(idle.call(&["SET", "k", "v"]), Value::ok());
    let mut stalls = host.client();
    // Longer than this test has patience: all that follows happens meanwhile.
    stalls.send(&super::client::request(&[b"DEBUG", b"STALL-CORE", b"60"])).expect("sent");
    assert!(idle.reply().is_err(), "the connection ends, although the core says nothing");
    assert!(stalls.reply().is_err(), "so does that of the one who did it");
    eventually("the peers lead clients elsewhere", || !shows_the_first(&mut other));
    assert_eq!(other.call(&["GET", "k"]), Value::bulk("v"));
    assert_eq!(other.call(&["SET", "k", "w"]), Value::ok());
    assert!(host.client().try_call(&["PING"]).is_err(), "who comes anew is turned away");
    eventually("the log says so", || host.log().contains("does not turn any more"));
}

#[test]
fn a_core_that_stood_still_serves_again() {
    let cluster = Cluster::start(3, 1, "enable_debug_command = \"local\"\nstall_ms = 300\n");
    let host = &cluster.hosts[0];
    let mut stalls = host.client();
    stalls.send(&super::client::request(&[b"DEBUG", b"STALL-CORE", b"1"])).expect("sent");
    assert!(stalls.reply().is_err(), "the connection ends");
    eventually(
        "it serves again",
        || matches!(host.client().try_call(&["SET", "k", "v"]), Ok(reply) if reply == Value::ok()),
    );
    cluster.await_peers();
    let mut other = cluster.hosts[1].client();
    eventually("clients are led to it again", || shows_the_first(&mut other));
    eventually("the log says so", || host.log().contains("turns again"));
}

#[test]
fn a_process_that_was_stopped_and_goes_on_keeps_its_clients() {
    let cluster = Cluster::start(3, 1, "stall_ms = 300\n");
    let (host, mut other) = (&cluster.hosts[0], cluster.hosts[1].client());
    let mut client = host.client();
    assert_eq!(client.call(&["SET", "k", "v"]), Value::ok());
    host.freeze();
    // The peers notice by the silence on their links, which takes them longer than a core may stand still.
    eventually("the peers lead clients elsewhere", || !shows_the_first(&mut other));
    assert_eq!(other.call(&["SET", "k", "w"]), Value::ok());
    host.signal("CONT");
    assert_eq!(client.call(&["GET", "k"]), Value::bulk("w"), "the connection goes on");
    assert!(!host.log().contains("does not turn any more"), "{}", host.log());
}
