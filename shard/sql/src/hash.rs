//! Rows as hashes: `HGETALL {table:pk}:ck` reads one row, a field for each column that is not NULL.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::error::{Error, ErrorKind};
use crate::key::encode;
use crate::limits::ROW_KEY_BYTES_MAX;
use crate::routing::{unescaped, Partition};
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

/// Reads `{table:pk}:ck1:ck2`. None if the key is of another form, or of no table: it is an ordinary key then.
pub fn parse_hash_key(catalog: &Catalog, key: &[u8]) -> Option<Result<HashKey, Error>> {
    let text = std::str::from_utf8(key).ok()?;
    let (tag, clustering) = text.strip_prefix('{')?.split_once('}')?;
    let (name, partition) = tag.split_once(':')?;
    let table = catalog.table(name).ok()?;
    Some(read(table, partition, clustering))
}

fn read(table: &Arc<Table>, partition: &str, clustering: &str) -> Result<HashKey, Error> {
    let wrong = || {
        let names = |columns: &mut dyn Iterator<Item = usize>| {
            columns.map(|column| table.columns[column].name.clone()).collect::<Vec<_>>()
        };
        let partition = names(&mut table.partition.iter().copied()).join(":");
        let clustering: String = names(&mut table.clustering.iter().map(|column| column.column))
            .iter()
            .map(|name| format!(":{name}"))
            .collect();
        Error::new(
            ErrorKind::NeedsKey,
            "42601",
            format!("a row of table \"{0}\" is {{{0}:{partition}}}{clustering}", table.name),
        )
    };
    let parts: Vec<&str> = partition.split(':').collect();
    if parts.len() != table.partition.len() {
        return Err(wrong());
    }
    let pairs = table.partition.iter().zip(parts);
    let values = pairs
        .map(|(column, text)| unescaped(text, table.columns[*column].kind))
        .collect::<Result<Vec<_>, Error>>()?;
    let partition = Partition::new(table, &values)?;
    let parts: Vec<&str> = match clustering.strip_prefix(':') {
        Some(rest) => rest.split(':').collect(),
        None if clustering.is_empty() => Vec::new(),
        None => return Err(wrong()),
    };
    if parts.len() != table.clustering.len() {
        return Err(wrong());
    }
    let mut key = row::row_prefix();
    for (column, text) in table.clustering.iter().zip(parts) {
        encode(&unescaped(text, table.columns[column.column].kind)?, column.descending, &mut key);
    }
    match key.len() <= ROW_KEY_BYTES_MAX {
        true => Ok(HashKey { table: Arc::clone(table), partition, row: key }),
        false => Err(Error::too_large(format!("the key of a row has at most {ROW_KEY_BYTES_MAX} bytes"))),
    }
}

/// Fields and values of a row, in the order of the columns, without those that are NULL.
pub fn hash_fields(key: &HashKey, bytes: &[u8]) -> Result<Vec<(String, String)>, Error> {
    let values = key.partition.values(&key.table)?;
    let row = row::decode(&key.table, &values, &key.row, bytes)?;
    let fields = key.table.columns.iter().zip(row);
    Ok(fields.filter_map(|(column, value)| Some((column.name.clone(), value.text()?))).collect())
}
