//! Tombstones in the place of flushed values, where those cannot be dropped.
//!
//! A value of an older flush epoch counts as a tombstone, and is dropped as one; until then it lies on the disk with all of its bytes. Dropping takes
//! the consent of all members, so while one is away, or lacks something, a flush would give no space back; nor would it ever on a host that has no
//! others, which drops nothing. After [`EMPTY_AFTER_NS`] of
//! that a sweep goes over the slots that this core is preferred for, reads what may be such a value, and has it *settled*: what phase 1 finds, or what
//! is here and may be extended at once, is chosen anew as the tombstone that it is. Merge then frees the value's space, as that of a deleted key. A
//! tombstone goes into the reserve of a full disk.
//!
//! Left out: records that are hardly larger than the tombstone ([`EMPTY_BYTES_MIN`]). They wait for the drop.
//!
//! Invariants: nothing here decides what a key is; a settled key is written by the key's own consensus, and what that finds to be of this
//! epoch stays as it is.

use std::collections::VecDeque;

use bitcask::{Fingerprint, Found, Kind, Read};
use reactor::clock::Nanos;
use reactor::Disk;

use super::copy::Why;
use super::serve::copy_bytes;
use crate::core::{Loading, Shard};
use crate::limits::{
    EMPTY_AFTER_NS, EMPTY_BYTES_MIN, EMPTY_READS_MAX, EMPTY_REST_NS, EMPTY_SETTLES_MAX, LIST_ENTRIES_MAX,
    REPAIR_LOOK_NS, REPAIR_STALL_NS, SURVEY_TURN_RECORDS,
};
use crate::record::Record;
use crate::turn::Turn;

/// Where the sweep stands.
#[derive(Debug, Default)]
pub(super) struct Emptying {
    /// When it goes on by itself. None: when a read is there.
    at: Option<Nanos>,
    /// Since when nothing can be dropped.
    stuck_since: Option<Nanos>,
    /// Where the sweep under way goes on.
    place: Option<(u16, Fingerprint)>,
    /// Records to be read, with their bytes on disk, of a chain all of them.
    queue: VecDeque<(u16, Fingerprint, u32)>,
    reading: usize,
    /// The sweep under way found a flushed value.
    found: bool,
}

/// How far a sweep came.
enum Next {
    /// Records are to be read.
    Found,
    /// Nothing in a turn's worth of records.
    Later,
    /// All slots were looked at.
    End,
}

impl Emptying {
    /// When it wants a turn.
    pub fn due(&self) -> Option<Nanos> {
        self.at
    }

    /// There may be flushed values now.
    pub fn begin(&mut self, now: Nanos) {
        self.at = Some(now);
    }
}

impl<D: Disk> Shard<D> {
    pub(super) fn empty_timers(&mut self, turn: &mut Turn<'_, D>) {
        let now = turn.clock.now;
        if self.flushing.epoch() > 0 && self.repair.emptying.at.is_none_or(|at| at <= now) {
            self.repair.emptying.at = self.go_on_emptying(turn);
        }
    }

    /// Whether flushed values are to give way: nothing was dropped for long enough, and a majority is there to choose tombstones.
    fn may_empty(&mut self, now: Nanos) -> bool {
        let alone = self.members.count() == 1;
        let stuck = alone || !self.may_drop() || self.repair.dropping.is_idle();
        let since = &mut self.repair.emptying.stuck_since;
        *since = since.or(Some(now)).filter(|_| stuck);
        let long = since.is_some_and(|since| now - since >= EMPTY_AFTER_NS);
        long && self.hosts_up() >= self.members.majority()
    }

