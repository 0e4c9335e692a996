//! SELECT: filters and projects the rows of a path of one partition, or aggregates them; for itself, or as its part of a statement that reads all
//! partitions.

use std::cell::Cell;
use std::sync::Arc;

use super::aggregate::Totals;
use super::part::{Part, Share};
use super::reader::{Next, Reader};
use super::{Answer, Input, Step};
use crate::cursor::Position;
use crate::datum::Row;
use crate::error::Error;
use crate::expression::Frame;
use crate::limits::PAGE_EXAMINED_MAX;
use crate::plan::Selection;
use crate::reply::{Outcome, Reply};
use crate::routing::Partition;
use crate::row::Form;
use crate::schema::Table;

#[derive(Debug)]
pub(super) struct Select {
    table: Arc<Table>,
    selection: Selection,
    reader: Reader,
    /// Whether it is a part of a statement that reads all partitions: nothing is finished then.
    is_part: bool,
    /// Whether what the reader gives is the answer already ([`Selection::plain_columns`]).
    is_plain: bool,
    totals: Totals,
    answer: Answer,
    limit: Option<u64>,
    examined: usize,
    /// Where it ended, if there may be more rows behind.
    place: Option<Vec<u8>>,
    random: Cell<[u64; 2]>,
}

impl Select {
    pub(super) fn new(
        table: Arc<Table>,
        partition: &Partition,
        mut selection: Selection,
        random: [u64; 2],
    ) -> Result<Select, Error> {
        let limit = selection.wanted()?;
        let behind = selection.page.as_mut().and_then(|page| page.key.take());
        Select::open(table, partition, selection, random, (limit, behind.as_deref()), false)
    }

    /// A part of a statement that reads all partitions.
    pub(super) fn part(
        table: Arc<Table>,
        partition: &Partition,
        selection: Selection,
        random: [u64; 2],
        share: &Share,
    ) -> Result<Select, Error> {
        let from = (share.rows_max, share.behind.as_deref());
        Select::open(table, partition, selection, random, from, true)
    }

    fn open(
        table: Arc<Table>,
        partition: &Partition,
        selection: Selection,
        random: [u64; 2],
        (limit, behind): (Option<u64>, Option<&[u8]>),
        is_part: bool,
    ) -> Result<Select, Error> {
        let wanted = limit.filter(|_| selection.aggregates.is_empty());
        let plain = selection.plain_columns();
        let form = match &plain {
            Some(columns) => Form::columns(&table, columns),
            None => Form::marked(&table, &selection.marked(&table)),
        };
        let mut reader = Reader::new(&table, partition.values(&table)?, &selection.access, wanted, form);
        if let Some(place) = behind {
            reader.skip_to(place);
        }
        Ok(Select {
            answer: Answer::new(&selection.projection),
            totals: Totals::new(&selection.aggregates),
            reader,
            is_part,
            is_plain: plain.is_some(),
            limit,
            examined: 0,
            place: None,
            random: Cell::new(random),
            table,
            selection,
        })
    }

    pub(super) fn step(&mut self, input: Input<'_>) -> Result<Step, Error> {
        match input {
            Input::Start if self.limit == Some(0) => return self.done(None),
            Input::Start => {}
            input => self.reader.feed(input)?,
        }
        self.go_on()
    }

    fn go_on(&mut self) -> Result<Step, Error> {
        loop {
            match self.reader.next()? {
                Next::Ask(step) => return Ok(step),
                Next::End => return self.done(None),
                Next::Row(place, key, row) => {
                    self.examined += 1;
                    self.row(row)?;
                    let full = self.selection.aggregates.is_empty()
                        && self.limit.is_some_and(|limit| self.answer.rows.rows.len() as u64 >= limit);
                    if full || self.selection.page.is_some() && self.examined >= PAGE_EXAMINED_MAX {
                        return self.done(Some(place.unwrap_or(key)));
                    }
                }
            }
        }
    }

    fn row(&mut self, row: Row) -> Result<(), Error> {
        if self.is_plain {
            return self.answer.take(row);
        }
        let frame = Frame { row: &row, random: Some(&self.random), ..Frame::default() };
        for condition in &self.selection.access.filter {
            if condition.truth(&frame)? != Some(true) {
                return Ok(());
            }
        }
        match self.selection.aggregates.is_empty() {
            true => self.answer.push(&self.selection.projection, &frame),
            false => self.totals.add(&self.selection.aggregates, &frame),
        }
    }

    /// The answer; with the place of the last row if there may be more behind it.
    fn done(&mut self, place: Option<Vec<u8>>) -> Result<Step, Error> {
        if !self.is_part && !self.selection.aggregates.is_empty() && self.limit != Some(0) {
            let totals = self.totals.finish(&self.selection.aggregates)?;
            let frame = Frame { aggregates: &totals, random: Some(&self.random), ..Frame::default() };
            self.answer.push(&self.selection.projection, &frame)?;
        }
        let mut rows = std::mem::take(&mut self.answer.rows);
        rows.cursor = self.selection.page.as_ref().filter(|_| !self.is_part).map(|_| match &place {
            Some(key) => {
                let position = Position { key: Some(key.clone()), ..Position::default() };
                position.show(&self.table, &self.selection.access)
            }
            None => "0".to_owned(),
        });
        self.place = place;
        Ok(Step::Done(Outcome { reply: Reply::Rows(rows), changes: Vec::new() }))
    }

    /// What came of a part whose reply is here.
    pub(super) fn into_part(self, reply: Reply) -> Part {
        let Reply::Rows(rows) = reply else { panic!("a SELECT answers rows: {reply:?}") };
        let Select { totals, examined, place, .. } = self;
        Part { rows: rows.rows, totals, examined: examined as u64, place }
    }
}
