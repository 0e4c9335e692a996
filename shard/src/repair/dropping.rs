//! Dropping tombstones that nobody needs any more (docs/design/repair.md section 3; modelled in `paxos/tests/dropping.rs`).
//!
//! A sweep goes over the slots in whose turn this member is, and takes what tombstones it finds in batches: they are read, those
//! whose request ids are all settled are asked about, and those that *all* members agree to are dropped. Nothing is asked
//! while a member is away or a learner, or while the last comparison found something to take over here.
//!
//! Left out: hosts that have no others. Keys that have ended become tombstones by another sweep ([`crate::expiring`]).
//!
//! Invariants: what an answer says rests on what is durable here. The watermarks of a question are taken over before it is
//! answered. The floor covers a tombstone's ballot and promise, in the log, before the removal. While a survey of this
//! core goes on nothing is agreed to and nothing dropped: it merges lists of different moments, and an older record of a
//! member that was behind would count for one that is there.

use std::collections::{BTreeMap, VecDeque};

use bitcask::{Fingerprint, Found, Kind, Read};
use paxos::{Ballot, Member, MemberSet};
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use super::Coming;
use crate::config::node_of;
use crate::core::{ballot_of, meta, stamp_of, Change, Loading, Shard, Waiting};
use crate::held::Bytes;
use crate::limits::{
    DROP_BATCH, DROP_BATCH_BYTES, DROP_READS_MAX, LIST_ENTRIES_MAX, REPAIR_ANSWER_NS, REPAIR_LOOK_BUSY_NS,
    REPAIR_LOOK_NS, REPAIR_LOOK_NS_MAX, REQUESTS_KEPT_MS, SURVEY_TURN_RECORDS,
};
use crate::objects::ids_of;
use crate::record::Applied;
use crate::storage::floor_of;
use crate::turn::Turn;
use crate::wire::bytes::put_ballot;
use crate::wire::{RepairAsked, Watermark};

/// What a disk read of this module is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DroppingRead {
    batch: u64,
    fingerprint: Fingerprint,
    ballot: Ballot,
}

/// Where dropping stands.
#[derive(Debug, Default)]
pub(super) struct Dropping {
    /// When it goes on by itself: with the next sweep, the next batch, or without the answers that are missing.
    at: Nanos,
    /// Sweeps so far. Whose turn a slot is turns with them.
    sweeps: u64,
    /// Where the sweep under way goes on.
    place: Option<(u16, Fingerprint)>,
    batch: Option<Batch>,
    last_batch: u64,
    /// Tombstones dropped when the sweep began.
    dropped_before: u64,
    /// Sweeps in a row that found tombstones and dropped none.
    idle_sweeps: u32,
    /// The sweep under way found tombstones.
    found: bool,
}

/// Tombstones of one slot that are worked on.
#[derive(Debug)]
struct Batch {
    id: u64,
    slot: u16,
    queue: VecDeque<(Fingerprint, Ballot)>,
    reading: usize,
    candidates: Vec<Candidate>,
    /// Bytes of the candidates' keys.
    bytes: usize,
    /// The questions that are out.
    asked: BTreeMap<u64, Member>,
}

/// A tombstone whose request ids are settled.
#[derive(Debug)]
struct Candidate {
    fingerprint: Fingerprint,
    ballot: Ballot,
    key: Bytes,
    agreed: MemberSet,
}

impl Dropping {
    /// When it wants a turn.
    pub fn due(&self) -> Nanos {
        self.at
    }

    /// Whether the last sweep found tombstones, and could drop none of them.
    pub fn is_idle(&self) -> bool {
        self.idle_sweeps > 0
    }
}

impl<D: Disk> Shard<D> {
    /// Whether this core may ask others to drop something.
    pub(super) fn may_drop(&self) -> bool {
        matches!(self.repair.coming, Coming::Voter) && self.all_others_up() && self.agrees_at_all()
    }

