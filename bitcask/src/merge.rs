//! Merge: copies what is needed of a sealed segment to another, and gives its space back.
//!
//! Copies keep their stamps, so the directory's rule makes them harmless beside their originals. A segment goes only
//! when its copies are durable and nobody reads it any more.

use std::collections::VecDeque;

use reactor::frame::{Filling, HEADER_BYTES};
use reactor::mutants::planted;
use reactor::{AlignedBuf, FileId, Op, Outcome, BLOCK_BYTES};

use crate::chain::{self, Chain, Writer};
use crate::choose::{choose, Candidate, Choice, Pressure};
use crate::core::{Core, Ready};
use crate::directory::KeyRef;
use crate::error::Fault;
use crate::limits::{FRAME_FILL_BYTES, READY_WANTED, UNIT_BYTES};
use crate::names;
use crate::prepare::settle_full;
use crate::record::{self, Raw, RecordKind, RemoveBody};
use crate::segments::Segment;
use crate::table::Location;
use crate::task::{Step, Task};
use crate::walk::{Walk, Walked};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Copies wait for a place, or more is to be read.
    Copying,
    Reading,
    Writing,
    Sealing,
    /// All copies are durable: the last readers are waited for.
    Draining,
    HintRemoved,
    Closed,
    Removed,
    Renamed,
    Done,
}

/// A record that is copied: what the directory has to be told.
struct Copy {
    kind: RecordKind,
    key: KeyRef,
    from: Location,
    /// Where the copy lies in its payload, in bytes.
    at: usize,
    /// Of a removal.
    barrier: u32,
}

#[derive(Default)]
struct Frame {
    filling: Filling,
    copies: Vec<Copy>,
}

/// Merges one segment away.
pub(crate) struct Merge {
    source: u16,
    file: FileId,
    id: u64,
    state: State,
    walk: Walk,
    seen_seal: bool,
    filling: Frame,
    full: VecDeque<Frame>,
    flight: Option<(Vec<Copy>, u64)>,
    recycled: Option<u64>,
    /// The buffer of the read before.
    spare: AlignedBuf,
}

/// Whether a segment besides `source` may hold older records of a removed key. A segment with one large record that is
/// live does not: that record is newer than the removal.
fn is_pinned(core: &Core, source: u16, barrier: u32) -> bool {
    core.segments.iter().any(|(index, segment)| {
        index != source && segment.count() <= barrier && !(segment.oversize && segment.live > 0)
    })
}

/// At most how many bytes of frames hold so many bytes of records: two frames in a row hold more than fits into one.
pub(crate) fn packed_bytes(core: &Core, bytes: u64) -> u64 {
    let frames = 1 + 2 * bytes / frame_fill(core) as u64;
    bytes + frames * (HEADER_BYTES + BLOCK_BYTES) as u64
}

/// Up to how many bytes a frame of copies is filled.
fn frame_fill(core: &Core) -> usize {
    FRAME_FILL_BYTES.min(chain::payload_max(core.options.segment_bytes))
}

/// How many segments merge may have to begin for what is needed of this one.
fn begins(core: &Core, segment: &Segment) -> usize {
    let copied = segment.live + segment.removes;
    let room_for = packed_bytes(core, copied) + BLOCK_BYTES as u64;
    match copied {
        0 => 0,
        _ if room_for <= core.merge_rest => 0,
        _ if room_for <= core.options.segment_bytes => 1,
        _ => 2,
    }
}

/// Whether there are as many as it may have to begin. One that began without them could wait for ever on a full disk.
fn is_affordable(core: &Core, segment: &Segment) -> bool {
    match begins(core, segment) {
        0 => true,
        begins => core.spoken_for + begins <= core.ready.len(),
    }
}

/// The segments that may be merged, for [`choose`].
fn candidates(core: &Core, busy: Option<u16>) -> Vec<Candidate> {
    let sealed = core
        .segments
        .iter()
        .filter(|&(index, segment)| segment.sealed && Some(index) != busy && Some(index) != core.predecessor);
    sealed
        .map(|(index, segment)| {
            let pins = segment.removes > 0 && is_pinned(core, index, segment.removes_barrier);
            let pinned = if pins { segment.removes } else { 0 };
            let usable = segment.usable();
            Candidate {
                index,
                count: segment.count(),
                barrier: segment.removes_barrier,
                usable,
                dead: usable.saturating_sub(segment.live + pinned),
                pinned,
                movable: (!segment.oversize || segment.live == 0) && is_affordable(core, segment),
            }
        })
        .collect()
}

impl Merge {
    /// For the segment that is most worth it; `busy` is left alone.
    pub fn wanted(core: &mut Core, busy: Option<u16>) -> Option<Merge> {
        let pressure = if core.full { Pressure::Full } else { Pressure::Normal };
        let Choice::Merge(source) = choose(&candidates(core, busy), pressure) else { return None };
        let segment = core.segments.at(source);
        let useless = segment.live == 0 && segment.removes == 0;
        let owed = begins(core, segment);
        let walk = Walk::new(segment.name(), segment.id, core.options.core, segment.capacity).in_background();
        let (file, id) = (segment.file, segment.id);
        core.merge_owed = Some(owed);
        Some(Merge {
            source,
            file,
            id,
            state: if useless { State::Draining } else { State::Copying },
            walk,
            seen_seal: false,
            filling: Frame::default(),
            full: VecDeque::new(),
            flight: None,
            recycled: None,
            spare: AlignedBuf::default(),
        })
    }

