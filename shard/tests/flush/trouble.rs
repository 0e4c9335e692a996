//! Hosts that are away, answers that are lost, what is under way, and what comes again.

use reactor::sim::Fault;
use shard::command::{Command, Limits, Numbered, Queue};
use shard::reply::Reply;
use shard::wire::PeerMessage;

use super::{bulk, epochs, fill, is_empty, uncertain};
use crate::abreast;
use crate::keyspace::cluster::{Cluster, ACCEPT, FLUSH, MS, PREPARE};

#[test]
fn a_host_that_was_away_hears_of_it_from_the_first_who_speaks_to_it() {
    for restarts in [false, true] {
        let mut cluster = Cluster::new(3, 930);
        fill(&mut cluster, 0, 100);
        cluster.cut_off(2);
        for _ in 0..3 {
            assert_eq!(cluster.ask(0, &[b"FLUSHALL"]), Reply::OK);
        }
        assert_eq!(cluster.ask(0, &[b"SET", b"key5", b"new"]), Reply::OK);
        assert_eq!(epochs(&cluster), [3, 3, 0]);
        if restarts {
            cluster.restart_after(2, |_| {});
        } else {
            cluster.heal();
        }
        assert_eq!(cluster.ask(2, &[b"GET", b"key5"]), bulk("new"));
        assert_eq!(cluster.ask(2, &[b"GET", b"key6"]), Reply::Nil);
        assert_eq!(cluster.ask(2, &[b"DBSIZE"]), Reply::Int(1));
        assert_eq!(epochs(&cluster), [3, 3, 3]);
        // It was the only one that had some of it in its memory.
        cluster.cut_off(0);
        assert_eq!(cluster.ask(2, &[b"GET", b"key6"]), Reply::Nil);
    }
}

#[test]
fn two_cut_in_turn_leave_no_way_back() {
    for seed in 0..20 {
        let mut cluster = Cluster::new(3, 940 + seed);
        fill(&mut cluster, 0, 20);
        cluster.cut_off(2);
        assert_eq!(cluster.ask(0, &[b"FLUSHALL"]), Reply::OK);
        cluster.heal();
        cluster.cut_off(0);
        is_empty(&mut cluster, 2);
        is_empty(&mut cluster, 1);
    }
}

#[test]
fn without_a_majority_nothing_happens() {
    let mut cluster = Cluster::new(3, 960);
    fill(&mut cluster, 0, 20);
    cluster.loss = Box::new(|from, _, bytes| from != 0 && bytes[0] == FLUSH);
    let id = cluster.submit(0, &[b"FLUSHALL"], None, 300);
    let reply = cluster.wait(id);
    assert_eq!(
        reply,
        Reply::error("ERR timeout: not decided within the request deadline; nothing was written")
    );
    cluster.heal();
    assert_eq!((epochs(&cluster), cluster.ask(1, &[b"DBSIZE"])), (vec![0; 3], Reply::Int(20)));
}

/// One that nobody has heard of did not happen, whatever its client was told; one that somebody has heard of happens.
#[test]
fn one_that_was_begun_may_come_late() {
    for heard in [false, true] {
        let mut cluster = Cluster::new(3, 970);
        fill(&mut cluster, 0, 20);
        let mut said = 0;
        // The answers to the first question come, of the second only the question; and nobody says anything else.
        cluster.loss = Box::new(move |from, to, bytes| {
            said += usize::from(bytes[0] == FLUSH && from == 0);
            said > 2 && (from != 0 || !heard || to == 2)
        });
        let id = cluster.submit(0, &[b"FLUSHALL"], None, 300);
        assert!(uncertain(&cluster.wait(id)));
        assert_eq!(epochs(&cluster), [0, u32::from(heard), 0]);
        cluster.heal();
        let left = if heard { 0 } else { 20 };
        for host in [1, 0, 2] {
            assert_eq!(cluster.ask(host, &[b"DBSIZE"]), Reply::Int(left));
        }
    }
}

