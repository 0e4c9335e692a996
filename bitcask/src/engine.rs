//! The engine's interface, and the place where completions are handed to those who wait for them.

use reactor::mutants::planted;
use reactor::{Completion, Disk, DiskError, Nanos, OpId, Outcome};

use crate::aside::{Aside, Loss};
use crate::chain::Chain;
use crate::core::{Core, Counters};
use crate::directory::KeyRef;
use crate::error::{AppendError, Fault, ReadError};
use crate::fingerprint::Fingerprint;
use crate::hinting::WriteHint;
use crate::limits::{
    BODY_BYTES_MAX, KEY_BYTES_MAX, META_BYTES_MAX, PROMISES_MAX, READY_WANTED, ROUND_MAX, SEGMENT_BYTES_MAX,
    SEGMENT_BYTES_MIN, SLOTS,
};
use crate::log::Log;
use crate::merge::{Merge, MergeTask};
use crate::prepare::{self, Prepare};
use crate::reads::{self, Extent, Reads, Wanted};
use crate::record::{Raw, RecordKind, RemoveBody};
use crate::recover::Recovery;
use crate::stretch::Stretches;
use crate::task::{Running, Task};
use crate::types::{Cached, Event, Info, Kind, Lsn, Options, Read, Record, SlotEntry, SlotSummary, Stamp};
use crate::walk::MERGE;

/// What an operation of the engine that is neither a read nor recovery's belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Log,
    Prepare,
    Hint,
    Merge,
    Aside,
}

/// How the engine stands, for metrics and `INFO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// What it did since it was opened.
    pub counters: Counters,
    /// Entries in the directory, tombstones included.
    pub entries: u64,
    /// Keys with a value.
    pub keys: u64,
    /// Promises above their key's stamp.
    pub promises: u64,
    /// Keys whose newest record is a delta.
    pub chains: u64,
    /// Deltas of these.
    pub deltas: u64,
    /// Segments with records.
    pub segments: u64,
    /// Bytes of their files.
    pub segment_bytes: u64,
    /// Bytes of records in them that are needed.
    pub live_bytes: u64,
    /// Empty segments that are ready.
    pub ready_segments: u64,
    /// Bytes in the value cache.
    pub cache_bytes: u64,
    /// Reads that the cache answered.
    pub cache_hits: u64,
    /// Reads that it did not.
    pub cache_misses: u64,
}

/// One core's engine. Single-threaded; submits to the disk that is handed in, always the same one.
pub struct Bitcask {
    pub(crate) core: Core,
    pub(crate) log: Log,
    /// Where merge goes on; with the task while one runs.
    merged: Option<Chain>,
    recovery: Option<Recovery>,
    pub(crate) announced: bool,
    pub(crate) reads: Reads,
    pub(crate) stretches: Stretches,
    ops: Vec<(OpId, Owner)>,
    prepare: Option<Running<Prepare>>,
    hint: Option<Running<WriteHint>>,
    merge: Option<Running<MergeTask>>,
    /// Puts the log aside, or takes the mark of that away.
    aside: Option<Running<Aside>>,
    /// The log that was put aside at this start, while its mark is there.
    loss: Option<Loss>,
}

impl Bitcask {
    /// Starts recovery; [`Event::Ready`] or [`Event::Failed`] says how it ended.
    pub fn open<D: Disk + ?Sized>(options: Options, disk: &mut D) -> Bitcask {
        assert!(
            (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&options.segment_bytes)
                && options.segment_bytes.is_multiple_of(reactor::BLOCK_BYTES as u64),
            "a segment is between {SEGMENT_BYTES_MIN} and {SEGMENT_BYTES_MAX} bytes, in whole blocks"
        );
        let mut bitcask = Bitcask {
            core: Core::new(options),
            log: Log::new(),
            merged: Some(Chain::new(MERGE)),
            recovery: Some(Recovery::new()),
            announced: false,
            reads: Reads::default(),
            stretches: Stretches::default(),
            ops: Vec::new(),
            prepare: None,
            hint: None,
            merge: None,
            aside: None,
            loss: None,
        };
        bitcask.go_on(disk);
        bitcask
    }

