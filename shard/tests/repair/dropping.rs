//! Tombstones that nobody needs go, on all hosts, and stay gone.

use std::cell::RefCell;
use std::rc::Rc;

use bitcask::Fingerprint;
use shard::command::{Command, Limits, Numbered};
use shard::limits::REQUESTS_KEPT_MS;
use shard::record::{CommandId, Record};
use shard::reply::Reply;
use shard::slot::slot;
use shard::wire::{PeerMessage, RepairAnswer, RepairAsk, RepairAsked, RepairSaid, Sender, Wanted, Watermark};

use super::{cluster, keys, set};
use crate::keyspace::cluster::{Cluster, ACCEPT, HELLO, MS, REPAIR_ANSWER, REPAIR_ASK};

/// Type of a Forward, as in docs/formats/peer-message.md.
const FORWARD: u8 = 16;

fn delete(cluster: &mut Cluster, host: usize, keys: &[Vec<u8>]) {
    let commands: Vec<Vec<&[u8]>> = keys.iter().map(|key| vec![&b"DEL"[..], key]).collect();
    for chunk in commands.chunks(200) {
        for reply in cluster.ask_all(host, chunk) {
            assert_eq!(reply, Reply::Int(1));
        }
    }
}

/// Records, tombstones included, of each host.
fn records(cluster: &Cluster) -> Vec<u64> {
    cluster.hosts.iter().map(|host| host.shard.store_stats().entries).collect()
}

fn dropped(cluster: &Cluster) -> Vec<u64> {
    cluster.hosts.iter().map(|host| host.shard.metrics().tombstones_dropped).collect()
}

/// Lets time pass until all hosts hold so many records.
fn until(cluster: &mut Cluster, wanted: u64, within_ms: u64) {
    let from = cluster.now;
    while records(cluster).iter().any(|count| *count != wanted) {
        assert!(cluster.now < from + within_ms * MS, "{:?} after {within_ms} ms", records(cluster));
        cluster.pass(20);
    }
}

/// What of a message of repair is asked.
fn asked(bytes: &[u8]) -> Option<RepairAsked> {
    match PeerMessage::decode(bytes) {
        Ok((_, PeerMessage::RepairAsk(ask))) => Some(ask.asked),
        _ => None,
    }
}

fn is_consent(bytes: &[u8]) -> bool {
    matches!(asked(bytes), Some(RepairAsked::Consent { .. }))
}

fn is_drop(bytes: &[u8]) -> bool {
    matches!(asked(bytes), Some(RepairAsked::Drop { .. }))
}

#[test]
fn a_tombstone_that_remembers_a_numbered_request_stays() {
    let mut cluster = cluster(3, 60);
    set(&mut cluster, 0, &keys("k", 1), b"v");
    let request = Numbered { client: (*b"till").into(), seq: 1 };
    let delete = || {
        let command = Command::parse(&[b"DEL", b"k0"], &Limits::default()).expect("a command");
        command.numbered(&request).expect("a write")
    };
    assert_eq!(cluster.ask_command(0, delete()), Reply::Int(1));
    cluster.pass(60_000);
    assert_eq!(records(&cluster), [1; 3]);
    assert_eq!(cluster.ask_command(1, delete()), Reply::Int(1), "as the first time");
    cluster.pass(REQUESTS_KEPT_MS - 120_000);
    assert_eq!(records(&cluster), [1; 3]);
    cluster.pass(120_000);
    until(&mut cluster, 0, 20_000);
}

#[test]
fn deleted_keys_give_their_memory_back_on_all_hosts() {
    const KEYS: usize = 24_000;
    let mut cluster = Cluster::new(3, 40);
    let names = keys("k", KEYS);
    set(&mut cluster, 0, &names, b"v");
    delete(&mut cluster, 1, &names);
    set(&mut cluster, 2, &keys("kept", 10), b"v");
    cluster.pass(100);
    assert_eq!(records(&cluster), [KEYS as u64 + 10; 3]);
    let bytes = |cluster: &Cluster| -> Vec<u64> {
        cluster.hosts.iter().map(|host| host.shard.directory_bytes()).collect()
    };
    let before = bytes(&cluster);
    cluster.repair = true;
    until(&mut cluster, 10, 60_000);
    let after = bytes(&cluster);
    for (before, after) in before.iter().zip(&after) {
        assert!(*after * 2 < *before, "{before} bytes before, {after} after");
    }
    assert!(dropped(&cluster).iter().all(|count| *count == KEYS as u64), "{:?}", dropped(&cluster));
    for host in 0..3 {
        assert_eq!(cluster.ask(host, &[b"DBSIZE"]), Reply::Int(10));
        assert_eq!(cluster.ask(host, &[b"GET", &names[77]]), Reply::Nil);
    }
    // The logs bring nothing back.
    cluster.restart_all();
    cluster.pass(5_000);
    assert_eq!(records(&cluster), [10; 3]);
    assert_eq!(cluster.ask(0, &[b"DBSIZE"]), Reply::Int(10));
    assert!(cluster.is_level());
    // And the keys can be used again.
    set(&mut cluster, 1, &names[..50], b"again");
    assert_eq!(cluster.ask(2, &[b"GET", &names[7]]), Reply::Bulk(b"again".to_vec()));
}

