//! Entries of indexes beside the rows that they are of, in the entries of log groups: an index that a group has wholly has an entry for each row and no
//! other; one that is being filled, entries of rows alone; one that the table never had, none (docs/design/log-groups.md).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shard::command::Catalog;
use shard::object::Group;
use sql::{Backfill, Index, Partition, Table};

use crate::entries::Rows;

/// What keys of index entries begin with, where those of rows have 1 (docs/formats/sql.md).
const INDEX: u8 = 2;

/// Tables as they were last, and the indexes that they ever had, by numbers.
#[derive(Debug, Default)]
pub struct Schemas {
    tables: BTreeMap<u32, Arc<Table>>,
    indexes: BTreeMap<(u32, u32), Index>,
    /// The newest catalog's version, and the tables that it has.
    version: u64,
    newest: BTreeSet<u32>,
}

impl Schemas {
    /// A core has begun with a catalog.
    pub fn note(&mut self, catalog: &Catalog) {
        if catalog.version() > self.version {
            self.version = catalog.version();
            self.newest = catalog.tables().map(|table| table.id).collect();
        }
        for table in catalog.tables() {
            let held = self.tables.entry(table.id).or_insert_with(|| Arc::clone(table));
            if held.version < table.version {
                *held = Arc::clone(table);
            }
            for index in &table.indexes {
                self.indexes.entry((table.id, index.id)).or_insert_with(|| index.clone());
            }
        }
    }

    /// A table that is there now, as it is.
    pub fn current(&self, table: u32) -> Option<&Table> {
        self.tables.get(&table).filter(|_| self.newest.contains(&table)).map(|table| &**table)
    }

    /// What is wrong with the rows that an entry of a group makes; `key`: the group's.
    ///
    /// # Errors
    /// An index that lacks entries, or has some that are of no row.
    pub fn check(&self, key: &[u8], group: &Group, rows: &Rows) -> Result<(), String> {
        let Some(table) = self.tables.get(&group.table) else {
            return Err(format!("there never was a table {}", group.table));
        };
        let Some(partition) = Partition::of_name(table, key) else {
            return Err("it is no partition of its table".to_owned());
        };
        let mut found: BTreeMap<u32, BTreeSet<&[u8]>> = BTreeMap::new();
        for entry in rows.keys().filter(|key| key.first() == Some(&INDEX)) {
            let number =
                entry.get(1..5).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
            found.entry(number).or_default().insert(entry);
        }
        let numbers = self.indexes.range((group.table, 0)..=(group.table, u32::MAX));
        for ((_, number), index) in numbers {
            let held = found.remove(number).unwrap_or_default();
            let wanted = entries_of(table, index, &partition, rows)?;
            let wanted: BTreeSet<&[u8]> = wanted.iter().map(|key| &key[..]).collect();
            let is_whole = group.indexes.is_whole(*number);
            // Of an index that was dropped rows lose no entries any more.
            let is_dropped = table.indexes.iter().all(|index| index.id != *number);
            let is_right = if is_whole { held == wanted } else { is_dropped || held.is_subset(&wanted) };
            if !is_right {
                let (held, wanted, rows) = (held.len(), wanted.len(), rows.len());
                let whole = if is_whole { "" } else { ", which is not whole," };
                return Err(format!("index {number}{whole} has {held} entries, not the {wanted} that its rows have (of {rows} keys)"));
            }
        }
        match found.first_key_value() {
            Some((number, _)) => Err(format!("entries of an index {number} that its table never had")),
            None => Ok(()),
        }
    }
}

/// The entries that an index has for rows.
fn entries_of(
    table: &Table,
    index: &Index,
    partition: &Partition,
    rows: &Rows,
) -> Result<Vec<Vec<u8>>, String> {
    let alone = Arc::new(Table { indexes: vec![index.clone()], ..table.clone() });
    let backfill = Backfill::fill(&alone, index.id, partition).map_err(|error| error.message)?;
    let Some(mut backfill) = backfill else { return Ok(Vec::new()) };
    let of_rows = rows.iter().filter(|(key, _)| key.first() != Some(&INDEX));
    let of_rows: Vec<(&[u8], &[u8])> = of_rows.map(|(key, value)| (&key[..], &value[..])).collect();
    let changes = backfill.step(&of_rows, false).map_err(|error| error.message)?;
    Ok(changes.into_iter().map(|change| change.key).collect())
}
