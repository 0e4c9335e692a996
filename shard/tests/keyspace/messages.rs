//! Bytes of the messages about the keyspace: there and back, cut short, and hostile.

use bitcask::Fingerprint;
use paxos::Ballot;
use shard::limits::{ASK_KEYS_MAX, LIST_ENTRIES_MAX, RANGE_SLOTS_MAX, SLOTS};
use shard::state::Type;
use shard::wire::{
    LiveKey, PeerMessage, Sender, SlotAnswer, SlotAsk, SlotEntry, SlotKey, SlotQuery, SlotSaid,
};

const SENDER: Sender = Sender { epoch: 7, incarnation: 9, flush: 3, catalog: 0 };

fn fingerprint(hi: u64) -> Fingerprint {
    Fingerprint { hi, lo: 0x0201 }
}

fn entry(slot: u16, hi: u64) -> SlotEntry {
    let ballot = Ballot { round: 4, node: 5, incarnation: 6 };
    SlotEntry { slot, fingerprint: fingerprint(hi), ballot, dead: hi.is_multiple_of(2) }
}

fn query(ask: SlotAsk) -> PeerMessage<'static> {
    PeerMessage::SlotQuery(SlotQuery { id: 3, ask })
}

fn answer(said: SlotSaid) -> PeerMessage<'static> {
    PeerMessage::SlotAnswer(SlotAnswer { id: 3, said })
}

fn bytes_of(message: &PeerMessage<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(SENDER, &mut bytes);
    bytes
}

fn samples() -> Vec<PeerMessage<'static>> {
    vec![
        query(SlotAsk::Sums { first: 3, last: 4, sum: u128::MAX - 7 }),
        query(SlotAsk::List { slots: vec![(1, 2), (9, 9)], from: fingerprint(8), max: 77 }),
        query(SlotAsk::Keys { slot: 16_383, fingerprints: vec![fingerprint(1), fingerprint(u64::MAX)] }),
        answer(SlotSaid::Same),
        answer(SlotSaid::Sums(vec![0, 1, u128::MAX])),
        answer(SlotSaid::List { entries: vec![], more: false }),
        answer(SlotSaid::List { entries: vec![entry(3, 9), entry(4, 1), entry(4, 2)], more: true }),
        answer(SlotSaid::Keys(vec![
            SlotKey { fingerprint: fingerprint(1), live: None },
            SlotKey { fingerprint: fingerprint(2), live: Some(live()) },
        ])),
    ]
}

#[test]
fn messages_come_back() {
    for message in samples() {
        let bytes = bytes_of(&message);
        assert_eq!(PeerMessage::decode(&bytes), Ok((SENDER, message)));
    }
}

#[test]
fn the_bytes_are_as_documented() {
    let bytes = bytes_of(&query(SlotAsk::Sums { first: 3, last: 0x104, sum: 5 }));
    let want = [
        &[20, 7, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 0][..],
        &[3, 0, 0, 0, 0, 0, 0, 0, 1],
        &[3, 0, 4, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(bytes, want.concat());
    let key = SlotKey { fingerprint: fingerprint(2), live: Some(live()) };
    let bytes = bytes_of(&answer(SlotSaid::Keys(vec![key])));
    let want = [
        &[21, 7, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 0][..],
        &[3, 0, 0, 0, 0, 0, 0, 0, 3],
        &[2, 0, 0, 0, 0, 0, 0, 0, 1, 2],
        &[2, 99, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, b'k', b'e', b'y'],
    ];
    assert_eq!(bytes, want.concat());
}

/// A cut message is refused, or is another message that encodes to just these bytes (lists end where the message does).
#[test]
fn cut_messages_are_no_other_messages() {
    for message in samples() {
        let bytes = bytes_of(&message);
        for end in 0..bytes.len() {
            if let Ok((_, other)) = PeerMessage::decode(&bytes[..end]) {
                assert_ne!(other, message);
                assert_eq!(bytes_of(&other), bytes[..end]);
            }
        }
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let many = |count: usize| (0..count as u64).map(|hi| entry(1, hi)).collect::<Vec<_>>();
    let keys = |count: usize| {
        (0..count as u64).map(|hi| SlotKey { fingerprint: fingerprint(hi), live: None }).collect()
    };
    let list = |slots| query(SlotAsk::List { slots, from: Fingerprint::MIN, max: 1 });
    let listed = |entries, more| answer(SlotSaid::List { entries, more });
    let refused = [
        query(SlotAsk::Sums { first: 5, last: 4, sum: 0 }),
        query(SlotAsk::Sums { first: 0, last: SLOTS, sum: 0 }),
        query(SlotAsk::Sums { first: 0, last: RANGE_SLOTS_MAX, sum: 0 }),
        list(vec![]),
        list(vec![(4, 5), (5, 6)]),
        list(vec![(4, 5), (1, 2)]),
        list(vec![(0, 1), (RANGE_SLOTS_MAX, RANGE_SLOTS_MAX)]),
        query(SlotAsk::List { slots: vec![(0, 0)], from: Fingerprint::MIN, max: 0 }),
        query(SlotAsk::List { slots: vec![(0, 0)], from: Fingerprint::MIN, max: u16::MAX }),
        query(SlotAsk::Keys { slot: 1, fingerprints: vec![] }),
        query(SlotAsk::Keys { slot: SLOTS, fingerprints: vec![fingerprint(1)] }),
        query(SlotAsk::Keys { slot: 1, fingerprints: vec![fingerprint(1); ASK_KEYS_MAX + 1] }),
        answer(SlotSaid::Sums(vec![])),
        answer(SlotSaid::Sums(vec![0; usize::from(RANGE_SLOTS_MAX) + 1])),
        listed(vec![], true),
        listed(vec![entry(1, 2), entry(1, 2)], false),
        listed(vec![entry(2, 2), entry(1, 3)], false),
        listed(many(LIST_ENTRIES_MAX + 1), false),
        answer(SlotSaid::Keys(vec![])),
        answer(SlotSaid::Keys(keys(ASK_KEYS_MAX + 1))),
    ];
    for message in refused {
        assert!(PeerMessage::decode(&bytes_of(&message)).is_err(), "{message:?}");
    }
    let largest = [
        list(vec![(0, RANGE_SLOTS_MAX - 1)]),
        answer(SlotSaid::Sums(vec![0; usize::from(RANGE_SLOTS_MAX)])),
        listed(many(LIST_ENTRIES_MAX), true),
        answer(SlotSaid::Keys(keys(ASK_KEYS_MAX))),
    ];
    for message in largest {
        let bytes = bytes_of(&message);
        assert!(bytes.len() < 1 << 20);
        assert_eq!(PeerMessage::decode(&bytes), Ok((SENDER, message)));
    }
}

fn live() -> LiveKey {
    LiveKey { key: b"key".to_vec(), expires_at_ms: 99, kind: Some(Type::Hash) }
}
