//! Background work: what is started when, and what becomes of it.
//!
//! The owner gives a budget in bytes of rows; deciding, and starting operations, costs nothing of it. Flushes go first, for they hold up
//! writes soonest; then the compaction of level 0; then the others.

use std::rc::Rc;

use reactor::mutants::planted;
use reactor::{Disk, DiskError, DiskErrorKind, Nanos, Op, Outcome};

use crate::choose::{self, Choice, Shape};
use crate::compact::Compaction;
use crate::envelope::Codec;
use crate::error::{Damage, Fault};
use crate::flush::Flush;
use crate::ingest::Ingestion;
use crate::job::{Job, JobOp, Source};
use crate::limits::{
    COMPACTIONS_MAX, COMPACTION_READ_BYTES, END_BYTES_MAX, FULL_RETRY_NS, KEY_BYTES_MAX, LEVELS,
    READ_RETRY_NS,
};
use crate::log::{Log, LogOp, Planned, Purpose};
use crate::manifest::Edit;
use crate::names;
use crate::ranges::Ranges;
use crate::reads;
use crate::sink::SinkOp;
use crate::table::build::BuildOptions;
use crate::table::{Table, TableMeta};
use crate::types::{Event, IngestId, Version};
use crate::Lsm;

/// Bytes of ingested rows that may wait to be written.
const INGEST_BYTES_MAX: usize = 4 << 20;

/// What an operation of the engine that is neither a read nor recovery's belongs to.
#[derive(Debug)]
pub(crate) enum Owner {
    Job(u64, JobOp),
    Log(LogOp),
    /// Closing or removing what is of no use any more.
    Sweep,
}

impl Lsm {
    /// Whether a call of [`Lsm::background`] would get anywhere.
    pub fn background_wanted(&self) -> bool {
        if self.failed || self.log.as_ref().is_none_or(|log| !log.is_open()) {
            return false;
        }
        self.jobs.values().any(Job::can_fill)
            || self.wants_flush && self.has_room_to_wait()
            || self.looks_for_hidden()
            || self.jobs.values().any(|job| job.is_lost && job.flying == 0 || self.may_end(job))
            || !self.is_waiting_for_space()
                && (!self.sealed.is_empty() && !self.is_flushing() || self.may_choose && !self.is_resting())
            || self.may_have_space()
            || self.retired.iter().any(|table| Rc::strong_count(table) == 1)
    }

    /// Works, for about so many bytes of rows; says how many it were. To be called when [`Lsm::background_wanted`] says so, as often as the
    /// owner has time for it, and now and then otherwise: a full disk is tried again once a second.
    pub fn background<D: Disk + ?Sized>(&mut self, disk: &mut D, now: Nanos, bytes: u64) -> u64 {
        self.now = self.now.max(now);
        if self.failed || self.log.as_ref().is_none_or(|log| !log.is_open()) {
            self.go_on(disk);
            return 0;
        }
        self.start_jobs();
        let mut used = 0;
        // Flushes, then level 0, then the rest: by the number of the level they write to, and what is ingested at the end.
        let mut order: Vec<(usize, u64)> = self.jobs.iter().map(|(id, job)| (rank(job), *id)).collect();
        order.sort_unstable();
        for (_, id) in order {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            used += job.fill(bytes.saturating_sub(used));
            if used >= bytes {
                break;
            }
        }
        self.end_jobs();
        self.note_space();
        self.sweep(disk);
        self.go_on(disk);
        used
    }

    /// When [`Lsm::background`] is to be called although nothing is wanted, with any budget: work that the disk refused, for want of space or
    /// because it could not read, is begun again then.
    pub fn background_deadline(&self) -> Option<Nanos> {
        if self.failed {
            return None;
        }
        let full = self.full.then_some(self.full_retry_at);
        let log = self.log.as_ref().and_then(Log::retry_at);
        let rests = self.may_choose.then_some(self.compact_again_at);
        [full, log, rests].into_iter().flatten().filter(|at| *at > self.now).min()
    }

    // ---- what is started ----

    fn is_flushing(&self) -> bool {
        self.jobs.values().any(|job| matches!(job.source, Source::Flush(_)))
    }

    fn is_waiting_for_space(&self) -> bool {
        self.full && self.now < self.full_retry_at
    }

    /// A read for a compaction was refused: another try comes a while later.
    fn is_resting(&self) -> bool {
        self.now < self.compact_again_at
    }

