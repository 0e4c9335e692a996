//! Which compaction comes next: a pure function of the tree's shape.
//!
//! Levelled: the last level holds nearly everything, each level above it a tenth of the one below, and level 0 what was flushed. How large
//! levels may be is reckoned from the last one upwards, so that upper levels never hold more than a ninth of it: that bounds the space that
//! overwritten rows take. (This is what RocksDB calls dynamic level sizes.) The first level below level 0 that is used is the *base*.
//!
//! The level that is furthest above its target goes next; of its tables the one that has the least to rewrite below it.

use std::collections::BTreeSet;

use reactor::mutants::planted;

use crate::limits::LEVELS;
use crate::table::TableMeta;

/// Sides of tables that cannot be had that are looked at for a compaction of level 0: it is looked for often.
const SIDES_MAX: usize = 64;

/// How levels grow.
#[derive(Clone, Copy, Debug)]
pub struct LevelOptions {
    /// Tables of level 0 that start a compaction.
    pub first_tables: usize,
    /// Bytes that the base level may have.
    pub base_bytes: u64,
    /// How many times larger each level is than the one above it.
    pub factor: u64,
}

impl Default for LevelOptions {
    fn default() -> LevelOptions {
        LevelOptions { first_tables: 6, base_bytes: 1 << 30, factor: 10 }
    }
}

/// The tree, as far as the choice goes.
#[derive(Clone, Debug)]
pub(crate) struct Shape<'a> {
    /// The tables of each level, sorted below level 0.
    pub levels: Vec<Vec<&'a TableMeta>>,
    /// Tables that are being compacted, or cannot be read.
    pub busy: &'a BTreeSet<u64>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Nothing,
    /// The table has nothing to merge with below: it goes there as it is.
    Move {
        from: usize,
        table: u64,
        to: usize,
    },
    /// These become a sorted run of a level.
    Merge {
        inputs: Vec<(usize, u64)>,
        to: usize,
    },
}

/// What each level may hold, in bytes, and which one is the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Targets {
    pub base: usize,
    pub bytes: [u64; LEVELS],
}

