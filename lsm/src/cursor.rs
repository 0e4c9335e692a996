//! Places in a memtable, or in a run of tables, that go on and back.
//!
//! A cursor over tables may come to a block that is not in memory. Then it is unsettled: it has no entry until [`Cursor::settle`] finds the
//! block there.

use std::cell::RefCell;
use std::rc::Rc;

use crate::block::BlockCursor;
use crate::fetch::Fetch;
use crate::memtable::{Memtable, Place};
use crate::table::{Section, Table};

/// Tables with disjoint keys, in order.
pub(crate) type Run = Rc<[Rc<Table>]>;

/// A cursor over either.
pub(crate) enum Cursor {
    Memory(MemoryCursor),
    Run(Box<RunCursor>),
}

impl Cursor {
    /// Goes to the first entry whose key is this one or above it.
    pub fn seek(&mut self, key: &[u8]) {
        match self {
            Cursor::Memory(cursor) => cursor.seek(key),
            Cursor::Run(cursor) => cursor.seek(key),
        }
    }

    /// Goes to the last entry whose key is below this one; without one, to the last of all.
    pub fn seek_before(&mut self, key: Option<&[u8]>) {
        match self {
            Cursor::Memory(cursor) => cursor.seek_before(key),
            Cursor::Run(cursor) => cursor.seek_before(key),
        }
    }

    /// Loads what it lacks. False: not all of it is there.
    pub fn settle(&mut self, fetch: &mut Fetch<'_>) -> bool {
        match self {
            Cursor::Memory(_) => true,
            Cursor::Run(cursor) => cursor.settle(fetch),
        }
    }

    /// Goes one entry on. False: it is unsettled.
    #[inline]
    pub fn next(&mut self) -> bool {
        match self {
            Cursor::Memory(cursor) => {
                cursor.next();
                true
            }
            Cursor::Run(cursor) => cursor.next(),
        }
    }

    /// Goes one entry back. False: it is unsettled.
    pub fn prev(&mut self) -> bool {
        match self {
            Cursor::Memory(cursor) => {
                cursor.prev();
                true
            }
            Cursor::Run(cursor) => cursor.prev(),
        }
    }

    /// Whether it is at an entry.
    #[inline]
    pub fn is_valid(&self) -> bool {
        match self {
            Cursor::Memory(cursor) => cursor.here.is_some(),
            Cursor::Run(cursor) => cursor.is_valid(),
        }
    }

    #[inline]
    pub fn key(&self) -> &[u8] {
        match self {
            Cursor::Memory(cursor) => &cursor.key,
            Cursor::Run(cursor) => cursor.block.as_ref().map_or(&[], BlockCursor::key),
        }
    }

    #[inline]
    pub fn version(&self) -> u64 {
        match self {
            Cursor::Memory(cursor) => cursor.version,
            Cursor::Run(cursor) => cursor.base + cursor.block.as_ref().map_or(0, BlockCursor::version),
        }
    }

    #[inline]
    pub fn value(&self) -> Option<&[u8]> {
        match self {
            Cursor::Memory(cursor) => cursor.has_value.then_some(&cursor.value),
            Cursor::Run(cursor) => cursor.block.as_ref().and_then(BlockCursor::value),
        }
    }
}

/// A place in a memtable that may grow meanwhile.
pub(crate) struct MemoryCursor {
    memtable: Rc<RefCell<Memtable>>,
    here: Option<Place>,
    changes: u64,
    key: Vec<u8>,
    version: u64,
    value: Vec<u8>,
    has_value: bool,
}

impl MemoryCursor {
    pub fn new(memtable: Rc<RefCell<Memtable>>) -> MemoryCursor {
        MemoryCursor {
            memtable,
            here: None,
            changes: 0,
            key: Vec::new(),
            version: 0,
            value: Vec::new(),
            has_value: false,
        }
    }

    fn go(&mut self, find: impl FnOnce(&Memtable) -> Option<Place>) {
        let memtable = self.memtable.clone();
        let memtable = memtable.borrow();
        self.here = find(&memtable);
        self.changes = memtable.changes();
        if let Some(place) = self.here {
            let (key, version, value) = memtable.at(place);
            self.key.clear();
            self.key.extend_from_slice(key);
            self.version = version;
            self.value.clear();
            self.value.extend_from_slice(value.unwrap_or_default());
            self.has_value = value.is_some();
        }
    }

    fn seek(&mut self, key: &[u8]) {
        self.go(|memtable| memtable.seek(key, u64::MAX));
    }

    fn seek_before(&mut self, key: Option<&[u8]>) {
        self.go(|memtable| key.map_or_else(|| memtable.last(), |key| memtable.seek_before(key)));
    }

    /// Where it stands, although entries may have been added in front of it.
    fn place(&self, memtable: &Memtable) -> Option<Place> {
        match memtable.changes() == self.changes {
            true => self.here,
            false => self.here.and_then(|_| memtable.seek(&self.key, self.version)),
        }
    }

    fn next(&mut self) {
        let memtable = self.memtable.clone();
        let place = self.place(&memtable.borrow());
        self.go(|memtable| memtable.next(place?));
    }

    fn prev(&mut self) {
        let memtable = self.memtable.clone();
        let place = self.place(&memtable.borrow());
        self.go(|memtable| memtable.prev(place?));
    }
}

/// What is to be done in a block once it is there.
#[derive(Clone, Debug)]
enum Goal {
    /// The first entry of this key or above it.
    At(Box<[u8]>),
    /// The last entry below this key.
    Before(Box<[u8]>),
    First,
    Last,
}

/// Where a block is: of which table, section and place in it. The place is unknown until the section is there.
#[derive(Clone, Copy, Debug)]
struct Spot {
    table: usize,
    section: usize,
    block: Option<usize>,
}

