//! A statement as a state machine: it asks for keys and stretches of keys, is given what is there, and says in the end what to answer and what
//! to change. What it reads has to be one state of the partition; what it changes is one entry.

mod aggregate;
mod insert;
mod modify;
mod part;
mod reader;
mod select;
mod write;

use crate::datum::Datum;
use crate::error::Error;
use crate::expression::Frame;
use crate::limits::{REPLY_BYTES_MAX, REPLY_ROWS_MAX};
use crate::plan::{Projection, Query, Work};
use crate::reply::{Outcome, Reply, Rows};
use crate::routing::Partition;

pub(crate) use aggregate::Totals;
pub use part::{Part, Share};

/// What an execution needs next.
#[derive(Clone, Debug)]
pub enum Step {
    /// The bytes of these keys of the partition. Answered by [`Input::Values`].
    Get(Vec<Vec<u8>>),
    /// The keys of the partition from one to before another. Answered by [`Input::Page`].
    Scan {
        /// The first key.
        from: Vec<u8>,
        /// Behind the last key.
        to: Vec<u8>,
        /// Whether the greatest comes first.
        backwards: bool,
        /// How many are wanted at most; there may come fewer, so that their bytes can be bounded, too.
        limit: usize,
    },
    /// The end: nothing more is asked.
    Done(Outcome),
}

/// What an execution is given. It keeps nothing of the bytes.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Nothing was asked yet.
    Start,
    /// For each key that was asked for its bytes, if it is there.
    Values(Vec<Option<&'a [u8]>>),
    /// Keys and bytes in the order that was asked for.
    Page {
        /// Keys and their bytes.
        entries: Vec<(&'a [u8], &'a [u8])>,
        /// Whether there may be more in the stretch.
        more: bool,
    },
}

/// A statement under way.
#[derive(Debug)]
pub struct Execution {
    work: Running,
}

#[derive(Debug)]
enum Running {
    Select(Box<select::Select>),
    Insert(Box<insert::Insert>),
    Modify(Box<modify::Modify>),
}

impl Execution {
    /// Begins a planned statement.
    pub fn new(query: Query) -> Result<Execution, Error> {
        let Query { table, partition, work, random } = query;
        let work = match (work, partition) {
            (Work::Select(selection), Some(partition)) => {
                Running::Select(Box::new(select::Select::new(table, &partition, selection, random)?))
            }
            (Work::Insert(insertion), Some(partition)) => {
                Running::Insert(Box::new(insert::Insert::new(table, partition, insertion, random)?))
            }
            (Work::Update { access, set, condition, returning }, Some(partition)) => {
                Running::Modify(Box::new(modify::Modify::new(
                    table,
                    &partition,
                    access,
                    Some(set),
                    condition,
                    returning,
                    random,
                )?))
            }
            (Work::Delete { access, condition, returning }, Some(partition)) => Running::Modify(Box::new(
                modify::Modify::new(table, &partition, access, None, condition, returning, random)?,
            )),
            (_, None) => return Err(Error::unsupported("a statement is run on one partition at a time")),
        };
        Ok(Execution { work })
    }

    /// Begins the part that one partition has in a SELECT that reads all of them.
    pub fn part(query: Query, partition: &Partition, share: &Share) -> Result<Execution, Error> {
        match query {
            Query { table, partition: None, work: Work::Select(selection), random } => {
                let select = select::Select::part(table, partition, selection, random, share)?;
                Ok(Execution { work: Running::Select(Box::new(select)) })
            }
            _ => Err(Error::unsupported("a statement that does not read all partitions has no parts")),
        }
    }

    /// What came of a part, with the reply that [`Step::Done`] had.
    ///
    /// # Panics
    /// If it was no part.
    pub fn into_part(self, reply: Reply) -> Part {
        match self.work {
            Running::Select(select) => select.into_part(reply),
            other => panic!("it is no part: {other:?}"),
        }
    }

    /// Goes on with what was asked for. An error ends it, and nothing is changed.
    ///
    /// # Panics
    /// If the input is not what was asked for.
    pub fn step(&mut self, input: Input<'_>) -> Result<Step, Error> {
        match &mut self.work {
            Running::Select(select) => select.step(input),
            Running::Insert(insert) => insert.step(input),
            Running::Modify(modify) => modify.step(input),
        }
    }
}

/// Rows of an answer, within its bounds.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) rows: Rows,
    bytes: usize,
}

impl Answer {
    pub(crate) fn new(projection: &Projection) -> Answer {
        Answer { rows: Rows { columns: projection.columns.clone(), ..Rows::default() }, bytes: 0 }
    }

    /// A row that is here already.
    pub(crate) fn take(&mut self, row: Vec<Datum>) -> Result<(), Error> {
        self.bytes += row.iter().map(Datum::bytes).sum::<usize>();
        self.rows.rows.push(row);
        self.check()
    }

    pub(crate) fn push(&mut self, projection: &Projection, frame: &Frame) -> Result<(), Error> {
        let mut row = Vec::with_capacity(projection.expressions.len());
        for expression in &projection.expressions {
            let value = expression.evaluate(frame)?;
            self.bytes += value.bytes();
            row.push(value);
            self.check()?;
        }
        self.rows.rows.push(row);
        self.check()
    }

    fn check(&self) -> Result<(), Error> {
        if self.rows.rows.len() > REPLY_ROWS_MAX || self.bytes > REPLY_BYTES_MAX {
            let message = format!("the answer has more than {REPLY_ROWS_MAX} rows or {REPLY_BYTES_MAX} bytes; write LIMIT, or CURSOR '0' for one page after the other");
            return Err(Error::too_large(message));
        }
        Ok(())
    }
}
