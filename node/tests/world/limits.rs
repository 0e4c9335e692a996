//! The limits that clients meet: each with its error, and nobody else is disturbed.

use std::time::{Duration, Instant};

use super::client::{request, Client, Value};
use super::host::{eventually, Cluster};

#[test]
fn keys_and_values_of_the_largest_size_are_kept_and_longer_ones_are_refused() {
    // Ten seconds for a request, as the first touch of that much memory by three hosts on a busy machine may take more than one.
    let settings = "value_bytes_max = \"20 MB\"\nsegment_bytes = \"24 MiB\"\nrequest_deadline_ms = 10000\n";
    let cluster = Cluster::start(3, 1, settings);
    let mut client = cluster.hosts[0].client();
    let longest: Vec<u8> = (0..20_000_000u32).map(|i| (i % 251) as u8).collect();
    let key = "k".repeat(64 << 10);
    assert_eq!(client.call_bytes(&[b"SET", key.as_bytes(), &longest]), Value::ok());
    let read = cluster.hosts[1].client().call_bytes(&[b"GET", key.as_bytes()]);
    assert!(read == Value::Bulk(longest.clone()), "20 MB come back from another host as they were");

    let longer_key = format!("{key}k");
    let refused = client.call(&["SET", &longer_key, "v"]);
    assert_eq!(refused, Value::error("ERR key exceeds maximum allowed size (key_bytes_max 65536)"));
    assert_eq!(
        client.call(&["APPEND", &key, "x"]).as_error().map(|words| words.contains("value_bytes_max")),
        Some(true)
    );
    assert_eq!(client.call(&["PING"]), Value::Simple("PONG".to_owned()), "the connection goes on");

    let mut longer = longest;
    longer.push(0);
    let mut broken = cluster.hosts[0].client();
    // The connection ends as soon as the length is read, maybe before all is sent.
    let _ = broken.send(&request(&[b"SET", b"k", &longer]));
    match broken.reply() {
        Ok(Value::Error(words)) => {
            assert!(words.contains("20000001") && words.contains("20000000"), "{words}")
        }
        // The error was overtaken by the reset that our unread bytes make.
        Err(_) => {}
        Ok(other) => panic!("{other:?}"),
    }
    assert_eq!(client.call(&["EXISTS", "k"]), Value::Int(0), "nothing was written");
}

#[test]
fn the_limit_of_clients_is_the_hosts_wherever_they_come_in() {
    let cluster = Cluster::start(1, 2, "clients_max = 6\n");
    let host = &cluster.hosts[0];
    let mut inside: Vec<Client> = (0..6).map(|_| Client::connect(&host.core(0))).collect();
    for client in &mut inside {
        assert_eq!(client.call(&["PING"]), Value::Simple("PONG".to_owned()), "all on one core");
    }
    for address in [host.core(0), host.core(1), host.plain.clone()] {
        let refused = Client::connect(&address).read_to_close();
        assert_eq!(String::from_utf8_lossy(&refused), "-ERR max number of clients reached\r\n", "{address}");
    }
    // Redis' name for it is the same knob, on every core.
    assert_eq!(inside[0].call(&["CONFIG", "SET", "maxclients", "7"]), Value::ok());
    let mut seventh = Client::connect(&host.core(1));
    assert_eq!(
        seventh.call(&["CONFIG", "GET", "clients_max"]),
        inside[0].call(&["CONFIG", "GET", "clients_max"])
    );
    let refused = Client::connect(&host.core(0)).read_to_close();
    assert_eq!(String::from_utf8_lossy(&refused), "-ERR max number of clients reached\r\n");
}

#[test]
fn clients_above_the_limit_are_refused_and_come_in_when_others_left() {
    let cluster = Cluster::start(1, 1, "clients_max = 4\n");
    let host = &cluster.hosts[0];
    let mut inside: Vec<Client> = (0..4).map(|_| host.client()).collect();
    for client in &mut inside {
        assert_eq!(client.call(&["PING"]), Value::Simple("PONG".to_owned()));
    }
    let refused = host.client().read_to_close();
    assert_eq!(String::from_utf8_lossy(&refused), "-ERR max number of clients reached\r\n");
    for client in &mut inside {
        assert_eq!(client.call(&["SET", "k", "v"]), Value::ok());
    }
    inside.pop();
    eventually(
        "there is room again",
        || matches!(host.client().try_call(&["GET", "k"]), Ok(value) if value == Value::bulk("v")),
    );
}