impl Shape<'_> {
    fn bytes(&self, level: usize) -> u64 {
        self.levels[level].iter().map(|table| table.bytes).sum()
    }

    /// What each level may hold.
    pub fn targets(&self, options: &LevelOptions) -> Targets {
        let last = LEVELS - 1;
        let mut targets = Targets { base: last, bytes: [0; LEVELS] };
        // A level that is on its way down counts for the one that it is on its way to.
        let largest = (1..LEVELS).map(|level| self.bytes(level)).max().unwrap_or(0);
        let mut bytes = largest.max(options.base_bytes);
        targets.bytes[last] = u64::MAX;
        while bytes > options.base_bytes && targets.base > 1 {
            bytes /= options.factor;
            targets.base -= 1;
            targets.bytes[targets.base] = bytes.max(options.base_bytes / options.factor);
        }
        targets
    }

    fn overlapping(&self, level: usize, first: &[u8], end: &[u8]) -> Vec<&TableMeta> {
        let tables = &self.levels[level];
        let is_about = |table: &&TableMeta| table.overlaps(first, end);
        match level {
            0 => tables.iter().copied().filter(is_about).collect(),
            _ => {
                let from = tables.partition_point(|table| *table.end <= *first);
                tables[from..].iter().copied().take_while(is_about).collect()
            }
        }
    }

    fn is_free(&self, tables: &[&TableMeta]) -> bool {
        tables.iter().all(|table| !self.busy.contains(&table.id))
    }

    /// The tables of level 0 that may go down, of those that lie within the given keys: none may pass an older one that stays and has keys of
    /// its range.
    fn may_go(&self, first: Option<&[u8]>, end: Option<&[u8]>) -> Vec<&TableMeta> {
        let (mut go, mut stay): (Vec<&TableMeta>, Vec<&TableMeta>) = (Vec::new(), Vec::new());
        for table in self.levels[0].iter().rev() {
            let is_within =
                first.is_none_or(|first| *first <= *table.first) && end.is_none_or(|end| *table.end <= *end);
            let passes = stay.iter().any(|other| other.overlaps(&table.first, &table.end));
            match is_within && !passes && !self.busy.contains(&table.id) {
                true => go.push(table),
                false => stay.push(table),
            }
        }
        go.reverse();
        go
    }

    /// What a compaction of level 0 would be. Where a part of the level below cannot be had, it is about what lies to one side of that.
    fn merge_first(&self, base: usize) -> Option<Choice> {
        let all = self.may_go(None, None);
        if let Some(choice) = self.merge_these(&all, base) {
            return Some(choice);
        }
        let barriers: Vec<&TableMeta> = (0..=base)
            .flat_map(|level| &self.levels[level])
            .copied()
            .filter(|t| self.busy.contains(&t.id))
            .collect();
        let sides =
            barriers.iter().flat_map(|table| [(None, Some(&*table.first)), (Some(&*table.end), None)]);
        let mut sides: Vec<Vec<&TableMeta>> =
            sides.take(SIDES_MAX).map(|(first, end)| self.may_go(first, end)).collect();
        sides.sort_by_key(|tables| std::cmp::Reverse(tables.iter().map(|table| table.bytes).sum::<u64>()));
        sides.iter().find_map(|tables| self.merge_these(tables, base))
    }

    /// These tables of level 0 go down. None: there are none, or what they have to be merged with cannot be had.
    fn merge_these(&self, tables: &[&TableMeta], to: usize) -> Option<Choice> {
        let first = tables.iter().map(|table| &table.first).min()?;
        let end = tables.iter().map(|table| &table.end).max()?;
        // Levels that are passed over must have nothing of the keys.
        let to = (1..to).find(|level| !self.overlapping(*level, first, end).is_empty()).unwrap_or(to);
        let below = self.overlapping(to, first, end);
        // What is busy in level 0 may be on its way to where the outputs are going to be.
        if !self.is_free(&below) || self.overlapping(0, first, end).iter().any(|t| self.busy.contains(&t.id))
        {
            return None;
        }
        // Where keys ascend, as times do, tables overlap nothing, and are not rewritten.
        let is_alone = |table: &&&TableMeta| {
            let others = |level: usize| self.overlapping(level, &table.first, &table.end).len();
            others(0) == 1 && (others(to) == 0 || planted(612))
        };
        if let Some(table) = tables.iter().rev().find(is_alone) {
            return Some(Choice::Move { from: 0, table: table.id, to });
        }
        let inputs = tables.iter().map(|table| (0, table.id)).chain(below.iter().map(|table| (to, table.id)));
        Some(Choice::Merge { inputs: inputs.collect(), to })
    }

    /// The table of a level that has the least to rewrite below it, and what that is.
    fn merge_one(&self, level: usize, to: usize) -> Option<Choice> {
        let weigh = |table: &&TableMeta| {
            let below = self.overlapping(to, &table.first, &table.end);
            let is_free = self.is_free(&[table]) && self.is_free(&below);
            let bytes: u64 = below.iter().map(|table| table.bytes).sum();
            // In thousandths, so that the choice does not hang on how floats are rounded.
            is_free.then(|| (bytes.saturating_mul(1_000) / table.bytes.max(1), table.id))
        };
        let tables = self.levels[level].iter().copied();
        let (_, id) = tables.clone().filter_map(|table| weigh(&table)).min()?;
        let table = tables.clone().find(|table| table.id == id)?;
        let below = self.overlapping(to, &table.first, &table.end);
        if below.is_empty() {
            return Some(Choice::Move { from: level, table: id, to });
        }
        let inputs = std::iter::once((level, id)).chain(below.iter().map(|table| (to, table.id)));
        Some(Choice::Merge { inputs: inputs.collect(), to })
    }
}

