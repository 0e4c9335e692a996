//! Commands about the keyspace against a model: what was written is found, from every replica, whatever that one missed.

pub mod cluster;
mod messages;
mod trouble;

use std::collections::BTreeSet;

use shard::reply::Reply;

use cluster::{Cluster, ACCEPT, SLOT_ANSWER, SLOT_QUERY};

type Keys = BTreeSet<Vec<u8>>;

fn keys_of(reply: Reply) -> Vec<Vec<u8>> {
    let Reply::Array(items) = reply else { panic!("a list, not {reply:?}") };
    let key = |item| match item {
        Reply::Bulk(key) => key,
        other => panic!("a key, not {other:?}"),
    };
    items.into_iter().map(key).collect()
}

/// Keys in a list, none twice.
fn distinct(keys: Vec<Vec<u8>>) -> Keys {
    let count = keys.len();
    let keys: Keys = keys.into_iter().collect();
    assert_eq!(keys.len(), count, "no key twice");
    keys
}

fn all_keys(cluster: &mut Cluster, host: usize) -> Keys {
    distinct(keys_of(cluster.ask(host, &[b"KEYS", b"*"])))
}

/// A whole SCAN: its keys, and how many pages it took.
fn scan(cluster: &mut Cluster, host: usize, options: &[&[u8]]) -> (Vec<Vec<u8>>, usize) {
    let (mut cursor, mut keys, mut pages) = (b"0".to_vec(), Vec::new(), 0);
    loop {
        let mut args: Vec<&[u8]> = vec![b"SCAN", &cursor];
        args.extend_from_slice(options);
        let Reply::Array(mut fields) = cluster.ask(host, &args) else { panic!("a page") };
        keys.extend(keys_of(fields.pop().expect("keys")));
        let Some(Reply::Bulk(next)) = fields.pop() else { panic!("a cursor") };
        pages += 1;
        assert!(pages < 20_000, "a scan ends");
        if next == b"0" {
            return (keys, pages);
        }
        let number: u64 = std::str::from_utf8(&next).expect("digits").parse().expect("a number");
        assert!(number < 1 << 56, "room for the slice: {number}");
        cursor = next;
    }
}

fn name(prefix: &str, range: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    range.map(|number| format!("{prefix}{number}").into_bytes()).collect()
}

fn set(cluster: &mut Cluster, host: usize, keys: &[Vec<u8>]) {
    let commands: Vec<Vec<&[u8]>> = keys.iter().map(|key| vec![&b"SET"[..], key, b"value"]).collect();
    for chunk in commands.chunks(200) {
        for reply in cluster.ask_all(host, chunk) {
            assert_eq!(reply, Reply::OK);
        }
    }
}

fn delete(cluster: &mut Cluster, host: usize, keys: &[Vec<u8>]) {
    let commands: Vec<Vec<&[u8]>> = keys.iter().map(|key| vec![&b"GETDEL"[..], key]).collect();
    for reply in cluster.ask_all(host, &commands) {
        assert_ne!(reply, Reply::Nil);
    }
}

/// Every command finds exactly these keys.
fn check(cluster: &mut Cluster, host: usize, want: &Keys) {
    assert_eq!(cluster.ask(host, &[b"DBSIZE"]), Reply::Int(want.len() as i64), "host {host}");
    assert_eq!(all_keys(cluster, host), *want, "host {host}");
    assert_eq!(distinct(scan(cluster, host, &[b"COUNT", b"50"]).0), *want, "host {host}");
    match cluster.ask(host, &[b"RANDOMKEY"]) {
        Reply::Bulk(key) => assert!(want.contains(&key), "host {host}: {}", key.escape_ascii()),
        other => assert!(other == Reply::Nil && want.is_empty(), "host {host}: {other:?}"),
    }
}

