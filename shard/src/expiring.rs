//! Keys whose time has come go by themselves, although nobody asks for them.
//!
//! Expiry is a write like any other (consensus.md section 1): whoever runs a command on a key whose time has come has a tombstone
//! chosen first. So this module only has to ask for such keys: it *sweeps* over the slots that this core is preferred for, reads
//! the records that end at some time, and puts an EXISTS in the queue of each that has ended by this host's wall clock. What that
//! finds is a matter of the key's own consensus; a stale record here, or a clock that is ahead, costs a question and nothing else.
//!
//! When a slot is worth a look is known to the millisecond for what was written since the core started: `due`, the first end in
//! the slot, which each record may bring forward as it becomes durable. For older records the first sweep finds it out. What a core
//! needs for that is 8 bytes for each of its slots, and a kind of its own in the directory's entries ([`bitcask::Kind::Expiring`]): nothing
//! per key.
//!
//! Costs: a look at a slot reads all of its records that end at some time, so those with far ends are read again when one of their
//! slot has ended. [`EXPIRY_RATE`] bounds what sweeps read, to a fifth while clients have commands served; a core with very many
//! such keys is behind by the time that it takes to read them all.
//!
//! What joint commands have left at a key is looked at as well (docs/design/several-keys.md, section 3). When a table was dropped, or indexes of a
//! large one have changed, one sweep looks at all values: it has those go that are partitions of no table, and fills and clears indexes, step by
//! step (docs/design/tables.md). So does any sweep with partitions whose indexes a statement found
//! to be others.
//!
//! Left out: values written by versions that did not know the kind go when somebody asks for them, or writes them anew.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use bitcask::{Fingerprint, Found, KeyRef, Kind, Read};
use reactor::clock::Nanos;
use reactor::mutants::planted;
use reactor::Disk;

use crate::command::{is_partition_of, on_tree::indexes_of, table_of, Command, KeyCommand, Op};
use crate::core::{Loading, Shard, Status};
use crate::entity::{Queued, Waiter};
use crate::limits::{
    EXPIRY_COMMANDS_MAX, EXPIRY_COMMAND_NS, EXPIRY_RATE, EXPIRY_READS_MAX, EXPIRY_SWEEP_NS,
    EXPIRY_TURN_RECORDS, LIST_ENTRIES_MAX, SURVEY_TURN_RECORDS, TIED_MAX,
};
use crate::objects::newest_part;
use crate::record::Record;
use crate::repair::Pace;
use crate::reply::Reply;
use crate::state::Type;
use crate::turn::Turn;

/// Nothing in the slot ends.
const NEVER: u64 = u64::MAX;

/// Not known: the slot is looked at.
const UNKNOWN: u64 = 0;

/// It does not end, and somebody has to look what becomes of it.
pub(crate) const TIED: u64 = u64::MAX;

/// What a core knows of ends, and where its sweep stands.
#[derive(Debug)]
pub(crate) struct Expiring {
    /// The first slot of the slice, and of each slot when the first of its values ends: wall clock milliseconds.
    first: u16,
    due: Vec<u64>,
    /// When it goes on by itself. None: when something that it waits for is there.
    at: Option<Nanos>,
    /// When the next sweep may begin.
    next_sweep: Nanos,
    /// Where the sweep under way goes on.
    place: Option<(u16, Fingerprint)>,
    /// Records to be read, with the bytes that they take on disk.
    queue: VecDeque<(u16, Fingerprint, u32)>,
    reading: usize,
    /// Records in which joint commands have left something: looked at by each sweep, whatever else is in their slots.
    tied: BTreeSet<KeyRef>,
    /// Partitions in which an index is to be filled or cleared, because a statement came there: looked at by the next sweep, whoever is preferred.
    undone: BTreeSet<KeyRef>,
    /// Commands of its own that are not answered.
    asking: usize,
    vacuum: Vacuum,
    pace: Pace,
}

/// Whether all values are looked at, because tables have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vacuum {
    /// There are none.
    No,
    /// By the next sweep.
    Wanted,
    /// By this one. Whether something did not come to its end.
    UnderWay(bool),
    /// All was looked at, and is to come to its end.
    Ending(bool),
}

impl Expiring {
    /// Nothing known.
    pub fn new((first, last): (u16, u16)) -> Expiring {
        Expiring {
            first,
            due: vec![UNKNOWN; usize::from(last - first) + 1],
            at: Some(0),
            next_sweep: 0,
            place: None,
            queue: VecDeque::new(),
            reading: 0,
            tied: BTreeSet::new(),
            undone: BTreeSet::new(),
            asking: 0,
            vacuum: Vacuum::No,
            pace: Pace::new(EXPIRY_RATE),
        }
    }

