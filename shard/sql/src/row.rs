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
    Form::whole(table).row(table, partition, key, bytes)
}

/// What is the same for many rows of a table that are read: where in their bytes the columns are, and what becomes of each.
#[derive(Debug)]
pub(crate) struct Form {
    /// The columns that rows of the table's newest version have in their bytes.
    stored: Vec<usize>,
    /// For each column its place in what is made of a row; None: it is passed over.
    places: Vec<Option<usize>>,
    /// How many values that has.
    values: usize,
}

impl Form {
    fn new(table: &Table, places: Vec<Option<usize>>, values: usize) -> Form {
        assert_eq!(places.len(), table.columns.len(), "each column has a place or none");
        Form { stored: stored(table, table.version).collect(), places, values }
    }

    /// Of rows with all their columns.
    pub(crate) fn whole(table: &Table) -> Form {
        let columns = table.columns.len();
        Form::new(table, (0..columns).map(Some).collect(), columns)
    }

    /// Of rows of which only some columns are looked at: the others are NULL.
    pub(crate) fn marked(table: &Table, marked: &[bool]) -> Form {
        let places = marked.iter().enumerate().map(|(column, marked)| marked.then_some(column));
        Form::new(table, places.collect(), table.columns.len())
    }

    /// Of these columns alone, in this order, each of which stands there once.
    pub(crate) fn columns(table: &Table, columns: &[usize]) -> Form {
        let mut places = vec![None; table.columns.len()];
        for (place, column) in columns.iter().enumerate() {
            assert!(places[*column].replace(place).is_none(), "a column has one place");
        }
        Form::new(table, places, columns.len())
    }

