//! Deltas, as the log keeps them and Accept carries them: what is decoded is encoded as it was, and applied to an object it fits or is refused.

use shard::object::List;
use shard::record::{Delta, Record};
use shard::requests::{Changes, Done};
use shard::state::{Type, Value};
use shard::wire::bytes::Reader;

use crate::limits::{ANY_BYTES, DECODED_BYTES_PER_BYTE};
use crate::{meter, record};

/// The bytes of a delta.
pub fn run(data: &[u8]) {
    let allowed = data.len() * DECODED_BYTES_PER_BYTE + ANY_BYTES;
    let (base, head, entries) = (Delta::base_of(data), Record::head(data), Record::entries(data));
    let check = meter::bounded(ANY_BYTES, || Delta::check(data));
    let Ok(delta) = meter::bounded(allowed, || Delta::decode(data)) else { return };
    assert_eq!(check, Ok(()), "what can be decoded passes the check");
    let mut again = Vec::new();
    assert!(delta.encode(&mut again), "it is no longer than a delta may be");
    assert_eq!(again, data, "{delta:?}");
    assert_eq!(base, Some(delta.base), "the head alone says the same");
    assert_eq!(head, Ok(Some((delta.kind, delta.expires_at_ms))), "so do its type and its end");
    let pops = matches!(delta.kind, Type::List | Type::SortedSet);
    assert_eq!(entries, Ok(if pops { delta.entries } else { 0 }), "and what there is to pop");
    assert!(Record::decode(data).is_err() && Record::check(data).is_err(), "it is no whole record");
    for value in record::values() {
        let mut folded = Record { epoch: delta.epoch, value: Some(value), ..Record::default() };
        if meter::bounded(allowed, || delta.apply(&mut folded)).is_ok() {
            let mut bytes = Vec::new();
            folded.encode(&mut bytes);
            assert_eq!(Record::decode(&bytes), Ok(folded), "what comes of it is a record");
        }
    }
}

/// A delta with this type and these changes, for the objects of the records.
fn sample(kind: Type, changes: &[u8]) -> Vec<u8> {
    sample_in(0, kind, changes)
}

/// As [`sample`], of a flush epoch.
fn sample_in(epoch: u32, kind: Type, changes: &[u8]) -> Vec<u8> {
    let Record { version, expires_at_ms, applied, .. } = record::sample();
    let done = |seq, reply| Done { name: (*b"client").into(), seq, now_ms: 99, reply };
    let done = vec![done(7, Some((*b"+").into())), done(4, None)];
    let requests = Changes { digest: 0x89ab_cdef, used_ms: 99, done };
    let base = Reader::new(&[7; 16], "ballot").ballot().expect("sixteen bytes are a ballot");
    let (digest, entries, changes) = (0x0123_4567, 4, changes.to_vec());
    let delta =
        Delta { base, version, epoch, kind, expires_at_ms, applied, requests, digest, entries, changes };
    let mut bytes = Vec::new();
    assert!(delta.encode(&mut bytes), "it is short");
    bytes
}

/// Changes of each kind, and what an object noted.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut list = Value::List(List::default());
    list.begin_notes(1000);
    if let Value::List(list) = &mut list {
        [&b"a"[..], b"bc", b"", b"d"].into_iter().for_each(|element| list.insert(0, element));
        list.cut(1, 4);
    }
    let noted = list.changes().expect("they are few");
    let hash = b"\x01\x01a\x03new\x02\x02bc\x01\x01z\x00";
    let list = b"\x08\x01x\x09\x01y\x0a\x01\x0b\x01\x0c\x01\x02xy\x0d\x01\x00\x0e\x01\x0f\x00\x02";
    let sorted = b"\x05\x01a\0\0\0\0\0\0\xf0\x3f\x06\x02bc\x07\x00\x01";
    vec![
        sample(Type::Hash, hash),
        sample(Type::List, list),
        sample(Type::List, &noted),
        sample(Type::Set, b"\x03\x01z\x04\x01a"),
        sample(Type::SortedSet, sorted),
        sample(Type::Hash, b""),
        sample_in(300, Type::Hash, hash),
    ]
}