    /// Takes a completion. False, and nothing is done, if the operation is not this engine's.
    pub fn on_disk<D: Disk + ?Sized>(&mut self, disk: &mut D, completion: Completion) -> bool {
        let Completion { id, result } = completion;
        if self.reads.owns(id) {
            self.reads.done(&mut self.core, disk, id, result);
            return true;
        }
        if self.stretches.owns(id) {
            if let Some((op, reading)) = self.stretches.done(&mut self.core, id, result) {
                self.stretches.started(disk.submit(op), reading);
            }
            return true;
        }
        if let Some(recovery) = self.recovery.as_mut().filter(|recovery| recovery.owns(id)) {
            if let Err(fault) = recovery.on_disk(&mut self.core, id, result) {
                self.fail_recovery(fault);
            }
            self.go_on(disk);
            return true;
        }
        let Some(at) = self.ops.iter().position(|&(op, _)| op == id) else { return false };
        let (_, owner) = self.ops.swap_remove(at);
        if self.core.failed {
            return true;
        }
        if let Err(fault) = self.hand_over(owner, result) {
            self.core.fail(fault);
        }
        self.go_on(disk);
        true
    }

    fn hand_over(&mut self, owner: Owner, result: Result<Outcome, DiskError>) -> Result<(), Fault> {
        match owner {
            Owner::Log => match result {
                Ok(Outcome::Written { buf }) => self.log.written(&mut self.core, buf),
                Ok(outcome) => return Err(Fault::Io { message: format!("a write ended as {outcome:?}") }),
                Err(error) if planted(203) || planted(204) && error.message.contains("Short") => {
                    let lost = self.log.zeros_for_flight();
                    self.log.written(&mut self.core, lost);
                }
                Err(error) => return Err(Fault::Io { message: error.message }),
            },
            Owner::Prepare => finish(&mut self.prepare, &mut self.core, result)?,
            Owner::Hint => finish(&mut self.hint, &mut self.core, result)?,
            Owner::Aside => {
                let Some(running) = &mut self.aside else { return Ok(()) };
                if running.done(&mut self.core, result)? {
                    self.end_aside();
                }
            }
            Owner::Merge => {
                let Some(running) = &mut self.merge else { return Ok(()) };
                if running.done(&mut self.core, result)? {
                    let chain = running.task.chain.take();
                    self.end_merge(chain);
                }
            }
        }
        Ok(())
    }

    /// What happens without being asked for: recovery, and whatever keeps the log from waiting.
    fn go_on<D: Disk + ?Sized>(&mut self, disk: &mut D) {
        if self.core.failed {
            return;
        }
        if self.aside.is_some() {
            if let Err(fault) = run(&mut self.aside, &mut self.core, disk, Owner::Aside, &mut self.ops) {
                return self.core.fail(fault);
            }
            if self.recovery.is_none() && !self.announced {
                return;
            }
        }
        while let (Some(recovery), Some(merged)) = (&mut self.recovery, &mut self.merged) {
            match recovery.advance(&mut self.core, (&mut self.log.chain, merged), disk) {
                Ok(false) => return,
                Ok(true) => {}
                Err(fault) => {
                    self.fail_recovery(fault);
                    if self.core.failed {
                        return;
                    }
                    continue;
                }
            }
            let Some(loss) = recovery.take_loss() else { break };
            self.recovery = None;
            self.aside = Some(Running::new(Aside::new(loss)));
            return self.go_on(disk);
        }
        if self.recovery.is_some() && !self.announced {
            self.announce();
        }
        if !self.announced || self.log.is_stalled() {
            self.start_writes(disk);
        }
        self.hasten_prepare(disk);
    }

