//! Large objects that are kept decoded although nothing is under way for them: what was asked for last, up to a number of bytes.
//!
//! An object is found by key and ballot. A ballot carries one entry, ever, so what is found is what the record at that ballot means, however
//! long ago it was put here, and whatever became of others; nothing here is ever changed in place. One of an older flush epoch is not put here: nobody
//! asks for it, and it would drive others out. One that was here when the epoch began is as it was
//! written, as records are: who runs commands on it reads it as what it is in the core's ([`Held::record_in`]).

use std::collections::BTreeMap;
use std::rc::Rc;

use bitcask::{Entry, Fingerprint, FingerprintHasher, Found, KeyRef};
use hashbrown::HashMap;
use paxos::Ballot;
use reactor::mutants::planted;
use reactor::Disk;

use crate::core::{ballot_of, Shard};
use crate::error::Fault;
use crate::held::{is_large, Bytes, Held, Object};
use crate::record::{Applied, Delta, Record};
use crate::wire::bytes::Malformed;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Objects {
    kept: HashMap<Fingerprint, Kept, FingerprintHasher>,
    /// By when they were asked for last.
    order: BTreeMap<u64, Fingerprint>,
    clock: u64,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Kept {
    ballot: Ballot,
    object: Rc<Object>,
    bytes: usize,
    used: u64,
}

impl Objects {
    /// None yet, and never more than so many bytes.
    pub fn new(bytes_max: usize) -> Objects {
        let kept = HashMap::with_hasher(FingerprintHasher);
        Objects { kept, order: BTreeMap::new(), clock: 0, bytes: 0, bytes_max }
    }

    /// What the objects kept take, by the lengths of their encodings.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The object that a record means.
    pub fn find(&mut self, key: Fingerprint, ballot: Ballot) -> Option<Rc<Object>> {
        let kept = self.kept.get_mut(&key).filter(|kept| kept.ballot == ballot || planted(515))?;
        self.clock += 1;
        self.order.remove(&kept.used);
        self.order.insert(self.clock, key);
        kept.used = self.clock;
        // A scan makes it larger, and smaller again.
        let bytes = kept.object.memory_bytes();
        self.bytes = self.bytes - kept.bytes + bytes;
        kept.bytes = bytes;
        Some(kept.object.clone())
    }

    /// Keeps the object that a record means, in the place of what was kept of the key.
    pub fn put(&mut self, key: Fingerprint, ballot: Ballot, object: Rc<Object>) {
        self.drop_one(key);
        let bytes = object.memory_bytes();
        if bytes > self.bytes_max {
            return;
        }
        self.clock += 1;
        self.bytes += bytes;
        self.order.insert(self.clock, key);
        self.kept.insert(key, Kept { ballot, object, bytes, used: self.clock });
        while self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.order.first_key_value() else { return };
            self.drop_one(*oldest);
        }
    }

    fn drop_one(&mut self, key: Fingerprint) {
        if let Some(kept) = self.kept.remove(&key) {
            self.bytes -= kept.bytes;
            self.order.remove(&kept.used);
        }
    }
}

/// What is at hand of a key's newest durable record.
pub(crate) enum Cached {
    /// It has none.
    Absent,
    /// All of it.
    Here(Entry, Held),
    /// It has to be read.
    Elsewhere,
}

impl<D: Disk> Shard<D> {
    /// The key's newest durable record, if what it means is at hand.
    pub(crate) fn cached(&mut self, reference: KeyRef, key: &[u8]) -> Cached {
        if !self.objects.kept.is_empty() {
            let Some(entry) = self.store.info_as(reference).entry else { return Cached::Absent };
            if let Some(object) = self.objects.find(reference.1, ballot_of(entry.stamp)) {
                return Cached::Here(entry, Held::Object(object));
            }
        }
        match self.store.cached_as(reference, key) {
            bitcask::Cached::Absent => Cached::Absent,
            bitcask::Cached::Elsewhere => Cached::Elsewhere,
            bitcask::Cached::Here(entry, found) => match self.held_of(reference, &found) {
                Some(held) => Cached::Here(entry, held),
                None => Cached::Elsewhere,
            },
        }
    }

    /// What a record that was read is: its chain put together, a large object decoded. None: it is damage, and the slice stops.
    pub(crate) fn held_of(&mut self, reference: KeyRef, found: &Found) -> Option<Held> {
        let ballot = ballot_of(found.stamp);
        if found.deltas.is_empty() && found.body.len() < self.config.delta_object_bytes_min {
            return Some(Held::Here(found.body.clone()));
        }
        if let Some(object) = self.objects.find(reference.1, ballot) {
            return Some(Held::Object(object));
        }
        if found.deltas.is_empty() {
            return Some(self.open_object(reference, ballot, Held::Here(found.body.clone())));
        }
        self.metrics.chain_reads += 1;
        let record = self.fold(found)?;
        let object = Rc::new(Object::new(ballot, record, None));
        if !self.is_flushed(&found.body) {
            self.objects.put(reference.1, ballot, object.clone());
        }
        Some(Held::Object(object))
    }

    /// The whole bytes of a record that was read.
    pub(crate) fn whole_of(&mut self, found: &Found) -> Option<Bytes> {
        if found.deltas.is_empty() || planted(517) {
            return Some(found.body.clone());
        }
        self.metrics.chain_reads += 1;
        let mut bytes = Vec::new();
        self.fold(found)?.encode(&mut bytes);
        Some(Bytes::from(bytes))
    }

    fn fold(&mut self, found: &Found) -> Option<Record> {
        match Delta::fold(&found.body, found.deltas.iter().map(|delta| &**delta)) {
            Ok(record) => Some(record),
            Err(damage) => {
                self.fail(Fault::chain(&found.key, ballot_of(found.stamp), damage));
                None
            }
        }
    }

    /// The record, decoded if it is a large object of this flush epoch: then it is kept.
    pub(crate) fn open_object(&mut self, reference: KeyRef, ballot: Ballot, held: Held) -> Held {
        let bytes_min = self.config.delta_object_bytes_min;
        let Held::Here(bytes) = &held else { return held };
        let is_object =
            || matches!(Record::head(bytes), Ok(Some((kind, _))) if kind != crate::state::Type::String);
        if bytes.len() < bytes_min || !is_object() || self.is_flushed(bytes) {
            return held;
        }
        match Record::decode(bytes) {
            Ok(record) if is_large(record.value.as_ref(), bytes_min) => {
                let object = Rc::new(Object::read(ballot, record, bytes.clone()));
                self.objects.put(reference.1, ballot, object.clone());
                Held::Object(object)
            }
            // Who runs commands on it says so.
            _ => held,
        }
    }
}

/// What a record that was read remembers of commands, and when a request that it remembers was done last, if there is one: its newest part has all of that.
pub(crate) fn ids_of(found: &Found) -> Result<(Applied, Option<u64>), Malformed> {
    let newest = newest_part(found);
    match Record::is_delta(newest) {
        true => Delta::decode(newest).map(|Delta { applied, requests, .. }| {
            (applied, (!requests.is_empty()).then_some(requests.used_ms))
        }),
        false => Record::decode(newest).map(|Record { applied, requests, .. }| {
            (applied, (!requests.is_empty()).then(|| requests.used_ms()))
        }),
    }
}

/// The head of a record that was read: of its newest part, which says when it ends.
pub(crate) fn newest_part(found: &Found) -> &Bytes {
    found.deltas.last().unwrap_or(&found.body)
}
