//! Entries in the core's log, each by its name, and the newest of them in memory.
//!
//! An entry's record has a slot beyond those of keys: neither sums of slots nor sweeps nor what peers are told of records ever see it.

use std::collections::VecDeque;
use std::rc::Rc;

use bitcask::limits::{KEY_SLOTS, PAGE_SLOTS};
use bitcask::{AppendError, Fingerprint, FingerprintHasher, KeyRef, Kind, Record as LogRecord};
use hashbrown::HashMap;
use paxos::Ballot;
use reactor::mutants::planted;
use reactor::Disk;

use super::{Entry, Kept, RECORD_BYTES};
use crate::core::{stamp_of, EntityId, Loading, Shard};
use crate::error::Fault;
use crate::limits::RECENT_ENTRIES_BYTES_MAX;
use crate::object::group::NAME_BYTES;
use crate::object::Name;
use crate::record::Record;
use crate::turn::Turn;

/// Entries that were logged or read last, up to a number of bytes: one that is not durable yet is found nowhere else.
#[derive(Debug)]
pub(super) struct Recent {
    entries: HashMap<Fingerprint, Rc<Entry>, FingerprintHasher>,
    order: VecDeque<Fingerprint>,
    bytes: usize,
}

impl Default for Recent {
    fn default() -> Recent {
        Recent { entries: HashMap::with_hasher(FingerprintHasher), order: VecDeque::new(), bytes: 0 }
    }
}

fn memory_bytes(entry: &Entry) -> usize {
    entry.group.encoded_bytes() + RECORD_BYTES
}

impl Recent {
    fn find(&self, key: Fingerprint, name: Name) -> Option<&Rc<Entry>> {
        let is_it = |entry: &Rc<Entry>| entry.name() == name || planted(550) && entry.version == name.version;
        self.entries.get(&key).filter(|entry| is_it(entry))
    }

    fn put(&mut self, key: Fingerprint, entry: Rc<Entry>) {
        self.bytes += memory_bytes(&entry);
        if let Some(before) = self.entries.insert(key, entry) {
            self.bytes -= memory_bytes(&before);
        } else {
            self.order.push_back(key);
        }
        while self.bytes > RECENT_ENTRIES_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { return };
            self.bytes -= self.entries.remove(&oldest).map_or(0, |entry| memory_bytes(&entry));
        }
    }
}

/// What the log has of an entry.
pub(super) enum Logged {
    Here(Rc<Entry>),
    /// It is being read: [`Loading::Entry`] follows, for the group with this fingerprint.
    Reading(bitcask::Ticket),
    /// It is not here, or it is damage.
    Absent,
}

/// What an entry is logged under.
fn entry_key(group: &[u8], name: Name) -> Vec<u8> {
    let mut key = Vec::with_capacity(group.len() + NAME_BYTES);
    key.extend_from_slice(group);
    let origin = if planted(550) { Ballot::ZERO } else { name.origin };
    Name { origin, ..name }.encode(&mut key);
    key
}

/// The slot for the entries of a group.
fn entry_slot(group: u16) -> u16 {
    (KEY_SLOTS + usize::from(group) % PAGE_SLOTS) as u16
}

impl<D: Disk> Shard<D> {
    /// Whether the log takes a record now; with a head it takes its entry, which is a key more.
    pub(crate) fn admits_record(
        &self,
        reference: KeyRef,
        key_bytes: usize,
        kind: Kind,
        record: &[u8],
    ) -> Result<(), AppendError> {
        if Record::is_group(record) {
            let both = 2 * record.len() + key_bytes + NAME_BYTES + RECORD_BYTES;
            let entry = (entry_slot(reference.0), reference.1);
            self.store.admits_as(entry, key_bytes + NAME_BYTES, Kind::Value, both)?;
        }
        self.store.admits_as(reference, key_bytes, kind, record.len())
    }

    /// What an entry of a group is logged under.
    fn entry_ref(&self, group: KeyRef, key: &[u8], name: Name) -> (KeyRef, Vec<u8>) {
        let key = entry_key(key, name);
        (self.store.key_ref(entry_slot(group.0), &key), key)
    }

    /// Logs the entry that a head is, before the head is: if the log is torn, then the head goes first.
    pub(crate) fn log_entry_of(&mut self, reference: KeyRef, key: &[u8], head: &[u8]) -> Option<Rc<Entry>> {
        let entry = Entry::of_head(head)?;
        self.log_entry(reference, key, entry.clone());
        Some(entry)
    }

    /// As [`Shard::log_entry_of`], of a head that an entity accepts.
    pub(crate) fn log_own_entry(&mut self, id: EntityId, head: &[u8]) {
        if Record::is_group(head) {
            let (reference, key) = (self.peek(id).reference, self.peek(id).key.clone());
            self.log_entry_of(reference, &key, head);
        }
    }