#[test]
fn five_hosts_drop_and_then_say_little() {
    let mut cluster = cluster(5, 41);
    let names = keys("k", 300);
    set(&mut cluster, 0, &names, b"v");
    delete(&mut cluster, 0, &names);
    until(&mut cluster, 0, 30_000);
    cluster.pass(3_000);
    cluster.types.clear();
    cluster.pass(20_000);
    let sent: u64 = cluster.types.values().sum();
    assert!(sent <= 5 * 4 * 9 * 25, "{:?}", cluster.types);
    let known = [HELLO, REPAIR_ASK, REPAIR_ANSWER];
    assert!(cluster.types.keys().all(|kind| known.contains(kind)), "{:?}", cluster.types);
}

#[test]
fn nothing_is_dropped_while_a_member_is_away() {
    let mut cluster = cluster(3, 42);
    let names = keys("k", 100);
    set(&mut cluster, 0, &names, b"v");
    cluster.pass(100);
    cluster.cut_off(2);
    delete(&mut cluster, 0, &names);
    cluster.types.clear();
    cluster.pass(20_000);
    assert_eq!((records(&cluster), dropped(&cluster)), (vec![100; 3], vec![0; 3]));
    cluster.heal();
    until(&mut cluster, 0, 30_000);
    assert_eq!(cluster.ask(2, &[b"GET", &names[3]]), Reply::Nil);
}

#[test]
fn a_learner_is_waited_for() {
    let mut cluster = cluster(3, 43);
    let names = keys("k", 60);
    set(&mut cluster, 0, &names, b"v");
    delete(&mut cluster, 0, &names);
    cluster.lose_data(2, true);
    assert_eq!(dropped(&cluster), [0, 0, 0]);
    until(&mut cluster, 0, 60_000);
    assert!(!cluster.hosts[2].shard.is_learner());
}

/// What one host did not hear goes in its own turn: the others have nothing left to agree to but that.
#[test]
fn a_word_that_was_lost_is_made_up_for() {
    let mut cluster = cluster(3, 44);
    let names = keys("k", 200);
    set(&mut cluster, 0, &names, b"v");
    delete(&mut cluster, 0, &names);
    cluster.loss = Box::new(|_, to, bytes| to == 2 && is_drop(bytes));
    let from = cluster.now;
    while records(&cluster)[..2] != [0, 0] || records(&cluster)[2] == 0 {
        assert!(cluster.now < from + 60_000 * MS, "{:?}", records(&cluster));
        cluster.pass(5);
        if records(&cluster)[2] == 0 {
            break;
        }
    }
    until(&mut cluster, 0, 60_000);
    cluster.pass(10_000);
    assert!(cluster.is_level());
    assert!(cluster.hosts.iter().all(|host| host.shard.repair_progress().level));
}

/// Records every message that passes, and gives those that `which` names to their receivers once more.
fn replay(cluster: &mut Cluster, kept: &[(usize, usize, Vec<u8>)]) {
    for (from, to, bytes) in kept {
        cluster.with_turn(*to, |shard, turn| shard.on_message(turn, *from as u8, bytes));
    }
    cluster.pass(200);
}

