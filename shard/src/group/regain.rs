//! A learner takes over the rows of groups, too, before it is a voter again (consensus.md section 7): entries that its former life accepted
//! are lost with its log, and others may count on it to have them.
//!
//! A copy of a head is chosen, and so is all that it stands on. So each one is noted, and the rows are brought up to it; those that an
//! earlier run of this learner has copied are found by the entries in its log. It may be a voter when that is done for all that it
//! knew of when its slots were level, and all of it is on disk: by its log, or by the tree.

use std::collections::VecDeque;

use bitcask::limits::{KEY_SLOTS, SLOTS};
use bitcask::{Fingerprint, FingerprintHasher, Found, KeyRef, Read};
use hashbrown::HashMap;
use lsm::Version;
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use super::{Brought, Entry, Place};
use crate::core::{Loading, Shard, Status};
use crate::limits::{REGAIN_AGAIN_NS, REGAIN_GROUPS_MAX, REGAIN_READS_MAX, REGAIN_TURN_GROUPS};
use crate::object::group::NAME_BYTES;
use crate::object::Name;
use crate::turn::Turn;

/// What a learner has to have of groups.
#[derive(Debug, Default)]
pub(super) struct Regaining {
    is_begun: bool,
    /// Entries in the log of which it is not known yet whose they are.
    unread: Vec<KeyRef>,
    reading: usize,
    /// Groups whose rows are not those of the copied head yet.
    wanted: HashMap<Fingerprint, Wanted, FingerprintHasher>,
    /// The same, in the order in which they are tried.
    order: VecDeque<Fingerprint>,
    /// How many groups were noted.
    noted: u64,
    /// How many when all slots were level.
    needed: Option<u64>,
    /// Of the tree, when it had all of these.
    version: Option<Version>,
    again_at: Option<Nanos>,
}

#[derive(Debug)]
struct Wanted {
    place: Place,
    to: Name,
    number: u64,
}

impl Regaining {
    /// When groups are tried again.
    pub fn deadline(&self) -> Option<Nanos> {
        self.again_at
    }

    fn note(&mut self, place: Place, to: Name) {
        let group = place.reference.1;
        match self.wanted.get_mut(&group) {
            Some(wanted) if wanted.to >= to => {}
            Some(wanted) => (wanted.place, wanted.to) = (place, to),
            None => {
                self.noted += 1;
                self.order.push_back(group);
                self.wanted.insert(group, Wanted { place, to, number: self.noted });
            }
        }
    }

    /// What was under way for a group has ended. It is not looked for once more: the tree may keep nothing of what it reads.
    pub fn note_brought(&mut self, group: Fingerprint, to: Name, brought: Brought) {
        let is_there = matches!(brought, Brought::There | Brought::Ahead);
        if is_there && self.wanted.get(&group).is_some_and(|wanted| wanted.to <= to) {
            self.wanted.remove(&group);
        }
    }

    fn has_room(&self) -> bool {
        self.wanted.len() + self.reading < REGAIN_GROUPS_MAX
    }

    /// Whether nothing is left of what there was when this was asked first.
    fn has_all(&mut self) -> bool {
        if !self.is_begun || !self.unread.is_empty() || self.reading > 0 {
            return false;
        }
        let needed = *self.needed.get_or_insert(self.noted);
        self.wanted.values().all(|wanted| wanted.number > needed)
    }
}

impl<D: Disk> Shard<D> {
    /// Whether one more group may be noted now.
    pub(crate) fn has_room_to_regain(&self) -> bool {
        self.groups.regaining.has_room()
    }

    /// How many groups lack rows that they are to have.
    pub(crate) fn groups_to_regain(&self) -> u64 {
        let regaining = &self.groups.regaining;
        (regaining.wanted.len() + regaining.reading + regaining.unread.len()) as u64
    }

    /// A learner has the copy of a head.
    pub(super) fn note_to_regain(&mut self, now: Nanos, place: Place, to: Name) {
        self.groups.regaining.note(place, to);
        self.groups.regaining.again_at.get_or_insert(now);
    }

