//! Which entries go from the log: those that the tree has on disk, beyond a window of bytes that is kept for peers that were away.
//!
//! An entry goes if the tree on disk is of it or of a later one of its group, chosen or not: it is applied, or never will be. So does one
//! of an older flush epoch, or of no table. All others stay, however old they are.

use std::collections::VecDeque;

use ahash::RandomState;
use bitcask::limits::{KEY_SLOTS, SLOTS};
use bitcask::{Fingerprint, Found, KeyRef, Read, Stamp};
use hashbrown::HashMap;
use lsm::{Get, ReadError, Version};
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use super::advance::{name_in, TreeRead};
use super::{rows, Entry, Place};
use crate::core::{Loading, Shard, Status};
use crate::limits::{TRIM_AGAIN_NS, TRIM_READS_MAX, TRIM_TURN_ENTRIES};
use crate::object::group::NAME_BYTES;
use crate::object::Name;
use crate::turn::Turn;

/// An entry in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub reference: KeyRef,
    /// On disk.
    pub bytes: u32,
}

/// One that is looked at, while the name row of its group is read.
#[derive(Debug)]
pub(super) struct Judging {
    kept: Kept,
    key: bitcask::Bytes,
    stamp: Stamp,
    name: Name,
}

/// The entries in the log, and where looking through them stands.
#[derive(Debug, Default)]
pub(super) struct Trimming {
    /// The oldest first, but that those which had to stay come behind the others.
    kept: VecDeque<Kept>,
    /// Of these and of those that are looked at.
    bytes: u64,
    /// A pass begins when there are more bytes: after a flush than are to be kept, before the next one half as many again as the last pass has
    /// left, so that what stays is not read over and over.
    begins_above: u64,
    is_passing: bool,
    /// How many the pass that is under way has not looked at yet.
    left: usize,
    /// How many are being read.
    reading: usize,
    /// When the pass goes on, if nothing that is read makes it.
    again_at: Option<Nanos>,
}

impl Trimming {
    /// An entry was logged.
    pub fn add(&mut self, kept: Kept) {
        self.bytes += u64::from(kept.bytes);
        self.kept.push_back(kept);
    }

    pub fn deadline(&self) -> Option<Nanos> {
        self.again_at
    }

    /// One that is looked at stays.
    fn keep(&mut self, kept: Kept) {
        self.kept.push_back(kept);
    }

    /// One that is looked at goes.
    fn let_go(&mut self, kept: Kept) {
        self.bytes -= u64::from(kept.bytes);
    }

    /// More of them may go than when they were looked at last.
    pub fn note_flushed(&mut self) {
        self.begins_above = 0;
    }

    /// The one to look at next, if a pass is under way or is to begin.
    fn next(&mut self, window: u64) -> Option<Kept> {
        if !self.is_passing && self.bytes > self.begins_above.max(window) {
            (self.is_passing, self.left) = (true, self.kept.len());
        }
        if self.bytes <= window {
            self.left = 0;
        }
        if self.left == 0 || self.reading >= TRIM_READS_MAX {
            return None;
        }
        self.left -= 1;
        self.kept.pop_front()
    }

    /// Nothing more is looked at in this turn.
    fn rest(&mut self, now: Nanos) {
        self.again_at = (self.left > 0 && self.reading < TRIM_READS_MAX).then(|| now + TRIM_AGAIN_NS);
        if self.is_passing && self.left == 0 && self.reading == 0 {
            self.is_passing = false;
            self.begins_above = self.bytes + self.bytes / 2;
        }
    }
}

/// Of groups to which something was applied lately: up to which entry the tree has them on disk. Of all others it has what was applied.
#[derive(Debug)]
pub(super) struct Unflushed {
    /// By what stands in front of their keys.
    groups: HashMap<Box<[u8]>, Marks, RandomState>,
    /// What was marked is on disk when the tree has been flushed up to this version.
    marked_at: Option<Version>,
}

#[derive(Debug)]
struct Marks {
    on_disk: Option<Name>,
    marked: Option<Name>,
    now: Name,
}

impl Unflushed {
    pub fn new(hashes: RandomState) -> Unflushed {
        Unflushed { groups: HashMap::with_hasher(hashes), marked_at: None }
    }

    /// An entry was applied to the rows of another one.
    pub fn note_applied(&mut self, prefix: &[u8], before: Option<Name>, now: Name) {
        match self.groups.get_mut(prefix) {
            Some(marks) => marks.now = now,
            None => {
                let _ = self.groups.insert(prefix.into(), Marks { on_disk: before, marked: None, now });
            }
        }
    }

