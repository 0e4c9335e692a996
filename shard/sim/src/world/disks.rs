//! What happens to disks: slowness, errors that are told, and damage that is not.
//!
//! Errors that are told (EIO, a failed sync, a short write, a full disk) and reads of what was there before may hit any disk: with
//! a healthy disk the core comes back whole. Damage that stays (rot, writes that went astray) hits the disks of a minority of hosts
//! only, the plan's *victims*, so that of every record there remain as many good copies as a majority may rest on.
//!
//! A table of a tree that rots is known for it as soon as it is read; what rots of a manifest could be its torn end.
//!
//! Two losses cannot be told from a write that a power cut tore, by any log: of the last frame that was written, if
//! it rots, or if it went astray. Rot spares it; after a write that went astray and that no other followed, a host which dies is given up.

use reactor::clock::MILLISECOND;
use reactor::frame;
use reactor::sim::{Faults, Latency};

use super::{Event, Place, World};
use crate::violation::Checked;

/// What the names of a tree's tables end with.
const TABLE: &str = ".table";

/// A frame in a file: which chain it belongs to and where in it, and its bytes.
struct Frame {
    chain: (u16, u64),
    start: usize,
    end: usize,
}

impl World {
    /// Twenty times as slow, for up to 300 ms.
    pub(super) fn slow_disk(&mut self, place: Place) {
        let slow = self.plan.disk;
        let slow = Latency {
            sync: (slow.sync.0 * 20, slow.sync.1 * 20),
            read: (slow.read.0 * 20, slow.read.1 * 20),
            ..slow
        };
        self.core_mut(place).disk.set_latency(slow);
        let span = self.nemesis.between(5 * MILLISECOND, 300 * MILLISECOND);
        self.label("a disk was slow");
        self.tell(|| format!("the disk of {place} is slow"));
        self.schedule(self.now + span, Event::Quicken(place));
    }

    /// Some operations a second, for up to three seconds.
    pub(super) fn fail_slow(&mut self, place: Place) {
        let sync = (40 * MILLISECOND, 300 * MILLISECOND);
        let read = (20 * MILLISECOND, 150 * MILLISECOND);
        let slow = Latency { sync, read, slow_per_million: 0, ..self.plan.disk };
        self.core_mut(place).disk.set_latency(slow);
        let span = self.nemesis.between(200 * MILLISECOND, 3_000 * MILLISECOND);
        self.label("a disk was very slow");
        self.tell(|| format!("the disk of {place} is very slow"));
        self.schedule(self.now + span, Event::Quicken(place));
    }

    /// Writes or syncs fail, or stop half way.
    pub(super) fn hurt_disk(&mut self, place: Place) {
        let rate = self.nemesis.below(200_000) as u32;
        let faults = match self.nemesis.below(3) {
            0 => Faults { write_error_per_million: rate, ..Faults::default() },
            1 => Faults { sync_error_per_million: rate, ..Faults::default() },
            _ => Faults { short_write_per_million: rate, ..Faults::default() },
        };
        self.make_sick(place, faults);
        self.label("a disk had errors");
        self.tell(|| format!("the disk of {place} fails some operations"));
    }

    pub(super) fn fail_reads(&mut self, place: Place) {
        let read_error_per_million = self.nemesis.between(10_000, 300_000) as u32;
        self.make_sick(place, Faults { read_error_per_million, ..Faults::default() });
        self.label("a disk failed reads");
        self.tell(|| format!("the disk of {place} fails some reads"));
    }

    /// Reads bring what was there before, until the host dies.
    pub(super) fn serve_stale(&mut self, place: Place) {
        if !self.core(place).serves() {
            return;
        }
        let stale_read_per_million = self.nemesis.between(10_000, 300_000) as u32;
        self.make_sick(place, Faults { stale_read_per_million, ..Faults::default() });
        self.label("a disk had stale reads");
        self.tell(|| format!("the disk of {place} shows what was there before, now and then"));
    }

    /// No more space, or hardly any, for a while.
    pub(super) fn fill_disk(&mut self, place: Place) {
        let room = self.nemesis.below(3) * self.plan.segment_bytes;
        let span = self.nemesis.between(5 * MILLISECOND, 1_000 * MILLISECOND);
        let core = self.core_mut(place);
        core.is_sick = true;
        core.disk.set_capacity(core.disk.used_bytes() + room);
        self.label("a disk was full");
        self.tell(|| format!("the disk of {place} has {room} bytes left"));
        self.schedule(self.now + span, Event::Free(place));
    }

    /// The disk has space again.
    pub(super) fn free_disk(&mut self, place: Place) {
        self.core_mut(place).disk.set_capacity(u64::MAX);
        self.tell(|| format!("the disk of {place} has space again"));
    }