#[test]
fn old_messages_about_a_dropped_key_have_no_effect() {
    for (seed, restart) in [(45, false), (46, true), (47, false)] {
        let mut cluster = cluster(3, seed);
        // Commands that come in by host 1 travel to host 0.
        for host in 0..3 {
            cluster.hosts[host].shard.set_routes(vec![0]);
        }
        cluster.pass(50);
        let kept = Rc::new(RefCell::new(Vec::new()));
        let keep = kept.clone();
        cluster.loss = Box::new(move |from, to, bytes| {
            if [ACCEPT, FORWARD].contains(&bytes[0]) || is_drop(bytes) {
                keep.borrow_mut().push((from, to, bytes.to_vec()));
            }
            false
        });
        let names = keys("k", 40);
        set(&mut cluster, 1, &names, b"v");
        delete(&mut cluster, 1, &names);
        until(&mut cluster, 0, 30_000);
        if restart {
            cluster.restart_after(0, |_| {});
        }
        cluster.loss = Box::new(|_, _, _| false);
        let kept = kept.borrow().clone();
        let forwards = kept.iter().filter(|(_, _, bytes)| bytes[0] == FORWARD).count();
        assert!(forwards >= 40, "{forwards} commands travelled");
        replay(&mut cluster, &kept);
        assert_eq!(records(&cluster), [0; 3], "seed {seed}");
        for host in 0..3 {
            assert_eq!(cluster.ask(host, &[b"DBSIZE"]), Reply::Int(0), "seed {seed}");
            assert_eq!(cluster.ask(host, &[b"GET", &names[5]]), Reply::Nil, "seed {seed}");
        }
        // A word to drop that comes late does no harm to what came after it.
        set(&mut cluster, 1, &names, b"new");
        replay(&mut cluster, &kept);
        assert_eq!(cluster.ask(1, &[b"DBSIZE"]), Reply::Int(40), "seed {seed}");
        assert_eq!(cluster.ask(2, &[b"GET", &names[5]]), Reply::Bulk(b"new".to_vec()), "seed {seed}");
    }
}

/// A host's machine fails at any moment of dropping: whatever it comes back with, all become equal and nothing comes back.
#[test]
fn a_host_that_dies_at_any_step_comes_back_to_the_same() {
    for step in 0..40 {
        let mut cluster = cluster(3, 60 + step);
        let names = keys("k", 30);
        set(&mut cluster, 0, &names, b"v");
        delete(&mut cluster, 0, &names);
        let host = (step % 3) as usize;
        // From the first word that passes on, some tens of microseconds per step.
        let from = cluster.now;
        while cluster.hosts.iter().all(|host| host.shard.metrics().tombstones_dropped == 0) {
            assert!(cluster.now < from + 30_000 * MS, "nothing is dropped");
            cluster.run_while_below(cluster.now + MS / 20);
        }
        cluster.run_while_below(cluster.now + step * MS / 40);
        cluster.restart_after(host, |_| {});
        set(&mut cluster, 1, &names[..10], b"new");
        until(&mut cluster, 10, 60_000);
        cluster.pass(3_000);
        assert!(cluster.is_level(), "step {step}");
        for host in 0..3 {
            assert_eq!(cluster.ask(host, &[b"DBSIZE"]), Reply::Int(10), "step {step}");
            assert_eq!(cluster.ask(host, &[b"GET", &names[20]]), Reply::Nil, "step {step}");
            assert_eq!(cluster.ask(host, &[b"GET", &names[2]]), Reply::Bulk(b"new".to_vec()), "step {step}");
        }
    }
}

/// Keys are set and deleted all the time while tombstones go.
#[test]
fn clients_see_nothing_of_it() {
    let mut cluster = cluster(3, 48);
    let names = keys("k", 40);
    for round in 0..120 {
        let host = round % 3;
        set(&mut cluster, host, &names, b"v");
        cluster.pass(cluster_pause(round));
        delete(&mut cluster, (host + 1) % 3, &names);
        cluster.pass(cluster_pause(round + 1));
        assert_eq!(cluster.ask((host + 2) % 3, &[b"DBSIZE"]), Reply::Int(0));
        assert_eq!(cluster.ask(host, &[b"GET", &names[1]]), Reply::Nil);
    }
    until(&mut cluster, 0, 60_000);
    assert!(dropped(&cluster).iter().all(|count| *count > 400), "{:?}", dropped(&cluster));
}

/// Between nothing and some seconds, in milliseconds.
fn cluster_pause(round: usize) -> u64 {
    [0, 1, 40, 900, 2_100][round * 7 % 5]
}