    /// All that the tree has of a group is on disk.
    pub fn note_ingested(&mut self, prefix: &[u8]) {
        self.groups.remove(prefix);
    }

    /// The tree, which is at one version, is on disk up to another.
    pub fn note_flushed(&mut self, flushed: Version, version: Version) {
        if self.marked_at.is_some_and(|at| at > flushed) {
            return;
        }
        self.groups.retain(|_, marks| {
            marks.on_disk = marks.marked.or(marks.on_disk);
            marks.marked = Some(marks.now);
            marks.on_disk != marks.marked
        });
        self.marked_at = (!self.groups.is_empty()).then_some(version);
    }

    /// Up to which entry a group is on disk. None: as far as it was applied.
    fn on_disk(&self, prefix: &[u8]) -> Option<Option<Name>> {
        self.groups.get(prefix).map(|marks| marks.on_disk)
    }
}

impl<D: Disk> Shard<D> {
    /// Finds what entries the log has, at the start: about in the order in which they came.
    pub(crate) fn gather_entries(&mut self) {
        let mut found = Vec::new();
        for slot in KEY_SLOTS..SLOTS {
            let slot = u16::try_from(slot).expect("slots are numbers of 16 bits");
            let entries = self.store.slot_entries(slot, Fingerprint::MIN, usize::MAX);
            found.extend(entries.into_iter().map(|(fingerprint, entry)| {
                (entry.stamp, Kept { reference: (slot, fingerprint), bytes: entry.bytes })
            }));
        }
        found.sort_unstable_by_key(|(stamp, kept)| (*stamp, kept.reference));
        found.into_iter().for_each(|(_, kept)| self.groups.trimming.add(kept));
    }

    /// Looks at some entries more, if there are too many bytes of them.
    pub(super) fn trim(&mut self, turn: &mut Turn<'_, D>) {
        if self.status != Status::Ready || self.tree.rows().is_none() {
            return;
        }
        let window = self.config.entries_kept_bytes;
        for _ in 0..TRIM_TURN_ENTRIES {
            let Some(kept) = self.groups.trimming.next(window) else { break };
            let (slot, fingerprint) = kept.reference;
            match self.store.read_fingerprint(turn.disk, slot, fingerprint) {
                Read::Ready(found) => self.judge(turn, kept, &found),
                Read::Pending(ticket) => {
                    self.groups.trimming.reading += 1;
                    self.expect_read(ticket, Loading::Trimming(kept));
                }
                // It is not durable yet.
                Read::Absent => self.groups.trimming.keep(kept),
            }
        }
        self.groups.trimming.rest(turn.clock.now);
    }

    /// An entry that is looked at was read.
    pub(crate) fn on_trimming_read(&mut self, turn: &mut Turn<'_, D>, kept: Kept, found: Option<Found>) {
        self.groups.trimming.reading -= 1;
        match found {
            Some(found) => self.judge(turn, kept, &found),
            None => self.groups.trimming.keep(kept),
        }
    }

    fn judge(&mut self, turn: &mut Turn<'_, D>, kept: Kept, found: &Found) {
        let group = found.key.len().checked_sub(NAME_BYTES).map(|end| &found.key[..end]);
        let entry = Entry::decode(&found.body).ok();
        let Some((group, entry)) = group.zip(entry) else {
            // A newer version wrote it, and may know what it is good for.
            return self.groups.trimming.keep(kept);
        };
        let judging = Judging { kept, key: found.key.clone(), stamp: found.stamp, name: entry.name() };
        let slot = crate::slot::slot(group);
        let reference = self.store.key_ref(slot, group);
        let Some(place) = self.place_of_group(reference, group, entry.epoch, &entry.group) else {
            return match entry.epoch > self.flushing.epoch() {
                true => self.groups.trimming.keep(kept),
                false => self.drop_entry(&judging),
            };
        };
        match self.name_on_disk(turn, &place) {
            Ok(Get::Ready(bytes)) => self.on_judged(&judging, name_in(bytes.as_deref()).ok().flatten()),
            Ok(Get::Pending(ticket)) => {
                self.groups.trimming.reading += 1;
                self.groups.reads.insert(ticket, TreeRead::Trimming);
                self.groups.judging.insert(ticket, judging);
            }
            Err(on_disk) => self.on_judged(&judging, on_disk),
        }
    }

