//! Lost messages, hosts that go away, full queues, a failing disk.

use reactor::sim::Fault;
use shard::reply::Reply;

use super::cluster::{Cluster, FLUSH, MS, SLOT_ANSWER, SLOT_QUERY};
use super::{check, delete, name, set, Keys};

fn text(reply: &Reply) -> &str {
    match reply {
        Reply::Error(text) => text,
        other => panic!("an error, not {other:?}"),
    }
}

/// Three hosts, each of which missed some of the keys, and the keys.
fn different(seed: u64) -> (Cluster, Keys) {
    let mut cluster = Cluster::new(3, seed);
    let mut want = Keys::new();
    for away in 0..3 {
        cluster.cut_off(away);
        let keys = name(&format!("{away}-"), 0..60);
        set(&mut cluster, (away + 1) % 3, &keys);
        want.extend(keys);
        cluster.heal();
    }
    (cluster, want)
}

#[test]
fn lost_questions_and_answers_are_repeated() {
    for seed in 0..4 {
        let (mut cluster, want) = different(300 + seed);
        let mut chance = cluster.rng.fork();
        cluster.loss = Box::new(move |_, _, bytes| bytes[0] >= SLOT_QUERY && chance.below(10) < 4);
        for host in 0..3 {
            assert_eq!(cluster.ask(host, &[b"DBSIZE"]), Reply::Int(180), "seed {seed}, host {host}");
            assert_eq!(super::all_keys(&mut cluster, host), want, "seed {seed}, host {host}");
        }
        let resends: u64 = cluster.hosts.iter().map(|host| host.shard.metrics().resends).sum();
        assert!(resends > 0, "something was lost");
    }
}

#[test]
fn without_a_majority_the_answer_says_so_at_once() {
    let (mut cluster, _) = different(310);
    cluster.cut_off(0);
    let at = cluster.now;
    for command in [&[&b"DBSIZE"[..]][..], &[b"KEYS", b"*"], &[b"SCAN", b"0"], &[b"RANDOMKEY"]] {
        let reply = cluster.ask(0, command);
        assert_eq!(text(&reply), "ERR no quorum: 1 of 3 hosts answers; cannot confirm the newest value");
    }
    let reply = cluster.ask(0, &[b"FLUSHALL"]);
    assert_eq!(text(&reply), "ERR no quorum: 1 of 3 hosts answers; nothing was written");
    assert!(cluster.now < at + 10 * MS, "nobody waited");
}

#[test]
fn silent_peers_are_noticed_at_the_deadline() {
    let (mut cluster, _) = different(311);
    cluster.loss = Box::new(|_, _, bytes| bytes[0] == SLOT_ANSWER);
    let at = cluster.now;
    let reply = cluster.submit(0, &[b"DBSIZE"], None, 300);
    let reply = cluster.wait(reply);
    assert_eq!(text(&reply), "ERR no quorum: 1 of 3 hosts answers; cannot confirm the newest value");
    let took = cluster.now - at;
    assert!((300 * MS..310 * MS).contains(&took), "{took}");
    // One is enough for a majority.
    cluster.loss = Box::new(|from, _, bytes| bytes[0] == SLOT_ANSWER && from == 1);
    assert_eq!(cluster.ask(0, &[b"DBSIZE"]), Reply::Int(180));
}

#[test]
fn peers_that_go_away_in_the_middle() {
    for gone_after in 1..12 {
        let (mut cluster, want) = different(320 + gone_after);
        // One peer falls silent after some answers; later its link is known to be down, or not at all.
        let mut answers = 0;
        cluster.loss = Box::new(move |from, _, bytes| {
            answers += u64::from(bytes[0] == SLOT_ANSWER);
            from == 1 && answers > gone_after
        });
        let id = cluster.submit(0, &[b"KEYS", b"*"], None, 5000);
        if gone_after % 2 == 0 {
            cluster.pass(3);
            cluster.link(0, 1, false);
        }
        let keys = super::distinct(super::keys_of(cluster.wait(id)));
        assert_eq!(keys, want, "gone after {gone_after}");
    }
}

/// A slot is partly counted by merging when its lister goes away, and is equal to another replica's then: what was counted
/// is not counted again.
#[test]
fn a_slot_is_counted_once() {
    const LIST: u8 = 2;
    let mut cluster = Cluster::new(3, 339);
    set(&mut cluster, 0, &name("{tag}", 0..4200));
    cluster.cut_off(1);
    set(&mut cluster, 0, &name("{tag}", 4200..4201));
    cluster.heal();
    let mut lists = 0;
    cluster.loss = Box::new(move |from, _, bytes| {
        let answer = bytes[0] == SLOT_ANSWER;
        lists += u64::from(answer && bytes[22] == LIST);
        answer && (from == 2 || lists > 1)
    });
    let id = cluster.submit(0, &[b"DBSIZE"], None, 5000);
    cluster.pass(70);
    assert!(cluster.reply(id).is_none(), "half of the slot is listed");
    cluster.loss = Box::new(|from, _, _| from == 1);
    cluster.link(0, 1, false);
    assert_eq!(cluster.wait(id), Reply::Int(4201));
    assert_eq!(cluster.hosts[0].shard.metrics().survey_restarts, 1);
}

