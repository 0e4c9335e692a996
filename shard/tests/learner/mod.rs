//! A host that lost its data: as a learner it serves what voters decide, and its silence keeps them from forgetting.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use shard::command::{Command, Limits};
use shard::record::CommandId;
use shard::reply::Reply;
use shard::wire::{Forward, PeerMessage, Sender};

use crate::keyspace::cluster::{Cluster, MS};

/// Message types, as in docs/formats/peer-message.md.
const FORWARDED: u8 = 17;
const NOT_FORWARDED: u8 = 18;
const HELLO: u8 = 22;
const HAND_OVER: u8 = 23;

const LEARNER: usize = 2;

/// Three hosts, the last of which has lost its data and is a learner.
fn with_learner(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(3, seed);
    cluster.lose_data(LEARNER, true);
    cluster
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

fn no_quorum(answers: u8, tail: &str) -> Reply {
    let verb = if answers == 1 { "answers" } else { "answer" };
    Reply::Error(format!("ERR no quorum: {answers} of 3 hosts {verb}; {tail}").into())
}

const NOTHING_WRITTEN: &str = "nothing was written";
const NOT_CONFIRMED: &str = "cannot confirm the newest value";

/// The write that two hosts hold must not be forgotten when one of them loses its data and the other is away.
fn chosen_by_a_pair_then_lost(seed: u64, learner: bool) -> (Reply, Reply) {
    let mut cluster = Cluster::new(3, seed);
    cluster.cut_off(0);
    assert_eq!(cluster.ask(1, &[b"SET", b"k", b"acknowledged"]), Reply::OK);
    cluster.heal();
    cluster.lose_data(LEARNER, learner);
    cluster.cut_off(1);
    let read = cluster.ask(0, &[b"GET", b"k"]);
    (read, cluster.ask(0, &[b"SET", b"k", b"other"]))
}

#[test]
fn with_a_learner_and_one_voter_down_nothing_is_acknowledged() {
    for seed in 0..8 {
        let (read, write) = chosen_by_a_pair_then_lost(seed, true);
        assert_eq!(read, no_quorum(1, NOT_CONFIRMED), "seed {seed}");
        assert_eq!(write, no_quorum(1, NOTHING_WRITTEN), "seed {seed}");
    }
}

/// What the rule is for: the same, with a host that does not know what it lost, reads over an acknowledged write.
#[test]
fn a_voter_that_forgot_would_lose_a_write() {
    assert_eq!(chosen_by_a_pair_then_lost(1, false), (Reply::Nil, Reply::OK));
}

#[test]
fn a_learner_says_nothing_that_could_be_a_vote() {
    let mut cluster = with_learner(2);
    let said = Rc::new(RefCell::new(BTreeSet::new()));
    let heard = said.clone();
    cluster.loss = Box::new(move |from, _, bytes| {
        if from == LEARNER {
            heard.borrow_mut().insert(bytes[0]);
        }
        false
    });
    cluster.link(LEARNER, 0, true);
    for number in 0..50 {
        let key = format!("k{number}").into_bytes();
        assert_eq!(cluster.ask(number % 2, &[b"SET", &key, b"v"]), Reply::OK);
        assert_eq!(cluster.ask(LEARNER, &[b"GET", &key]), bulk("v"));
        assert_eq!(cluster.ask(LEARNER, &[b"APPEND", &key, b"w"]), Reply::Int(2));
        assert_eq!(cluster.ask(1 - number % 2, &[b"GET", &key]), bulk("vw"));
    }
    assert_eq!(cluster.ask(0, &[b"DBSIZE"]), Reply::Int(50));
    let metrics = *cluster.hosts[LEARNER].shard.metrics();
    assert!(metrics.messages_ignored > 100, "it was asked: {metrics:?}");
    assert_eq!(*said.borrow(), BTreeSet::from([HELLO, HAND_OVER]));
    assert_eq!(cluster.hosts[LEARNER].shard.store_stats().keys, 0);
    let Reply::Error(text) = cluster.ask(LEARNER, &[b"DBSIZE"]) else { panic!("refused") };
    assert!(text.starts_with("ERR this host is a learner"), "{text}");
}

/// Even if a learner claimed to vote, nobody would count it.
#[test]
fn what_a_learner_says_counts_for_nothing() {
    let mut cluster = Cluster::new(3, 3);
    // The others know it as a learner; it does not know that itself.
    cluster.lose_data(LEARNER, false);
    cluster.loss = Box::new(|from, _, bytes| from == LEARNER && bytes[0] == HELLO);
    cluster.pass(1);
    (0..2).for_each(|host| cluster.hosts[host].shard.set_learner(LEARNER as u8, true));
    // What it says that it is never arrives.
    let silence =
        |from: usize, to: usize, bytes: &[u8]| from == 1 || to == 1 || from == LEARNER && bytes[0] == HELLO;
    cluster.cut_off(1);
    cluster.loss = Box::new(silence);
    assert_eq!(cluster.ask(0, &[b"SET", b"k", b"v"]), no_quorum(1, NOTHING_WRITTEN));
    cluster.heal();
    cluster.pass(1);
    (0..2).for_each(|host| cluster.hosts[host].shard.set_learner(LEARNER as u8, true));
    // Now the link to the other voter is up but silent: questions go out, and the learner alone answers them.
    cluster.loss = Box::new(silence);
    let write = cluster.submit(0, &[b"SET", b"k", b"v"], None, 300);
    assert_eq!(cluster.wait(write), no_quorum(1, NOTHING_WRITTEN));
    assert!(cluster.hosts[0].shard.metrics().messages_ignored > 0, "it was heard");
}

#[test]
fn a_learner_without_a_majority_of_voters_answers_with_an_error() {
    let mut cluster = with_learner(4);
    cluster.cut_off(1);
    let at = cluster.now;
    let write = cluster.submit(LEARNER, &[b"SET", b"k", b"v"], None, 1000);
    assert_eq!(cluster.wait(write), no_quorum(1, NOTHING_WRITTEN), "the voter's own words");
    assert!(cluster.now < at + 1000 * MS, "in time");
    let read = cluster.submit(LEARNER, &[b"GET", b"k"], None, 1000);
    assert_eq!(cluster.wait(read), no_quorum(1, NOT_CONFIRMED));
    cluster.link(LEARNER, 0, false);
    assert_eq!(cluster.ask(LEARNER, &[b"SET", b"k", b"v"]), no_quorum(0, NOTHING_WRITTEN));
    cluster.heal();
    assert_eq!(cluster.ask(LEARNER, &[b"GET", b"k"]), Reply::Nil);
}

#[test]
fn a_write_whose_answer_is_lost_is_uncertain_and_a_read_is_asked_elsewhere() {
    let mut cluster = with_learner(5);
    assert_eq!(cluster.ask(0, &[b"SET", b"k", b"1"]), Reply::OK);
    cluster.loss = Box::new(|from, to, bytes| from == 0 && to == LEARNER && bytes[0] == FORWARDED);
    let write = cluster.submit(LEARNER, &[b"INCR", b"k"], None, 5000);
    let read = cluster.submit(LEARNER, &[b"GET", b"k"], None, 5000);
    cluster.run_while(|cluster| cluster.hosts[0].shard.metrics().read_commands == 0);
    cluster.link(LEARNER, 0, false);
    let Reply::Error(text) = cluster.wait(write) else { panic!("unknown") };
    assert!(text.starts_with("UNCERTAIN"), "{text}");
    assert_eq!(cluster.wait(read), bulk("2"));
    // By the deadline alone, with no link known to be down.
    cluster.loss = Box::new(|_, to, bytes| to == LEARNER && bytes[0] == FORWARDED);
    let write = cluster.submit(LEARNER, &[b"INCR", b"k"], None, 300);
    let read = cluster.submit(LEARNER, &[b"GET", b"k"], None, 200);
    let Reply::Error(text) = cluster.wait(read) else { panic!("unknown") };
    assert!(text.contains("did not answer; retry"), "{text}");
    assert!(cluster.reply(write).is_none(), "its time is not over");
    let Reply::Error(text) = cluster.wait(write) else { panic!("unknown") };
    assert!(text.starts_with("UNCERTAIN"), "{text}");
    cluster.heal();
    assert_eq!(cluster.ask(1, &[b"GET", b"k"]), bulk("3"), "both were applied, once each");
}

/// A host that forgot how far it had counted must not be given the reply to a command of its former life.
#[test]
fn commands_of_a_former_life_are_not_taken_for_new_ones() {
    let mut cluster = Cluster::new(3, 6);
    (0..3).for_each(|host| cluster.hosts[host].shard.set_routes(vec![0]));
    for count in 1..=20 {
        assert_eq!(cluster.ask(LEARNER, &[b"INCR", b"k"]), Reply::Int(count));
    }
    for life in 1..=3 {
        cluster.lose_data(LEARNER, true);
        cluster.hosts[LEARNER].shard.set_routes(vec![0]);
        for count in 1..=20 {
            assert_eq!(cluster.ask(LEARNER, &[b"INCR", b"k"]), Reply::Int(20 * life + count));
        }
    }
}

#[test]
fn a_command_that_is_handed_over_twice_is_applied_once() {
    let mut cluster = with_learner(7);
    let mut command = Vec::new();
    Command::parse(&[b"INCR", b"k"], &Limits::default()).expect("a command").encode(&mut command);
    let to_incarnation = cluster.hosts[0].shard.incarnation();
    let forward = Forward {
        id: CommandId { node: 3 << 16, incarnation: 77, seq: 9 },
        to_incarnation,
        settled_below: 9,
        remaining_ms: 1000,
        command: &command,
    };
    let mut bytes = Vec::new();
    PeerMessage::HandOver(forward)
        .encode(Sender { epoch: 1, incarnation: 1, flush: 0, catalog: 0 }, &mut bytes);
    for _ in 0..3 {
        cluster.with_turn(0, |shard, turn| shard.on_message(turn, LEARNER as u8, &bytes));
        cluster.pass(20);
    }
    assert_eq!(cluster.ask(1, &[b"GET", b"k"]), bulk("1"));
    assert_eq!(cluster.hosts[0].shard.metrics().forwarded_in, 1);
}

/// A copy of the message comes to the next start of the voter, which knows nothing of it. The first start may have proposed it.
#[test]
fn who_began_anew_cannot_say_that_nothing_was_written() {
    let mut cluster = with_learner(8);
    let copy = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&copy);
    cluster.loss = Box::new(move |from, to, bytes| {
        if (from, to, bytes[0]) == (LEARNER, 0, HAND_OVER) {
            kept.replace(bytes.to_vec());
        }
        // The voters do not reach each other, and what they say of the command is lost.
        (from != LEARNER && to != LEARNER) || bytes[0] == FORWARDED
    });
    let write = cluster.submit(LEARNER, &[b"SET", b"k", b"v"], None, 5_000);
    cluster.pass(200);
    let copy = copy.take();
    let (sender, message) = PeerMessage::decode(&copy).expect("it was handed over");
    let PeerMessage::HandOver(forward) = message else { panic!("{message:?}") };
    // As it looks to a start that it was not meant for.
    let to_incarnation = forward.to_incarnation + 1;
    let mut bytes = Vec::new();
    PeerMessage::HandOver(Forward { to_incarnation, ..forward }).encode(sender, &mut bytes);
    assert!(cluster.reply(write).is_none());
    cluster.with_turn(0, |shard, turn| shard.on_message(turn, LEARNER as u8, &bytes));
    cluster.pass(200);
    let Some(Reply::Error(text)) = cluster.reply(write) else { panic!("no reply") };
    assert!(text.starts_with("UNCERTAIN"), "{text}");
}

