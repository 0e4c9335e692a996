//! Writing the hint of a sealed segment, by reading the segment once more.
//!
//! That costs a sequential read in the background and no RAM for keys, and it proves every frame of the segment once.

use std::collections::VecDeque;

use reactor::frame::{self, Filling, Header};
use reactor::mutants::planted;
use reactor::{AlignedBuf, DiskError, DiskErrorKind, FileId, Op, Outcome, BLOCK_BYTES};

use crate::core::Core;
use crate::error::Fault;
use crate::hint::{self, HintEntry};
use crate::limits::{FRAME_FILL_BYTES, FULL_RETRY_NS, UNIT_BYTES};
use crate::names;
use crate::record::{self, RecordKind};
use crate::table::Location;
use crate::task::{Step, Task};
use crate::walk::{Walk, Walked, HINT};

#[derive(Clone, Copy)]
enum State {
    Start,
    Created,
    Reading,
    Writing,
    Synced,
    Closed,
    Renamed,
    Named,
    Abandoned,
    Removed,
}

/// Writes one hint.
pub(crate) struct WriteHint {
    segment: u16,
    id: u64,
    source: FileId,
    state: State,
    walk: Walk,
    file: Option<FileId>,
    filling: Filling,
    full: VecDeque<Filling>,
    sealed: bool,
    offset: u64,
    sequence: u64,
    previous_crc: u32,
    /// The buffer of the read before.
    spare: AlignedBuf,
}

impl WriteHint {
    /// For the oldest sealed segment without a hint; `busy` is left alone.
    pub fn wanted(core: &Core, busy: Option<u16>) -> Option<WriteHint> {
        if core.now < core.full_retry_at {
            return None;
        }
        let candidates = core.segments.iter().filter(|&(index, segment)| {
            segment.sealed && !segment.hinted && segment.live > 0 && Some(index) != busy
        });
        let (index, segment) = candidates.min_by_key(|(_, segment)| segment.id)?;
        let walk = Walk::new(segment.name(), segment.id, core.options.core, segment.capacity).in_background();
        Some(WriteHint {
            segment: index,
            id: segment.id,
            source: segment.file,
            state: State::Start,
            walk,
            file: None,
            filling: Filling::default(),
            full: VecDeque::new(),
            sealed: false,
            offset: 0,
            sequence: 0,
            previous_crc: 0,
            spare: AlignedBuf::default(),
        })
    }

    /// The segment that it reads: merge leaves it alone meanwhile.
    pub fn segment(&self) -> u16 {
        self.segment
    }

    /// A buffer of so many bytes: that of the read before, if there was one.
    fn buffer(&mut self, bytes: usize) -> AlignedBuf {
        let mut buf = std::mem::take(&mut self.spare);
        buf.resize(bytes);
        buf
    }

    fn unfinished(&self) -> String {
        names::hint(self.id) + names::UNFINISHED
    }

    fn take(&mut self, core: &Core, bytes: &[u8]) -> Result<(), Fault> {
        let mut walk = self.walk.clone();
        let walked = walk.feed(bytes, |start, payload| {
            core.warm_records(payload);
            record::each(payload, |raw, at, taken| {
                let offset = ((start + at as u64) / UNIT_BYTES as u64) as u32;
                let length = (taken / UNIT_BYTES) as u32;
                let place = Location { segment: self.segment, offset, length };
                self.sealed |= raw.kind == RecordKind::Seal;
                let left_out = planted(223) && raw.kind == RecordKind::Promise;
                if raw.kind == RecordKind::Seal || core.is_live(&raw, place) && !left_out {
                    self.push(&HintEntry { raw, offset, length, era: core.era_of(&raw) });
                }
                Ok(())
            })
        })?;
        self.walk = walk;
        match walked {
            Walked::End(reason) if !self.sealed => Err(self.walk.damage(reason)),
            _ => Ok(()),
        }
    }

