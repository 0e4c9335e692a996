//! The log: what is appended, in order, with one frame in flight and the next one filling.

use std::collections::{BTreeMap, VecDeque};

use reactor::frame::{Filling, HEADER_BYTES};
use reactor::mutants::planted;
use reactor::{AlignedBuf, Op, BLOCK_BYTES};

use crate::chain::{self, Chain, Writer};
use crate::core::{Core, Ready};
use crate::directory::KeyRef;
use crate::error::AppendError;
use crate::fingerprint::Fingerprint;
use crate::limits::{BACKLOG_BYTES_MAX, BASE_BYTES_MIN, FRAME_FILL_BYTES, UNIT_BYTES, WARM_KEYS};
use crate::merge::packed_bytes;
use crate::places::Place;
use crate::record::{self, Raw, RecordKind, SealBody};
use crate::table::Location;
use crate::types::{ChainSize, Event, Lsn, Stamp};
use crate::walk::LOG;

/// Read and write buffers up to this length are kept for the next frame.
const KEPT_BUFFER_BYTES: usize = 2 * FRAME_FILL_BYTES;

/// After how many frames it is looked again whether a merge pays.
const LOOK_FRAMES: u64 = 256;

/// A record on its way to the disk: what the directory takes once it is there.
struct Pending {
    key: KeyRef,
    kind: RecordKind,
    stamp: Stamp,
    /// Of a value.
    era: u32,
    /// Of a removal: the promise that goes with the entry. Of what extends another record: its stamp.
    other: Stamp,
    extends: bool,
    /// Whether it is noted as its key's newest that is under way.
    tip: bool,
    /// Whether the cache is to have it.
    keep: bool,
    /// Where it lies in the payload, in bytes.
    at: u32,
    /// Its length, in units.
    length: u32,
}

/// A frame that fills, waits, or is in flight.
#[derive(Default)]
struct Frame {
    filling: Filling,
    pending: Vec<Pending>,
    last: Lsn,
    oversize: bool,
}

impl Frame {
    fn record_bytes(&self) -> usize {
        self.pending.iter().map(|pending| pending.length as usize * UNIT_BYTES).sum()
    }

    /// Where the log goes on behind it.
    fn end(&self, start: Place, segment_bytes: u64) -> Place {
        match self.oversize {
            true => start.after_large(segment_bytes),
            false => start.after_frame(self.filling.payload_bytes(), segment_bytes),
        }
    }
}

/// The newest of a key's records that are under way, where it may be extended, or one before it.
struct Tip {
    stamp: Stamp,
    /// Of a value.
    era: u32,
    /// The chain that ends with it; none if it is a tombstone.
    chain: Option<ChainSize>,
    /// Deltas of the key are under way.
    extends: bool,
    lsn: Lsn,
}

/// What is being written.
enum Flight {
    Frame { frame: Frame, segment: u16, offset: u64, then: Option<Ready> },
    Seal { seal: SealBody, next: Ready },
}

/// The log of one core.
pub(crate) struct Log {
    pub chain: Chain,
    filling: Frame,
    queue: VecDeque<Frame>,
    flight: Option<Flight>,
    waiting_bytes: usize,
    next_lsn: u64,
    /// Where the log goes on behind the frames that are closed, as far as it was reckoned since one was written.
    end: Option<Place>,
    flush_wanted: bool,
    kept: Vec<(AlignedBuf, Vec<Pending>)>,
    meta_rounds: [u64; 256],
    /// Of keys with deltas under way, or with a whole that is long enough for some ([`BASE_BYTES_MIN`]).
    tips: BTreeMap<KeyRef, Tip>,
}

impl Log {
    pub fn new() -> Log {
        Log {
            chain: Chain::new(LOG),
            filling: Frame::default(),
            queue: VecDeque::new(),
            flight: None,
            waiting_bytes: 0,
            next_lsn: 1,
            end: None,
            flush_wanted: false,
            kept: Vec::new(),
            meta_rounds: [0; 256],
            tips: BTreeMap::new(),
        }
    }

    /// Whether something waits that no segment has room for.
    pub fn is_stalled(&self) -> bool {
        self.flight.is_none() && (!self.queue.is_empty() || self.flush_wanted)
    }

