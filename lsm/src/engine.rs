//! The engine's interface, and the place where completions are handed to those who wait for them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use reactor::{Completion, Disk, Nanos, Op, OpId};

use crate::background::Owner;
use crate::cache::BlockCache;
use crate::error::{ApplyError, Fault, ReadError};
use crate::fetch::{Fetch, Held};
use crate::get::{self, Lookup};
use crate::job::Job;
use crate::levels::Levels;
use crate::limits::{LEVELS, MEMTABLES_MAX, SNAPSHOTS_MAX};
use crate::log::Log;
use crate::memtable::Memtable;
use crate::reads::{Around, Brought, Ended, Reader, Reads};
use crate::recover::Recovery;
use crate::scan::Scanner;
use crate::table::Table;
use crate::types::{
    Batch, Change, Counters, Event, Get, Options, Pressure, Recovered, Rows, Scan, Scanned, Snapshot,
    SnapshotVersions, Stats, Version,
};

/// Memtables that may wait for their flush.
const SEALED_MAX: usize = MEMTABLES_MAX - 1;

/// Tables of level 0, as multiples of those that start a compaction, at which writes are slowed down, and stopped.
const SLOW_FACTOR: usize = 3;
const STOP_FACTOR: usize = 6;

/// Debt, in multiples of a base level's bytes, at which writes are slowed down: what a compaction per level amounts to, twice.
const SLOW_DEBT_FACTOR: u64 = 64;

/// What a writer who is slowed down may write at most, in bytes a second: half of what a disk takes, for the rest rewrites it.
const SLOW_BYTES_PER_SECOND: u64 = 64 << 20;

/// One core's engine. Single-threaded; submits to the disk that is handed in, always the same one.
pub struct Lsm {
    pub(crate) options: Options,
    pub(crate) levels: Rc<Levels>,
    pub(crate) active: Rc<RefCell<Memtable>>,
    /// Memtables that wait for their flush, the oldest first.
    pub(crate) sealed: VecDeque<Rc<RefCell<Memtable>>>,
    /// Of the last change that was applied.
    pub(crate) version: u64,
    pub(crate) flushed_to: u64,
    /// The memtable that is being filled is to be flushed, full or not.
    pub(crate) wants_flush: bool,
    /// Tables get numbers from this one on.
    pub(crate) next_id: Rc<Cell<u64>>,
    pub(crate) snapshots: SnapshotVersions,
    pub(crate) cache: BlockCache,
    pub(crate) reads: Reads,
    recovery: Option<Recovery>,
    /// None before recovery has found out where it goes on.
    pub(crate) log: Option<Log>,
    pub(crate) jobs: BTreeMap<u64, Job>,
    pub(crate) last_job: u64,
    pub(crate) ops: BTreeMap<OpId, Owner>,
    /// Tables that are part of a job or an edit, or cannot be believed.
    pub(crate) busy: BTreeSet<u64>,
    /// Tables that are no part of the tree any more, and may still be read.
    pub(crate) retired: Vec<Rc<Table>>,
    /// What compaction comes next may be another one than when it was last asked for.
    pub(crate) may_choose: bool,
    /// Bytes that compaction has yet to move until every level is within its target.
    pub(crate) debt: u64,
    /// Something changed that may hide all that a table has.
    pub(crate) looks_for_hidden: bool,
    /// Something is hidden from all but snapshots, of which this was the oldest.
    pub(crate) hidden_but_seen: Option<u64>,
    /// When compactions go on, after the disk refused to read for one.
    pub(crate) compact_again_at: Nanos,
    /// Files that are to be closed and removed.
    pub(crate) cleaning: VecDeque<Op>,
    pub(crate) last_ingestion: u64,
    pub(crate) events: VecDeque<Event>,
    pub(crate) full: bool,
    pub(crate) full_retry_at: Nanos,
    pub(crate) now: Nanos,
    pub(crate) failed: bool,
    pub(crate) counters: Counters,
    recovered: Option<Recovered>,
}

