//! Index entries of rows that were there before their index, and of indexes that are gone: partition by partition, a bounded number at a time.
//!
//! Each step's changes are one entry, made of one state of the partition. Writes keep an index from the moment the catalog has it, whether or
//! not a backfill has been where they write; so a backfill may stop anywhere and go on later, and an entry that is put twice is the same one.

use std::sync::Arc;

use crate::datum::Datum;
use crate::error::Error;
use crate::limits::BACKFILL_ROWS;
use crate::reply::Change;
use crate::routing::Partition;
use crate::row;
use crate::schema::{Index, Table};

/// Fills or clears an index in one partition.
#[derive(Clone, Debug)]
pub struct Backfill {
    table: Arc<Table>,
    partition: Vec<Datum>,
    /// The index to fill; none clears.
    fill: Option<Index>,
    /// What is still to be looked at.
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Backfill {
    /// Puts the entries of all rows. None if the table has no such index any more.
    pub fn fill(table: &Arc<Table>, index: u32, partition: &Partition) -> Result<Option<Backfill>, Error> {
        let Some(fill) = table.indexes.iter().find(|held| held.id == index).cloned() else { return Ok(None) };
        let from = row::row_prefix();
        let to = crate::key::after_all(&from).expect("the prefix of rows is followed by others");
        Ok(Some(Backfill {
            table: Arc::clone(table),
            partition: partition.values(table)?,
            fill: Some(fill),
            from,
            to,
        }))
    }

    /// Removes all entries of an index that the table has no longer.
    pub fn clear(table: &Arc<Table>, index: u32, partition: &Partition) -> Result<Backfill, Error> {
        let gone = Index { id: index, name: String::new(), columns: Vec::new(), ready: false };
        let from = row::index_prefix(&gone);
        let to = crate::key::after_all(&from).expect("the prefix of entries is followed by others");
        Ok(Backfill { table: Arc::clone(table), partition: partition.values(table)?, fill: None, from, to })
    }

    /// Goes on behind this key, which [`Backfill::place`] gave before.
    pub fn resume(&mut self, place: Vec<u8>) {
        self.from = self.from.clone().max(place);
    }

    /// Where it goes on; to be kept by who may be interrupted. None at the end.
    pub fn place(&self) -> Option<&[u8]> {
        (self.from < self.to).then_some(self.from.as_slice())
    }

    /// The keys to be read next: from one to before another, in order, so many at most. None at the end.
    pub fn wanted(&self) -> Option<(&[u8], &[u8], usize)> {
        (self.from < self.to).then_some((&self.from, &self.to, BACKFILL_ROWS))
    }

    /// Takes what was read, and whether there may be more, and gives what is to be changed with it.
    ///
    /// A row whose values are too long for an entry is an error that stays: the index cannot be, and is to be dropped again.
    pub fn step(&mut self, entries: &[(&[u8], &[u8])], more: bool) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::with_capacity(entries.len());
        for (key, bytes) in entries {
            changes.push(match &self.fill {
                Some(index) => {
                    let row = row::decode(&self.table, &self.partition, key, bytes)?;
                    Change { key: row::index_key(&self.table, index, &row)?, value: Some(Vec::new()) }
                }
                None => Change { key: key.to_vec(), value: None },
            });
        }
        self.from = match entries.last() {
            Some((last, _)) if more => [*last, &[0]].concat(),
            _ => self.to.clone(),
        };
        changes.sort_by(|left, right| left.key.cmp(&right.key));
        Ok(changes)
    }
}
