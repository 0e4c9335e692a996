//! Places in a walk over slots, and the cursors that stand for them.
//!
//! A cursor has 56 bits (the host adds the slice below): 14 of the slot and the upper 42 of the fingerprint. So a walk
//! rests only where such a *group* of fingerprints begins. Two fingerprints of a slot share a group with a chance of 2^-42.

use bitcask::Fingerprint;

use crate::limits::SLOTS;
use crate::wire::SlotEntry;

/// Bits of a cursor that a fingerprint has.
const PREFIX_BITS: u32 = 42;
const DROPPED_BITS: u32 = u64::BITS - PREFIX_BITS;

/// A place in the order of slots and, within a slot, of fingerprints. Slot 16384 is the end of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub slot: u16,
    pub fingerprint: Fingerprint,
}

impl Place {
    /// Where a slot starts.
    pub fn start(slot: u16) -> Place {
        Place { slot, fingerprint: Fingerprint::MIN }
    }

    /// Where the slot behind this one starts.
    pub fn next_slot(self) -> Place {
        Place::start(self.slot + 1)
    }

    /// Where this place's group starts.
    pub fn group(self) -> Place {
        self.at_prefix(self.fingerprint.hi >> DROPPED_BITS)
    }

    /// Where the next group starts.
    pub fn next_group(self) -> Place {
        let prefix = (self.fingerprint.hi >> DROPPED_BITS) + 1;
        if prefix >> PREFIX_BITS != 0 {
            return self.next_slot();
        }
        self.at_prefix(prefix)
    }

    fn at_prefix(self, prefix: u64) -> Place {
        Place { slot: self.slot, fingerprint: Fingerprint { hi: prefix << DROPPED_BITS, lo: 0 } }
    }

    /// How far a page reaches whose last record is at `last`, if there are more behind it: up to the group of that
    /// one, which may go on. A page of one group alone would get nowhere; nobody without the secret of the fingerprints can
    /// make one, so the rest of that group is passed over rather than the walk stopped.
    pub fn reached(self, last: Place) -> Place {
        last.group().max(self.next_group())
    }

    /// The cursor of this place; 0 at the start and at the end of everything.
    pub fn cursor(self) -> u64 {
        if self.slot >= SLOTS {
            return 0;
        }
        u64::from(self.slot) << PREFIX_BITS | self.fingerprint.hi >> DROPPED_BITS
    }

    /// The place of a cursor. What no cursor can be is the end of everything.
    pub fn of_cursor(cursor: u64) -> Place {
        let slot = u16::try_from(cursor >> PREFIX_BITS).unwrap_or(SLOTS).min(SLOTS);
        Place::start(slot).at_prefix(cursor & ((1 << PREFIX_BITS) - 1))
    }
}

impl From<&SlotEntry> for Place {
    fn from(entry: &SlotEntry) -> Place {
        Place { slot: entry.slot, fingerprint: entry.fingerprint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back() {
        for (slot, prefix) in [(0, 0), (0, 1), (7, 99), (SLOTS - 1, (1 << PREFIX_BITS) - 1)] {
            let place = Place::start(slot).at_prefix(prefix);
            assert!(place.cursor() < 1 << 56);
            assert_eq!(Place::of_cursor(place.cursor()), place);
        }
        assert_eq!(Place::start(SLOTS).cursor(), 0);
        assert_eq!(Place::of_cursor(u64::MAX).slot, SLOTS);
        assert_eq!(Place::of_cursor(1 << 56).slot, SLOTS);
    }

    #[test]
    fn groups_follow_one_another() {
        let place = Place { slot: 3, fingerprint: Fingerprint { hi: (5 << DROPPED_BITS) + 77, lo: 9 } };
        assert_eq!(place.group(), Place::start(3).at_prefix(5));
        assert_eq!(place.next_group(), Place::start(3).at_prefix(6));
        let last = Place { slot: 3, fingerprint: Fingerprint { hi: u64::MAX, lo: 0 } };
        assert_eq!(last.next_group(), Place::start(4));
        // A page that ends in the group where it started gets past it nevertheless.
        assert_eq!(place.group().reached(place), place.next_group());
        assert_eq!(Place::start(3).reached(place), place.group());
    }
}