#[test]
fn lost_words_are_said_again() {
    for seed in 0..10 {
        let mut cluster = Cluster::new(if seed % 2 == 0 { 3 } else { 5 }, 980 + seed);
        fill(&mut cluster, 0, 20);
        let mut chance = cluster.rng.fork();
        cluster.loss = Box::new(move |_, _, bytes| bytes[0] == FLUSH && chance.below(3) == 0);
        assert_eq!(cluster.ask(0, &[b"FLUSHALL"]), Reply::OK);
        is_empty(&mut cluster, 1);
    }
}

/// Writes that meet a flush are done before it, or after it, or nobody knows: what is read later tells the same.
#[test]
fn writes_under_way_are_before_or_after() {
    let (mut before, mut after, mut doubted) = (0, 0, 0);
    for seed in 0..60 {
        let mut cluster = Cluster::new(3, 1_000 + seed);
        fill(&mut cluster, 0, 30);
        let values: Vec<Vec<u8>> = (0..30).map(|nth| format!("new{nth}").into_bytes()).collect();
        let keys = super::names(30);
        let flush_at = seed % 30;
        let mut ids = Vec::new();
        let mut flush = None;
        for (nth, (key, value)) in keys.iter().zip(&values).enumerate() {
            if nth as u64 == flush_at {
                flush = Some(cluster.submit(1, &[b"FLUSHALL"], None, 20_000));
            }
            ids.push(cluster.submit(nth % 3, &[b"SET", key, value], None, 20_000));
            cluster.run_while_below(cluster.now + 40_000);
        }
        assert_eq!(cluster.wait(flush.expect("it was asked for")), Reply::OK);
        for ((id, key), value) in ids.into_iter().zip(&keys).zip(&values) {
            let told = cluster.wait(id);
            let found = cluster.ask(seed as usize % 3, &[b"GET", key]);
            assert!(found == Reply::Nil || found == Reply::Bulk(value.clone()), "{found:?}");
            assert!(told == Reply::OK || uncertain(&told), "{told:?}");
            doubted += usize::from(uncertain(&told));
            before += usize::from(found == Reply::Nil);
            after += usize::from(found != Reply::Nil);
        }
    }
    assert!(before > 100 && after > 100 && doubted > 0, "{before} before, {after} after, {doubted} doubted");
}

#[test]
fn a_numbered_request_that_comes_again_is_uncertain_and_not_done() {
    let mut cluster = Cluster::new(3, 1_100);
    let numbered = |seq| {
        let command = Command::parse(&[b"INCR", b"counter"], &Limits::default()).expect("a command");
        command.numbered(&Numbered { client: (*b"me").into(), seq }).expect("a write")
    };
    assert_eq!(cluster.ask_command(0, numbered(1)), Reply::Int(1));
    assert_eq!(cluster.ask_command(1, numbered(1)), Reply::Int(1), "done once");
    assert_eq!(cluster.ask(2, &[b"FLUSHALL"]), Reply::OK);
    for host in 0..3 {
        assert!(uncertain(&cluster.ask_command(host, numbered(1))));
    }
    assert_eq!(cluster.ask(0, &[b"GET", b"counter"]), Reply::Nil);
    assert_eq!(cluster.ask_command(2, numbered(2)), Reply::Int(1));
    assert!(uncertain(&cluster.ask_command(0, numbered(1))), "still");
    assert_eq!(cluster.ask_command(0, numbered(2)), Reply::Int(1));
}

