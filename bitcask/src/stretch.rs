//! Stretches of the log, read in large pieces and in order: for an owner who wants what was written since some time, and
//! for whom a read per record would be too many.
//!
//! A stretch is one read. Where it begins is where the next frame is looked for, so any place is good: between two
//! stretches segments may be merged away, and what is needed of them lies in later ones. Nothing here is proved beyond
//! the frames themselves. What does not read as the next frame is stepped over: a read of the record itself finds out what is wrong.

use std::collections::BTreeMap;

use reactor::mutants::planted;
use reactor::{frame, AlignedBuf, Disk, DiskError, Op, OpId, Outcome, BLOCK_BYTES};

use crate::core::Core;
use crate::engine::Bitcask;
use crate::error::{Fault, ReadError};
use crate::limits::{STRETCH_BYTES_MAX, UNIT_BYTES};
use crate::record::{self, Raw, RecordKind};
use crate::segments::Segment;
use crate::table::Location;
use crate::types::{Event, LogEnd, LogPlace, Stretch, Ticket};
use crate::walk::{Walk, Walked};

/// A stretch that is being read.
pub(crate) struct Reading {
    ticket: Ticket,
    /// Index of the segment.
    segment: u16,
    /// Where the read starts, in bytes.
    offset: u64,
    /// Up to where the segment is written, in bytes.
    end: u64,
}

/// What a read came to.
enum Taken {
    Stretch(Stretch),
    /// The frame at this offset has so many bytes: it is to be read whole.
    Longer(u64, usize),
}

/// The stretches of one engine that are being read.
#[derive(Default)]
pub(crate) struct Stretches {
    pending: BTreeMap<OpId, Reading>,
    /// The buffer of the read before.
    spare: AlignedBuf,
}

/// The part of a segment that lies between a place and an end of the log, in bytes from its start; none if there is none. What merge wrote
/// behind that end may be from before.
fn part(segment: &Segment, is_merged: bool, from: LogPlace, until: LogEnd) -> Option<(u64, u64)> {
    let count = segment.count();
    let at = |place: LogPlace| u64::from(place.block) * BLOCK_BYTES as u64;
    let start = match count.cmp(&from.segment) {
        std::cmp::Ordering::Less => return None,
        std::cmp::Ordering::Equal => at(from),
        std::cmp::Ordering::Greater => 0,
    };
    let written = segment.written / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
    let end = match count.cmp(&until.place.segment) {
        std::cmp::Ordering::Less => written,
        std::cmp::Ordering::Equal => written.min(at(until.place)),
        std::cmp::Ordering::Greater if is_merged && count <= until.newest => written,
        std::cmp::Ordering::Greater => return None,
    };
    (start < end).then_some((start, end))
}

impl Stretches {
    pub fn owns(&self, id: OpId) -> bool {
        self.pending.contains_key(&id)
    }

    /// The first read between a place and an end, of about so many bytes.
    pub fn begin(
        &mut self,
        core: &mut Core,
        log_segment: Option<u16>,
        ticket: impl FnOnce() -> Ticket,
        (from, until): (LogPlace, LogEnd),
        bytes: usize,
    ) -> Option<(Op, Reading)> {
        // One without live records has nothing to tell, and merge may be about to remove it.
        let needed = core.segments.iter().filter(|(_, segment)| segment.live > 0);
        let parts = needed.filter_map(|(index, segment)| {
            let is_merged = segment.merged || !segment.sealed && Some(index) != log_segment;
            let (start, end) = part(segment, is_merged, from, until)?;
            Some((segment.count(), index, start, end))
        });
        let (_, segment, offset, end) = parts.min()?;
        let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
        let bytes = bytes.clamp(BLOCK_BYTES, STRETCH_BYTES_MAX).next_multiple_of(BLOCK_BYTES).min(left);
        let end = core.segments.at(segment).written;
        let reading = Reading { ticket: ticket(), segment, offset, end };
        Some((self.op(core, &reading, bytes), reading))
    }

    fn op(&mut self, core: &mut Core, reading: &Reading, bytes: usize) -> Op {
        let segment = core.segments.at_mut(reading.segment);
        segment.readers += 1;
        let mut buf = std::mem::take(&mut self.spare);
        buf.resize(bytes);
        Op::Read { file: segment.file, offset: reading.offset, buf }
    }

    pub fn started(&mut self, id: OpId, reading: Reading) -> Ticket {
        let ticket = reading.ticket;
        self.pending.insert(id, reading);
        ticket
    }

    /// A read has ended: tells the owner, or goes on with a longer one.
    pub fn done(
        &mut self,
        core: &mut Core,
        id: OpId,
        result: Result<Outcome, DiskError>,
    ) -> Option<(Op, Reading)> {
        let mut reading = self.pending.remove(&id).expect("the read is under way");
        core.segments.at_mut(reading.segment).readers -= 1;
        let fault = match result {
            Ok(Outcome::Read { buf, bytes }) if !core.failed => {
                core.counters.stretch_bytes += bytes as u64;
                let taken = take(core, &reading, buf.as_slice().get(..bytes).unwrap_or_default());
                self.spare = buf;
                match taken {
                    Taken::Stretch(stretch) => {
                        core.events.push_back(Event::Stretch { ticket: reading.ticket, result: Ok(stretch) });
                        return None;
                    }
                    Taken::Longer(offset, bytes) => {
                        reading.offset = offset;
                        return Some((self.op(core, &reading, bytes), reading));
                    }
                }
            }
            Ok(outcome) => Fault::Io { message: format!("a read ended as {outcome:?}") },
            Err(error) => Fault::Io { message: error.message },
        };
        let message = fault.to_string();
        core.fail(fault);
        core.events.push_back(Event::Stretch { ticket: reading.ticket, result: Err(ReadError { message }) });
        None
    }
}

