//! SELECT: filters and projects the rows of a path, or aggregates them; of one partition, or of all, one after the other.

use std::cell::Cell;
use std::sync::Arc;

use super::aggregate::Totals;
use super::reader::{Next, Reader};
use super::{Answer, Input, Place, Step};
use crate::cursor::Position;
use crate::datum::Row;
use crate::error::Error;
use crate::expression::Frame;
use crate::limits::{PAGE_EXAMINED_MAX, PAGE_ROWS};
use crate::plan::Selection;
use crate::reply::{Outcome, Reply};
use crate::routing::Partition;
use crate::schema::Table;

#[derive(Debug)]
pub(super) struct Select {
    table: Arc<Table>,
    selection: Selection,
    /// Of the partition that is read; none between two.
    reader: Option<Reader>,
    /// Whether all partitions are read, and which one is.
    all: bool,
    partition: Option<Vec<u8>>,
    totals: Totals,
    answer: Answer,
    limit: Option<u64>,
    examined: usize,
    random: Cell<[u64; 2]>,
}

impl Select {
    pub(super) fn new(
        table: Arc<Table>,
        partition: Option<Partition>,
        selection: Selection,
        random: [u64; 2],
    ) -> Result<Select, Error> {
        let limit = match (&selection.page, selection.limit) {
            (Some(_), Some(0)) => {
                return Err(Error::unsupported(
                    "LIMIT 0 with CURSOR would never come to an end; give the size of a page",
                ))
            }
            (Some(_), None) => Some(PAGE_ROWS as u64),
            (_, limit) => limit,
        };
        let mut select = Select {
            answer: Answer::new(&selection.projection),
            totals: Totals::new(&selection.aggregates),
            reader: None,
            all: partition.is_none(),
            partition: None,
            limit,
            examined: 0,
            random: Cell::new(random),
            table,
            selection,
        };
        if let Some(partition) = partition {
            let key = select.selection.page.as_mut().and_then(|page| page.key.take());
            select.open(&partition, key.as_deref())?;
        }
        Ok(select)
    }

    fn open(&mut self, partition: &Partition, behind: Option<&[u8]>) -> Result<(), Error> {
        let wanted = self.limit.filter(|_| self.selection.aggregates.is_empty());
        let mut reader =
            Reader::new(&self.table, partition.values(&self.table)?, &self.selection.access, wanted);
        if let Some(place) = behind {
            reader.skip_to(place);
        }
        self.reader = Some(reader);
        Ok(())
    }

    pub(super) fn step(&mut self, input: Input) -> Result<Step, Error> {
        match (&mut self.reader, input) {
            (_, Input::Start) if self.selection.limit == Some(0) => return self.done(None),
            (None, Input::Start) => return Ok(self.resumed()),
            (Some(_), Input::Start) => {}
            (None, Input::Partition(Some(key))) => {
                let partition = Partition::of_key(&self.table, key)?;
                // Where the cursor is in the middle of this partition, which it is not if that one is gone.
                let position = self.selection.page.as_mut().map(std::mem::take).unwrap_or_default();
                let same = position.partition.as_ref() == Some(&partition.key);
                self.open(&partition, position.key.as_deref().filter(|_| same))?;
                self.partition = Some(partition.key);
            }
            (None, Input::Partition(None)) => return self.done(None),
            (Some(reader), input) => reader.feed(input)?,
            (None, input) => panic!("a statement was given what it did not ask for: {input:?}"),
        }
        self.go_on()
    }

    /// Where ALLOW SCAN begins: where the cursor says, which may be in the middle of a partition.
    fn resumed(&self) -> Step {
        let partition = self.selection.page.as_ref().and_then(|position| position.partition.clone());
        Step::Partition(partition.map_or(Place::First, Place::At))
    }

    fn go_on(&mut self) -> Result<Step, Error> {
        loop {
            let Some(reader) = &mut self.reader else {
                return Ok(Step::Partition(self.partition.clone().map_or(Place::First, Place::After)));
            };
            match reader.next()? {
                Next::Ask(step) => return Ok(step),
                Next::End if self.all => self.reader = None,
                Next::End => return self.done(None),
                Next::Row(place, _, row) => {
                    self.examined += 1;
                    self.row(&row)?;
                    let full = self.selection.aggregates.is_empty()
                        && self.limit.is_some_and(|limit| self.answer.rows.rows.len() as u64 >= limit);
                    if full || self.selection.page.is_some() && self.examined >= PAGE_EXAMINED_MAX {
                        return self.done(Some(place));
                    }
                }
            }
        }
    }

    fn row(&mut self, row: &Row) -> Result<(), Error> {
        let frame = Frame { row, random: Some(&self.random), ..Frame::default() };
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
        if !self.selection.aggregates.is_empty() && self.limit != Some(0) {
            let totals = self.totals.finish(&self.selection.aggregates)?;
            let frame = Frame { aggregates: &totals, random: Some(&self.random), ..Frame::default() };
            self.answer.push(&self.selection.projection, &frame)?;
        }
        let mut rows = std::mem::take(&mut self.answer.rows);
        rows.cursor = self.selection.page.as_ref().map(|_| match place {
            Some(key) => {
                let partition = if self.all { self.partition.clone() } else { None };
                Position { partition, key: Some(key) }.show(&self.table, &self.selection.access)
            }
            None => "0".to_owned(),
        });
        Ok(Step::Done(Outcome { reply: Reply::Rows(rows), changes: Vec::new() }))
    }
}
