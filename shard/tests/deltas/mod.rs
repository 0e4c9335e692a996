//! Large objects, written and sent as what changes in them.

mod scans;

use reactor::rng::Rng;
use reactor::sim::Latency;
use shard::command::{Command, Limits, Numbered};
use shard::reply::Reply;
use shard::Config;

use super::keyspace::cluster::{Cluster, ACCEPT, MS};

pub const ACCEPT_DELTA: u8 = 34;
pub const NEED_BASE: u8 = 7;

/// Three hosts with objects of this many bytes and more as deltas.
pub fn cluster(seed: u64, bytes_min: usize) -> Cluster {
    Cluster::with(3, seed, move |config: &mut Config| config.delta_object_bytes_min = bytes_min)
}

pub fn count(cluster: &Cluster, kind: u8) -> u64 {
    cluster.types.get(&kind).copied().unwrap_or(0)
}

/// A command that makes an object of each type with so many entries of a hundred bytes.
fn large(name: &str, key: &str, entries: usize) -> Vec<Vec<u8>> {
    let mut args = vec![name.as_bytes().to_vec(), key.as_bytes().to_vec()];
    for entry in 0..entries {
        let long = format!("{entry:0100}").into_bytes();
        match name {
            "HSET" => args.extend([long, b"v".to_vec()]),
            "ZADD" => args.extend([entry.to_string().into_bytes(), long]),
            _ => args.push(long),
        }
    }
    args
}

fn ask(cluster: &mut Cluster, host: usize, args: &[Vec<u8>]) -> Reply {
    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    cluster.ask(host, &args)
}

pub fn line(cluster: &mut Cluster, host: usize, line: &str) -> Reply {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    cluster.ask(host, &args)
}

pub fn metric(cluster: &Cluster, of: impl Fn(&shard::metrics::Metrics) -> u64) -> u64 {
    cluster.hosts.iter().map(|host| of(host.shard.metrics())).sum()
}

const MAKERS: [(&str, &str); 4] = [("HSET", "h"), ("RPUSH", "l"), ("SADD", "s"), ("ZADD", "z")];

#[test]
fn a_change_of_an_object_of_a_megabyte_is_written_and_sent_in_512_bytes() {
    let mut cluster = cluster(1, 16 << 10);
    for (name, key) in MAKERS {
        let entries = if name == "HSET" { 2_500 } else { 2_600 };
        for part in 0..4 {
            let mut args = large(name, key, entries);
            for arg in args.iter_mut().skip(2).filter(|arg| arg.len() >= 100) {
                arg[0] = b'a' + part;
            }
            assert!(!ask(&mut cluster, 0, &args).is_error());
        }
    }
    cluster.pass(100);
    let plain = ["HSET h field value", "LPUSH l element", "SADD s member", "ZADD z 1.5 member"];
    changes_are_short(&mut cluster, &plain, |cluster, text| line(cluster, 0, text));
    // Keys that remember what many clients numbered.
    for seq in 1..=4 {
        for client in 0..70 {
            for text in plain {
                assert!(!numbered(&mut cluster, 0, &format!("client-{client}"), seq, text).is_error());
            }
        }
    }
    changes_are_short(&mut cluster, &plain, |cluster, text| numbered(cluster, 0, "client-0", 5, text));
    let others = plain.map(|text| text.replace('m', "n"));
    changes_are_short(&mut cluster, &others, |cluster, text| line(cluster, 0, text));
    assert_eq!(count(&cluster, NEED_BASE), 0);
    let again = contents(&mut cluster);
    cluster.restart_all();
    assert_eq!(contents(&mut cluster), again);
    let retried = [1, 2].map(|host| numbered(&mut cluster, host, "client-0", 5, plain[1]));
    assert!(retried[0] == retried[1] && !retried[0].is_error(), "{retried:?}");
    assert_eq!(contents(&mut cluster), again);
}