    /// Whether this core may agree that anything goes.
    fn agrees_at_all(&self) -> bool {
        !self.config.learner && !self.repair.lacking && !self.surveys.is_walking()
    }

    pub(super) fn drop_timers(&mut self, turn: &mut Turn<'_, D>) {
        let now = turn.clock.now;
        if self.repair.dropping.at > now {
            return;
        }
        if !self.may_drop() {
            return self.end_sweep(now);
        }
        if self.repair.dropping.batch.take_if(|batch| !batch.asked.is_empty()).is_some() {
            // Somebody did not answer in time. The others may have agreed to no purpose.
            return self.end_sweep(now);
        }
        if self.repair.dropping.batch.is_some() {
            self.repair.dropping.at = now + REPAIR_ANSWER_NS;
            return;
        }
        if self.repair.dropping.place.is_none() {
            let first = self.config.slots().0;
            let dropped_before = self.metrics.tombstones_dropped;
            let dropping = &mut self.repair.dropping;
            (dropping.sweeps, dropping.found) = (dropping.sweeps + 1, false);
            (dropping.place, dropping.dropped_before) = (Some((first, Fingerprint::MIN)), dropped_before);
        }
        self.next_batch(turn);
    }

    /// The next sweep is a while off.
    fn end_sweep(&mut self, now: Nanos) {
        let busy = self.is_busy(now);
        let dropped = self.metrics.tombstones_dropped;
        let dropping = &mut self.repair.dropping;
        let idle = dropping.found && dropped == dropping.dropped_before;
        dropping.idle_sweeps = if idle { dropping.idle_sweeps + 1 } else { 0 };
        let wait = if busy { REPAIR_LOOK_BUSY_NS } else { REPAIR_LOOK_NS };
        let wait = (wait << dropping.idle_sweeps.min(3)).min(REPAIR_LOOK_NS_MAX);
        (dropping.place, dropping.batch, dropping.found) = (None, None, false);
        dropping.at = now + wait - self.rng.below(wait / 8);
    }

    /// Takes the next tombstones of the sweep, or ends it.
    fn next_batch(&mut self, turn: &mut Turn<'_, D>) {
        let now = turn.clock.now;
        if let Err(at) = self.repair.pace.look(now, self.background_share(now)) {
            self.repair.dropping.at = at;
            return;
        }
        let Some((slot, queue)) = self.find_tombstones() else { return self.end_sweep(now) };
        if queue.is_empty() {
            self.repair.dropping.at = now;
            return;
        }
        self.repair.pace.take(0, queue.len() as u64);
        let dropping = &mut self.repair.dropping;
        dropping.last_batch += 1;
        dropping.found = true;
        dropping.at = now + REPAIR_ANSWER_NS;
        let (id, asked) = (dropping.last_batch, BTreeMap::new());
        let batch = Batch { id, slot, queue, reading: 0, candidates: Vec::new(), bytes: 0, asked };
        self.go_on_dropping(turn, batch);
    }

    /// Tombstones of one slot, and moves the sweep behind them; none of them where a turn's worth of records was looked
    /// through to no avail. None: the sweep is over.
    fn find_tombstones(&mut self) -> Option<(u16, VecDeque<(Fingerprint, Ballot)>)> {
        let (mut slot, mut from) = self.repair.dropping.place?;
        let mut looked = 0;
        while slot <= self.config.slots().1 {
            let summary = self.store.slot_summary(slot);
            let (found, more) = if self.is_turn(slot) && summary.records > summary.keys {
                let listed = self.store.slot_entries(slot, from, LIST_ENTRIES_MAX);
                looked += listed.len();
                self.tombstones_of(slot, &listed)
            } else {
                (VecDeque::new(), None)
            };
            let next = more.map_or((slot + 1, Fingerprint::MIN), |from| (slot, from));
            if !found.is_empty() || looked >= SURVEY_TURN_RECORDS {
                self.repair.dropping.place = Some(next);
                return Some((slot, found));
            }
            (slot, from) = next;
        }
        None
    }