    fn push(&mut self, entry: &HintEntry<'_>) {
        let bytes = hint::encoded_bytes(&entry.raw, entry.era);
        if !self.filling.is_empty() && self.filling.payload_bytes() + bytes > FRAME_FILL_BYTES {
            self.full.push_back(std::mem::take(&mut self.filling));
        }
        hint::push(entry, &mut self.filling);
    }

    fn next_op(&mut self, core: &Core) -> Result<Op, Fault> {
        if self.sealed && !self.filling.is_empty() {
            self.full.push_back(std::mem::take(&mut self.filling));
        }
        if let Some(filling) = self.full.pop_front() {
            self.state = State::Writing;
            return Ok(self.write(core, filling));
        }
        let file = self.file.expect("the hint was created first");
        if self.sealed {
            self.state = State::Synced;
            return Ok(Op::Sync { file });
        }
        let Some((offset, bytes)) = self.walk.wants() else {
            return Err(self.walk.damage("a sealed segment without its seal".to_owned()));
        };
        self.state = State::Reading;
        Ok(Op::Read { file: self.source, offset, buf: self.buffer(bytes) })
    }

    fn write(&mut self, core: &Core, filling: Filling) -> Op {
        let (header, buf) = filling.seal(Header {
            version: frame::FRAME_VERSION,
            flags: HINT,
            core: core.options.core,
            previous_crc: self.previous_crc,
            segment: self.id,
            sequence: self.sequence,
            payload_bytes: 0,
            crc: 0,
        });
        let offset = self.offset;
        self.offset += buf.len() as u64;
        self.sequence += 1;
        self.previous_crc = header.crc;
        assert!(self.offset.is_multiple_of(BLOCK_BYTES as u64), "frames are whole blocks");
        Op::Write { file: self.file.expect("the hint was created first"), offset, buf, sync: false }
    }
}

impl Task for WriteHint {
    fn step(&mut self, core: &mut Core, done: Option<Outcome>) -> Result<Step, Fault> {
        Ok(Step::Do(match (self.state, done) {
            (State::Start, _) => {
                self.state = State::Created;
                Op::Open { name: self.unfinished(), create: true }
            }
            (State::Created, Some(Outcome::Opened { file, .. })) => {
                self.file = Some(file);
                self.next_op(core)?
            }
            (State::Reading, Some(Outcome::Read { buf, bytes })) => {
                self.take(core, &buf.as_slice()[..bytes])?;
                self.spare = buf;
                self.next_op(core)?
            }
            (State::Writing, _) => self.next_op(core)?,
            (State::Synced, _) => {
                self.state = State::Closed;
                Op::Close { file: self.file.expect("the hint was created first") }
            }
            (State::Closed, _) => {
                self.state = State::Renamed;
                Op::Rename { from: self.unfinished(), to: names::hint(self.id) }
            }
            (State::Renamed, _) => {
                self.state = State::Named;
                Op::SyncDir
            }
            (State::Named, _) => {
                core.segments.at_mut(self.segment).hinted = true;
                core.counters.hints += 1;
                core.look = true;
                return Ok(Step::Finished);
            }
            (State::Abandoned, _) => {
                self.state = State::Removed;
                Op::Remove { name: self.unfinished() }
            }
            (State::Removed, _) => {
                core.look = true;
                return Ok(Step::Finished);
            }
            (_, done) => return Err(Fault::Io { message: format!("an operation ended as {done:?}") }),
        }))
    }

    /// Without space the hint is put off: start-up reads the segment instead. Whether values are refused is decided where
    /// segments are made: as long as the ready ones are there, they can be taken.
    fn refused(&mut self, core: &mut Core, error: DiskError) -> Result<Step, Fault> {
        match (error.kind, self.file) {
            (DiskErrorKind::Full, Some(file)) => {
                core.full_retry_at = core.now + FULL_RETRY_NS;
                self.state = State::Abandoned;
                Ok(Step::Do(Op::Close { file }))
            }
            _ => Err(Fault::Io { message: error.message }),
        }
    }
}
