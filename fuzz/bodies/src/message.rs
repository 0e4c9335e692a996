//! Messages between cores: what is decoded is encoded as it was, and memory follows the bytes.

use paxos::Ballot;
use shard::command::{Command, Limits};
use shard::object::Name;
use shard::record::CommandId;
use shard::reply::Reply;
use shard::wire::{AcceptMessage, CatalogSaid, Flush, FlushSaid, Forward, GroupSaid, PeerMessage, Sender};

use crate::input::Input;
use crate::limits::{ANY_BYTES, DECODED_BYTES_PER_BYTE};
use crate::meter;

/// One byte that says what the rest is: a message, a command or a reply.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = input.byte();
    let bytes = input.rest();
    let allowed = bytes.len() * DECODED_BYTES_PER_BYTE + ANY_BYTES;
    match kind % 3 {
        0 => message(bytes, allowed),
        1 => command(bytes, allowed),
        _ => reply(bytes, allowed),
    }
}

fn message(bytes: &[u8], allowed: usize) {
    let accept = AcceptMessage::read(bytes);
    let Ok((sender, message)) = meter::bounded(allowed, || PeerMessage::decode(bytes)) else {
        assert!(accept.is_none(), "what cannot be decoded is no Accept either");
        return;
    };
    assert_eq!(
        accept.is_some(),
        bytes.first() == Some(&3),
        "an Accept, and nothing else, can be read in short"
    );
    if let (Some(accept), PeerMessage::Paxos { slot, key, .. }) = (accept, &message) {
        assert_eq!((accept.sender, accept.slot, accept.key), (sender, *slot, *key));
        assert!(bytes.ends_with(accept.entry));
    }
    let mut again = Vec::new();
    message.encode(sender, &mut again);
    assert_eq!(again, bytes, "{message:?}");
    if let PeerMessage::Forward(forward) | PeerMessage::HandOver(forward) = &message {
        command(forward.command, allowed);
    }
    if let PeerMessage::Forwarded { reply: bytes, .. } = message {
        reply(bytes, allowed);
    }
}

fn command(bytes: &[u8], allowed: usize) {
    let Ok(command) = meter::bounded(allowed, || Command::decode(bytes)) else { return };
    let mut again = Vec::new();
    command.encode(&mut again);
    assert_eq!(Command::decode(&again), Ok(command));
}

fn reply(bytes: &[u8], allowed: usize) {
    let Ok(reply) = meter::bounded(allowed, || Reply::decode(bytes)) else { return };
    let mut again = Vec::new();
    reply.encode(&mut again);
    let mut twice = Vec::new();
    // Compared as bytes: a number that is none (NaN) is not equal to itself.
    Reply::decode(&again).expect("what was encoded is decoded").encode(&mut twice);
    assert_eq!(again, twice, "{reply:?}");
}

/// Encoded messages: see [`messages`]; and a few commands and replies.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        messages().iter().map(|message| [&[0], message.as_slice()].concat()).collect();
    let lines: [&[&[u8]]; 5] = [
        &[b"SET", b"key", b"value", b"IFEQ", b"old", b"PX", b"1000"],
        &[b"MGET", b"a", b"b"],
        &[b"SCAN", b"0", b"MATCH", b"a*", b"COUNT", b"10"],
        &[b"INCRBYFLOAT", b"k", b"1.5"],
        &[b"EXPIREAT", b"k", b"99", b"GT"],
    ];
    for line in lines {
        let mut seed = vec![1];
        Command::parse(line, &Limits::default()).expect("a command").encode(&mut seed);
        seeds.push(seed);
    }
    let nested = Reply::Map(vec![(Reply::bulk("k"), Reply::Array(vec![Reply::Nil, Reply::Double(1.5)]))]);
    for reply in
        [Reply::OK, Reply::Int(-7), Reply::error("ERR no"), nested, Reply::Set(vec![Reply::NilArray])]
    {
        let mut seed = vec![2];
        reply.encode(&mut seed);
        seeds.push(seed);
    }
    seeds
}

