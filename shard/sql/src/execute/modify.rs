//! UPDATE and DELETE: finds the rows, checks IF, and changes them all or none. A row whose key changes is deleted and inserted.

use std::cell::Cell;
use std::sync::Arc;

use super::reader::{Next, Reader};
use super::write::{duplicate, too_many, Changes, Touched};
use super::{Answer, Input, Step};
use crate::datum::{Datum, Row};
use crate::error::Error;
use crate::expression::{Expression, Frame};
use crate::limits::{CHANGED_ROWS_MAX, FOUND_BYTES_MAX, SCAN_ENTRIES};
use crate::plan::{check_nulls, Access, Condition, Projection};
use crate::reply::{Outcome, Reply};
use crate::routing::Partition;
use crate::row::{self, Form};
use crate::schema::Table;

#[derive(Debug)]
pub(super) struct Modify {
    table: Arc<Table>,
    reader: Reader,
    filter: Vec<Expression>,
    /// None deletes.
    set: Option<Vec<(usize, Expression)>>,
    condition: Option<Condition>,
    returning: Option<Projection>,
    /// Keys and rows found so far, and their bytes.
    found: Vec<(Vec<u8>, Row)>,
    bytes: usize,
    /// Keys that must be free, once it is known which: those that were asked for, and those that will be.
    asked: Option<Vec<Vec<u8>>>,
    free: Vec<Vec<u8>>,
    changes: Changes,
    reply: Option<Reply>,
    random: Cell<[u64; 2]>,
}

impl Modify {
    pub(super) fn new(
        table: Arc<Table>,
        partition: &Partition,
        access: Access,
        set: Option<Vec<(usize, Expression)>>,
        condition: Option<Condition>,
        returning: Option<Projection>,
        random: [u64; 2],
    ) -> Result<Modify, Error> {
        let form = Form::whole(&table);
        let reader = Reader::new(&table, partition.values(&table)?, &access, None, form);
        Ok(Modify {
            table,
            reader,
            filter: access.filter,
            set,
            condition,
            returning,
            found: Vec::new(),
            bytes: 0,
            asked: None,
            free: Vec::new(),
            changes: Changes::default(),
            reply: None,
            random: Cell::new(random),
        })
    }

    pub(super) fn step(&mut self, input: Input<'_>) -> Result<Step, Error> {
        match (&self.asked, input) {
            (Some(keys), Input::Values(values)) => {
                assert_eq!(keys.len(), values.len(), "each key that was asked for has an answer");
                let taken = keys.iter().zip(&values).find(|(_, value)| value.is_some()).map(|(key, _)| key);
                match taken
                    .and_then(|key| self.changes.rows.get(key))
                    .and_then(|touched| touched.new.as_ref())
                {
                    Some(new) => Err(duplicate(&self.table, new)),
                    None => self.ask(),
                }
            }
            (Some(_), input) => panic!("a statement was given what it did not ask for: {input:?}"),
            (None, Input::Start) => self.read(),
            (None, input) => {
                self.reader.feed(input)?;
                self.read()
            }
        }
    }

    fn read(&mut self) -> Result<Step, Error> {
        loop {
            match self.reader.next()? {
                Next::Ask(step) => return Ok(step),
                Next::End => return self.change(),
                Next::Row(_, key, row) => {
                    let frame = Frame { row: &row, random: Some(&self.random), ..Frame::default() };
                    let mut wanted = true;
                    for condition in &self.filter {
                        wanted = wanted && condition.truth(&frame)? == Some(true);
                    }
                    if wanted {
                        self.bytes += row.iter().map(Datum::bytes).sum::<usize>();
                        self.found.push((key, row));
                    }
                    if self.found.len() > CHANGED_ROWS_MAX || self.bytes > FOUND_BYTES_MAX {
                        return Err(too_many(&self.table));
                    }
                }
            }
        }
    }

    /// Whether IF holds: for each row found, and there is one.
    fn applies(&self) -> Result<bool, Error> {
        let Some(condition) = &self.condition else { return Ok(true) };
        for (_, row) in &self.found {
            if let Condition::Holds(expression) = condition {
                let frame = Frame { row, random: Some(&self.random), ..Frame::default() };
                if expression.truth(&frame)? != Some(true) {
                    return Ok(false);
                }
            }
        }
        Ok(!self.found.is_empty())
    }

    fn change(&mut self) -> Result<Step, Error> {
        if !self.applies()? {
            return Ok(Step::Done(Outcome { reply: Reply::NotApplied, changes: Vec::new() }));
        }
        let found = std::mem::take(&mut self.found);
        let count = found.len() as u64;
        let mut answer = self.returning.as_ref().map(Answer::new);
        let mut updated = Vec::new();
        for (key, old) in found {
            let after = self.after(&old)?;
            if let (Some(answer), Some(projection)) = (&mut answer, &self.returning) {
                let frame = Frame {
                    row: after.as_ref().unwrap_or(&old),
                    random: Some(&self.random),
                    ..Frame::default()
                };
                answer.push(projection, &frame)?;
            }
            self.bytes += after.iter().flatten().map(Datum::bytes).sum::<usize>();
            if self.bytes > 2 * FOUND_BYTES_MAX {
                return Err(too_many(&self.table));
            }
            updated.extend(after);
            self.changes.rows.insert(key, Touched { old: Some(old), new: None });
        }
        self.reply = Some(answer.map_or(Reply::Count(count), |answer| Reply::Rows(answer.rows)));
        for new in updated {
            let key = row::row_key(&self.table, &new)?;
            if !self.changes.rows.contains_key(&key) {
                self.free.push(key.clone());
            }
            let touched = self.changes.rows.entry(key).or_default();
            match &touched.new {
                Some(_) => return Err(duplicate(&self.table, &new)),
                None => touched.new = Some(new),
            }
        }
        self.ask()
    }

    /// Asks for the next keys that must be free.
    fn ask(&mut self) -> Result<Step, Error> {
        if self.free.is_empty() {
            return self.done();
        }
        let keys: Vec<Vec<u8>> = self.free.drain(..self.free.len().min(SCAN_ENTRIES)).collect();
        self.asked = Some(keys.clone());
        Ok(Step::Get(keys))
    }

    /// The row after the statement; none after DELETE.
    fn after(&self, old: &Row) -> Result<Option<Row>, Error> {
        let Some(set) = &self.set else { return Ok(None) };
        let frame = Frame { row: old, random: Some(&self.random), ..Frame::default() };
        let mut new = old.clone();
        for (column, value) in set {
            new[*column] = value.evaluate(&frame)?;
        }
        check_nulls(&self.table, &new)?;
        Ok(Some(new))
    }

    fn done(&mut self) -> Result<Step, Error> {
        let reply = self.reply.take().expect("an UPDATE or DELETE is answered once its rows are changed");
        Ok(Step::Done(Outcome { reply, changes: self.changes.finish(&self.table)? }))
    }
}