    /// The segment that goes: no hint is written for it.
    pub fn source(&self) -> u16 {
        self.source
    }

    /// Reads on, or writes what is there.
    fn copy_on(&mut self, core: &mut Core, chain: &mut Chain) -> Result<Step, Fault> {
        if self.seen_seal && !self.filling.copies.is_empty() {
            self.full.push_back(std::mem::take(&mut self.filling));
        }
        if let Some(frame) = self.full.pop_front() {
            return Ok(self.write(core, chain, frame));
        }
        if self.seen_seal {
            self.state = State::Draining;
            return self.retire(core);
        }
        let Some((offset, bytes)) = self.walk.wants() else {
            return Err(self.walk.damage("a sealed segment without its seal".to_owned()));
        };
        self.state = State::Reading;
        core.counters.merge_read_bytes += bytes as u64;
        let mut buf = std::mem::take(&mut self.spare);
        buf.resize(bytes);
        Ok(Step::Do(Op::Read { file: self.file, offset, buf }))
    }

    fn write(&mut self, core: &mut Core, chain: &mut Chain, frame: Frame) -> Step {
        if !chain.fits(core, frame.filling.payload_bytes()) {
            self.full.push_front(frame);
            return self.change_segment(core, chain);
        }
        let (op, offset) = chain.write(core, frame.filling);
        if let Op::Write { buf, .. } = &op {
            core.counters.merge_written_bytes += buf.len() as u64;
        }
        self.flight = Some((frame.copies, offset));
        self.state = State::Writing;
        Step::Do(op)
    }

    fn change_segment(&mut self, core: &mut Core, chain: &mut Chain) -> Step {
        if chain.writer.is_some() {
            self.state = State::Sealing;
            let segment = chain.writer.map_or(0, |writer| writer.segment);
            let seal = core.merge_seal(chain.sequence, segment);
            let (op, _) = chain.write(core, Chain::seal_frame(seal));
            return Step::Do(op);
        }
        self.state = State::Copying;
        let Some(ready) = core.ready_for_merge() else { return Step::Wait };
        chain.writer = Some(Writer { segment: core.adopt(ready), offset: 0 });
        let frame = self.full.pop_front().expect("a frame waits for the segment");
        self.write(core, chain, frame)
    }

    fn take(&mut self, core: &Core, bytes: &[u8]) -> Result<(), Fault> {
        let mut walk = self.walk.clone();
        let walked = walk.feed(bytes, |start, payload| {
            core.warm_records(payload);
            record::each(payload, |raw, at, taken| {
                let offset = ((start + at as u64) / UNIT_BYTES as u64) as u32;
                let from = Location { segment: self.source, offset, length: (taken / UNIT_BYTES) as u32 };
                self.seen_seal |= raw.kind == RecordKind::Seal;
                let left_behind = planted(210) && raw.kind == RecordKind::Promise
                    || planted(230) && core.is_extended(&raw, from);
                if core.is_live(&raw, from) && !left_behind {
                    self.copy(core, &raw, from)?;
                }
                Ok(())
            })
        })?;
        self.walk = walk;
        match walked {
            Walked::End(reason) if !self.seen_seal => Err(self.walk.damage(reason)),
            _ => Ok(()),
        }
    }

    /// Adds a copy to the filling frame, unless it is a removal that nothing needs any more.
    fn copy(&mut self, core: &Core, raw: &Raw<'_>, from: Location) -> Result<(), String> {
        let body;
        let mut barrier = 0;
        let mut raw = *raw;
        if raw.kind == RecordKind::Remove {
            let mut remove = RemoveBody::from_bytes(raw.body)?;
            if remove.barrier == 0 {
                remove.barrier = core.segments.at(self.source).barrier;
            }
            barrier = remove.barrier;
            if !is_pinned(core, self.source, barrier) {
                return Ok(());
            }
            body = remove.to_bytes();
            raw.body = &body;
        }
        let bytes = raw.encoded_bytes();
        let filled = self.filling.filling.payload_bytes();
        if !self.filling.copies.is_empty() && filled + bytes > frame_fill(core) {
            self.full.push_back(std::mem::take(&mut self.filling));
        }
        let at = self.filling.filling.payload_bytes();
        record::push(&raw, bytes, &mut self.filling.filling);
        let key = match raw.kind {
            RecordKind::Meta => (0, crate::fingerprint::Fingerprint { hi: u64::from(raw.key[0]), lo: 0 }),
            _ => (raw.slot, core.keyed.fingerprint(raw.key)),
        };
        self.filling.copies.push(Copy { kind: raw.kind, key, from, at, barrier });
        Ok(())
    }