/// Messages of each type, as a host of this epoch and incarnation would send it.
pub fn messages() -> Vec<Vec<u8>> {
    let sender = Sender { epoch: 1, incarnation: 1, flush: 0, catalog: 0 };
    let encoded = |message: PeerMessage<'_>| {
        let mut out = Vec::new();
        message.encode(sender, &mut out);
        out
    };
    let mut command = Vec::new();
    Command::parse(&[b"SET", b"k", b"v"], &Limits::default()).expect("a command").encode(&mut command);
    let id = CommandId { node: 2 << 16, incarnation: 1, seq: 3 };
    let forward = Forward { id, to_incarnation: 1, settled_below: 2, remaining_ms: 900, command: &command };
    let name = Name { version: 9, origin: Ballot::new(7, 1, 1) };
    let mut reply = Vec::new();
    Reply::Int(5).encode(&mut reply);
    let mut messages = vec![
        encoded(PeerMessage::Forward(forward.clone())),
        encoded(PeerMessage::HandOver(forward)),
        encoded(PeerMessage::Forwarded { id, reply: &reply }),
        encoded(PeerMessage::NotForwarded { id, never: true }),
        encoded(PeerMessage::ForwardHeld(id)),
        encoded(PeerMessage::WrongEpoch),
        encoded(PeerMessage::Hello { learner: false }),
        encoded(PeerMessage::Flush(Flush { id: 9, said: FlushSaid::Ask })),
        encoded(PeerMessage::Flush(Flush { id: 9, said: FlushSaid::Raise(2) })),
        encoded(PeerMessage::Group(GroupSaid::Ask { key: b"{t:a}", name, epoch: 1, table: 2, have: None })),
        encoded(PeerMessage::Group(GroupSaid::Ask {
            key: b"{t:a}",
            name,
            epoch: 1,
            table: 2,
            have: Some(name),
        })),
        encoded(PeerMessage::Group(GroupSaid::Gone { key: b"{t:a}", name, at: name })),
        encoded(PeerMessage::Group(GroupSaid::AskRows {
            key: b"{t:a}",
            name,
            epoch: 1,
            table: 2,
            at: Some(name),
            behind: b"\x01k",
        })),
        encoded(PeerMessage::Group(GroupSaid::Rows {
            key: b"{t:a}",
            at: name,
            behind: b"\x01k",
            more: true,
            rows: vec![(b"\x01l", b"v"), (b"\x01m", b"")],
        })),
        encoded(PeerMessage::Group(GroupSaid::Tell { key: b"{t:a}", name, entries: Vec::new() })),
        encoded(PeerMessage::Catalog(CatalogSaid::Ask)),
        encoded(PeerMessage::Catalog(CatalogSaid::Tell(b"no catalog"))),
    ];
    messages.extend(paxos_messages());
    messages.extend(survey_messages());
    messages.extend(dropping_messages());
    messages.extend(tail_messages());
    messages.extend(confirm_messages());
    messages.extend(range_messages());
    messages
}

/// A question for the tail of a log, and the answer with a record of the key `k`, laid out as docs/formats/peer-message.md has them.
fn tail_messages() -> Vec<Vec<u8>> {
    let head = |kind: u8| vec![kind, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];
    let (place, none) = ([1, 0, 0, 0, 2, 0, 0, 0], [0; 8]);
    let ballot = [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0];
    let mut entry = Vec::new();
    crate::record::sample().encode(&mut entry);
    let record = [&[1, 0, 0, 0, b'k'][..], &ballot, &(entry.len() as u32).to_le_bytes(), &entry].concat();
    let said =
        [&[0][..], &ballot, &[9, 0, 0, 0, 0, 0, 0, 0], &[8, 0, 0, 0, 0, 0, 0, 0], &[0; 16], &[12]].concat();
    let bodies: [(u8, Vec<u8>); 4] = [
        (24, [&[12][..], &none, &[0, 0, 4, 0, 3]].concat()),
        (24, [&[12][..], &place, &[0, 16, 0, 0, 1]].concat()),
        (25, [&said[..], &place, &[0, 16, 0, 0, 3, 0, 0, 0], &record].concat()),
        (25, [&said[..], &none, &[0; 8]].concat()),
    ];
    bodies.into_iter().map(|(kind, body)| [head(kind), body].concat()).collect()
}