    /// Adds a record to the filling frame: the one copy that is made of it before it is durable. `keep`: the cache is to have
    /// it when it is.
    pub fn append(
        &mut self,
        core: &mut Core,
        key: KeyRef,
        raw: &Raw<'_>,
        promised: Stamp,
        keep: bool,
    ) -> Result<Lsn, AppendError> {
        let bytes = raw.encoded_bytes();
        self.end = Some(self.closed_end(core));
        core.spoken_for = self.place_for(core, raw.kind, bytes)?.begun;
        let payload_max = chain::payload_max(core.options.segment_bytes);
        if self.begins_frame(core, bytes) {
            self.close_frame();
        }
        let frame = &mut self.filling;
        frame.oversize = bytes > payload_max;
        let at = frame.filling.payload_bytes();
        record::push(raw, bytes, &mut frame.filling);
        frame.last = Lsn(self.next_lsn);
        let lsn = frame.last;
        let (era, length) = (core.era_of(raw), (bytes / UNIT_BYTES) as u32);
        let tip = raw.base.is_some() || note_whole(&mut self.tips, key, (raw, era), bytes, lsn);
        frame.pending.push(Pending {
            key,
            kind: raw.kind,
            stamp: raw.stamp,
            era,
            other: raw.base.unwrap_or(promised),
            extends: raw.base.is_some(),
            tip,
            keep,
            at: at as u32,
            length,
        });
        self.next_lsn += 1;
        self.waiting_bytes += bytes;
        if frame.oversize {
            self.close_frame();
        }
        Ok(lsn)
    }

    /// Adds a record that extends another; `chain` is what comes of it.
    pub fn append_delta(
        &mut self,
        core: &mut Core,
        key: KeyRef,
        raw: &Raw<'_>,
        chain: ChainSize,
    ) -> Result<Lsn, AppendError> {
        let lsn = self.append(core, key, raw, Stamp::ZERO, false)?;
        let era = core.era_of(raw);
        self.tips.insert(key, Tip { stamp: raw.stamp, era, chain: Some(chain), extends: true, lsn });
        Ok(lsn)
    }

    /// Whether deltas of the key are under way.
    pub fn extends(&self, key: KeyRef) -> bool {
        self.tips.get(&key).is_some_and(|tip| tip.extends)
    }

    /// The key's newest record of all that is durable or under way, if it is a value of an era that goes on; its era; and the chain that ends with
    /// it. What is under way and too short to be extended is not seen.
    pub fn newest(&self, core: &Core, key: KeyRef) -> Option<(Stamp, u32, ChainSize)> {
        let durable = || core.directory.find(key).map_or(Stamp::ZERO, |(entry, _)| entry.stamp);
        match self.tips.get(&key) {
            // One that has lost against what is durable is the newest no more.
            Some(tip) if tip.stamp >= durable() => {
                let is_over = tip.era < core.directory.era();
                tip.chain.filter(|_| !is_over).map(|chain| (tip.stamp, tip.era, chain))
            }
            _ => {
                let (stamp, chain) = core.directory.newest_value(key)?;
                Some((stamp, core.directory.slot_era(key.0), chain))
            }
        }
    }

    /// Whether there is room for a record of so many bytes, and a place that is not kept for something else.
    pub fn admits(&self, core: &Core, kind: RecordKind, bytes: usize) -> Result<(), AppendError> {
        self.place_for(core, kind, bytes).map(drop)
    }

    /// Where the log will go on behind such a record, if it is admitted.
    fn place_for(&self, core: &Core, kind: RecordKind, bytes: usize) -> Result<Place, AppendError> {
        if self.waiting_bytes + bytes > BACKLOG_BYTES_MAX {
            return Err(AppendError::Backlog);
        }
        let end = self.end_with(core, bytes);
        match (core.full, kind) {
            (false, kind) if kind.is_value() && end.is_there_for_value(core, bytes) => Ok(end),
            (true, kind) if kind.is_value() => Err(AppendError::Full),
            (false, kind) if !kind.is_value() && end.is_there(core, false) => Ok(end),
            (false, _) => Err(AppendError::Making),
            (true, _) if self.waits_for_large(core, bytes) => Err(AppendError::ReserveUsed),
            (true, _) if end.is_there(core, self.is_thin(core, bytes)) => Ok(end),
            (true, _) => Err(AppendError::ReserveUsed),
        }
    }