impl Lsm {
    /// Starts recovery; [`Event::Ready`] or [`Event::Failed`] says how it ended.
    pub fn open<D: Disk + ?Sized>(options: Options, disk: &mut D) -> Lsm {
        let mut lsm = Lsm {
            options,
            levels: Rc::default(),
            active: Rc::default(),
            sealed: VecDeque::new(),
            version: 0,
            flushed_to: 0,
            wants_flush: false,
            next_id: Rc::new(Cell::new(1)),
            snapshots: SnapshotVersions::default(),
            cache: BlockCache::new(options.cache_bytes),
            reads: Reads::default(),
            recovery: Some(Recovery::new()),
            log: None,
            jobs: BTreeMap::new(),
            last_job: 0,
            ops: BTreeMap::new(),
            busy: BTreeSet::new(),
            retired: Vec::new(),
            may_choose: true,
            debt: 0,
            looks_for_hidden: true,
            hidden_but_seen: None,
            compact_again_at: 0,
            cleaning: VecDeque::new(),
            last_ingestion: 0,
            events: VecDeque::new(),
            full: false,
            full_retry_at: 0,
            now: 0,
            failed: false,
            counters: Counters::default(),
            recovered: None,
        };
        lsm.go_on(disk);
        lsm
    }

    /// Whether an operation is this engine's.
    pub fn owns(&self, id: OpId) -> bool {
        let is_recovery = self.recovery.as_ref().is_some_and(|recovery| recovery.owns(id));
        self.reads.owns(id) || self.ops.contains_key(&id) || is_recovery
    }

    /// Takes a completion. False, and nothing is done, if the operation is not this engine's.
    pub fn on_disk<D: Disk + ?Sized>(&mut self, disk: &mut D, completion: Completion) -> bool {
        let Completion { id, result } = completion;
        if self.reads.owns(id) {
            let mut ended = Vec::new();
            let (cache, counters) = (&mut self.cache, &mut self.counters);
            let damage = self.reads.done(&mut Around { disk, cache, counters }, id, result, &mut ended);
            if let Some((table, damage)) = damage {
                self.on_damage(&table, damage);
            }
            self.tell(ended);
            return true;
        }
        if let Some(recovery) = self.recovery.as_mut().filter(|recovery| recovery.owns(id)) {
            if let Err(fault) = recovery.done(id, result) {
                self.fail(fault);
            }
            self.go_on(disk);
            return true;
        }
        let Some(owner) = self.ops.remove(&id) else { return false };
        if self.failed {
            return true;
        }
        if let Err(fault) = self.hand_over(owner, result) {
            self.fail(fault);
        }
        self.go_on(disk);
        true
    }

    /// What happens without being asked for: recovery, and whatever costs no CPU.
    pub(crate) fn go_on<D: Disk + ?Sized>(&mut self, disk: &mut D) {
        if self.failed {
            return;
        }
        if let Some(recovery) = &mut self.recovery {
            while let Some((op, note)) = recovery.next_op() {
                note(recovery, disk.submit(op));
            }
            if !recovery.is_over() {
                return;
            }
            let found = self.recovery.take().map(|recovery| recovery.found).unwrap_or_default();
            self.take_found(found);
        }
        self.submit_all(disk);
        if self.recovered.is_some() && self.log.as_ref().is_some_and(Log::is_open) {
            // The owner hears `Ready` before anything else that was noted meanwhile.
            let recovered = self.recovered.take().unwrap_or_default();
            self.events.push_front(Event::Ready(recovered));
        }
    }

    fn take_found(&mut self, found: crate::recover::Found) {
        let contents = found.contents;
        let all = contents.to_edit();
        let tables: Vec<Rc<Table>> = found.tables.into_iter().map(|(_, table)| table).collect();
        self.levels = Rc::new(Levels::default().edited(&all, &tables));
        let newest = tables.iter().map(|table| table.meta.newest).max().unwrap_or(0);
        self.flushed_to = contents.flushed_to;
        self.version = contents.flushed_to.max(newest);
        self.next_id.set(contents.next_id);
        self.debt = self.reckon_debt();
        self.recovered = Some(Recovered {
            flushed_to: Version(self.flushed_to),
            tables: tables.len() as u64,
            table_bytes: tables.iter().map(|table| table.meta.bytes).sum(),
            orphans: found.orphans,
            torn_bytes: contents.torn_bytes,
            fresh: found.fresh,
        });
        let (core, bytes_max) = (self.options.core, self.options.manifest_bytes);
        self.log = Some(Log::new(core, bytes_max, found.number, contents));
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.recovered.is_none() && self.log.is_some()
    }

    /// What the engine has to tell, in order.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Stops the engine. The first reason is the one that is told.
    pub(crate) fn fail(&mut self, fault: Fault) {
        if !self.failed {
            self.failed = true;
            let mut ended = Vec::new();
            self.reads.refuse_all(&mut ended);
            self.tell(ended);
            self.events.push_back(Event::Failed(fault));
        }
    }

