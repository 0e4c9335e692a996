//! INSERT and UPSERT: asks which of the rows are there, and puts the others, or what a conflict makes of them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::write::{duplicate, too_many, Changes, Touched};
use super::{Answer, Input, Step};
use crate::datum::{Datum, Row};
use crate::error::{Error, ErrorKind};
use crate::expression::Frame;
use crate::limits::{FOUND_BYTES_MAX, SCAN_ENTRIES};
use crate::plan::{check_nulls, Insertion, OnConflict};
use crate::reply::{Outcome, Reply};
use crate::routing::Partition;
use crate::row;
use crate::schema::Table;

#[derive(Debug)]
pub(super) struct Insert {
    table: Arc<Table>,
    partition: Partition,
    insertion: Insertion,
    /// The keys of the rows, in their order.
    keys: Vec<Vec<u8>>,
    /// How many of them were asked for, and how many answers came; and the rows that were there.
    asked: usize,
    answered: usize,
    there: BTreeMap<Vec<u8>, Row>,
    bytes: usize,
    random: Cell<[u64; 2]>,
}

impl Insert {
    pub(super) fn new(
        table: Arc<Table>,
        partition: Partition,
        insertion: Insertion,
        random: [u64; 2],
    ) -> Result<Insert, Error> {
        let keys =
            insertion.rows.iter().map(|row| row::row_key(&table, row)).collect::<Result<Vec<_>, Error>>()?;
        Ok(Insert {
            partition,
            table,
            insertion,
            keys,
            asked: 0,
            answered: 0,
            there: BTreeMap::new(),
            bytes: 0,
            random: Cell::new(random),
        })
    }

    pub(super) fn step(&mut self, input: Input<'_>) -> Result<Step, Error> {
        match input {
            Input::Start => {}
            Input::Values(values) => self.take(values)?,
            input => panic!("a statement was given what it did not ask for: {input:?}"),
        }
        if self.asked == self.keys.len() {
            return self.finish();
        }
        let from = self.asked;
        self.asked = self.keys.len().min(from + SCAN_ENTRIES);
        Ok(Step::Get(self.keys[from..self.asked].to_vec()))
    }

    /// Keeps the rows that are there already.
    fn take(&mut self, values: Vec<Option<&[u8]>>) -> Result<(), Error> {
        let keys = &self.keys[self.answered..self.asked];
        assert_eq!(values.len(), keys.len(), "each key that was asked for has an answer");
        self.answered = self.asked;
        if values.iter().all(Option::is_none) {
            return Ok(());
        }
        let partition = self.partition.values(&self.table)?;
        for (key, bytes) in keys.iter().zip(values) {
            let Some(bytes) = bytes else { continue };
            let row = row::decode(&self.table, &partition, key, bytes)?;
            self.bytes += row.iter().map(Datum::bytes).sum::<usize>();
            self.there.insert(key.clone(), row);
        }
        match self.bytes <= FOUND_BYTES_MAX {
            true => Ok(()),
            false => Err(too_many(&self.table)),
        }
    }

    fn finish(&mut self) -> Result<Step, Error> {
        let mut changes = Changes::default();
        let mut answer = self.insertion.returning.as_ref().map(Answer::new);
        let mut count = 0;
        let rows = std::mem::take(&mut self.keys).into_iter().zip(std::mem::take(&mut self.insertion.rows));
        for (key, new) in rows {
            let twice = changes.rows.contains_key(&key);
            let stored = match (self.there.get(&key), &self.insertion.conflict) {
                (None, _) if !twice => Some(new),
                (_, OnConflict::Refuse) => return Err(duplicate(&self.table, &new)),
                (_, OnConflict::Nothing) => None,
                (_, OnConflict::Update { .. }) if twice => {
                    let message =
                        "ON CONFLICT DO UPDATE command cannot affect row a second time; give each key once";
                    return Err(Error::new(ErrorKind::Constraint, "21000", message));
                }
                (old, OnConflict::Update { .. }) => self.updated(old.unwrap_or(&new), &new)?,
            };
            let Some(stored) = stored else { continue };
            count += 1;
            if let (Some(answer), Some(projection)) = (&mut answer, &self.insertion.returning) {
                let frame = Frame { row: &stored, random: Some(&self.random), ..Frame::default() };
                answer.push(projection, &frame)?;
            }
            // Whoever comes to this key once more finds it among what is changed.
            let old = self.there.remove(&key);
            changes.rows.insert(key, Touched { old, new: Some(stored) });
        }
        let changes = changes.finish(&self.table)?;
        let reply = answer.map_or(Reply::Count(count), |answer| Reply::Rows(answer.rows));
        Ok(Step::Done(Outcome { reply, changes }))
    }

    /// The row that is there after DO UPDATE, unless its WHERE does not hold.
    fn updated(&self, old: &Row, new: &Row) -> Result<Option<Row>, Error> {
        let OnConflict::Update { set, filter } = &self.insertion.conflict else { return Ok(None) };
        let frame = Frame { row: old, excluded: new, random: Some(&self.random), ..Frame::default() };
        if let Some(filter) = filter {
            if filter.truth(&frame)? != Some(true) {
                return Ok(None);
            }
        }
        let mut row = old.clone();
        for (column, value) in set {
            row[*column] = value.evaluate(&frame)?;
        }
        check_nulls(&self.table, &row)?;
        Ok(Some(row))
    }
}