    /// Whether a learner has the rows that its former life may have had, and will have them after a crash.
    pub(crate) fn has_regained(&mut self) -> bool {
        if planted(560) {
            return true;
        }
        if !self.groups.regaining.has_all() {
            return false;
        }
        if self.groups.regaining.noted == 0 {
            return true;
        }
        let Some(tree) = self.tree.rows() else { return false };
        let version = *self.groups.regaining.version.get_or_insert(tree.version());
        let is_durable = tree.is_durable(version);
        if !is_durable {
            tree.flush();
        }
        is_durable
    }

    /// It is a voter: what it lacks from now on it has not accepted.
    pub(crate) fn end_regaining(&mut self) {
        self.groups.regaining = Regaining::default();
    }

    /// Brings some groups of a learner up to what was copied.
    pub(super) fn regain(&mut self, turn: &mut Turn<'_, D>) {
        if !self.config.learner || self.status != Status::Ready {
            return;
        }
        if !self.groups.regaining.is_begun {
            self.groups.regaining.is_begun = true;
            self.groups.regaining.unread = self.entries_in_log();
        }
        self.read_unread(turn);
        let now = turn.clock.now;
        if self.groups.regaining.again_at.is_none_or(|at| at > now) {
            return;
        }
        for _ in 0..self.groups.regaining.order.len().min(REGAIN_TURN_GROUPS) {
            let Some(group) = self.groups.regaining.order.pop_front() else { break };
            let Some(wanted) = self.groups.regaining.wanted.get(&group) else { continue };
            let (place, to) = (wanted.place.clone(), wanted.to);
            let is_of_use = place.epoch == self.flushing.epoch()
                && self.catalogs.current().table_by_id(place.table).is_some();
            let brought = if is_of_use { self.bring_up(turn, place, to) } else { Brought::Ahead };
            self.groups.regaining.note_brought(group, to, brought);
            if self.groups.regaining.wanted.contains_key(&group) {
                self.groups.regaining.order.push_back(group);
            }
        }
        let regaining = &mut self.groups.regaining;
        regaining.again_at = (!regaining.order.is_empty()).then_some(now + REGAIN_AGAIN_NS);
    }

    fn entries_in_log(&self) -> Vec<KeyRef> {
        let slots = (KEY_SLOTS..SLOTS).map(|slot| u16::try_from(slot).expect("slots are numbers of 16 bits"));
        let entries = |slot| {
            let listed = self.store.slot_entries(slot, Fingerprint::MIN, usize::MAX);
            listed.into_iter().map(move |(fingerprint, _)| (slot, fingerprint))
        };
        slots.flat_map(entries).collect()
    }

    fn read_unread(&mut self, turn: &mut Turn<'_, D>) {
        while self.groups.regaining.reading < REGAIN_READS_MAX && self.groups.regaining.has_room() {
            let Some((slot, fingerprint)) = self.groups.regaining.unread.pop() else { return };
            match self.store.read_fingerprint(turn.disk, slot, fingerprint) {
                Read::Ready(found) => self.note_logged(turn.clock.now, &found),
                Read::Pending(ticket) => {
                    self.groups.regaining.reading += 1;
                    self.expect_read(ticket, Loading::Regaining);
                }
                // It has gone from the log meanwhile: the tree has it.
                Read::Absent => {}
            }
        }
    }

    /// An entry of the log was read.
    pub(crate) fn on_regaining_read(&mut self, turn: &mut Turn<'_, D>, found: Option<Found>) {
        self.groups.regaining.reading -= 1;
        if let Some(found) = found {
            self.note_logged(turn.clock.now, &found);
        }
        self.read_unread(turn);
    }

    fn note_logged(&mut self, now: Nanos, found: &Found) {
        let group = found.key.len().checked_sub(NAME_BYTES).map(|end| &found.key[..end]);
        let Some((key, entry)) = group.zip(Entry::decode(&found.body).ok()) else { return };
        let reference = self.store.key_ref(crate::slot::slot(key), key);
        if let Some(place) = self.place_of_group(reference, key, entry.epoch, &entry.group) {
            self.note_to_regain(now, place, entry.name());
        }
    }
}
