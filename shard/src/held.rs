//! The handle that `paxos` carries for an entry: its bytes, the object that they make, a delta of that, or the knowledge that they lie on disk.
//!
//! A large object is kept decoded ([`Held::Object`]): a copy costs a count, a batch changes a copy, and of what it changed a delta is made. A peer's
//! delta is kept as it came ([`Held::Delta`]); who needs what it means reads the chain, as if it were cold.

pub use bitcask::Bytes;

use std::cell::OnceCell;
use std::rc::Rc;

use paxos::Ballot;
use reactor::mutants::planted;

use crate::expiring::{kind_of, TIED};
use crate::flush::epoch::is_older;
use crate::record::{Applied, Damage, Delta, Record};
use crate::requests;
use crate::state::{Type, Value};

/// An entry of this core, opaque to `paxos`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Whole and encoded, in memory (see [`crate::record`]).
    Here(Bytes),
    /// A large object, decoded.
    Object(Rc<Object>),
    /// A peer's delta, encoded: what it means is in the log, once it is durable.
    Delta(Bytes),
    /// Durable here, to be read when somebody needs the bytes. The acceptor decides without them.
    Cold,
}

/// A whole record with a large object, decoded, and its forms.
#[derive(Debug)]
pub struct Object {
    /// The ballot that it was proposed or read at. The same entry may be accepted at later ones.
    pub at: Ballot,
    /// What it is. Its object takes notes, so that its digest is at hand.
    pub record: Record,
    /// The delta that it was proposed as, if it was.
    pub delta: Option<Bytes>,
    whole: OnceCell<Bytes>,
}

impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        self.record == other.record
    }
}

impl Eq for Object {}

impl Object {
    /// A record of this ballot, with the delta that it is proposed as.
    pub fn new(at: Ballot, mut record: Record, delta: Option<Bytes>) -> Object {
        // What was noted of it is in the delta, or is of no use.
        record.value.iter_mut().for_each(|value| {
            value.begin_notes(0);
            value.begin_scans();
        });
        record.requests.end_notes();
        Object { at, record, delta, whole: OnceCell::new() }
    }

    /// As [`Object::new`], where the encoding of the record is at hand.
    pub fn read(at: Ballot, record: Record, whole: Bytes) -> Object {
        let object = Object::new(at, record, None);
        object.whole.get_or_init(|| whole);
        object
    }

    /// Bytes of the value's encoding, about what the whole has: nothing is encoded for this.
    pub fn value_bytes(&self) -> usize {
        self.record.value.as_ref().map_or(0, |value| value.bytes())
    }

    /// The record as bytes: made when it is asked for first.
    pub fn whole(&self) -> &Bytes {
        self.whole.get_or_init(|| {
            let mut bytes = Vec::new();
            self.record.encode(&mut bytes);
            Bytes::from(bytes)
        })
    }

    /// About how many bytes it takes in memory: those of its entries, what a tree takes for each, and its encoding; what a scan needs, while there
    /// is one.
    pub fn memory_bytes(&self) -> usize {
        // The encoding may be made at any time.
        let bytes =
            |value: &Value| 2 * value.bytes() + ENTRY_BYTES * value.entries() + value.scan_order_bytes();
        self.record.value.as_ref().map_or(0, bytes)
    }

    /// The delta that this entry is at a ballot: the one that it was proposed as there.
    pub fn delta_at(&self, ballot: Ballot) -> Option<&Bytes> {
        self.delta.as_ref().filter(|_| self.at == ballot)
    }

    /// The delta that says the same again, for a later ballot.
    pub fn delta_of_nothing(&self, base: Ballot) -> Option<Bytes> {
        let mut bytes = Vec::new();
        let requests = requests::Changes::none_of(&self.record.requests);
        let mut delta = Delta::new(base, &self.record, Vec::new(), requests)?;
        if planted(516) {
            delta.applied = Applied::default();
        }
        delta.encode(&mut bytes).then(|| Bytes::from(bytes))
    }
}

/// About what a tree takes for an entry beside its bytes; a sorted set has two.
const ENTRY_BYTES: usize = 100;

