//! A host that reaches no majority: it says so in these words, in time, and nothing that it refused is ever there.

use std::time::{Duration, Instant};

use super::client::Value;
use super::host::Cluster;

const NO_WRITE: &str = "ERR no quorum: 1 of 3 hosts answers; nothing was written";
const NO_READ: &str = "ERR no quorum: 1 of 3 hosts answers; cannot confirm the newest value";

#[test]
fn a_minority_refuses_in_time_and_what_it_refused_is_not_there() {
    let mut cluster = Cluster::start(3, 1, "");
    let own = cluster.hosts[0].own_key("mine-");
    let others = cluster.hosts[1].own_key("theirs-");
    let mut client = cluster.hosts[0].client();
    for key in [&own, &others] {
        assert_eq!(client.call(&["SET", key, "old"]), Value::ok());
    }
    cluster.hosts[1].kill();
    cluster.hosts[2].kill();
    cluster.await_peers();
    for key in [&own, &others, "never-seen"] {
        let begun = Instant::now();
        assert_eq!(client.call(&["SET", key, "refused"]), Value::error(NO_WRITE), "{key}");
        assert_eq!(client.call(&["GET", key]), Value::error(NO_READ), "{key}");
        assert_eq!(client.call(&["DEL", key]), Value::error(NO_WRITE), "{key}");
        assert!(begun.elapsed() < Duration::from_secs(4), "three deadlines of a second, and some");
    }
    assert_eq!(client.call(&["PING"]), Value::Simple("PONG".to_owned()), "what needs no key goes on");

    cluster.hosts[1].start();
    cluster.await_peers();
    for place in [0, 1] {
        let mut client = cluster.hosts[place].client();
        for key in [&own, &others] {
            assert_eq!(
                client.call(&["GET", key]),
                Value::bulk("old"),
                "{key}: the refused write is not there"
            );
        }
        assert_eq!(client.call(&["GET", "never-seen"]), Value::Nil);
    }
    assert_eq!(client.call(&["SET", &own, "new"]), Value::ok());
    cluster.start_all();
    assert_eq!(cluster.hosts[2].client().call(&["GET", &own]), Value::bulk("new"), "the last one caught up");
}

#[test]
fn hosts_that_are_silent_without_a_reset_end_in_the_deadline() {
    let mut cluster = Cluster::start(3, 1, "request_deadline_ms = 400\n");
    let key = cluster.hosts[0].own_key("k");
    let mut client = cluster.hosts[0].client();
    assert_eq!(client.call(&["SET", &key, "old"]), Value::ok());
    cluster.hosts[1].freeze();
    cluster.hosts[2].freeze();
    let begun = Instant::now();
    let written = client.call(&["SET", &key, "perhaps"]);
    let read = client.call(&["GET", &key]);
    let took = begun.elapsed();
    let words = written.as_error().unwrap_or_default().to_owned();
    assert!(words == NO_WRITE || words == "UNCERTAIN write may or may not be applied", "{written:?}");
    assert_eq!(read, Value::error(NO_READ));
    assert!(took < Duration::from_secs(4), "two deadlines of 400 ms, and some: {took:?}");

    cluster.hosts[1].signal("CONT");
    cluster.hosts[2].signal("CONT");
    cluster.await_peers();
    let now = client.call(&["GET", &key]);
    let possible = if words == NO_WRITE { vec!["old"] } else { vec!["old", "perhaps"] };
    assert!(possible.iter().any(|value| now == Value::bulk(value)), "{now:?} after {words}");
    assert_eq!(client.call(&["SET", &key, "new"]), Value::ok());
    for host in &mut cluster.hosts {
        assert_eq!(host.client().call(&["GET", &key]), Value::bulk("new"));
    }
}
