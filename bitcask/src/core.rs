//! What all parts of the engine share: the directory, the segments, the cache, what is ready to be written to.

use std::collections::VecDeque;
use std::rc::Rc;

use reactor::mutants::planted;
use reactor::{FileId, Nanos};

use crate::cache::ValueCache;
use crate::directory::{Directory, KeyRef};
use crate::error::Fault;
use crate::fingerprint::Keyed;
use crate::limits::{READY_WANTED, WARM_KEYS};
use crate::record::{self, Raw, RecordKind, RemoveBody, SealBody};
use crate::segments::{Segment, Segments};
use crate::table::Location;
use crate::types::{Entry, Event, Options, Stamp};
use crate::walk::MERGE;

/// An empty segment whose file is prepared and durably named.
#[derive(Debug)]
pub(crate) struct Ready {
    pub id: u64,
    pub file: FileId,
    pub capacity: u64,
}

/// Counts what the engine did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Log frames made durable.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of them, padding included.
    pub frame_bytes: u64,
    /// Reads answered from disk.
    pub disk_reads: u64,
    /// Of them, those that read a chain.
    pub chain_reads: u64,
    /// The deltas that these read.
    pub delta_reads: u64,
    /// Bytes read in stretches.
    pub stretch_bytes: u64,
    /// Segments merged away.
    pub merges: u64,
    /// Bytes that merge read.
    pub merge_read_bytes: u64,
    /// Bytes that merge wrote.
    pub merge_written_bytes: u64,
    /// Hints written.
    pub hints: u64,
}

/// The shared state.
pub(crate) struct Core {
    pub options: Options,
    pub keyed: Keyed,
    pub directory: Directory,
    pub segments: Segments,
    pub cache: ValueCache,
    pub ready: VecDeque<Ready>,
    /// There is, or was, a sealed segment.
    pub any_sealed: bool,
    /// One more is being made, and has its space.
    pub coming: bool,
    /// How many of the ready segments what was taken will begin.
    pub spoken_for: usize,
    /// How many of the ready segments the merge that runs may yet begin; none: no merge runs.
    pub merge_owed: Option<usize>,
    /// What is left of the segment that merge wrote to last, in bytes, while no merge runs.
    pub merge_rest: u64,
    /// How large a segment the log waits for, and the segment once it is there.
    pub oversize_wanted: Option<u64>,
    pub oversize_ready: Option<Ready>,
    /// The count of the segment that was named last.
    pub last_count: u32,
    /// The log's sealed segment that names the one in which it goes on, while that one is empty: it stays until then,
    /// or recovery would not know where the log ends.
    pub predecessor: Option<u16>,
    /// Something changed that may make a merge or a hint worth it.
    pub look: bool,
    pub events: VecDeque<Event>,
    pub full: bool,
    pub full_retry_at: Nanos,
    pub now: Nanos,
    pub failed: bool,
    pub counters: Counters,
}

impl Core {
    pub fn new(options: Options) -> Core {
        Core {
            keyed: Keyed::new(options.fingerprint_key),
            directory: Directory::new(),
            segments: Segments::default(),
            cache: ValueCache::new(options.cache_bytes),
            ready: VecDeque::new(),
            any_sealed: false,
            coming: false,
            spoken_for: 0,
            merge_owed: None,
            merge_rest: 0,
            oversize_wanted: None,
            oversize_ready: None,
            last_count: 0,
            predecessor: None,
            look: true,
            events: VecDeque::new(),
            full: false,
            full_retry_at: 0,
            now: 0,
            failed: false,
            counters: Counters::default(),
            options,
        }
    }

    /// Stops the slice. The first reason is the one that is told.
    pub fn fail(&mut self, fault: Fault) {
        if !self.failed {
            self.failed = true;
            self.events.push_back(Event::Failed(fault));
        }
    }

    /// The id of the next segment.
    pub fn new_id(&mut self) -> u64 {
        self.last_count =
            self.last_count.checked_add(1).expect("2^32 segments are more than any disk writes");
        self.keyed.segment_id(self.last_count)
    }

    pub fn set_full(&mut self, full: bool) {
        if self.full != full {
            self.full = full;
            self.look = true;
            self.events.push_back(Event::Full(full));
        }
    }

    /// An empty segment for the log. What is kept for others was looked after when the record was taken.
    pub fn ready_for_log(&mut self) -> Option<Ready> {
        let ready = self.any_ready()?;
        self.spoken_for = self.spoken_for.saturating_sub(1);
        Some(ready)
    }

    /// An empty segment for merge.
    pub fn ready_for_merge(&mut self) -> Option<Ready> {
        let ready = self.any_ready()?;
        self.merge_owed = self.merge_owed.map(|owed| owed.saturating_sub(1));
        Some(ready)
    }

    fn any_ready(&mut self) -> Option<Ready> {
        if self.segments.has_room() {
            self.ready.pop_front()
        } else {
            None
        }
    }

    /// Empty segments that are ready, or are being made and have their space.
    pub fn places(&self) -> usize {
        self.ready.len() + usize::from(self.coming)
    }

    /// Whether segments have to be made without waiting for the background's turn.
    pub fn is_short(&self) -> bool {
        !self.full && self.places() < READY_WANTED
    }

    /// Makes an empty segment one that holds records.
    pub fn adopt(&mut self, ready: Ready) -> u16 {
        let segment = Segment {
            id: ready.id,
            file: ready.file,
            capacity: ready.capacity,
            written: 0,
            live: 0,
            used: 0,
            merged: false,
            removes: 0,
            removes_barrier: 0,
            sealed: false,
            barrier: 0,
            hinted: false,
            readers: 0,
            oversize: false,
        };
        self.segments.insert(segment).expect("there was room for the segment when it was taken")
    }