#[test]
fn one_host_alone() {
    let mut cluster = Cluster::new(1, 1);
    check(&mut cluster, 0, &Keys::new());
    let (kept, dropped) = (name("k", 0..300), name("d", 0..100));
    set(&mut cluster, 0, &kept);
    set(&mut cluster, 0, &dropped);
    delete(&mut cluster, 0, &dropped);
    let want: Keys = kept.into_iter().collect();
    check(&mut cluster, 0, &want);
    assert_eq!(cluster.types.len(), 0, "nobody is asked");
    let sevens = keys_of(cluster.ask(0, &[b"KEYS", b"k7?"]));
    assert_eq!(distinct(sevens).len(), 10);
    let (matching, pages) = scan(&mut cluster, 0, &[b"MATCH", b"k1*", b"COUNT", b"20"]);
    assert_eq!(distinct(matching).len(), 111);
    // 400 records, tombstones included: COUNT is about what is looked at, not what is found.
    assert!((18..=21).contains(&pages), "{pages} pages");
    assert_eq!(scan(&mut cluster, 0, &[b"TYPE", b"hash", b"COUNT", b"1000"]).0.len(), 0);
    assert_eq!(scan(&mut cluster, 0, &[b"TYPE", b"stream"]), (vec![], 1), "there is no such type");
    assert_eq!(scan(&mut cluster, 0, &[b"TYPE", b"string", b"COUNT", b"1000"]).0.len(), 300);
    // A cursor from elsewhere.
    let end = Reply::Array(vec![Reply::bulk("0"), Reply::Array(vec![])]);
    assert_eq!(cluster.ask(0, &[b"SCAN", b"72057594037927936"]), end);
    assert_eq!(cluster.ask(0, &[b"FLUSHALL"]), Reply::OK);
    check(&mut cluster, 0, &Keys::new());
}

#[test]
fn keys_of_one_type_are_found_wherever_they_are() {
    let mut cluster = Cluster::new(3, 3);
    set(&mut cluster, 0, &name("string", 0..20));
    let objects: [(&str, &[&[u8]]); 4] = [
        ("hash", &[b"HSET", b"a hash", b"f", b"v"]),
        ("list", &[b"RPUSH", b"a list", b"e"]),
        ("set", &[b"SADD", b"a set", b"m"]),
        ("zset", &[b"ZADD", b"a zset", b"1", b"m"]),
    ];
    // Host 0 has half of them, and learns of the rest when it is asked.
    for (number, (_, command)) in objects.iter().enumerate() {
        if number == 2 {
            cluster.cut_off(0);
        }
        assert_eq!(cluster.ask(1, command), Reply::Int(1));
    }
    cluster.heal();
    for host in 0..3 {
        for (kind, _) in objects {
            let (found, _) = scan(&mut cluster, host, &[b"TYPE", kind.as_bytes(), b"COUNT", b"1000"]);
            assert_eq!(found, [format!("a {kind}").into_bytes()], "host {host}");
        }
        assert_eq!(scan(&mut cluster, host, &[b"TYPE", b"STRING", b"COUNT", b"1000"]).0.len(), 20);
        assert_eq!(scan(&mut cluster, host, &[b"COUNT", b"1000"]).0.len(), 24);
    }
}

#[test]
fn what_a_replica_missed_is_found_from_it() {
    let mut cluster = Cluster::new(3, 2);
    let before = name("before", 0..200);
    set(&mut cluster, 0, &before);
    for away in 0..3 {
        let here = (away + 1) % 3;
        cluster.cut_off(away);
        set(&mut cluster, here, &name(&format!("while{away}-"), 0..150));
        delete(&mut cluster, here, &before[away * 20..away * 20 + 20]);
        cluster.heal();
    }
    let mut want: Keys = before[60..].iter().cloned().collect();
    (0..3).for_each(|away| want.extend(name(&format!("while{away}-"), 0..150)));
    for host in 0..3 {
        check(&mut cluster, host, &want);
    }
    // All the same from any two: one host is away.
    cluster.cut_off(1);
    check(&mut cluster, 0, &want);
    check(&mut cluster, 2, &want);
    assert!(cluster.longest < 1 << 20);
}

#[test]
fn replicas_that_differ_everywhere() {
    for seed in 0..6 {
        let mut cluster = Cluster::new(if seed % 2 == 0 { 3 } else { 5 }, 100 + seed);
        let hosts = cluster.hosts.len();
        let mut chance = cluster.rng.fork();
        cluster.loss = Box::new(move |_, _, bytes| bytes[0] == ACCEPT && chance.below(10) < 3);
        let mut want = Keys::new();
        let mut choose = cluster.rng.fork();
        for round in 0..4 {
            let keys = name(&format!("{round}-"), 0..80);
            set(&mut cluster, round % hosts, &keys);
            want.extend(keys);
            let dropped: Vec<Vec<u8>> = want.iter().filter(|_| choose.below(5) == 0).cloned().collect();
            delete(&mut cluster, (round + 1) % hosts, &dropped);
            dropped.iter().for_each(|key| assert!(want.remove(key)));
        }
        // The commands about the keyspace do not mend anything, so every one finds the replicas as different.
        for host in 0..hosts {
            check(&mut cluster, host, &want);
        }
        let merged: u64 = cluster.hosts.iter().map(|host| host.shard.metrics().slots_merged).sum();
        assert!(merged > 100, "seed {seed}: {merged} slots were merged");
        assert_eq!(cluster.ask(0, &[b"FLUSHALL"]), Reply::OK);
        for host in 0..hosts {
            check(&mut cluster, host, &Keys::new());
        }
    }
}