/// Slots that are named, what was counted of them, and answers of repair that bear a count, laid out as docs/formats/peer-message.md has
/// them. Subscriptions are the first and the second of a first start, as a core that gets these may have given them out itself.
fn confirm_messages() -> Vec<Vec<u8>> {
    let head = |kind: u8| vec![kind, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let id = [1, 0, 0, 0, 1, 0, 0, 0];
    let counted =
        |subscription: u8, count: u8| [subscription, 0, 0, 0, 1, 0, 0, 0, count, 0, 0, 0, 0, 0, 0, 0];
    let ballot = [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0];
    let fingerprint = [7, 0, 0, 0, 0, 0, 0, 0, 8, 0];
    let said = [&id[..], &[0], &ballot, &[9, 0, 0, 0, 0, 0, 0, 0], &[8, 0, 0, 0, 0, 0, 0, 0]].concat();
    let bodies: [(u8, Vec<u8>); 7] = [
        (26, [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 255, 15, 0, 16, 255, 63].to_vec()),
        (27, [&id[..], &counted(1, 0), &[1, 0, 0, 0]].concat()),
        (28, [&id[..], &[0; 8], &counted(4, 1), &[1], &fingerprint, &ballot].concat()),
        (28, [&id[..], &[0; 8], &counted(4, 9), &[0]].concat()),
        (25, [&said[..], &counted(4, 0), &[5]].concat()),
        (25, [&said[..], &counted(5, 0), &[7, 3, 0]].concat()),
        (25, [&said[..], &counted(6, 2), &[3, 0], &fingerprint, &ballot, &[0, 9, 0, 0, 0]].concat()),
    ];
    bodies.into_iter().map(|(kind, body)| [head(kind), body].concat()).collect()
}

/// A question for a promise for all slots, the promise of one that was given out, a refusal, and the word that a client waits, laid out as docs/formats/peer-message.md has them.
fn range_messages() -> Vec<Vec<u8>> {
    let head = |kind: u8| vec![kind, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let counted = [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let ballot = |round: u8| [round, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0];
    let fingerprint = [7, 0, 0, 0, 0, 0, 0, 0, 8, 0];
    let bodies: [(u8, Vec<u8>); 5] = [
        (29, [&ballot(9)[..], &counted, &[1, 0, 0, 0], &[0, 0, 255, 63]].concat()),
        (30, [&ballot(2)[..], &[0; 8], &counted, &[1], &fingerprint, &ballot(4)].concat()),
        (30, [&ballot(2)[..], &[0; 8], &counted, &[0]].concat()),
        (31, [ballot(2), ballot(12)].concat()),
        // Somebody waits: number, fingerprint, what is said.
        (32, [&[5, 0, 0, 0, 1, 0, 0, 0][..], &[7; 10], &[1]].concat()),
    ];
    bodies.into_iter().map(|(kind, body)| [head(kind), body].concat()).collect()
}

/// What is said before a tombstone of the key `k` goes, laid out as docs/formats/peer-message.md has it.
fn dropping_messages() -> Vec<Vec<u8>> {
    let slot = shard::slot::slot(b"k").to_le_bytes();
    let head = |kind: u8| vec![kind, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0];
    let ballot = [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0];
    let watermark = [0, 0, 2, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    let fingerprint = [7, 0, 0, 0, 0, 0, 0, 0, 8, 0];
    let bodies: [(u8, Vec<u8>); 3] = [
        (24, [&[10][..], &slot, &[1], &watermark, &fingerprint, &ballot].concat()),
        (24, [&[11][..], &slot, &[1, 0, 0, 0, b'k'], &ballot].concat()),
        (
            25,
            [&[0][..], &ballot, &[9, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0], &[0; 16], &[10, 0, 0]]
                .concat(),
        ),
    ];
    bodies.into_iter().map(|(kind, body)| [head(kind), body].concat()).collect()
}

/// Messages about the key `k`, laid out as docs/formats/peer-message.md has them.
fn paxos_messages() -> Vec<Vec<u8>> {
    let [low, high] = shard::slot::slot(b"k").to_le_bytes();
    let head = |kind: u8| vec![kind, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, low, high, 1, 0, 0, 0, b'k'];
    let ballot = |round: u8| [round, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0];
    let mut entry = Vec::new();
    crate::record::sample().encode(&mut entry);
    let counted = [&(entry.len() as u32).to_le_bytes()[..], &entry].concat();
    let report = [&ballot(4)[..], &ballot(3), &[0, 1], &counted].concat();
    let bodies: [(u8, Vec<u8>); 9] = [
        (1, [ballot(5), ballot(0)].concat()),
        (2, [&ballot(5)[..], &report].concat()),
        (3, [&ballot(5)[..], &ballot(4), &counted].concat()),
        (4, [ballot(6), ballot(5)].concat()),
        (5, ballot(5).to_vec()),
        (6, [ballot(5), ballot(6), ballot(4), ballot(4), ballot(0)].concat()),
        (7, ballot(5).to_vec()),
        (8, [&[9, 0, 0, 0, 0, 0, 0, 0][..], &ballot(4)].concat()),
        (9, [&[9, 0, 0, 0, 0, 0, 0, 0][..], &report].concat()),
    ];
    bodies.into_iter().map(|(kind, body)| [head(kind), body].concat()).collect()
}

/// Questions about slots, and answers to them.
fn survey_messages() -> Vec<Vec<u8>> {
    let head = |kind: u8| vec![kind, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0];
    let bodies: [(u8, &[u8]); 4] = [
        (20, &[1, 3, 0, 4, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (20, &[3, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1]),
        (21, &[4]),
        (21, &[3, 2, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 99, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, b'k', b'e', b'y']),
    ];
    bodies.into_iter().map(|(kind, body)| [head(kind), body.to_vec()].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_laid_out_here_is_understood() {
        for message in messages() {
            assert!(PeerMessage::decode(&message).is_ok(), "{message:?}");
        }
    }
}
