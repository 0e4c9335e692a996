//! Rows as hashes: `{table:pk}:ck` names one row, which is read as a field for each column that is not NULL.
//!
//! A row has one name: what is spelt otherwise, though it says the same (`1.50` for `1.5`, `%3A` for `%3a`, `%41` for `A`), names none. So the
//! tag of a name is its partition's name, byte for byte, and leads clients to where that is.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::error::Error;
use crate::key::{decode, encode};
use crate::limits::ROW_KEY_BYTES_MAX;
use crate::routing::{escaped, unescaped, Partition};
use crate::row;
use crate::schema::Table;

/// A row that a key names.
#[derive(Clone, Debug)]
pub struct HashKey {
    /// Its table.
    pub table: Arc<Table>,
    /// Its partition.
    pub partition: Partition,
    /// Its key there, to be read.
    pub row: Vec<u8>,
}

/// Takes a key apart that may be the name of a row: the name of a table, and that of a partition, which ends with the first brace. None: no row of
/// any table has this name.
pub fn hash_key_parts(key: &[u8]) -> Option<(&str, &[u8])> {
    let end = key.iter().position(|byte| *byte == b'}')?;
    let (partition, clustering) = key.split_at(end + 1);
    if !matches!(clustering.first(), None | Some(b':')) {
        return None;
    }
    let name = partition.strip_prefix(b"{")?.split(|byte| *byte == b':').next()?;
    // Between the name and the end of the tag there is a colon at least.
    let is_one = !name.is_empty() && name.len() + 2 < partition.len();
    is_one.then_some((std::str::from_utf8(name).ok()?, partition))
}

/// The row with the name `{table:pk}:ck1:ck2`. None: no row of a table has it, and it is a key like others.
pub fn parse_hash_key(catalog: &Catalog, key: &[u8]) -> Option<HashKey> {
    let (name, partition) = hash_key_parts(key)?;
    let table = catalog.tables.get(name)?;
    let text = std::str::from_utf8(key).ok()?;
    let clustering = text.get(partition.len()..)?;
    let partition = Partition::of_name(table, partition)?;
    let row = row_key(table, clustering)?;
    (hash_key(table, &partition, &row).ok()? == text).then(|| HashKey {
        table: Arc::clone(table),
        partition,
        row,
    })
}

/// The key of a row, from the values behind its partition's name.
fn row_key(table: &Table, clustering: &str) -> Option<Vec<u8>> {
    let parts: Vec<&str> = clustering.split(':').skip(1).collect();
    if parts.len() != table.clustering.len() {
        return None;
    }
    let mut row = row::row_prefix();
    for (column, text) in table.clustering.iter().zip(parts) {
        let value = unescaped(text, table.columns[column.column].kind).ok()?;
        encode(&value, column.descending, &mut row);
    }
    (row.len() <= ROW_KEY_BYTES_MAX).then_some(row)
}

/// The name of the row with this key.
pub(crate) fn hash_key(table: &Table, partition: &Partition, row: &[u8]) -> Result<String, Error> {
    let mut name = partition.routing.clone();
    let mut rest =
        row.strip_prefix(row::row_prefix().as_slice()).ok_or_else(|| Error::damage("a row's key"))?;
    for column in &table.clustering {
        let (value, behind) = decode(rest, table.columns[column.column].kind, column.descending)?;
        name.push(':');
        name += &escaped(&value);
        rest = behind;
    }
    Ok(name)
}

/// Fields and values of a row, in the order of the columns, without those that are NULL.
pub fn hash_fields(key: &HashKey, bytes: &[u8]) -> Result<Vec<(String, String)>, Error> {
    let values = key.partition.values(&key.table)?;
    let row = row::decode(&key.table, &values, &key.row, bytes)?;
    let fields = key.table.columns.iter().zip(row);
    Ok(fields.filter_map(|(column, value)| Some((column.name.clone(), value.text()?))).collect())
}
