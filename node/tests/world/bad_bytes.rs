//! Bytes that nobody should send: an error that says what is wrong, no memory taken for what was only announced, and the other
//! clients hear nothing of it.

use super::client::{Client, Value};
use super::host::Cluster;

/// Runs on one host, because sessions and limits are a host's own.
fn one_host(settings: &str) -> Cluster {
    Cluster::start(1, 1, settings)
}

#[test]
fn requests_that_cannot_be_read_get_redis_words_and_the_connection_ends() {
    let cluster = one_host("");
    let host = &cluster.hosts[0];
    let mut other = host.client();
    assert_eq!(other.call(&["SET", "k", "v"]), Value::ok());
    let long_line = vec![b'x'; 70_000];
    let table: [(&[u8], &str); 9] = [
        (b"*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*99999999999\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*1\r\n!3\r\nGET\r\n", "-ERR Protocol error: expected '$', got '!'\r\n"),
        (b"*2\r\n$3\r\nGET\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n$x\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n$99999999999999999999\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n$4\r\nPINGxx", "-ERR Protocol error: bulk is not followed by CRLF\r\n"),
        (b"SET \"open\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"),
        (&long_line, "-ERR Protocol error: too big inline request\r\n"),
    ];
    for (bytes, expected) in table {
        let shown = bytes[..bytes.len().min(40)].escape_ascii();
        let mut client = host.client();
        client.send(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n").expect("sent");
        client.send(bytes).expect("sent");
        let answer = String::from_utf8(client.read_to_close()).expect("text");
        assert_eq!(answer, format!("$1\r\nv\r\n{expected}"), "{shown}");
        assert_eq!(other.call(&["GET", "k"]), Value::bulk("v"), "another client, after {shown}");
    }
    // Whatever bytes come, the host goes on.
    for seed in 0..20u8 {
        let noise: Vec<u8> =
            (0..2000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8 ^ seed).collect();
        let mut client = host.client();
        // It may be closed before all is sent.
        let _ = client.send(&noise);
        drop(client);
        assert_eq!(other.call(&["GET", "k"]), Value::bulk("v"));
    }
}

#[test]
fn commands_that_do_not_exist_or_have_the_wrong_words_get_redis_words_and_go_on() {
    let cluster = one_host("");
    let mut client = cluster.hosts[0].client();
    let table: [(&[&str], &str); 5] = [
        (&["FOO", "a", "b"], "ERR unknown command 'FOO', with args beginning with: 'a' 'b' "),
        (&["foo"], "ERR unknown command 'foo', with args beginning with: "),
        (&["GET"], "ERR wrong number of arguments for 'get' command"),
        (&["SET", "k"], "ERR wrong number of arguments for 'set' command"),
        (&["CLIENT", "FOO"], "ERR unknown subcommand 'FOO'. Try CLIENT HELP."),
    ];
    for (words, expected) in table {
        assert_eq!(client.call(words), Value::error(expected));
    }
    assert_eq!(client.call(&["PING"]), Value::Simple("PONG".to_owned()));
}

#[test]
fn what_is_announced_and_not_sent_takes_no_memory() {
    let cluster = one_host("value_bytes_max = \"20 MB\"\nsegment_bytes = \"24 MiB\"\n");
    let host = &cluster.hosts[0];
    let mut other = host.client();
    assert_eq!(other.call(&["SET", "k", "v"]), Value::ok());
    // The first connections and the first values of a process take memory whatever they announce.
    let warm: Vec<Client> = (0..100).map(|_| host.client()).collect();
    assert_eq!(other.call(&["GET", "k"]), Value::bulk("v"));
    let before = host.resident_bytes();

    let mut huge = host.client();
    huge.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n").expect("sent");
    let refused = huge.reply().expect("an answer");
    let words = refused.as_error().unwrap_or_default();
    assert!(words.starts_with("ERR Protocol error: invalid bulk length"), "{refused:?}");
    assert!(
        words.contains("536870912") && words.contains("20000000"),
        "it names what came and the limit: {words}"
    );

    // As much as is allowed, a hundred times: 2 GB.
    let mut waiting = warm;
    for client in &mut waiting {
        client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20000000\r\nthe beginning").expect("sent");
    }
    assert_eq!(other.call(&["GET", "k"]), Value::bulk("v"));
    let grown = host.resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "grew by {grown} bytes");
    drop(waiting);
    assert_eq!(other.call(&["GET", "k"]), Value::bulk("v"), "what was never whole was never written");
}
