//! The catalog as bytes: a version of the format, a length, CRC32C of the rest, and the tables. All lengths are checked, and so is what the rest
//! of the crate relies on: indexes of columns, names, and that keys are ordered.

use std::sync::Arc;

use crate::bytes::{put_bytes, put_count, put_value, Reader};
use crate::catalog::Catalog;
use crate::error::Error;
use crate::limits::{
    CATALOG_BYTES_MAX, COLUMNS_MAX, INDEXES_MAX, KEY_COLUMNS_MAX, NUMBER_MAX, NUMERIC_PRECISION_MAX,
    TABLES_MAX, VERSION_MAX,
};
use crate::numeric::Precision;
use crate::schema::{Column, Default, Index, KeyColumn, Layout, Table};
use crate::types::{ColumnType, Type, TYPES};

const FORMAT: u8 = 1;
/// Format, length and checksum.
const HEADER_BYTES: usize = 9;

impl Catalog {
    /// The bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        put_count(self.version, &mut body);
        put_count(self.next_table.into(), &mut body);
        put_count(self.tables.len() as u64, &mut body);
        self.tables.values().for_each(|table| put_table(table, &mut body));
        if body.len() > CATALOG_BYTES_MAX {
            return Err(Error::too_large(format!("the catalog has {} bytes; at most {CATALOG_BYTES_MAX} are allowed: drop tables, or long defaults", body.len())));
        }
        let mut out = vec![FORMAT];
        out.extend((body.len() as u32).to_le_bytes());
        out.extend(crc32c::crc32c(&body).to_le_bytes());
        out.extend(body);
        assert!(Catalog::decode(&out).is_ok(), "a catalog that is written can be read");
        Ok(out)
    }

    /// The catalog of these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Catalog, Error> {
        let mut reader = Reader::new(bytes, "the catalog");
        match reader.byte()? {
            FORMAT => {}
            other if other > FORMAT => {
                let message = format!(
                    "the catalog has format {other}, and this build reads up to {FORMAT}: run the newer one"
                );
                return Err(Error::new(crate::ErrorKind::Damage, "XX001", message));
            }
            _ => return Err(reader.damage()),
        }
        let length = u32::from_le_bytes(reader.array()?) as usize;
        let checksum = u32::from_le_bytes(reader.array()?);
        if bytes.len() != HEADER_BYTES + length
            || length > CATALOG_BYTES_MAX
            || crc32c::crc32c(reader.rest) != checksum
        {
            return Err(reader.damage());
        }
        let version = reader.count()?;
        let next_table = take_u32(&mut reader)?;
        let mut catalog = Catalog { version, next_table, ..Catalog::default() };
        for _ in 0..bounded(&mut reader, TABLES_MAX)? {
            let table = take_table(&mut reader)?;
            if table.id >= next_table || catalog.tables.insert(table.name.clone(), Arc::new(table)).is_some()
            {
                return Err(reader.damage());
            }
        }
        if !catalog.is_within(VERSION_MAX, NUMBER_MAX) {
            return Err(reader.damage());
        }
        reader.end()?;
        Ok(catalog)
    }
}

fn take_u32(reader: &mut Reader) -> Result<u32, Error> {
    u32::try_from(reader.count()?).map_err(|_| reader.damage())
}

fn bounded(reader: &mut Reader, most: usize) -> Result<usize, Error> {
    let count = reader.length()?;
    match count <= most {
        true => Ok(count),
        false => Err(reader.damage()),
    }
}

fn put_table(table: &Table, out: &mut Vec<u8>) {
    put_count(table.id.into(), out);
    put_bytes(table.name.as_bytes(), out);
    put_count(table.version, out);
    out.push(matches!(table.layout, Layout::Large).into());
    put_count(table.columns.len() as u64, out);
    for column in &table.columns {
        put_bytes(column.name.as_bytes(), out);
        put_type(column.kind, out);
        out.push(column.not_null.into());
        put_count(column.since, out);
        match &column.default {
            Default::Constant(value) if value.is_null() => out.push(0),
            Default::Constant(value) => {
                out.push(1);
                put_value(value, out);
            }
            Default::Now => out.push(2),
            Default::RandomUuid => out.push(3),
        }
    }
    put_count(table.partition.len() as u64, out);
    table.partition.iter().for_each(|column| put_count(*column as u64, out));
    put_key(&table.clustering, out);
    put_count(table.next_index.into(), out);
    put_count(table.indexes.len() as u64, out);
    for index in &table.indexes {
        put_count(index.id.into(), out);
        put_bytes(index.name.as_bytes(), out);
        put_key(&index.columns, out);
        out.push(index.ready.into());
    }
}

