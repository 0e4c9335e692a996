//! Where what waits for the disk will lie: reckoned before a record is taken, so that whatever was taken has a place,
//! also when the disk turns out to be full meanwhile.
//!
//! The ready segments have one use each. Values may begin all but two: of these, one is kept for deletes, promises and
//! named values, and one for merge, without which a full disk could not be emptied again. The last segment that values
//! may begin they may fill to a half, so that it is worth merging once deletes have filled the other half: a lone delete
//! takes a block of it, and a merged one less than a hundred bytes.

use reactor::frame::frame_bytes;
use reactor::BLOCK_BYTES;

use crate::core::Core;
use crate::limits::READY_WANTED;

/// Where the log will go on once everything that waits is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// How many ready segments it will have begun until then.
    pub begun: usize,
    /// Offset in the last of them, in bytes.
    pub offset: u64,
    /// Length of that one, in bytes.
    pub capacity: u64,
}

impl Place {
    /// After one more frame: with room for a seal behind it, as the chain leaves it.
    pub fn after_frame(self, payload_bytes: usize, segment_bytes: u64) -> Place {
        let bytes = frame_bytes(payload_bytes) as u64;
        let end = self.offset + bytes;
        if end + BLOCK_BYTES as u64 <= self.capacity {
            return Place { offset: end, ..self };
        }
        Place { begun: self.begun + 1, offset: bytes, capacity: segment_bytes }
    }

    /// After a record with a segment for itself: the log goes on in a fresh one.
    pub fn after_large(self, segment_bytes: u64) -> Place {
        Place { begun: self.begun + 1, offset: 0, capacity: segment_bytes }
    }

    /// Whether there are segments for a value to end here, whose record has so many bytes.
    pub fn is_there_for_value(self, core: &Core, bytes: usize) -> bool {
        let places = core.places();
        let (is_last, is_kept) = match self.begun {
            // Whether there is space for the next ones is not known yet. At the first start there is nothing to merge anyway.
            0 => (places < READY_WANTED && core.any_sealed, false),
            begun => (places < begun + READY_WANTED, places + 1 < begun + READY_WANTED),
        };
        let is_alone = self.offset == frame_bytes(bytes) as u64;
        !is_last || !is_kept && (self.offset <= self.capacity / 2 || is_alone)
    }

    /// Whether there are segments for any other record to end here. `is_thin` says that merge can do without one.
    pub fn is_there(self, core: &Core, is_thin: bool) -> bool {
        let for_merge = core.merge_owed.unwrap_or(usize::from(!is_thin));
        self.begun == 0 || self.begun + for_merge <= core.places()
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn frames_follow_each_other_as_the_chain_writes_them() {
        const SEGMENT: u64 = 16 * 4096;
        let at = |begun, blocks: u64| Place { begun, offset: blocks * 4096, capacity: SEGMENT };
        let table = [
            ("one block", at(0, 0), 100, at(0, 1)),
            ("the seal still fits", at(0, 14), 100, at(0, 15)),
            ("the seal would not fit", at(0, 15), 100, at(1, 1)),
            ("padding counts", at(0, 13), 4096, at(0, 15)),
            ("no segment yet", Place::default(), 100, at(1, 1)),
            ("a whole one", at(0, 1), 15 * 4096 - 64, at(1, 15)),
        ];
        for (name, from, payload, to) in table {
            assert_eq!(from.after_frame(payload, SEGMENT), to, "{name}");
        }
        assert_eq!(at(2, 7).after_large(SEGMENT), at(3, 0));
    }
}
