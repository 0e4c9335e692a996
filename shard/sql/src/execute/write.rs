//! What a statement changes: rows by their keys, before and after, and from that the changes of rows and index entries.

use std::collections::BTreeMap;

use crate::datum::Row;
use crate::error::{Error, ErrorKind};
use crate::limits::{CHANGED_ROWS_MAX, CHANGES_BYTES_MAX};
use crate::reply::Change;
use crate::row;
use crate::schema::Table;

/// A row's key, before and after the statement.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) old: Option<Row>,
    pub(super) new: Option<Row>,
}

/// All rows that a statement changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) rows: BTreeMap<Vec<u8>, Touched>,
}

/// The error for a row whose key is taken.
pub(super) fn duplicate(table: &Table, new: &Row) -> Error {
    let key = table.partition.iter().copied().chain(table.clustering.iter().map(|column| column.column));
    let (names, values): (Vec<String>, Vec<String>) = key
        .map(|column| {
            (
                table.columns[column].name.clone(),
                crate::error::shortened(&new[column].text().unwrap_or_default()),
            )
        })
        .unzip();
    let message = format!(
        "duplicate key value violates the primary key of \"{}\": ({}) = ({}) exists already; write ON CONFLICT, or UPSERT",
        table.name,
        names.join(", "),
        values.join(", ")
    );
    Error::new(ErrorKind::Constraint, "23505", message)
}

pub(super) fn too_many(table: &Table) -> Error {
    Error::too_large(format!("the statement changes more than {CHANGED_ROWS_MAX} rows of \"{}\", which are one entry; change one range of the key after the other", table.name))
}

impl Changes {
    /// The changes of all keys, in order.
    pub(super) fn finish(&self, table: &Table) -> Result<Vec<Change>, Error> {
        let mut changes: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        let mut bytes = 0;
        for (key, Touched { old, new }) in &self.rows {
            let encoded = |row: &Option<Row>| row.as_ref().map(|row| row::encode(table, row)).transpose();
            let (before, after) = (encoded(old)?, encoded(new)?);
            if before == after {
                continue;
            }
            bytes += key.len() + after.as_ref().map_or(0, Vec::len);
            changes.insert(key.clone(), after);
            for index in &table.indexes {
                let entry =
                    |row: &Option<Row>| row.as_ref().map(|row| row::index_key(table, index, row)).transpose();
                let (before, after) = (entry(old)?, entry(new)?);
                if before == after {
                    continue;
                }
                bytes += before.as_ref().map_or(0, Vec::len) + after.as_ref().map_or(0, Vec::len);
                changes.extend(before.map(|gone| (gone, None)));
                changes.extend(after.map(|there| (there, Some(Vec::new()))));
            }
            if bytes > CHANGES_BYTES_MAX {
                return Err(Error::too_large(format!("the statement changes more than {CHANGES_BYTES_MAX} bytes, which are one entry; change fewer rows at a time")));
            }
        }
        Ok(changes.into_iter().map(|(key, value)| Change { key, value }).collect())
    }
}