    /// Whether what lies in the segment at hand, and this, could all be merged into what is left of merge's own segment:
    /// so the log may go on in the last ready one, for the merge will make it two.
    fn is_thin(&self, core: &Core, bytes: usize) -> bool {
        let Some(writer) = self.chain.writer else { return false };
        let segment = core.segments.at(writer.segment);
        let flying = match &self.flight {
            Some(Flight::Frame { frame, .. }) => frame.record_bytes(),
            _ => 0,
        };
        let used = segment.used + (flying + self.waiting_bytes + bytes) as u64;
        used <= segment.capacity / 2 && packed_bytes(core, used) + BLOCK_BYTES as u64 <= core.merge_rest
    }

    /// Whether a record of so many bytes, or one that it would stand behind, needs a segment for itself that is not there.
    fn waits_for_large(&self, core: &Core, bytes: usize) -> bool {
        core.oversize_ready.is_none()
            && (bytes > chain::payload_max(core.options.segment_bytes)
                || self.queue.iter().any(|frame| frame.oversize))
    }

    /// Where the log goes on behind the frames that are closed.
    fn closed_end(&self, core: &Core) -> Place {
        if let Some(end) = self.end {
            return end;
        }
        let start = match &self.flight {
            Some(Flight::Seal { next, .. } | Flight::Frame { then: Some(next), .. }) => {
                Place { capacity: next.capacity, ..Place::default() }
            }
            _ => self.chain.writer.map_or_else(Place::default, |writer| {
                let capacity = core.segments.at(writer.segment).capacity;
                Place { offset: writer.offset, capacity, ..Place::default() }
            }),
        };
        self.queue.iter().fold(start, |end, frame| frame.end(end, core.options.segment_bytes))
    }

    /// Where it will go on once a record of so many bytes has joined what fills, and that is written.
    fn end_with(&self, core: &Core, bytes: usize) -> Place {
        let segment_bytes = core.options.segment_bytes;
        let end = self.closed_end(core);
        let filled = self.filling.filling.payload_bytes();
        let (end, payload) = match self.begins_frame(core, bytes) {
            true => (end.after_frame(filled, segment_bytes), bytes),
            false => (end, filled + bytes),
        };
        match payload > chain::payload_max(segment_bytes) {
            true => end.after_large(segment_bytes),
            false => end.after_frame(payload, segment_bytes),
        }
    }

    /// Whether a record of so many bytes is too long for what fills.
    fn begins_frame(&self, core: &Core, bytes: usize) -> bool {
        let filled = self.filling.filling.payload_bytes();
        let payload_max = chain::payload_max(core.options.segment_bytes);
        filled > 0 && filled + bytes > FRAME_FILL_BYTES.min(payload_max)
    }

    /// Adds a named value; later ones of the same name win.
    pub fn append_meta(&mut self, core: &mut Core, id: u8, bytes: &[u8]) -> Result<Lsn, AppendError> {
        let round =
            self.meta_rounds[id as usize].max(core.directory.meta_round(id)) + u64::from(!planted(222));
        let stamp = Stamp { round, ..Stamp::ZERO };
        let raw = Raw { kind: RecordKind::Meta, slot: 0, stamp, base: None, key: &[id], body: bytes };
        let key = (0, Fingerprint { hi: u64::from(id), lo: 0 });
        let lsn = self.append(core, key, &raw, Stamp::ZERO, false)?;
        self.meta_rounds[id as usize] = round;
        Ok(lsn)
    }

    fn close_frame(&mut self) {
        let (buf, pending) = self.kept.pop().unwrap_or_default();
        let fresh = Frame { filling: Filling::new(buf), pending, last: Lsn(0), oversize: false };
        self.queue.push_back(std::mem::replace(&mut self.filling, fresh));
        self.end = None;
        // What is closed is written without waiting for the end of the turn that closes the next.
        self.flush_wanted = false;
    }

    /// The end of a turn: what fills is to be written as soon as nothing is in flight.
    pub fn flush(&mut self) {
        self.flush_wanted = !self.filling.filling.is_empty();
    }

