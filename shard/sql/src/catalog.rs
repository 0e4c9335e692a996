//! All tables. A catalog is a value: a change makes another one with the next version, and whoever holds an older one can be told.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{suggestion, Error, ErrorKind};
use crate::schema::Table;

/// All tables, at one version.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub(crate) version: u64,
    pub(crate) next_table: u32,
    pub(crate) tables: BTreeMap<String, Arc<Table>>,
}

impl Default for Catalog {
    fn default() -> Catalog {
        Catalog { version: 0, next_table: 1, tables: BTreeMap::new() }
    }
}

impl Catalog {
    /// Goes up by one with each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The same tables, at a version that the owner says: one above that of the catalog that they were made of, and that nothing else had.
    pub fn at_version(self, version: u64) -> Catalog {
        Catalog { version, ..self }
    }

    /// The tables by name.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    /// Whether all versions and numbers are at most these.
    pub(crate) fn is_within(&self, version: u64, number: u32) -> bool {
        let fits = |table: &Arc<Table>| table.version <= version && table.next_index <= number;
        self.version <= version && self.next_table <= number && self.tables().all(fits)
    }

    /// The table of this name.
    pub fn table(&self, name: &str) -> Result<&Arc<Table>, Error> {
        self.tables.get(name).ok_or_else(|| {
            let near = suggestion(name, self.tables.keys().map(String::as_str));
            let remedy = if self.tables.is_empty() { "; there are no tables yet: CREATE TABLE" } else { "" };
            Error::new(ErrorKind::Unknown, "42P01", format!("table \"{name}\" does not exist{near}{remedy}"))
        })
    }

    /// Whether there is a table of this name.
    pub fn has_table(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }

    /// The table of this number.
    pub fn table_by_id(&self, id: u32) -> Option<&Arc<Table>> {
        self.tables.values().find(|table| table.id == id)
    }

    /// Refuses what was planned against a table as it is no longer.
    pub fn check_current(&self, table: u32, version: u64) -> Result<(), Error> {
        match self.table_by_id(table) {
            Some(current) if current.version == version => Ok(()),
            Some(current) => Err(Error::new(
                ErrorKind::Stale,
                "72000",
                format!("table \"{}\" has changed since the statement was planned: try again", current.name),
            )),
            None => Err(Error::new(
                ErrorKind::Stale,
                "72000",
                "the table was dropped since the statement was planned",
            )),
        }
    }

    /// The table that has this index.
    pub(crate) fn table_of_index(&self, name: &str) -> Result<&Arc<Table>, Error> {
        let names =
            || self.tables.values().flat_map(|table| table.indexes.iter().map(|index| index.name.as_str()));
        let found = self.tables.values().find(|table| table.indexes.iter().any(|index| index.name == name));
        found.ok_or_else(|| {
            Error::new(
                ErrorKind::Unknown,
                "42704",
                format!("index \"{name}\" does not exist{}", suggestion(name, names())),
            )
        })
    }

    /// Another catalog, with this table in the place of what has its name.
    pub(crate) fn with(&self, table: Table) -> Catalog {
        let mut next = self.clone();
        next.version += 1;
        next.next_table = next.next_table.max(table.id + 1);
        next.tables.insert(table.name.clone(), Arc::new(table));
        next
    }

    /// Another catalog, in which all partitions have all entries of this index: it may be read.
    pub fn index_filled(&self, table: u32, index: u32) -> Option<Catalog> {
        let mut changed = Table::clone(self.table_by_id(table)?);
        let found = changed.indexes.iter_mut().find(|found| found.id == index && !found.ready)?;
        found.ready = true;
        changed.version += 1;
        Some(self.with(changed))
    }

    /// The same catalog, but that these indexes of the table are not read: by that a statement is planned on a partition which does not have all of
    /// their entries yet.
    pub fn without_reading(&self, table: u32, indexes: &[u32]) -> Catalog {
        let mut catalog = self.clone();
        let Some(current) = self.table_by_id(table) else { return catalog };
        let mut changed = Table::clone(current);
        for index in changed.indexes.iter_mut().filter(|index| indexes.contains(&index.id)) {
            index.ready = false;
        }
        catalog.tables.insert(changed.name.clone(), Arc::new(changed));
        catalog
    }
}