fn numbered(cluster: &mut Cluster, host: usize, client: &str, seq: u64, text: &str) -> Reply {
    let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
    let command = Command::parse(&args, &Limits::default()).expect("a command");
    let request = Numbered { client: client.as_bytes().into(), seq };
    cluster.ask_command(host, command.numbered(&request).expect("it is on one key"))
}

/// Each line is written and sent as a delta of at most 512 bytes, all that the log has of it included.
fn changes_are_short<T: AsRef<str>>(
    cluster: &mut Cluster,
    lines: &[T],
    mut ask: impl FnMut(&mut Cluster, &str) -> Reply,
) {
    for text in lines.iter().map(AsRef::as_ref) {
        let before = (
            count(cluster, ACCEPT),
            metric(cluster, |m| m.deltas_written),
            metric(cluster, |m| m.delta_bytes),
        );
        cluster.longest = 0;
        assert!(!ask(cluster, text).is_error(), "{text}");
        cluster.pass(100);
        assert_eq!(count(cluster, ACCEPT), before.0, "{text}: nobody is sent the whole");
        assert_eq!(metric(cluster, |m| m.deltas_written) - before.1, 3, "{text}: each host writes a delta");
        let bytes = (metric(cluster, |m| m.delta_bytes) - before.2) / 3;
        // Head, base and key, in whole units (docs/formats/segment.md).
        let bytes = (32 + 16 + 1 + bytes).next_multiple_of(64);
        assert!(bytes <= 512, "{text}: {bytes} bytes to the log");
        assert!(cluster.longest <= 512, "{text}: {} bytes to a peer", cluster.longest);
    }
}

/// What hosts say of all objects, asked at each.
pub fn contents(cluster: &mut Cluster) -> Vec<Reply> {
    let lines = ["HGETALL h", "LRANGE l 0 -1", "SMEMBERS s", "ZRANGE z 0 -1 WITHSCORES", "PTTL l"];
    let mut all = Vec::new();
    for text in lines {
        let replies: Vec<Reply> = (0..3).map(|host| line(cluster, host, text)).collect();
        if text != "PTTL l" {
            assert!(replies.iter().all(|reply| *reply == replies[0]), "{text}");
            all.push(replies[0].clone());
        }
    }
    all
}

pub fn some_changes(cluster: &mut Cluster, host: usize, round: usize) {
    for text in [
        format!("HSET h f{} v{round}", round % 7),
        format!("HDEL h f{}", (round + 3) % 7),
        format!("LPUSH l a{round} b{round}"),
        format!("LSET l 1 c{round}"),
        "RPOP l".into(),
        format!("LINSERT l BEFORE c{round} d{round}"),
        format!("SADD s m{}", round % 5),
        format!("SREM s m{}", (round + 2) % 5),
        format!("ZADD z {round} m{}", round % 5),
        format!("ZREMRANGEBYRANK z {} {}", round % 3, round % 3),
        "PEXPIRE l 100000000".into(),
    ] {
        let reply = line(cluster, host, &text);
        assert!(!reply.is_error(), "{text}: {reply:?}");
    }
}

pub fn all_large(cluster: &mut Cluster, entries: usize) {
    for (name, key) in MAKERS {
        let args = large(name, key, entries);
        assert!(!ask(cluster, 0, &args).is_error());
    }
    cluster.pass(50);
}

#[test]
fn chains_are_read_after_restarts_at_every_host() {
    let mut cluster = cluster(2, 1000);
    all_large(&mut cluster, 300);
    for round in 0..20 {
        some_changes(&mut cluster, 0, round);
    }
    assert!(metric(&cluster, |m| m.deltas_written) > 300);
    let before = contents(&mut cluster);
    cluster.restart_all();
    assert_eq!(contents(&mut cluster), before);
    assert!(metric(&cluster, |m| m.chain_reads) > 0);
    // The others go on where the first one was.
    for round in 20..30 {
        some_changes(&mut cluster, round % 3, round);
    }
    let before = contents(&mut cluster);
    cluster.restart_all();
    assert_eq!(contents(&mut cluster), before);
}