    /// The copies are durable.
    fn copied(&mut self, core: &mut Core, segment: u16, end: u64) {
        core.segments.at_mut(segment).written = end;
        let (copies, offset) = self.flight.take().expect("a write that ends was in flight");
        for copy in copies {
            let start = offset + (HEADER_BYTES + copy.at) as u64;
            let to =
                Location { segment, offset: (start / UNIT_BYTES as u64) as u32, length: copy.from.length };
            let segments = &mut core.segments;
            segments.at_mut(segment).used += to.bytes();
            match copy.kind {
                RecordKind::Value | RecordKind::Expiring | RecordKind::Tombstone => {
                    core.directory.move_entry(segments, copy.key, copy.from, to);
                }
                RecordKind::Promise => core.directory.move_promise(segments, copy.key, copy.from, to),
                RecordKind::Meta => core.directory.move_meta(segments, copy.key.1.hi as u8, copy.from, to),
                RecordKind::Remove => {
                    let target = segments.at_mut(segment);
                    target.removes += to.bytes();
                    target.removes_barrier = target.removes_barrier.max(copy.barrier);
                }
                RecordKind::Seal => unreachable!("seals are not copied"),
            }
        }
    }

    /// Once nobody reads the segment: removes its hint, then recycles or removes it.
    fn retire(&mut self, core: &mut Core) -> Result<Step, Fault> {
        if planted(230) {
            core.segments.at_mut(self.source).live = 0;
        }
        let segment = core.segments.at(self.source);
        if segment.live != 0 {
            let message = format!("{} bytes of needed records were not found in it", segment.live);
            return Err(Fault::Damage { file: segment.name(), offset: 0, message });
        }
        if segment.readers > 0 && !planted(219) {
            return Ok(Step::Wait);
        }
        self.state = State::HintRemoved;
        if segment.hinted {
            return Ok(Step::Do(Op::Remove { name: names::hint(self.id) }));
        }
        Ok(self.recycle(core))
    }

    fn recycle(&mut self, core: &mut Core) -> Step {
        let from = names::segment(self.id);
        let usual = core.segments.at(self.source).capacity == core.options.segment_bytes;
        Step::Do(if usual && core.ready.len() < READY_WANTED {
            let id = core.new_id();
            self.recycled = Some(id);
            self.state = State::Renamed;
            let to = names::segment(if planted(218) { self.id } else { id });
            Op::Rename { from, to }
        } else {
            self.state = State::Closed;
            Op::Close { file: self.file }
        })
    }

    /// The directory change is durable: the segment is gone.
    fn finish(&mut self, core: &mut Core) {
        let segment = core.segments.remove(self.source);
        core.counters.merges += 1;
        core.look = true;
        if let Some(id) = self.recycled {
            core.ready.push_back(Ready { id, file: segment.file, capacity: segment.capacity });
            settle_full(core);
        }
    }
}

/// Merge with the chain that it writes.
pub(crate) struct MergeTask {
    pub merge: Merge,
    pub chain: Option<Chain>,
}

impl MergeTask {
    fn chain(&mut self) -> (&mut Merge, &mut Chain) {
        (&mut self.merge, self.chain.as_mut().expect("the chain is with the task while it runs"))
    }
}

impl Task for MergeTask {
    fn is_ready(&self, core: &Core) -> bool {
        match self.merge.state {
            State::Draining => core.segments.at(self.merge.source).readers == 0,
            State::Copying => !core.ready.is_empty(),
            _ => true,
        }
    }

    fn step(&mut self, core: &mut Core, done: Option<Outcome>) -> Result<Step, Fault> {
        let (merge, chain) = self.chain();
        match (merge.state, done) {
            (State::Copying, _) => merge.copy_on(core, chain),
            (State::Reading, Some(Outcome::Read { buf, bytes })) => {
                merge.take(core, &buf.as_slice()[..bytes])?;
                merge.spare = buf;
                merge.state = State::Copying;
                merge.copy_on(core, chain)
            }
            (State::Writing, _) => {
                let writer = chain.writer.expect("a frame was written to a segment");
                merge.copied(core, writer.segment, writer.offset);
                merge.state = State::Copying;
                merge.copy_on(core, chain)
            }
            (State::Sealing, _) => {
                let writer = chain.writer.take().expect("a seal was written to a segment");
                core.segments.at_mut(writer.segment).written = writer.offset;
                core.take_seal(core.merge_seal(chain.sequence - 1, writer.segment), writer.segment);
                merge.state = State::Copying;
                merge.copy_on(core, chain)
            }
            (State::Draining, _) => merge.retire(core),
            (State::HintRemoved, _) => Ok(merge.recycle(core)),
            (State::Closed, _) => {
                merge.state = State::Removed;
                Ok(Step::Do(Op::Remove { name: names::segment(merge.id) }))
            }
            (State::Removed | State::Renamed, _) => {
                merge.state = State::Done;
                Ok(Step::Do(Op::SyncDir))
            }
            (State::Done, _) => {
                merge.finish(core);
                Ok(Step::Finished)
            }
            (State::Reading, done) => Err(Fault::Io { message: format!("a read ended as {done:?}") }),
        }
    }
}
