//! FLUSHALL while others write, and while a host is away: what was acknowledged before it is gone, what was begun after it is there, on every
//! host, whatever becomes of those.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::client::{request, Client, Value};
use super::host::Cluster;

const WRITERS: usize = 4;

/// An acknowledged write: its key, when it was begun, when it was acknowledged.
type Written = (String, Instant, Instant);

fn write(number: usize, address: &str, stop: &AtomicBool) -> Vec<Written> {
    let (mut client, mut written) = (Client::connect(address), Vec::new());
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (key, begun) = (format!("written:{number}:{turn}"), Instant::now());
        match client.call(&["SET", &key, "value"]) {
            Value::Error(text) => assert!(text.starts_with("UNCERTAIN"), "SET was answered with {text}"),
            reply => {
                assert_eq!(reply, Value::ok());
                written.push((key, begun, Instant::now()));
            }
        }
    }
    written
}

/// What is there, key by key, and by DBSIZE.
fn assert_there(cluster: &Cluster, place: usize, there: &[&str], gone: &[&str]) {
    let mut client = cluster.hosts[place].client();
    for (keys, want) in [(there, Value::bulk("value")), (gone, Value::Nil)] {
        for key in keys {
            assert_eq!(client.call(&["GET", key]), want, "{key} on host {place}");
        }
    }
}

#[test]
fn a_flush_comes_between_what_was_before_and_what_comes_after() {
    let mut cluster = Cluster::start(3, 2, "");
    let before = cluster.hosts[2].own_key("before-");
    assert_eq!(cluster.hosts[2].client().call(&["SET", &before, "value"]), Value::ok());
    let addresses: Vec<String> = (0..2).map(|place| cluster.hosts[place].plain.clone()).collect();
    cluster.hosts[2].kill();
    let stop = AtomicBool::new(false);
    let mut flusher = cluster.hosts[0].client();
    let (written, flushes) = std::thread::scope(|scope| {
        let (stop, addresses) = (&stop, &addresses);
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| scope.spawn(move || write(number, &addresses[number % addresses.len()], stop)))
            .collect();
        let mut flushes = Vec::new();
        for how in [&["FLUSHALL"][..], &["FLUSHALL", "ASYNC"], &["FLUSHDB", "SYNC"], &["FLUSHALL"]] {
            let until = Instant::now() + std::time::Duration::from_millis(150);
            while Instant::now() < until {
                assert!(!matches!(flusher.call(&["DBSIZE"]), Value::Error(_)));
            }
            let begun = Instant::now();
            assert_eq!(flusher.call(how), Value::ok());
            flushes.push((begun, Instant::now()));
        }
        let until = Instant::now() + std::time::Duration::from_millis(150);
        while Instant::now() < until {
            assert_eq!(flusher.call(&["GET", &before]), Value::Nil);
        }
        stop.store(true, Ordering::Relaxed);
        let written: Vec<Written> =
            writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect();
        (written, flushes)
    });
    let (begun, ended) = flushes[flushes.len() - 1];
    let there: Vec<&str> = written.iter().filter(|one| one.1 > ended).map(|one| &*one.0).collect();
    let gone: Vec<&str> = written.iter().filter(|one| one.2 < begun).map(|one| &*one.0).collect();
    assert!(there.len() > 20 && gone.len() > 20, "{} there, {} gone", there.len(), gone.len());
    for place in [0, 1] {
        assert_there(&cluster, place, &there, &gone);
    }
    // The one that was away has old values on its disk, and nobody else has those in memory.
    cluster.hosts[2].start();
    cluster.await_peers();
    assert_there(&cluster, 2, &there, &[&gone[..], &[&before]].concat());
    let Value::Int(size) = cluster.hosts[2].client().call(&["DBSIZE"]) else { panic!("a number") };
    let most = written.iter().filter(|one| one.2 >= begun).count();
    assert!((there.len()..=most + WRITERS).contains(&(size as usize)), "{size} of {} to {most}", there.len());
    cluster.hosts[0].kill();
    cluster.await_peers();
    assert_there(&cluster, 2, &there, &gone);
    cluster.start_all();
    assert_eq!(cluster.hosts[0].client().call(&["FLUSHALL"]), Value::ok());
    for host in &cluster.hosts {
        assert_eq!(host.client().call(&["DBSIZE"]), Value::Int(0));
    }
}

/// In a pipeline of one connection all is as if each command waited for the one before it.
#[test]
fn a_pipeline_goes_through_a_flush_in_its_order() {
    let cluster = Cluster::start(3, 2, "");
    let mut client = cluster.hosts[0].client();
    let keys: Vec<String> = (0..20).map(|number| format!("key:{number}")).collect();
    let (again, gone) = keys.split_at(keys.len() / 2);
    let set = |key: &String, value: &str| vec!["SET".to_owned(), key.clone(), value.to_owned()];
    let get = |key: &String| vec!["GET".to_owned(), key.clone()];
    for turn in 0..20 {
        let (before, after) = (format!("before:{turn}"), format!("after:{turn}"));
        let mut asked: Vec<(Vec<String>, Value)> = Vec::new();
        asked.extend(keys.iter().map(|key| (set(key, &before), Value::ok())));
        asked.push((vec!["FLUSHALL".to_owned()], Value::ok()));
        asked.extend(again.iter().map(|key| (set(key, &after), Value::ok())));
        asked.extend(again.iter().map(|key| (get(key), Value::bulk(&after))));
        asked.extend(gone.iter().map(|key| (get(key), Value::Nil)));
        let bytes = asked.iter().flat_map(|(words, _)| {
            request(&words.iter().map(|word| word.as_bytes()).collect::<Vec<&[u8]>>())
        });
        client.send(&bytes.collect::<Vec<u8>>()).expect("sent");
        for (words, want) in &asked {
            assert_eq!(client.reply().expect("a reply"), *want, "{words:?} of turn {turn}");
        }
        assert_eq!(client.call(&["DBSIZE"]), Value::Int(again.len() as i64));
    }
}