#[test]
fn a_slow_reader_is_closed_while_others_go_on() {
    let cluster = Cluster::start(1, 1, "value_bytes_max = \"1 MB\"\noutput_bytes_max = \"2 MB\"\n");
    let host = &cluster.hosts[0];
    let mut other = host.client();
    let value = vec![b'v'; 1_000_000];
    assert_eq!(other.call_bytes(&[b"SET", b"k", &value]), Value::ok());
    let mut slow = host.client();
    // 60 MB of replies: more than the buffers of two sockets take.
    slow.send(&request(&[b"GET", b"k"]).repeat(60)).expect("sent");
    eventually("the slow reader is closed", || other.info("client_output_buffer_limit_disconnections") == 1);
    let got = slow.read_to_close();
    assert!(got.len() < 60_000_000, "{} bytes", got.len());
    // One that reads gets as much as it likes.
    for _ in 0..10 {
        assert!(other.call(&["GET", "k"]) == Value::Bulk(value.clone()));
    }
    let mut pipelined = host.client();
    pipelined.send(&request(&[b"PING"]).repeat(1000)).expect("sent");
    for _ in 0..1000 {
        assert_eq!(pipelined.reply().expect("a reply"), Value::Simple("PONG".to_owned()));
    }
}

#[test]
fn before_auth_little_is_taken() {
    let cluster = Cluster::start(1, 1, "requirepass = \"a long password\"\n");
    let host = &cluster.hosts[0];
    let mut client = host.client();
    let no_auth = Value::error("NOAUTH Authentication required.");
    assert_eq!(client.call(&["GET", "k"]), no_auth);
    let largest = "x".repeat(16 << 10);
    let ten: Vec<&[u8]> =
        std::iter::once(&b"DEL"[..]).chain(std::iter::repeat_n(largest.as_bytes(), 9)).collect();
    assert_eq!(client.call_bytes(&ten), no_auth, "ten words of 16 KiB are read");
    let answer = |bytes: &[u8]| {
        let mut client = host.client();
        client.send(bytes).expect("sent");
        String::from_utf8(client.read_to_close()).expect("text")
    };
    assert_eq!(answer(b"*11\r\n"), "-ERR Protocol error: unauthenticated multibulk length\r\n");
    assert_eq!(
        answer(b"*2\r\n$4\r\nAUTH\r\n$16385\r\n"),
        "-ERR Protocol error: unauthenticated bulk length\r\n"
    );
    let wrong = client.call(&["AUTH", "wrong"]);
    assert_eq!(wrong, Value::error("WRONGPASS invalid username-password pair or user is disabled."));
    assert_eq!(client.call(&["AUTH", "a long password"]), Value::ok());
    let mut words = vec!["MSET"];
    words.extend(std::iter::repeat_n(["a", largest.as_str()], 10).flatten());
    assert_eq!(client.call(&words), Value::ok(), "afterwards as much as others");
}

#[test]
fn a_limit_may_be_changed_while_serving() {
    let cluster = Cluster::start(1, 2, "");
    let mut client = cluster.hosts[0].client();
    assert_eq!(client.call(&["SET", "k", "12345"]), Value::ok());
    assert_eq!(client.call(&["CONFIG", "SET", "value_bytes_max", "4"]), Value::ok());
    let begun = Instant::now();
    for key in ["a", "b", "c", "d"] {
        eventually("all cores have the new limit", || {
            let mut client = cluster.hosts[0].client();
            client.send(&request(&[b"SET", key.as_bytes(), b"12345"])).expect("sent");
            matches!(client.reply(), Ok(Value::Error(words)) if words.contains('4'))
        });
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(client.call(&["GET", "k"]), Value::bulk("12345"), "what is there stays");
}
