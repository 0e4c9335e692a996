//! Looking up one key: the sources from the newest to the oldest, until one has something to say about it.

use std::cell::RefCell;
use std::rc::Rc;

use reactor::mutants::planted;

use crate::block::BlockCursor;
use crate::fetch::Fetch;
use crate::levels::Levels;
use crate::limits::LEVELS;
use crate::memtable::Memtable;
use crate::table::Table;
use crate::types::Value;

/// A key on its way through the tables.
#[derive(Debug)]
pub(crate) struct Lookup {
    key: Box<[u8]>,
    hash: u64,
    snapshot: u64,
    levels: Rc<Levels>,
    /// Level and table that come next.
    at: (usize, usize),
}

impl Lookup {
    /// A key and its hash, from this level and table on.
    pub fn new((key, hash): (&[u8], u64), snapshot: u64, levels: Rc<Levels>, at: (usize, usize)) -> Lookup {
        Lookup { key: key.into(), hash, snapshot, levels, at }
    }

    /// Goes on. None: it lacks a block.
    pub fn run(&mut self, fetch: &mut Fetch<'_>) -> Option<Option<Value>> {
        in_tables(&self.levels, (&self.key, self.hash), self.snapshot, &mut self.at, fetch)
    }
}

/// What a memtable says of a key. None: nothing.
pub(crate) fn in_memtable(memtable: &RefCell<Memtable>, key: &[u8], snapshot: u64) -> Option<Option<Value>> {
    let memtable = memtable.borrow();
    let covering = memtable.ranges.covering(key, snapshot);
    let entry =
        memtable.seek(key, snapshot).map(|place| memtable.at(place)).filter(|(other, ..)| *other == key);
    match entry {
        Some((_, version, value)) if version > covering => Some(value.map(Value::own)),
        _ => (covering > 0).then_some(None),
    }
}

/// What the tables say of a key and its hash, from the place `at` on. None: a block is lacking, and `at` is the table that lacks it.
pub(crate) fn in_tables(
    levels: &Levels,
    key: (&[u8], u64),
    snapshot: u64,
    at: &mut (usize, usize),
    fetch: &mut Fetch<'_>,
) -> Option<Option<Value>> {
    let first = levels.level(0);
    while at.0 == 0 {
        let place = if planted(615) { first.len().wrapping_sub(at.1 + 1) } else { at.1 };
        let Some(table) = first.get(place) else {
            *at = (1, 0);
            break;
        };
        if let Some(said) = in_table(table, key, snapshot, fetch)? {
            return Some(said);
        }
        at.1 += 1;
    }
    while at.0 < LEVELS {
        if let Some(table) = levels.table_of(at.0, key.0) {
            if let Some(said) = in_table(table, key, snapshot, fetch)? {
                return Some(said);
            }
        }
        at.0 += 1;
    }
    Some(None)
}

/// What a table says. None: a block is lacking; within: nothing.
fn in_table(
    table: &Rc<Table>,
    (key, hash): (&[u8], u64),
    snapshot: u64,
    fetch: &mut Fetch<'_>,
) -> Option<Option<Option<Value>>> {
    if *key < *table.meta.first || *key >= *table.meta.end {
        return Some(None);
    }
    let covering = if planted(608) { 0 } else { table.ranges.covering(key, snapshot) };
    if let Some(index) = table.section_of(key) {
        let section = fetch.section(table, index)?;
        if section.may_have(hash) {
            let block = fetch.data(table, index, &section, section.block_of(key))?;
            let mut cursor = BlockCursor::new(block);
            cursor.seek(key);
            while cursor.is_valid() && cursor.key() == key {
                let version = cursor.version() + table.meta.base;
                if version <= snapshot {
                    // Equal only where both are 0.
                    let is_there = version >= covering;
                    let value = || cursor.value_part().map(|(block, part)| Value::part(block, part));
                    return Some(Some(if is_there { value() } else { None }));
                }
                cursor.next();
            }
        }
    }
    Some((covering > 0).then_some(None))
}
