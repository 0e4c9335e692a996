//! Walks a path of a partition and gives its rows one by one.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Input, Step};
use crate::datum::{Datum, Row};
use crate::error::Error;
use crate::limits::SCAN_ENTRIES;
use crate::plan::{Access, Path, Range};
use crate::row::{self, Form};
use crate::schema::Table;

/// What comes next on a path.
pub(super) enum Next {
    /// A row: its place on the path, if that is not its key; its key, and itself.
    Row(Option<Vec<u8>>, Vec<u8>, Row),
    /// Something has to be read first.
    Ask(Step),
    End,
}

/// What was asked for.
#[derive(Debug)]
enum Asked {
    Nothing,
    /// These rows, each with its place on the path, if that is not its key; whether they must be there.
    Rows(Vec<(Option<Vec<u8>>, Vec<u8>)>, bool),
    Page,
}

#[derive(Debug)]
pub(super) struct Reader {
    table: Arc<Table>,
    /// Values of the partition's columns.
    partition: Vec<Datum>,
    index: Option<usize>,
    backwards: bool,
    keys: VecDeque<Vec<u8>>,
    ranges: VecDeque<Range>,
    asked: Asked,
    /// Rows that were read: their places, where those are not their keys, their keys, and what is made of them.
    found: VecDeque<(Option<Vec<u8>>, Vec<u8>, Row)>,
    form: Form,
    /// Entries that one step asks for: fewer where few rows are wanted.
    entries: usize,
}

impl Reader {
    pub(super) fn new(
        table: &Arc<Table>,
        partition: Vec<Datum>,
        access: &Access,
        wanted: Option<u64>,
        form: Form,
    ) -> Reader {
        let (index, mut keys, mut ranges) = match &access.path {
            Path::Keys(keys) => (None, keys.clone(), Vec::new()),
            Path::Rows(ranges) => (None, Vec::new(), ranges.clone()),
            Path::Index(index, ranges) => (Some(*index), Vec::new(), ranges.clone()),
        };
        if access.backwards {
            keys.reverse();
            ranges.reverse();
        }
        let few = wanted.filter(|_| access.filter.is_empty()).and_then(|wanted| usize::try_from(wanted).ok());
        Reader {
            table: Arc::clone(table),
            partition,
            index,
            backwards: access.backwards,
            keys: keys.into(),
            ranges: ranges.into(),
            asked: Asked::Nothing,
            found: VecDeque::new(),
            form,
            entries: few.unwrap_or(SCAN_ENTRIES).clamp(1, SCAN_ENTRIES),
        }
    }

    /// Goes on behind this place, of an earlier walk of the same path.
    pub(super) fn skip_to(&mut self, place: &[u8]) {
        let backwards = self.backwards;
        self.keys.retain(|key| if backwards { key.as_slice() < place } else { key.as_slice() > place });
        for range in &mut self.ranges {
            cut(range, place, backwards);
        }
        self.ranges.retain(|(from, to)| from < to);
    }

    pub(super) fn next(&mut self) -> Result<Next, Error> {
        if let Some((place, key, row)) = self.found.pop_front() {
            return Ok(Next::Row(place, key, row));
        }
        assert!(
            matches!(self.asked, Asked::Nothing) || matches!(self.asked, Asked::Rows(_, true)),
            "what was asked for comes before the next row is asked for"
        );
        if let Asked::Rows(rows, _) = &self.asked {
            return Ok(Next::Ask(Step::Get(rows.iter().map(|(_, key)| key.clone()).collect())));
        }
        if !self.keys.is_empty() {
            let count = self.keys.len().min(SCAN_ENTRIES);
            let keys: Vec<Vec<u8>> = self.keys.drain(..count).collect();
            self.asked = Asked::Rows(keys.iter().map(|key| (None, key.clone())).collect(), false);
            return Ok(Next::Ask(Step::Get(keys)));
        }
        match self.ranges.front() {
            Some((from, to)) => {
                self.asked = Asked::Page;
                Ok(Next::Ask(Step::Scan {
                    from: from.clone(),
                    to: to.clone(),
                    backwards: self.backwards,
                    limit: self.entries,
                }))
            }
            None => Ok(Next::End),
        }
    }

    pub(super) fn feed(&mut self, input: Input<'_>) -> Result<(), Error> {
        match (std::mem::replace(&mut self.asked, Asked::Nothing), input) {
            (Asked::Rows(rows, must), Input::Values(values)) => {
                assert_eq!(rows.len(), values.len(), "each key that was asked for has an answer");
                for ((place, key), value) in rows.into_iter().zip(values) {
                    match value {
                        Some(bytes) => {
                            let row = self.form.row(&self.table, &self.partition, &key, bytes)?;
                            self.found.push_back((place, key, row));
                        }
                        None if must => return Err(Error::damage("an index entry without its row")),
                        None => {}
                    }
                }
                Ok(())
            }
            (Asked::Page, Input::Page { entries, more }) => self.page(entries, more),
            (_, input) => panic!("a statement was given what it did not ask for: {input:?}"),
        }
    }

    fn page(&mut self, entries: Vec<(&[u8], &[u8])>, more: bool) -> Result<(), Error> {
        let Some(range) = self.ranges.front_mut() else { return Ok(()) };
        let is_within = |(key, _): &(&[u8], &[u8])| *key >= range.0.as_slice() && *key < range.1.as_slice();
        // Where the ends are within it, and all is in order, so is the rest.
        let within = [entries.first(), entries.last()].into_iter().flatten().all(is_within);
        let ordered = entries.windows(2).all(|pair| (pair[0].0 < pair[1].0) != self.backwards);
        assert!(within && ordered, "a page is of the stretch that was asked for, in its order");
        match entries.last() {
            Some((last, _)) if more => cut(range, last, self.backwards),
            _ => *range = (Vec::new(), Vec::new()),
        }
        if range.0 >= range.1 {
            self.ranges.pop_front();
        }
        let Some(index) = self.index.map(|place| &self.table.indexes[place]) else {
            self.found.reserve(entries.len());
            for (key, bytes) in entries {
                let row = self.form.row(&self.table, &self.partition, key, bytes)?;
                self.found.push_back((None, key.to_vec(), row));
            }
            return Ok(());
        };
        let row = |(entry, _): (&[u8], &[u8])| {
            let key = row::indexed_row(&self.table, index, entry)?;
            Ok((Some(entry.to_vec()), key))
        };
        let rows = entries.into_iter().map(row).collect::<Result<Vec<_>, Error>>()?;
        if !rows.is_empty() {
            self.asked = Asked::Rows(rows, true);
        }
        Ok(())
    }
}

/// Leaves of a stretch what comes behind a place.
fn cut(range: &mut Range, place: &[u8], backwards: bool) {
    if backwards {
        if place < range.1.as_slice() {
            range.1 = place.to_vec();
        }
    } else if place >= range.0.as_slice() {
        // The least key behind another is that with a zero byte more.
        range.0 = [place, &[0]].concat();
    }
}