    /// Writes go to the wrong place, now and then.
    pub(super) fn lead_astray(&mut self, place: Place) {
        if !self.plan.victims.contains(&place.host) {
            return;
        }
        let misdirected_per_million = self.nemesis.between(5_000, 100_000) as u32;
        self.make_sick(place, Faults { misdirected_per_million, ..Faults::default() });
        self.core_mut(place).is_damaged = true;
        self.label("a disk wrote to wrong places");
        self.tell(|| format!("the disk of {place} writes to wrong places, now and then"));
    }

    /// Flips a bit of what is written.
    pub(super) fn rot(&mut self, place: Place) {
        if !self.plan.victims.contains(&place.host) {
            return;
        }
        let spots = self.core(place).rottable();
        if spots.is_empty() {
            return;
        }
        let (name, start, end) = &spots[self.nemesis.below(spots.len() as u64) as usize];
        let at = self.nemesis.between(*start as u64, *end as u64 - 1);
        let bit = self.nemesis.below(8);
        let core = self.core_mut(place);
        let Some(byte) = core.disk.bytes_of(name).and_then(|bytes| bytes.get(at as usize).copied()) else {
            return;
        };
        let rotten = core.disk.overwrite(name, at, &[byte ^ 1 << bit]);
        assert!(rotten, "the byte that was read is there");
        core.is_damaged = true;
        core.tree_rots |= name.ends_with(TABLE);
        self.label(match name {
            name if name.starts_with("seg") => "a bit of a segment rotted",
            name if name.ends_with(TABLE) => "a bit of a table rotted",
            _ => "a bit of a hint rotted",
        });
        self.tell(|| format!("bit {bit} of byte {at} of {name} of {place} flips"));
    }

    fn make_sick(&mut self, place: Place, faults: Faults) {
        let core = self.core_mut(place);
        core.is_sick = true;
        core.disk.set_faults(faults);
    }

    /// A damaged host cannot go on: it stays down, or is replaced after a while.
    pub(super) fn give_up_host(&mut self, place: Place, why: &'static str) -> Checked {
        self.label(why);
        self.tell(|| format!("{place}: {why}; host {} stays down", place.host));
        self.hosts[usize::from(place.host)].lost = true;
        self.die(place.host, super::host::Death::Power, None);
        let (replaced, after) = (self.crash.coin(), self.crash.between(MILLISECOND, 300 * MILLISECOND));
        if replaced {
            self.schedule(self.now + after, Event::Replace { host: place.host });
        }
        Ok(())
    }
}

impl super::Core {
    /// Where a flipped bit can be told from a torn write: in hints, in frames that others follow, which no power failure takes away, and in tables.
    fn rottable(&self) -> Vec<(String, usize, usize)> {
        if self.disk.has_volatile_names() {
            return Vec::new();
        }
        let names = self.disk.list().into_iter().map(|(name, _)| name);
        let files: Vec<(String, Vec<Frame>)> = names
            .filter(|name| name.ends_with(".log"))
            .map(|name| {
                let frames = frames(&self.disk.durable_bytes_of(&name).unwrap_or_default());
                (name, frames)
            })
            .collect();
        let is_segment = |name: &str| name.starts_with("seg");
        let segments = || files.iter().filter(|(name, _)| is_segment(name)).flat_map(|(_, frames)| frames);
        let last = |flags: u16| segments().filter(|f| f.chain.0 == flags).map(|f| f.chain.1).max();
        let spared =
            |name: &str, frame: &Frame| is_segment(name) && last(frame.chain.0) == Some(frame.chain.1);
        let mut spots = Vec::new();
        for (name, frames) in &files {
            let frames = frames.iter().filter(|frame| !spared(name, frame));
            spots.extend(frames.map(|frame| (name.clone(), frame.start, frame.end)));
        }
        let tables = self.disk.list().into_iter().filter(|(name, _)| name.ends_with(TABLE));
        let durable = |name: &str| self.disk.durable_bytes_of(name).map_or(0, |bytes| bytes.len());
        let whole = tables.map(|(name, _)| (durable(&name), name)).filter(|(bytes, _)| *bytes > 0);
        let tables: Vec<_> = whole.map(|(bytes, name)| (name, 0, bytes)).collect();
        // As often as all else.
        let count = spots.len();
        spots.extend(tables.into_iter().cycle().take(count));
        spots
    }
}

/// The whole frames at the start of a file.
fn frames(bytes: &[u8]) -> Vec<Frame> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(Ok((header, payload))) = bytes.get(at..).map(frame::decode) {
        let end = at + frame::HEADER_BYTES + payload.len();
        found.push(Frame { chain: (header.flags, header.sequence), start: at, end });
        at += header.frame_bytes();
    }
    found
}
