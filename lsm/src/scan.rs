//! Scans: rows in the order of their keys, as one version of the tree has them.

use std::cell::RefCell;
use std::rc::Rc;

use reactor::mutants::planted;

use crate::cursor::{Cursor, MemoryCursor, Run, RunCursor};
use crate::fetch::Fetch;
use crate::levels::Levels;
use crate::limits::{LEVELS, SCAN_BYTES_MAX};
use crate::memtable::Memtable;
use crate::merge::Merge;
use crate::ranges::Ranges;
use crate::table::Table;
use crate::types::{Rows, Scan};

/// A scan on its way.
pub(crate) struct Scanner {
    scan: Scan,
    snapshot: u64,
    merge: Merge,
    ranges: Ranges,
    rows: Rows,
    /// The key that was looked at last.
    last: Option<Vec<u8>>,
    /// On the way back: what the newest version of the last key says that was seen so far.
    candidate: Option<(u64, Option<Vec<u8>>)>,
}

impl Scanner {
    pub fn new(
        mut scan: Scan,
        snapshot: u64,
        memtables: impl Iterator<Item = Rc<RefCell<Memtable>>>,
        levels: &Levels,
    ) -> Scanner {
        scan.bytes_max = scan.bytes_max.min(SCAN_BYTES_MAX);
        let mut cursors = Vec::new();
        let mut ranges = Ranges::default();
        let touches = |table: &Table| {
            *table.meta.end > *scan.first && scan.end.as_ref().is_none_or(|end| table.meta.first < *end)
        };
        let within = |all: &Ranges| all.seen_within(&scan.first, scan.end.as_deref(), snapshot);
        for memtable in memtables {
            ranges.merge(within(&memtable.borrow().ranges));
            cursors.push(Cursor::Memory(MemoryCursor::new(memtable)));
        }
        for table in levels.with_ranges_about(&scan.first, scan.end.as_deref()) {
            ranges.merge(within(&table.ranges));
        }
        for level in 0..LEVELS {
            let tables = levels.level(level);
            let run = |run: Run| Cursor::Run(Box::new(RunCursor::new(run)));
            if level == 0 {
                cursors.extend(tables.iter().filter(|t| touches(t)).map(|t| run(Run::from([t.clone()]))));
                continue;
            }
            let next = tables.get(tables.partition_point(|table| table.meta.end <= scan.first));
            if next.is_some_and(|table| touches(table)) {
                cursors.push(run(tables.clone()));
            }
        }
        let merge = match scan.reverse {
            true => Merge::backward(cursors, scan.end.as_deref()),
            false => Merge::forward(cursors, &scan.first),
        };
        Scanner { scan, snapshot, merge, ranges, rows: Rows::default(), last: None, candidate: None }
    }

    /// How many tables it reads from at the same time, at most.
    pub fn sources(&self) -> usize {
        self.merge.sources()
    }

    /// Goes on. None: it lacks blocks.
    pub fn run(&mut self, fetch: &mut Fetch<'_>) -> Option<Rows> {
        let is_over = match self.scan.reverse {
            true => self.go_back(fetch),
            false => self.go_on(fetch),
        };
        is_over.then(|| std::mem::take(&mut self.rows))
    }

    /// Whether it has as many rows as were asked for.
    fn is_full(&self) -> bool {
        self.rows.len() >= self.scan.rows_max || self.rows.bytes() >= self.scan.bytes_max
    }

    fn go_on(&mut self, fetch: &mut Fetch<'_>) -> bool {
        loop {
            if !self.merge.settle(fetch) {
                return false;
            }
            let Some(entry) = self.merge.current() else { return true };
            let (key, version) = (entry.key(), entry.version());
            if self.scan.end.as_ref().is_some_and(|end| *key >= **end) {
                return true;
            }
            // The newest visible version of a key decides.
            if version <= self.snapshot && self.last.as_deref() != Some(key) {
                if let Some(value) = entry.value() {
                    if self.ranges.covering(key, self.snapshot) <= version + u64::from(planted(609)) * 40 {
                        if self.rows.len() >= self.scan.rows_max || self.rows.bytes() >= self.scan.bytes_max {
                            self.rows.more = true;
                            return true;
                        }
                        self.rows.push(key, value);
                    }
                }
                let last = self.last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(key);
            }
            self.merge.advance();
        }
    }

    fn go_back(&mut self, fetch: &mut Fetch<'_>) -> bool {
        loop {
            if !self.merge.settle(fetch) {
                return false;
            }
            let entry = self.merge.current().filter(|entry| *entry.key() >= *self.scan.first);
            let is_same = entry.is_some_and(|entry| self.last.as_deref() == Some(entry.key()));
            if !is_same && !self.take_candidate() {
                self.rows.more = true;
                return true;
            }
            let entry = self.merge.current().filter(|entry| *entry.key() >= *self.scan.first);
            let Some(entry) = entry else { return true };
            if !is_same {
                let last = self.last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(entry.key());
            }
            // Versions come from the oldest to the newest.
            if entry.version() <= self.snapshot {
                self.candidate = Some((entry.version(), entry.value().map(<[u8]>::to_vec)));
            }
            self.merge.advance();
        }
    }

    /// The last key has no more versions: what the newest one says is a row, or none. False: there is no room for it.
    fn take_candidate(&mut self) -> bool {
        if let (Some((version, Some(value))), Some(key)) = (&self.candidate, &self.last) {
            if self.ranges.covering(key, self.snapshot) <= *version {
                if self.is_full() {
                    return false;
                }
                self.rows.push(key, value);
            }
        }
        self.candidate = None;
        true
    }
}