/// Chooses. `first`: whether level 0 may be compacted now; `others`: whether another one may.
pub(crate) fn choose(shape: &Shape<'_>, options: &LevelOptions, first: bool, others: bool) -> Choice {
    let targets = shape.targets(options);
    // Each level's size against what it may be, in thousandths.
    let mut scores: Vec<(u64, usize)> = Vec::new();
    if first {
        scores.push((shape.levels[0].len() as u64 * 1_000 / options.first_tables.max(1) as u64, 0));
    }
    if others {
        for level in 1..LEVELS - 1 {
            let free = shape.levels[level].iter().filter(|table| !shape.busy.contains(&table.id));
            let bytes: u64 = free.map(|table| table.bytes).sum();
            let score = match targets.bytes[level] {
                // Above the base nothing stays.
                0 if bytes > 0 => u64::MAX,
                target => bytes.saturating_mul(1_000) / target.max(1),
            };
            scores.push((score, level));
        }
    }
    scores.sort_by_key(|(score, level)| (std::cmp::Reverse(*score), *level));
    for (_, level) in scores.into_iter().take_while(|(score, _)| *score >= 1_000) {
        let choice = match level {
            0 => shape.merge_first(targets.base),
            _ => shape.merge_one(level, level + 1),
        };
        if let Some(choice) = choice {
            return choice;
        }
    }
    Choice::Nothing
}

