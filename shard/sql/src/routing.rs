//! Where a partition is: its key as bytes, and `{table:value}`, which names it among all keys and is its hash tag.
//!
//! The text of each value has all bytes escaped as `%xx` that would end it or that do not print; so different partitions have different names,
//! and equal values (1.0 and 1.00) have one.

use std::borrow::Cow;

use crate::datum::Datum;
use crate::error::{Error, ErrorKind};
use crate::row::{partition_key, partition_values};
use crate::schema::Table;
use crate::types::{ColumnType, Type};

/// One partition of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The table's number.
    pub table: u32,
    /// The values of the partition's columns, as bytes.
    pub key: Vec<u8>,
    /// `{table:value}`, or `{table:value:value}`.
    pub routing: String,
}

impl Partition {
    pub(crate) fn new(table: &Table, values: &[Datum]) -> Result<Partition, Error> {
        let key = partition_key(table, values)?;
        // Numbers that are equal may look different; all else looks as its bytes do.
        let is_number =
            |column: &usize| matches!(table.columns[*column].kind.kind, Type::Numeric | Type::Double);
        match table.partition.iter().any(is_number) {
            true => Partition::of_key(table, key),
            false => Ok(Partition { table: table.id, key, routing: routing(table, values) }),
        }
    }

    /// The partition with this key.
    pub fn of_key(table: &Table, key: Vec<u8>) -> Result<Partition, Error> {
        // The values that the bytes hold, since equal ones may look different.
        let values = partition_values(table, &key)?;
        Ok(Partition { table: table.id, key, routing: routing(table, &values) })
    }

    /// The partition with this name. None: no partition of the table has it.
    pub fn of_name(table: &Table, name: &[u8]) -> Option<Partition> {
        let text = std::str::from_utf8(name).ok()?;
        let inner =
            text.strip_prefix('{')?.strip_prefix(&table.name)?.strip_prefix(':')?.strip_suffix('}')?;
        let parts: Vec<&str> = inner.split(':').collect();
        if parts.len() != table.partition.len() {
            return None;
        }
        let value = |(column, text): (&usize, &str)| unescaped(text, table.columns[*column].kind).ok();
        let values = table.partition.iter().zip(parts).map(value).collect::<Option<Vec<_>>>()?;
        Partition::new(table, &values).ok().filter(|partition| partition.routing == text)
    }

    /// The values of the partition's columns.
    pub fn values(&self, table: &Table) -> Result<Vec<Datum>, Error> {
        partition_values(table, &self.key)
    }
}

/// The name of the partition with these values.
fn routing(table: &Table, values: &[Datum]) -> String {
    let mut name = format!("{{{}", table.name);
    for value in values {
        name.push(':');
        name += &escaped(value);
    }
    name.push('}');
    name
}

/// The text of a value of a key.
pub(crate) fn escaped(value: &Datum) -> String {
    let text = match value {
        Datum::Text(text) => Cow::Borrowed(text.as_str()),
        other => Cow::Owned(other.text().unwrap_or_default()),
    };
    let mut out = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '%' | ':' | '{' | '}' => out += &format!("%{:02x}", u32::from(one)),
            one if one.is_control() || one == ' ' => {
                let mut bytes = [0; 4];
                one.encode_utf8(&mut bytes).bytes().for_each(|byte| out += &format!("%{byte:02x}"));
            }
            one => out.push(one),
        }
    }
    out
}

/// The value of a key whose text this is.
pub(crate) fn unescaped(text: &str, to: ColumnType) -> Result<Datum, Error> {
    let wrong = || {
        Error::new(
            ErrorKind::Syntax,
            "22P02",
            format!("\"{}\": behind % there are two hexadecimal digits", crate::error::shortened(text)),
        )
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit =
                    || rest.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or_else(wrong);
                (digit()? * 16 + digit()?) as u8
            }
            other => other,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    Datum::parse(&text, to)
}