fn take_table(reader: &mut Reader) -> Result<Table, Error> {
    let (id, name, version) = (take_u32(reader)?, reader.text()?, reader.count()?);
    let layout = if reader.byte()? == 0 { Layout::Small } else { Layout::Large };
    let mut columns = Vec::new();
    for _ in 0..bounded(reader, COLUMNS_MAX)? {
        columns.push(take_column(reader, version)?);
    }
    let mut partition = Vec::new();
    for _ in 0..bounded(reader, KEY_COLUMNS_MAX)? {
        partition.push(take_place(reader, &columns)?);
    }
    let clustering = take_key(reader, &columns)?;
    if partition.is_empty() {
        return Err(reader.damage());
    }
    let next_index = take_u32(reader)?;
    let mut indexes: Vec<Index> = Vec::new();
    for _ in 0..bounded(reader, INDEXES_MAX)? {
        let index = Index {
            id: take_u32(reader)?,
            name: reader.text()?,
            columns: take_key(reader, &columns)?,
            ready: reader.byte()? != 0,
        };
        if index.id >= next_index || indexes.iter().any(|other| other.id == index.id) {
            return Err(reader.damage());
        }
        indexes.push(index);
    }
    Ok(Table { id, name, version, layout, columns, partition, clustering, indexes, next_index })
}

fn take_column(reader: &mut Reader, version: u64) -> Result<Column, Error> {
    let (name, kind) = (reader.text()?, take_type(reader)?);
    let (not_null, since) = (reader.byte()? != 0, reader.count()?);
    let default = match reader.byte()? {
        0 => Default::Constant(crate::datum::Datum::Null),
        1 => Default::Constant(reader.value(kind.kind)?),
        2 if kind.kind == Type::Timestamp => Default::Now,
        3 if kind.kind == Type::Uuid => Default::RandomUuid,
        _ => return Err(reader.damage()),
    };
    match since <= version {
        true => Ok(Column { name, kind, not_null, default, since }),
        false => Err(reader.damage()),
    }
}

fn put_type(kind: ColumnType, out: &mut Vec<u8>) {
    let number = TYPES.iter().position(|one| *one == kind.kind);
    out.push(number.expect("all types have a number") as u8);
    if kind.kind == Type::Numeric {
        // A precision of zero digits is none.
        let Precision { digits, scale } = kind.precision.unwrap_or(Precision { digits: 0, scale: 0 });
        put_count(digits.into(), out);
        put_count(scale.into(), out);
    }
}

fn take_type(reader: &mut Reader) -> Result<ColumnType, Error> {
    let kind = *TYPES.get(usize::from(reader.byte()?)).ok_or_else(|| reader.damage())?;
    if kind != Type::Numeric {
        return Ok(ColumnType::plain(kind));
    }
    let (digits, scale) = (take_u32(reader)?, take_u32(reader)?);
    match digits {
        0 => Ok(ColumnType::plain(kind)),
        1..=NUMERIC_PRECISION_MAX if scale <= digits => {
            Ok(ColumnType { kind, precision: Some(Precision { digits, scale }) })
        }
        _ => Err(reader.damage()),
    }
}

fn put_key(key: &[KeyColumn], out: &mut Vec<u8>) {
    put_count(key.len() as u64, out);
    for column in key {
        put_count(column.column as u64, out);
        out.push(column.descending.into());
    }
}

fn take_key(reader: &mut Reader, columns: &[Column]) -> Result<Vec<KeyColumn>, Error> {
    let mut key = Vec::new();
    for _ in 0..bounded(reader, KEY_COLUMNS_MAX)? {
        key.push(KeyColumn { column: take_place(reader, columns)?, descending: reader.byte()? != 0 });
    }
    Ok(key)
}

/// The index of a column that can be in a key.
fn take_place(reader: &mut Reader, columns: &[Column]) -> Result<usize, Error> {
    let place = usize::try_from(reader.count()?).map_err(|_| reader.damage())?;
    match columns.get(place) {
        Some(column) if column.kind.kind.is_ordered() => Ok(place),
        _ => Err(reader.damage()),
    }
}
