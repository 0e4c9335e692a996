//! Entries, as the log keeps them and Accept carries them: what is decoded is encoded as it was.

use paxos::Ballot;
use shard::joint::{Claim, Decision, JointId, Ties, Write};
use shard::object::indexes::Task;
use shard::object::{Group, Hash, Indexes, List, Name, RowChange, Score, Set, SortedSet};
use shard::record::{Applied, CommandId, Record};
use shard::requests::Requests;
use shard::state::{State, Value};

use crate::limits::{ANY_BYTES, DECODED_BYTES_PER_BYTE};
use crate::meter;

/// The bytes of an entry.
pub fn run(data: &[u8]) {
    let allowed = data.len() * DECODED_BYTES_PER_BYTE + ANY_BYTES;
    let (tombstone, head) = (Record::is_tombstone(data), Record::head(data));
    let check = meter::bounded(ANY_BYTES, || Record::check(data));
    let Ok(record) = meter::bounded(allowed, || Record::decode(data)) else { return };
    assert_eq!(check, Ok(()), "what can be decoded passes the check");
    let mut again = Vec::new();
    record.encode(&mut again);
    assert_eq!(again, data, "{record:?}");
    let is_tombstone = record.value.is_none() && record.ties.is_none();
    assert_eq!(tombstone, Ok(is_tombstone), "the head alone says the same");
    assert_eq!(Record::is_tied(data), record.ties.is_some(), "and whether there are ties");
    let kind = record.value.as_ref().map(Value::kind);
    assert_eq!(head, Ok(kind.map(|kind| (kind, record.expires_at_ms))), "so do its type and its end");
    let entries = match &record.value {
        Some(Value::List(list)) => list.len(),
        Some(Value::SortedSet(set)) => set.len(),
        _ => 0,
    };
    assert_eq!(Record::entries(data), Ok(entries as u32), "and what there is to pop");
    for origin in record.applied.origins() {
        let known = |seq| CommandId { node: origin.node, incarnation: origin.incarnation, seq };
        origin.applied.iter().for_each(|(seq, _)| drop(record.applied.find(known(*seq))));
    }
    assert_eq!(record.state().value, record.value);
}

/// An entry with everything in it.
pub fn sample() -> Record {
    let mut applied = Applied::default();
    for (node, seq, reply) in [(1 << 16, 7, &[13][..]), (2 << 16, 8, &[2, 5]), (2 << 16, 9, &[5; 600])] {
        applied.insert(CommandId { node, incarnation: 1, seq }, reply);
    }
    applied.settle(1 << 16, 1, 5);
    let mut requests = Requests::default();
    for (name, seq, reply) in [(&b"client"[..], 7, &[13][..]), (b"other", 1, &[5; 600]), (b"client", 9, b"+")]
    {
        requests.insert(name, seq, reply, 99);
    }
    Record {
        version: 1025,
        epoch: 0,
        value: Some(Value::Str(b"value".to_vec())),
        expires_at_ms: 99,
        applied,
        requests,
        ties: None,
    }
}

/// What joint commands leave at a key: a claim, and a decision with writes of two other keys.
fn tied(value: Option<Value>) -> Record {
    let id = |seq| JointId { node: 1 << 16, incarnation: 3, seq };
    let value_of_other =
        State { value: Some(Value::Str(b"v".to_vec())), expires_at_ms: 7, ..State::default() };
    let writes = vec![((*b"b").into(), Write::of(&value_of_other)), ((*b"c").into(), Write::default())];
    let claim = Some(Claim { id: id(300), anchor: (*b"anchor").into() });
    let ties = Some(Box::new(Ties { claim, decisions: vec![Decision { id: id(2), writes }] }));
    Record { value, ties, ..Record::default() }
}

/// A value of each type.
pub fn values() -> Vec<Value> {
    let (mut hash, mut list, mut set, mut sorted) =
        (Hash::default(), List::default(), Set::default(), SortedSet::default());
    for (place, name) in [&b"a"[..], b"", b"bc", &[b'x'; 200]].into_iter().enumerate() {
        hash.set(name, b"value");
        list.insert(0, name);
        set.insert(name);
        sorted.set(name, Score::new(1.5 - place as f64).expect("is no NaN"));
    }
    let rows = Value::Rows(hash.clone());
    vec![
        Value::Str(vec![]),
        Value::Hash(hash),
        Value::List(list),
        Value::Set(set),
        Value::SortedSet(sorted),
        rows,
    ]
}

/// Heads of a log group: the first entry, and one that stands on it.
fn heads() -> [Record; 2] {
    let (first, second) = (Ballot::new(7, 1, 1), Ballot::new(8, 1, 1));
    let changes: [RowChange<'_>; 2] = [(b"\x01a", Some(b"row")), (b"\x01b", None)];
    let base = Name { version: 9, origin: first };
    // One index is whole, and the next is filled up to a place.
    let mut indexes = Indexes::default();
    indexes.note_step(&Task { index: 1, fills: true, place: None }, None);
    indexes.note_step(&Task { index: 2, fills: true, place: None }, Some(b"\x01a"));
    let head =
        |origin, base| Some(Value::Group(Group::new(3, origin, base, indexes.clone(), changes.into_iter())));
    let record = |version, value| Record { version, value, ..Record::default() };
    [record(9, head(first, None)), record(10, head(second, Some(base)))]
}

/// Values of all types, heads of groups, a tombstone, entries with ids, of before a flush and of after some.
pub fn seeds() -> Vec<Vec<u8>> {
    let of = |value| Record { value: Some(value), expires_at_ms: 7, ..Record::default() };
    let records: Vec<Record> = [
        Record::default(),
        sample(),
        Record { epoch: 300, ..sample() },
        tied(None),
        tied(Some(Value::Str(b"v".to_vec()))),
    ]
    .into_iter()
    .chain(heads())
    .chain(values().into_iter().map(of))
    .collect();
    let encode = |record: &Record| {
        let mut out = Vec::new();
        record.encode(&mut out);
        out
    };
    records.iter().map(encode).collect()
}
