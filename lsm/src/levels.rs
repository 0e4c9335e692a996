//! The shape of the tree: which tables lie in which level.
//!
//! Tables of level 0 were memtables, or were taken in whole, and may overlap; the newest comes first. Each level below it is one sorted run,
//! and everything in it is older than what the levels above have of the same key.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::cursor::Run;
use crate::limits::LEVELS;
use crate::manifest::Edit;
use crate::table::Table;

/// The levels at one time. Never changed: readers hold on to the one that they began with.
#[derive(Clone, Debug)]
pub(crate) struct Levels {
    levels: Vec<Run>,
    /// Those of the tables that have range deletions, which are few, level by level: whoever scans looks at them alone.
    with_ranges: Vec<Run>,
}

impl Default for Levels {
    fn default() -> Levels {
        let none: Vec<Run> = (0..LEVELS).map(|_| Run::from([])).collect();
        Levels { levels: none.clone(), with_ranges: none }
    }
}

impl Levels {
    /// The tables of a level.
    pub fn level(&self, level: usize) -> &Run {
        &self.levels[level]
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Rc<Table>)> {
        self.levels.iter().enumerate().flat_map(|(level, run)| run.iter().map(move |table| (level, table)))
    }

    /// The tables of a level that have range deletions.
    pub fn with_ranges(&self, level: usize) -> &Run {
        &self.with_ranges[level]
    }

    /// The tables with range deletions that have keys from `first` on and below `end`.
    pub fn with_ranges_about<'a>(
        &'a self,
        first: &'a [u8],
        end: Option<&'a [u8]>,
    ) -> impl Iterator<Item = &'a Rc<Table>> {
        self.with_ranges.iter().enumerate().flat_map(move |(level, run)| {
            // Tables of level 0 are in no order of keys.
            let from = if level == 0 { 0 } else { run.partition_point(|table| *table.meta.end <= *first) };
            let is_below = move |table: &Rc<Table>| end.is_none_or(|end| *table.meta.first < *end);
            let tables = run[from..].iter().take_while(move |table| level == 0 || is_below(table));
            tables.filter(move |table| *table.meta.end > *first && is_below(table))
        })
    }

    /// Whether a table is part of the tree.
    pub fn has(&self, table: &Rc<Table>) -> bool {
        self.levels.iter().flat_map(|run| run.iter()).any(|other| Rc::ptr_eq(other, table))
    }

    /// The table of a level below the first that has the key, if any has.
    #[inline]
    pub fn table_of(&self, level: usize, key: &[u8]) -> Option<&Rc<Table>> {
        let run = &self.levels[level];
        let at = run.partition_point(|table| *table.meta.end <= *key);
        run.get(at).filter(|table| *table.meta.first <= *key)
    }

    /// Bytes of the tables of a level.
    pub fn bytes(&self, level: usize) -> u64 {
        self.levels[level].iter().map(|table| table.meta.bytes).sum()
    }

    /// The deepest level that a new table of these keys may go to: nothing that it hides lies there or above. None: only the first.
    pub fn free_level(&self, first: &[u8], end: &[u8]) -> Option<usize> {
        let is_free =
            |level: &usize| !self.levels[*level].iter().any(|table| table.meta.overlaps(first, end));
        (0..LEVELS).take_while(is_free).last().filter(|level| *level > 0)
    }

    /// The levels after an edit. `tables`: those that it adds, opened.
    pub fn edited(&self, edit: &Edit, tables: &[Rc<Table>]) -> Levels {
        let mut levels: Vec<Vec<Rc<Table>>> = self.levels.iter().map(|run| run.to_vec()).collect();
        let removed: BTreeSet<(u8, u64)> = edit.removed.iter().copied().collect();
        for (level, tables) in levels.iter_mut().enumerate() {
            let of_level = (level as u8, 0)..=(level as u8, u64::MAX);
            let (before, goes) = (tables.len(), removed.range(of_level).count());
            if goes > 0 {
                tables.retain(|table| !removed.contains(&(level as u8, table.meta.id)));
            }
            assert!(tables.len() + goes == before, "what is removed is there");
        }
        let open: BTreeMap<u64, &Rc<Table>> = tables.iter().map(|table| (table.meta.id, table)).collect();
        for (level, meta) in &edit.added {
            let table = *open.get(&meta.id).expect("an added table is open");
            levels[usize::from(*level)].push(table.clone());
        }
        for (level, tables) in levels.iter_mut().enumerate() {
            match level {
                0 => tables.sort_by_key(|table| std::cmp::Reverse((table.meta.newest, table.meta.id))),
                _ => tables.sort_by(|a, b| a.meta.first.cmp(&b.meta.first)),
            }
            let is_run = tables.windows(2).all(|pair| pair[0].meta.end <= pair[1].meta.first);
            assert!(level == 0 || is_run, "tables of a level have keys of their own");
        }
        let with_ranges = |tables: &Vec<Rc<Table>>| {
            tables.iter().filter(|table| !table.ranges.is_empty()).cloned().collect::<Run>()
        };
        let with_ranges = levels.iter().map(with_ranges).collect();
        Levels { levels: levels.into_iter().map(Run::from).collect(), with_ranges }
    }
}