#[test]
fn what_has_ended_is_not_listed() {
    let mut cluster = Cluster::new(3, 3);
    cluster.cut_off(0);
    let short = name("short", 0..40);
    let commands: Vec<Vec<&[u8]>> =
        short.iter().map(|key| vec![&b"SET"[..], key, b"v", b"PX", b"500"]).collect();
    cluster.ask_all(1, &commands);
    let long = name("long", 0..40);
    let commands: Vec<Vec<&[u8]>> =
        long.iter().map(|key| vec![&b"SET"[..], key, b"v", b"EX", b"5000"]).collect();
    cluster.ask_all(1, &commands);
    cluster.heal();
    let everything: Keys = short.iter().chain(&long).cloned().collect();
    let want: Keys = long.into_iter().collect();
    assert_eq!(all_keys(&mut cluster, 0), everything);
    // Nobody sweeps them away: each host takes another one for the preferred.
    for host in 0..3 {
        cluster.hosts[host].shard.set_routes(vec![(host as u8 + 1) % 3]);
    }
    cluster.pass(600);
    for host in 0..3 {
        assert_eq!(all_keys(&mut cluster, host), want);
        assert_eq!(distinct(scan(&mut cluster, host, &[]).0), want);
        // Numbers come from the directories, which do not know: as in Redis before it looks.
        assert_eq!(cluster.ask(host, &[b"DBSIZE"]), Reply::Int(80));
    }
    assert_eq!(cluster.ask(2, &[b"FLUSHALL"]), Reply::OK);
    assert_eq!(cluster.ask(0, &[b"DBSIZE"]), Reply::Int(0));
}

#[test]
fn scans_find_all_that_stays() {
    for (seed, count) in [(1, "1"), (2, "10"), (3, "333"), (4, "5000")] {
        let mut cluster = Cluster::new(3, 200 + seed);
        let mut stay: Vec<Vec<u8>> = name("stay", 0..150);
        // Many in one slot, so that pages end within it.
        stay.extend(name("{tag}", 0..250));
        set(&mut cluster, 0, &stay);
        cluster.cut_off(1);
        set(&mut cluster, 0, &name("{tag}more", 0..60));
        stay.extend(name("{tag}more", 0..60));
        cluster.heal();
        let want: Keys = stay.iter().cloned().collect();
        for host in 0..3 {
            assert_eq!(distinct(scan(&mut cluster, host, &[b"COUNT", count.as_bytes()]).0), want);
        }
        // Others come and go meanwhile.
        let (mut cursor, mut found) = (b"0".to_vec(), Keys::new());
        for page in 0.. {
            let fleeting = name("fleeting", page..page + 2);
            set(&mut cluster, 2, &fleeting);
            let args: [&[u8]; 4] = [b"SCAN", &cursor, b"COUNT", count.as_bytes()];
            let Reply::Array(fields) = cluster.ask(1, &args) else { panic!("a page") };
            let Reply::Bulk(next) = &fields[0] else { panic!("a cursor") };
            found.extend(keys_of(fields[1].clone()));
            cursor.clone_from(next);
            delete(&mut cluster, 0, &fleeting[..1]);
            if cursor == b"0" {
                break;
            }
        }
        assert!(found.is_superset(&want), "count {count}");
    }
}

#[test]
fn one_slot() {
    let mut cluster = Cluster::new(3, 4);
    let (keys, others) = (name("{tag}", 0..120), name("other", 0..50));
    set(&mut cluster, 0, &keys);
    cluster.cut_off(2);
    set(&mut cluster, 1, &others);
    set(&mut cluster, 1, &name("{tag}x", 0..5));
    cluster.heal();
    let slot = shard::slot::slot(b"{tag}").to_string();
    let mut want: Keys = keys.into_iter().collect();
    want.extend(name("{tag}x", 0..5));
    for host in 0..3 {
        let count = cluster.ask(host, &[b"CLUSTER", b"COUNTKEYSINSLOT", slot.as_bytes()]);
        assert_eq!(count, Reply::Int(125));
        let mut some = |count: &[u8]| {
            let args: [&[u8]; 4] = [b"CLUSTER", b"GETKEYSINSLOT", slot.as_bytes(), count];
            distinct(keys_of(cluster.ask(host, &args)))
        };
        assert_eq!(some(b"1000"), want);
        assert_eq!(some(b"0"), Keys::new());
        for count in ["1", "7", "100"] {
            let part = some(count.as_bytes());
            assert_eq!(part.len(), count.parse::<usize>().expect("a number"));
            assert!(part.is_subset(&want));
        }
    }
}