    /// Recovery met its end: the slice stops, or the log is put aside.
    fn fail_recovery(&mut self, fault: Fault) {
        match (&mut self.recovery, &fault) {
            (Some(recovery), Fault::Damage { .. }) if self.core.options.put_aside => recovery.give_up(fault),
            _ => self.core.fail(fault),
        }
    }

    /// The log lies aside, and an empty one is begun; or the mark of that is gone.
    fn end_aside(&mut self) {
        let Some(Running { task, .. }) = self.aside.take() else { return };
        if self.announced {
            self.loss = None;
            self.core.events.push_back(Event::LossEnded);
            return;
        }
        let (options, now) = (self.core.options.clone(), self.core.now);
        self.core = Core { now, ..Core::new(options) };
        (self.log, self.merged) = (Log::new(), Some(Chain::new(MERGE)));
        self.recovery = Some(Recovery::anew());
        self.loss = Some(task.loss);
    }

    /// The log that was put aside at this start, while its mark is there: the new log is to say that something was lost, durably, before
    /// [`Bitcask::end_loss`]. A start that does not get that far begins anew once more.
    pub fn loss(&self) -> Option<&Loss> {
        self.loss.as_ref()
    }

    /// The new log says what it is: the mark of the one that was put aside goes. [`Event::LossEnded`] follows.
    pub fn end_loss<D: Disk + ?Sized>(&mut self, disk: &mut D) {
        let Some(loss) = self.loss.clone().filter(|_| self.aside.is_none() && !self.core.failed) else {
            return;
        };
        self.aside = Some(Running::new(Aside::unmark(loss)));
        self.go_on(disk);
    }

    /// The first segment is ready before the first write.
    fn announce(&mut self) {
        if self.log.chain.writer.is_none() {
            if let Some(ready) = self.core.ready_for_log() {
                let segment = self.core.adopt(ready);
                self.log.chain.writer = Some(crate::chain::Writer { segment, offset: 0 });
            }
        }
        if self.log.chain.writer.is_some() || self.core.full {
            let recovered = self.recovery.take().map(|recovery| recovery.recovered).unwrap_or_default();
            self.announced = true;
            // Whatever was said before, the owner hears `Ready` first.
            self.core.events.push_front(Event::Ready(recovered));
        }
    }

    fn start_writes<D: Disk + ?Sized>(&mut self, disk: &mut D) {
        if let Some(op) = self.log.next_write(&mut self.core) {
            self.ops.push((disk.submit(op), Owner::Log));
        }
    }

    /// Lets segment making go on at once where the log waits for it, or where it is not known yet whether there is space.
    fn hasten_prepare<D: Disk + ?Sized>(&mut self, disk: &mut D) {
        if self.announced && !self.log.is_stalled() && !self.core.is_short() {
            return;
        }
        if self.prepare.is_none() {
            self.prepare = Prepare::wanted(&mut self.core).map(Running::new);
        }
        let spent = run(&mut self.prepare, &mut self.core, disk, Owner::Prepare, &mut self.ops);
        if let Err(fault) = spent {
            self.core.fail(fault);
        }
    }

