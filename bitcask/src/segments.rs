//! The segment table: which segments exist, and how much of each is still needed.

use reactor::FileId;

use crate::limits::SEGMENTS_MAX;
use crate::table::Location;

/// One segment with records.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Count above, secret below: see [`crate::fingerprint::Keyed::segment_id`].
    pub id: u64,
    pub file: FileId,
    /// Length of the file in bytes.
    pub capacity: u64,
    /// Bytes of frames.
    pub written: u64,
    /// Bytes of records that the directory needs.
    pub live: u64,
    /// Bytes of records, needed or not.
    pub used: u64,
    /// Written by merge: what it does not use could not be packed better.
    pub merged: bool,
    /// Bytes of removals, which are needed only while older segments exist.
    pub removes: u64,
    /// The newest segment count that a removal here protects against, as far as known before the seal.
    pub removes_barrier: u32,
    /// Complete: never written again.
    pub sealed: bool,
    /// The newest segment count given out when it was sealed.
    pub barrier: u32,
    /// Has a hint.
    pub hinted: bool,
    /// Reads under way.
    pub readers: u32,
    /// Holds a single record larger than a usual segment.
    pub oversize: bool,
}

impl Segment {
    pub fn count(&self) -> u32 {
        (self.id >> 32) as u32
    }

    /// Bytes that could be needed: the whole file, or, of what merge packed already, its records.
    pub fn usable(&self) -> u64 {
        if self.merged {
            self.used.max(1)
        } else {
            self.capacity
        }
    }

    pub fn name(&self) -> String {
        crate::names::segment(self.id)
    }
}

/// All segments with records, by a small index that is reused.
#[derive(Default)]
pub(crate) struct Segments {
    list: Vec<Option<Segment>>,
    free: Vec<u16>,
    /// A sealed segment is not needed any more: time to look what can be merged.
    pub emptied: bool,
}

impl Segments {
    /// Adds a segment; none when the table is full.
    pub fn insert(&mut self, segment: Segment) -> Option<u16> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.list.len() < SEGMENTS_MAX => {
                self.list.push(None);
                (self.list.len() - 1) as u16
            }
            None => return None,
        };
        self.list[index as usize] = Some(segment);
        Some(index)
    }

    /// Whether one more fits.
    pub fn has_room(&self) -> bool {
        !self.free.is_empty() || self.list.len() < SEGMENTS_MAX
    }

    pub fn at(&self, index: u16) -> &Segment {
        self.list[index as usize].as_ref().expect("an index in use names a segment")
    }

    pub fn at_mut(&mut self, index: u16) -> &mut Segment {
        self.list[index as usize].as_mut().expect("an index in use names a segment")
    }

    pub fn remove(&mut self, index: u16) -> Segment {
        let segment = self.list[index as usize].take().expect("an index in use names a segment");
        assert!(segment.live == 0 && segment.readers == 0, "a segment that goes is not needed");
        self.free.push(index);
        segment
    }

    pub fn iter(&self) -> impl Iterator<Item = (u16, &Segment)> {
        self.list.iter().enumerate().filter_map(|(index, slot)| slot.as_ref().map(|s| (index as u16, s)))
    }

    /// A record there is needed.
    pub fn born(&mut self, location: Location) {
        self.at_mut(location.segment).live += location.bytes();
    }

    /// A record there is not needed any more.
    pub fn died(&mut self, location: Location) {
        let segment = self.at_mut(location.segment);
        let left = segment.live.checked_sub(location.bytes());
        segment.live = left.expect("what dies in a segment was born in it");
        let emptied = segment.sealed && segment.live == 0;
        self.emptied |= emptied;
    }
}