impl Bitcask {
    /// Where the log ends now.
    pub fn log_end(&self) -> LogEnd {
        let newest = self.core.last_count;
        let next = LogPlace { segment: newest.saturating_add(1), block: 0 };
        let place = self.log.chain.writer.map_or(next, |writer| {
            let segment = self.core.segments.at(writer.segment);
            LogPlace { segment: segment.count(), block: (segment.written / BLOCK_BYTES as u64) as u32 }
        });
        LogEnd { place, newest }
    }

    /// Reads the log in order from the first frame on that begins at a place or behind it, and before an end, about so many bytes: no less than a
    /// frame, at most [`STRETCH_BYTES_MAX`]. [`Event::Stretch`] tells those of its records that are the newest of their keys and marked, and where
    /// to go on. None: no segment has anything there. What is merged meanwhile is found where it was copied to; frames longer than that
    /// bound, and what does not read as a frame, are stepped over.
    pub fn read_stretch<D: Disk + ?Sized>(
        &mut self,
        disk: &mut D,
        (from, until): (LogPlace, LogEnd),
        bytes: usize,
    ) -> Option<Ticket> {
        if self.core.failed || !self.announced {
            return None;
        }
        let Bitcask { stretches, reads, core, log, .. } = self;
        let log_segment = log.chain.writer.map(|writer| writer.segment);
        let ticket = || reads.next_ticket();
        let (op, reading) = stretches.begin(core, log_segment, ticket, (from, until), bytes)?;
        Some(self.stretches.started(disk.submit(op), reading))
    }
}

/// What the bytes of a read hold, and where to go on.
fn take(core: &Core, reading: &Reading, bytes: &[u8]) -> Taken {
    let segment = core.segments.at(reading.segment);
    let mut walk = Walk::new(segment.name(), segment.id, core.options.core, reading.end);
    let skipped = walk.later_frame(bytes).unwrap_or(bytes.len());
    let rest = bytes.get(skipped..).unwrap_or_default();
    walk.offset = reading.offset + skipped as u64;
    let (mut found, mut unmarked, mut sealed) = (Vec::new(), BTreeMap::new(), false);
    let walked = walk.feed(rest, |start, payload| {
        core.warm_records(payload);
        record::each(payload, |raw, at, taken| {
            let offset = ((start + at as u64) / UNIT_BYTES as u64) as u32;
            let place = Location { segment: reading.segment, offset, length: (taken / UNIT_BYTES) as u32 };
            sealed |= raw.kind == RecordKind::Seal;
            match is_marked(core, &raw, place) {
                Some(true) => found.extend_from_slice(payload.get(at..at + taken).unwrap_or_default()),
                Some(false) => *unmarked.entry(raw.stamp.node).or_default() += 1,
                None => {}
            }
            Ok(())
        })
    });
    let mut read = walk.offset - reading.offset;
    let place =
        |offset: u64| LogPlace { segment: segment.count(), block: (offset / BLOCK_BYTES as u64) as u32 };
    let next = match walked {
        _ if sealed => LogPlace { segment: segment.count().saturating_add(1), block: 0 },
        Ok(Walked::More) if walk.last.is_none() && !rest.is_empty() => {
            let bytes = frame::peek(rest).map_or(BLOCK_BYTES, |header| header.frame_bytes());
            if bytes <= STRETCH_BYTES_MAX && bytes > rest.len() {
                return Taken::Longer(walk.offset, bytes);
            }
            read += bytes as u64;
            place(walk.offset + bytes as u64)
        }
        Ok(Walked::More) => place(walk.offset),
        // The next frame will begin here.
        Ok(Walked::End(_)) if walk.offset >= reading.end => place(walk.offset),
        // Whatever is here, a later frame may be whole.
        Ok(Walked::End(_)) | Err(_) => place(walk.offset + BLOCK_BYTES as u64),
    };
    Taken::Stretch(Stretch { records: found, next, read: read.max(BLOCK_BYTES as u64), unmarked })
}

/// Whether a record is marked, if it is the newest of its key.
fn is_marked(core: &Core, raw: &Raw<'_>, place: Location) -> Option<bool> {
    if !matches!(raw.kind, RecordKind::Value | RecordKind::Expiring | RecordKind::Tombstone) {
        return None;
    }
    let key = (raw.slot, core.keyed.fingerprint(raw.key));
    let (entry, location) = core.directory.find(key)?;
    // A frame that went astray may have another record of the key where this one should be.
    (location == place && entry.stamp == raw.stamp).then_some(entry.marked || planted(228))
}