/// Bytes that compaction has yet to move until every level is within its target: what the writer is ahead by.
pub(crate) fn debt(shape: &Shape<'_>, options: &LevelOptions) -> u64 {
    let targets = shape.targets(options);
    let first = match shape.levels[0].len() >= options.first_tables {
        true => shape.bytes(0) + shape.bytes(targets.base).min(options.base_bytes * options.factor),
        false => 0,
    };
    let over = |level: usize| shape.bytes(level).saturating_sub(targets.bytes[level]);
    // What goes down takes its part of the level below along.
    first + (1..LEVELS - 1).map(|level| over(level).saturating_mul(options.factor / 2 + 1)).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: LevelOptions = LevelOptions { first_tables: 4, base_bytes: 100, factor: 10 };

    /// Level, number, bytes, first key, end.
    type Row = (usize, u64, u64, u8, u8);

    fn metas(rows: &[Row]) -> Vec<(usize, TableMeta)> {
        let meta = |&(level, id, bytes, first, end): &Row| {
            (level, TableMeta { id, bytes, first: [first].into(), end: [end].into(), ..TableMeta::default() })
        };
        rows.iter().map(meta).collect()
    }

    fn with<T>(rows: &[Row], busy: &[u64], ask: impl FnOnce(&Shape<'_>) -> T) -> T {
        let mut metas = metas(rows);
        metas.sort_by(|(a, one), (b, two)| {
            (a, (*a > 0).then_some(&one.first)).cmp(&(b, (*b > 0).then_some(&two.first)))
        });
        let busy = busy.iter().copied().collect();
        let of =
            |level: usize| metas.iter().filter(move |(l, _)| *l == level).map(|(_, meta)| meta).collect();
        ask(&Shape { levels: (0..LEVELS).map(of).collect(), busy: &busy })
    }

    fn chosen(rows: &[Row], busy: &[u64]) -> Choice {
        with(rows, busy, |shape| choose(shape, &OPTIONS, true, true))
    }

    #[test]
    fn targets_follow_the_largest_level() {
        for (last, base) in
            [(0, 6), (100, 6), (101, 5), (1_000, 5), (1_009, 5), (1_010, 4), (100_000, 3), (u64::MAX / 4, 1)]
        {
            let targets = with(&[(6, 1, last, 0, 9)], &[], |shape| shape.targets(&OPTIONS));
            assert_eq!(targets.base, base, "{last}");
            assert!(targets.bytes[1..base].iter().all(|bytes| *bytes == 0));
        }
        let targets = with(&[(6, 1, 5_000, 0, 9)], &[], |shape| shape.targets(&OPTIONS));
        assert_eq!(targets.bytes, [0, 0, 0, 0, 50, 500, u64::MAX]);
    }

    #[test]
    fn little_is_left_alone() {
        assert_eq!(chosen(&[], &[]), Choice::Nothing);
        assert_eq!(
            chosen(&[(0, 1, 10, 0, 9), (0, 2, 10, 0, 9), (0, 3, 10, 0, 9), (6, 4, 90, 0, 9)], &[]),
            Choice::Nothing
        );
    }

    #[test]
    fn what_was_flushed_goes_to_the_base() {
        let first: Vec<Row> = (1..=4).map(|id| (0, id, 10, id as u8, 9)).collect();
        let inputs: Vec<(usize, u64)> = (1..=4).map(|id| (0, id)).collect();
        assert_eq!(chosen(&first, &[]), Choice::Merge { inputs: inputs.clone(), to: 6 });
        let mut all = first.clone();
        all.extend([(6, 5, 50, 0, 2), (6, 6, 20, 9, 10), (6, 7, 20, 5, 6)]);
        let expected = inputs.iter().copied().chain([(6, 5), (6, 7)]).collect();
        assert_eq!(chosen(&all, &[]), Choice::Merge { inputs: expected, to: 6 });
        assert_eq!(chosen(&all, &[7]), Choice::Nothing, "what it would have to merge with is being merged");
        assert_eq!(chosen(&all, &[2]), Choice::Nothing);
        // Nor is what overlaps nothing rewritten.
        let alone: Vec<Row> = (1..=4).map(|id| (0, id, 10, id as u8, id as u8 + 1)).collect();
        assert_eq!(chosen(&alone, &[]), Choice::Move { from: 0, table: 4, to: 6 });
        // A level above the base that is not empty yet is not jumped over.
        all.push((4, 8, 1, 3, 4));
        let expected = inputs.iter().copied().chain([(4, 8)]).collect();
        let only_first = with(&all, &[], |shape| choose(shape, &OPTIONS, true, false));
        assert_eq!(only_first, Choice::Merge { inputs: expected, to: 4 });
    }

    #[test]
    fn what_cannot_be_had_holds_up_no_more_than_it_must() {
        let rows = [
            (0, 1, 10, 0, 3),
            (0, 2, 10, 1, 9),
            (0, 3, 10, 6, 8),
            (0, 4, 10, 0, 2),
            (6, 5, 30, 0, 3),
            (6, 6, 30, 4, 5),
            (6, 7, 30, 6, 9),
        ];
        let merge = |first: &[u64], last: &[u64]| {
            let inputs = first.iter().map(|id| (0, *id)).chain(last.iter().map(|id| (6, *id)));
            Choice::Merge { inputs: inputs.collect(), to: 6 }
        };
        assert_eq!(chosen(&rows, &[]), merge(&[1, 2, 3, 4], &[5, 6, 7]));
        assert_eq!(chosen(&rows, &[6]), merge(&[4], &[5]), "the newest one would pass the second");
        assert_eq!(chosen(&rows, &[5, 6]), merge(&[3], &[7]));
        assert_eq!(chosen(&rows, &[5, 6, 7]), Choice::Nothing);
        assert_eq!(chosen(&rows, &[3]), merge(&[4], &[5]), "newer ones do not pass it");
    }

    #[test]
    fn the_fullest_level_goes_first_with_the_cheapest_table() {
        let rows = [
            (5, 1, 300, 0, 3),
            (5, 2, 300, 3, 6),
            (5, 3, 300, 6, 9),
            (6, 4, 2_000, 0, 3),
            (6, 5, 1_000, 3, 6),
            (6, 6, 2_000, 6, 9),
        ];
        assert_eq!(chosen(&rows, &[]), Choice::Merge { inputs: vec![(5, 2), (6, 5)], to: 6 });
        assert_eq!(chosen(&rows, &[5]), Choice::Merge { inputs: vec![(5, 1), (6, 4)], to: 6 });
        assert_eq!(chosen(&rows[..5], &[]), Choice::Move { from: 5, table: 3, to: 6 });
        let debt = with(&rows, &[], |shape| debt(shape, &OPTIONS));
        assert_eq!(debt, (900 - 500) * 6);
    }

    #[test]
    fn nothing_stays_above_the_base() {
        let rows = [(2, 1, 1, 0, 9), (6, 2, 1_000, 0, 9)];
        assert_eq!(chosen(&rows, &[]), Choice::Move { from: 2, table: 1, to: 3 });
    }
}