    /// None: a slot of another slice, which no peer should speak of.
    fn due(&mut self, slot: u16) -> Option<&mut u64> {
        let place = slot.checked_sub(self.first)?;
        self.due.get_mut(usize::from(place))
    }

    /// A record of the slot is in the directory, and ends then. No sooner: a sweep that does not find it passes over it.
    pub fn note(&mut self, slot: u16, ends_ms: u64) {
        if planted(168) && ends_ms != UNKNOWN {
            return;
        }
        if let Some(due) = self.due(slot) {
            *due = (*due).min(ends_ms);
        }
    }

    /// What a record that is in the directory now says of its end, as [`kind_of`] tells it.
    pub fn note_record(&mut self, reference: KeyRef, ends_ms: u64) {
        if ends_ms != TIED {
            if !self.tied.is_empty() {
                self.tied.remove(&reference);
            }
            if ends_ms > 0 {
                self.note(reference.0, ends_ms);
            }
        } else if self.tied.len() < TIED_MAX {
            self.tied.insert(reference);
        } else {
            self.note(reference.0, UNKNOWN);
        }
    }

    /// A statement has found a partition whose indexes are not those of its table: whoever was to see to that had no record of it, or was down.
    pub fn note_undone(&mut self, reference: KeyRef) {
        if self.undone.len() < TIED_MAX {
            self.undone.insert(reference);
        }
    }

    /// One of its commands was answered. What did not come to an end is looked at again by the next sweep.
    pub fn on_answer(&mut self, now: Nanos, swept: Swept, reply: &Reply) {
        self.asking -= 1;
        self.at = Some(now);
        if swept.vacuums && *reply == Reply::Int(1) && !planted(563) {
            // There is another step to be taken there.
            self.queue.push_back((swept.key.0, swept.key.1, 0));
        }
        if reply.is_error() {
            self.note(swept.key.0, UNKNOWN);
            if let Vacuum::UnderWay(failed) | Vacuum::Ending(failed) = &mut self.vacuum {
                *failed = true;
            }
        }
    }

    /// A table was dropped, or indexes of a large one have changed: partitions are looked for in which there is something to be done.
    pub fn note_outdated(&mut self) {
        (self.vacuum, self.place) = (Vacuum::Wanted, None);
        (self.at, self.next_sweep) = (Some(0), 0);
    }

    fn is_vacuuming(&self) -> bool {
        matches!(self.vacuum, Vacuum::UnderWay(_))
    }
}

/// What an entry is for the log, and when its value ends: wall clock milliseconds, 0 = never.
pub(crate) fn kind_of(entry: &[u8]) -> (Kind, u64) {
    let head = Record::head(entry).expect("entries are checked when they arrive");
    if Record::is_tied(entry) {
        return (Kind::Expiring, TIED);
    }
    match head {
        None => (Kind::Tombstone, 0),
        Some((_, 0)) => (Kind::Value, 0),
        Some((_, ends_ms)) => (Kind::Expiring, ends_ms),
    }
}

/// What a command of a sweep is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Swept {
    key: KeyRef,
    /// It has something done for tables that have changed.
    vacuums: bool,
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

impl<D: Disk> Shard<D> {
    /// Whether this core sweeps a slot, as the one that is preferred for it: for the simulator.
    pub fn sweeps_slot(&self, slot: u16) -> bool {
        let (first, last) = self.config.slots();
        self.status == Status::Ready
            && !self.config.learner
            && (first..=last).contains(&slot)
            && self.preferred(slot) == self.config.me
    }

    /// Whether something ended in a slot of its own before this moment by the wall clock, as far as this core knows, and the sweep has not
    /// come there yet, or partitions of tables that were dropped are looked for: for the simulator.
    pub fn is_expiry_behind(&self, wall_ms: u64) -> bool {
        let Expiring { first, due, queue, reading, asking, tied, undone, vacuum, .. } = &self.expiring;
        let is_due = |(slot, ends_ms): (u16, &u64)| *ends_ms < wall_ms && self.sweeps_slot(slot);
        let is_tied = tied.iter().any(|(slot, _)| self.sweeps_slot(*slot));
        let is_vacuuming = self.sweeps() && *vacuum != Vacuum::No;
        !queue.is_empty()
            || reading + asking > 0
            || is_tied
            || !undone.is_empty()
            || is_vacuuming
            || (*first..).zip(due).any(is_due)
    }

    /// When the sweep wants a turn.
    pub(crate) fn expiry_deadline(&self) -> Option<Nanos> {
        self.expiring.at.filter(|_| self.sweeps())
    }

    fn sweeps(&self) -> bool {
        self.status == Status::Ready && !self.config.learner && !planted(167)
    }