/// The asker has a few of many keys of a slot, so that its own page ends far behind what a peer lists at a time.
#[test]
fn a_slot_that_is_nearly_unknown() {
    let mut cluster = Cluster::new(3, 9);
    set(&mut cluster, 0, &name("{tag}", 0..5));
    cluster.cut_off(0);
    set(&mut cluster, 1, &name("{tag}", 5..1500));
    cluster.heal();
    let want: Keys = name("{tag}", 0..1500).into_iter().collect();
    check(&mut cluster, 0, &want);
    assert_eq!(distinct(scan(&mut cluster, 0, &[b"COUNT", b"7"]).0), want);
}

#[test]
fn scopes_and_slices() {
    let mut cluster = Cluster::with(3, 5, |config| config.slices = 4);
    let keys = name("k", 0..400);
    set(&mut cluster, 0, &keys);
    let within = |first: u16, last: u16| -> Keys {
        let inside = |key: &&Vec<u8>| (first..=last).contains(&shard::slot::slot(key));
        keys.iter().filter(inside).cloned().collect()
    };
    // Its own slice is the first quarter.
    check(&mut cluster, 1, &within(0, 4095));
    let scope: shard::Scope = Some(Box::new([(9000, 12_000), (100, 5000)]));
    let mut want = within(100, 5000);
    want.extend(within(9000, 12_000));
    let id = cluster.submit(1, &[b"DBSIZE"], scope.clone(), 1000);
    assert_eq!(cluster.wait(id), Reply::Int(want.len() as i64));
    let id = cluster.submit(1, &[b"KEYS", b"*"], scope.clone(), 1000);
    assert_eq!(distinct(keys_of(cluster.wait(id))), want);
    let id = cluster.submit(1, &[b"KEYS", b"*"], Some(Box::new([])), 1000);
    assert_eq!(cluster.wait(id), Reply::Array(vec![]));
    let id = cluster.submit(1, &[b"RANDOMKEY"], Some(Box::new([])), 1000);
    assert_eq!(cluster.wait(id), Reply::Nil);
    // A flush is of all keys of the slice, whatever slots are named.
    let id = cluster.submit(1, &[b"FLUSHALL"], scope, 5000);
    assert_eq!(cluster.wait(id), Reply::OK);
    check(&mut cluster, 2, &Keys::new());
}

#[test]
fn random_keys_are_many() {
    let mut cluster = Cluster::new(3, 6);
    // One slot with nearly everything, and a key at the far end of it.
    let keys = name("{tag}", 0..40);
    set(&mut cluster, 0, &keys);
    let mut found = Keys::new();
    for _ in 0..150 {
        let Reply::Bulk(key) = cluster.ask(1, &[b"RANDOMKEY"]) else { panic!("a key") };
        found.insert(key);
    }
    assert!(found.len() > 25, "{} of 40 keys", found.len());
    // A start behind the only key comes round to it.
    let mut cluster = Cluster::new(1, 7);
    set(&mut cluster, 0, &name("only", 0..1));
    set(&mut cluster, 0, &name("gone", 0..30));
    delete(&mut cluster, 0, &name("gone", 0..30));
    for _ in 0..60 {
        assert_eq!(cluster.ask(0, &[b"RANDOMKEY"]), Reply::bulk("only0"));
    }
}

#[test]
fn equal_replicas_exchange_next_to_nothing() {
    let mut cluster = Cluster::new(3, 8);
    set(&mut cluster, 0, &name("k", 0..500));
    cluster.pass(200);
    cluster.types.clear();
    assert_eq!(cluster.ask(1, &[b"DBSIZE"]), Reply::Int(500));
    let questions = cluster.types.get(&SLOT_QUERY).copied().unwrap_or(0);
    let answers = cluster.types.get(&SLOT_ANSWER).copied().unwrap_or(0);
    assert_eq!((questions, answers), (8, 8), "four ranges, two peers");
    let metrics = cluster.hosts[1].shard.metrics();
    assert_eq!((metrics.slots_merged, metrics.survey_restarts, metrics.surveys), (0, 0, 1));
}