    /// The name row of a group as the tree has it on disk, or what is known of it without a read.
    fn name_on_disk(&mut self, turn: &mut Turn<'_, D>, place: &Place) -> Result<Get, Option<Name>> {
        let prefix = place.prefix();
        if let Some(on_disk) = self.groups.unflushed.on_disk(&prefix) {
            return Err(on_disk);
        }
        let tree = self.tree.rows().ok_or(None)?;
        Ok(tree.get(turn.disk, &rows::name_key(&prefix), None))
    }

    /// The name row of a group was read, of which an entry is looked at.
    pub(super) fn on_name_judged(
        &mut self,
        ticket: lsm::Ticket,
        result: Result<Option<lsm::Value>, ReadError>,
    ) {
        let Some(judging) = self.groups.judging.remove(&ticket) else { return };
        self.groups.trimming.reading -= 1;
        let on_disk = result.ok().and_then(|bytes| name_in(bytes.as_deref()).ok().flatten());
        self.on_judged(&judging, on_disk);
    }

    fn on_judged(&mut self, judging: &Judging, on_disk: Option<Name>) {
        match on_disk.is_some_and(|on_disk| judging.name <= on_disk) || planted(558) {
            true => self.drop_entry(judging),
            false => self.groups.trimming.keep(judging.kept),
        }
    }

    fn drop_entry(&mut self, judging: &Judging) {
        let Judging { kept, key, stamp, .. } = judging;
        match self.store.remove(kept.reference.0, key, *stamp) {
            Ok(_) => {
                self.metrics.entries_trimmed += 1;
                self.groups.trimming.let_go(*kept);
            }
            // The log has no room for that now.
            Err(_) => self.groups.trimming.keep(*kept),
        }
    }

    /// What is looked at stays for now: its reads come to nothing.
    pub(super) fn void_trimming(&mut self) {
        let judging: Vec<Judging> = self.groups.judging.drain().map(|(_, judging)| judging).collect();
        for judging in judging {
            self.groups.trimming.reading -= 1;
            self.groups.trimming.keep(judging.kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use paxos::Ballot;

    use super::*;

    fn name(version: u64) -> Name {
        Name { version, origin: Ballot::new(version, 1, 1) }
    }

    fn kept(bytes: u32) -> Kept {
        Kept { reference: (KEY_SLOTS as u16, Fingerprint::MIN), bytes }
    }

    #[test]
    fn what_was_applied_before_a_mark_is_on_disk_when_the_tree_is() {
        let mut unflushed = Unflushed::new(RandomState::with_seeds(1, 2, 3, 4));
        assert_eq!(unflushed.on_disk(b"a"), None);
        unflushed.note_applied(b"a", Some(name(4)), name(5));
        unflushed.note_applied(b"b", None, name(9));
        // Of what came before this flush nobody took note when it was begun.
        unflushed.note_flushed(Version(10), Version(12));
        assert_eq!((unflushed.on_disk(b"a"), unflushed.on_disk(b"b")), (Some(Some(name(4))), Some(None)));
        unflushed.note_applied(b"a", Some(name(5)), name(6));
        unflushed.note_flushed(Version(11), Version(14));
        assert_eq!(unflushed.on_disk(b"a"), Some(Some(name(4))), "the mark is at 12");
        unflushed.note_flushed(Version(13), Version(15));
        assert_eq!(unflushed.on_disk(b"a"), Some(Some(name(5))), "and not at 6");
        assert_eq!(unflushed.on_disk(b"b"), None, "all that was applied is on disk");
        unflushed.note_flushed(Version(15), Version(15));
        assert_eq!(unflushed.on_disk(b"a"), None);
        unflushed.note_applied(b"a", Some(name(6)), name(7));
        unflushed.note_ingested(b"a");
        assert_eq!(unflushed.on_disk(b"a"), None);
    }

    #[test]
    fn a_pass_begins_above_the_window_and_when_much_has_come() {
        let mut trimming = Trimming::default();
        (0..4).for_each(|_| trimming.add(kept(25)));
        assert_eq!(trimming.next(100), None);
        trimming.add(kept(25));
        let first = trimming.next(100).expect("there is too much");
        trimming.let_go(first);
        assert_eq!(trimming.next(100), None, "and now there is not");
        trimming.rest(1);
        (0..2).for_each(|_| trimming.add(kept(25)));
        assert_eq!(trimming.next(100), None, "half as much again as was left");
        trimming.add(kept(25));
        for _ in 0..7 {
            let next = trimming.next(100).expect("all are looked at");
            trimming.keep(next);
        }
        assert_eq!(trimming.next(100), None, "none goes");
        trimming.rest(2);
        assert_eq!((trimming.begins_above, trimming.again_at), (262, None));
    }
}