    /// Reads on until something has to be waited for. Says until when; None: for a read.
    fn go_on_emptying(&mut self, turn: &mut Turn<'_, D>) -> Option<Nanos> {
        let now = turn.clock.now;
        if !self.may_empty(now) {
            (self.repair.emptying.place, self.repair.emptying.found) = (None, false);
            self.repair.emptying.queue.clear();
            return Some(now + REPAIR_LOOK_NS);
        }
        loop {
            if self.repair.emptying.reading >= EMPTY_READS_MAX {
                return None;
            }
            if self.repair.settling >= EMPTY_SETTLES_MAX || !self.has_room_for_more() {
                return Some(now + REPAIR_STALL_NS);
            }
            if let Err(at) = self.repair.pace.look(now, self.background_share(now)) {
                return Some(at);
            }
            let Some((slot, fingerprint, bytes)) = self.repair.emptying.queue.pop_front() else {
                match self.find_flushed() {
                    Next::Found => continue,
                    Next::Later => return Some(now),
                    Next::End => {
                        let found = std::mem::take(&mut self.repair.emptying.found);
                        return Some(now + if found { REPAIR_LOOK_NS } else { EMPTY_REST_NS });
                    }
                }
            };
            self.repair.pace.take(u64::from(bytes), 1);
            self.metrics.disk_reads += 1;
            match self.store.read_newest_fingerprint(turn.disk, (slot, fingerprint)) {
                Read::Pending(ticket) => {
                    self.repair.emptying.reading += 1;
                    self.expect_read(ticket, Loading::Emptying(slot));
                }
                Read::Ready(found) => self.empty_key(turn, slot, &found),
                Read::Absent => {}
            }
        }
    }

    /// Lists what may be flushed values, of the next slot that has some.
    fn find_flushed(&mut self) -> Next {
        let (first, last) = self.config.slots();
        let (mut slot, mut from) = self.repair.emptying.place.take().unwrap_or((first, Fingerprint::MIN));
        let mut looked = 0;
        while slot <= last {
            let summary = self.store.slot_summary(slot);
            if self.preferred(slot) != self.config.me || summary.records <= summary.keys {
                (slot, from) = (slot + 1, Fingerprint::MIN);
                continue;
            }
            let listed = self.store.slot_entries(slot, from, LIST_ENTRIES_MAX);
            looked += listed.len();
            for (fingerprint, entry) in &listed {
                // Of a chain all of it is read to be settled, and given back.
                let bytes = copy_bytes(&self.store, (slot, *fingerprint), entry);
                let is_large = entry.kind == Kind::Tombstone && bytes >= EMPTY_BYTES_MIN;
                if is_large && self.is_quiet(*fingerprint) && !self.is_catalogs(slot, *fingerprint) {
                    self.repair.emptying.queue.push_back((slot, *fingerprint, bytes));
                }
            }
            let last_listed = listed.last().filter(|_| listed.len() >= LIST_ENTRIES_MAX);
            let more = last_listed.and_then(|(fingerprint, _)| fingerprint.next());
            (slot, from) = more.map_or((slot + 1, Fingerprint::MIN), |more| (slot, more));
            let found = !self.repair.emptying.queue.is_empty();
            if found || looked >= SURVEY_TURN_RECORDS {
                self.repair.emptying.place = Some((slot, from));
                return if found { Next::Found } else { Next::Later };
            }
        }
        Next::End
    }

    /// A record of this module was read.
    pub(crate) fn on_emptying_read(&mut self, turn: &mut Turn<'_, D>, slot: u16, found: Option<Found>) {
        self.repair.emptying.reading -= 1;
        self.repair.emptying.at.get_or_insert(turn.clock.now);
        if let Some(found) = found {
            self.empty_key(turn, slot, &found);
        }
    }

    /// Has a flushed value give way.
    fn empty_key(&mut self, turn: &mut Turn<'_, D>, slot: u16, found: &Found) {
        let is_value = found.base.is_some() || Record::is_tombstone(&found.body) == Ok(false);
        if is_value && self.is_flushed(&found.body) {
            self.repair.emptying.found = true;
            self.metrics.flush_emptied += 1;
            self.settle_key(turn, slot, &found.key, Why::Flushed);
        }
    }
}