    /// What the engine has to tell, in order.
    pub fn poll(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// Adds a record to the filling frame. It is visible once it is durable, if its stamp is the greatest by then.
    pub fn append(&mut self, record: Record<'_>) -> Result<Lsn, AppendError> {
        self.append_as(self.key_ref(record.slot, record.key), record, true)
    }

    /// As [`Bitcask::append`], for an owner who has the key's [`Bitcask::key_ref`] at hand, and says whether the record is
    /// likely to be read soon: only then it goes to the value cache.
    pub fn append_as(
        &mut self,
        reference: KeyRef,
        record: Record<'_>,
        keep: bool,
    ) -> Result<Lsn, AppendError> {
        self.check_open()?;
        let Record { slot, key, stamp, kind, body } = record;
        assert!((slot as usize) < SLOTS && slot == reference.0, "a slot is below {SLOTS}, and the key's own");
        assert!(stamp > Stamp::ZERO, "a record has a stamp");
        assert!(kind != Kind::Promise || body.is_empty(), "a promise has no body");
        if key.len() > KEY_BYTES_MAX || body.len() > BODY_BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        if stamp.round > ROUND_MAX || !self.core.directory.has_room_for(stamp) {
            return Err(AppendError::Round);
        }
        let kind = self.admit(reference, kind)?;
        let raw = Raw { kind, slot, stamp, base: None, key, body };
        self.log.append(&mut self.core, reference, &raw, Stamp::ZERO, keep)
    }

    pub(crate) fn check_open(&self) -> Result<(), AppendError> {
        match (self.core.failed, self.announced) {
            (true, _) => Err(AppendError::Failed),
            (false, false) => Err(AppendError::NotReady),
            (false, true) => Ok(()),
        }
    }

    /// Whether a record of this kind and body length would be taken now. An owner who cannot take back what it has decided asks
    /// before it decides, and appends before anything else.
    pub fn admits(&self, slot: u16, key: &[u8], kind: Kind, body_bytes: usize) -> Result<(), AppendError> {
        self.admits_as(self.key_ref(slot, key), key.len(), kind, body_bytes)
    }

    /// As [`Bitcask::admits`], for a key of so many bytes of which the reference is at hand.
    pub fn admits_as(
        &self,
        reference: KeyRef,
        key_bytes: usize,
        kind: Kind,
        body_bytes: usize,
    ) -> Result<(), AppendError> {
        self.check_open()?;
        if key_bytes > KEY_BYTES_MAX || body_bytes > BODY_BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        let kind = self.admit(reference, kind)?;
        self.log.admits(&self.core, kind, crate::record::encoded_bytes(key_bytes, body_bytes))
    }

    /// Whether there is room for such a record.
    pub(crate) fn admit(&self, key: KeyRef, kind: Kind) -> Result<RecordKind, AppendError> {
        let directory = &self.core.directory;
        let keys_full = || directory.entries() >= self.core.options.keys_max && !directory.contains(key);
        match kind {
            Kind::Value | Kind::Expiring if self.core.full => Err(AppendError::Full),
            Kind::Value | Kind::Expiring if keys_full() => Err(AppendError::TooManyKeys),
            Kind::Value => Ok(RecordKind::Value),
            Kind::Expiring => Ok(RecordKind::Expiring),
            Kind::Tombstone => Ok(RecordKind::Tombstone),
            Kind::Promise if directory.promises() >= PROMISES_MAX => Err(AppendError::TooManyKeys),
            Kind::Promise => Ok(RecordKind::Promise),
        }
    }

    /// Adds a small named value; [`Bitcask::meta`] gives the newest durable one of each name.
    pub fn append_meta(&mut self, id: u8, bytes: &[u8]) -> Result<Lsn, AppendError> {
        self.check_open()?;
        if bytes.len() > META_BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        self.log.append_meta(&mut self.core, id, bytes)
    }

    /// The durable value of this name.
    pub fn meta(&self, id: u8) -> Option<&[u8]> {
        self.core.directory.meta(id)
    }

    /// Values of a body whose era ([`Options::era_of`]) is older than this count as tombstones from now on, whatever their records say: in what is
    /// told of keys and slots, not in what is read. Costs the same however many there are. The owner says it again after each start.
    pub fn set_era(&mut self, era: u32) {
        self.core.directory.set_era(era);
    }

    /// The era that was set last.
    pub fn era(&self) -> u32 {
        self.core.directory.era()
    }

    /// Drops the key's entry, and its promise, once that is durable. The entry must be exactly `stamp` now; should a
    /// newer record of the key become durable before, that one stays, and the promise with it. From then on the owner takes no record of the key
    /// up to the stamp and the promise that are dropped (its floor says so): recovery would drop such a record again.
    pub fn remove(&mut self, slot: u16, key: &[u8], stamp: Stamp) -> Result<Lsn, AppendError> {
        self.check_open()?;
        let reference = self.key_ref(slot, key);
        let info = self.core.directory.info(reference);
        if info.entry.is_none_or(|entry| entry.stamp != stamp) || self.log.extends(reference) {
            return Err(AppendError::Changed);
        }
        let promised = info.promised.unwrap_or_default();
        let body = RemoveBody { promised, barrier: 0 }.to_bytes();
        let raw = Raw { kind: RecordKind::Remove, slot, stamp, base: None, key, body: &body };
        self.log.append(&mut self.core, reference, &raw, promised, false)
    }

    /// The end of a turn: what was appended is written as soon as no write is in flight. To be called at the end of
    /// every turn in which a record was appended or a completion taken.
    pub fn flush<D: Disk + ?Sized>(&mut self, disk: &mut D) {
        if self.core.failed || !self.announced {
            return;
        }
        self.log.flush();
        self.start_writes(disk);
        self.hasten_prepare(disk);
    }

    /// What is durably known of a key, from RAM.
    pub fn info(&self, slot: u16, key: &[u8]) -> Info {
        self.info_as(self.key_ref(slot, key))
    }

    /// As [`Bitcask::info`], for a key of which the reference is at hand.
    pub fn info_as(&self, reference: KeyRef) -> Info {
        self.core.directory.info(reference)
    }

    /// Brings what is known of these keys into the processor's caches, and with `values` their cached records. Says and
    /// changes nothing: for an owner who will ask for each of them in a moment, and would wait for memory each time.
    pub fn warm(&self, keys: &[KeyRef], values: bool) {
        self.core.directory.warm(keys.iter().copied());
        if values {
            self.core.cache.warm(keys.iter().map(|key| key.1));
        }
    }

    /// Marks the entry if its stamp is still this one. A restart forgets marks.
    pub fn mark(&mut self, slot: u16, key: &[u8], stamp: Stamp) {
        self.mark_as(self.key_ref(slot, key), stamp);
    }

    /// As [`Bitcask::mark`], for a key of which the reference is at hand.
    pub fn mark_as(&mut self, reference: KeyRef, stamp: Stamp) {
        self.core.directory.mark(reference, stamp);
    }

    /// The fingerprint of a key in this directory.
    pub fn fingerprint(&self, key: &[u8]) -> Fingerprint {
        self.core.keyed.fingerprint(key)
    }

    /// The secret under which the directory's fingerprints are made: what [`Options::fingerprint_key`] was at its
    /// first start.
    pub fn fingerprint_key(&self) -> [u8; 16] {
        self.core.keyed.secret()
    }

    /// What stands for a key in this directory.
    pub fn key_ref(&self, slot: u16, key: &[u8]) -> KeyRef {
        (slot, self.core.keyed.fingerprint(key))
    }

    /// Reads the key's newest durable record, and all that it extends.
    pub fn read<D: Disk + ?Sized>(&mut self, disk: &mut D, slot: u16, key: &[u8]) -> Read {
        self.read_as(disk, self.key_ref(slot, key), key)
    }

    /// As [`Bitcask::read`], for a key of which the reference is at hand.
    pub fn read_as<D: Disk + ?Sized>(&mut self, disk: &mut D, reference: KeyRef, key: &[u8]) -> Read {
        self.read_record(disk, reference, Some(key), Extent::Chain)
    }

    /// The key's newest durable record and all that it extends, if it is at hand; nothing is read from disk.
    pub fn cached_as(&mut self, reference: KeyRef, key: &[u8]) -> Cached {
        let Some((entry, _)) = self.core.directory.find(reference) else { return Cached::Absent };
        let found = self.core.cached(reference, &entry);
        let found = found.and_then(|bytes| reads::found(bytes, Some(key), Extent::Chain));
        found.map_or(Cached::Elsewhere, |found| Cached::Here(entry, found))
    }

    /// As [`Bitcask::read`], for a fingerprint that [`Bitcask::slot_entries`] gave; the answer has the key.
    pub fn read_fingerprint<D: Disk + ?Sized>(&mut self, disk: &mut D, slot: u16, fp: Fingerprint) -> Read {
        self.read_record(disk, (slot, fp), None, Extent::Chain)
    }

    pub(crate) fn read_record<D: Disk + ?Sized>(
        &mut self,
        disk: &mut D,
        key: KeyRef,
        name: Option<&[u8]>,
        extent: Extent,
    ) -> Read {
        let Some((entry, location)) = self.core.directory.find(key) else { return Read::Absent };
        if let Some(cached) = self.core.cached(key, &entry) {
            return reads::found(cached, name, extent).map_or(Read::Absent, Read::Ready);
        }
        if self.core.failed {
            let ticket = self.reads.next_ticket();
            let message = "the slice has stopped".to_owned();
            self.core.events.push_back(Event::Read { ticket, result: Err(ReadError { message }) });
            return Read::Pending(ticket);
        }
        let wanted = Wanted { key, name: name.map(Box::from), stamp: entry.stamp };
        if entry.delta && extent == Extent::Chain {
            return Read::Pending(self.reads.start_chain(&mut self.core, disk, wanted, location));
        }
        let op = self.reads.op(&mut self.core, location);
        let id = disk.submit(op);
        Read::Pending(self.reads.started(id, wanted, location))
    }

    /// The order-free sum over a range of slots, both ends included: their summaries' sums, added up. Costs what the slots cost that
    /// ever had a record.
    pub fn range_sum(&self, first: u16, last: u16) -> u128 {
        self.core.directory.range_sum(first, last)
    }

    /// What a slot holds, from RAM.
    pub fn slot_summary(&self, slot: u16) -> SlotSummary {
        self.core.directory.summary(slot)
    }

    /// At most `max` entries of a slot, in fingerprint order from `from` on.
    pub fn slot_entries(&self, slot: u16, from: Fingerprint, max: usize) -> Vec<SlotEntry> {
        self.core.directory.slot_entries(slot, from, max)
    }

    /// Lets background work go on: segments are made ready, merged, hinted. Starts operations until `budget` bytes are
    /// spent; `now` decides when a full disk is tried again.
    pub fn background<D: Disk + ?Sized>(&mut self, disk: &mut D, now: Nanos, budget: u64) {
        self.core.now = self.core.now.max(now);
        if self.core.failed || !self.announced {
            return;
        }
        if let Err(fault) = self.start_tasks(disk, budget) {
            self.core.fail(fault);
        }
    }

    fn start_tasks<D: Disk + ?Sized>(&mut self, disk: &mut D, mut budget: u64) -> Result<(), Fault> {
        self.make_tasks();
        let (core, ops) = (&mut self.core, &mut self.ops);
        budget = budget.saturating_sub(run(&mut self.prepare, core, disk, Owner::Prepare, ops)?);
        if budget == 0 {
            return Ok(());
        }
        let mut chain = None;
        if let Some(running) = &mut self.merge {
            let (op, done) = running.go(core)?;
            if let Some((op, cost)) = op {
                budget = budget.saturating_sub(cost);
                ops.push((disk.submit(op), Owner::Merge));
            }
            if done {
                chain = running.task.chain.take();
            }
        }
        if chain.is_some() {
            self.end_merge(chain);
        }
        if budget > 0 {
            run(&mut self.hint, &mut self.core, disk, Owner::Hint, &mut self.ops)?;
        }
        Ok(())
    }

    fn end_merge(&mut self, chain: Option<Chain>) {
        self.core.merge_owed = None;
        self.core.merge_rest = chain.as_ref().map_or(0, |chain| chain.rest(&self.core));
        self.merged = chain;
        self.merge = None;
    }

    fn make_tasks(&mut self) {
        if self.core.full && self.core.now >= self.core.full_retry_at {
            prepare::settle_full(&mut self.core);
        }
        if self.prepare.is_none() {
            self.prepare = Prepare::wanted(&mut self.core).map(Running::new);
        }
        if !self.core.worth_a_look() {
            return;
        }
        if self.merge.is_none() {
            let hinting = self.hint.as_ref().map(|running| running.task.segment());
            if let Some(merge) = Merge::wanted(&mut self.core, hinting) {
                self.merge = Some(Running::new(MergeTask { merge, chain: self.merged.take() }));
            }
        }
        if self.hint.is_none() {
            let merging = self.merge.as_ref().map(|running| running.task.merge.source());
            self.hint = WriteHint::wanted(&self.core, merging).map(Running::new);
        }
        // The end of a task that runs now asks for another look.
        self.core.look = false;
        self.core.segments.emptied = false;
    }

    /// Whether [`Bitcask::background`] could start something now. While it could not, it need not be called until the
    /// next completion, or, on a full disk, until [`Bitcask::background_deadline`].
    pub fn background_wanted(&self) -> bool {
        if self.core.failed || !self.announced {
            return false;
        }
        let core = &self.core;
        let may_ask = !core.full || core.now >= core.full_retry_at;
        let missing = core.ready.len() < READY_WANTED || core.oversize_wanted.is_some();
        let could_start = core.worth_a_look() && (self.merge.is_none() || self.hint.is_none());
        could_start
            || core.full && may_ask && !missing
            || self.prepare.as_ref().map_or(may_ask && missing, |running| running.is_ready(core))
            || self.merge.as_ref().is_some_and(|running| running.is_ready(core))
            || self.hint.as_ref().is_some_and(|running| running.is_ready(core))
    }

    /// When a full disk is to be asked for space again; none while there is space.
    pub fn background_deadline(&self) -> Option<Nanos> {
        (self.core.full && !self.core.failed).then_some(self.core.full_retry_at)
    }

    /// Whether the disk is full: values are refused.
    pub fn is_full(&self) -> bool {
        self.core.full
    }

    /// Bytes of RAM that the key directory takes. Walks through all of it: once a minute, not more.
    pub fn directory_bytes(&self) -> u64 {
        self.core.directory.ram_bytes() as u64
    }

    /// How the engine stands. Walks through the segments: not for every turn.
    pub fn stats(&self) -> Stats {
        let core = &self.core;
        let (chains, deltas) = core.directory.chains();
        let sum =
            |part: fn(&crate::segments::Segment) -> u64| core.segments.iter().map(|(_, s)| part(s)).sum();
        Stats {
            counters: core.counters,
            entries: core.directory.entries(),
            keys: core.directory.keys(),
            promises: core.directory.promises() as u64,
            chains,
            deltas,
            segments: sum(|_| 1),
            segment_bytes: sum(|segment| segment.capacity),
            live_bytes: sum(|segment| segment.live),
            ready_segments: core.ready.len() as u64,
            cache_bytes: core.cache.bytes(),
            cache_hits: core.cache.hits,
            cache_misses: core.cache.misses,
        }
    }
}

/// Hands a completion to a task.
fn finish<T: Task>(
    running: &mut Option<Running<T>>,
    core: &mut Core,
    result: Result<Outcome, DiskError>,
) -> Result<(), Fault> {
    let Some(task) = running else { return Ok(()) };
    if task.done(core, result)? {
        *running = None;
    }
    Ok(())
}

/// Starts a task's next operation; what it costs.
fn run<T: Task, D: Disk + ?Sized>(
    running: &mut Option<Running<T>>,
    core: &mut Core,
    disk: &mut D,
    owner: Owner,
    ops: &mut Vec<(OpId, Owner)>,
) -> Result<u64, Fault> {
    let Some(task) = running else { return Ok(0) };
    let (op, done) = task.go(core)?;
    if done {
        *running = None;
    }
    Ok(op.map_or(0, |(op, cost)| {
        ops.push((disk.submit(op), owner));
        cost
    }))
}
