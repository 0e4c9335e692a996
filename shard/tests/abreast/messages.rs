//! Bytes of the messages of confirmed reads and range promises: there and back, cut short, and hostile.

use bitcask::Fingerprint;
use paxos::Ballot;
use shard::limits::{COUNTED_RING_MAX, NAMED_RANGES_MAX};
use shard::wire::{
    Confirm, Confirmed, Counted, Name, PeerMessage, RangePrepare, RangePromise, RangeRefused, Sender, Told,
};

use crate::repair::messages::{assert_cuts_are_not, assert_random_bytes_do_no_harm};

const SENDER: Sender = Sender { epoch: 7, incarnation: 9, flush: 3, catalog: 0 };
const BALLOT: Ballot = Ballot { round: 8, node: 5, incarnation: 9 };
const PLACE: Counted = Counted { subscription: 9 << 32 | 4, count: u64::MAX };

fn record(hi: u64) -> (Fingerprint, Ballot) {
    (Fingerprint { hi, lo: 0x0201 }, Ballot { round: 4, node: 5, incarnation: 6 })
}

fn confirmed(records: Option<Vec<(Fingerprint, Ballot)>>) -> PeerMessage<'static> {
    PeerMessage::Confirmed(Confirmed { id: 3, told: told(records) })
}

fn told(records: Option<Vec<(Fingerprint, Ballot)>>) -> Told {
    Told { from: 2, place: PLACE, records }
}

fn name(named: Vec<(u16, u16)>) -> PeerMessage<'static> {
    PeerMessage::Name(Name { subscription: PLACE.subscription, named })
}

fn prepare(slots: Vec<(u16, u16)>) -> PeerMessage<'static> {
    PeerMessage::RangePrepare(RangePrepare { ballot: BALLOT, place: PLACE, incarnation: 77, slots })
}

fn samples() -> Vec<PeerMessage<'static>> {
    vec![
        name(vec![(0, 16_383)]),
        name(vec![(1, 1), (2, 5), (9, 12)]),
        PeerMessage::Confirm(Confirm { id: u64::MAX, place: PLACE, incarnation: 77 }),
        confirmed(None),
        confirmed(Some(vec![])),
        confirmed(Some(vec![record(1), record(0), record(1)])),
        prepare(vec![(0, 5), (7, 16_383)]),
        PeerMessage::RangePromise(RangePromise { ballot: BALLOT, told: told(None) }),
        PeerMessage::RangePromise(RangePromise { ballot: BALLOT, told: told(Some(vec![record(1)])) }),
        PeerMessage::RangeRefused(RangeRefused { ballot: BALLOT, promised: record(0).1 }),
    ]
}

fn bytes_of(message: &PeerMessage<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(SENDER, &mut bytes);
    bytes
}

#[test]
fn messages_come_back() {
    for message in samples() {
        assert_eq!(PeerMessage::decode(&bytes_of(&message)), Ok((SENDER, message)));
    }
    let lengths: Vec<usize> = samples().iter().map(|message| bytes_of(message).len()).collect();
    assert_eq!(lengths, [26, 34, 42, 47, 47, 125, 58, 55, 81, 46], "as docs/formats/peer-message.md says");
}

#[test]
fn what_is_cut_short_is_another_message_or_none() {
    for message in samples() {
        assert_cuts_are_not(&message, &bytes_of(&message));
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let runs = |count: usize| (0..count as u16).map(|run| (run * 3, run * 3 + 1)).collect();
    let (_, ballot) = record(1);
    let hostile = [
        name(vec![]),
        name(vec![(4, 3)]),
        name(vec![(3, 16_384)]),
        name(vec![(3, 4), (4, 5)]),
        name(vec![(7, 8), (1, 2)]),
        name(runs(NAMED_RANGES_MAX + 1)),
        prepare(vec![]),
        prepare(vec![(4, 3)]),
        prepare(runs(NAMED_RANGES_MAX + 1)),
        PeerMessage::RangePrepare(RangePrepare {
            ballot: Ballot::ZERO,
            place: PLACE,
            incarnation: 1,
            slots: runs(1),
        }),
        PeerMessage::RangePromise(RangePromise { ballot: Ballot::ZERO, told: told(None) }),
        PeerMessage::RangeRefused(RangeRefused { ballot: Ballot::ZERO, promised: BALLOT }),
        confirmed(Some(vec![(Fingerprint::MIN, Ballot::ZERO)])),
        confirmed(Some(vec![(Fingerprint::MIN, ballot); COUNTED_RING_MAX + 1])),
    ];
    for message in hostile {
        assert!(PeerMessage::decode(&bytes_of(&message)).is_err(), "{message:?}");
    }
    for most in [name(runs(NAMED_RANGES_MAX)), confirmed(Some(vec![record(1); COUNTED_RING_MAX]))] {
        assert!(PeerMessage::decode(&bytes_of(&most)).is_ok() && bytes_of(&most).len() < 1 << 20);
    }
    // A flag that is none, records behind the word that they are not known, and a byte too many.
    for (message, byte) in [(confirmed(Some(vec![])), 2), (confirmed(Some(vec![record(1)])), 0)] {
        let mut bytes = bytes_of(&message);
        bytes[46] = byte;
        assert!(PeerMessage::decode(&bytes).is_err(), "{message:?}");
    }
    for message in samples() {
        let longer = [bytes_of(&message), vec![0]].concat();
        assert!(PeerMessage::decode(&longer).is_err(), "{message:?}");
    }
}

#[test]
fn random_bytes_do_no_harm() {
    assert_random_bytes_do_no_harm(&samples().iter().map(bytes_of).collect::<Vec<_>>(), 50_000);
}
