//! A SELECT that reads all partitions of a table, one after the other (ALLOW SCAN), put together from what each of them gives.
//!
//! Who runs it finds the partitions, in an order of its own that stays, of which every place has a number, and 0 is the beginning. Each is asked
//! for its [`Share`], which makes an [`crate::Execution::part`] there; what comes of that is taken here in the order of the partitions. So each is
//! read at a moment of its own.

use std::cell::Cell;
use std::sync::Arc;

use crate::cursor::Position;
use crate::datum::Datum;
use crate::error::{Error, ErrorKind};
use crate::execute::{Answer, Part, Share, Totals};
use crate::expression::Frame;
use crate::limits::PAGE_EXAMINED_MAX;
use crate::plan::{Query, Selection, Work};
use crate::reply::Reply;
use crate::routing::Partition;
use crate::schema::Table;
use crate::types::ColumnType;

/// A statement under way.
#[derive(Debug)]
pub struct Scan {
    table: Arc<Table>,
    selection: Selection,
    /// Where its cursor says that it begins.
    from: Position,
    /// Rows that it gives at most.
    limit: Option<u64>,
    answer: Answer,
    totals: Totals,
    examined: u64,
    /// The place where the last part that was taken ended, if it was not at its partition's end.
    place: Option<Vec<u8>>,
    random: [u64; 2],
}

/// Where a statement ends.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// Behind the last partition.
    Last,
    /// At the last part that was taken: the number of its place, and the name of its partition.
    In(u64, &'a [u8]),
    /// Between partitions, where the walk is.
    At(u64),
}

/// Greater than the keys of all rows and entries: what is behind it is the next partition.
const BEHIND_ALL: &[u8] = &[0xff];

impl Scan {
    /// Begins a statement that reads all partitions.
    pub fn new(query: Query) -> Result<Scan, Error> {
        let Query { table, partition: None, work: Work::Select(mut selection), random } = query else {
            return Err(Error::unsupported("a statement on one partition is run there"));
        };
        let limit = selection.wanted()?;
        let from = selection.page.as_mut().map(std::mem::take).unwrap_or_default();
        let (answer, totals) = (Answer::new(&selection.projection), Totals::new(&selection.aggregates));
        Ok(Scan { table, selection, from, limit, answer, totals, examined: 0, place: None, random })
    }

    /// The table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The number of the place where the walk begins.
    pub fn begins_at(&self) -> u64 {
        self.from.walk.unwrap_or(0)
    }

    /// Whether a partition at the place where the walk begins was read to its end by an earlier page: those of one place are read in the order of
    /// their names.
    pub fn is_read(&self, name: &[u8]) -> bool {
        let key = self.from.partition.as_ref();
        let last = key.and_then(|key| Partition::of_key(&self.table, key.clone()).ok());
        let is_through = self.from.key.as_deref() == Some(BEHIND_ALL);
        last.is_some_and(|last| {
            let last = last.routing.as_bytes();
            name < last || name == last && is_through
        })
    }

    /// What a partition is asked for. None: no partition of this table has the name.
    pub fn share(&self, name: &[u8]) -> Option<Share> {
        let partition = Partition::of_name(&self.table, name)?;
        let is_first = self.from.partition.as_ref() == Some(&partition.key);
        let rows_max = self.limit.filter(|_| self.selection.aggregates.is_empty());
        Some(Share {
            table: self.table.id,
            version: self.table.version,
            rows_max: rows_max.map(|limit| limit.saturating_sub(self.answer.rows.rows.len() as u64)),
            behind: self.from.key.clone().filter(|_| is_first),
        })
    }

    /// Whether the statement has all that it may give, so that it ends here.
    pub fn is_full(&self) -> bool {
        let rows = self.answer.rows.rows.len() as u64;
        let has_rows = match self.limit {
            Some(0) => true,
            Some(limit) => self.selection.aggregates.is_empty() && rows >= limit,
            None => false,
        };
        has_rows || self.place.is_some() || self.is_page() && self.examined >= PAGE_EXAMINED_MAX as u64
    }

    /// Whether the rows of a part are no more than are wanted by now: otherwise its partition is asked anew, for fewer.
    pub fn has_room_for(&self, part: &Part) -> bool {
        let rows = (self.answer.rows.rows.len() + part.rows.len()) as u64;
        self.limit.is_none_or(|limit| rows <= limit)
    }

    /// Takes the part of the next partition.
    pub fn take(&mut self, part: Part) -> Result<(), Error> {
        let columns = &self.selection.projection.columns;
        let fits = |row: &Vec<Datum>| {
            let is_of = |(value, (_, kind)): (&Datum, &(String, ColumnType))| {
                value.kind().is_none_or(|found| found == kind.kind)
            };
            row.len() == columns.len() && row.iter().zip(columns).all(is_of)
        };
        let has_rows = self.selection.aggregates.is_empty();
        if !part.rows.iter().all(fits) || !has_rows && !part.rows.is_empty() {
            return Err(Error::damage("what a partition gave"));
        }
        self.totals.merge(&self.selection.aggregates, part.totals)?;
        self.examined = self.examined.saturating_add(part.examined);
        self.place = part.place;
        part.rows.into_iter().try_for_each(|row| self.answer.take(row))
    }

    /// Whether it may end before the last partition, with a cursor to go on with.
    pub fn is_page(&self) -> bool {
        self.selection.page.is_some()
    }

    /// The answer.
    pub fn finish(mut self, end: End<'_>) -> Result<Reply, Error> {
        if !self.selection.aggregates.is_empty() && self.limit != Some(0) {
            let (totals, random) = (self.totals.finish(&self.selection.aggregates)?, Cell::new(self.random));
            let frame = Frame { aggregates: &totals, random: Some(&random), ..Frame::default() };
            self.answer.push(&self.selection.projection, &frame)?;
        }
        let mut rows = std::mem::take(&mut self.answer.rows);
        if self.is_page() {
            rows.cursor = Some(self.cursor(end)?);
        }
        Ok(Reply::Rows(rows))
    }

    fn cursor(&self, end: End<'_>) -> Result<String, Error> {
        let position = match end {
            End::Last => return Ok("0".to_owned()),
            End::At(walk) => Position { walk: Some(walk), ..Position::default() },
            End::In(walk, name) => {
                let partition = Partition::of_name(&self.table, name);
                let partition = partition.ok_or_else(|| Error::damage("the name of a partition"))?;
                let key = self.place.clone().unwrap_or_else(|| BEHIND_ALL.to_vec());
                Position { walk: Some(walk), partition: Some(partition.key), key: Some(key) }
            }
        };
        Ok(position.show(&self.table, &self.selection.access))
    }
}

/// What is said where a statement takes too long.
pub fn too_long(seconds: u64) -> Error {
    let message =
        format!("all partitions were not read in {seconds} s; write CURSOR '0' for one page after the other");
    Error::new(ErrorKind::TooLarge, "54000", message)
}
