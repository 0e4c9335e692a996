//! Many sorted sources as one.
//!
//! The cursors that have an entry are kept in order of their entries. A source usually goes on being the first for a while: then going on
//! costs one comparison.

use std::cmp::Ordering;

use crate::cursor::Cursor;
use crate::fetch::Fetch;

/// The entries of all sources: by key, and those of one key from the newest version to the oldest; or all of that the other way round.
pub(crate) struct Merge {
    cursors: Vec<Cursor>,
    /// Those with an entry, the next one first.
    order: Vec<u32>,
    /// Those that lack a block.
    unsettled: Vec<u32>,
    reverse: bool,
}

impl Merge {
    /// From `first` on, or from the start.
    pub fn forward(mut cursors: Vec<Cursor>, first: &[u8]) -> Merge {
        cursors.iter_mut().for_each(|cursor| cursor.seek(first));
        Merge::of(cursors, false)
    }

    /// Back from below `end`, or from the end.
    pub fn backward(mut cursors: Vec<Cursor>, end: Option<&[u8]>) -> Merge {
        cursors.iter_mut().for_each(|cursor| cursor.seek_before(end));
        Merge::of(cursors, true)
    }

    /// How many sources there are.
    pub fn sources(&self) -> usize {
        self.cursors.len()
    }

    fn of(cursors: Vec<Cursor>, reverse: bool) -> Merge {
        let unsettled = (0..cursors.len() as u32).collect();
        Merge { cursors, order: Vec::new(), unsettled, reverse }
    }

    /// Loads what the sources lack. False: not all of it is there, and what is first is not known.
    #[inline]
    pub fn settle(&mut self, fetch: &mut Fetch<'_>) -> bool {
        self.unsettled.is_empty() || self.settle_all(fetch)
    }

    fn settle_all(&mut self, fetch: &mut Fetch<'_>) -> bool {
        let mut left = Vec::new();
        for place in std::mem::take(&mut self.unsettled) {
            let cursor = &mut self.cursors[place as usize];
            if !cursor.settle(fetch) {
                left.push(place);
            } else if cursor.is_valid() {
                let at = self.order.partition_point(|other| self.compare(*other, place) == Ordering::Less);
                self.order.insert(at, place);
            }
        }
        self.unsettled = left;
        self.unsettled.is_empty()
    }

    /// How the entries of two cursors are ordered. No two entries of a key have the same version.
    fn compare(&self, a: u32, b: u32) -> Ordering {
        let (a, b) = (&self.cursors[a as usize], &self.cursors[b as usize]);
        let order = a.key().cmp(b.key()).then_with(|| b.version().cmp(&a.version()));
        if self.reverse {
            order.reverse()
        } else {
            order
        }
    }

    /// The first of the sources. To be asked when all is settled.
    #[inline]
    pub fn current(&self) -> Option<&Cursor> {
        self.order.first().map(|place| &self.cursors[*place as usize])
    }

    /// Goes on to the next entry, of whatever source.
    #[inline]
    pub fn advance(&mut self) {
        let Some(place) = self.order.first().copied() else { return };
        let cursor = &mut self.cursors[place as usize];
        let is_settled = if self.reverse { cursor.prev() } else { cursor.next() };
        if !is_settled {
            self.order.remove(0);
            self.unsettled.push(place);
        } else if !cursor.is_valid() {
            self.order.remove(0);
        } else if let Some(second) = self.order.get(1).copied() {
            if self.compare(place, second) != Ordering::Less {
                let rest = &self.order[1..];
                let at = rest.partition_point(|other| self.compare(*other, place) == Ordering::Less);
                self.order.copy_within(1..=at, 0);
                self.order[at] = place;
            }
        }
    }
}