    /// Of a page of a slot, what may be asked about, and where the next page starts, if there may be one.
    fn tombstones_of(
        &self,
        slot: u16,
        listed: &[(Fingerprint, bitcask::Entry)],
    ) -> (VecDeque<(Fingerprint, Ballot)>, Option<Fingerprint>) {
        let mut found = VecDeque::new();
        for (fingerprint, entry) in listed {
            if found.len() >= DROP_BATCH {
                return (found, Some(*fingerprint));
            }
            let is_dead = entry.kind == Kind::Tombstone && !self.is_catalogs(slot, *fingerprint);
            if is_dead && self.is_quiet(*fingerprint) {
                found.push_back((*fingerprint, ballot_of(entry.stamp)));
            }
        }
        let last = listed.last().filter(|_| listed.len() >= LIST_ENTRIES_MAX);
        (found, last.and_then(|(fingerprint, _)| fingerprint.next()))
    }

    /// Whether it is this member's turn to look at a slot.
    fn is_turn(&self, slot: u16) -> bool {
        let turn = (u64::from(slot) + self.repair.dropping.sweeps) % u64::from(self.members.count());
        turn == u64::from(self.config.me)
    }

    /// Whether nothing is under way for a key here.
    pub(crate) fn is_quiet(&self, fingerprint: Fingerprint) -> bool {
        !self.places.contains_key(&fingerprint) && !self.removing.contains(&fingerprint)
    }

    /// Reads, then asks.
    fn go_on_dropping(&mut self, turn: &mut Turn<'_, D>, mut batch: Batch) {
        while batch.reading < DROP_READS_MAX {
            let Some((fingerprint, ballot)) = batch.queue.pop_front() else { break };
            self.metrics.disk_reads += 1;
            match self.store.read_newest_fingerprint(turn.disk, (batch.slot, fingerprint)) {
                Read::Pending(ticket) => {
                    batch.reading += 1;
                    let read = DroppingRead { batch: batch.id, fingerprint, ballot };
                    self.expect_read(ticket, Loading::Dropping(read));
                }
                Read::Ready(found) => self.take_tombstone(turn, &mut batch, (fingerprint, ballot), found),
                Read::Absent => {}
            }
        }
        if batch.queue.is_empty() && batch.reading == 0 {
            return self.ask_consent(turn, batch);
        }
        self.repair.dropping.batch = Some(batch);
    }

    /// A tombstone of this module was read.
    pub(crate) fn on_dropping_read(
        &mut self,
        turn: &mut Turn<'_, D>,
        read: DroppingRead,
        found: Option<Found>,
    ) {
        let Some(mut batch) = self.repair.dropping.batch.take_if(|batch| batch.id == read.batch) else {
            return;
        };
        batch.reading -= 1;
        if let Some(found) = found {
            self.take_tombstone(turn, &mut batch, (read.fingerprint, read.ballot), found);
        }
        self.go_on_dropping(turn, batch);
    }

    fn take_tombstone(
        &self,
        turn: &Turn<'_, D>,
        batch: &mut Batch,
        (fingerprint, ballot): (Fingerprint, Ballot),
        found: Found,
    ) {
        let fits = batch.bytes + found.key.len() <= DROP_BATCH_BYTES;
        if !fits || found.stamp != stamp_of(ballot) || !self.is_dead(&found.body) {
            return;
        }
        let settled = ids_of(&found).is_ok_and(|(applied, used_ms)| {
            let is_new = |used_ms: u64| turn.clock.wall_ms < used_ms.saturating_add(REQUESTS_KEPT_MS);
            let remembers = used_ms.is_some_and(is_new);
            self.is_all_settled(&applied) && !remembers
        });
        if settled {
            batch.bytes += found.key.len();
            let agreed = MemberSet::EMPTY;
            batch.candidates.push(Candidate { fingerprint, ballot, key: found.key, agreed });
        }
    }

