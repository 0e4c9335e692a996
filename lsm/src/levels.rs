//! The shape of the tree: which tables lie in which level.
//!
//! Tables of level 0 were memtables, or were taken in whole, and may overlap; the newest comes first. Each level below it is one sorted run,
//! and everything in it is older than what the levels above have of the same key.

use std::rc::Rc;

use crate::cursor::Run;
use crate::limits::LEVELS;
use crate::manifest::Edit;
use crate::table::Table;

/// The levels at one time. Never changed: readers hold on to the one that they began with.
#[derive(Clone, Debug)]
pub(crate) struct Levels {
    levels: Vec<Run>,
    /// Those of the tables that have range deletions, which are few: whoever scans looks at them alone.
    with_ranges: Vec<Rc<Table>>,
}

impl Default for Levels {
    fn default() -> Levels {
        Levels { levels: (0..LEVELS).map(|_| Run::from([])).collect(), with_ranges: Vec::new() }
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

    /// The tables that have range deletions.
    pub fn with_ranges(&self) -> &[Rc<Table>] {
        &self.with_ranges
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
        for (level, id) in &edit.removed {
            let tables = &mut levels[usize::from(*level)];
            let before = tables.len();
            tables.retain(|table| table.meta.id != *id);
            assert!(tables.len() + 1 == before, "what is removed is there");
        }
        for (level, meta) in &edit.added {
            let table = tables.iter().find(|table| table.meta.id == meta.id).expect("an added table is open");
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
        let with_ranges = levels.iter().flatten().filter(|table| !table.ranges.is_empty()).cloned().collect();
        Levels { levels: levels.into_iter().map(Run::from).collect(), with_ranges }
    }
}