    /// Starts the next write if none is in flight and there is a place for it.
    pub fn next_write(&mut self, core: &mut Core) -> Option<Op> {
        if self.flight.is_some() || core.failed {
            return None;
        }
        if self.queue.is_empty() {
            if !self.flush_wanted {
                return None;
            }
            self.close_frame();
        }
        let (payload, oversize) = self.queue.front().map(|f| (f.filling.payload_bytes(), f.oversize))?;
        if oversize {
            return self.write_oversize(core);
        }
        if !self.chain.fits(core, payload) {
            return self.change_segment(core, |core| core.ready_for_log());
        }
        let frame = self.queue.pop_front().expect("a frame waits");
        if planted(201) {
            core.events.push_back(Event::Persisted(frame.last));
        }
        Some(self.write_frame(core, frame, None))
    }

    /// Goes on in the segment that `take` finds, if it finds one: with the seal first if a segment has to be sealed,
    /// else at once.
    fn change_segment(&mut self, core: &mut Core, take: impl Fn(&mut Core) -> Option<Ready>) -> Option<Op> {
        let next = take(core)?;
        self.end = None;
        if self.chain.writer.is_some() && !planted(226) {
            return Some(self.write_seal(core, next));
        }
        self.chain.writer = Some(Writer { segment: core.adopt(next), offset: 0 });
        self.next_write(core)
    }

    fn write_seal(&mut self, core: &Core, next: Ready) -> Op {
        let seal = self.seal(core, &next, false);
        let (op, _) = self.chain.write(core, Chain::seal_frame(seal));
        self.flight = Some(Flight::Seal { seal, next });
        op
    }

    fn seal(&self, core: &Core, next: &Ready, oversize: bool) -> SealBody {
        let next = (next.id >> 32) as u32;
        let used = self.chain.writer.map_or(0, |writer| core.segments.at(writer.segment).used);
        let sequence = self.chain.sequence;
        SealBody { sequence, barrier: core.last_count, next, flags: LOG, oversize, used }
    }

    /// A record larger than a segment gets one for itself, which its own frame seals.
    fn write_oversize(&mut self, core: &mut Core) -> Option<Op> {
        let payload = self.queue.front().map_or(0, |frame| frame.filling.payload_bytes());
        let in_place = self.chain.writer.is_some_and(|writer| {
            writer.offset == 0 && core.segments.at(writer.segment).capacity >= oversize_bytes(payload)
        });
        if !in_place {
            let wanted = oversize_bytes(payload);
            let there = core.oversize_ready.as_ref().is_some_and(|ready| ready.capacity >= wanted);
            if !there {
                core.oversize_wanted = Some(wanted);
                return None;
            }
            return self.change_segment(core, |core| core.oversize_ready.take());
        }
        let next = core.ready_for_log()?;
        let mut frame = self.queue.pop_front().expect("a frame waits");
        chain::push_seal(&mut frame.filling, self.seal(core, &next, true));
        Some(self.write_frame(core, frame, Some(next)))
    }

    fn write_frame(&mut self, core: &Core, mut frame: Frame, then: Option<Ready>) -> Op {
        let segment = self.chain.writer.expect("a frame is written to a segment").segment;
        self.end = None;
        let filling = std::mem::take(&mut frame.filling);
        self.waiting_bytes -= frame.record_bytes();
        let (op, offset) = self.chain.write(core, filling);
        self.flight = Some(Flight::Frame { frame, segment, offset, then });
        op
    }

    /// As many zeros as the write in flight has bytes, for planted bugs: a write that failed gave its buffer up.
    pub fn zeros_for_flight(&self) -> AlignedBuf {
        let start = match &self.flight {
            Some(Flight::Frame { offset, .. }) => *offset,
            _ => 0,
        };
        AlignedBuf::zeroed(self.chain.writer.map_or(0, |writer| writer.offset - start) as usize)
    }

