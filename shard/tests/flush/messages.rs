//! The messages of flushes as bytes, and what is refused.

use paxos::{Ballot, Message};
use shard::limits::{FLUSH_EPOCH_MAX, FLUSH_JUMP_MAX};
use shard::record::Record;
use shard::reply::Reply;
use shard::slot::slot;
use shard::state::Value;
use shard::wire::{Flush, FlushSaid, PeerMessage, Sender};
use shard::Held;

use super::epochs;
use crate::keyspace::cluster::{Cluster, FLUSH};
use crate::repair::messages::assert_random_bytes_do_no_harm;

const SENDER: Sender = Sender { epoch: 7, incarnation: 9, flush: 3, catalog: 0 };

fn samples() -> Vec<PeerMessage<'static>> {
    let all = [FlushSaid::Ask, FlushSaid::Told, FlushSaid::Raise(1), FlushSaid::Raise(FLUSH_EPOCH_MAX)];
    all.map(|said| PeerMessage::Flush(Flush { id: 9 << 32 | 5, said })).to_vec()
}

fn bytes_of(sender: Sender, message: &PeerMessage<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(sender, &mut bytes);
    bytes
}

#[test]
fn messages_come_back() {
    for (message, want) in samples().into_iter().zip([(23, 1), (23, 2), (27, 3), (27, 3)]) {
        let bytes = bytes_of(SENDER, &message);
        assert_eq!((bytes.len(), bytes[22]), want, "as docs/formats/peer-message.md says");
        assert_eq!(bytes[..14], [FLUSH, 7, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 0]);
        assert_eq!(PeerMessage::decode(&bytes), Ok((SENDER, message)));
        (0..bytes.len()).for_each(|end| assert!(PeerMessage::decode(&bytes[..end]).is_err()));
        assert!(PeerMessage::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
    let all: Vec<Vec<u8>> = samples().iter().map(|message| bytes_of(SENDER, message)).collect();
    assert_random_bytes_do_no_harm(&all, 20_000);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for said in [FlushSaid::Raise(0), FlushSaid::Raise(FLUSH_EPOCH_MAX + 1)] {
        assert!(PeerMessage::decode(&bytes_of(SENDER, &PeerMessage::Flush(Flush { id: 1, said }))).is_err());
    }
    let over = Sender { flush: FLUSH_EPOCH_MAX + 1, ..SENDER };
    assert!(PeerMessage::decode(&bytes_of(over, &PeerMessage::WrongEpoch)).is_err());
    let most = Sender { flush: FLUSH_EPOCH_MAX, ..SENDER };
    assert!(PeerMessage::decode(&bytes_of(most, &PeerMessage::WrongEpoch)).is_ok());
}

/// An Accept of host 1 for host 0, in these flush epochs of the sender and of the entry.
fn accept(cluster: &Cluster, sender: u32, entry: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let value = Some(Value::Str(b"v".to_vec()));
    Record { version: 9, epoch: entry, value, ..Record::default() }.encode(&mut bytes);
    let incarnation = cluster.hosts[1].shard.incarnation();
    let ballot = Ballot::new(50, 2 << 16, incarnation);
    let message = Message::Accept { ballot, base: Ballot::ZERO, entry: Held::Here(bytes.into()) };
    let message = PeerMessage::Paxos { slot: slot(b"k"), key: b"k", message };
    bytes_of(Sender { epoch: 1, incarnation, flush: sender, catalog: 0 }, &message)
}

#[test]
fn an_entry_of_a_newer_epoch_than_its_senders_is_refused() {
    for (sender, entry, taken) in [(0, 0, true), (3, 3, true), (3, 1, true), (3, 4, false), (0, 1, false)] {
        let mut cluster = Cluster::new(3, 1_400);
        let bytes = accept(&cluster, sender, entry);
        cluster.with_turn(0, |shard, turn| shard.on_message(turn, 1, &bytes));
        cluster.pass(20);
        assert_eq!(cluster.hosts[0].shard.flush_epoch(), sender, "what its envelope says is taken on");
        let accepted = cluster.hosts[0].shard.inspect(b"k").accepted;
        assert_eq!(!accepted.is_zero(), taken, "sender {sender}, entry {entry}");
    }
}

/// Words about flushes wait until the epoch of the first is durable, in their order.
#[test]
fn messages_wait_until_the_epoch_is_durable() {
    let mut cluster = Cluster::new(3, 1_401);
    let incarnation = cluster.hosts[1].shard.incarnation();
    let at = |flush| Sender { epoch: 1, incarnation, flush, catalog: 0 };
    let ask = |flush| bytes_of(at(flush), &PeerMessage::Flush(Flush { id: 1, said: FlushSaid::Ask }));
    let answers = |cluster: &Cluster| cluster.types.get(&FLUSH).copied().unwrap_or(0);
    for flush in [2, 1, 5, 5, 4] {
        let bytes = ask(flush);
        cluster.with_turn(0, |shard, turn| shard.on_message(turn, 1, &bytes));
    }
    assert_eq!((epochs(&cluster)[0], answers(&cluster)), (0, 0));
    cluster.pass(20);
    assert_eq!((epochs(&cluster)[0], answers(&cluster)), (5, 5));
    assert_eq!(cluster.ask(1, &[b"SET", b"k", b"v"]), Reply::OK);
    assert_eq!(epochs(&cluster), [5; 3], "all have heard");
}

/// A voter says that an epoch is to be durable.
pub fn raise(incarnation: u32, epoch: u32) -> Vec<u8> {
    let said = FlushSaid::Raise(epoch);
    bytes_of(
        Sender { epoch: 1, incarnation, flush: 0, catalog: 0 },
        &PeerMessage::Flush(Flush { id: 1, said }),
    )
}

/// An epoch that is too far ahead is of no honest history; a learner, which begins anew, takes it.
#[test]
fn an_epoch_far_ahead_is_refused() {
    let table =
        [(FLUSH_JUMP_MAX, false, true), (FLUSH_JUMP_MAX + 1, false, false), (FLUSH_EPOCH_MAX, true, true)];
    for (flush, learner, taken) in table {
        for raises in [false, true] {
            let mut cluster = Cluster::new(3, 1_402);
            if learner {
                cluster.lose_data(0, true);
            }
            let incarnation = cluster.hosts[1].shard.incarnation();
            let (of, said) = if raises { (0, FlushSaid::Raise(flush)) } else { (flush, FlushSaid::Ask) };
            let sender = Sender { epoch: cluster.hosts[0].shard.epoch(), incarnation, flush: of, catalog: 0 };
            let bytes = bytes_of(sender, &PeerMessage::Flush(Flush { id: 1, said }));
            cluster.with_turn(0, |shard, turn| shard.on_message(turn, 1, &bytes));
            cluster.pass(20);
            // A learner takes no part in flushes, and hears of their epochs by what else is said.
            let want = if taken && !(learner && raises) { flush } else { 0 };
            assert_eq!(cluster.hosts[0].shard.flush_epoch(), want, "{flush}, {learner}, {raises}");
        }
    }
}

/// What waits for an epoch is lost with the link that it came by: its end has been acted upon, and nothing of it is to come after that.
#[test]
fn what_waits_goes_with_its_link() {
    for down in [None, Some(1), Some(2)] {
        let mut cluster = Cluster::new(3, 1_403);
        for from in [1, 2] {
            let incarnation = cluster.hosts[from].shard.incarnation();
            let sender = Sender { epoch: 1, incarnation, flush: 2, catalog: 0 };
            let bytes = bytes_of(sender, &PeerMessage::Flush(Flush { id: 1, said: FlushSaid::Ask }));
            cluster.with_turn(0, |shard, turn| shard.on_message(turn, from as u8, &bytes));
        }
        if let Some(peer) = down {
            cluster.link(0, peer, false);
            cluster.link(0, peer, true);
        }
        cluster.pass(20);
        let answers = cluster.types.get(&FLUSH).copied().unwrap_or(0);
        assert_eq!((epochs(&cluster)[0], answers), (2, 2 - down.iter().count() as u64), "{down:?}");
    }
}