    fn tell(&mut self, ended: Vec<Ended>) {
        for Ended { ticket, is_scan, result } in ended {
            let event = match (is_scan, result) {
                (false, Ok(Brought::Value(value))) => Event::Got { ticket, result: Ok(value) },
                (true, Ok(Brought::Rows(rows))) => Event::Scanned { ticket, result: Ok(rows) },
                (false, result) => Event::Got { ticket, result: result.map(|_| None) },
                (true, result) => Event::Scanned { ticket, result: result.map(|_| Rows::default()) },
            };
            self.events.push_back(event);
        }
    }

    // ---- writing ----

    /// Applies changes, all of them or none. They can be read at once, and are durable when [`Event::Flushed`] names a version that is not
    /// below the one that comes back: until then whoever calls has them logged elsewhere.
    pub fn apply(&mut self, batch: &Batch) -> Result<Version, ApplyError> {
        match (self.failed, self.is_ready()) {
            (true, _) => return Err(ApplyError::Failed),
            (_, false) => return Err(ApplyError::NotReady),
            _ if batch.is_too_large() => return Err(ApplyError::TooLarge),
            _ => {}
        }
        if self.is_memory_used_up() {
            self.rotate();
        }
        if self.pressure() == Pressure::Stop {
            return Err(if self.full { ApplyError::Full } else { ApplyError::Stalled });
        }
        let snapshots = if batch.has_ranges() { self.snapshot_versions() } else { Vec::new() };
        let mut memtable = self.active.borrow_mut();
        for change in batch.changes() {
            self.version += 1;
            match change {
                Change::Put { key, value } => memtable.insert(key, self.version, Some(value)),
                Change::Delete { key } => memtable.insert(key, self.version, None),
                Change::DeleteRange { first, end } => {
                    memtable.delete_range(first, end, self.version, &snapshots);
                }
            }
        }
        self.counters.changes += batch.len() as u64;
        self.counters.batch_bytes += batch.bytes() as u64;
        Ok(Version(self.version))
    }

    fn is_memory_used_up(&self) -> bool {
        let memtable = self.active.borrow();
        memtable.memory_bytes() >= self.options.memtable_bytes
            || memtable.has_many_ranges()
            || memtable.is_at_its_end()
    }

    /// The memtable that is being filled waits for its flush from now on, if there is room for it to wait.
    pub(crate) fn rotate(&mut self) {
        if !self.active.borrow().is_empty() && self.has_room_to_wait() {
            self.sealed.push_back(std::mem::take(&mut self.active));
            self.wants_flush = false;
        }
    }

    /// Whether one more memtable may wait for its flush.
    pub(crate) fn has_room_to_wait(&self) -> bool {
        self.sealed.len() < SEALED_MAX
    }

    /// Has everything flushed that was applied so far. [`Event::Flushed`] follows, if that is anything.
    pub fn flush(&mut self) {
        if self.is_ready() && !self.failed {
            self.wants_flush = !self.active.borrow().is_empty();
        }
    }

    /// Of the last change that was applied.
    pub fn version(&self) -> Version {
        Version(self.version)
    }

    /// Everything up to this version is durable.
    pub fn flushed_to(&self) -> Version {
        Version(self.flushed_to)
    }

    /// Whether everything up to this version is durable, whether it was applied or taken in.
    pub fn is_durable(&self, version: Version) -> bool {
        let mut memtables = self.sealed.iter().chain(std::iter::once(&self.active));
        memtables.all(|memtable| memtable.borrow().versions().is_none_or(|(oldest, _)| oldest > version.0))
    }

    /// Whether the tree keeps up with what is applied.
    pub fn pressure(&self) -> Pressure {
        let first = self.levels.level(0).len();
        let start = self.options.levels.first_tables.max(1);
        if first >= STOP_FACTOR * start
            || self.is_taking_in()
            || self.is_memory_used_up() && self.sealed.len() >= SEALED_MAX
        {
            return Pressure::Stop;
        }
        let slow = SLOW_FACTOR * start;
        let debt = self.debt / self.options.levels.base_bytes.max(1);
        if first < slow && debt < SLOW_DEBT_FACTOR && self.sealed.len() < SEALED_MAX {
            return Pressure::None;
        }
        // The nearer the stop, the slower.
        let steps = 1 + first.saturating_sub(slow) as u64 + debt / SLOW_DEBT_FACTOR;
        Pressure::Slow { bytes_per_second: (SLOW_BYTES_PER_SECOND / steps).max(1 << 20) }
    }