/// A claim of before is none: whoever had it decides nothing, and nobody waits for it.
#[test]
fn claims_and_decisions_of_before_are_void() {
    for lost in [1, 2, 3, 5, 8] {
        let mut cluster = Cluster::new(3, 1_200 + lost);
        cluster.ask(0, &[b"SET", b"{t}a", b"1"]);
        cluster.ask(0, &[b"SET", b"{t}b", b"2"]);
        let rename = || {
            let mut queue = Queue::default();
            for args in [[&b"APPEND"[..], b"{t}a", b"x"], [b"APPEND", b"{t}b", b"x"]] {
                assert!(queue.push(Command::parse(&args, &Limits::default()).expect("a command")));
            }
            queue.exec(&[]).expect("two keys")
        };
        // Its host falls silent somewhere in the middle.
        let mut accepts = 0;
        cluster.loss = Box::new(move |from, to, bytes| {
            accepts += u64::from(from == 0 && bytes[0] == ACCEPT);
            accepts > 2 * lost && (from == 0 || to == 0)
        });
        cluster.with_turn(0, |shard, turn| {
            shard.submit(
                turn,
                shard::Request {
                    id: shard::RequestId(1_000_000),
                    command: rename(),
                    deadline: turn.clock.now + 300 * MS,
                    scope: None,
                },
            );
        });
        cluster.pass(400);
        cluster.cut_off(0);
        assert_eq!(cluster.ask(1, &[b"FLUSHALL"]), Reply::OK);
        let at = cluster.now;
        assert_eq!(cluster.ask(1, &[b"GET", b"{t}a"]), Reply::Nil, "after {lost}");
        assert_eq!(cluster.ask(2, &[b"APPEND", b"{t}b", b"y"]), Reply::Int(1));
        assert!(cluster.now - at < 100 * MS, "nobody waited for a claim");
        cluster.heal();
        cluster.pass(3_000);
        for host in 0..3 {
            assert_eq!(cluster.ask(host, &[b"GET", b"{t}a"]), Reply::Nil);
            assert_eq!(cluster.ask(host, &[b"GET", b"{t}b"]), bulk("y"));
        }
    }
}

#[test]
fn a_learner_hears_of_it_and_counts_for_nothing() {
    let mut cluster = Cluster::new(3, 1_300);
    cluster.repair = true;
    fill(&mut cluster, 0, 50);
    cluster.lose_data(2, true);
    cluster.cut_off(1);
    assert!(cluster.ask(0, &[b"FLUSHALL"]).is_error(), "a learner makes no majority");
    cluster.heal();
    assert_eq!(cluster.ask(0, &[b"FLUSHALL"]), Reply::OK);
    assert!(cluster.ask(2, &[b"FLUSHALL"]).is_error() || !cluster.hosts[2].shard.is_learner());
    cluster.run_while(|cluster| cluster.hosts[2].shard.is_learner());
    let epoch = cluster.hosts[0].shard.flush_epoch();
    assert_eq!(epochs(&cluster), [epoch; 3]);
    cluster.cut_off(0);
    is_empty(&mut cluster, 2);
    cluster.restart_after(2, |_| {});
    is_empty(&mut cluster, 2);
}

/// A flush that has left, and whose answers the config epoch voids, may have happened: whoever asked for it is not told that nothing was
/// written.
#[test]
fn one_begun_before_a_config_epoch_is_uncertain() {
    let mut cluster = Cluster::new(3, 1_400);
    fill(&mut cluster, 0, 20);
    cluster.lose_data(2, true);
    let mut told = 0;
    // The answer to the first question comes from 1, and of flushes nothing else comes.
    cluster.loss = Box::new(move |from, to, bytes| {
        told += usize::from(bytes[0] == FLUSH && from == 1 && to == 0);
        from == 1 && to == 0 && (bytes[0] != FLUSH || told > 1) || from == 2 && to == 0 && bytes[0] == FLUSH
    });
    let id = cluster.submit(0, &[b"FLUSHALL"], None, 3_000);
    cluster.pass(100);
    assert_eq!(epochs(&cluster)[..2], [0, 1], "it is begun, and 0 does not know");
    let before = cluster.hosts[0].shard.epoch();
    cluster.repair = true;
    let reply = cluster.wait(id);
    assert!(cluster.hosts[0].shard.epoch() > before, "the host that lost its data is a voter again");
    cluster.heal();
    assert_eq!((uncertain(&reply), cluster.ask(0, &[b"DBSIZE"])), (true, Reply::Int(0)), "{reply:?}");
}

/// The same where the core fails instead.
#[test]
fn one_begun_before_the_core_fails_is_uncertain() {
    for begun in [false, true] {
        let mut cluster = Cluster::new(3, 1_401);
        let mut told = 0;
        cluster.loss = Box::new(move |from, to, bytes| {
            let answers = bytes[0] == FLUSH && to == 0;
            told += usize::from(answers && from == 1);
            answers && !(begun && from == 1 && told == 1)
        });
        let id = cluster.submit(0, &[b"FLUSHALL"], None, 60_000);
        cluster.pass(5);
        for nth in 1..=4 {
            cluster.hosts[0].disk.fail_nth(nth, Fault::Io);
        }
        cluster.submit(0, &[b"SET", b"a", b"b"], None, 60_000);
        cluster.run_while(|cluster| cluster.hosts[0].shard.fault().is_none());
        let reply = cluster.wait(id);
        assert_eq!(uncertain(&reply), begun, "{reply:?}");
    }
}