    /// Logs an entry that is chosen, and that this member has not accepted. False: there is no room for it now.
    pub(super) fn learn_entry(&mut self, group: KeyRef, key: &[u8], entry: Rc<Entry>) -> bool {
        let has_room = self.admits_record(group, key.len(), Kind::Value, &entry.encode()).is_ok();
        if has_room {
            self.log_entry(group, key, entry);
        }
        has_room
    }

    /// Logs an entry, unless the log has it.
    pub(super) fn log_entry(&mut self, group: KeyRef, key: &[u8], entry: Rc<Entry>) {
        let name = entry.name();
        let (reference, key) = self.entry_ref(group, key, name);
        let recent = self.groups.recent.find(reference.1, name).is_some();
        if recent || self.store.info_as(reference).entry.is_some() {
            return;
        }
        if planted(551) {
            return self.groups.recent.put(reference.1, entry);
        }
        let body = entry.encode();
        let stamp = stamp_of(name.origin);
        let record = LogRecord { slot: reference.0, key: &key, kind: Kind::Value, stamp, body: &body };
        match self.store.append_as(reference, record, false) {
            Ok(_) => {
                let bytes = u32::try_from(key.len() + body.len()).expect("records are bounded far below");
                self.groups.trimming.add(Kept { reference, bytes });
                self.groups.recent.put(reference.1, entry);
            }
            // There was room for it when its head was decided on.
            Err(error) => self.fail(Fault::append(&error)),
        }
    }

    /// Finds an entry of a group.
    pub(super) fn logged(
        &mut self,
        turn: &mut Turn<'_, D>,
        (group, key): (KeyRef, &[u8]),
        name: Name,
    ) -> Logged {
        let (reference, key) = self.entry_ref(group, key, name);
        if let Some(entry) = self.groups.recent.find(reference.1, name) {
            return Logged::Here(entry.clone());
        }
        match self.store.read_as(turn.disk, reference, &key) {
            bitcask::Read::Ready(found) => self.take_logged(reference.1, &found),
            bitcask::Read::Pending(ticket) => {
                self.expect_read(ticket, Loading::Entry(group.1, ticket));
                Logged::Reading(ticket)
            }
            bitcask::Read::Absent => Logged::Absent,
        }
    }

    /// An entry was read, for a group with this fingerprint or for a peer: it is kept for a while, and who waits for it goes on.
    pub(crate) fn on_entry_read(
        &mut self,
        turn: &mut Turn<'_, D>,
        (group, ticket): (Fingerprint, bitcask::Ticket),
        found: Option<bitcask::Found>,
    ) {
        if let Some(found) = found {
            let key = self.store.fingerprint(&found.key);
            self.take_logged(key, &found);
        }
        self.go_on_with_job(turn, group);
        self.serve_read(turn, ticket);
    }

    fn take_logged(&mut self, key: Fingerprint, found: &bitcask::Found) -> Logged {
        match Entry::decode(&found.body) {
            Ok(entry) => {
                self.groups.recent.put(key, entry.clone());
                Logged::Here(entry)
            }
            // It was checked when it was written, and its frame has a checksum: a newer version wrote it.
            Err(_) => Logged::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Group, Indexes};

    #[test]
    fn the_oldest_entries_make_room() {
        let mut recent = Recent::default();
        let bytes = vec![b'x'; RECENT_ENTRIES_BYTES_MAX / 4];
        let entry = |version: u64| {
            let changes = [(&b"k"[..], Some(&bytes[..]))];
            let group =
                Group::new(1, Ballot::new(version, 1, 1), None, Indexes::default(), changes.into_iter());
            Rc::new(Entry { epoch: 0, version, group })
        };
        let mut key = Fingerprint::MIN;
        let mut keys = Vec::new();
        for version in 1..=5 {
            recent.put(key, entry(version));
            // The same again takes no more room.
            recent.put(key, entry(version));
            keys.push(key);
            key = key.next().expect("there are more");
        }
        let found: Vec<bool> = keys
            .iter()
            .zip(1..)
            .map(|(key, version)| recent.find(*key, entry(version).name()).is_some())
            .collect();
        assert_eq!(found, [false, false, true, true, true]);
        assert!(recent.bytes <= RECENT_ENTRIES_BYTES_MAX && recent.order.len() == 3);
        assert!(recent.find(keys[4], entry(4).name()).is_none(), "two keys with one fingerprint");
    }

    #[test]
    fn entries_have_slots_and_keys_of_their_own() {
        let name = Name { version: 7, origin: Ballot::new(8, 1, 2) };
        let other = Name { origin: Ballot::new(8, 2, 2), ..name };
        assert_ne!(entry_key(b"{t:a}", name), entry_key(b"{t:a}", other));
        for slot in [0, 63, 64, 16_383] {
            assert!((KEY_SLOTS..bitcask::limits::SLOTS).contains(&usize::from(entry_slot(slot))));
        }
    }
}