    /// What is made of the row with this key and these bytes.
    pub(crate) fn row(
        &self,
        table: &Table,
        partition: &[Datum],
        key: &[u8],
        bytes: &[u8],
    ) -> Result<Row, Error> {
        let mut row: Row = vec![Datum::Null; self.values];
        for (column, value) in table.partition.iter().zip(partition) {
            if let Some(place) = self.places[*column] {
                row[place] = value.clone();
            }
        }
        let mut rest = key.strip_prefix(&[ROWS]).ok_or_else(|| Error::damage("a row's key"))?;
        for column in &table.clustering {
            let (value, behind) = key::decode(rest, table.columns[column.column].kind, column.descending)?;
            if let Some(place) = self.places[column.column] {
                row[place] = value;
            }
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
        let mut older = Vec::new();
        if version < table.version {
            older.extend(stored(table, version));
            // What came since has its default. No column of a key did.
            for (held, place) in
                table.columns.iter().zip(&self.places).filter(|(held, _)| held.since > version)
            {
                if let (Default::Constant(value), Some(place)) = (&held.default, *place) {
                    row[place] = value.clone();
                }
            }
        }
        let columns = if version < table.version { &older } else { &self.stored };
        let nulls = reader.take(columns.len().div_ceil(8))?;
        for (at, column) in columns.iter().enumerate() {
            let kind = table.columns[*column].kind.kind;
            match (nulls[at / 8] & 1 << (at % 8) != 0, self.places[*column]) {
                (true, Some(place)) => row[place] = Datum::Null,
                (true, None) => {}
                (false, Some(place)) => row[place] = reader.value(kind)?,
                (false, None) => reader.skip(kind)?,
            }
        }
        reader.end()?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, index_key, indexed_row, partition_key, partition_values, row_key, Form};
    use crate::datum::{Datum, Row};
    use crate::schema::{Column, Default, Index, KeyColumn, Layout, Table};
    use crate::types::{ColumnType, TYPES};

    /// A generator of numbers for tests (xorshift).
    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    fn value(kind: ColumnType, state: &mut u64) -> Datum {
        let number = next(state);
        let short = number % 1000;
        let text = match kind.kind {
            crate::Type::Bool => (number % 2).to_string(),
            crate::Type::Int => (number as i32).to_string(),
            crate::Type::BigInt => (number as i64).to_string(),
            crate::Type::Numeric => format!("{}.{short:03}0", number as i64 % 100_000),
            crate::Type::Double => format!("{}e{}", number as i64, short as i64 % 200 - 100),
            crate::Type::Text => "\u{1}é\u{7f}a".repeat(short as usize % 5),
            crate::Type::Bytea => "\\x00ff01".to_owned() + &"00".repeat(short as usize % 5),
            crate::Type::Timestamp => {
                format!("20{:02}-0{}-1{} 01:02:03.{short:03}", short % 100, short % 9 + 1, short % 10)
            }
            crate::Type::Uuid => format!("{number:016x}{number:016x}"),
            crate::Type::Jsonb => format!("{{\"a\": [{number}]}}"),
        };
        Datum::parse(&text, kind).expect("a value")
    }

    /// A table with columns of all types, of which so many of the first ones are the key; half of the others came later.
    fn table(key: usize) -> Table {
        let ordered = TYPES.iter().filter(|kind| kind.is_ordered()).chain(&TYPES);
        let columns: Vec<Column> = ordered
            .enumerate()
            .map(|(place, kind)| Column {
                name: format!("c{place}"),
                kind: ColumnType::plain(*kind),
                not_null: place < key,
                default: Default::Constant(Datum::Null),
                since: if place < 14 { 1 } else { 2 },
            })
            .collect();
        let clustering = (2..key).map(|column| KeyColumn { column, descending: column % 2 == 0 }).collect();
        let index = Index {
            id: 3,
            name: "i".into(),
            columns: vec![KeyColumn { column: key, descending: true }],
            ready: true,
        };
        Table {
            id: 1,
            name: "t".into(),
            version: 2,
            layout: Layout::Small,
            columns,
            partition: vec![0, 1],
            clustering,
            indexes: vec![index],
            next_index: 4,
        }
    }

    fn same(left: &Row, right: &Row) -> bool {
        left.iter().zip(right).all(|(left, right)| left.text() == right.text() && left.kind() == right.kind())
    }

    /// Some of the columns, in any order, or with the others as NULL; and what is cut off is found, wherever it is.
    fn some_columns_are_those_of_the_row(
        table: &Table,
        partition: &[Datum],
        (key, bytes): (&[u8], &[u8]),
        row: &Row,
        state: &mut u64,
    ) {
        let mut columns: Vec<usize> = (0..row.len()).filter(|_| next(state).is_multiple_of(3)).collect();
        if next(state).is_multiple_of(2) {
            columns.reverse();
        }
        let form = Form::columns(table, &columns);
        let wanted: Row = columns.iter().map(|column| row[*column].clone()).collect();
        let read = form.row(table, partition, key, bytes).expect("what was written");
        assert!(read.len() == wanted.len() && same(&read, &wanted), "{wanted:?} came back as {read:?}");
        let marked: Vec<bool> = (0..row.len()).map(|column| columns.contains(&column)).collect();
        let wanted: Row = row
            .iter()
            .zip(&marked)
            .map(|(value, is)| if *is { value.clone() } else { Datum::Null })
            .collect();
        let read = Form::marked(table, &marked).row(table, partition, key, bytes).expect("what was written");
        assert!(same(&read, &wanted), "{wanted:?} came back as {read:?}");
        let cut = next(state) as usize % bytes.len();
        assert!(form.row(table, partition, key, &bytes[..cut]).is_err(), "cut at {cut}");
    }

    #[test]
    fn rows_come_back_as_they_were() {
        let mut state = 77;
        for round in 0..3_000 {
            let table = table(2 + round % 7);
            let row: Row = table
                .columns
                .iter()
                .map(|column| match next(&mut state).is_multiple_of(4) && !column.not_null {
                    true => Datum::Null,
                    false => value(column.kind, &mut state),
                })
                .collect();
            let values: Vec<Datum> = table.partition.iter().map(|column| row[*column].clone()).collect();
            let partition =
                partition_values(&table, &partition_key(&table, &values).expect("a key")).expect("values");
            let (key, bytes) = (row_key(&table, &row).expect("a key"), encode(&table, &row).expect("bytes"));
            let read = decode(&table, &partition, &key, &bytes).expect("what was written");
            assert!(same(&row, &read), "{row:?} came back as {read:?}");
            some_columns_are_those_of_the_row(&table, &partition, (&key, &bytes), &row, &mut state);
            let entry = index_key(&table, &table.indexes[0], &row).expect("an entry");
            assert_eq!(indexed_row(&table, &table.indexes[0], &entry), Ok(key.clone()));
            for cut in 0..bytes.len() {
                assert!(decode(&table, &partition, &key, &bytes[..cut]).is_err(), "cut at {cut}");
            }
            // What an older version wrote reads with the defaults of what came later.
            let mut older = table.clone();
            older.version = 1;
            let mut newer = table.clone();
            newer.columns.iter_mut().filter(|column| column.since == 2).for_each(|column| {
                column.default = Default::Constant(value(column.kind, &mut state));
            });
            let read = decode(&newer, &partition, &key, &encode(&older, &row).expect("bytes"))
                .expect("what was written");
            let expected: Row = newer
                .columns
                .iter()
                .zip(&row)
                .map(|(column, value)| match (&column.default, column.since) {
                    (Default::Constant(default), 2) => default.clone(),
                    _ => value.clone(),
                })
                .collect();
            assert!(same(&read, &expected), "{expected:?} came back as {read:?}");
            let older_bytes = encode(&older, &row).expect("bytes");
            some_columns_are_those_of_the_row(
                &newer,
                &partition,
                (&key, &older_bytes),
                &expected,
                &mut state,
            );
            assert!(
                decode(&older, &partition, &key, &bytes).is_err(),
                "a row of a version that is not known yet"
            );
        }
    }
}