/// Asks a host something in the name of another one; the message that answers.
fn ask_host(cluster: &mut Cluster, (from, to): (usize, usize), asked: RepairAsked) -> Vec<u8> {
    let said = Rc::new(RefCell::new(None));
    let hears = said.clone();
    let (loss, repair) = (std::mem::replace(&mut cluster.loss, Box::new(|_, _, _| false)), cluster.repair);
    cluster.repair = true;
    cluster.loss = Box::new(move |_, _, bytes| {
        if bytes[0] == REPAIR_ANSWER {
            hears.borrow_mut().replace(bytes.to_vec());
        }
        true
    });
    let shard = &cluster.hosts[from].shard;
    let sender = Sender { epoch: shard.epoch(), incarnation: shard.incarnation(), flush: 0, catalog: 0 };
    let mut bytes = Vec::new();
    PeerMessage::RepairAsk(RepairAsk { id: 1 << 40, asked }).encode(sender, &mut bytes);
    cluster.with_turn(to, |shard, turn| shard.on_message(turn, from as u8, &bytes));
    // Some answers are read from disk first.
    for _ in 0..20 {
        if said.borrow().is_none() {
            cluster.run_while_below(cluster.now + MS / 10);
        }
    }
    (cluster.loss, cluster.repair) = (loss, repair);
    let answer = said.borrow_mut().take();
    answer.expect("the question is answered")
}

fn said(bytes: &[u8]) -> RepairSaid<'_> {
    match PeerMessage::decode(bytes) {
        Ok((_, PeerMessage::RepairAnswer(answer))) => answer.said,
        other => panic!("not an answer: {other:?}"),
    }
}

/// Which of the tombstones of a question a host agrees to.
fn consents(cluster: &mut Cluster, between: (usize, usize), asked: RepairAsked) -> Vec<u16> {
    match said(&ask_host(cluster, between, asked)) {
        RepairSaid::Consents(agreed) => agreed,
        other => panic!("no answer to that: {other:?}"),
    }
}

/// The question about the tombstone of a key, the only one of its slot.
fn question(cluster: &mut Cluster, key: &[u8], watermarks: Vec<Watermark>) -> RepairAsked {
    let slot = slot(key);
    let list = RepairAsked::List { slot, from: Fingerprint::MIN, max: 9 };
    let RepairSaid::Listed { entries, .. } = said(&ask_host(cluster, (1, 0), list)) else {
        panic!("no list")
    };
    assert!(entries.len() == 1 && entries[0].dead, "{entries:?}");
    RepairAsked::Consent { slot, watermarks, tombstones: vec![(entries[0].fingerprint, entries[0].ballot)] }
}

#[test]
fn who_agrees_has_nothing_under_way_and_nothing_to_take_over() {
    let mut cluster = Cluster::new(3, 49);
    let names = keys("k", 2);
    set(&mut cluster, 0, &names, b"v");
    delete(&mut cluster, 0, &names);
    cluster.pass(50);
    let asked = [question(&mut cluster, &names[0], vec![]), question(&mut cluster, &names[1], vec![])];
    // Before the first comparison it is not known whether there is something to take over.
    assert!(consents(&mut cluster, (0, 1), asked[0].clone()).is_empty());
    // They compare, and no word to drop passes.
    cluster.repair = true;
    cluster.loss = Box::new(|_, _, bytes| is_drop(bytes) || is_consent(bytes));
    cluster.pass(3_000);
    assert_eq!(consents(&mut cluster, (0, 1), asked[0].clone()), [0]);
    // A command of a client waits here for answers of the others.
    let write = cluster.submit(1, &[b"SET", &names[0], b"new"], None, 20_000);
    assert!(consents(&mut cluster, (0, 1), asked[0].clone()).is_empty());
    assert_eq!(cluster.wait(write), Reply::OK);
    cluster.pass(50);
    // There is a value now.
    assert!(consents(&mut cluster, (0, 1), asked[0].clone()).is_empty());
    // A survey goes over the slots.
    assert_eq!(consents(&mut cluster, (0, 1), asked[1].clone()), [0]);
    let size = cluster.submit(1, &[b"DBSIZE"], None, 20_000);
    assert!(consents(&mut cluster, (0, 1), asked[1].clone()).is_empty());
    assert_eq!(cluster.wait(size), Reply::Int(1));
    assert_eq!(consents(&mut cluster, (0, 1), asked[1].clone()), [0]);
    // A member that is gone may come back with something that is not here.
    cluster.link(1, 2, false);
    assert!(consents(&mut cluster, (0, 1), asked[1].clone()).is_empty());
}