#[test]
fn a_survey_ends_when_the_majority_does() {
    let (mut cluster, _) = different(340);
    cluster.loss = Box::new(|_, _, bytes| bytes[0] == SLOT_ANSWER);
    let ids: Vec<u64> = (0..100).map(|_| cluster.submit(0, &[b"DBSIZE"], None, 60_000)).collect();
    cluster.pass(20);
    let at = cluster.now;
    cluster.cut_off(0);
    for id in ids {
        let reply = cluster.wait(id);
        assert!(text(&reply).starts_with("ERR no quorum: 1 of 3"), "{reply:?}");
    }
    assert!(cluster.now < at + 5 * MS);
}

#[test]
fn many_surveys_wait_and_too_many_are_refused() {
    let (mut cluster, _) = different(341);
    let places = shard::limits::SURVEYS_MAX + shard::limits::SURVEYS_WAITING_MAX;
    let ids: Vec<u64> = (0..places + 3).map(|_| cluster.submit(0, &[b"DBSIZE"], None, 60_000)).collect();
    let replies: Vec<Reply> = ids.into_iter().map(|id| cluster.wait(id)).collect();
    let answered = replies.iter().filter(|reply| **reply == Reply::Int(180)).count();
    let refused = replies.iter().filter(|reply| reply.is_error()).count();
    assert_eq!((answered, refused), (places, 3));
    assert!(text(&replies[places]).starts_with("ERR busy"));
}

#[test]
fn a_sweep_that_is_stopped_says_so() {
    let (mut cluster, want) = different(342);
    cluster.loss = Box::new(|_, _, bytes| bytes[0] == FLUSH);
    let id = cluster.submit(0, &[b"FLUSHALL"], None, 400);
    let reply = cluster.wait(id);
    assert_eq!(text(&reply), "ERR timeout: not decided within the request deadline; nothing was written");
    check(&mut cluster, 0, &want);
    cluster.heal();
    cluster.pass(1000);
    assert_eq!(cluster.ask(1, &[b"FLUSHALL"]), Reply::OK);
    check(&mut cluster, 2, &Keys::new());
    set(&mut cluster, 0, &want.iter().cloned().collect::<Vec<_>>());
    check(&mut cluster, 1, &want);
}

#[test]
fn long_keys_come_in_several_answers() {
    let mut cluster = Cluster::new(3, 343);
    set(&mut cluster, 1, &name("{tag}", 0..3));
    cluster.cut_off(0);
    let long: Vec<Vec<u8>> =
        (0..40_u8).map(|number| [b"{tag}".to_vec(), vec![number; 60_000]].concat()).collect();
    set(&mut cluster, 1, &long);
    cluster.heal();
    let mut want: Keys = long.into_iter().collect();
    want.extend(name("{tag}", 0..3));
    check(&mut cluster, 0, &want);
    let answers =
        cluster.hosts[1].shard.metrics().survey_answers + cluster.hosts[2].shard.metrics().survey_answers;
    assert!(answers > 3, "{answers} answers");
    assert!(cluster.longest < 1 << 20, "{}", cluster.longest);
    delete(&mut cluster, 2, &want.iter().cloned().collect::<Vec<_>>());
    check(&mut cluster, 0, &Keys::new());
}

#[test]
fn a_failing_disk_answers_every_survey() {
    let (mut cluster, _) = different(344);
    cluster.loss = Box::new(|_, _, bytes| [SLOT_ANSWER, FLUSH].contains(&bytes[0]));
    let waiting: Vec<u64> = (0..40).map(|_| cluster.submit(0, &[b"DBSIZE"], None, 60_000)).collect();
    let flush = cluster.submit(0, &[b"FLUSHALL"], None, 60_000);
    cluster.pass(5);
    for nth in 1..=4 {
        cluster.hosts[0].disk.fail_nth(nth, Fault::Io);
    }
    let write = cluster.submit(0, &[b"SET", b"a", b"b"], None, 60_000);
    cluster.run_while(|cluster| cluster.hosts[0].shard.fault().is_none());
    for id in waiting.into_iter().chain([write, flush]) {
        let reply = cluster.wait(id);
        assert!(text(&reply).contains("storage") || text(&reply).starts_with("UNCERTAIN"), "{reply:?}");
    }
    let late = cluster.ask(0, &[b"DBSIZE"]);
    assert!(text(&late).contains("storage"));
}