    /// Whether an ingestion is on its way into the tree: until it is there nothing else gets a version.
    pub(crate) fn is_taking_in(&self) -> bool {
        self.jobs.values().any(|job| job.is_planned && matches!(job.source, Source::Ingestion(_)))
    }

    /// Something may be hidden that was not when it was last looked for.
    fn looks_for_hidden(&self) -> bool {
        self.looks_for_hidden
            || self
                .hidden_but_seen
                .is_some_and(|oldest| self.snapshots.borrow().keys().next() != Some(&oldest))
    }

    fn shape_and<T>(&self, ask: impl FnOnce(&Shape<'_>) -> T) -> T {
        let tables = |level: usize| self.levels.level(level).iter().map(|table| &table.meta).collect();
        ask(&Shape { levels: (0..LEVELS).map(tables).collect(), busy: &self.busy })
    }

    /// Bytes that compaction has yet to move.
    pub(crate) fn reckon_debt(&self) -> u64 {
        self.shape_and(|shape| choose::debt(shape, &self.options.levels))
    }

    fn choose(&self) -> Choice {
        let compacts = |job: &&Job| matches!(job.source, Source::Compaction(_));
        let running = self.jobs.values().filter(compacts).count();
        // While an ingestion is on its way into the tree, nothing may be made that spans its place.
        let ingests = |job: &Job| matches!(job.source, Source::Ingestion(_)) && job.is_ending();
        if running >= COMPACTIONS_MAX || self.is_resting() || self.jobs.values().any(ingests) {
            return Choice::Nothing;
        }
        let takes_first = |job: &Job| job.removes().iter().any(|(level, _)| *level == 0);
        let first = !self.jobs.values().any(takes_first);
        let others = running < COMPACTIONS_MAX - 1 || !first;
        self.shape_and(|shape| choose::choose(shape, &self.options.levels, first, others))
    }

    fn build_options(&self, level: usize) -> BuildOptions {
        let codec: Codec = if level == LEVELS - 1 { self.options.last_codec } else { self.options.codec };
        BuildOptions { block_bytes: self.options.block_bytes, bits_per_key: self.options.bits_per_key, codec }
    }

    pub(crate) fn snapshot_versions(&self) -> Vec<u64> {
        self.snapshots.borrow().keys().copied().collect()
    }

    fn begin_job(&mut self, source: Source, level: usize) -> u64 {
        let job = Job::new(source, self.build_options(level), self.next_id.clone());
        self.busy.extend(job.removes().iter().map(|(_, id)| *id));
        self.last_job += 1;
        self.jobs.insert(self.last_job, job);
        self.last_job
    }

    fn start_jobs(&mut self) {
        if self.wants_flush {
            self.rotate();
        }
        // That gives space, and needs hardly any.
        self.drop_hidden();
        if self.is_waiting_for_space() {
            return;
        }
        if let Some(memtable) = self.sealed.front().filter(|_| !self.is_flushing()).cloned() {
            let flushed_to = memtable.borrow().versions().map_or(self.flushed_to, |(_, newest)| newest);
            let flush = Flush::new(memtable, flushed_to, self.snapshot_versions());
            self.begin_job(Source::Flush(flush), 0);
        }
        loop {
            match self.choose() {
                Choice::Nothing => {
                    // Who rests has not looked.
                    self.may_choose = self.is_resting();
                    return;
                }
                Choice::Move { from, table, to } => self.plan_move(from, table, to),
                Choice::Merge { inputs, to } => {
                    let bytes: u64 = self
                        .levels
                        .iter()
                        .filter(|(_, table)| inputs.iter().any(|(_, id)| *id == table.meta.id))
                        .map(|(_, table)| table.meta.bytes)
                        .sum();
                    let (snapshots, table_bytes) = (self.snapshot_versions(), self.options.table_bytes);
                    let compaction = Compaction::new(&self.levels, &inputs, to, snapshots, table_bytes);
                    self.counters.compactions += 1;
                    self.counters.compacted_in_bytes += bytes;
                    self.begin_job(Source::Compaction(Box::new(compaction)), to);
                }
            }
        }
    }

    fn plan_move(&mut self, from: usize, id: u64, to: usize) {
        let table = self.levels.level(from).iter().find(|table| table.meta.id == id).cloned();
        let Some(table) = table else { return };
        self.busy.insert(id);
        self.counters.moves += 1;
        let added = vec![(to as u8, table.meta.clone())];
        let edit =
            Edit { added, removed: vec![(from as u8, id)], flushed_to: None, next_id: self.next_id.get() };
        self.plan(Planned { edit, tables: vec![table], purpose: Purpose::Move });
    }

    fn plan(&mut self, planned: Planned) {
        if let Some(log) = &mut self.log {
            log.push(planned);
        }
    }

    /// Has tables dropped of which nothing is visible, because range deletions above them hide all.
    fn drop_hidden(&mut self) {
        if !self.looks_for_hidden() {
            return;
        }
        self.looks_for_hidden = false;
        self.hidden_but_seen = None;
        let snapshots = self.snapshot_versions();
        let in_use =
            |id: u64| self.jobs.values().any(|job| job.removes().iter().any(|(_, other)| *other == id));
        let on_its_way = |id: u64| self.log.as_ref().is_some_and(|log| log.removes(id));
        let mut above = Ranges::default();
        let mut removed = Vec::new();
        let mut is_seen = false;
        for level in 0..LEVELS {
            // In level 0 what is newer comes first, and hides what comes behind it.
            for table in self.levels.level(level).iter() {
                if !above.is_empty() {
                    let TableMeta { id, first, end, oldest, newest, .. } = &table.meta;
                    let is_damaged = table.is_damaged.get() && !in_use(*id);
                    let is_free = (!self.busy.contains(id) || is_damaged) && !on_its_way(*id);
                    let hidden_from = above.hidden_from(first, end, *newest).filter(|_| is_free);
                    let sees =
                        |from: u64| snapshots.iter().any(|snapshot| snapshot >= oldest && *snapshot < from);
                    match hidden_from {
                        Some(from) if sees(from) && !planted(610) => is_seen = true,
                        Some(_) => removed.push((level as u8, *id)),
                        None => {}
                    }
                }
                if level == 0 {
                    above.merge(table.ranges.clone());
                }
            }
            if level > 0 {
                // One level's do not overlap: merged with each other first, they cost less.
                let mut own = Ranges::default();
                self.levels.with_ranges(level).iter().for_each(|table| own.append(&table.ranges));
                above.merge(own);
            }
        }
        if is_seen {
            self.hidden_but_seen = snapshots.first().copied();
        }
        if removed.is_empty() {
            return;
        }
        self.counters.drops += removed.len() as u64;
        self.busy.extend(removed.iter().map(|(_, id)| *id));
        let edit = Edit { removed, next_id: self.next_id.get(), ..Edit::default() };
        self.plan(Planned { edit, tables: Vec::new(), purpose: Purpose::Drop });
    }

    // ---- what comes of it ----

    /// Starts whatever operations there are to be started.
    pub(crate) fn submit_all<D: Disk + ?Sized>(&mut self, disk: &mut D) {
        for (id, job) in &mut self.jobs {
            while let Some((op, kind)) = job.next_op() {
                self.ops.insert(disk.submit(op), Owner::Job(*id, kind));
            }
            for need in std::mem::take(&mut job.needs) {
                let (op, skip) = reads::read_op(&need, COMPACTION_READ_BYTES);
                job.reading += 1;
                job.flying += 1;
                self.ops.insert(disk.submit(op), Owner::Job(*id, JobOp::Read(need, skip)));
            }
        }
        if let Some(log) = &mut self.log {
            while let Some((op, kind)) = log.next_op(self.now) {
                self.ops.insert(disk.submit(op), Owner::Log(kind));
            }
            if let Some(fault) = log.take_fault() {
                self.fail(fault);
            }
        }
    }

    pub(crate) fn hand_over(
        &mut self,
        owner: Owner,
        result: Result<Outcome, DiskError>,
    ) -> Result<(), Fault> {
        match owner {
            Owner::Sweep => Ok(()),
            Owner::Log(kind) => {
                let Some(log) = &mut self.log else { return Ok(()) };
                let was_full = log.is_full;
                let durable = log.done(kind, result, self.now)?;
                if log.is_full && !was_full {
                    self.note_full();
                }
                if let Some(planned) = durable {
                    self.install(planned);
                }
                Ok(())
            }
            Owner::Job(id, op) => self.on_job(id, op, result),
        }
    }

    fn on_job(&mut self, id: u64, op: JobOp, result: Result<Outcome, DiskError>) -> Result<(), Fault> {
        let Some(job) = self.jobs.get_mut(&id) else { return Ok(()) };
        job.flying -= 1;
        if let JobOp::Read(need, skip) = op {
            job.reading -= 1;
            let read = reads::bytes_of(result).map(|(buf, bytes)| reads::unpack(&need, &buf, skip, bytes));
            // Without it this compaction cannot be; the rest of the tree goes on.
            match read {
                Ok(Ok(blocks)) => job.take_blocks(need.table.meta.id, blocks),
                Ok(Err((offset, error))) => {
                    job.is_lost = true;
                    let damage = need.table.damage(offset, error.to_string());
                    self.on_damage(&need.table, damage);
                }
                // What the disk refuses now it may give later.
                Err(_) => {
                    job.is_lost = true;
                    self.compact_again_at = self.now + READ_RETRY_NS;
                }
            }
            return Ok(());
        }
        match result {
            Ok(outcome) if job.is_lost => {
                // Its file is open, and goes with the rest.
                if let JobOp::Sink(..) = op {
                    job.done(op, outcome)?;
                }
                Ok(())
            }
            Ok(outcome) => job.done(op, outcome),
            Err(error) if error.kind == DiskErrorKind::Full => {
                if let (JobOp::Sink(_, SinkOp::Sync), true) = (&op, planted(613)) {
                    return job.done(op, Outcome::Done);
                }
                job.is_lost = true;
                self.note_full();
                Ok(())
            }
            Err(_) if job.is_lost => Ok(()),
            Err(error) => Err(Fault::Io { message: error.message }),
        }
    }

    fn note_full(&mut self) {
        self.full_retry_at = self.now + FULL_RETRY_NS;
        if !self.full {
            self.full = true;
            self.events.push_back(Event::Full(true));
        }
    }

    /// There may be space again: nothing that was begun since says otherwise.
    fn may_have_space(&self) -> bool {
        let is_tried = self.jobs.is_empty() && self.sealed.is_empty();
        let log_is_full = self.log.as_ref().is_some_and(|log| log.is_full);
        self.full && !self.is_waiting_for_space() && is_tried && !log_is_full
    }

    fn note_space(&mut self) {
        if self.may_have_space() {
            self.full = false;
            self.events.push_back(Event::Full(false));
        }
    }

    pub(crate) fn on_damage(&mut self, table: &Rc<Table>, damage: Damage) {
        if !table.is_damaged.replace(true) && self.levels.has(table) {
            self.looks_for_hidden = true;
            self.busy.insert(table.meta.id);
            self.events.push_back(Event::Damaged(damage));
        }
    }

    /// Whether a job is ready and may hand in its edit, or find out what it has to wait for.
    fn may_end(&self, job: &Job) -> bool {
        let may = match &job.source {
            // What was applied before must lie below the rows that come.
            Source::Ingestion(ingestion) => match ingestion.waits_for {
                Some(version) => (self.flushed_to >= version || planted(611)) && self.has_place_at_once(),
                None => self.active.borrow().is_empty() || self.has_room_to_wait(),
            },
            Source::Flush(_) | Source::Compaction(_) => true,
        };
        may && job.is_ready() && !job.is_planned
    }

    /// Whether an edit would be written at once, and no ingestion's is: nothing gets a version while one is on its way.
    fn has_place_at_once(&self) -> bool {
        self.log.as_ref().is_some_and(|log| !log.is_busy()) && !self.is_taking_in()
    }

    fn end_jobs(&mut self) {
        let lost: Vec<u64> =
            self.jobs.iter().filter(|(_, job)| job.is_lost && job.flying == 0).map(|(id, _)| *id).collect();
        lost.into_iter().for_each(|id| self.give_up(id));
        let ready: Vec<u64> =
            self.jobs.iter().filter(|(_, job)| self.may_end(job)).map(|(id, _)| *id).collect();
        for id in ready {
            self.wait_for_flush(id);
            let Some(job) = self.jobs.get(&id).filter(|job| self.may_end(job)) else { continue };
            let base = self.version;
            let level = match &job.source {
                Source::Flush(_) => 0,
                Source::Compaction(compaction) => compaction.to,
                Source::Ingestion(ingestion) => self.level_for(ingestion),
            };
            let next_id = self.next_id.get();
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            job.is_planned = true;
            let mut tables = job.take_tables();
            if let Source::Ingestion(_) = &job.source {
                tables.iter_mut().for_each(|table| shift(table, base));
                if level == LEVELS - 1 {
                    // Nothing lies below, nor above: there is nothing to hide.
                    tables.iter_mut().for_each(forget_ranges);
                }
            }
            let tables: Vec<Rc<Table>> = tables.into_iter().map(Rc::new).collect();
            let edit = job.edit(&tables, level, next_id);
            if let (Source::Flush(flush), true) = (&job.source, planted(602)) {
                self.events.push_back(Event::Flushed(Version(flush.flushed_to)));
            }
            self.plan(Planned { edit, tables, purpose: Purpose::Job(id) });
        }
    }

    /// An ingestion whose rows are all in tables waits for everything that was applied before to be flushed.
    fn wait_for_flush(&mut self, id: u64) {
        let memtables = self.sealed.iter().chain(std::iter::once(&self.active));
        let newest =
            memtables.filter_map(|memtable| memtable.borrow().versions()).map(|(_, newest)| newest).max();
        let version = newest.unwrap_or(self.flushed_to);
        let Some(Job { source: Source::Ingestion(ingestion), .. }) = self.jobs.get_mut(&id) else { return };
        if ingestion.waits_for.is_none() {
            ingestion.waits_for = Some(version);
            self.rotate();
        }
    }

    /// Where ingested tables go.
    fn level_for(&self, ingestion: &Ingestion) -> usize {
        let (first, end) = (&ingestion.first, &ingestion.end);
        let spans = |job: &Job| {
            let hull = |(level, id): &(u8, u64)| {
                let run = self.levels.level(usize::from(*level));
                run.iter().find(|table| table.meta.id == *id).map(|table| table.meta.clone())
            };
            let inputs: Vec<TableMeta> = job.removes().iter().filter_map(hull).collect();
            let lowest = inputs.iter().map(|meta| &meta.first).min();
            let highest = inputs.iter().map(|meta| &meta.end).max();
            lowest.zip(highest).is_some_and(|(lowest, highest)| lowest < end && first < highest)
        };
        if self.jobs.values().any(spans) {
            return 0;
        }
        self.levels.free_level(first, end).unwrap_or(0)
    }

    /// A job came to nothing: its files go.
    fn give_up(&mut self, id: u64) {
        let Some(mut job) = self.jobs.remove(&id) else { return };
        self.may_choose = true;
        for (_, input) in job.removes() {
            let is_damaged =
                self.levels.iter().any(|(_, table)| table.meta.id == input && table.is_damaged.get());
            if !is_damaged {
                self.busy.remove(&input);
            }
        }
        for sink in job.tables.sinks() {
            self.cleaning.extend(sink.file().map(|file| Op::Close { file }));
            self.cleaning.push_back(Op::Remove { name: names::table(sink.id()) });
        }
        if let Source::Ingestion(ingestion) = &job.source {
            self.events.push_back(Event::IngestionLost(ingestion.id));
        }
    }

    /// An edit is durable.
    fn install(&mut self, planned: Planned) {
        let Planned { edit, tables, purpose } = planned;
        self.counters.edits += 1;
        for (level, id) in &edit.removed {
            let table = self.levels.level(usize::from(*level)).iter().find(|table| table.meta.id == *id);
            self.busy.remove(id);
            if purpose != Purpose::Move {
                self.retired.extend(table.cloned());
            }
        }
        self.levels = Rc::new(self.levels.edited(&edit, &tables));
        self.looks_for_hidden = true;
        self.may_choose = true;
        self.debt = self.reckon_debt();
        let bytes: u64 = tables.iter().map(|table| table.meta.bytes).sum();
        let Purpose::Job(id) = purpose else { return };
        let Some(job) = self.jobs.remove(&id) else { return };
        if self.full {
            self.full = false;
            self.events.push_back(Event::Full(false));
        }
        match job.source {
            Source::Flush(flush) => {
                self.counters.flushes += 1;
                self.counters.flushed_bytes += bytes;
                self.flushed_to = flush.flushed_to;
                let flushed = self.sealed.pop_front();
                assert!(
                    flushed.is_some_and(|memtable| Rc::ptr_eq(&memtable, &flush.memtable)),
                    "flushes are in order"
                );
                self.events.push_back(Event::Flushed(Version(self.flushed_to)));
            }
            Source::Compaction(_) => self.counters.compacted_out_bytes += bytes,
            Source::Ingestion(ingestion) => {
                self.counters.ingested_bytes += bytes;
                let version = tables.iter().map(|table| table.meta.newest).max().unwrap_or(self.version);
                self.version = self.version.max(version);
                self.events.push_back(Event::Ingested(ingestion.id, Version(version)));
            }
        }
    }

    /// Removes what is of no use and is not read any more.
    fn sweep<D: Disk + ?Sized>(&mut self, disk: &mut D) {
        let mut kept = Vec::new();
        for table in std::mem::take(&mut self.retired) {
            match Rc::strong_count(&table) {
                1 => {
                    self.cleaning.push_back(Op::Close { file: table.file });
                    self.cleaning.push_back(Op::Remove { name: names::table(table.meta.id) });
                }
                _ => kept.push(table),
            }
        }
        self.retired = kept;
        for op in std::mem::take(&mut self.cleaning) {
            self.ops.insert(disk.submit(op), Owner::Sweep);
        }
    }

    // ---- ingestion ----

    /// Begins to replace the keys from `first` on and below `end` with rows that come from elsewhere, in their order. Until
    /// [`Event::Ingested`] the range is as it was, and whoever calls applies nothing to it.
    pub fn ingest(&mut self, first: &[u8], end: &[u8]) -> IngestId {
        assert!(
            first < end && first.len() <= KEY_BYTES_MAX && end.len() <= END_BYTES_MAX,
            "a range has a key"
        );
        self.last_ingestion += 1;
        let id = IngestId(self.last_ingestion);
        if !self.is_ready() || self.failed {
            self.events.push_back(Event::IngestionLost(id));
            return id;
        }
        let ingestion = Ingestion::new(id, first, end, self.options.table_bytes);
        self.begin_job(Source::Ingestion(ingestion), LEVELS - 1);
        id
    }

    fn ingestion(&mut self, id: IngestId) -> Option<&mut Ingestion> {
        self.jobs.values_mut().filter(|job| !job.is_lost).find_map(|job| match &mut job.source {
            Source::Ingestion(ingestion) if ingestion.id == id => Some(ingestion),
            _ => None,
        })
    }

    /// Whether an ingestion takes more rows now: else background work has to get on first.
    pub fn ingest_has_room(&mut self, id: IngestId) -> bool {
        self.ingestion(id).is_some_and(|ingestion| ingestion.waiting < INGEST_BYTES_MAX)
    }

    /// Adds a row to an ingestion. False: there is no such ingestion, or the row is not above the one before it, not in the range, or too large.
    pub fn ingest_row(&mut self, id: IngestId, key: &[u8], value: &[u8]) -> bool {
        self.ingestion(id).is_some_and(|ingestion| ingestion.push(key, value))
    }

    /// An ingestion has all its rows. [`Event::Ingested`] follows, or [`Event::IngestionLost`].
    pub fn ingest_end(&mut self, id: IngestId) {
        if let Some(ingestion) = self.ingestion(id) {
            ingestion.end();
        }
    }

    /// An ingestion is given up: the range stays as it was, and [`Event::IngestionLost`] follows; or it is on its way into the tree already, and
    /// [`Event::Ingested`] does.
    pub fn ingest_abandon(&mut self, id: IngestId) {
        let is_it = |job: &Job| matches!(&job.source, Source::Ingestion(ingestion) if ingestion.id == id);
        if let Some(job) = self.jobs.values_mut().find(|job| is_it(job) && !job.is_planned) {
            job.is_lost = true;
        }
    }
}

fn rank(job: &Job) -> usize {
    match &job.source {
        Source::Flush(_) => 0,
        Source::Compaction(compaction) => compaction.to,
        Source::Ingestion(_) => LEVELS,
    }
}

/// An ingested table goes where its deletion hides nothing. It stays in the file, and the manifest says that it does not count.
fn forget_ranges(table: &mut Table) {
    if table.meta.entries > 0 {
        table.ranges = Ranges::default();
        table.meta.ranges = 0;
    }
}

/// Gives an ingested table its versions.
fn shift(table: &mut Table, base: u64) {
    table.meta.base = base;
    table.meta.oldest += base;
    table.meta.newest += base;
    table.ranges.shift(base);
}
