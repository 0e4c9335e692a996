//! Flushing: a memtable becomes a table of level 0.

use std::cell::RefCell;
use std::rc::Rc;

use crate::job::{Progress, Tables};
use crate::memtable::{Memtable, Place};
use crate::stripes::Stripes;

/// A memtable on its way into a table.
pub(crate) struct Flush {
    pub memtable: Rc<RefCell<Memtable>>,
    /// The newest version in it.
    pub flushed_to: u64,
    place: Option<Place>,
    stripes: Stripes,
}

impl Flush {
    pub fn new(memtable: Rc<RefCell<Memtable>>, flushed_to: u64, snapshots: Vec<u64>) -> Flush {
        let place = memtable.borrow().first();
        Flush { memtable, flushed_to, place, stripes: Stripes::new(snapshots) }
    }

    /// Adds entries, about so many bytes.
    pub fn fill(&mut self, tables: &mut Tables, bytes: u64) -> Progress {
        let memtable = self.memtable.clone();
        let memtable = memtable.borrow();
        let mut added = 0;
        while let Some(place) = self.place {
            if added >= bytes || !tables.has_room() {
                tables.bytes += added;
                return Progress::Waits;
            }
            let (key, version, value) = memtable.at(place);
            added += (key.len() + value.map_or(0, <[u8]>::len) + 16) as u64;
            if self.stripes.is_seen(key, version, memtable.ranges.covering(key, self.stripes.end_of(version)))
            {
                let sink = tables.current();
                sink.builder.add(key, version, value);
                sink.gather();
            }
            self.place = memtable.next(place);
        }
        tables.bytes += added;
        let mut ranges = memtable.ranges.clone();
        ranges.thin_out(self.stripes.snapshots(), |_, _| true);
        tables.end(ranges);
        Progress::Over
    }
}
