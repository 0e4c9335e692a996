//! Entries, as the log keeps them and Accept carries them: what is decoded is encoded as it was.

use shard::record::{Applied, CommandId, Record};
use shard::state::Value;

use crate::limits::{ANY_BYTES, DECODED_BYTES_PER_BYTE};
use crate::meter;

/// The bytes of an entry.
pub fn run(data: &[u8]) {
    let allowed = data.len() * DECODED_BYTES_PER_BYTE + ANY_BYTES;
    let (tombstone, ends_at) = (Record::is_tombstone(data), Record::value_ends_at(data));
    let Ok(record) = meter::bounded(allowed, || Record::decode(data)) else { return };
    let mut again = Vec::new();
    record.encode(&mut again);
    assert_eq!(again, data, "{record:?}");
    assert_eq!(tombstone, Ok(record.value.is_none()), "the head alone says the same");
    assert_eq!(ends_at, Ok(record.value.is_some().then_some(record.expires_at_ms)), "so does its end");
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
    Record { version: 1025, value: Some(Value::Str(b"value".to_vec())), expires_at_ms: 99, applied }
}

/// A value, a tombstone, and an entry with ids.
pub fn seeds() -> Vec<Vec<u8>> {
    let records =
        [Record::default(), sample(), Record { value: Some(Value::Str(vec![])), ..Record::default() }];
    let encode = |record: &Record| {
        let mut out = Vec::new();
        record.encode(&mut out);
        out
    };
    records.iter().map(encode).collect()
}
