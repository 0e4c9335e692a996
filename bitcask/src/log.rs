//! The log: what is appended, in order, with one frame in flight and the next one filling.

use std::collections::VecDeque;

use reactor::frame::{Filling, HEADER_BYTES};
use reactor::mutants::planted;
use reactor::{AlignedBuf, Op};

use crate::chain::{self, Chain, Writer};
use crate::core::{Core, Ready};
use crate::directory::KeyRef;
use crate::error::AppendError;
use crate::fingerprint::Fingerprint;
use crate::limits::{BACKLOG_BYTES_MAX, FRAME_FILL_BYTES, UNIT_BYTES};
use crate::record::{self, Raw, RecordKind, SealBody};
use crate::table::Location;
use crate::types::{Event, Lsn, Stamp};
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
    promised: Stamp,
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
    flush_wanted: bool,
    kept: Vec<(AlignedBuf, Vec<Pending>)>,
    meta_rounds: [u64; 256],
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
            flush_wanted: false,
            kept: Vec::new(),
            meta_rounds: [0; 256],
        }
    }

    /// Whether something waits that no segment has room for.
    pub fn is_stalled(&self) -> bool {
        self.flight.is_none() && (!self.queue.is_empty() || self.flush_wanted)
    }

    /// Adds a record to the filling frame: the one copy that is made of it before it is durable.
    pub fn append(
        &mut self,
        core: &Core,
        key: KeyRef,
        raw: &Raw<'_>,
        promised: Stamp,
    ) -> Result<Lsn, AppendError> {
        let bytes = record::encoded_bytes(raw.key.len(), raw.body.len());
        self.admits(core, bytes)?;
        let payload_max = chain::payload_max(core.options.segment_bytes);
        let filled = self.filling.filling.payload_bytes();
        if filled > 0 && filled + bytes > FRAME_FILL_BYTES.min(payload_max) {
            self.close_frame();
        }
        let frame = &mut self.filling;
        frame.oversize = bytes > payload_max;
        let at = frame.filling.payload_bytes();
        record::encode(raw, frame.filling.extend(bytes));
        let length = (bytes / UNIT_BYTES) as u32;
        frame.pending.push(Pending {
            key,
            kind: raw.kind,
            stamp: raw.stamp,
            promised,
            at: at as u32,
            length,
        });
        frame.last = Lsn(self.next_lsn);
        self.next_lsn += 1;
        self.waiting_bytes += bytes;
        let lsn = frame.last;
        if frame.oversize {
            self.close_frame();
        }
        Ok(lsn)
    }

    /// Whether there is room for so many bytes of records.
    pub fn admits(&self, core: &Core, bytes: usize) -> Result<(), AppendError> {
        if self.waiting_bytes + bytes > BACKLOG_BYTES_MAX {
            return Err(AppendError::Backlog);
        }
        if core.full && !self.fits_reserve(core, bytes) {
            return Err(AppendError::Full);
        }
        Ok(())
    }

    /// Adds a named value; later ones of the same name win.
    pub fn append_meta(&mut self, core: &Core, id: u8, bytes: &[u8]) -> Result<Lsn, AppendError> {
        let round =
            self.meta_rounds[id as usize].max(core.directory.meta_round(id)) + u64::from(!planted(222));
        let stamp = Stamp { round, ..Stamp::ZERO };
        let raw = Raw { kind: RecordKind::Meta, slot: 0, stamp, key: &[id], body: bytes };
        let key = (0, Fingerprint { hi: u64::from(id), lo: 0 });
        let lsn = self.append(core, key, &raw, Stamp::ZERO)?;
        self.meta_rounds[id as usize] = round;
        Ok(lsn)
    }

    /// While the disk is full: whether all that waits, and this, fits into the segment at hand.
    fn fits_reserve(&self, core: &Core, bytes: usize) -> bool {
        // Every waiting frame may waste a block in padding.
        let padding = (self.queue.len() + 2) * reactor::BLOCK_BYTES;
        self.chain.fits(core, self.waiting_bytes + bytes + padding)
    }

    fn close_frame(&mut self) {
        let (buf, pending) = self.kept.pop().unwrap_or_default();
        let fresh = Frame { filling: Filling::new(buf), pending, last: Lsn(0), oversize: false };
        self.queue.push_back(std::mem::replace(&mut self.filling, fresh));
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
        if self.chain.writer.is_some() {
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
        let filling = std::mem::take(&mut frame.filling);
        self.waiting_bytes -= frame.pending.iter().map(|p| p.length as usize * UNIT_BYTES).sum::<usize>();
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
                core.predecessor = None;
                core.counters.frames += 1;
                core.look |= core.counters.frames.is_multiple_of(LOOK_FRAMES);
                core.counters.records += frame.pending.len() as u64;
                core.counters.frame_bytes += buf.len() as u64;
                for pending in frame.pending.drain(..) {
                    take(core, &pending, segment, offset, buf.as_slice());
                }
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
        RecordKind::Value | RecordKind::Tombstone => {
            let what = (pending.stamp, pending.kind == RecordKind::Tombstone);
            if core.directory.take_entry(&mut core.segments, &core.keyed, key, what, location) {
                core.cache_record(key, bytes);
            }
        }
        RecordKind::Promise => {
            core.directory.take_promise(&mut core.segments, key, pending.stamp, location);
        }
        RecordKind::Remove => core.take_remove(key, pending.stamp, pending.promised, location),
        RecordKind::Meta => {
            let body = &bytes[record::HEADER_BYTES + 1..];
            let body_bytes = record::head(bytes).map_or(0, |head| head.body_bytes);
            let (id, round) = (key.1.hi as u8, pending.stamp.round);
            core.directory.take_meta(&mut core.segments, id, round, &body[..body_bytes], location);
        }
        RecordKind::Seal => unreachable!("seals are written by the chain, not appended"),
    }
}
