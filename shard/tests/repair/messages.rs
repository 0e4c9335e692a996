//! Bytes of the messages of repair: there and back, cut short, and hostile.

use bitcask::{Fingerprint, LogPlace};
use paxos::{Ballot, Member, MemberSet};
use reactor::rng::Rng;
use shard::wire::{
    Copied, Counted, Listed, PeerMessage, RepairAnswer, RepairAsk, RepairAsked, RepairSaid, Sender, Wanted,
    Watermark,
};
use shard::Burden;

const SENDER: Sender = Sender { epoch: 7, incarnation: 9, flush: 3, catalog: 0 };
const BALLOT: Ballot = Ballot { round: 4, node: 5, incarnation: 6 };

fn fingerprint(hi: u64) -> Fingerprint {
    Fingerprint { hi, lo: 0x0201 }
}

fn ask(asked: RepairAsked) -> PeerMessage<'static> {
    PeerMessage::RepairAsk(RepairAsk { id: 3, asked })
}

fn answer(said: RepairSaid<'static>) -> PeerMessage<'static> {
    PeerMessage::RepairAnswer(RepairAnswer {
        id: 3,
        burden: Burden::Strained,
        floor: BALLOT,
        round: 11,
        settled_below: 77,
        counted: Counted { subscription: 5, count: u64::MAX },
        said,
    })
}

fn listed(hi: u64) -> Listed {
    Listed { fingerprint: fingerprint(hi), ballot: BALLOT, dead: hi > 1, chosen: hi > 2, bytes: 88 }
}

fn members(members: &[Member]) -> MemberSet {
    let mut set = MemberSet::EMPTY;
    members.iter().for_each(|member| set.insert(*member));
    set
}

fn samples() -> Vec<PeerMessage<'static>> {
    let wanted = |hi| Wanted { fingerprint: fingerprint(hi), ballot: BALLOT, proven: hi > 1 };
    vec![
        ask(RepairAsked::Range { first: 3, last: 4, sum: u128::MAX - 7 }),
        ask(RepairAsked::Slots(vec![(3, 4), (9, u128::MAX)])),
        ask(RepairAsked::Epoch),
        ask(RepairAsked::List { slot: 16_383, from: fingerprint(8), max: 77 }),
        ask(RepairAsked::Fetch { slot: 1, bytes_max: 99, wants: vec![wanted(1), wanted(2)] }),
        ask(RepairAsked::Consent { slot: 1, watermarks: vec![], tombstones: vec![(fingerprint(1), BALLOT)] }),
        ask(RepairAsked::Consent {
            slot: 2,
            watermarks: vec![Watermark { node: 1, incarnation: 2, settled_below: u64::MAX }; 2],
            tombstones: vec![(fingerprint(1), BALLOT), (fingerprint(2), BALLOT)],
        }),
        ask(RepairAsked::Drop { slot: 3, tombstones: vec![(Box::from(&b"key"[..]), BALLOT)] }),
        ask(RepairAsked::Tail { from: None, bytes: 7, among: members(&[4]) }),
        ask(RepairAsked::Tail {
            from: Some(LogPlace { segment: 1, block: 0 }),
            bytes: u32::MAX,
            among: members(&[0, 2]),
        }),
        answer(RepairSaid::Tail { next: None, read: 0, left: 0, records: vec![] }),
        answer(RepairSaid::Tail {
            next: Some(LogPlace { segment: u32::MAX, block: u32::MAX }),
            read: 9,
            left: u32::MAX,
            records: vec![Copied { key: b"key", ballot: BALLOT, entry: b"entry" }; 2],
        }),
        answer(RepairSaid::Consents(vec![])),
        answer(RepairSaid::Consents(vec![0, 255])),
        answer(RepairSaid::Same),
        answer(RepairSaid::Epoch),
        answer(RepairSaid::Sums(vec![0, 1, u128::MAX])),
        answer(RepairSaid::Differ(vec![])),
        answer(RepairSaid::Differ(vec![1, 16_383])),
        answer(RepairSaid::Listed { entries: vec![], more: false }),
        answer(RepairSaid::Listed { entries: vec![listed(1), listed(2), listed(3)], more: true }),
        answer(RepairSaid::Copies { taken: 1, records: vec![] }),
        answer(RepairSaid::Copies {
            taken: 2,
            records: vec![
                Copied { key: b"key", ballot: BALLOT, entry: b"entry" },
                Copied { key: b"", ballot: BALLOT, entry: b"" },
            ],
        }),
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
}

/// Whatever the beginning of a message is, it is not that message.
pub fn assert_cuts_are_not(message: &PeerMessage<'_>, bytes: &[u8]) {
    for cut in 0..bytes.len() {
        assert!(
            PeerMessage::decode(&bytes[..cut]).ok().is_none_or(|(_, other)| other != *message),
            "{message:?} cut at {cut}"
        );
    }
}

#[test]
fn what_is_cut_short_is_another_message_or_none() {
    for message in samples() {
        assert_cuts_are_not(&message, &bytes_of(&message));
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let wanted = Wanted { fingerprint: fingerprint(1), ballot: BALLOT, proven: true };
    let hostile = [
        ask(RepairAsked::Range { first: 4, last: 3, sum: 0 }),
        ask(RepairAsked::Range { first: 0, last: 16_383, sum: 0 }),
        ask(RepairAsked::Slots(vec![])),
        ask(RepairAsked::Slots(vec![(9, 0), (9, 1)])),
        ask(RepairAsked::Slots(vec![(16_384, 0)])),
        ask(RepairAsked::List { slot: 16_384, from: fingerprint(8), max: 77 }),
        ask(RepairAsked::List { slot: 1, from: fingerprint(8), max: 0 }),
        ask(RepairAsked::Fetch { slot: 1, bytes_max: 99, wants: vec![] }),
        ask(RepairAsked::Fetch { slot: 1, bytes_max: 99, wants: vec![wanted; 513] }),
        ask(RepairAsked::Consent { slot: 1, watermarks: vec![], tombstones: vec![] }),
        ask(RepairAsked::Consent {
            slot: 1,
            watermarks: vec![],
            tombstones: vec![(fingerprint(1), Ballot::ZERO)],
        }),
        ask(RepairAsked::Consent {
            slot: 1,
            watermarks: vec![],
            tombstones: vec![(fingerprint(1), BALLOT); 257],
        }),
        ask(RepairAsked::Drop { slot: 1, tombstones: vec![] }),
        ask(RepairAsked::Drop { slot: 16_384, tombstones: vec![(Box::from(&b"key"[..]), BALLOT)] }),
        ask(RepairAsked::Tail { from: None, bytes: 7, among: MemberSet::EMPTY }),
        ask(RepairAsked::Tail {
            from: Some(LogPlace { segment: 0, block: 1 }),
            bytes: 7,
            among: members(&[0]),
        }),
        answer(RepairSaid::Tail {
            next: None,
            read: 0,
            left: 3,
            records: vec![Copied { key: b"", ballot: Ballot::ZERO, entry: b"" }],
        }),
        answer(RepairSaid::Tail {
            next: None,
            read: 0,
            left: 3,
            records: vec![Copied { key: b"", ballot: BALLOT, entry: b"" }; 16_385],
        }),
        answer(RepairSaid::Consents(vec![1, 1])),
        answer(RepairSaid::Consents(vec![256])),
        answer(RepairSaid::Sums(vec![])),
        answer(RepairSaid::Differ(vec![2, 1])),
        answer(RepairSaid::Listed { entries: vec![], more: true }),
        answer(RepairSaid::Listed { entries: vec![listed(2), listed(1)], more: false }),
        answer(RepairSaid::Copies { taken: 0, records: vec![] }),
        answer(RepairSaid::Copies {
            taken: 1,
            records: vec![Copied { key: b"", ballot: BALLOT, entry: b"" }; 2],
        }),
        answer(RepairSaid::Copies {
            taken: 1,
            records: vec![Copied { key: b"", ballot: Ballot::ZERO, entry: b"" }],
        }),
    ];
    for message in hostile {
        assert!(PeerMessage::decode(&bytes_of(&message)).is_err(), "{message:?}");
    }
}

#[test]
fn random_bytes_do_no_harm() {
    assert_random_bytes_do_no_harm(&samples().iter().map(bytes_of).collect::<Vec<_>>(), 200_000);
}

/// Whatever arrives, it is decoded or refused, and what is decoded is encoded to the same.
pub fn assert_random_bytes_do_no_harm(samples: &[Vec<u8>], tries: usize) {
    let mut rng = Rng::new(1);
    for _ in 0..tries {
        let mut bytes = samples[rng.below(samples.len() as u64) as usize].clone();
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = rng.next_u64() as u8;
        }
        bytes.truncate(1 + rng.below(bytes.len() as u64) as usize);
        if let Ok((sender, message)) = PeerMessage::decode(&bytes) {
            let mut again = Vec::new();
            message.encode(sender, &mut again);
            assert_eq!(again, bytes, "{message:?}");
        }
    }
}