#[test]
fn a_member_that_was_away_gets_the_whole_once_and_deltas_from_then_on() {
    let mut cluster = cluster(3, 1000);
    all_large(&mut cluster, 300);
    some_changes(&mut cluster, 0, 0);
    cluster.cut_off(2);
    for round in 1..5 {
        some_changes(&mut cluster, 0, round);
    }
    cluster.heal();
    cluster.pass(100);
    assert_eq!(count(&cluster, NEED_BASE), 0);
    some_changes(&mut cluster, 0, 5);
    cluster.pass(200);
    let (asked, sent) = (count(&cluster, NEED_BASE), metric(&cluster, |m| m.wholes_sent));
    assert!((4..=12).contains(&asked) && (4..=8).contains(&sent), "{asked} asked, {sent} sent");
    for round in 6..10 {
        some_changes(&mut cluster, 0, round);
    }
    cluster.pass(200);
    assert_eq!((count(&cluster, NEED_BASE), metric(&cluster, |m| m.wholes_sent)), (asked, sent));
    assert!(cluster.is_level());
    // It is as good as the others: one of them is gone.
    let before = contents(&mut cluster);
    cluster.cut_off(0);
    for (text, want) in [("HLEN h", &before[0]), ("LLEN l", &before[1])] {
        let entries = match want {
            Reply::Map(pairs) => pairs.len(),
            Reply::Array(all) => all.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!(line(&mut cluster, 2, text), Reply::Int(entries as i64));
    }
}

#[test]
fn lost_deltas_and_wholes_are_asked_for_again() {
    let mut cluster = cluster(4, 1000);
    all_large(&mut cluster, 300);
    let mut seed = 7_u64;
    cluster.loss = Box::new(move |_, _, bytes| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        [ACCEPT, ACCEPT_DELTA, NEED_BASE].contains(&bytes[0]) && (seed >> 33).is_multiple_of(3)
    });
    for round in 0..10 {
        some_changes(&mut cluster, 0, round);
    }
    cluster.heal();
    let before = contents(&mut cluster);
    assert!(metric(&cluster, |m| m.wholes_sent) > 5);
    cluster.restart_all();
    assert_eq!(contents(&mut cluster), before);
}

#[test]
fn chains_end_at_their_bound_and_with_what_is_no_object_any_more() {
    let mut cluster = cluster(5, 1000);
    all_large(&mut cluster, 60);
    for round in 0..200 {
        let text = format!("HSET h field {round:050}");
        assert!(!line(&mut cluster, 0, &text).is_error());
    }
    let folds = metric(&cluster, |m| m.folds);
    assert!(folds > 3, "{folds}");
    assert_eq!(line(&mut cluster, 0, "DEL l"), Reply::Int(1));
    assert_eq!(line(&mut cluster, 0, "SET s string"), Reply::OK);
    assert_eq!(line(&mut cluster, 0, "RPUSH l a"), Reply::Int(1));
    let before = contents_of(&mut cluster);
    cluster.restart_all();
    assert_eq!(contents_of(&mut cluster), before);
}

fn contents_of(cluster: &mut Cluster) -> Vec<Reply> {
    ["HGETALL h", "LRANGE l 0 -1", "GET s", "ZRANGE z 0 -1"].map(|text| line(cluster, 1, text)).into()
}

#[test]
fn two_hosts_that_write_in_turns_propose_on_what_they_found() {
    let mut cluster = cluster(6, 1000);
    all_large(&mut cluster, 100);
    for round in 0..20 {
        some_changes(&mut cluster, round % 3, round);
    }
    let before = contents(&mut cluster);
    cluster.restart_all();
    assert_eq!(contents(&mut cluster), before);
}

