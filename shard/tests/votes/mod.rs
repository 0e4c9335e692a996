//! Accepts for keys that nothing is under way for: told when they are durable, whatever else comes for the key meanwhile.

use paxos::{Ballot, Message};
use reactor::sim::SimDisk;
use shard::wire::{PeerMessage, Sender};
use shard::{Clock, Config, Effects, Held, Shard, Turn};

use crate::keyspace::cluster::MS;

/// One core of three, on its own: the test speaks for its peers.
struct Lone {
    disk: SimDisk,
    shard: Shard<SimDisk>,
    effects: Effects,
    now: u64,
}

impl Lone {
    fn new() -> Lone {
        let mut disk = SimDisk::new(1);
        let mut store = bitcask::Options::new(0, *b"the same for all");
        store.segment_bytes = 1 << 20;
        let shard = Shard::new(Config::new(vec![1, 2, 3], 0, 0, 1), store, lsm::Options::new(0), &mut disk);
        let mut lone = Lone { disk, shard, effects: Effects::new(3), now: 0 };
        while !lone.shard.is_ready() {
            lone.turn(|_, _| ());
        }
        lone
    }

    /// One turn in which `step` comes first, then what the disk has done.
    fn turn(&mut self, step: impl FnOnce(&mut Shard<SimDisk>, &mut Turn<'_, SimDisk>)) {
        self.now += MS;
        let done = self.disk.poll_completions(self.now);
        let clock = Clock { now: self.now, wall_ms: 1 };
        let mut turn = Turn { disk: &mut self.disk, clock, effects: &mut self.effects };
        step(&mut self.shard, &mut turn);
        done.into_iter().for_each(|completion| self.shard.on_disk(&mut turn, completion));
        self.shard.end_turn(&mut turn);
    }

    /// A peer says something about the key.
    fn hear(&mut self, from: u8, message: Message<Held>) {
        let mut bytes = Vec::new();
        let slot = shard::slot::slot(b"key");
        PeerMessage::Paxos { slot, key: b"key", message }
            .encode(Sender { epoch: 1, incarnation: 1, flush: 0, catalog: 0 }, &mut bytes);
        self.turn(|shard, turn| shard.on_message(turn, from, &bytes));
    }

    /// What was said to a peer about the key since.
    fn said_to(&mut self, peer: usize) -> Vec<Message<Held>> {
        let outbox = &mut self.effects.outboxes[peer];
        let messages = outbox.messages().filter_map(|bytes| match PeerMessage::decode(bytes) {
            Ok((_, PeerMessage::Paxos { message, .. })) => Some(message),
            _ => None,
        });
        let messages = messages.collect();
        outbox.clear();
        messages
    }

    fn rest(&mut self) {
        (0..20).for_each(|_| self.turn(|_, _| ()));
    }
}

fn ballot(round: u64, node: u32) -> Ballot {
    Ballot::new(round, node << 16, 1)
}

fn entry(text: &str) -> Held {
    let mut bytes = Vec::new();
    let value = Some(shard::state::Value::Str(text.as_bytes().to_vec()));
    shard::record::Record { version: 9, value, ..Default::default() }.encode(&mut bytes);
    Held::Here(bytes.into())
}

fn accept(ballot: Ballot, text: &str) -> Message<Held> {
    Message::Accept { ballot, base: Ballot::ZERO, entry: entry(text) }
}

#[test]
fn a_vote_is_told_when_it_is_durable_and_not_before() {
    let mut lone = Lone::new();
    lone.hear(1, accept(ballot(5, 2), "one"));
    assert_eq!(lone.said_to(1), []);
    assert_eq!(lone.shard.under_way(), (1, 0));
    lone.rest();
    assert_eq!(lone.said_to(1), [Message::Accepted { ballot: ballot(5, 2) }]);
    assert_eq!(lone.shard.under_way(), (0, 0));
    assert_eq!(lone.shard.inspect(b"key").accepted, ballot(5, 2));
}

#[test]
fn what_comes_meanwhile_meets_the_vote() {
    let mut lone = Lone::new();
    lone.hear(1, accept(ballot(5, 2), "one"));
    // A rival asks above it: it is told of the record, and both hear of what is durable only.
    lone.hear(2, Message::Prepare { ballot: ballot(7, 3), holds: Ballot::ZERO });
    // The vote is asked for again, and another one below the promise.
    lone.hear(1, accept(ballot(5, 2), "one"));
    lone.hear(1, accept(ballot(6, 2), "two"));
    lone.rest();
    let to_rival = lone.said_to(2);
    let [Message::Promise { ballot: promised, report }] = &to_rival[..] else { panic!("{to_rival:?}") };
    assert_eq!((*promised, report.accepted), (ballot(7, 3), ballot(5, 2)));
    assert_eq!(report.entry, Some(entry("one")));
    let to_voter = lone.said_to(1);
    assert!(to_voter.contains(&Message::Accepted { ballot: ballot(5, 2) }), "{to_voter:?}");
    assert!(to_voter
        .iter()
        .any(|said| matches!(said, Message::Reject { ballot: b, .. } if *b == ballot(6, 2))));
    assert_eq!(lone.shard.under_way(), (0, 0));
    assert_eq!(lone.shard.inspect(b"key").promised, ballot(7, 3));
}

#[test]
fn another_entry_for_the_ballot_of_a_vote_is_refused() {
    for wait in [false, true] {
        let mut lone = Lone::new();
        lone.hear(1, accept(ballot(5, 2), "one"));
        if wait {
            lone.rest();
            lone.said_to(1);
        }
        lone.hear(1, accept(ballot(5, 2), "another"));
        lone.rest();
        let said = lone.said_to(1);
        // An entry whose bytes are on disk only is taken for the same: the acceptor decides by the ballot.
        let again = wait || said == [Message::Accepted { ballot: ballot(5, 2) }];
        assert!(again, "{said:?}");
        assert_eq!(lone.shard.metrics().corrupt_entries, u64::from(!wait));
    }
}