    /// Whether a merge or a hint may have become worth it.
    pub fn worth_a_look(&self) -> bool {
        self.look || self.segments.emptied
    }

    /// The era of a record: of a tombstone none, as it is one in every era.
    pub fn era_of(&self, raw: &Raw<'_>) -> u32 {
        if raw.kind.is_value() {
            (self.options.era_of)(raw.body)
        } else {
            0
        }
    }

    /// Takes a durable record that recovery found, in any order. `era`: of a value.
    pub fn take_found(&mut self, raw: &Raw<'_>, era: u32, at: Location) -> Result<(), String> {
        let key = (raw.slot, self.keyed.fingerprint(raw.key));
        self.segments.at_mut(at.segment).used += at.bytes();
        let segments = &mut self.segments;
        match raw.kind {
            RecordKind::Tombstone if planted(212) => {}
            RecordKind::Value | RecordKind::Expiring | RecordKind::Tombstone => {
                let what = (raw.stamp, raw.kind.of_key(), era);
                match raw.base {
                    None => self.directory.find_entry(segments, &self.keyed, key, what, at)?,
                    Some(base) => self.directory.find_delta(segments, &self.keyed, key, what, base, at),
                }
            }
            RecordKind::Promise => {
                self.directory.take_promise(segments, key, raw.stamp, at);
            }
            RecordKind::Meta => {
                let [id] = raw.key else { return Err("a named value without a name".to_owned()) };
                self.directory.take_meta(segments, *id, raw.stamp.round, raw.body, at);
            }
            RecordKind::Remove => {
                let body = RemoveBody::from_bytes(raw.body)?;
                let segment = segments.at_mut(at.segment);
                segment.removes_barrier = segment.removes_barrier.max(body.barrier);
                self.last_count = self.last_count.max(body.barrier);
                self.take_remove(key, raw.stamp, body.promised, at);
            }
            RecordKind::Seal => self.take_seal(SealBody::from_bytes(raw.body)?, at.segment),
        }
        Ok(())
    }

    pub fn take_remove(&mut self, key: KeyRef, stamp: Stamp, promised: Stamp, at: Location) {
        self.segments.at_mut(at.segment).removes += at.bytes();
        if self.directory.take_remove(&mut self.segments, &self.keyed, key, stamp, promised) {
            self.cache.remove(key.1);
        }
    }

    pub fn take_seal(&mut self, seal: SealBody, segment: u16) {
        self.look = true;
        self.any_sealed = true;
        // A count that a seal names is never given out again, even when its file is gone by the next start.
        self.last_count = self.last_count.max(seal.barrier).max(seal.next);
        let segment = self.segments.at_mut(segment);
        segment.sealed = true;
        segment.barrier = seal.barrier;
        segment.oversize = seal.oversize;
        segment.used = seal.used;
        segment.merged = seal.flags == MERGE;
        if !segment.merged && segment.removes > 0 {
            segment.removes_barrier = seal.barrier;
        }
    }

    /// Brings what the directory knows of a payload's records near, before each of them is asked for.
    pub fn warm_records(&self, payload: &[u8]) {
        let mut keys = Vec::with_capacity(WARM_KEYS);
        // What is wrong with the payload is found by who walks it in earnest.
        let _ = record::each(payload, |raw, _, _| {
            keys.push((raw.slot, self.keyed.fingerprint(raw.key)));
            if keys.len() == WARM_KEYS {
                self.directory.warm(keys.iter().copied());
                keys.clear();
            }
            Ok(())
        });
        self.directory.warm(keys.iter().copied());
    }

    /// Whether the directory needs the record at this place.
    pub fn is_live(&self, raw: &Raw<'_>, at: Location) -> bool {
        match raw.kind {
            RecordKind::Value | RecordKind::Expiring | RecordKind::Tombstone => {
                let key = (raw.slot, self.keyed.fingerprint(raw.key));
                self.directory.needs_entry(key, at)
            }
            RecordKind::Promise => {
                let key = (raw.slot, self.keyed.fingerprint(raw.key));
                self.directory.promise_at(key) == Some(at)
            }
            RecordKind::Meta => raw.key.first().and_then(|&id| self.directory.meta_at(id)) == Some(at),
            RecordKind::Remove => {
                let key = (raw.slot, self.keyed.fingerprint(raw.key));
                self.directory.needs_removal(key, raw.stamp)
            }
            RecordKind::Seal => false,
        }
    }

    /// Whether the record at this place is needed because another extends it.
    pub fn is_extended(&self, raw: &Raw<'_>, at: Location) -> bool {
        let key = (raw.slot, self.keyed.fingerprint(raw.key));
        let newest = self.directory.find(key).map(|(_, newest)| newest);
        raw.kind.is_entry() && newest != Some(at) && self.directory.needs_entry(key, at)
    }

    /// The key's newest record, and all that it extends, if the cache has them.
    pub fn cached(&mut self, key: KeyRef, entry: &Entry) -> Option<Rc<[u8]>> {
        self.cache.find(key.1, |bytes| record::head(bytes).is_ok_and(|head| head.stamp == entry.stamp))
    }

    /// Puts a durable record into the cache.
    pub fn cache_record(&mut self, key: KeyRef, bytes: &[u8]) {
        if self.cache.keeps(bytes.len()) {
            self.cache.insert(key.1, Rc::from(bytes));
        } else {
            self.cache.remove(key.1);
        }
    }

    /// A seal for a segment that merge wrote.
    pub fn merge_seal(&self, sequence: u64, segment: u16) -> SealBody {
        let used = self.segments.at(segment).used;
        SealBody { sequence, barrier: self.last_count, next: 0, flags: MERGE, oversize: false, used }
    }
}