    /// Goes on with the sweep, if it is time.
    pub(crate) fn expiry_timers(&mut self, turn: &mut Turn<'_, D>) {
        if !self.sweeps() || self.expiring.at.is_none_or(|at| at > turn.clock.now) {
            return;
        }
        self.expiring.at = self.sweep(turn);
    }

    /// Reads on until something has to be waited for. Says until when; None: for what is under way.
    fn sweep(&mut self, turn: &mut Turn<'_, D>) -> Option<Nanos> {
        let now = turn.clock.now;
        let mut taken = 0;
        loop {
            let full =
                self.expiring.asking >= EXPIRY_COMMANDS_MAX || self.commands >= self.config.commands_max;
            if full || self.expiring.reading >= EXPIRY_READS_MAX {
                let waits = self.expiring.asking + self.expiring.reading > 0;
                return (!waits).then_some(now + EXPIRY_SWEEP_NS);
            }
            if self.expiring.queue.is_empty() {
                self.end_vacuum();
                if self.expiring.place.is_none() && now < self.expiring.next_sweep {
                    return Some(self.expiring.next_sweep);
                }
                match self.find_expiring(turn.clock.wall_ms) {
                    Next::Found => continue,
                    Next::Later => return Some(now),
                    Next::End => {
                        if let Vacuum::UnderWay(failed) = self.expiring.vacuum {
                            self.expiring.vacuum = Vacuum::Ending(failed);
                        }
                        self.expiring.next_sweep = now + EXPIRY_SWEEP_NS;
                        self.list_tied();
                        continue;
                    }
                }
            }
            if taken == EXPIRY_TURN_RECORDS {
                return Some(now);
            }
            taken += 1;
            if let Err(at) = self.expiring.pace.look(now, self.background_share(now)) {
                return Some(at);
            }
            let Some((slot, fingerprint, bytes)) = self.expiring.queue.pop_front() else { continue };
            self.expiring.pace.take(u64::from(bytes), 1);
            self.metrics.disk_reads += 1;
            match self.store.read_newest_fingerprint(turn.disk, (slot, fingerprint)) {
                Read::Pending(ticket) => {
                    self.expiring.reading += 1;
                    self.expect_read(ticket, Loading::Expiring(slot));
                }
                Read::Ready(found) => self.look_at_end(turn, slot, &found),
                Read::Absent => drop(self.expiring.tied.remove(&(slot, fingerprint))),
            }
        }
    }

    /// Lists what joint commands have left at keys of its own, unless it is under way; and partitions whose indexes are not those of their tables.
    fn list_tied(&mut self) {
        let own = |slot: u16| self.preferred(slot) == self.config.me;
        let tied = self.expiring.tied.iter().filter(|(slot, _)| own(*slot));
        let listed: Vec<KeyRef> =
            tied.filter(|(_, fingerprint)| self.is_quiet(*fingerprint)).copied().collect();
        let undone = std::mem::take(&mut self.expiring.undone);
        let all = listed.into_iter().chain(undone);
        self.expiring.queue.extend(all.map(|(slot, fingerprint)| (slot, fingerprint, 0)));
    }

    /// Lists what ends in the next slot that is due.
    fn find_expiring(&mut self, wall_ms: u64) -> Next {
        let (first, last) = self.config.slots();
        let place = self.expiring.place.take();
        if place.is_none() && self.expiring.vacuum == Vacuum::Wanted {
            self.expiring.vacuum = Vacuum::UnderWay(false);
        }
        let vacuums = self.expiring.is_vacuuming();
        let (mut slot, mut from) = place.unwrap_or((first, Fingerprint::MIN));
        let mut looked = 0;
        while slot <= last {
            if from == Fingerprint::MIN && !self.begins_slot(slot, wall_ms) {
                slot += 1;
                continue;
            }
            let listed = self.store.slot_entries(slot, from, LIST_ENTRIES_MAX);
            looked += listed.len();
            let is_wanted = |kind: Kind| kind == Kind::Expiring || vacuums && kind == Kind::Value;
            for (fingerprint, entry) in listed.iter().filter(|(_, entry)| is_wanted(entry.kind)) {
                match vacuums || self.is_quiet(*fingerprint) {
                    true => self.expiring.queue.push_back((slot, *fingerprint, entry.bytes)),
                    false => self.expiring.note(slot, UNKNOWN),
                }
            }
            let last_listed = listed.last().filter(|_| listed.len() >= LIST_ENTRIES_MAX);
            let more = last_listed.and_then(|(fingerprint, _)| fingerprint.next());
            (slot, from) = more.map_or((slot + 1, Fingerprint::MIN), |more| (slot, more));
            let found = !self.expiring.queue.is_empty();
            if found || looked >= SURVEY_TURN_RECORDS {
                self.expiring.place = Some((slot, from));
                return if found { Next::Found } else { Next::Later };
            }
        }
        Next::End
    }

