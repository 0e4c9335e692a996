//! Compaction: tables of one level and what they overlap in the next become tables of that one.

use std::rc::Rc;

use reactor::mutants::planted;

use crate::cursor::{Cursor, Run, RunCursor};
use crate::fetch::{Fetch, Held, Need};
use crate::job::{Progress, Tables};
use crate::levels::Levels;
use crate::limits::LEVELS;
use crate::merge::Merge;
use crate::ranges::Ranges;
use crate::stripes::Stripes;
use crate::table::Table;

/// How many times its own size a table may overlap in the level below its own, before it ends early: else its own compaction would be
/// a large one.
const OVERLAP_FACTOR: u64 = 10;

/// A merge of tables into a sorted run.
pub(crate) struct Compaction {
    /// Level and number.
    pub inputs: Vec<(u8, u64)>,
    pub to: usize,
    merge: Merge,
    stripes: Stripes,
    /// The range deletions of all inputs.
    ranges: Ranges,
    /// Up to which key the outputs so far reach.
    cut: Option<Box<[u8]>>,
    last_key: Vec<u8>,
    /// Levels below the one that is made.
    below: Vec<Run>,
    table_bytes: u64,
    /// Bytes of the tables below that the output in the making overlaps, and the next one of them.
    overlap_bytes: u64,
    overlap_at: usize,
}

impl Compaction {
    pub fn new(
        levels: &Levels,
        inputs: &[(usize, u64)],
        to: usize,
        snapshots: Vec<u64>,
        table_bytes: u64,
    ) -> Compaction {
        let is_input = |level: usize, table: &Table| inputs.contains(&(level, table.meta.id));
        let mut cursors = Vec::new();
        let mut ranges = Ranges::default();
        for level in 0..LEVELS {
            let tables: Vec<Rc<Table>> =
                levels.level(level).iter().filter(|table| is_input(level, table)).cloned().collect();
            tables.iter().for_each(|table| ranges.merge(table.ranges.clone()));
            let run = |run: Run| Cursor::Run(Box::new(RunCursor::new(run)));
            match level {
                0 => cursors.extend(tables.into_iter().map(|table| run(Run::from([table])))),
                _ if tables.is_empty() => {}
                _ => cursors.push(run(Run::from(tables))),
            }
        }
        let below: Vec<Run> = (to + 1..LEVELS).map(|level| levels.level(level).clone()).collect();
        let stripes = Stripes::new(snapshots);
        Compaction {
            inputs: inputs.iter().map(|(level, id)| (*level as u8, *id)).collect(),
            to,
            merge: Merge::forward(cursors, &[]),
            stripes,
            ranges,
            cut: None,
            last_key: Vec::new(),
            below,
            table_bytes,
            overlap_bytes: 0,
            overlap_at: 0,
        }
    }

    /// How many tables it reads from at the same time.
    pub fn sources(&self) -> usize {
        self.merge.sources()
    }

    /// Whether a level below the one that is made has anything of these keys.
    fn is_below(&self, first: &[u8], end: &[u8]) -> bool {
        self.below.iter().any(|run| {
            let at = run.partition_point(|table| *table.meta.end <= *first);
            run.get(at).is_some_and(|table| *table.meta.first < *end)
        })
    }

    /// Whether a level below has anything of this key.
    fn has_below(&self, key: &[u8]) -> bool {
        self.below.iter().any(|run| {
            let at = run.partition_point(|table| *table.meta.end <= *key);
            run.get(at).is_some_and(|table| *table.meta.first <= *key)
        })
    }

    /// Adds entries, about so many bytes.
    pub fn fill(&mut self, tables: &mut Tables, held: &Held, needs: &mut Vec<Need>, bytes: u64) -> Progress {
        let mut added = 0;
        let progress = loop {
            if !self.merge.settle(&mut Fetch { cache: None, held, needs }) {
                break Progress::Waits;
            }
            let Some(entry) = self.merge.current() else {
                self.end_table(tables, None);
                break Progress::Over;
            };
            if added >= bytes || !tables.has_room() {
                break Progress::More;
            }
            let (key, version, value) = (entry.key(), entry.version(), entry.value());
            added += (key.len() + value.map_or(0, <[u8]>::len) + 16) as u64;
            let covering = self.ranges.covering(key, self.stripes.end_of(version));
            let is_seen = self.stripes.is_seen(key, version, covering);
            let is_oldest = is_seen && self.stripes.is_oldest(version);
            let is_last = is_oldest && (!self.has_below(key) || planted(605));
            // A deletion with nothing below it that it could hide is no more.
            if !is_seen || is_last && value.is_none() {
                self.merge.advance();
                continue;
            }
            let is_new = tables.current.is_some() && *self.last_key != *key;
            if is_new
                && is_full(
                    &self.below,
                    (&mut self.overlap_at, &mut self.overlap_bytes),
                    self.table_bytes,
                    tables,
                    key,
                )
            {
                let cut: Box<[u8]> = key.into();
                self.end_table(tables, Some(cut));
                // The entry comes once more, as the first of the next table.
                self.stripes.forget();
                break Progress::More;
            }
            // Nobody asks any more how old the oldest is, unless a deletion is about, which it survived.
            let version = if is_last && self.ranges.covering(key, u64::MAX) == 0 { 0 } else { version };
            let sink = tables.current();
            sink.builder.add(key, version, value);
            sink.gather();
            self.last_key.clear();
            self.last_key.extend_from_slice(key);
            self.merge.advance();
        };
        tables.bytes += added;
        progress
    }

    /// Ends the table in the making: what is deleted up to `cut` goes with it.
    fn end_table(&mut self, tables: &mut Tables, cut: Option<Box<[u8]>>) {
        let mut ranges = self.ranges.within(self.cut.as_deref(), cut.as_deref());
        let is_oldest = |version| self.stripes.is_oldest(version);
        ranges.thin_out(self.stripes.snapshots(), |version, fragment| {
            (!is_oldest(version) || self.is_below(&fragment.first, &fragment.end)) && !planted(607)
        });
        tables.end(ranges);
        self.cut = cut;
        self.overlap_bytes = 0;
    }
}

/// Whether the table in the making ends before this key. `overlap`: how many tables below lie before it, and the bytes of those that the
/// table overlaps.
fn is_full(
    below: &[Run],
    overlap: (&mut usize, &mut u64),
    table_bytes: u64,
    tables: &mut Tables,
    key: &[u8],
) -> bool {
    let (at, overlap_bytes) = overlap;
    if let Some(run) = below.first() {
        while let Some(table) = run.get(*at).filter(|table| *table.meta.end <= *key) {
            *overlap_bytes += table.meta.bytes;
            *at += 1;
        }
    }
    let bytes = tables.current().builder.bytes();
    let is_wide = *overlap_bytes > OVERLAP_FACTOR * table_bytes;
    bytes >= table_bytes || is_wide && bytes >= table_bytes / 8
}