    /// Whether every command that a table of request ids remembers, or knows as settled, is settled by the watermarks heard here.
    fn is_all_settled(&self, applied: &Applied) -> bool {
        let watermarks = self.watermarks();
        applied.origins().iter().all(|origin| {
            let watermark = watermarks.iter().find(|watermark| watermark.node == origin.node);
            watermark.is_some_and(|watermark| {
                let below = origin.applied.iter().all(|(seq, _)| *seq < watermark.settled_below);
                watermark.incarnation > origin.incarnation
                    || watermark.incarnation == origin.incarnation
                        && below
                        && origin.settled_below <= watermark.settled_below
            })
        })
    }

    /// What this core knows of all members' commands.
    fn watermarks(&self) -> Vec<Watermark> {
        let settled_below = self.own_settled_below();
        let own = Watermark { node: self.node, incarnation: self.incarnation, settled_below };
        let mut watermarks = vec![own];
        watermarks.extend(self.forwards.watermarks());
        watermarks
    }

    /// A member said what of its commands is settled.
    pub(super) fn take_watermark(&mut self, from: Member, incarnation: u32, settled_below: u64) {
        let node = node_of(self.config.hosts[usize::from(from)], self.config.slice);
        self.forwards.learn(Watermark { node, incarnation, settled_below });
    }

    /// Asks all members whether the candidates go.
    fn ask_consent(&mut self, turn: &mut Turn<'_, D>, mut batch: Batch) {
        let now = turn.clock.now;
        let slot = batch.slot;
        if !self.may_drop() {
            return self.end_sweep(now);
        }
        batch.candidates.retain(|one| self.agrees(slot, one.fingerprint, one.ballot));
        if batch.candidates.is_empty() {
            self.repair.dropping.at = now;
            return;
        }
        let tombstones: Vec<_> = batch.candidates.iter().map(|one| (one.fingerprint, one.ballot)).collect();
        let watermarks = self.watermarks();
        for to in self.voters_up() {
            let (watermarks, tombstones) = (watermarks.clone(), tombstones.clone());
            let id = self.ask_repair(turn, to, RepairAsked::Consent { slot, watermarks, tombstones });
            batch.asked.insert(id, to);
        }
        self.repair.dropping.at = now + REPAIR_ANSWER_NS;
        self.repair.dropping.batch = Some(batch);
    }

    /// A member asks whether tombstones go: which of them this core agrees to, by their place in the question.
    pub(super) fn consent(
        &mut self,
        slot: u16,
        watermarks: &[Watermark],
        tombstones: &[(Fingerprint, Ballot)],
    ) -> Vec<u16> {
        // First, and whatever is agreed to: a late copy of what a tombstone remembers finds no member that takes it for new.
        let members: Vec<u32> =
            self.config.hosts.iter().map(|host| node_of(*host, self.config.slice)).collect();
        for watermark in watermarks
            .iter()
            .filter(|watermark| watermark.node != self.node && members.contains(&watermark.node))
        {
            self.forwards.learn(*watermark);
        }
        if !self.agrees_at_all() {
            return Vec::new();
        }
        let agreed = (0..)
            .zip(tombstones)
            .filter(|(_, (fingerprint, ballot))| self.agrees(slot, *fingerprint, *ballot));
        agreed.map(|(index, _)| index).collect()
    }

    /// Whether a tombstone may go, as far as this member is concerned: nothing is under way for the key, and its record is
    /// exactly that one, or it holds nothing of the key and will not take anything up to that ballot.
    fn agrees(&self, slot: u16, fingerprint: Fingerprint, ballot: Ballot) -> bool {
        if !self.is_quiet(fingerprint) || self.is_catalogs(slot, fingerprint) {
            return false;
        }
        match self.record_of(slot, fingerprint) {
            Some(entry) => entry.kind == Kind::Tombstone && ballot_of(entry.stamp) == ballot,
            None => ballot <= self.durable_floor(),
        }
    }

