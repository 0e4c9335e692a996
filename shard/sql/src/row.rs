//! Rows and index entries as keys and bytes of a partition.
//!
//! Within its partition a row's key is the byte 1 and its clustering key; an index entry's is the byte 2, the index's number, the indexed values
//! and the clustering key, and it has no bytes besides. A row's bytes are a version of the format, the version of the table it was written
//! with, and each column of that version that its key does not tell: a bit for each that is NULL, then the others. Columns that were added later
//! have their defaults.

use crate::bytes::{put_count, put_value, Reader};
use crate::datum::{Datum, Row};
use crate::error::Error;
use crate::key;
use crate::limits::{INDEX_KEY_BYTES_MAX, PARTITION_KEY_BYTES_MAX, ROW_BYTES_MAX, ROW_KEY_BYTES_MAX};
use crate::schema::{Default, Index, Table};

const FORMAT: u8 = 1;
const ROWS: u8 = 1;
const ENTRIES: u8 = 2;

/// What all keys of rows begin with.
pub(crate) fn row_prefix() -> Vec<u8> {
    vec![ROWS]
}

/// What all keys of an index's entries begin with.
pub(crate) fn index_prefix(index: &Index) -> Vec<u8> {
    let mut key = vec![ENTRIES];
    key.extend(index.id.to_be_bytes());
    key
}

/// The key of a row in its partition.
pub(crate) fn row_key(table: &Table, row: &[Datum]) -> Result<Vec<u8>, Error> {
    let mut out = row_prefix();
    for column in &table.clustering {
        key::encode(&row[column.column], column.descending, &mut out);
    }
    match out.len() <= ROW_KEY_BYTES_MAX {
        true => Ok(out),
        false => Err(Error::too_large(format!(
            "the key ({}) takes {} bytes; at most {ROW_KEY_BYTES_MAX} are allowed",
            table.key_names(&table.clustering),
            out.len()
        ))),
    }
}

/// The key of an index's entry for a row.
pub(crate) fn index_key(table: &Table, index: &Index, row: &[Datum]) -> Result<Vec<u8>, Error> {
    let mut out = index_prefix(index);
    for column in index.columns.iter().chain(&table.clustering) {
        key::encode(&row[column.column], column.descending, &mut out);
    }
    match out.len() <= INDEX_KEY_BYTES_MAX {
        true => Ok(out),
        false => Err(Error::too_large(format!(
            "an entry of index \"{}\" takes {} bytes; at most {INDEX_KEY_BYTES_MAX} are allowed",
            index.name,
            out.len()
        ))),
    }
}

/// The key of the row that an index entry stands for.
pub(crate) fn indexed_row(table: &Table, index: &Index, entry: &[u8]) -> Result<Vec<u8>, Error> {
    let mut rest =
        entry.strip_prefix(index_prefix(index).as_slice()).ok_or_else(|| Error::damage("an index entry"))?;
    for column in &index.columns {
        rest = key::decode(rest, table.columns[column.column].kind, column.descending)?.1;
    }
    Ok([row_prefix().as_slice(), rest].concat())
}

/// The key of a partition: the values of its columns.
pub(crate) fn partition_key(table: &Table, values: &[Datum]) -> Result<Vec<u8>, Error> {
    assert_eq!(values.len(), table.partition.len(), "a partition has a value for each of its columns");
    let mut out = Vec::new();
    values.iter().for_each(|value| key::encode(value, false, &mut out));
    match out.len() <= PARTITION_KEY_BYTES_MAX {
        true => Ok(out),
        false => Err(Error::too_large(format!(
            "the partition key ({}) takes {} bytes; at most {PARTITION_KEY_BYTES_MAX} are allowed",
            table.partition_names(),
            out.len()
        ))),
    }
}

/// The values of a partition's columns.
pub(crate) fn partition_values(table: &Table, bytes: &[u8]) -> Result<Vec<Datum>, Error> {
    let mut rest = bytes;
    let mut values = Vec::with_capacity(table.partition.len());
    for column in &table.partition {
        let (value, behind) = key::decode(rest, table.columns[*column].kind, false)?;
        values.push(value);
        rest = behind;
    }
    match rest {
        [] => Ok(values),
        _ => Err(Error::damage("a partition's key")),
    }
}

/// The columns that a row of this version has in its bytes.
fn stored(table: &Table, version: u64) -> impl Iterator<Item = usize> + '_ {
    let there = move |column: &usize| {
        let held = &table.columns[*column];
        held.since <= version && (!table.is_key(*column) || key::loses(held.kind))
    };
    (0..table.columns.len()).filter(there)
}

/// The bytes of a row.
pub(crate) fn encode(table: &Table, row: &[Datum]) -> Result<Vec<u8>, Error> {
    assert_eq!(row.len(), table.columns.len(), "a row has a value for each column");
    let mut out = vec![FORMAT];
    put_count(table.version, &mut out);
    let columns: Vec<usize> = stored(table, table.version).collect();
    let bits = out.len();
    out.resize(bits + columns.len().div_ceil(8), 0);
    for (place, column) in columns.into_iter().enumerate() {
        match row[column].is_null() {
            true => out[bits + place / 8] |= 1 << (place % 8),
            false => put_value(&row[column], &mut out),
        }
    }
    match out.len() <= ROW_BYTES_MAX {
        true => Ok(out),
        false => Err(Error::too_large(format!("the row takes {} bytes; at most {ROW_BYTES_MAX} are allowed: keep large values under keys of their own", out.len()))),
    }
}

/// The row with this key and these bytes.
pub(crate) fn decode(table: &Table, partition: &[Datum], key: &[u8], bytes: &[u8]) -> Result<Row, Error> {
    let mut row: Row = table
        .columns
        .iter()
        .map(|column| match &column.default {
            Default::Constant(value) => value.clone(),
            Default::Now | Default::RandomUuid => Datum::Null,
        })
        .collect();
    for (column, value) in table.partition.iter().zip(partition) {
        row[*column] = value.clone();
    }
    let mut rest = key.strip_prefix(&[ROWS]).ok_or_else(|| Error::damage("a row's key"))?;
    for column in &table.clustering {
        let (value, behind) = key::decode(rest, table.columns[column.column].kind, column.descending)?;
        row[column.column] = value;
        rest = behind;
    }
    if !rest.is_empty() {
        return Err(Error::damage("a row's key"));
    }
    let mut reader = Reader::new(bytes, "a row");
    if reader.byte()? != FORMAT {
        return Err(reader.damage());
    }
    let version = reader.count()?;
    if version > table.version {
        return Err(Error::new(
            crate::ErrorKind::Stale,
            "72000",
            format!("a row of table \"{}\" is newer than the catalog: try again", table.name),
        ));
    }
    let columns: Vec<usize> = stored(table, version).collect();
    let nulls = reader.take(columns.len().div_ceil(8))?;
    for (place, column) in columns.into_iter().enumerate() {
        row[column] = match nulls[place / 8] & 1 << (place % 8) {
            0 => reader.value(table.columns[column].kind.kind)?,
            _ => Datum::Null,
        };
    }
    reader.end()?;
    Ok(row)
}