/// A member that lost its log copies wholes, whatever its peers have.
#[test]
fn copies_of_repair_are_whole() {
    let mut cluster = cluster(7, 1000);
    cluster.repair = true;
    all_large(&mut cluster, 100);
    for round in 0..5 {
        some_changes(&mut cluster, 0, round);
    }
    let before = contents(&mut cluster);
    cluster.lose_data(2, true);
    cluster.pass(8_000);
    assert!(cluster.is_level(), "it has taken everything over");
    assert_eq!(contents(&mut cluster), before);
    cluster.cut_off(0);
    assert!(!line(&mut cluster, 2, "HSET h again v").is_error());
}

/// What an answer of repair may hold counts wholes, not what was appended to them last.
#[test]
fn an_answer_of_repair_has_no_more_wholes_than_fit() {
    let mut cluster = cluster(8, 1000);
    cluster.repair = true;
    for key in 0..8 {
        assert!(!ask(&mut cluster, 0, &large("RPUSH", &format!("{{t}}{key}"), 2_000)).is_error());
        assert!(!line(&mut cluster, 0, &format!("RPUSH {{t}}{key} last")).is_error());
    }
    cluster.lose_data(2, true);
    cluster.longest = 0;
    cluster.pass(8_000);
    assert!(cluster.is_level(), "it has taken everything over");
    assert!(cluster.longest > 400_000 && cluster.longest < 600_000, "{} bytes", cluster.longest);
}

/// Commands of all hosts on one object, disks that take long, messages that are lost; then all is well again.
#[test]
fn nothing_waits_for_ever() {
    let seeds = std::env::var("DELTAS_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 0..seeds.unwrap_or(120) {
        let mut rng = Rng::new(seed);
        let mut cluster = cluster(seed, 1_000);
        assert!(!ask(&mut cluster, 0, &large("HSET", "h", 40)).is_error());
        cluster.pass(20);
        for host in &mut cluster.hosts {
            let took = [0, 1, 3, 8, 20][rng.below(5) as usize] * MS;
            host.disk.set_latency(Latency { write: (took, took), sync: (took, took), ..Latency::none() });
        }
        let (lost, mut fate) = ([0, 5, 20, 40][rng.below(4) as usize], Rng::new(seed + 1_000));
        cluster.loss = Box::new(move |_, _, _| fate.below(100) < lost);
        let mut asked = Vec::new();
        for step in 0..60_u64 {
            let host = if rng.below(3) == 0 { rng.below(3) as usize } else { 0 };
            let (field, value) = (format!("f{}", step % 9), format!("{step:0500}"));
            let (field, value) = (field.as_bytes(), value.as_bytes());
            let many = large("HSET", "h", 41);
            let args: Vec<&[u8]> = match rng.below(10) {
                0 => many.iter().map(Vec::as_slice).collect(),
                1 | 2 => vec![b"HGET", b"h", b"f1"],
                3 => vec![b"HLEN", b"h"],
                4 => vec![b"HDEL", b"h", field],
                5 if rng.below(4) == 0 => vec![b"DEL", b"h"],
                6 => vec![b"HSET", b"h", field, value],
                _ => vec![b"HSET", b"h", field, &value[490..]],
            };
            asked.push(cluster.submit(host, &args, None, 3_000));
            let until = cluster.now + rng.below(6) * rng.below(2) * MS / 2 + rng.below(300_000);
            cluster.run_while_below(until);
        }
        cluster.heal();
        cluster.hosts.iter_mut().for_each(|host| host.disk.set_latency(Latency::default()));
        cluster.pass(6_000);
        assert!(asked.into_iter().all(|id| cluster.reply(id).is_some()), "seed {seed}: all are answered");
        for host in &cluster.hosts {
            assert!(host.shard.fault().is_none(), "seed {seed}: {:?}", host.shard.fault());
            assert_eq!(host.shard.under_way(), (0, 0), "seed {seed}");
            assert_eq!(host.shard.metrics().corrupt_entries, 0, "seed {seed}");
        }
    }
}