    fn record_of(&self, slot: u16, fingerprint: Fingerprint) -> Option<bitcask::Entry> {
        let first = self.store.slot_entries(slot, fingerprint, 1).into_iter().next();
        first.filter(|(found, _)| *found == fingerprint).map(|(_, entry)| entry)
    }

    /// The floor that a restart would come back with.
    pub(crate) fn durable_floor(&self) -> Ballot {
        self.store.meta(meta::FLOOR).and_then(floor_of).unwrap_or(Ballot::ZERO)
    }

    /// A member agrees to some of what it was asked about.
    pub(super) fn on_consents(&mut self, turn: &mut Turn<'_, D>, from: Member, id: u64, agreed: &[u16]) {
        let Some(batch) = &mut self.repair.dropping.batch else { return };
        if batch.asked.get(&id) != Some(&from) {
            return;
        }
        batch.asked.remove(&id);
        for index in agreed {
            if let Some(candidate) = batch.candidates.get_mut(usize::from(*index)) {
                candidate.agreed.insert(from);
            }
        }
        if !batch.asked.is_empty() && !planted(154) {
            return;
        }
        let Some(mut batch) = self.repair.dropping.batch.take() else { return };
        let needed = if planted(154) { self.members.majority() } else { self.members.count() } - 1;
        batch.candidates.retain(|candidate| candidate.agreed.count() >= needed);
        self.repair.dropping.at = turn.clock.now;
        if batch.candidates.is_empty() {
            return;
        }
        let gone: Vec<(Box<[u8]>, Ballot)> =
            batch.candidates.iter().map(|one| (Box::from(&one.key[..]), one.ballot)).collect();
        for to in self.voters_up() {
            let tombstones = gone.clone();
            self.ask_repair(turn, to, RepairAsked::Drop { slot: batch.slot, tombstones });
        }
        self.drop_tombstones(batch.slot, &gone);
    }

    /// All members have agreed: what is still as it was goes.
    pub(super) fn drop_tombstones(&mut self, slot: u16, tombstones: &[(Box<[u8]>, Ballot)]) {
        if self.config.learner || self.surveys.is_walking() {
            return;
        }
        let of = |(key, ballot): &(Box<[u8]>, Ballot)| {
            let (slot_of, fingerprint) = self.store.key_ref(slot, key);
            let quiet = self.is_quiet(fingerprint) && crate::slot::slot(key) == slot_of;
            let entry = self.record_of(slot, fingerprint).filter(|_| quiet || planted(153))?;
            let same = entry.kind == Kind::Tombstone && ballot_of(entry.stamp) == *ballot;
            let promised = self.store.info(slot, key).promised.map_or(Ballot::ZERO, ballot_of);
            let covers = promised.max(ballot_of(entry.stamp).succ());
            (same || planted(153)).then(|| (key.clone(), entry.stamp, covers))
        };
        let found: Vec<_> = tombstones.iter().filter_map(of).collect();
        let Some(floor) = found.iter().map(|(_, _, covers)| *covers).max() else { return };
        if !self.raise_floor(floor) {
            return;
        }
        for (key, stamp, _) in found {
            let reference = self.store.key_ref(slot, &key);
            // What the log does not take now is taken by a later sweep.
            let Ok(lsn) = self.store.remove(slot, &key, stamp) else { continue };
            self.removing.insert(reference.1);
            self.waiting.push_back(Waiting { lsn, change: Change::Removal(reference, ballot_of(stamp)) });
            self.metrics.tombstones_dropped += 1;
        }
    }

    /// Has absent entities refuse all up to a ballot. False: the log does not take it now.
    fn raise_floor(&mut self, floor: Ballot) -> bool {
        if floor <= self.floor || planted(150) {
            return true;
        }
        let mut bytes = Vec::with_capacity(16);
        put_ballot(&mut bytes, floor);
        let written = self.store.append_meta(meta::FLOOR, &bytes).is_ok();
        if written {
            self.floor = floor;
        }
        written
    }
}