/// Host 1's command to host 0 is late, so host 1 does it itself. All is settled, the key deleted and its tombstone about to go: by
/// then host 0 must know that the command is settled, whether it agrees or not.
#[test]
fn who_is_asked_knows_a_late_command_for_what_it_is() {
    let mut cluster = Cluster::new(3, 51);
    for host in 0..3 {
        cluster.hosts[host].shard.set_routes(vec![0]);
    }
    cluster.pass(50);
    let late = Rc::new(RefCell::new(Vec::new()));
    let keep = late.clone();
    cluster.loss = Box::new(move |from, to, bytes| {
        let forward = bytes[0] == FORWARD && to == 0;
        if forward {
            keep.borrow_mut().push((from, to, bytes.to_vec()));
        }
        forward
    });
    let names = keys("k", 1);
    assert_eq!(cluster.ask(1, &[b"SET", &names[0], b"v"]), Reply::OK);
    cluster.loss = Box::new(|_, _, _| false);
    assert_eq!(cluster.ask(2, &[b"DEL", &names[0]]), Reply::Int(1));
    cluster.pass(50);
    let late = late.borrow().clone();
    assert_eq!(late.len(), 1);
    let Ok((_, PeerMessage::Forward(forward))) = PeerMessage::decode(&late[0].2) else {
        panic!("a command travelled")
    };
    let CommandId { node, incarnation, seq } = forward.id;
    let watermarks = vec![Watermark { node, incarnation, settled_below: seq + 1 }];
    let asked = question(&mut cluster, &names[0], watermarks);
    assert!(consents(&mut cluster, (2, 0), asked).is_empty(), "nothing was compared yet");
    let before = cluster.hosts[0].shard.metrics().forwarded_in;
    replay(&mut cluster, &late);
    assert_eq!(cluster.hosts[0].shard.metrics().forwarded_in, before, "it is stale");
    assert_eq!(cluster.ask(0, &[b"DBSIZE"]), Reply::Int(0));
}

/// Whom the others do not hear of this, and who asks nobody, keeps all tombstones where they are.
#[test]
fn all_have_to_agree() {
    let mut cluster = cluster(5, 52);
    let names = keys("k", 50);
    set(&mut cluster, 0, &names, b"v");
    delete(&mut cluster, 0, &names);
    cluster.loss = Box::new(|from, _, bytes| {
        let consents = |answer: &RepairAnswer<'_>| matches!(answer.said, RepairSaid::Consents(_));
        let said = PeerMessage::decode(bytes);
        let agrees = matches!(&said, Ok((_, PeerMessage::RepairAnswer(answer))) if consents(answer));
        from == 4 && (agrees || is_consent(bytes))
    });
    cluster.pass(30_000);
    assert_eq!((records(&cluster), dropped(&cluster)), (vec![50; 5], vec![0; 5]));
    cluster.heal();
    until(&mut cluster, 0, 60_000);
}

/// The version in the record of a key, the only one of its slot, as a host copies it to others.
fn version_of(cluster: &mut Cluster, key: &[u8]) -> u64 {
    let RepairAsked::Consent { slot, tombstones, .. } = question(cluster, key, vec![]) else {
        panic!("a question")
    };
    let (fingerprint, ballot) = tombstones[0];
    let wants = vec![Wanted { fingerprint, ballot, proven: true }];
    let answer = ask_host(cluster, (1, 0), RepairAsked::Fetch { slot, bytes_max: 99, wants });
    let RepairSaid::Copies { records, .. } = said(&answer) else { panic!("no copies") };
    Record::decode(records[0].entry).expect("a record").version
}

/// A delete of nothing that another host may have done too leaves an entry. Its version is above that of the tombstone that was
/// there before (seed 33 of the simulator).
#[test]
fn versions_go_on_rising_when_the_tombstone_is_gone() {
    let mut cluster = Cluster::new(3, 53);
    for host in 0..3 {
        cluster.hosts[host].shard.set_routes(vec![0]);
    }
    let names = keys("k", 1);
    set(&mut cluster, 0, &names, b"v");
    delete(&mut cluster, 0, &names);
    cluster.pass(50);
    let before = version_of(&mut cluster, &names[0]);
    cluster.repair = true;
    until(&mut cluster, 0, 30_000);
    cluster.repair = false;
    cluster.loss = Box::new(|_, _, bytes| bytes[0] == FORWARD);
    assert_eq!(cluster.ask(1, &[b"DEL", &names[0]]), Reply::Int(0));
    cluster.pass(50);
    let after = version_of(&mut cluster, &names[0]);
    assert!(after > before, "{after} after {before}");
}