    /// Whether a slot is worth a look. If so, what is found there says when it is the next time.
    fn begins_slot(&mut self, slot: u16, wall_ms: u64) -> bool {
        let own = self.preferred(slot) == self.config.me;
        let vacuums = self.expiring.is_vacuuming();
        let Some(due) = self.expiring.due(slot).filter(|due| own && (vacuums || **due <= wall_ms)) else {
            return false;
        };
        *due = NEVER;
        let summary = self.store.slot_summary(slot);
        summary.expiring > 0 || vacuums && summary.keys > 0
    }

    /// A record of the sweep was read.
    pub(crate) fn on_expiring_read(&mut self, turn: &mut Turn<'_, D>, slot: u16, found: Option<Found>) {
        self.expiring.reading -= 1;
        self.expiring.at = Some(turn.clock.now);
        if let Some(found) = found {
            self.look_at_end(turn, slot, &found);
        }
    }

    /// Has a key looked at whose time has come.
    fn look_at_end(&mut self, turn: &mut Turn<'_, D>, slot: u16, found: &Found) {
        let is_flushed = self.is_flushed(&found.body);
        if Record::is_tied(&found.body) && !is_flushed {
            return self.look_at_ties(turn, slot, found);
        }
        if !self.expiring.tied.is_empty() {
            self.expiring.tied.remove(&self.store.key_ref(slot, &found.key));
        }
        let Ok(Some((kind, ends_ms))) = Record::head(newest_part(found)) else { return };
        if kind == Type::Rows && !is_flushed && self.may_be_outdated(found) {
            return self.ask_key(turn, slot, &found.key, Op::Vacuum);
        }
        if ends_ms == 0 || is_flushed {
            return;
        }
        if ends_ms > turn.clock.wall_ms {
            return self.expiring.note(slot, ends_ms);
        }
        self.look_at_key(turn, slot, &found.key);
    }

    /// Whether a record of rows may be a partition of no table, or one whose indexes are not those of its table. Of one that lies in the log as
    /// changes only its key's name is known.
    fn may_be_outdated(&self, found: &Found) -> bool {
        let table = table_of(&found.key).and_then(|name| self.catalogs.current().table(name).ok());
        let Some(table) = table.filter(|_| found.base.is_none()) else { return true };
        let Ok(Record { value, .. }) = Record::decode(&found.body) else { return true };
        let lacks =
            indexes_of(table, value.as_ref()).is_some_and(|indexes| indexes.next_task(table).is_some());
        lacks || !is_partition_of(value.as_ref(), table.id)
    }

    /// All values were looked at, and what was found has come to its end.
    fn end_vacuum(&mut self) {
        let is_over = self.expiring.asking + self.expiring.reading == 0;
        match self.expiring.vacuum {
            Vacuum::Ending(true) if is_over => self.expiring.vacuum = Vacuum::Wanted,
            Vacuum::Ending(false) if is_over => {
                self.expiring.vacuum = Vacuum::No;
                self.note_vacuumed();
            }
            _ => {}
        }
    }

    /// A joint command has left something at a key: if its claim, then whoever asks for the key sees to it; if a decision, then it is finished.
    fn look_at_ties(&mut self, turn: &mut Turn<'_, D>, slot: u16, found: &Found) {
        let Ok(Record { ties: Some(ties), .. }) = Record::decode(&found.body) else { return };
        // The next sweep looks whether that was all.
        self.expiring.note_record(self.store.key_ref(slot, &found.key), TIED);
        if planted(509) {
            return;
        }
        if ties.claim.is_some() {
            self.look_at_key(turn, slot, &found.key);
        }
        self.finish_decisions(turn, &found.key, ties.decisions);
    }

    /// Asks whether a key is there: whatever is due at it is done before that is answered.
    fn look_at_key(&mut self, turn: &mut Turn<'_, D>, slot: u16, key: &[u8]) {
        self.ask_key(turn, slot, key, Op::Exists);
    }

    fn ask_key(&mut self, turn: &mut Turn<'_, D>, slot: u16, key: &[u8], op: Op) {
        let vacuums = matches!(op, Op::Vacuum);
        let command = Rc::new(Command::Key(KeyCommand { key: key.into(), op }));
        let bytes = command.bytes();
        self.commands += 1;
        self.command_bytes += bytes;
        self.metrics.swept_keys += 1;
        self.expiring.asking += 1;
        let swept = Swept { key: self.store.key_ref(slot, key), vacuums };
        let (waiter, id) = (Waiter::Expiring(swept), self.own_id(false));
        let deadline = turn.clock.now + EXPIRY_COMMAND_NS;
        self.enqueue(turn, slot, Queued::new(waiter, id, command, bytes, deadline));
    }
}