/// Whoever refuses a read may be the only one there is to ask: the read must not go to and fro until its time is over.
#[test]
fn a_read_that_is_refused_is_not_handed_over_again() {
    let mut cluster = with_learner(9);
    let copies = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&copies);
    cluster.loss = Box::new(move |from, _, bytes| {
        let handed = from == LEARNER && bytes[0] == HAND_OVER;
        if handed {
            kept.borrow_mut().push(bytes.to_vec());
        }
        handed
    });
    let read = cluster.submit(LEARNER, &[b"GET", b"k"], None, 5_000);
    cluster.pass(20);
    let copy = copies.borrow().first().cloned().expect("it was handed over");
    let (sender, message) = PeerMessage::decode(&copy).expect("a message");
    let PeerMessage::HandOver(forward) = message else { panic!("{message:?}") };
    let mut bytes = Vec::new();
    PeerMessage::NotForwarded { id: forward.id, never: false }.encode(sender, &mut bytes);
    cluster.with_turn(LEARNER, |shard, turn| shard.on_message(turn, 0, &bytes));
    cluster.pass(20);
    let Some(Reply::Error(text)) = cluster.reply(read) else { panic!("no reply") };
    assert!(text.ends_with("retry"), "{text}");
    assert_eq!(copies.borrow().len(), 1, "once");
}