/// What a flush finds under way begins anew, and has met no rival: it waits no longer after the tenth than after the first.
#[test]
fn a_flush_is_no_rival() {
    for seed in 0..20 {
        let mut cluster = Cluster::new(3, 1_420 + seed);
        fill(&mut cluster, 1, 20);
        // Its questions find nobody, but for those of the last epoch.
        let is_before = |bytes: &[u8]| PeerMessage::decode(bytes).is_ok_and(|(sender, _)| sender.flush < 10);
        cluster.loss = Box::new(move |from, _, bytes| (from, bytes[0]) == (0, PREPARE) && is_before(bytes));
        let id = cluster.submit(0, &[b"SET", b"key1", b"new"], None, 20_000);
        for epoch in 1..=10 {
            cluster.submit(1, &[b"FLUSHALL"], None, 20_000);
            cluster.run_while(|cluster| epochs(cluster) != [epoch; 3]);
        }
        let from = cluster.now;
        assert_eq!(cluster.wait(id), Reply::OK);
        let took = cluster.now - from;
        assert!(took < 5 * MS, "seed {seed}: {took} ns after the last");
    }
}

/// Reads that wait for a Confirm when an epoch begins are asked once more, not twice.
#[test]
fn reads_begin_anew_once() {
    let mut cluster = abreast::cluster(3, 1_450);
    let keys = abreast::keys_of(&cluster, 0, 50);
    abreast::write(&mut cluster, 0, &keys, b"value");
    cluster.pass(50);
    let ids: Vec<u64> = keys.iter().map(|key| cluster.submit(0, &[b"GET", key], None, 20_000)).collect();
    let metrics = |cluster: &Cluster| *cluster.hosts[0].shard.metrics();
    let raise = super::messages::raise(cluster.hosts[1].shard.incarnation(), 1);
    cluster.with_turn(0, |shard, turn| shard.on_message(turn, 1, &raise));
    for id in ids {
        assert_eq!(cluster.wait(id), Reply::Nil);
    }
    assert_eq!(metrics(&cluster).flush_voided, 0);
}

/// What the engines do beside: segments are merged and made.
fn upkeep(cluster: &mut Cluster, hosts: &[usize], rounds: usize) {
    for _ in 0..rounds {
        for host in hosts {
            for _ in 0..20 {
                cluster.with_turn(*host, |shard, turn| {
                    if shard.background_wanted() {
                        shard.background(turn, 1 << 20);
                        shard.end_turn(turn);
                    }
                });
            }
        }
        cluster.pass(100);
    }
}

fn live_bytes(cluster: &Cluster) -> Vec<u64> {
    cluster.hosts.iter().map(|host| host.shard.store_stats().live_bytes).collect()
}

fn records(cluster: &Cluster) -> Vec<u64> {
    cluster.hosts.iter().map(|host| host.shard.store_stats().entries).collect()
}