    // ---- reading ----

    /// Holds on to the tree as it is now. None: too many are held, or the tree is not open yet.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let is_room = self.snapshots.borrow().len() < SNAPSHOTS_MAX;
        (is_room && self.is_ready()).then(|| Snapshot::new(self.version, &self.snapshots))
    }

    /// Why nothing is read.
    fn refusal(&self) -> Option<ReadError> {
        match (self.failed, self.is_ready()) {
            (true, _) => Some(ReadError::Failed),
            (_, false) => Some(ReadError::NotReady),
            _ => None,
        }
    }

    /// A key's value: now, or as a snapshot has it.
    pub fn get<D: Disk + ?Sized>(&mut self, disk: &mut D, key: &[u8], snapshot: Option<&Snapshot>) -> Get {
        if let Some(error) = self.refusal() {
            let ticket = self.reads.refused();
            self.events.push_back(Event::Got { ticket, result: Err(error) });
            return Get::Pending(ticket);
        }
        let at = snapshot.map_or(self.version, |snapshot| snapshot.version().0);
        for memtable in std::iter::once(&self.active).chain(self.sealed.iter().rev()) {
            if let Some(said) = get::in_memtable(memtable, key, at) {
                return Get::Ready(said);
            }
        }
        let mut needs = Vec::new();
        let held = Held::default();
        let mut fetch = Fetch { cache: Some(&mut self.cache), held: &held, needs: &mut needs };
        let hash = crate::filter::hash(key);
        let mut place = (0, 0);
        if let Some(said) = get::in_tables(&self.levels, (key, hash), at, &mut place, &mut fetch) {
            return Get::Ready(said);
        }
        let reader = Reader::Get(Lookup::new((key, hash), at, self.levels.clone(), place));
        let (cache, counters) = (&mut self.cache, &mut self.counters);
        Get::Pending(self.reads.begin(&mut Around { disk, cache, counters }, reader, needs))
    }

    /// Rows in the order of their keys: now, or as a snapshot has them.
    pub fn scan<D: Disk + ?Sized>(
        &mut self,
        disk: &mut D,
        scan: Scan,
        snapshot: Option<&Snapshot>,
    ) -> Scanned {
        if let Some(error) = self.refusal() {
            let ticket = self.reads.refused();
            self.events.push_back(Event::Scanned { ticket, result: Err(error) });
            return Scanned::Pending(ticket);
        }
        let at = snapshot.map_or(self.version, |snapshot| snapshot.version().0);
        let memtables = std::iter::once(&self.active).chain(&self.sealed).cloned();
        let mut scanner = Scanner::new(scan, at, memtables, &self.levels);
        let mut needs = Vec::new();
        let held = Held::default();
        let mut fetch = Fetch { cache: Some(&mut self.cache), held: &held, needs: &mut needs };
        if let Some(rows) = scanner.run(&mut fetch) {
            return Scanned::Ready(rows);
        }
        let reader = Reader::Scan(Box::new(scanner));
        let (cache, counters) = (&mut self.cache, &mut self.counters);
        Scanned::Pending(self.reads.begin(&mut Around { disk, cache, counters }, reader, needs))
    }

    /// How the engine stands.
    pub fn stats(&self) -> Stats {
        let memtables = std::iter::once(&self.active).chain(&self.sealed);
        let mut stats = Stats {
            counters: self.counters,
            memtable_bytes: memtables.map(|memtable| memtable.borrow().memory_bytes() as u64).sum(),
            sealed_memtables: self.sealed.len() as u64,
            debt_bytes: self.debt,
            snapshots: self.snapshots.borrow().len() as u64,
            waiting_reads: self.reads.waiting() as u64,
            cache_bytes: self.cache.bytes(),
            cache_hits: self.cache.hits,
            cache_misses: self.cache.misses,
            damaged_tables: self.levels.iter().filter(|(_, table)| table.is_damaged.get()).count() as u64,
            ..Stats::default()
        };
        for level in 0..LEVELS {
            stats.tables[level] = self.levels.level(level).len() as u64;
            stats.table_bytes[level] = self.levels.bytes(level);
        }
        stats
    }
}