impl Held {
    /// The bytes of the whole, if it is in memory.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Held::Here(bytes) => Some(bytes),
            Held::Object(object) => Some(object.whole()),
            Held::Delta(_) | Held::Cold => None,
        }
    }

    /// What it means in a flush epoch, if that is in memory. What is kept decoded is as it was written, as bytes are: here it becomes a tombstone.
    pub(crate) fn record_in(&self, epoch: u32) -> Option<Result<Record, Damage>> {
        match self {
            Held::Here(bytes) => Some(Record::decode_in(bytes, epoch).map_err(Damage::from)),
            Held::Object(object) => Some(Ok(object.record.clone().in_epoch(epoch))),
            Held::Delta(_) | Held::Cold => None,
        }
    }

    /// Whether it is of an older flush epoch than this, as far as that is in memory.
    pub(crate) fn is_older(&self, epoch: u32) -> bool {
        match self {
            Held::Here(bytes) | Held::Delta(bytes) => is_older(bytes, epoch),
            Held::Object(object) => object.record.epoch < epoch,
            Held::Cold => false,
        }
    }

    /// Whether it is a tombstone, as far as that is in memory; a delta is none.
    pub(crate) fn is_tombstone(&self) -> bool {
        matches!(self, Held::Here(bytes) if Record::is_tombstone(bytes) == Ok(true))
    }

    /// Whether what it means is not in memory.
    pub(crate) fn is_cold(&self) -> bool {
        matches!(self, Held::Cold | Held::Delta(_))
    }

    /// Whether it is the head of a log group; none is cold that is decided on.
    pub(crate) fn is_group(&self) -> bool {
        matches!(self, Held::Here(bytes) if Record::is_group(bytes))
    }

    /// Whether a joint command has claimed its key.
    pub(crate) fn is_claimed(&self) -> bool {
        match self {
            Held::Here(bytes) => Record::is_claimed(bytes),
            Held::Object(object) => object.record.ties.as_ref().is_some_and(|ties| ties.claim.is_some()),
            Held::Delta(_) | Held::Cold => false,
        }
    }

    /// How many elements or members there are to pop; 1 where that is not known.
    pub(crate) fn entries(&self) -> u32 {
        match self {
            Held::Here(bytes) | Held::Delta(bytes) => Record::entries(bytes).unwrap_or(1),
            Held::Object(object) => match &object.record.value {
                Some(value) if value.kind() == Type::SortedSet && planted(579) => 0,
                Some(value) if matches!(value.kind(), Type::List | Type::SortedSet) => value.entries() as u32,
                _ => 0,
            },
            Held::Cold => 1,
        }
    }

    /// What it is for the log, and when its value ends.
    pub(crate) fn kind(&self) -> Option<(bitcask::Kind, u64)> {
        match self {
            Held::Here(bytes) | Held::Delta(bytes) => Some(kind_of(bytes)),
            Held::Object(object) => Some(match (object.record.ties.is_some(), object.record.expires_at_ms) {
                (true, _) => (bitcask::Kind::Expiring, TIED),
                (false, 0) => (bitcask::Kind::Value, 0),
                (false, ends_ms) => (bitcask::Kind::Expiring, ends_ms),
            }),
            Held::Cold => None,
        }
    }
}

impl paxos::Entry for Held {
    fn agrees(&self, other: &Held) -> bool {
        let means =
            |delta: &Bytes, whole: &Record| Delta::decode(delta).is_ok_and(|delta| delta.means(whole));
        match (self, other) {
            (Held::Cold, _) | (_, Held::Cold) => true,
            (Held::Delta(own), Held::Delta(theirs)) if own == theirs => true,
            (Held::Delta(own), Held::Delta(theirs)) => match (Delta::decode(own), Delta::decode(theirs)) {
                (Ok(own), Ok(theirs)) => own.agrees(&theirs),
                _ => false,
            },
            (Held::Delta(delta), Held::Object(object)) | (Held::Object(object), Held::Delta(delta)) => {
                means(delta, &object.record)
            }
            (Held::Delta(delta), Held::Here(whole)) | (Held::Here(whole), Held::Delta(delta)) => {
                Record::decode(whole).is_ok_and(|whole| means(delta, &whole))
            }
            (own, theirs) => own.bytes() == theirs.bytes(),
        }
    }
}

/// Whether a value is one that is kept decoded.
pub(crate) fn is_large(value: Option<&Value>, bytes_min: usize) -> bool {
    let is_object = |value: &&Value| !matches!(value, Value::Str(_) | Value::Group(_));
    value.filter(is_object).is_some_and(|value| value.bytes() >= bytes_min)
}