#[test]
fn the_messages_of_a_learner_come_back_and_nothing_shorter_does() {
    let sender = Sender { epoch: 7, incarnation: 9, flush: 3, catalog: 0 };
    let id = CommandId { node: 3 << 16, incarnation: 77, seq: 9 };
    let forward =
        Forward { id, to_incarnation: 4, settled_below: 8, remaining_ms: 1000, command: b"a command" };
    let head = |message: &PeerMessage<'_>| {
        let mut bytes = Vec::new();
        message.encode(sender, &mut bytes);
        assert_eq!(PeerMessage::decode(&bytes), Ok((sender, message.clone())));
        bytes
    };
    let hello = head(&PeerMessage::Hello { learner: true });
    assert_eq!(hello, [HELLO, 7, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 0, 1]);
    assert!(PeerMessage::decode(&[&hello[..], &[0]].concat()).is_err(), "and nothing behind it");
    let handed = head(&PeerMessage::HandOver(forward.clone()));
    let forwarded = head(&PeerMessage::Forward(forward));
    assert_eq!((handed[0], &handed[1..]), (HAND_OVER, &forwarded[1..]));
    for never in [false, true] {
        let told = head(&PeerMessage::NotForwarded { id, never });
        assert_eq!((told[0], told[told.len() - 1]), (NOT_FORWARDED, u8::from(never)));
        assert!(PeerMessage::decode(&told[..told.len() - 1]).is_err(), "without the flag");
    }
    for cut in 0..handed.len() - b"a command".len() {
        assert!(PeerMessage::decode(&handed[..cut]).is_err(), "{cut} bytes");
    }
}