/// While a host is away nothing is dropped: what was flushed gives its space back nevertheless, and its tombstones go later.
#[test]
fn the_space_comes_back_while_a_host_is_away() {
    let mut cluster = Cluster::new(3, 1_500);
    cluster.spread();
    cluster.repair = true;
    let names = super::names(200);
    let value = vec![b'v'; 20_000];
    let set = |key: &Vec<u8>| vec![b"SET".to_vec(), key.clone(), value.clone()];
    for (nth, key) in names.iter().enumerate() {
        if nth == 20 {
            cluster.cut_off(2);
            cluster.routes = vec![0, 1];
            (0..2).for_each(|host| cluster.hosts[host].shard.set_routes(vec![0, 1]));
        }
        let command = set(key);
        let args: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
        assert_eq!(cluster.ask(nth % 2, &args), Reply::OK);
    }
    assert_eq!(cluster.ask(0, &[b"FLUSHALL"]), Reply::OK);
    assert_eq!(cluster.ask(1, &[b"SET", b"key0", &value]), Reply::OK);
    assert!(live_bytes(&cluster)[..2].iter().all(|bytes| *bytes > 3_000_000), "{:?}", live_bytes(&cluster));
    let from = cluster.now;
    while live_bytes(&cluster)[..2].iter().any(|bytes| *bytes > 100_000) {
        assert!(cluster.now - from < 60_000 * MS, "{:?} after a minute", live_bytes(&cluster));
        upkeep(&mut cluster, &[0, 1], 1);
    }
    assert_eq!(records(&cluster), [200, 200, 20], "tombstones, but for one");
    for host in 0..2 {
        assert_eq!(cluster.ask(host, &[b"GET", b"key0"]), Reply::Bulk(value.clone()));
        assert_eq!(cluster.ask(host, &[b"DBSIZE"]), Reply::Int(1));
    }
    let emptied: u64 = cluster.hosts.iter().map(|host| host.shard.metrics().flush_emptied).sum();
    assert!((199..400).contains(&emptied), "each once, but for what was in the way: {emptied}");
    cluster.heal();
    cluster.spread();
    let from = cluster.now;
    while records(&cluster) != [1; 3] {
        assert!(cluster.now - from < 60_000 * MS, "{:?} after a minute", records(&cluster));
        cluster.pass(100);
    }
    assert_eq!(cluster.ask(2, &[b"GET", b"key0"]), Reply::Bulk(value));
}

/// A host whose disk is full lacks values that the others have. Then all is flushed: it copies none of them, and keeps none from being dropped.
#[test]
fn a_full_host_that_lacks_flushed_values_keeps_nothing_from_going() {
    let mut cluster = Cluster::new(3, 1_600);
    cluster.spread();
    cluster.repair = true;
    cluster.hosts[2].disk.set_capacity(8 << 20);
    let names = super::names(450);
    let value = vec![b'v'; 20_000];
    for key in &names {
        assert_eq!(cluster.ask(0, &[b"SET", key, &value]), Reply::OK);
    }
    upkeep(&mut cluster, &[0, 1, 2], 20);
    let full = &cluster.hosts[2].shard;
    assert!(full.is_full() && full.store_stats().entries < 400, "{:?}", records(&cluster));
    let before = cluster.hosts[2].shard.repair_progress().copied;
    assert_eq!(cluster.ask(0, &[b"FLUSHALL"]), Reply::OK);
    let from = cluster.now;
    while records(&cluster) != [0; 3] || cluster.hosts[2].shard.is_full() {
        assert!(cluster.now - from < 120_000 * MS, "{:?} after two minutes", records(&cluster));
        upkeep(&mut cluster, &[0, 1, 2], 1);
    }
    let copied = cluster.hosts[2].shard.repair_progress().copied - before;
    assert!(copied <= 450, "{copied} copies of 450 keys");
    assert_eq!(cluster.ask(2, &[b"SET", b"key1", &value]), Reply::OK);
}

/// A host that has no others drops no tombstones; what was flushed gives its space back there too, on a full disk as well.
#[test]
fn the_space_of_a_host_alone_comes_back() {
    let mut cluster = Cluster::new(1, 1_700);
    cluster.repair = true;
    cluster.hosts[0].disk.set_capacity(8 << 20);
    let value = vec![b'v'; 20_000];
    for key in super::names(450) {
        if cluster.ask(0, &[b"SET", &key, &value]) != Reply::OK {
            break;
        }
    }
    upkeep(&mut cluster, &[0], 20);
    assert!(cluster.hosts[0].shard.is_full() && records(&cluster)[0] > 100, "{:?}", records(&cluster));
    assert_eq!(cluster.ask(0, &[b"FLUSHALL"]), Reply::OK);
    let from = cluster.now;
    while live_bytes(&cluster)[0] > 100_000 || cluster.hosts[0].shard.is_full() {
        assert!(cluster.now - from < 60_000 * MS, "{:?} after a minute", live_bytes(&cluster));
        upkeep(&mut cluster, &[0], 1);
    }
    assert_eq!(cluster.ask(0, &[b"SET", b"key1", &value]), Reply::OK);
    cluster.restart_all();
    assert_eq!(cluster.ask(0, &[b"DBSIZE"]), Reply::Int(1));
    assert_eq!(cluster.ask(0, &[b"GET", b"key1"]), Reply::Bulk(value));
}