/// A place in a run of tables.
pub(crate) struct RunCursor {
    run: Run,
    spot: Option<Spot>,
    section: Option<(usize, usize, Rc<Section>)>,
    block: Option<BlockCursor>,
    /// What is added to the versions of the table.
    base: u64,
    /// Not settled yet.
    goal: Option<Goal>,
}

impl RunCursor {
    pub fn new(run: Run) -> RunCursor {
        RunCursor { run, spot: None, section: None, block: None, base: 0, goal: None }
    }

    fn is_valid(&self) -> bool {
        self.goal.is_none() && self.spot.is_some() && self.block.as_ref().is_some_and(BlockCursor::is_valid)
    }

    fn seek(&mut self, key: &[u8]) {
        let table = self.run.partition_point(|table| *table.meta.end <= *key);
        self.go_on_from(table, |table| table.section_of(key).map(|section| (section, Goal::At(key.into()))));
    }

    /// The first table from this one on that has a place for it, else the first section of one.
    fn go_on_from(&mut self, table: usize, find: impl FnOnce(&Table) -> Option<(usize, Goal)>) {
        (self.spot, self.goal) = (None, None);
        let Some(first) = self.run.get(table) else { return };
        if let Some((section, goal)) = find(first) {
            self.spot = Some(Spot { table, section, block: None });
            self.goal = Some(goal);
            return;
        }
        // A table may have nothing but range deletions.
        let next = (table + 1..self.run.len()).find(|table| !self.run[*table].sections.is_empty());
        if let Some(table) = next {
            self.spot = Some(Spot { table, section: 0, block: Some(0) });
            self.goal = Some(Goal::First);
        }
    }

    fn seek_before(&mut self, key: Option<&[u8]>) {
        (self.spot, self.goal) = (None, None);
        let end = match key {
            Some(key) => self.run.partition_point(|table| *table.meta.first < *key),
            None => self.run.len(),
        };
        let Some(table) = (0..end).rev().find(|table| !self.run[*table].sections.is_empty()) else { return };
        let sections = self.run[table].sections.len();
        let (section, goal) = match key.map(|key| (key, self.run[table].section_of(key))) {
            Some((key, Some(section))) => (section, Goal::Before(key.into())),
            _ => (sections - 1, Goal::Last),
        };
        self.spot = Some(Spot { table, section, block: None });
        self.goal = Some(goal);
    }

    fn settle(&mut self, fetch: &mut Fetch<'_>) -> bool {
        while let (Some(goal), Some(spot)) = (&self.goal, &mut self.spot) {
            let table = &self.run[spot.table];
            let known = self.section.as_ref().filter(|(t, s, _)| (*t, *s) == (spot.table, spot.section));
            let section = match known {
                Some((_, _, section)) => section.clone(),
                None => {
                    let Some(section) = fetch.section(table, spot.section) else { return false };
                    self.section = Some((spot.table, spot.section, section.clone()));
                    section
                }
            };
            let last = section.blocks() - 1;
            let index = *spot.block.get_or_insert_with(|| match goal {
                Goal::At(key) | Goal::Before(key) => section.block_of(key),
                Goal::First => 0,
                Goal::Last => last,
            });
            let Some(block) = fetch.data(table, spot.section, &section, index) else { return false };
            let cursor = match &mut self.block {
                Some(cursor) => {
                    cursor.renew(block);
                    cursor
                }
                none => none.insert(BlockCursor::new(block)),
            };
            match goal {
                Goal::At(key) => cursor.seek(key),
                Goal::Before(key) => cursor.seek_before(key),
                Goal::First => cursor.first(),
                Goal::Last => cursor.last(),
            }
            self.base = table.meta.base;
            let (is_there, goes_back) = (cursor.is_valid(), matches!(goal, Goal::Before(_) | Goal::Last));
            self.goal = None;
            match (is_there, goes_back) {
                (true, _) => {}
                (false, true) => self.block_before(),
                (false, false) => self.block_behind(),
            }
        }
        true
    }

    /// On to the block behind this one.
    fn block_behind(&mut self) {
        let Some(spot) = &mut self.spot else { return };
        let blocks = self.section.as_ref().map_or(0, |(_, _, section)| section.blocks());
        let block = spot.block.map_or(0, |block| block + 1);
        if block < blocks {
            spot.block = Some(block);
        } else if spot.section + 1 < self.run[spot.table].sections.len() {
            *spot = Spot { section: spot.section + 1, block: Some(0), ..*spot };
        } else {
            let table = spot.table;
            return self.go_on_from(table, |_| None);
        }
        self.goal = Some(Goal::First);
    }

    /// Back to the block before this one.
    fn block_before(&mut self) {
        let Some(spot) = &mut self.spot else { return };
        if let Some(block) = spot.block.and_then(|block| block.checked_sub(1)) {
            spot.block = Some(block);
        } else if let Some(section) = spot.section.checked_sub(1) {
            *spot = Spot { section, block: None, ..*spot };
        } else {
            let before = (0..spot.table).rev().find(|table| !self.run[*table].sections.is_empty());
            let Some(table) = before else {
                self.spot = None;
                return;
            };
            *spot = Spot { table, section: self.run[table].sections.len() - 1, block: None };
        }
        self.goal = Some(Goal::Last);
    }

    #[inline]
    fn next(&mut self) -> bool {
        if let Some(block) = &mut self.block {
            block.next();
            if block.is_valid() {
                return true;
            }
            self.block_behind();
        }
        self.goal.is_none()
    }

    fn prev(&mut self) -> bool {
        if let Some(block) = &mut self.block {
            block.prev();
            if block.is_valid() {
                return true;
            }
            self.block_before();
        }
        self.goal.is_none()
    }
}