    /// The write is durable: its records enter the directory.
    pub fn written(&mut self, core: &mut Core, buf: AlignedBuf) {
        // What fills now goes with the end of the turn in which this completion came: the rest of the turn may join.
        self.flush_wanted = false;
        match self.flight.take().expect("a write that ends was in flight") {
            Flight::Seal { seal, next } => {
                let writer = self.chain.writer.expect("a seal is written to a segment");
                core.segments.at_mut(writer.segment).written = writer.offset;
                core.take_seal(seal, writer.segment);
                core.predecessor = Some(writer.segment);
                self.chain.writer = Some(Writer { segment: core.adopt(next), offset: 0 });
            }
            Flight::Frame { mut frame, segment, offset, then } => {
                core.segments.at_mut(segment).written = offset + buf.len() as u64;
                core.look |= core.predecessor.take().is_some();
                core.counters.frames += 1;
                core.look |= core.counters.frames.is_multiple_of(LOOK_FRAMES);
                core.counters.records += frame.pending.len() as u64;
                core.counters.frame_bytes += buf.len() as u64;
                for some in frame.pending.chunks(WARM_KEYS) {
                    core.directory.warm(some.iter().map(|pending| pending.key));
                    some.iter().for_each(|pending| take(core, pending, segment, offset, buf.as_slice()));
                }
                for pending in frame.pending.iter().filter(|pending| pending.tip) {
                    if self.tips.get(&pending.key).is_some_and(|tip| tip.lsn <= frame.last) {
                        self.tips.remove(&pending.key);
                    }
                }
                frame.pending.clear();
                let last = if planted(205) { Lsn(self.next_lsn - 1) } else { frame.last };
                core.events.push_back(Event::Persisted(last));
                if buf.capacity() <= KEPT_BUFFER_BYTES && self.kept.len() < 2 {
                    self.kept.push((buf, frame.pending));
                }
                if let Some(next) = then {
                    let seal = SealBody { sequence: self.chain.sequence - 1, ..self.seal(core, &next, true) };
                    core.take_seal(seal, segment);
                    core.predecessor = Some(segment);
                    self.chain.writer = Some(Writer { segment: core.adopt(next), offset: 0 });
                }
            }
        }
    }
}

/// Notes a record that extends nothing, of so many bytes, as its key's newest that is under way, if it is; says whether. The log is durable in
/// order: what extends it is durable after it.
fn note_whole(
    tips: &mut BTreeMap<KeyRef, Tip>,
    key: KeyRef,
    (raw, era): (&Raw<'_>, u32),
    bytes: usize,
    lsn: Lsn,
) -> bool {
    let is_base = bytes >= BASE_BYTES_MIN;
    if !raw.kind.is_entry() || !is_base && tips.is_empty() {
        return false;
    }
    let whole = ChainSize { whole: bytes as u64, ..ChainSize::default() };
    let chain = raw.kind.is_value().then_some(whole);
    let extends = match tips.get(&key) {
        Some(tip) if tip.stamp >= raw.stamp => return false,
        Some(tip) => tip.extends,
        None if !is_base => return false,
        None => false,
    };
    tips.insert(key, Tip { stamp: raw.stamp, era, chain, extends, lsn });
    true
}

/// Bytes of the segment for a record whose payload has this many.
fn oversize_bytes(payload: usize) -> u64 {
    let seal = record::encoded_bytes(0, record::SEAL_BODY_BYTES);
    reactor::frame::frame_bytes(payload + seal) as u64
}

/// Takes one durable record of a frame that starts at `offset`.
fn take(core: &mut Core, pending: &Pending, segment: u16, offset: u64, frame: &[u8]) {
    let start = HEADER_BYTES + pending.at as usize;
    let location = Location {
        segment,
        offset: ((offset + start as u64) / UNIT_BYTES as u64) as u32,
        length: pending.length,
    };
    let bytes = &frame[start..start + pending.length as usize * UNIT_BYTES];
    let key = pending.key;
    core.segments.at_mut(segment).used += location.bytes();
    match pending.kind {
        RecordKind::Value | RecordKind::Expiring | RecordKind::Tombstone => {
            let what = (pending.stamp, pending.kind.of_key(), pending.era);
            let base = pending.extends.then_some(pending.other);
            let (directory, segments) = (&mut core.directory, &mut core.segments);
            let newest = directory.take_entry(segments, &core.keyed, key, what, base, location);
            if newest && pending.extends {
                core.cache.remove(key.1);
            } else if newest && pending.keep {
                core.cache_record(key, bytes);
            }
        }
        RecordKind::Promise => {
            core.directory.take_promise(&mut core.segments, key, pending.stamp, location);
        }
        RecordKind::Remove => core.take_remove(key, pending.stamp, pending.other, location),
        RecordKind::Meta => {
            let body = &bytes[record::HEADER_BYTES + 1..];
            let body_bytes = record::head(bytes).map_or(0, |head| head.body_bytes);
            let (id, round) = (key.1.hi as u8, pending.stamp.round);
            core.directory.take_meta(&mut core.segments, id, round, &body[..body_bytes], location);
        }
        RecordKind::Seal => unreachable!("seals are written by the chain, not appended"),
    }
}
